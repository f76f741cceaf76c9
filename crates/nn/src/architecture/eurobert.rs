//! `EuroBERT`: Llama with bidirectional attention and another epsilon.

use super::decoder::{Body, Variant};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::weights::Weights;

/// The line of `EuroBERT` in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["eurobert"],
    causal: false,
    build,
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    let bias = config.flag_or("attention_bias", false)?;
    let variant = Variant {
        default_epsilon: 1e-5,
        qkv_bias: bias,
        output_bias: bias,
        forward_bias: config.flag_or("mlp_bias", false)?,
        ..Variant::of(vec![false; config.layers("num_hidden_layers")?])
    };
    let causal = Some(false);
    let input = BuildInput { causal, ..*input };
    Ok(Box::new(Body::read(&input, weights, &variant)?))
}
