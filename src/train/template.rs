//! The templates of this room, with its errors.

use super::TrainError;
use crate::template::{render, render_markup};

/// Fills a template; `markup` escapes values for XML.
///
/// # Errors
/// When it is no template or asks for a value that is not given.
pub fn fill(
    name: &'static str,
    template: &str,
    values: &serde_json::Value,
    markup: bool,
) -> Result<String, TrainError> {
    let render = if markup { render_markup } else { render };
    render(name, template, values).map_err(|e| TrainError::Compute {
        what: "filling a template",
        reason: e.to_string(),
    })
}
