//! Small JSON files of a model: read with a place in every error.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::EncoderError;
use korfinsts_base::fs;
use korfinsts_base::json::Unique;

/// The error of malformed JSON, with line and column behind the path.
pub(super) fn malformed(path: &Path, error: &serde_json::Error) -> EncoderError {
    let text = error.to_string();
    let reason = match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    };
    let place = if error.line() == 0 {
        path.to_owned()
    } else {
        PathBuf::from(format!(
            "{}:{}:{}",
            path.display(),
            error.line(),
            error.column()
        ))
    };
    EncoderError::Invalid {
        path: place,
        reason,
        hint: Some("the file is damaged or not JSON: was it downloaded whole?".into()),
    }
}

/// Longest JSON file of a model's settings, in bytes; real ones have up to two million.
const LONGEST: u64 = 16 << 20;

/// Reads a JSON file; `None` when it is not there.
///
/// # Errors
/// When it cannot be read or is malformed, or an object has a key twice.
pub(super) fn load(path: &Path) -> Result<Option<Value>, EncoderError> {
    if !fs::exists(path) {
        return Ok(None);
    }
    let bytes = fs::read_up_to(path, LONGEST)?;
    serde_json::from_slice(&bytes)
        .map(|Unique(value)| Some(value))
        .map_err(|e| malformed(path, &e))
}

/// An error about a field of a JSON file.
pub(super) fn wrong_field(path: &Path, field: &str, found: &Value, allowed: &str) -> EncoderError {
    let found = match found.to_string() {
        text if text.chars().count() > 60 => {
            format!("{}...", text.chars().take(57).collect::<String>())
        }
        text => text,
    };
    EncoderError::Invalid {
        path: path.to_owned(),
        reason: format!("`{field}` is `{found}`, allowed is {allowed}"),
        hint: Some(korfinsts_nn::error::HINT.to_owned()),
    }
}

/// A boolean field; `None` when absent or null.
pub(super) fn boolean(
    path: &Path,
    value: &Value,
    field: &str,
) -> Result<Option<bool>, EncoderError> {
    match value.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(b)) => Ok(Some(*b)),
        Some(other) => Err(wrong_field(path, field, other, "true or false")),
    }
}

/// A field that holds a whole number of at least 1; `None` when absent or null.
pub(super) fn size(path: &Path, value: &Value, field: &str) -> Result<Option<usize>, EncoderError> {
    match value.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(found) => match found.as_u64().map(usize::try_from) {
            Some(Ok(n)) if n > 0 => Ok(Some(n)),
            _ => Err(wrong_field(
                path,
                field,
                found,
                "a whole number of 1 or more",
            )),
        },
    }
}

/// A text field; `None` when absent or null.
pub(super) fn text<'a>(
    path: &Path,
    value: &'a Value,
    field: &str,
) -> Result<Option<&'a str>, EncoderError> {
    match value.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(s)) => Ok(Some(s)),
        Some(other) => Err(wrong_field(path, field, other, "a text")),
    }
}

/// A special token, which configurations write as a text or as `{"content": text, ...}`.
pub(super) fn token_content(value: &Value) -> Option<&str> {
    value
        .as_str()
        .or_else(|| value.get("content").and_then(Value::as_str))
}
