//! The body that Llama, Mistral, Qwen2, Qwen3, Gemma 3 and `EuroBERT` share: rotary positions,
//! normalisation before each block, grouped keys and values, gated feed-forward layers; causal
//! unless told otherwise.

use candle_core::{Device, Result, Tensor};

use super::{BuildInput, Prepared, Transformer};
use crate::dropout::{Dropout, dropped};
use crate::mask::{Mask, Reach};
use crate::ops::{Activation, Attention, Epilogue, Linear, Mode, RmsNorm, sum};
use crate::rope::Rope;
use crate::weights::Weights;
use crate::{NnError, TokenBatch, runtime_error};

/// What a network normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norms {
    /// The input of each block.
    Before,
    /// The input of each block, and each query and key.
    Heads,
    /// Input and output of each block, and each query and key; scales are stored less 1.
    Around,
}

/// What differs between the members of the family; most of it is as [`Variant::of`] has it.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Width of a head where the configuration names none; `None` = hidden size / heads.
    pub default_head: Option<usize>,
    /// Groups of keys and values where the configuration has no such field; `None` = heads.
    pub default_groups: Option<usize>,
    /// Added to the mean square by normalisations, where the configuration has no such field.
    pub default_epsilon: f64,
    /// The field that names the activation, and the one it has without the field.
    pub activation: (&'static str, Activation),
    /// Whether query, key and value have a bias.
    pub qkv_bias: bool,
    /// Whether the output of the attention has a bias.
    pub output_bias: bool,
    /// Whether the feed-forward layers have a bias.
    pub forward_bias: bool,
    /// What is normalised.
    pub norms: Norms,
    /// What word embeddings are multiplied by.
    pub embedding_scale: Option<f64>,
    /// What scores are multiplied by; `None` = 1 / root of the width of a head.
    pub score_scale: Option<f64>,
    /// Tokens that a local layer sees, itself included.
    pub window: Option<usize>,
    /// Which layers are local.
    pub local: Vec<bool>,
    /// Rotary positions of full and of local layers, where they differ and are not as
    /// `rope_theta` says.
    pub ropes: Option<[Rope; 2]>,
}

impl Variant {
    /// Llama without biases; `local` says which layers are.
    #[must_use]
    pub fn of(local: Vec<bool>) -> Self {
        Self {
            default_head: None,
            default_groups: None,
            default_epsilon: 1e-6,
            activation: ("hidden_act", Activation::Silu),
            qkv_bias: false,
            output_bias: false,
            forward_bias: false,
            norms: Norms::Before,
            embedding_scale: None,
            score_scale: None,
            window: None,
            local,
            ropes: None,
        }
    }

    /// The reach of the layers with a window, where there are some. The reference code counts a
    /// window of W as W tokens that end with the token itself when causal, and as a distance of W
    /// to either side when not.
    fn local_reach(&self, causal: bool) -> Option<Reach> {
        let window = self.window.filter(|_| self.local.contains(&true))?;
        let (behind, ahead) = if causal {
            (window - 1, 0)
        } else {
            (window, window)
        };
        Some(Reach { behind, ahead })
    }
}

/// Name of the layer that projects token states to `num_labels` dimensions (voyage-4-nano): it is
/// outside the network's own names, and without a bias.
const PROJECTION: &str = "linear";

/// Names of the normalisations behind the two blocks. Where there are none, the first is the name
/// of the one before the feed-forward block.
const BLOCK_NORMS: [&str; 2] = ["post_attention_layernorm", "post_feedforward_layernorm"];

/// The network.
pub struct Body {
    words: Tensor,
    dropout: Option<Dropout>,
    layers: Vec<Layer>,
    norm: RmsNorm,
    /// Projection of every token state, where the checkpoint has one.
    projection: Option<Linear>,
    heads: usize,
    groups: usize,
    head: usize,
    embedding_scale: Option<f64>,
    score_scale: f64,
    rope: Rope,
    local_rope: Option<Rope>,
    reach: Reach,
    local_reach: Option<Reach>,
    activation: Activation,
    device: Device,
    mode: Mode,
}

