//! Templates that are filled from JSON.

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Value};

use super::TrainError;

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(b) => Value::from(*b),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => Value::from(n),
            (None, Some(n)) => Value::from(n),
            (None, None) => Value::from(n.to_string()),
        },
        serde_json::Value::String(s) => Value::from(s.as_str()),
        serde_json::Value::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        serde_json::Value::Object(fields) => {
            Value::from_pairs(fields.iter().map(|(k, v)| (k.as_str(), value(v))))
        }
    }
}

/// Fills a template; `markup` escapes values for XML.
///
/// # Errors
/// When it is no template.
pub fn fill(
    name: &'static str,
    template: &str,
    values: &serde_json::Value,
    markup: bool,
) -> Result<String, TrainError> {
    let failed = |e: minijinja::Error| TrainError::Compute {
        what: "filling a template",
        reason: format!("{e:#}"),
    };
    let mut syntax = SyntaxConfig::builder();
    syntax
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true);
    let mut environment = Environment::new();
    environment.set_syntax(syntax.build().map_err(failed)?);
    environment.set_auto_escape_callback(move |_| {
        if markup {
            AutoEscape::Html
        } else {
            AutoEscape::None
        }
    });
    environment
        .render_named_str(name, template, value(values))
        .map_err(failed)
}
