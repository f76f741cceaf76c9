//! Llama, causal or, where the model's folder or the user says so, bidirectional; and the models
//! whose own code is Llama with bidirectional attention.

use super::decoder::{Body, Variant};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::weights::Weights;

/// The line of Llama in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["llama"],
    causal: true,
    build,
};

/// The line of kanana-nano-embedding and llama-embed-nemotron in the list.
pub const BIDIRECTIONAL: Architecture = Architecture {
    names: &["kanana2vec", "llama_bidirec"],
    causal: false,
    build: |input, weights| {
        if let Some(found) = input.config.get("pooling")
            && ["avg", "cls", "last"].iter().all(|known| found != known)
        {
            let allowed = "`avg`, `cls` or `last`";
            return Err(input.config.invalid("pooling", found, allowed));
        }
        let causal = Some(false);
        build(&BuildInput { causal, ..*input }, weights)
    },
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    let layers = config.layers("num_hidden_layers")?;
    if let Some(found) = config.get("layer_types") {
        return Err(config.invalid("layer_types", found, "no such field in a Llama model"));
    }
    let bias = config.flag_or("attention_bias", false)?;
    let variant = Variant {
        qkv_bias: bias,
        output_bias: bias,
        forward_bias: config.flag_or("mlp_bias", false)?,
        ..Variant::of(vec![false; layers])
    };
    Ok(Box::new(Body::read(input, weights, &variant)?))
}
