//! Nomic BERT (nomic-embed-text): BERT's body with rotary positions and gated feed-forward layers,
//! under the names of transformers or under those of its own code.

use super::bert::{Body, Form, Names, Positions};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::config::Config;
use crate::ops::{Activation, Epilogue};
use crate::rope::Rope;
use crate::weights::Weights;

/// The line of Nomic BERT in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["nomic_bert"],
    causal: false,
    build,
};

const NAMES: Names = Names {
    prefixes: &["", "nomic_bert.", "bert.", "model."],
    embedded_norm: "emb_ln",
    layer: "encoder.layers",
    qkv: &["attn.Wqkv"],
    attended: ["attn.out_proj", "norm1"],
    inner: &["mlp.fc12", "mlp.fc11"],
    outer: ["mlp.fc2", "norm2"],
    ..Names::BERT
};

/// A configuration as the model's own code reads it.
const OWN: Names = Names {
    fields: [
        "n_embd",
        "n_inner",
        "n_layer",
        "n_head",
        "layer_norm_epsilon",
    ],
    ..NAMES
};

/// Fields of the own configuration that compute something else where they are on.
const OFF: [&str; 7] = [
    "causal",
    "parallel_block",
    "parallel_block_tied_norm",
    "prenorm",
    "rotary_emb_interleaved",
    "scale_attn_by_inverse_layer_idx",
    "use_rms_norm",
];

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    if config.get("n_embd").is_some() {
        let form = own(config)?;
        return Ok(Box::new(Body::read(config, weights, &OWN, form)?));
    }
    let head = match config.optional_size("head_dim")? {
        Some(head) => head,
        None => config.head_width(
            config.size("hidden_size")?,
            config.size("num_attention_heads")?,
        )?,
    };
    let rope = Rope::read(config, head, 1_000.0)?;
    let epilogue = Epilogue::Gate(config.activation("hidden_act", Activation::Silu)?);
    let form = Form {
        attention_bias: false,
        forward_bias: [false; 2],
        head: Some(head),
        ..Form::of(Positions::Rotary(rope), epilogue)
    };
    Ok(Box::new(Body::read(config, weights, &NAMES, form)?))
}

/// What the own configuration says.
fn own(config: &Config<'_>) -> Result<Form, NnError> {
    for key in OFF {
        config.refuse(key)?;
    }
    for key in [
        "moe_every_n_layers",
        "rotary_emb_scale_base",
        "rotary_scaling_factor",
    ] {
        if let Some(found) = config.get(key).filter(|found| **found != 0) {
            return Err(config.invalid(key, found, "null: it is not supported"));
        }
    }
    config.only_flag("scale_attn_weights", true, true)?;
    let fraction = config.optional_number("rotary_emb_fraction")?;
    if fraction != Some(1.0) {
        let found = fraction.unwrap_or(0.0).into();
        return Err(config.invalid("rotary_emb_fraction", &found, "1: every position is rotary"));
    }
    let activation = match config.text("activation_function")? {
        Some("swiglu") => Activation::Silu,
        Some("geglu") => Activation::Gelu,
        found => {
            let found = found.unwrap_or("gelu").into();
            return Err(config.invalid("activation_function", &found, "`swiglu` or `geglu`"));
        }
    };
    let head = config.head_width(config.size("n_embd")?, config.size("n_head")?)?;
    let theta = config.positive_or("rotary_emb_base", 1_000.0)?;
    let rope = Rope::scaled(config, None, head, theta)?;
    Ok(Form {
        attention_bias: config.flag_or("qkv_proj_bias", true)?,
        forward_bias: [
            config.flag_or("mlp_fc1_bias", true)?,
            config.flag_or("mlp_fc2_bias", true)?,
        ],
        ..Form::of(Positions::Rotary(rope), Epilogue::Gate(activation))
    })
}
