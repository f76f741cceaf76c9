//! BERT, and the body that RoBERTa, MPNet and DistilBERT share with it: learned positions, layer
//! normalisation after each block.

use candle_core::{Device, Result, Tensor};

use super::{Architecture, BuildInput, Prepared, Transformer};
use crate::config::Config;
use crate::dropout::{Dropout, dropped};
use crate::mask::{Mask, Reach};
use crate::ops::{Activation, Attention, Epilogue, LayerNorm, Linear, Mode, select};
use crate::relative::RelativeBias;
use crate::weights::Weights;
use crate::{NnError, TokenBatch};

/// The line of BERT in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["bert"],
    causal: false,
    build,
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> std::result::Result<Box<dyn Transformer>, NnError> {
    let body = Body::read(&input.config, weights, &Names::BERT, Counting::FromZero)?;
    Ok(Box::new(body))
}

/// Names of the tensors and configuration fields of one member of the family.
pub struct Names {
    /// Prefixes that every tensor name may have.
    pub prefixes: &'static [&'static str],
    /// Before the number of a layer.
    pub layer: &'static str,
    /// Query, key, value.
    pub qkv: [&'static str; 3],
    /// Output of the attention and its normalisation.
    pub attended: [&'static str; 2],
    /// First and second feed-forward layer, and the normalisation after them.
    pub forward: [&'static str; 3],
    /// Hidden size, inner size, layers, heads, activation.
    pub fields: [&'static str; 5],
    /// Whether there are token types.
    pub token_types: bool,
}

impl Names {
    /// BERT and RoBERTa.
    pub const BERT: Self = Self {
        prefixes: &["", "bert.", "roberta.", "model.", "encoder."],
        layer: "encoder.layer",
        qkv: [
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
        ],
        attended: ["attention.output.dense", "attention.output.LayerNorm"],
        forward: ["intermediate.dense", "output.dense", "output.LayerNorm"],
        fields: [
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "hidden_act",
        ],
        token_types: true,
    };
}

/// The network.
pub struct Body {
    words: Tensor,
    positions: Tensor,
    token_type: Option<Tensor>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    heads: usize,
    head: usize,
    counting: Counting,
    device: Device,
    mode: Mode,
    relative: Option<RelativeBias>,
    dropout: Option<Dropout>,
}

/// How positions are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// From 0 over real tokens.
    FromZero,
    /// From the pad id + 1 over tokens that are not the pad token; that one, even inside a text,
    /// has the pad id as its position.
    BehindPadId(u32),
}

impl Counting {
    fn first(self) -> u32 {
        match self {
            Self::FromZero => 0,
            Self::BehindPadId(pad) => pad.saturating_add(1),
        }
    }

    fn positions(self, batch: &TokenBatch) -> Vec<u32> {
        let Self::BehindPadId(pad) = self else {
            return batch.positions(0, 0);
        };
        let mut counted = batch.clone();
        for (m, &id) in counted.mask.iter_mut().zip(&batch.ids) {
            if id == pad {
                *m = 0;
            }
        }
        counted.positions(self.first(), pad)
    }
}

struct Layer {
    qkv: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    outer_norm: LayerNorm,
    activation: Activation,
}

impl Body {
    /// Reads the network.
    ///
    /// # Errors
    /// When the configuration or the tensors are not those of this family.
    pub fn read(
        config: &Config<'_>,
        weights: &mut Weights<'_>,
        names: &Names,
        counting: Counting,
    ) -> std::result::Result<Self, NnError> {
        config.only("position_embedding_type", "absolute")?;
        config.refuse("is_decoder")?;
        config.refuse("add_cross_attention")?;
        let [hidden, inner, layers, heads, activation] = names.fields;
        let hidden = config.size(hidden)?;
        let inner = config.size(inner)?;
        let layers = config.layers(layers)?;
        let heads = config.size(heads)?;
        let head = config.head_width(hidden, heads)?;
        let activation = config.activation(activation, Activation::Gelu)?;
        let epsilon = config.positive_or("layer_norm_eps", 1e-12)?;
        let words = config.size("vocab_size")?;
        let positions = config.size("max_position_embeddings")?;
        if positions <= counting.first() as usize {
            return Err(config.error(format!(
                "`max_position_embeddings` is {positions}, of which none is left for text"
            )));
        }
        weights.probe(names.prefixes, "embeddings.word_embeddings.weight");
        let token_type = if names.token_types {
            let types = config.size_or("type_vocab_size", 2)?;
            let table =
                weights.tensor("embeddings.token_type_embeddings.weight", &[types, hidden])?;
            Some(table)
        } else {
            None
        };
        let layers = (0..layers)
            .map(|i| {
                let name = |part: &str| format!("{}.{i}.{part}", names.layer);
                let qkv = names.qkv.map(name);
                let qkv: Vec<(&str, usize)> = qkv.iter().map(|n| (n.as_str(), hidden)).collect();
                Ok(Layer {
                    qkv: weights.joined(&qkv, hidden, true)?,
                    attended: weights.output(&name(names.attended[0]), hidden, hidden, true)?,
                    attended_norm: weights.layer_norm(
                        &name(names.attended[1]),
                        hidden,
                        epsilon,
                        true,
                    )?,
                    inner: weights.linear(&name(names.forward[0]), hidden, inner, true)?,
                    outer: weights.output(&name(names.forward[1]), inner, hidden, true)?,
                    outer_norm: weights.layer_norm(
                        &name(names.forward[2]),
                        hidden,
                        epsilon,
                        true,
                    )?,
                    activation,
                })
            })
            .collect::<std::result::Result<_, NnError>>()?;
        Ok(Self {
            words: weights.tensor("embeddings.word_embeddings.weight", &[words, hidden])?,
            positions: weights.tensor(
                "embeddings.position_embeddings.weight",
                &[positions, hidden],
            )?,
            token_type,
            norm: weights.layer_norm("embeddings.LayerNorm", hidden, epsilon, true)?,
            layers,
            heads,
            head,
            counting,
            device: weights.device().clone(),
            mode: weights.mode(),
            relative: None,
            dropout: weights.dropout("embeddings"),
        })
    }

    /// Adds a relative position bias.
    #[must_use]
    pub fn with_relative(mut self, relative: RelativeBias) -> Self {
        self.relative = Some(relative);
        self
    }
}

impl Transformer for Body {
    fn vocabulary(&self) -> usize {
        self.words.dims().first().copied().unwrap_or(0)
    }

    fn max_tokens(&self) -> Option<usize> {
        let positions = self.positions.dims().first().copied().unwrap_or(0);
        Some(positions - self.counting.first() as usize)
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn prepare(&self, batch: &TokenBatch) -> Result<Prepared> {
        let shape = (batch.rows, batch.width);
        let ids = Tensor::from_slice(&batch.ids, shape, &self.device)?;
        let positions = self.counting.positions(batch);
        let positions = Tensor::from_vec(positions, shape, &self.device)?;
        let mask = Mask::new(batch, Reach::FULL, &self.device, self.mode)?;
        let bias = self
            .relative
            .as_ref()
            .map(|r| r.of(batch.width))
            .transpose()?;
        Ok(Prepared {
            positions: Some(positions),
            bias,
            ..Prepared::new(ids, mask)
        })
    }

    fn embed(&self, prepared: &Prepared) -> Result<Tensor> {
        let (rows, width) = prepared.ids.dims2()?;
        let hidden = self.words.dim(1)?;
        let mut x = select(&self.words, &prepared.ids.flatten_all()?)?;
        if let Some(positions) = &prepared.positions {
            x = (x + select(&self.positions, &positions.flatten_all()?)?)?;
        }
        if let Some(token_type) = &self.token_type {
            x = x.broadcast_add(&token_type.narrow(0, 0, 1)?)?;
        }
        let x = self.norm.forward(&x)?.reshape((rows, width, hidden))?;
        dropped(x, self.dropout.as_ref())
    }

    fn layer(&self, index: usize, hidden: &Tensor, prepared: &Prepared) -> Result<Tensor> {
        let layer = &self.layers[index];
        let (rows, width, _) = hidden.dims3()?;
        let qkv = layer.qkv.forward(hidden, Epilogue::None)?.reshape((
            rows,
            width,
            3 * self.heads,
            self.head,
        ))?;
        let attention = Attention {
            scale: 1.0 / (self.head as f64).sqrt(),
            mask: &prepared.mask,
            bias: prepared.bias.as_ref(),
            mode: self.mode,
        };
        let attended = attention.joined(&qkv, self.heads, self.heads, None)?;
        let attended = layer
            .attended_norm
            .of_sum(&layer.attended, &attended, hidden)?;
        layer.outer_norm.of_block(
            [&layer.inner, &layer.outer],
            &attended,
            Epilogue::Activate(layer.activation),
        )
    }

    fn finish(&self, hidden: Tensor) -> Result<Tensor> {
        Ok(hidden)
    }
}
