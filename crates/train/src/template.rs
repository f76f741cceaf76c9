//! The templates of this room, with its errors.

use korfinsts_base::template::{render, render_markup, source};

use super::TrainError;

/// Fills a template of the binary; `markup` escapes values for XML.
///
/// # Errors
/// When it is no template or asks for a value that is not given.
pub fn fill(
    name: &'static str,
    values: &serde_json::Value,
    markup: bool,
) -> Result<String, TrainError> {
    let render = if markup { render_markup } else { render };
    source(name, None)
        .and_then(|text| render(name, &text, values))
        .map_err(|e| TrainError::Compute {
            what: "filling a template",
            reason: e.to_string(),
        })
}
