//! ELECTRA (KoELECTRA): BERT's body, with embeddings of a width of their own.

use super::bert::{Body, Counting, Form, Names};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::weights::Weights;

/// The line of ELECTRA in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["electra"],
    causal: false,
    build,
};

const NAMES: Names = Names {
    prefixes: &["", "electra.", "model."],
    ..Names::BERT
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    let form = Form {
        embedding: Some(config.size_or("embedding_size", 128)?),
        ..Form::bert(config, Counting::FromZero)?
    };
    Ok(Box::new(Body::read(config, weights, &NAMES, form)?))
}
