//! The page: templates that are built in and can be overridden, rendered to files that need no
//! server, no network and, to be read, no script.
//!
//! A template sees the values of [`super::view`] and nothing else: no file, no code. Every value
//! is escaped. The Content-Security-Policy of each page allows its own style and script by hash
//! and nothing more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::LeaderboardError;
use super::board::Board;
use super::minify;
use super::view::{self, Files, Page, Texts};
use korfinsts_base::embedded::Folder;
use korfinsts_base::fs;
use korfinsts_base::strict_toml;
use korfinsts_base::template::{self, value};

/// The templates that ship in the binary.
const SHIPPED: Folder = Folder::new::<korfinsts_templates::Templates>("leaderboard/");

/// The file of texts: a table per language.
const TEXTS: &str = "texts.toml";
const STYLE: &str = "style.css";
const SCRIPT: &str = "script.js";

/// A file of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
}

/// Where templates come from: a folder first, where there is one, then what is built in.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    folder: Option<PathBuf>,
}

impl Templates {
    /// Templates of a folder over the built-in ones.
    ///
    /// # Errors
    /// When the folder is not there, or holds none of the known names.
    pub fn new(folder: Option<&Path>) -> Result<Self, LeaderboardError> {
        if let Some(folder) = folder {
            let known: Vec<String> = SHIPPED.names();
            let any = fs::list(folder)?.iter().any(|p| {
                let name = p.file_name().unwrap_or_default().to_string_lossy();
                known.contains(&name.into_owned())
            });
            if !any {
                return Err(LeaderboardError::Template {
                    name: folder.display().to_string(),
                    line: None,
                    reason: format!("the folder holds none of {}", known.join(", ")),
                });
            }
        }
        Ok(Self {
            folder: folder.map(Path::to_owned),
        })
    }

    /// Names of the built-in templates.
    #[must_use]
    pub fn names() -> Vec<String> {
        SHIPPED.names()
    }

    /// The text of a template; `None` where there is none of that name.
    ///
    /// # Errors
    /// When the file cannot be read or is no UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<String>, LeaderboardError> {
        // A name is a bare file name: a template includes nothing from elsewhere.
        let bare = Path::new(name).components().count() == 1 && !name.contains(['/', '\\']);
        let wrong = |reason: String| LeaderboardError::Template {
            name: name.to_owned(),
            line: None,
            reason,
        };
        let bytes = match self.folder.as_ref().filter(|_| bare) {
            Some(folder) => template::replacement(name, folder).map_err(|e| wrong(e.reason))?,
            None => None,
        };
        let shipped = || SHIPPED.bytes(name).map(std::borrow::Cow::into_owned);
        let text = bytes.or_else(shipped).map(String::from_utf8).transpose();
        text.map_err(|e| wrong(e.to_string()))
    }

    fn needed(&self, name: &str) -> Result<String, LeaderboardError> {
        self.text(name)?.ok_or_else(|| LeaderboardError::Template {
            name: name.to_owned(),
            line: None,
            reason: "there is no such template".into(),
        })
    }
}

/// Texts of a language, those it lacks from English; and the name of the language.
fn languages(templates: &Templates) -> Result<BTreeMap<String, Texts>, LeaderboardError> {
    let text = templates.needed(TEXTS)?;
    let wrong = |line: Option<usize>, reason: String| LeaderboardError::Template {
        name: TEXTS.into(),
        line,
        reason,
    };
    let found: BTreeMap<String, Texts> =
        strict_toml::parse(text).map_err(|e| wrong(e.line, e.reason))?;
    if !found.contains_key("en") {
        return Err(wrong(None, "found no table `en`".into()));
    }
    for code in found.keys() {
        if code.len() > 12 || !code.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(wrong(None, format!("`{code}` is no code of a language")));
        }
    }
    Ok(found)
}

