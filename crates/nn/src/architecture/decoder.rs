//! The body that Mistral, Qwen2 and Qwen3 share: rotary positions, normalisation before each
//! block, grouped keys and values, gated feed-forward layers; causal unless told otherwise.

use candle_core::{Device, Result, Tensor};

use super::{BuildInput, Prepared, Transformer};
use crate::dropout::{Dropout, dropped};
use crate::mask::{Mask, Reach};
use crate::ops::{Activation, Attention, Epilogue, Linear, Mode, RmsNorm};
use crate::rope::Rope;
use crate::weights::Weights;
use crate::{NnError, TokenBatch};

/// What differs between the members of the family.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Width of a head where the configuration names none; `None` = hidden size / heads.
    pub default_head: Option<usize>,
    /// Groups of keys and values where the configuration has no such field.
    pub default_groups: usize,
    /// Whether query, key and value have a bias.
    pub qkv_bias: bool,
    /// Whether the output of the attention has a bias.
    pub output_bias: bool,
    /// Whether each query and key is normalised.
    pub head_norms: bool,
    /// Tokens that a local layer sees, itself included.
    pub window: Option<usize>,
    /// Which layers are local.
    pub local: Vec<bool>,
}

impl Variant {
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
    rope: Rope,
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
            config.size_or("num_key_value_heads", variant.default_groups)?
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
        let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
        let activation = config.activation("hidden_act", Activation::Silu)?;
        let vocabulary = config.size("vocab_size")?;
        let causal = match input.causal {
            Some(causal) => causal,
            None => config.flag_or("is_causal", true)?,
        };
        let reach = if causal { Reach::CAUSAL } else { Reach::FULL };
        let local_reach = variant.local_reach(causal);
        weights.probe(&["", "model.", "base_model.model."], "embed_tokens.weight");
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
                let head_norm = |part: &str| weights.rms_norm(&name(part), head, epsilon);
                Ok(Layer {
                    norm: weights.rms_norm(&name("input_layernorm"), hidden, epsilon)?,
                    qkv: weights.joined(&qkv, hidden, variant.qkv_bias)?,
                    head_norms: if variant.head_norms {
                        Some([
                            head_norm("self_attn.q_norm")?,
                            head_norm("self_attn.k_norm")?,
                        ])
                    } else {
                        None
                    },
                    attended: weights.output(
                        &name("self_attn.o_proj"),
                        heads * head,
                        hidden,
                        variant.output_bias,
                    )?,
                    inner_norm: weights.rms_norm(
                        &name("post_attention_layernorm"),
                        hidden,
                        epsilon,
                    )?,
                    inner: weights.joined(&[(&gate, inner), (&up, inner)], hidden, false)?,
                    outer: weights.output(&name("mlp.down_proj"), inner, hidden, false)?,
                    local: local && local_reach.is_some(),
                })
            })
            .collect::<std::result::Result<_, NnError>>()?;
        Ok(Self {
            words: weights.tensor("embed_tokens.weight", &[vocabulary, hidden])?,
            dropout: weights.dropout("embed_tokens"),
            layers,
            norm: weights.rms_norm("norm", hidden, epsilon)?,
            projection: if weights.has_outside(&format!("{PROJECTION}.weight")) {
                let width = config.size("num_labels")?;
                Some(weights.linear_outside(PROJECTION, hidden, width)?)
            } else {
                None
            },
            heads,
            groups,
            head,
            rope: Rope::read(config, head, 10_000.0)?,
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
        Ok(Prepared {
            local_mask: self.local_reach.map(mask).transpose()?,
            rotation: Some(self.rope.rotation(batch, &self.device)?),
            ..Prepared::new(ids, mask(self.reach)?)
        })
    }

    fn embed(&self, prepared: &Prepared) -> Result<Tensor> {
        dropped(prepared.words(&self.words)?, self.dropout.as_ref())
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
        let mask = match &prepared.local_mask {
            Some(mask) if layer.local => mask,
            _ => &prepared.mask,
        };
        let attention = Attention {
            scale: 1.0 / (self.head as f64).sqrt(),
            mask,
            bias: None,
            mode: self.mode,
        };
        let attended = attention.joined(&qkv, heads, groups, prepared.rotation.as_ref())?;
        let hidden = layer.attended.forward_add(&attended, hidden)?;
        let x = layer.inner_norm.forward(&hidden)?;
        layer
            .outer
            .behind_add(&layer.inner, &x, Epilogue::Gate(self.activation), &hidden)
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
