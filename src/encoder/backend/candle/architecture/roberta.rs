//! RoBERTa, XLM-RoBERTa and CamemBERT: BERT's body, with positions counted from behind the pad id.

use super::bert::{Body, Names};
use super::{Architecture, BuildInput, Transformer};
use crate::encoder::EncoderError;
use crate::encoder::backend::candle::weights::Weights;

/// The line of RoBERTa in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["roberta", "xlm-roberta", "camembert"],
    build,
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, EncoderError> {
    let pad_id = input.config.id_or("pad_token_id", 1)?;
    let first_position = pad_id.saturating_add(1);
    let body = Body::read(&input.config, weights, &Names::BERT, first_position)?;
    Ok(Box::new(body))
}
