//! DistilBERT: BERT's body without token types, under other names.

use super::bert::{Body, Counting, Form, Names, Positions};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::ops::{Activation, Epilogue};
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
    qkv: &["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attended: ["attention.out_lin", "sa_layer_norm"],
    inner: &["ffn.lin1"],
    outer: ["ffn.lin2", "output_layer_norm"],
    fields: ["dim", "hidden_dim", "n_layers", "n_heads", "layer_norm_eps"],
    token_types: false,
    ..Names::BERT
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    let activation = config.activation("activation", Activation::Gelu)?;
    let positions = Positions::Learned(Counting::FromZero);
    let form = Form::of(positions, Epilogue::Activate(activation));
    Ok(Box::new(Body::read(config, weights, &NAMES, form)?))
}