struct Layer {
    norm: RmsNorm,
    qkv: Linear,
    head_norms: Option<[RmsNorm; 2]>,
    attended: Linear,
    inner_norm: RmsNorm,
    inner: Linear,
    outer: Linear,
    /// Normalisations of what the two blocks give.
    block_norms: Option<[RmsNorm; 2]>,
    local: bool,
}

impl Body {
    /// Reads the network.
    ///
    /// # Errors
    /// When the configuration or the tensors are not those of this family.
    pub fn read(
        input: &BuildInput<'_>,
        weights: &mut Weights<'_>,
        variant: &Variant,
    ) -> std::result::Result<Self, NnError> {
        let config = &input.config;
        let hidden = config.size("hidden_size")?;
        let inner = config.size("intermediate_size")?;
        let heads = config.size("num_attention_heads")?;
        let groups = if config.is_null("num_key_value_heads") {
            heads
        } else {
            let groups = variant.default_groups.unwrap_or(heads);
            config.size_or("num_key_value_heads", groups)?
        };
        if !heads.is_multiple_of(groups) {
            return Err(config.error(format!(
                "{heads} attention heads are no multiple of {groups} key-value heads"
            )));
        }
        let head = match (config.optional_size("head_dim")?, variant.default_head) {
            (Some(head), _) => head,
            (None, Some(head)) if !config.is_null("head_dim") => head,
            (None, _) => config.head_width(hidden, heads)?,
        };
        let epsilon = config.positive_or("rms_norm_eps", variant.default_epsilon)?;
        let (activation, default) = variant.activation;
        let activation = config.activation(activation, default)?;
        let vocabulary = config.size("vocab_size")?;
        let causal = match input.causal {
            Some(causal) => causal,
            None => config.flag_or("is_causal", true)?,
        };
        let reach = if causal { Reach::CAUSAL } else { Reach::FULL };
        let local_reach = variant.local_reach(causal);
        weights.probe(&["", "model.", "base_model.model."], "embed_tokens.weight");
        let (inner_norm, block_norms, offset) = match variant.norms {
            Norms::Around => ("pre_feedforward_layernorm", BLOCK_NORMS.as_slice(), 1.0),
            Norms::Before | Norms::Heads => (BLOCK_NORMS[0], [].as_slice(), 0.0),
        };
        let norm = |name: &str, width: usize| {
            let norm = weights.rms_norm(name, width, epsilon)?;
            norm.stored_less(offset).map_err(runtime_error)
        };
        let (rope, local_rope) = match variant.ropes.clone() {
            Some([full, local]) => (full, Some(local)),
            None => (Rope::read(config, head, 10_000.0)?, None),
        };
        let layers = variant
            .local
            .iter()
            .enumerate()
            .map(|(i, &local)| {
                let name = |part: &str| format!("layers.{i}.{part}");
                let (q, k) = (name("self_attn.q_proj"), name("self_attn.k_proj"));
                let v = name("self_attn.v_proj");
                let (gate, up) = (name("mlp.gate_proj"), name("mlp.up_proj"));
                let qkv = [
                    (q.as_str(), heads * head),
                    (k.as_str(), groups * head),
                    (v.as_str(), groups * head),
                ];
                let head_norm = |part: &str| norm(&name(part), head);
                let bias = variant.forward_bias;
                let block_norms: std::result::Result<Vec<RmsNorm>, NnError> = block_norms
                    .iter()
                    .map(|part| norm(&name(part), hidden))
                    .collect();
                Ok(Layer {
                    norm: norm(&name("input_layernorm"), hidden)?,
                    qkv: weights.joined(&qkv, hidden, variant.qkv_bias)?,
                    head_norms: if variant.norms == Norms::Before {
                        None
                    } else {
                        Some([
                            head_norm("self_attn.q_norm")?,
                            head_norm("self_attn.k_norm")?,
                        ])
                    },
                    attended: weights.output(
                        &name("self_attn.o_proj"),
                        heads * head,
                        hidden,
                        variant.output_bias,
                    )?,
                    inner_norm: norm(&name(inner_norm), hidden)?,
                    inner: weights.joined(&[(&gate, inner), (&up, inner)], hidden, bias)?,
                    outer: weights.output(&name("mlp.down_proj"), inner, hidden, bias)?,
                    block_norms: block_norms?.try_into().ok(),
                    local: local && local_reach.is_some(),
                })
            })
            .collect::<std::result::Result<_, NnError>>()?;
        Ok(Self {
            words: weights.tensor("embed_tokens.weight", &[vocabulary, hidden])?,
            dropout: weights.dropout("embed_tokens"),
            layers,
            norm: norm("norm", hidden)?,
            projection: if weights.has_outside(&format!("{PROJECTION}.weight")) {
                let width = config.size("num_labels")?;
                Some(weights.linear_outside(PROJECTION, hidden, width)?)
            } else {
                None
            },
            heads,
            groups,
            head,
            embedding_scale: variant.embedding_scale,
            score_scale: variant.score_scale.unwrap_or(1.0 / (head as f64).sqrt()),
            rope,
            local_rope,
            reach,
            local_reach,
            activation,
            device: weights.device().clone(),
            mode: weights.mode(),
        })
    }
}

