//! Prompts: templates under `templates/mine/prompts/`, by pattern and source, overridable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::call::{Call, Step};
use crate::mine::MineError;
use crate::template;

/// Where prompts come from, and which were used.
#[derive(Debug, Default)]
pub struct Prompts {
    folder: Option<PathBuf>,
    used: Mutex<BTreeMap<String, (String, String)>>,
}

/// A prompt, rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// What the model is told about its task.
    pub system: String,
    /// The question.
    pub user: String,
}

impl Prompt {
    /// Tokens, roughly: a Korean syllable is about a token and a half of three bytes, English about
    /// four bytes a token.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        (self.system.len() + self.user.len()) as u64 / 3 + 8
    }
}

/// Parts of a template are told apart by this line.
const SPLIT: &str = "\n---\n";

impl Prompts {
    /// Those of a folder where it has them, else the built-in ones.
    #[must_use]
    pub fn new(folder: Option<&Path>) -> Self {
        Self {
            folder: folder.map(Path::to_owned),
            used: Mutex::default(),
        }
    }

    /// Names that are looked for, the most special first:
    /// `negative/legal.sanction.md`, `negative/legal.md`, `negative.md`.
    fn names(step: Step, source: &str, pattern: &str) -> [String; 3] {
        let step = step.name();
        [
            format!("mine/prompts/{step}/{pattern}.md"),
            format!("mine/prompts/{step}/{source}.md"),
            format!("mine/prompts/{step}.md"),
        ]
    }

    /// Template of a call and its version: the first 12 digits of blake3 over its text.
    ///
    /// # Errors
    /// When no template is found.
    pub fn template(&self, call: &Call) -> Result<(String, String, String), MineError> {
        let names = Self::names(call.step, &call.source, &call.pattern);
        let place = format!("{}|{}|{}", call.step.name(), call.source, call.pattern);
        let mut used = self
            .used
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((name, text)) = used.get(&place) {
            return Ok((name.clone(), text.clone(), version(text)));
        }
        let mut last = None;
        for name in names {
            match template::source(&name, self.folder.as_deref()) {
                Ok(text) => {
                    used.insert(place, (name.clone(), text.clone()));
                    let version = version(&text);
                    return Ok((name, text, version));
                }
                Err(e) => last = Some(e),
            }
        }
        Err(last.map_or_else(
            || MineError::usage("no prompt", "give `--templates`"),
            MineError::from,
        ))
    }

    /// The prompt of a call.
    ///
    /// # Errors
    /// When its template is missing or cannot be rendered.
    pub fn render(&self, call: &Call) -> Result<Prompt, MineError> {
        let (name, text, _) = self.template(call)?;
        let values = json!({
            "input": call.input,
            "source": call.source,
            "pattern": call.pattern,
            "schema": call.schema(),
        });
        let rendered = template::render(&name, &text, &values)?;
        let (system, user) = match rendered.split_once(SPLIT) {
            Some((system, user)) => (system.trim().to_owned(), user.trim().to_owned()),
            None => (String::new(), rendered.trim().to_owned()),
        };
        Ok(Prompt { system, user })
    }

    /// Versions of the prompts used so far, by name.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.used
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .values()
            .map(|(name, text)| (name.clone(), version(text)))
            .collect()
    }
}

fn version(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..12].to_owned()
}

/// Messages of the `OpenAI` protocol.
#[must_use]
pub fn messages(prompt: &Prompt) -> Value {
    let mut messages = Vec::new();
    if !prompt.system.is_empty() {
        messages.push(json!({"role": "system", "content": prompt.system}));
    }
    messages.push(json!({"role": "user", "content": prompt.user}));
    Value::Array(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mine::generate::ask;
    use crate::mine::typology::Typology;

    #[test]
    fn every_step_source_and_pattern_has_a_prompt_with_its_parts() {
        let typology = Typology::built_in("ko-en").expect("built in");
        let prompts = Prompts::new(None);
        for variant in &typology.variants {
            for language in &typology.languages {
                let triple = &variant.texts[&language.id];
                for call in ask::every_kind(&typology, variant, language, triple) {
                    let prompt = prompts.render(&call).expect("rendered");
                    assert!(!prompt.system.is_empty() && !prompt.user.is_empty());
                    assert!(
                        prompt.user.contains(&triple.source),
                        "{:?} {}",
                        call.step,
                        variant.id
                    );
                    if call.step == Step::Negative {
                        assert!(prompt.user.contains(&variant.trap), "{}", variant.id);
                    }
                }
            }
        }
    }

    #[test]
    fn a_prompt_of_a_pattern_comes_before_that_of_its_source() {
        let folder = tempfile::tempdir().expect("a folder");
        let call = Call {
            step: Step::Negative,
            document: String::new(),
            source: "legal".into(),
            pattern: "legal.sanction".into(),
            input: json!({"text": "t"}),
            sample: 0,
        };
        for (name, expected) in [
            ("legal.md", "of the source"),
            ("legal.sanction.md", "of the pattern"),
        ] {
            let path = folder.path().join("mine/prompts/negative").join(name);
            crate::fs::write_atomic(
                &path,
                format!("{expected}\n---\n{{{{ input.text }}}}").as_bytes(),
            )
            .expect("written");
            let prompts = Prompts::new(Some(folder.path()));
            let prompt = prompts.render(&call).expect("rendered");
            assert_eq!(
                (prompt.system.as_str(), prompt.user.as_str()),
                (expected, "t")
            );
            assert_eq!(prompts.versions().len(), 1);
        }
    }
}
