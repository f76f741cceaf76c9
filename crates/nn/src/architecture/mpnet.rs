//! MPNet: BERT's body without token types, with a relative position bias in addition to learned positions.

use super::bert::{Body, Counting, Form, Names};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::relative::RelativeBias;
use crate::weights::Weights;

/// The line of MPNet in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["mpnet"],
    causal: false,
    build,
};

const NAMES: Names = Names {
    prefixes: &["", "mpnet.", "model."],
    qkv: &["attention.attn.q", "attention.attn.k", "attention.attn.v"],
    attended: ["attention.attn.o", "attention.LayerNorm"],
    token_types: false,
    ..Names::BERT
};

/// Pad id and buckets are fixed in the reference code, whatever the configuration says.
const PAD_ID: u32 = 1;
const BUCKETS: usize = 32;
const MAX_DISTANCE: usize = 128;

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    let buckets = config.size_or("relative_attention_num_buckets", BUCKETS)?;
    if buckets != BUCKETS {
        return Err(config.error(format!(
            "`relative_attention_num_buckets` is `{buckets}`, expected {BUCKETS}"
        )));
    }
    let form = Form::bert(config, Counting::BehindPadId(PAD_ID))?;
    let body = Body::read(config, weights, &NAMES, form)?;
    let heads = config.size("num_attention_heads")?;
    let table = weights.tensor("encoder.relative_attention_bias.weight", &[BUCKETS, heads])?;
    let bias = RelativeBias::new(table, MAX_DISTANCE, weights.device(), weights.mode());
    Ok(Box::new(body.with_relative(bias)))
}
