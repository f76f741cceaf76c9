//! DistilBERT: BERT's body without token types, under other names.

use super::bert::{Body, Counting, Names};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::weights::Weights;

/// The line of DistilBERT in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["distilbert"],
    causal: false,
    build,
};

const NAMES: Names = Names {
    prefixes: &["", "distilbert.", "model."],
    layer: "transformer.layer",
    qkv: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attended: ["attention.out_lin", "sa_layer_norm"],
    forward: ["ffn.lin1", "ffn.lin2", "output_layer_norm"],
    fields: ["dim", "hidden_dim", "n_layers", "n_heads", "activation"],
    token_types: false,
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let body = Body::read(&input.config, weights, &NAMES, Counting::FromZero)?;
    Ok(Box::new(body))
}