impl Transformer for Body {
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
        let rotation = |rope: &Rope| rope.rotation(batch, &self.device);
        Ok(Prepared {
            local_mask: self.local_reach.map(mask).transpose()?,
            rotation: Some(rotation(&self.rope)?),
            local_rotation: self.local_rope.as_ref().map(rotation).transpose()?,
            ..Prepared::new(ids, mask(self.reach)?)
        })
    }

    fn embed(&self, prepared: &Prepared) -> Result<Tensor> {
        let mut words = prepared.words(&self.words)?;
        if let Some(scale) = self.embedding_scale {
            words = (words * scale)?;
        }
        dropped(words, self.dropout.as_ref())
    }

    fn layer(&self, index: usize, hidden: &Tensor, prepared: &Prepared) -> Result<Tensor> {
        let layer = &self.layers[index];
        let (rows, width, _) = hidden.dims3()?;
        let (heads, groups) = (self.heads, self.groups);
        let x = layer.norm.forward(hidden)?;
        let mut qkv = layer.qkv.forward(&x, Epilogue::None)?.reshape((
            rows,
            width,
            heads + 2 * groups,
            self.head,
        ))?;
        if let Some([q_norm, k_norm]) = &layer.head_norms {
            let q = q_norm.forward(&qkv.narrow(2, 0, heads)?)?;
            let k = k_norm.forward(&qkv.narrow(2, heads, groups)?)?;
            let v = qkv.narrow(2, heads + groups, groups)?;
            qkv = Tensor::cat(&[&q, &k, &v], 2)?;
        }
        let (mask, rotation) = match &prepared.local_mask {
            Some(mask) if layer.local => {
                let rotation = prepared.local_rotation.as_ref();
                (mask, rotation.or(prepared.rotation.as_ref()))
            }
            _ => (&prepared.mask, prepared.rotation.as_ref()),
        };
        let attention = Attention {
            scale: self.score_scale,
            mask,
            bias: None,
            mode: self.mode,
        };
        let attended = attention.joined(&qkv, heads, groups, rotation)?;
        let epilogue = Epilogue::Gate(self.activation);
        if let Some([attended_norm, outer_norm]) = &layer.block_norms {
            let given = layer.attended.forward(&attended, Epilogue::None)?;
            let hidden = sum(&attended_norm.forward(&given)?, hidden)?;
            let x = layer.inner_norm.forward(&hidden)?;
            let given = layer.outer.behind(&layer.inner, &x, epilogue)?;
            return sum(&outer_norm.forward(&given)?, &hidden);
        }
        let hidden = layer.attended.forward_add(&attended, hidden)?;
        let x = layer.inner_norm.forward(&hidden)?;
        layer.outer.behind_add(&layer.inner, &x, epilogue, &hidden)
    }

    fn finish(&self, hidden: Tensor) -> Result<Tensor> {
        let states = self.norm.forward(&hidden)?;
        match &self.projection {
            Some(projection) => projection
                .forward(&states, Epilogue::None)?
                .to_dtype(states.dtype()),
            None => Ok(states),
        }
    }
}
