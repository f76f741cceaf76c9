//! Qwen2 (gte-Qwen2): biases at query, key and value; causal, or bidirectional where the model's
//! folder or the user says so.

use super::decoder::{Body, Variant};
use super::{Architecture, BuildInput, Transformer};
use crate::NnError;
use crate::config::Config;
use crate::weights::Weights;

/// The line of Qwen2 in the list.
pub const ARCHITECTURE: Architecture = Architecture {
    names: &["qwen2"],
    causal: true,
    build,
};

fn build(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> Result<Box<dyn Transformer>, NnError> {
    let (window, local) = windows(&input.config)?;
    let variant = Variant {
        default_groups: Some(32),
        qkv_bias: true,
        window,
        ..Variant::of(local)
    };
    Ok(Box::new(Body::read(input, weights, &variant)?))
}

/// The window and the layers that have one: those from `max_window_layers` on, where
/// `use_sliding_window` is on.
///
/// # Errors
/// When a field has an unexpected value.
pub fn windows(config: &Config<'_>) -> Result<(Option<usize>, Vec<bool>), NnError> {
    let layers = config.layers("num_hidden_layers")?;
    let used = config.flag_or("use_sliding_window", false)? && !config.is_null("sliding_window");
    let window = if used {
        Some(config.size_or("sliding_window", 4096)?)
    } else {
        None
    };
    let first = match config
        .get("max_window_layers")
        .and_then(serde_json::Value::as_u64)
    {
        Some(first) => first as usize,
        None => config.size_or("max_window_layers", 28)?,
    };
    let local = config.local_layers(layers, |i| used && i >= first)?;
    if window.is_none() && local.contains(&true) {
        return Err(config.error(
            "`layer_types` has local layers, but `use_sliding_window` is not `true` or \
             `sliding_window` is null"
                .into(),
        ));
    }
    Ok((window, local))
}
