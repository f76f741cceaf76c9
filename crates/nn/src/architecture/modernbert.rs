//! ModernBERT: rotary positions, gated feed-forward layers, and layers with local attention
//! between those with full attention.

use candle_core::{Device, Result, Tensor};

use super::{Architecture, BuildInput, Prepared, Transformer};
use crate::config::Config;
use crate::dropout::{Dropout, dropped};
use crate::mask::{Mask, Reach};
use crate::ops::{Activation, Attention, Epilogue, LayerNorm, Linear, Mode, select};
use crate::rope::{LayerKind, Rope};
use crate::weights::Weights;
use crate::{NnError, TokenBatch};

/// The line of ModernBERT in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["modernbert"],
    causal: false,
    build,
};

struct Encoder {
    words: Tensor,
    dropout: Option<Dropout>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    final_norm: LayerNorm,
    heads: usize,
    head: usize,
    ropes: [Rope; 2],
    local_reach: Reach,
    activation: Activation,
    device: Device,
    mode: Mode,
}

struct Layer {
    /// The first layer has none: the embeddings are normalised already.
    norm: Option<LayerNorm>,
    qkv: Linear,
    attended: Linear,
    inner_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    local: bool,
}

const KINDS: [LayerKind; 2] = [
    LayerKind {
        name: "full_attention",
        theta: "global_rope_theta",
        default_theta: 160_000.0,
        scaled: true,
    },
    LayerKind {
        name: "sliding_attention",
        theta: "local_rope_theta",
        default_theta: 10_000.0,
        scaled: true,
    },
];

/// Rotary positions of layers with full and with local attention; heads are `head` wide.
///
/// # Errors
/// When a parameter has an unexpected value.
pub fn ropes(config: &Config<'_>, head: usize) -> std::result::Result<[Rope; 2], NnError> {
    Rope::of_kinds(config, head, KINDS)
}

/// Whether each of `layers` layers has local attention, and how many tokens on either side one sees.
///
/// # Errors
/// When a field has an unexpected value.
pub fn local(
    config: &Config<'_>,
    layers: usize,
) -> std::result::Result<(Vec<bool>, usize), NnError> {
    let window = config.size_or("local_attention", 128)? / 2;
    let every = config.size_or("global_attn_every_n_layers", 3)?;
    let local = config.local_layers(layers, |i| !i.is_multiple_of(every))?;
    Ok((local, window))
}

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> std::result::Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    let hidden = config.size("hidden_size")?;
    let inner = config.size("intermediate_size")?;
    let heads = config.size("num_attention_heads")?;
    let layers = config.layers("num_hidden_layers")?;
    let vocabulary = config.size("vocab_size")?;
    let head = config.head_width(hidden, heads)?;
    let epsilon = config.positive_or("norm_eps", 1e-5)?;
    let norm_bias = config.flag_or("norm_bias", false)?;
    let attention_bias = config.flag_or("attention_bias", false)?;
    let mlp_bias = config.flag_or("mlp_bias", false)?;
    let activation = config.activation("hidden_activation", Activation::Gelu)?;
    let (local, window) = local(config, layers)?;
    weights.probe(&["", "model."], "embeddings.tok_embeddings.weight");
    let norm = |name: &str| weights.layer_norm(name, hidden, epsilon, norm_bias);
    let layers = local
        .into_iter()
        .enumerate()
        .map(|(i, local)| {
            let name = |part: &str| format!("layers.{i}.{part}");
            Ok(Layer {
                norm: if i == 0 {
                    None
                } else {
                    Some(norm(&name("attn_norm"))?)
                },
                qkv: weights.linear(&name("attn.Wqkv"), hidden, 3 * hidden, attention_bias)?,
                attended: weights.output(&name("attn.Wo"), hidden, hidden, attention_bias)?,
                inner_norm: norm(&name("mlp_norm"))?,
                inner: weights.linear(&name("mlp.Wi"), hidden, 2 * inner, mlp_bias)?,
                outer: weights.output(&name("mlp.Wo"), inner, hidden, mlp_bias)?,
                local,
            })
        })
        .collect::<std::result::Result<_, NnError>>()?;
    Ok(Box::new(Encoder {
        words: weights.tensor("embeddings.tok_embeddings.weight", &[vocabulary, hidden])?,
        dropout: weights.dropout("embeddings"),
        norm: norm("embeddings.norm")?,
        layers,
        final_norm: norm("final_norm")?,
        heads,
        head,
        ropes: ropes(config, head)?,
        local_reach: Reach {
            behind: window,
            ahead: window,
        },
        activation,
        device: weights.device().clone(),
        mode: weights.mode(),
    }))
}

impl Transformer for Encoder {
    fn vocabulary(&self) -> usize {
        self.words.dims().first().copied().unwrap_or(0)
    }

    fn max_tokens(&self) -> Option<usize> {
        None
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn prepare(&self, batch: &TokenBatch) -> Result<Prepared> {
        let ids = Tensor::from_slice(&batch.ids, (batch.rows, batch.width), &self.device)?;
        let mask = |reach| Mask::new(batch, reach, &self.device, self.mode);
        let [full, local] = &self.ropes;
        Ok(Prepared {
            local_mask: Some(mask(self.local_reach)?),
            rotation: Some(full.rotation(batch, &self.device)?),
            local_rotation: Some(local.rotation(batch, &self.device)?),
            ..Prepared::new(ids, mask(Reach::FULL)?)
        })
    }

    fn embed(&self, prepared: &Prepared) -> Result<Tensor> {
        let (rows, width) = prepared.ids.dims2()?;
        let x = select(&self.words, &prepared.ids.flatten_all()?)?;
        let x = self
            .norm
            .forward(&x)?
            .reshape((rows, width, self.words.dim(1)?))?;
        dropped(x, self.dropout.as_ref())
    }

    fn layer(&self, index: usize, hidden: &Tensor, prepared: &Prepared) -> Result<Tensor> {
        let layer = &self.layers[index];
        let (rows, width, _) = hidden.dims3()?;
        let x = match &layer.norm {
            Some(norm) => norm.forward(hidden)?,
            None => hidden.clone(),
        };
        let qkv = layer.qkv.forward(&x, Epilogue::None)?.reshape((
            rows,
            width,
            3 * self.heads,
            self.head,
        ))?;
        let (mask, rotation) = match &prepared.local_mask {
            Some(mask) if layer.local => (mask, &prepared.local_rotation),
            _ => (&prepared.mask, &prepared.rotation),
        };
        let attention = Attention {
            scale: 1.0 / (self.head as f64).sqrt(),
            mask,
            bias: None,
            mode: self.mode,
        };
        let attended = attention.joined(&qkv, self.heads, self.heads, rotation.as_ref())?;
        let hidden = layer.attended.forward_add(&attended, hidden)?;
        let x = layer.inner_norm.forward(&hidden)?;
        layer
            .outer
            .behind_add(&layer.inner, &x, Epilogue::Gate(self.activation), &hidden)
    }

    fn finish(&self, hidden: Tensor) -> Result<Tensor> {
        self.final_norm.forward(&hidden)
    }
}
