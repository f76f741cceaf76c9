//! RoBERTa, XLM-RoBERTa and CamemBERT: BERT's body, with positions counted from the id after the
//! pad id.

use super::bert::{Body, Counting, Names};
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
    let pad_id = input.config.id_or("pad_token_id", 1)?;
    let counting = Counting::BehindPadId(pad_id);
    let body = Body::read(&input.config, weights, &Names::BERT, counting)?;
    Ok(Box::new(body))
}
