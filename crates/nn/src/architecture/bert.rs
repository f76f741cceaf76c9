//! BERT, and the body that RoBERTa, MPNet, DistilBERT, ELECTRA, `DeBERTa`, Nomic BERT and GTE share with
//! it: layer normalisation after each block, positions of several kinds.

use candle_core::{Device, Result, Tensor};

use super::{Architecture, BuildInput, Prepared, Transformer};
use crate::config::Config;
use crate::disentangled::Disentangled;
use crate::dropout::{Dropout, dropped};
use crate::mask::{Mask, Reach};
use crate::ops::{Activation, Attention, Epilogue, LayerNorm, Linear, Mode, select};
use crate::relative::RelativeBias;
use crate::rope::Rope;
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
    let config = &input.config;
    let form = Form::bert(config, Counting::FromZero)?;
    Ok(Box::new(Body::read(config, weights, &Names::BERT, form)?))
}

/// Names of the tensors and configuration fields of one member of the family.
pub struct Names {
    /// Prefixes that every tensor name may have.
    pub prefixes: &'static [&'static str],
    /// Normalisation of the embeddings.
    pub embedded_norm: &'static str,
    /// Before the number of a layer.
    pub layer: &'static str,
    /// Query, key, value, or the one layer that gives all three.
    pub qkv: &'static [&'static str],
    /// Output of the attention and its normalisation.
    pub attended: [&'static str; 2],
    /// First feed-forward layer; where it is gated, the gate and what it is multiplied by, or one
    /// layer that gives the gate behind it.
    pub inner: &'static [&'static str],
    /// Second feed-forward layer, and the normalisation after it.
    pub outer: [&'static str; 2],
    /// Hidden size, inner size, layers, heads, epsilon.
    pub fields: [&'static str; 5],
    /// Whether there are token types.
    pub token_types: bool,
}

impl Names {
    /// BERT and RoBERTa.
    pub const BERT: Self = Self {
        prefixes: &["", "bert.", "roberta.", "model.", "encoder."],
        embedded_norm: "embeddings.LayerNorm",
        layer: "encoder.layer",
        qkv: &[
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
        ],
        attended: ["attention.output.dense", "attention.output.LayerNorm"],
        inner: &["intermediate.dense"],
        outer: ["output.dense", "output.LayerNorm"],
        fields: [
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "layer_norm_eps",
        ],
        token_types: true,
    };
}

/// What a member of the family computes otherwise; most of it is as [`Form::of`] has it.
pub struct Form {
    /// How positions are known.
    pub positions: Positions,
    /// What is done to the output of the first feed-forward layer.
    pub epilogue: Epilogue,
    /// Whether the layers of the attention have a bias.
    pub attention_bias: bool,
    /// Whether the first and the second feed-forward layer have a bias.
    pub forward_bias: [bool; 2],
    /// Width of the embeddings, where it is not the hidden size.
    pub embedding: Option<usize>,
    /// Width of a head, where it is not hidden size / heads.
    pub head: Option<usize>,
}

impl Form {
    /// BERT with other positions, and what is done to the output of the first feed-forward layer.
    #[must_use]
    pub fn of(positions: Positions, epilogue: Epilogue) -> Self {
        Self {
            positions,
            epilogue,
            attention_bias: true,
            forward_bias: [true; 2],
            embedding: None,
            head: None,
        }
    }

    /// BERT with learned positions.
    ///
    /// # Errors
    /// When `hidden_act` names no known function.
    pub fn bert(config: &Config<'_>, counting: Counting) -> std::result::Result<Self, NnError> {
        let activation = config.activation("hidden_act", Activation::Gelu)?;
        let positions = Positions::Learned(counting);
        Ok(Self::of(positions, Epilogue::Activate(activation)))
    }
}

/// How positions are known.
pub enum Positions {
    /// By a table.
    Learned(Counting),
    /// By rotations of queries and keys.
    Rotary(Rope),
    /// By the scores of the attention alone.
    Relative,
}

/// The network.
pub struct Body {
    words: Tensor,
    table: Option<Tensor>,
    positions: Positions,
    token_type: Option<Tensor>,
    norm: LayerNorm,
    /// From the width of the embeddings to the hidden size.
    widening: Option<Linear>,
    layers: Vec<Layer>,
    epilogue: Epilogue,
    heads: usize,
    head: usize,
    device: Device,
    mode: Mode,
    relative: Option<RelativeBias>,
    disentangled: Option<Disentangled>,
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
    /// Queries and keys of relative positions, where they do not train.
    places: Option<Tensor>,
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
        form: Form,
    ) -> std::result::Result<Self, NnError> {
        config.refuse("is_decoder")?;
        config.refuse("add_cross_attention")?;
        let [hidden, inner, layers, heads, epsilon] = names.fields;
        let hidden = config.size(hidden)?;
        let inner = config.size(inner)?;
        let layers = config.layers(layers)?;
        let heads = config.size(heads)?;
        let head = match form.head {
            Some(head) => head,
            None => config.head_width(hidden, heads)?,
        };
        let epsilon = config.positive_or(epsilon, 1e-12)?;
        let words = config.size("vocab_size")?;
        let width = form.embedding.unwrap_or(hidden);
        weights.probe(names.prefixes, "embeddings.word_embeddings.weight");
        let table = match &form.positions {
            Positions::Rotary(_) | Positions::Relative => None,
            Positions::Learned(counting) => {
                config.only("position_embedding_type", "absolute")?;
                let positions = config.size("max_position_embeddings")?;
                if positions <= counting.first() as usize {
                    return Err(config.error(format!(
                        "`max_position_embeddings` is {positions}, of which none is left for text"
                    )));
                }
                let name = "embeddings.position_embeddings.weight";
                Some(weights.tensor(name, &[positions, width])?)
            }
        };
        let types = match config.get("type_vocab_size") {
            Some(types) if types == 0 => 0,
            _ => config.size_or("type_vocab_size", 2)?,
        };
        let token_type = if names.token_types && types > 0 {
            let name = "embeddings.token_type_embeddings.weight";
            Some(weights.tensor(name, &[types, width])?)
        } else {
            None
        };
        let norm = |name: &str, width| weights.layer_norm(name, width, epsilon, true);
        let all = heads * head;
        let gated = matches!(form.epilogue, Epilogue::Gate(_));
        let [inner_bias, outer_bias] = form.forward_bias;
        let layers = (0..layers)
            .map(|i| {
                let name = |part: &&str| format!("{}.{i}.{part}", names.layer);
                let joined = |parts: &[&str], width: usize, bias| {
                    let parts: Vec<String> = parts.iter().map(name).collect();
                    let width = width / parts.len();
                    let parts: Vec<_> = parts.iter().map(|p| (p.as_str(), width)).collect();
                    weights.joined(&parts, hidden, bias)
                };
                let [attended, attended_norm] = names.attended.each_ref().map(name);
                let [outer, outer_norm] = names.outer.each_ref().map(name);
                Ok(Layer {
                    qkv: joined(names.qkv, 3 * all, form.attention_bias)?,
                    attended: weights.output(&attended, all, hidden, form.attention_bias)?,
                    attended_norm: norm(&attended_norm, hidden)?,
                    inner: match names.inner {
                        [both] if gated => {
                            weights.swapped(&name(both), hidden, 2 * inner, inner_bias)?
                        }
                        parts => joined(parts, parts.len() * inner, inner_bias)?,
                    },
                    outer: weights.output(&outer, inner, hidden, outer_bias)?,
                    outer_norm: norm(&outer_norm, hidden)?,
                    places: None,
                })
            })
            .collect::<std::result::Result<_, NnError>>()?;
        Ok(Self {
            words: weights.tensor("embeddings.word_embeddings.weight", &[words, width])?,
            table,
            positions: form.positions,
            token_type,
            norm: norm(names.embedded_norm, width)?,
            widening: if width == hidden {
                None
            } else {
                Some(weights.linear("embeddings_project", width, hidden, true)?)
            },
            layers,
            epilogue: form.epilogue,
            heads,
            head,
            device: weights.device().clone(),
            mode: weights.mode(),
            relative: None,
            disentangled: None,
            dropout: weights.dropout("embeddings"),
        })
    }

    /// Adds disentangled attention.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn with_disentangled(mut self, disentangled: Disentangled) -> Result<Self> {
        if self.mode == Mode::Fused {
            let table = disentangled.positions()?;
            for layer in &mut self.layers {
                layer.places = Some(layer.qkv.forward(&table, Epilogue::None)?);
            }
        }
        self.disentangled = Some(disentangled);
        Ok(self)
    }

    /// Attention with a part of the scores of content and relative positions.
    fn disentangled(
        &self,
        disentangled: &Disentangled,
        (layer, qkv): (&Layer, &Tensor),
        attention: Attention<'_>,
    ) -> Result<Tensor> {
        let places = match &layer.places {
            Some(places) => places.clone(),
            None => layer
                .qkv
                .forward(&disentangled.positions()?, Epilogue::None)?,
        };
        let places = places.reshape((places.dim(0)?, 3 * self.heads, self.head))?;
        let scale = attention.scale / (disentangled.summands() as f64).sqrt();
        let scores = disentangled.scores(qkv, &places, scale)?;
        let attention = Attention { scale, ..attention };
        attention.with_scores(qkv, self.heads, &scores)
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
        match (&self.table, &self.positions) {
            (Some(table), Positions::Learned(counting)) => {
                let positions = table.dims().first().copied().unwrap_or(0);
                Some(positions - counting.first() as usize)
            }
            _ => None,
        }
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn prepare(&self, batch: &TokenBatch) -> Result<Prepared> {
        let shape = (batch.rows, batch.width);
        let ids = Tensor::from_slice(&batch.ids, shape, &self.device)?;
        let mask = Mask::new(batch, Reach::FULL, &self.device, self.mode)?;
        let bias = self
            .relative
            .as_ref()
            .map(|r| r.of(batch.width))
            .transpose()?;
        let mut prepared = Prepared {
            bias,
            ..Prepared::new(ids, mask)
        };
        match &self.positions {
            Positions::Learned(counting) => {
                let positions = counting.positions(batch);
                prepared.positions = Some(Tensor::from_vec(positions, shape, &self.device)?);
            }
            Positions::Rotary(rope) => {
                prepared.rotation = Some(rope.rotation(batch, &self.device)?);
            }
            Positions::Relative => {}
        }
        Ok(prepared)
    }

    fn embed(&self, prepared: &Prepared) -> Result<Tensor> {
        let (rows, width) = prepared.ids.dims2()?;
        let mut x = select(&self.words, &prepared.ids.flatten_all()?)?;
        if let (Some(table), Some(positions)) = (&self.table, &prepared.positions) {
            x = (x + select(table, &positions.flatten_all()?)?)?;
        }
        if let Some(token_type) = &self.token_type {
            x = x.broadcast_add(&token_type.narrow(0, 0, 1)?)?;
        }
        let x = self
            .norm
            .forward(&x)?
            .reshape((rows, width, self.words.dim(1)?))?;
        let x = dropped(x, self.dropout.as_ref())?;
        match &self.widening {
            Some(widening) => widening.forward(&x, Epilogue::None),
            None => Ok(x),
        }
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
        let rotation = prepared.rotation.as_ref();
        let attended = match &self.disentangled {
            Some(disentangled) => self.disentangled(disentangled, (layer, &qkv), attention)?,
            None => attention.joined(&qkv, self.heads, self.heads, rotation)?,
        };
        let attended = layer
            .attended_norm
            .of_sum(&layer.attended, &attended, hidden)?;
        let block = [&layer.inner, &layer.outer];
        layer.outer_norm.of_block(block, &attended, self.epilogue)
    }

    fn finish(&self, hidden: Tensor) -> Result<Tensor> {
        Ok(hidden)
    }
}
