//! Prompts: templates under `templates/mine/prompts/`, by pattern and source, overridable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::call::{Call, Step};
use crate::MineError;
use korfinsts_base::template;

/// Where prompts come from, and which were used.
#[derive(Debug, Default)]
pub struct Prompts {
    folder: Option<PathBuf>,
    /// By step, source and pattern.
    used: Mutex<BTreeMap<[String; 3], Template>>,
}

/// A template with what is said of one source and one pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its name under `templates/`.
    pub name: String,
    /// Its text.
    text: String,
    /// What the template shows as `guide`: guidance on the source, then on the pattern.
    guide: String,
}

impl Template {
    /// The first 12 digits of blake3 over the text and its guidance: a call asked with another
    /// wording is another call.
    #[must_use]
    pub fn version(&self) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(self.text.as_bytes());
        if !self.guide.is_empty() {
            hash.update(b"\0").update(self.guide.as_bytes());
        }
        hash.finalize().to_hex()[..12].to_owned()
    }
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

    /// Names of guidance: `negative/guide/legal.md`, `negative/guide/legal.sanction.md`.
    fn guides(step: Step, source: &str, pattern: &str) -> Vec<String> {
        let mut about = vec![source, pattern];
        about.retain(|name| !name.is_empty());
        about
            .iter()
            .map(|name| format!("mine/prompts/{}/guide/{name}.md", step.name()))
            .collect()
    }

    /// Template of a call.
    ///
    /// # Errors
    /// When no template is found, or one cannot be read.
    pub fn template(&self, call: &Call) -> Result<Template, MineError> {
        let place = [call.step.name(), &call.source, &call.pattern].map(str::to_owned);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(template) = used.get(&place) {
            return Ok(template.clone());
        }
        let mut found = None;
        for name in Self::names(call.step, &call.source, &call.pattern) {
            if let Some(text) = template::find(&name, self.folder.as_deref())? {
                found = Some((name, text));
                break;
            }
        }
        let (name, text) = found.ok_or_else(|| {
            MineError::usage(
                format!("no prompt for the step `{}`", call.step.name()),
                "give a folder that has it with `--templates`",
            )
        })?;
        let mut guide = Vec::new();
        for name in Self::guides(call.step, &call.source, &call.pattern) {
            let text = template::find(&name, self.folder.as_deref())?;
            guide.extend(text.map(|t| t.trim().to_owned()));
        }
        let template = Template {
            name,
            text,
            guide: guide.join("\n"),
        };
        used.insert(place, template.clone());
        Ok(template)
    }

    /// The prompt of a call.
    ///
    /// # Errors
    /// When its template is missing or cannot be rendered.
    pub fn render(&self, call: &Call) -> Result<Prompt, MineError> {
        let template = self.template(call)?;
        let values = json!({
            "input": call.input,
            "source": call.source,
            "pattern": call.pattern,
            "schema": call.schema(),
            "guide": template.guide,
        });
        let rendered = template::render(&template.name, &template.text, &values)?;
        let (system, user) = match rendered.split_once(SPLIT) {
            Some((system, user)) => (system.trim().to_owned(), user.trim().to_owned()),
            None => (String::new(), rendered.trim().to_owned()),
        };
        Ok(Prompt { system, user })
    }

    /// Versions of the prompts used so far, by template, source and pattern.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, String> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.iter()
            .map(|([_, source, pattern], template)| {
                let mut about = vec![source.as_str(), pattern];
                about.retain(|name| !name.is_empty());
                // One template with several texts of guidance is several prompts.
                let name = if template.guide.is_empty() {
                    template.name.clone()
                } else {
                    format!("{} for {}", template.name, about.join(", "))
                };
                (name, template.version())
            })
            .collect()
    }
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
    use crate::generate::ask;
    use crate::typology::Typology;

    /// What ships for the negatives of a pattern: two texts, the source's and its own.
    fn guides_of(call: &Call) -> String {
        let names = [&call.source, &call.pattern];
        let texts: Vec<String> = names
            .iter()
            .map(|name| format!("mine/prompts/negative/guide/{name}.md"))
            .map(|name| template::source(&name, None).expect("every pattern has its guide"))
            .map(|text| text.trim().to_owned())
            .collect();
        texts.join("\n")
    }

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
                    if call.step == Step::Judge {
                        let original = ["first", "second"]
                            .into_iter()
                            .find(|side| call.text(side) == triple.source)
                            .expect("one is the original");
                        assert_eq!(call.text("original"), original);
                        if call.text("kind") == "negative" {
                            assert!(
                                prompt
                                    .user
                                    .contains(&format!("The {original} text is the original"))
                            );
                            assert!(
                                prompt
                                    .user
                                    .contains(&format!("The pair is wrong if {}", variant.trap))
                            );
                        }
                        assert!(prompt.user.contains(call.text("register")));
                    }
                    if matches!(call.step, Step::Negative | Step::Positive) {
                        assert!(prompt.user.contains("keep their format"), "{}", prompt.user);
                        assert!(prompt.user.contains("Example"), "{}", variant.id);
                    }
                    if call.step == Step::Negative {
                        assert!(prompt.user.contains(&variant.trap), "{}", variant.id);
                        let guide = prompts.template(&call).expect("there").guide;
                        assert_eq!(guide, guides_of(&call), "{}", variant.id);
                        assert!(prompt.user.ends_with(&guide), "{}", variant.id);
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
            korfinsts_base::fs::write_atomic(
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