/// Renders every page in every language.
///
/// # Errors
/// When a template is missing or wrong.
pub fn render(board: &Board, templates: &Templates) -> Result<Vec<PageFile>, LeaderboardError> {
    let all = languages(templates)?;
    let english = all["en"].clone();
    let mut codes: Vec<[String; 2]> = all
        .iter()
        .map(|(code, texts)| {
            let name = texts.get("language").unwrap_or(code).clone();
            [code.clone(), name]
        })
        .collect();
    codes.sort_by_key(|c| (c[0] != "en", c[0].clone()));
    let (style, script) = (templates.needed(STYLE)?, templates.needed(SCRIPT)?);
    let (style, script) = (minify::code(&style), minify::code(&script));
    let environment = environment(templates);
    let mut files = Vec::new();
    for (lang, texts) in &all {
        let mut t = english.clone();
        t.extend(texts.clone());
        // What this program says in English is known by its English form.
        let said = english
            .iter()
            .filter(|(key, _)| key.starts_with(view::SAID));
        t.extend(said.map(|(key, text)| (format!("{key}{}", view::ENGLISH), text.clone())));
        let page = view::page(board, lang, &t, &codes);
        let names = Files::of(lang);
        let mut pages = vec![("index.html", names.index)];
        pages.push(("pairs.html", names.pairs));
        if !page.provenance_file.is_empty() {
            pages.push(("provenance.html", names.provenance));
        }
        let values = values(&page, &style, &script);
        for (template, name) in pages {
            let content = environment
                .get_template(template)
                .and_then(|t| t.render(&values))
                .map_err(|e| template_error(&e, template))?;
            files.push(PageFile {
                name,
                content: minify::page(&content),
            });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn template_error(error: &Error, template: &str) -> LeaderboardError {
    // The error of a template that another includes is inside.
    let inner = std::error::Error::source(error).and_then(|e| e.downcast_ref::<Error>());
    if let Some(inner) = inner {
        return template_error(inner, template);
    }
    LeaderboardError::Template {
        name: error.name().unwrap_or(template).to_owned(),
        line: error.line(),
        reason: match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        },
    }
}

fn environment(templates: &Templates) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    if let Ok(syntax) = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
    {
        environment.set_syntax(syntax);
    }
    let templates = templates.clone();
    environment.set_loader(move |name| {
        templates
            .text(name)
            .map_err(|e| Error::new(ErrorKind::InvalidOperation, e.to_string()))
    });
    environment
}

/// The page as a value, with the style, the script and the data of the page as they are.
fn values(page: &Page, style: &str, script: &str) -> Value {
    #[derive(Serialize)]
    struct Hashes {
        style: String,
        script: String,
    }
    let hash = |code: &str| format!("sha256-{}", STANDARD.encode(Sha256::digest(code)));
    let hashes = Hashes {
        style: hash(style),
        script: hash(script),
    };
    let as_value = |v: serde_json::Value| value(&v);
    let mut page_value = serde_json::to_value(page).expect("a page serialises");
    whole(&mut page_value);
    let mut entries: Vec<(String, Value)> = match &page_value {
        serde_json::Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), value(v))).collect(),
        _ => Vec::new(),
    };
    entries.retain(|(k, _)| k != "data");
    let hashes = serde_json::to_value(&hashes).expect("hashes serialise");
    entries.push(("hashes".into(), as_value(hashes)));
    for (name, text) in [("style", style), ("script", script), ("data", &page.data)] {
        entries.push((name.into(), Value::from_safe_string(text.to_owned())));
    }
    Value::from_pairs(entries)
}

/// Places on a chart that are whole numbers are written as such: `34`, not `34.0`.
fn whole(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Number(n) => {
            if let Some(f) = n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e9) {
                *json = (f as i64).into();
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(whole),
        serde_json::Value::Object(map) => map.values_mut().for_each(whole),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_in_every_language() {
        let all = languages(&Templates::default()).expect("well formed");
        let english: Vec<&String> = all["en"].keys().collect();
        assert!(all.len() >= 2);
        for (lang, texts) in &all {
            assert_eq!(texts.keys().collect::<Vec<_>>(), english, "{lang}");
            assert!(texts.values().all(|t| !t.is_empty()), "{lang}");
        }
    }

    #[test]
    fn the_script_is_small_and_neither_file_ends_its_element() {
        let templates = Templates::default();
        let script = minify::code(&templates.needed(SCRIPT).expect("there"));
        assert!(script.len() <= 14 * 1024, "{} bytes", script.len());
        let style = minify::code(&templates.needed(STYLE).expect("there"));
        for text in [script, style] {
            assert!(!text.contains("</") && !text.contains("<!--"));
        }
    }
}
