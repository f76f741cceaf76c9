//! GTE (gte-multilingual, arctic-embed-m-v2.0) and `new`, the name that its own code gives it: BERT's
//! body with rotary positions and gated feed-forward layers.

use super::bert::{Body, Form, Names, Positions};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::config::Config;
use crate::ops::{Activation, Epilogue};
use crate::rope::Rope;
use crate::weights::Weights;

/// The line of GTE in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["gte", "new"],
    causal: false,
    build,
};

const NAMES: Names = Names {
    prefixes: &["", "new.", "gte.", "model."],
    qkv: &["attention.qkv_proj"],
    attended: ["attention.o_proj", "attn_ln"],
    inner: &["mlp.up_gate_proj"],
    outer: ["mlp.down_proj", "mlp_ln"],
    ..Names::BERT
};

/// Where `pack_qkv` is off.
const UNPACKED: Names = Names {
    qkv: &["attention.q_proj", "attention.k_proj", "attention.v_proj"],
    ..NAMES
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    config.only("layer_norm_type", "layer_norm")?;
    config.only("position_embedding_type", "rope")?;
    config.refuse("logn_attention_scale")?;
    let head = config.head_width(
        config.size("hidden_size")?,
        config.size("num_attention_heads")?,
    )?;
    let epilogue = Epilogue::Gate(config.activation("hidden_act", Activation::Gelu)?);
    let form = Form {
        forward_bias: [false, true],
        ..Form::of(Positions::Rotary(rope(config, head)?), epilogue)
    };
    let names = if config.flag_or("pack_qkv", true)? {
        &NAMES
    } else {
        &UNPACKED
    };
    Ok(Box::new(Body::read(config, weights, names, form)?))
}

/// Rotary positions: those of transformers, or scaled as the model's own code does it.
fn rope(config: &Config<'_>, head: usize) -> Result<Rope, NnError> {
    let default = match config.text("model_type")? {
        Some("new") => 10_000.0,
        _ => 160_000.0,
    };
    let parameters = match config.object("rope_parameters")? {
        Some(parameters) => Some(parameters),
        None => config.object("rope_scaling")?,
    };
    if let Some(parameters) = parameters
        && ["rope_type", "type"]
            .into_iter()
            .any(|key| parameters.get(key).is_some_and(|kind| kind == "ntk"))
    {
        let theta = config.positive_or("rope_theta", default)?;
        let theta = parameters.positive_or("rope_theta", theta)?;
        return Rope::ntk(&parameters, head, theta);
    }
    Rope::read(config, head, default)
}
