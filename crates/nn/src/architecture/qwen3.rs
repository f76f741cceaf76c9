//! Qwen3: Qwen2 with normalised queries and keys, heads of a width of their own, and no biases.

use super::decoder::{Body, Norms, Variant};
use super::{Architecture, BuildInput, Transformer, qwen2};
use crate::NnError;
use crate::weights::Weights;

/// The line of Qwen3 in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["qwen3"],
    causal: true,
    build,
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let (window, local) = qwen2::windows(&input.config)?;
    let bias = input.config.flag_or("attention_bias", false)?;
    let variant = Variant {
        default_head: Some(128),
        default_groups: Some(32),
        qkv_bias: bias,
        output_bias: bias,
        norms: Norms::Heads,
        window,
        ..Variant::of(local)
    };
    Ok(Box::new(Body::read(input, weights, &variant)?))
}
