//! The encoder of T5 and mT5 (instructor): relative position bias shared by the layers, no
//! scaling of scores, no biases.

use candle_core::{Device, Result, Tensor};

use super::{Architecture, BuildInput, Prepared, Transformer};
use crate::config::Config;
use crate::dropout::{Dropout, dropped};
use crate::mask::{Mask, Reach};
use crate::ops::{Activation, Attention, Epilogue, Linear, Mode, RmsNorm};
use crate::relative::RelativeBias;
use crate::weights::Weights;
use crate::{NnError, TokenBatch};

/// The line of T5 in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["t5", "mt5"],
    causal: false,
    build,
};

struct Encoder {
    words: Tensor,
    dropout: Option<Dropout>,
    bias: RelativeBias,
    layers: Vec<Layer>,
    norm: RmsNorm,
    heads: usize,
    head: usize,
    epilogue: Epilogue,
    device: Device,
    mode: Mode,
}

struct Layer {
    norm: RmsNorm,
    qkv: Linear,
    attended: Linear,
    inner_norm: RmsNorm,
    inner: Linear,
    outer: Linear,
}

/// `feed_forward_proj`: an activation, or `gated-` and an activation.
///
/// # Errors
/// When it is none that is known, or `dense_act_fn` and `is_gated_act` say something else.
pub fn feed_forward(config: &Config<'_>) -> std::result::Result<Epilogue, NnError> {
    const KEY: &str = "feed_forward_proj";
    let default = match config.text("model_type")? {
        Some("mt5") => "gated-gelu",
        _ => "relu",
    };
    let found = config.text(KEY)?.unwrap_or(default);
    let epilogue = match found.strip_prefix("gated-") {
        // The reference code means the tanh form by this name, in this place only.
        Some("gelu") => Some(Epilogue::Gate(Activation::GeluTanh)),
        Some(name) => Activation::named(name).map(Epilogue::Gate),
        None => Activation::named(found).map(Epilogue::Activate),
    };
    let epilogue = epilogue.ok_or_else(|| {
        let allowed = format!("{}, or `gated-` and one of them", Activation::names());
        config.invalid(KEY, &found.into(), &allowed)
    })?;
    // Files that transformers wrote repeat what the field means, and the repetition wins there.
    let (gated, activation) = match epilogue {
        Epilogue::Gate(activation) => (true, activation),
        Epilogue::Activate(activation) => (false, activation),
        Epilogue::None => return Ok(epilogue),
    };
    let repeated = config.activation("dense_act_fn", activation)?;
    if repeated != activation || config.flag_or("is_gated_act", gated)? != gated {
        return Err(config.error(format!(
            "`dense_act_fn` and `is_gated_act` are not what `{KEY}` `{found}` means"
        )));
    }
    Ok(epilogue)
}

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> std::result::Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    config.refuse("is_decoder")?;
    let hidden = config.size("d_model")?;
    let inner = config.size("d_ff")?;
    let head = config.size("d_kv")?;
    let heads = config.size("num_heads")?;
    let layers = config.layers("num_layers")?;
    let vocabulary = config.size("vocab_size")?;
    let epsilon = config.positive_or("layer_norm_epsilon", 1e-6)?;
    let buckets = config.size_or("relative_attention_num_buckets", 32)?;
    let distance = config.size_or("relative_attention_max_distance", 128)?;
    if buckets < 4 || distance <= buckets / 4 {
        return Err(config.error(format!(
            "{buckets} relative buckets up to a distance of {distance}: expected at least 4 \
             buckets and a distance above a quarter of them"
        )));
    }
    let epilogue = feed_forward(config)?;
    weights.probe(
        &["encoder.", "", "model.encoder.", "transformer.encoder."],
        "block.0.layer.0.SelfAttention.q.weight",
    );
    let outside = weights.prefix().trim_end_matches("encoder.").to_owned();
    let words = weights.first_of(
        &[
            &format!("{outside}shared.weight"),
            &format!("{}embed_tokens.weight", weights.prefix()),
        ],
        &[vocabulary, hidden],
    )?;
    let table = weights.tensor(
        "block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        &[buckets, heads],
    )?;
    let width = heads * head;
    let layers = (0..layers)
        .map(|i| {
            let attention = |part: &str| format!("block.{i}.layer.0.{part}");
            let forward = |part: &str| format!("block.{i}.layer.1.{part}");
            let names = ["q", "k", "v"].map(|n| attention(&format!("SelfAttention.{n}")));
            let qkv: Vec<(&str, usize)> = names.iter().map(|n| (n.as_str(), width)).collect();
            let names: Vec<String> = match epilogue {
                Epilogue::Gate(_) => ["wi_0", "wi_1"].as_slice(),
                _ => ["wi"].as_slice(),
            }
            .iter()
            .map(|n| forward(&format!("DenseReluDense.{n}")))
            .collect();
            let parts: Vec<(&str, usize)> = names.iter().map(|n| (n.as_str(), inner)).collect();
            Ok(Layer {
                norm: weights.rms_norm(&attention("layer_norm"), hidden, epsilon)?,
                qkv: weights.joined(&qkv, hidden, false)?,
                attended: weights.output(&attention("SelfAttention.o"), width, hidden, false)?,
                inner_norm: weights.rms_norm(&forward("layer_norm"), hidden, epsilon)?,
                inner: weights.joined(&parts, hidden, false)?,
                outer: weights.output(&forward("DenseReluDense.wo"), inner, hidden, false)?,
            })
        })
        .collect::<std::result::Result<_, NnError>>()?;
    Ok(Box::new(Encoder {
        words,
        dropout: weights.dropout("embed_tokens"),
        bias: RelativeBias::new(table, distance, weights.device(), weights.mode()),
        layers,
        norm: weights.rms_norm("final_layer_norm", hidden, epsilon)?,
        heads,
        head,
        epilogue,
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
        let mask = Mask::new(batch, Reach::FULL, &self.device, self.mode)?;
        Ok(Prepared {
            bias: Some(self.bias.of(batch.width)?),
            ..Prepared::new(ids, mask)
        })
    }

    fn embed(&self, prepared: &Prepared) -> Result<Tensor> {
        dropped(prepared.words(&self.words)?, self.dropout.as_ref())
    }

    fn layer(&self, index: usize, hidden: &Tensor, prepared: &Prepared) -> Result<Tensor> {
        let layer = &self.layers[index];
        let (rows, width, _) = hidden.dims3()?;
        let x = layer.norm.forward(hidden)?;
        let qkv = layer.qkv.forward(&x, Epilogue::None)?.reshape((
            rows,
            width,
            3 * self.heads,
            self.head,
        ))?;
        let attention = Attention {
            scale: 1.0,
            mask: &prepared.mask,
            bias: prepared.bias.as_ref(),
            mode: self.mode,
        };
        let attended = attention.joined(&qkv, self.heads, self.heads, None)?;
        let hidden = layer.attended.forward_add(&attended, hidden)?;
        let x = layer.inner_norm.forward(&hidden)?;
        layer
            .outer
            .behind_add(&layer.inner, &x, self.epilogue, &hidden)
    }

    fn finish(&self, hidden: Tensor) -> Result<Tensor> {
        self.norm.forward(&hidden)
    }
}
