//! Documents from templates: the folder `templates/`, built in and overridable.
//!
//! Ground floor: imports `fs`. To add a template: a file under `templates/`.
//!
//! A template sees the values it is given and nothing else: no files, no code. A name that is not
//! there is an error, never an empty text.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use crate::embedded::Folder;
use crate::fs;

/// The folder `templates/`.
const SHIPPED: Folder = Folder::new::<korfinsts_templates::Templates>("");

/// A template that cannot be rendered.
#[derive(Debug, thiserror::Error)]
#[error("template `{name}`: {reason}")]
pub struct TemplateError {
    /// Name of the template.
    pub name: String,
    /// What is wrong, with the line where there is one.
    pub reason: String,
}

/// The text of a template: the file of that name in `folder` where there is one, else the built-in.
///
/// # Errors
/// When there is neither, or the file cannot be read.
pub fn source(name: &str, folder: Option<&Path>) -> Result<String, TemplateError> {
    find(name, folder)?.ok_or_else(|| TemplateError {
        name: name.to_owned(),
        reason: "there is no such template".into(),
    })
}

/// As [`source`], and `None` where there is neither.
///
/// # Errors
/// When the file cannot be read or is not UTF-8.
pub fn find(name: &str, folder: Option<&Path>) -> Result<Option<String>, TemplateError> {
    let wrong = |reason: String| TemplateError {
        name: name.to_owned(),
        reason,
    };
    let bytes = match folder {
        Some(folder) => replacement(name, folder)?,
        None => None,
    };
    let shipped = || SHIPPED.bytes(name).map(std::borrow::Cow::into_owned);
    let Some(bytes) = bytes.or_else(shipped) else {
        return Ok(None);
    };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|e| wrong(e.to_string()))
}

/// The file of a folder that replaces a template; `None` where it holds none of that name.
///
/// # Errors
/// When it is a link, which may lead anywhere, or cannot be read.
pub fn replacement(name: &str, folder: &Path) -> Result<Option<Vec<u8>>, TemplateError> {
    let path = folder.join(name);
    let wrong = |reason: String| TemplateError {
        name: name.to_owned(),
        reason,
    };
    if path.is_symlink() {
        let path = path.display();
        return Err(wrong(format!("`{path}` is a link: copy the file")));
    }
    if !fs::exists(&path) {
        return Ok(None);
    }
    let read = fs::read(&path).map_err(|e| wrong(format!("{e}: {}", e.source)))?;
    Ok(Some(read))
}

/// Renders a text as a template. Filters beyond minijinja's own: `json` (any value, one line; also
/// a valid YAML scalar) and `cell` (text that stays inside one cell of a Markdown table).
///
/// # Errors
/// When the text is no template or asks for a value that is not given.
pub fn render(name: &str, text: &str, values: &serde_json::Value) -> Result<String, TemplateError> {
    rendered(name, text, values, AutoEscape::None)
}

/// As [`render`], with every value escaped for XML and HTML.
///
/// # Errors
/// As [`render`].
pub fn render_markup(
    name: &str,
    text: &str,
    values: &serde_json::Value,
) -> Result<String, TemplateError> {
    rendered(name, text, values, AutoEscape::Html)
}

fn rendered(
    name: &str,
    text: &str,
    values: &serde_json::Value,
    escape: AutoEscape,
) -> Result<String, TemplateError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(move |_| escape.clone());
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true);
    syntax.lstrip_blocks(true);
    syntax.keep_trailing_newline(true);
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    environment.add_filter("json", |value: &Value| json(value).to_string());
    environment.add_filter("cell", |text: &str| cell(text));
    environment
        .render_named_str(name, text, value(values))
        .map_err(|e| TemplateError {
            name: name.to_owned(),
            reason: match (e.line(), e.detail()) {
                (Some(line), Some(detail)) => format!("line {line}: {}: {detail}", e.kind()),
                (Some(line), None) => format!("line {line}: {}", e.kind()),
                _ => e.to_string(),
            },
        })
}

/// Text that stays inside one cell of a Markdown table and shows as it is.
#[must_use]
pub fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '|' | '<' | '>' | '`' | '*' | '_' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A JSON value as a template sees it.
#[must_use]
pub fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(b) => Value::from(*b),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(i), _, _) => Value::from(i),
            (None, Some(u), _) => Value::from(u),
            (None, None, f) => Value::from(f.unwrap_or_default()),
        },
        serde_json::Value::String(s) => Value::from(s.as_str()),
        serde_json::Value::Array(items) => items.iter().map(value).collect(),
        serde_json::Value::Object(map) => {
            Value::from_pairs(map.iter().map(|(k, v)| (k.as_str(), value(v))))
        }
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value.kind() {
        ValueKind::Bool => value.is_true().into(),
        ValueKind::Number => match value.as_i64() {
            Some(i) if value.is_integer() => i.into(),
            _ => value
                .to_string()
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map_or(serde_json::Value::Null, Into::into),
        },
        ValueKind::String => value.as_str().unwrap_or_default().into(),
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().map_or(serde_json::Value::Null, |items| {
                items.map(|v| json(&v)).collect()
            })
        }
        ValueKind::Map => value.try_iter().map_or(serde_json::Value::Null, |keys| {
            keys.map(|k| {
                let of = value.get_item(&k).map(|v| json(&v)).unwrap_or_default();
                (k.as_str().unwrap_or_default().to_owned(), of)
            })
            .collect()
        }),
        _ => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_see_values_and_nothing_else() {
        let values = json!({"a": {"b": [1, 2.5, "x|y"]}, "t": true});
        for (text, expected) in [
            ("{{ a.b[0] }} {{ a.b|json }}\n", "1 [1,2.5,\"x|y\"]\n"),
            ("{% if t %}\nyes\n{% endif %}\n", "yes\n"),
            ("{{ a.b[2]|cell }}", "x\\|y"),
            ("{{ a|json }}", "{\"b\":[1,2.5,\"x|y\"]}"),
        ] {
            assert_eq!(render("t", text, &values).expect(text), expected);
        }
        for (text, reason) in [
            ("a\n{{ missing }}", "line 2: undefined value"),
            ("{% include 'x' %}", "template not found"),
            ("{{ ", "syntax error"),
        ] {
            let error = render("t", text, &values).expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn markup_is_escaped_where_it_is_asked_for() {
        let values = json!({"a": "<b> & \"c\""});
        let of = |f: fn(&str, &str, &serde_json::Value) -> _| f("t", "<i>{{ a }}</i>", &values);
        let plain: Result<String, TemplateError> = of(render);
        assert_eq!(plain.expect("rendered"), "<i><b> & \"c\"</i>");
        let escaped: Result<String, TemplateError> = of(render_markup);
        assert_eq!(
            escaped.expect("rendered"),
            "<i>&lt;b&gt; &amp; &quot;c&quot;</i>"
        );
    }

    #[test]
    fn a_folder_overrides_what_is_built_in() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write_atomic(&folder.path().join("x.md"), b"mine").expect("written");
        assert_eq!(source("x.md", Some(folder.path())).expect("there"), "mine");
        assert!(source("x.md", None).is_err());
    }
}
