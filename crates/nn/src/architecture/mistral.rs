//! Mistral (e5-mistral, bge-en-icl): every layer sees a sliding window, unless it is null.

use super::decoder::{Body, Variant};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::weights::Weights;

/// The line of Mistral in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["mistral"],
    causal: true,
    build,
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    let layers = config.layers("num_hidden_layers")?;
    let window = if config.is_null("sliding_window") {
        None
    } else {
        Some(config.size_or("sliding_window", 4096)?)
    };
    if let Some(found) = config.get("layer_types") {
        return Err(config.invalid("layer_types", found, "no such field in a Mistral model"));
    }
    let variant = Variant {
        default_groups: Some(8),
        window,
        ..Variant::of(vec![true; layers])
    };
    Ok(Box::new(Body::read(input, weights, &variant)?))
}
