//! RoBERTa, XLM-RoBERTa and CamemBERT: BERT's body, with positions counted from the id after the
//! pad id.

use super::bert::{Body, Counting, Form, Names};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::weights::Weights;

/// The line of RoBERTa in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["roberta", "xlm-roberta", "camembert"],
    causal: false,
    build,
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    let counting = Counting::BehindPadId(config.id_or("pad_token_id", 1)?);
    let form = Form::bert(config, counting)?;
    Ok(Box::new(Body::read(config, weights, &Names::BERT, form)?))
}
