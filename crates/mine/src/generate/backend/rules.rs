//! The offline generator: rules of a file. As a judge: contrasts of the typology.

use std::sync::Arc;

use serde_json::Value;

use super::{Backend, Failure, Kind, Reply, Setting, signature};
use crate::document::draw;
use crate::generate::ask::Role;
use crate::generate::call::{AxisAnswer, Call, Step, Tag, TextAnswer};
use crate::generate::diff;
use crate::generate::prompt::Prompt;
use crate::transform::Made;
use crate::{MineError, Transforms};

pub(super) const KIND: Kind = Kind {
    name: "rules",
    argument: "",
    about: "the rules that ship with the program; as a judge, the typology's contrasts",
    open,
};

#[allow(clippy::unnecessary_wraps, reason = "every backend is opened alike")]
fn open(_: &str, setting: &Setting) -> Result<Box<dyn Backend>, MineError> {
    Ok(match setting.role {
        Role::Generator => Box::new(Rules {
            model: format!(
                "rules-{}-{}",
                setting.transforms.name, setting.transforms.version
            ),
            transforms: Arc::clone(&setting.transforms),
        }),
        Role::Judge => Box::new(signature::Judge::new(
            Arc::clone(&setting.typology),
            Arc::clone(&setting.transforms),
        )),
    })
}

#[derive(Debug)]
struct Rules {
    model: String,
    transforms: Arc<Transforms>,
}

/// What the report says of a model of this backend.
pub(super) fn about(model: &str) -> Vec<(String, String)> {
    vec![
        ("backend".into(), KIND.name.into()),
        ("model".into(), model.to_owned()),
    ]
}

impl Backend for Rules {
    fn model(&self) -> &str {
        &self.model
    }

    fn about(&self) -> Vec<(String, String)> {
        about(&self.model)
    }

    fn is_prompted(&self) -> bool {
        false
    }

    fn is_free(&self) -> bool {
        true
    }

    fn answer(&self, _: &str, call: &Call, _: &Prompt) -> Result<Reply, Failure> {
        let answer = match call.step {
            Step::Axis => serde_json::to_value(self.axis(call)),
            Step::Negative => serde_json::to_value(self.negative(call)),
            Step::Positive => serde_json::to_value(self.positive(call)),
            // No rule translates or writes a disclosure: exact translations offline come from slot templates.
            Step::Translation | Step::Synthesis | Step::Judge => {
                serde_json::to_value(TextAnswer::default())
            }
        };
        Ok(Reply {
            text: answer.unwrap_or_default().to_string(),
            ..Reply::default()
        })
    }
}

impl Rules {
    fn axis(&self, call: &Call) -> AxisAnswer {
        let text = call.text("text");
        let most = call.input.get("most").and_then(Value::as_u64).unwrap_or(1) as usize;
        let offered: Vec<&str> = call
            .input
            .get("variants")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|v| v.get("id")?.as_str())
            .collect();
        let mut found: Vec<(u64, Tag)> = self
            .transforms
            .negatives(text, call.text("language"), &call.source)
            .into_iter()
            .filter(|(variant, _)| offered.contains(&variant.as_str()))
            .filter_map(|(variant, made)| {
                let made = pick(&made, &[&call.document, &variant])?;
                Some((
                    hash(&[&call.document, &variant, "axis"]),
                    Tag {
                        span: span(text, &made.text)?,
                        id: variant,
                    },
                ))
            })
            .collect();
        // Which of many are taken is the document's own chance, so that no variant crowds out others.
        found.sort_by_key(|(order, _)| *order);
        found.truncate(most);
        AxisAnswer {
            variants: found.into_iter().map(|(_, tag)| tag).collect(),
        }
    }

    fn negative(&self, call: &Call) -> TextAnswer {
        let (text, language) = (call.text("text"), call.text("language"));
        let variant = call
            .input
            .pointer("/variant/id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let all = self.transforms.negatives(text, language, &call.source);
        let made = all.get(variant).map_or(&[][..], Vec::as_slice);
        let Some(mut made) = pick(made, &[&call.document, variant]).cloned() else {
            return TextAnswer::default();
        };
        if call.text("wording") == "loose"
            && let Some(reworded) = self.transforms.free(&made.text, language, &call.source)
        {
            made.text = reworded.text;
            made.rules.extend(reworded.rules);
        }
        answer(made)
    }

    fn positive(&self, call: &Call) -> TextAnswer {
        let (text, language) = (call.text("text"), call.text("language"));
        let made = if call.text("wording") == "light" {
            pick(
                &self.transforms.light(text, language, &call.source),
                &[&call.document, "light"],
            )
            .cloned()
        } else {
            self.transforms.free(text, language, &call.source)
        };
        made.map_or_else(TextAnswer::default, answer)
    }
}

fn answer(made: Made) -> TextAnswer {
    TextAnswer {
        possible: true,
        text: made.text,
        rules: made.rules,
    }
}

/// Words of `text` that differ in `other`; a neighbour where words were only added.
fn span(text: &str, other: &str) -> Option<String> {
    let ranges = diff::changed(text, other);
    let [start, end] = *ranges.first()?;
    let words = text.get(start..end)?.trim();
    if !words.is_empty() {
        return Some(words.to_owned());
    }
    text.get(..start)
        .and_then(|t| t.split_whitespace().next_back())
        .or_else(|| text.split_whitespace().next())
        .map(str::to_owned)
}

fn pick<'a>(made: &'a [Made], salt: &[&str]) -> Option<&'a Made> {
    if made.is_empty() {
        return None;
    }
    made.get((hash(salt) % made.len() as u64) as usize)
}

fn hash(parts: &[&str]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    draw(&hasher.finalize())
}
