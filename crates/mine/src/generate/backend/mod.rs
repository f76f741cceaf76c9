//! Who writes and who judges. To add one: a file next to this one and a line in [`BACKENDS`].

mod batch;
mod chat;
mod replay;
mod rules;
mod signature;

pub(crate) use signature::figures;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::ask::Role;
use super::call::Call;
use super::prompt::Prompt;
use crate::{MineError, Transforms, Typology};
use korfinsts_base::http::Patience;

/// What a backend may need to be opened.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Whom it plays.
    pub role: Role,
    /// Typology.
    pub typology: Arc<Typology>,
    /// Rules.
    pub transforms: Arc<Transforms>,
    /// Temperature of a model.
    pub temperature: f64,
    /// How an answer's form is asked for: `json_schema`, `json_object` or `none`.
    pub structured: String,
    /// Attempts and waits of a request.
    pub patience: Patience,
    /// How long a server may take.
    pub timeout: Duration,
    /// Where a batch's requests are written.
    pub requests: PathBuf,
    /// Files with a batch's results.
    pub results: Vec<PathBuf>,
}

/// Opens a backend: what follows the colon, and the rest.
type Open = fn(&str, &Setting) -> Result<Box<dyn Backend>, MineError>;

/// A kind of backend.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Name before the colon.
    pub name: &'static str,
    /// What follows the colon; empty where nothing does.
    pub argument: &'static str,
    /// What it is, for the help.
    pub about: &'static str,
    open: Open,
}

/// Every kind.
pub static BACKENDS: &[Kind] = &[rules::KIND, chat::KIND, batch::KIND, replay::KIND];

/// Opens the backend that `text` names, as `NAME` or `NAME:ARGUMENT`.
///
/// # Errors
/// When it is none, or cannot be opened.
pub fn open(text: &str, setting: &Setting) -> Result<Box<dyn Backend>, MineError> {
    let (name, argument) = text.split_once(':').unwrap_or((text, ""));
    let forms = || {
        let forms: Vec<String> = BACKENDS
            .iter()
            .map(|k| match k.argument {
                "" => format!("`{}`", k.name),
                argument => format!("`{}:{argument}`", k.name),
            })
            .collect();
        forms.join(", ")
    };
    let Some(kind) = BACKENDS.iter().find(|k| k.name == name) else {
        return Err(MineError::usage(
            format!("`{text}` is no {}", setting.role.name()),
            format!("allowed are {}", forms()),
        ));
    };
    if kind.argument.is_empty() != argument.is_empty() {
        return Err(MineError::usage(
            format!("`{text}` is no {}: {}", setting.role.name(), kind.about),
            format!("allowed are {}", forms()),
        ));
    }
    (kind.open)(argument, setting)
}

/// A reply, not yet understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// Its text.
    pub text: String,
    /// Tokens of the prompt, where counted.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, where counted.
    pub completion_tokens: Option<u64>,
    /// US dollars, where the server says so.
    pub cost: Option<f64>,
}

/// Why there is no reply.
#[derive(Debug)]
pub enum Failure {
    /// It was written down to be asked later.
    Pending,
    /// The model refused, and why; with what that cost.
    Refused(String, Reply),
    /// This call failed; another may not.
    Failed(MineError),
    /// No call can succeed.
    Hopeless(MineError),
}

/// Who answers calls.
pub trait Backend: Send + Sync {
    /// Model, as keys have it. No two models share a name.
    fn model(&self) -> &str;

    /// Parameters that decide an answer, as an object.
    fn parameters(&self) -> Value {
        json!({})
    }

    /// What the report says of it.
    fn about(&self) -> Vec<(String, String)>;

    /// Whether it reads prompts.
    fn is_prompted(&self) -> bool {
        true
    }

    /// Whether answers cost nothing and come again for nothing: they are not kept.
    fn is_free(&self) -> bool {
        false
    }

    /// Whether requests go to a server as they are asked: limits hold for it.
    fn is_limited(&self) -> bool {
        false
    }

    /// Answers.
    ///
    /// # Errors
    /// Why not.
    fn answer(&self, key: &str, call: &Call, prompt: &Prompt) -> Result<Reply, Failure>;

    /// Ends a run: writes what waits. Returns what the user has to do next, in words.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn finish(&self) -> Result<Option<String>, MineError> {
        Ok(None)
    }
}

/// The same model under another spelling: providers, dates and case aside.
#[must_use]
pub fn same_model(a: &str, b: &str) -> bool {
    let plain = |name: &str| -> String {
        let name = name.rsplit('/').next().unwrap_or_default().to_lowercase();
        let mut parts: Vec<&str> = name.split(['-', '@', ':']).collect();
        // `-2024-08-06`, `-20240806`, `-latest`
        while parts.len() > 1
            && parts.last().is_some_and(|p| {
                *p == "latest" || (p.len() >= 2 && p.chars().all(|c| c.is_ascii_digit()))
            })
        {
            parts.pop();
        }
        parts.join("-")
    };
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_under_its_spellings() {
        for (a, b, same) in [
            ("gpt-4o", "gpt-4o-2024-08-06", true),
            ("openai/gpt-4o", "GPT-4o", true),
            ("gpt-4o-latest", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-4o", "gpt-4.5", false),
            ("qwen2.5-7b", "qwen2.5-72b", false),
            ("claude-3", "claude-4", false),
            ("rules-ko-en-1.1.0", "contrasts-ko-en-1.1.0", false),
        ] {
            assert_eq!(same_model(a, b), same, "{a} {b}");
        }
    }
}
