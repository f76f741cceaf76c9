//! DeBERTa-v2 and v3 (KF-DeBERTa, mDeBERTa): BERT's body with disentangled attention.

use super::bert::{Body, Counting, Form, Names, Positions};
use super::{Architecture, BuildInput, Transformer};
use crate::config::Config;
use crate::disentangled::{Buckets, Disentangled};
use crate::weights::Weights;
use crate::{NnError, runtime_error};

/// The line of `DeBERTa` in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["deberta-v2"],
    causal: false,
    build,
};

const NAMES: Names = Names {
    prefixes: &["", "deberta.", "model."],
    qkv: &[
        "attention.self.query_proj",
        "attention.self.key_proj",
        "attention.self.value_proj",
    ],
    ..Names::BERT
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let config = &input.config;
    if weights.device().is_cuda() {
        return Err(NnError::Unsupported {
            what: "architecture `deberta-v2` runs on a CPU only".into(),
            hint: Some("say `--device cpu`".into()),
        });
    }
    for key in ["relative_attention", "share_att_key"] {
        config.only_flag(key, false, true)?;
    }
    if let Some(found) = config.get("conv_kernel_size").filter(|found| **found != 0) {
        return Err(config.invalid("conv_kernel_size", found, "0: no convolution"));
    }
    let hidden = config.size("hidden_size")?;
    let embedding = config.size_or("embedding_size", hidden)?;
    if embedding != hidden {
        let allowed = format!("{hidden}, as `hidden_size`");
        return Err(config.invalid("embedding_size", &embedding.into(), &allowed));
    }
    config.positive("layer_norm_eps")?;
    let counting = Counting::FromZero;
    let mut form = Form::bert(config, counting)?;
    if !config.flag_or("position_biased_input", true)? {
        form.positions = Positions::Relative;
    }
    let span = |key: &str| match config.optional_number(key)? {
        Some(n) if n >= 1.0 => config.optional_size(key),
        _ => Ok(None),
    };
    let max_distance = match span("max_relative_positions")? {
        Some(max) => max,
        None => config.size("max_position_embeddings")?,
    };
    let count = span("position_buckets")?;
    if let Some(count) = count
        && !(4..=max_distance).contains(&count)
    {
        return Err(config.error(format!(
            "`position_buckets` is {count}, expected from 4 to the {max_distance} relative positions"
        )));
    }
    let normalised = match config.text("norm_rel_ebd")?.unwrap_or("none") {
        "none" => false,
        "layer_norm" => true,
        found => {
            let allowed = "`none` or `layer_norm`";
            return Err(config.invalid("norm_rel_ebd", &found.into(), allowed));
        }
    };
    let parts = parts(config)?;
    let body = Body::read(config, weights, &NAMES, form)?;
    let rows = 2 * count.unwrap_or(max_distance);
    let epsilon = config.positive("layer_norm_eps")?;
    let disentangled = Disentangled {
        table: weights.tensor("encoder.rel_embeddings.weight", &[rows, hidden])?,
        norm: if normalised {
            Some(weights.layer_norm("encoder.LayerNorm", hidden, epsilon, true)?)
        } else {
            None
        },
        buckets: count.map(|count| Buckets {
            count,
            max_distance,
        }),
        parts,
        mode: weights.mode(),
    };
    let body = body.with_disentangled(disentangled);
    Ok(Box::new(body.map_err(runtime_error)?))
}

/// `pos_att_type`: whether scores have a part of queries (`c2p`) and a part of keys (`p2c`).
fn parts(config: &Config<'_>) -> Result<[bool; 2], NnError> {
    const KEY: &str = "pos_att_type";
    let Some(found) = config.get(KEY) else {
        return Ok([false; 2]);
    };
    let wrong = || config.invalid(KEY, found, "`c2p`, `p2c`, or both");
    let named: Vec<&str> = match (found.as_str(), found.as_array()) {
        (Some(text), _) => text.split('|').map(str::trim).collect(),
        (None, Some(list)) => {
            let texts: Option<Vec<&str>> = list.iter().map(|v| v.as_str()).collect();
            texts.ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    if named.iter().any(|part| !["c2p", "p2c"].contains(part)) {
        return Err(wrong());
    }
    Ok([named.contains(&"c2p"), named.contains(&"p2c")])
}
