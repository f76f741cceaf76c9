//! What is asked: one call of a generator or a judge, its key, its schema, and what an answer must
//! hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::typology::Typology;
use korfinsts_base::json;
use korfinsts_base::text;

/// A step of generation that asks somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Which variants a text can express.
    Axis,
    /// A text of another meaning.
    Negative,
    /// A text of the same meaning in the same language.
    Positive,
    /// The text in another language.
    Translation,
    /// The text in the form of a disclosure.
    Synthesis,
    /// How well a pair is what it should be.
    Judge,
}

impl Step {
    /// Name in keys, counts and prompts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Axis => "axis",
            Self::Negative => "negative",
            Self::Positive => "positive",
            Self::Translation => "translation",
            Self::Synthesis => "synthesis",
            Self::Judge => "judge",
        }
    }

    /// Tokens that an answer may have beyond those of its text: what a request allows.
    #[must_use]
    pub fn answer_tokens(self, text: &str) -> u64 {
        let text = text.len() as u64;
        match self {
            Self::Axis | Self::Judge => 600,
            Self::Negative | Self::Positive | Self::Translation | Self::Synthesis => 300 + text,
        }
    }
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Step.
    pub step: Step,
    /// Id of the document it is for; the variant's for a calibration.
    pub document: String,
    /// Kind of the text, for the choice of a prompt.
    pub source: String,
    /// Pattern, for the choice of a prompt; empty where the call is about none.
    pub pattern: String,
    /// What is asked, in full: everything the answer may depend on.
    pub input: Value,
    /// Repetition of the same question, from 0.
    pub sample: u32,
}

/// What decides an answer, besides the call.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Model.
    pub model: &'a str,
    /// Version of the prompt.
    pub prompt: &'a str,
    /// Parameters of the model.
    pub parameters: &'a Value,
}

impl Call {
    /// Key of the answer: 32 hexadecimal digits over step, model, prompt version, schema,
    /// parameters, input and sample.
    #[must_use]
    pub fn key(&self, asked: Asked<'_>) -> String {
        let parts = json!([
            self.step.name(),
            asked.model,
            asked.prompt,
            self.schema(),
            asked.parameters,
            self.input,
            self.sample
        ]);
        blake3::hash(parts.to_string().as_bytes()).to_hex()[..32].to_owned()
    }

    /// A field of the input as text.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.input
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// JSON schema of the answer, strict: every field required, none beyond.
    #[must_use]
    pub fn schema(&self) -> Value {
        let object = |fields: Value| {
            let names: Vec<&String> = fields
                .as_object()
                .map(|o| o.keys().collect())
                .unwrap_or_default();
            json!({"type": "object", "properties": fields, "required": names, "additionalProperties": false})
        };
        match self.step {
            Step::Axis => {
                let ids: Vec<&Value> = self
                    .input
                    .get("variants")
                    .and_then(Value::as_array)
                    .map(|v| v.iter().filter_map(|v| v.get("id")).collect())
                    .unwrap_or_default();
                let item = object(json!({
                    "id": {"type": "string", "enum": ids},
                    "span": {"type": "string"},
                }));
                object(json!({"variants": {"type": "array", "items": item}}))
            }
            Step::Negative | Step::Positive | Step::Translation | Step::Synthesis => {
                object(json!({
                    "possible": {"type": "boolean"},
                    "text": {"type": "string"},
                }))
            }
            Step::Judge => {
                let scores: serde_json::Map<String, Value> = self
                    .rubric()
                    .map(|(id, most)| {
                        (
                            id.to_owned(),
                            json!({"type": "integer", "minimum": 0, "maximum": most}),
                        )
                    })
                    .collect();
                object(json!({
                    "scores": object(Value::Object(scores)),
                    "evidence": {"type": "string"},
                    "reason": {"type": "string"},
                }))
            }
        }
    }

    /// Sub-scores of a judge's call: ids and greatest values.
    fn rubric(&self) -> impl Iterator<Item = (&str, u64)> {
        self.input
            .get("rubric")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|s| Some((s.get("id")?.as_str()?, s.get("most")?.as_u64()?)))
    }

    /// Understands a reply, and checks it beyond its schema.
    ///
    /// # Errors
    /// In words, why it is no answer to this call.
    pub fn understand(&self, reply: &str) -> Result<Answer, String> {
        let reply = unfenced(reply);
        match self.step {
            Step::Axis => {
                let found: AxisAnswer = json::parse_as(reply.as_bytes())?;
                let allowed = self.schema();
                let allowed =
                    &allowed["properties"]["variants"]["items"]["properties"]["id"]["enum"];
                let allowed = allowed.as_array().cloned().unwrap_or_default();
                for tag in &found.variants {
                    if !allowed.iter().any(|id| id == &tag.id) {
                        return Err(format!("`{}` is no variant that was asked about", tag.id));
                    }
                    if tag.span.trim().is_empty() || !self.text("text").contains(&tag.span) {
                        return Err(format!(
                            "the span of `{}` does not stand in the text",
                            tag.id
                        ));
                    }
                }
                Ok(Answer::Axis(found))
            }
            Step::Negative | Step::Positive | Step::Translation | Step::Synthesis => {
                let mut found: TextAnswer = json::parse_as(reply.as_bytes())?;
                if found.possible {
                    let source = self.text("text");
                    found.text = text::nfc(found.text.trim());
                    if found.text.is_empty() {
                        return Err("`possible` is true and `text` is empty".into());
                    }
                    if found.text == source {
                        return Err("the text is that of the source, unchanged".into());
                    }
                    if found.text.len() > 4 * source.len() + 200 {
                        return Err("the text is more than four times as long as the source".into());
                    }
                    // A flaw that the source has too is not the writer's.
                    if let Some(flaw) =
                        text::flaw(&found.text).filter(|_| text::flaw(source).is_none())
                    {
                        return Err(format!("the text holds {flaw}"));
                    }
                }
                Ok(Answer::Text(found))
            }
            Step::Judge => {
                let found: JudgeAnswer = json::parse_as(reply.as_bytes())?;
                let rubric: BTreeMap<&str, u64> = self.rubric().collect();
                if !found
                    .scores
                    .keys()
                    .map(String::as_str)
                    .eq(rubric.keys().copied())
                {
                    return Err(format!(
                        "the scores are `{}`, asked for were `{}`",
                        found
                            .scores
                            .keys()
                            .cloned()
                            .collect::<Vec<_>>()
                            .join("`, `"),
                        rubric.keys().copied().collect::<Vec<_>>().join("`, `")
                    ));
                }
                for (id, score) in &found.scores {
                    let most = rubric.get(id.as_str()).copied().unwrap_or(0);
                    if u64::from(*score) > most {
                        return Err(format!("`{id}` is {score}, allowed are 0 to {most}"));
                    }
                }
                let evidence = found.evidence.trim();
                let stands = ["first", "second"]
                    .iter()
                    .any(|side| self.text(side).contains(evidence));
                if evidence.is_empty() || !stands {
                    return Err("the evidence stands in neither text".into());
                }
                Ok(Answer::Judgement(found))
            }
        }
    }
}

/// An answer that was understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To [`Step::Axis`].
    Axis(AxisAnswer),
    /// To a step that writes a text.
    Text(TextAnswer),
    /// To [`Step::Judge`].
    Judgement(JudgeAnswer),
}

/// Variants that a text can express.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AxisAnswer {
    /// Each with the words of the text it hangs on.
    pub variants: Vec<Tag>,
}

/// A variant and where in the text it applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// Id of the variant.
    pub id: String,
    /// Words of the text.
    pub span: String,
}

/// A text that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextAnswer {
    /// Whether it could be written.
    pub possible: bool,
    /// The text; empty where it could not.
    pub text: String,
    /// Rules that wrote it, where rules did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}

/// A judgement. Its total is computed here, never by the judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeAnswer {
    /// Sub-scores.
    pub scores: BTreeMap<String, u8>,
    /// Words of one of the texts that the judgement rests on.
    pub evidence: String,
    /// Why, in a sentence.
    pub reason: String,
}

impl JudgeAnswer {
    /// The sum of the sub-scores, 0 to 10.
    #[must_use]
    pub fn total(&self) -> u8 {
        self.scores.values().sum()
    }
}

/// The rubric of a kind of pair, as a call holds it.
#[must_use]
pub fn rubric(typology: &Typology, kind: &str) -> Value {
    typology
        .rubric(kind)
        .map(|s| json!({"id": s.id, "most": s.most, "asks": s.asks}))
        .collect()
}

/// A reply without the fence that some models put around JSON.
fn unfenced(reply: &str) -> &str {
    let trimmed = reply.trim();
    let Some(inside) = trimmed
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"))
    else {
        return trimmed;
    };
    inside.strip_prefix("json").unwrap_or(inside).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(step: Step, input: Value) -> Call {
        Call {
            step,
            document: "d".into(),
            source: "news".into(),
            pattern: String::new(),
            input,
            sample: 0,
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_with_the_reason() {
        let axis = call(
            Step::Axis,
            json!({"text": "영업이익이 증가했다.", "variants": [{"id": "a.b.c"}]}),
        );
        let text = call(Step::Negative, json!({"text": "원문이다."}));
        let judge = call(
            Step::Judge,
            json!({"first": "갑이다.", "second": "을이다.", "rubric": [{"id": "x", "most": 4}, {"id": "y", "most": 6}]}),
        );
        for (call, reply, reason) in [
            (
                &axis,
                r#"{"variants":[{"id":"a.b.d","span":"증가"}]}"#,
                "no variant that was asked",
            ),
            (
                &axis,
                r#"{"variants":[{"id":"a.b.c","span":"감소"}]}"#,
                "does not stand in the text",
            ),
            (
                &axis,
                r#"{"variants":[],"extra":1}"#,
                "unknown field `extra`",
            ),
            (&text, r#"{"possible":true,"text":" "}"#, "`text` is empty"),
            (
                &text,
                r#"{"possible":true,"text":"원문이다."}"#,
                "unchanged",
            ),
            (&text, r#"{"possible":true,"text":"다"#, "EOF"),
            (&text, "I cannot help with that.", "expected"),
            (
                &text,
                "{\"possible\":true,\"text\":\"a\\u200bb\"}",
                "U+200B",
            ),
            (
                &text,
                r#"{"possible":true,"possible":false,"text":""}"#,
                "occurs twice",
            ),
            (
                &judge,
                r#"{"scores":{"x":4},"evidence":"갑","reason":""}"#,
                "asked for were `x`, `y`",
            ),
            (
                &judge,
                r#"{"scores":{"x":5,"y":1},"evidence":"갑","reason":""}"#,
                "`x` is 5, allowed are 0 to 4",
            ),
            (
                &judge,
                r#"{"scores":{"x":4,"y":6},"evidence":"병","reason":""}"#,
                "stands in neither text",
            ),
            (
                &judge,
                r#"{"scores":{"x":4,"y":6},"evidence":" ","reason":""}"#,
                "stands in neither text",
            ),
            (
                &judge,
                r#"{"scores":{"x":-1,"y":6},"evidence":"갑","reason":""}"#,
                "invalid value",
            ),
            (
                &judge,
                r#"{"score":10,"evidence":"갑","reason":""}"#,
                "unknown field `score`",
            ),
        ] {
            let error = call.understand(reply).expect_err(reply);
            assert!(error.contains(reason), "{reply}: {error}");
        }
        let fenced = "```json\n{\"possible\":false,\"text\":\"\"}\n```";
        assert_eq!(
            text.understand(fenced),
            Ok(Answer::Text(TextAnswer::default()))
        );
        match judge.understand(r#"{"scores":{"x":3,"y":6},"evidence":"을","reason":"r"}"#) {
            Ok(Answer::Judgement(found)) => assert_eq!(found.total(), 9),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_names_everything_that_decides_an_answer() {
        let none = json!({});
        let warm = json!({"temperature": 1});
        let asked = Asked {
            model: "m",
            prompt: "p",
            parameters: &none,
        };
        let base = call(Step::Negative, json!({"text": "a"}));
        let key = base.key(asked);
        assert_eq!(key, base.clone().key(asked));
        let mut others = vec![
            call(Step::Positive, json!({"text": "a"})).key(asked),
            call(Step::Negative, json!({"text": "b"})).key(asked),
            Call {
                sample: 1,
                ..base.clone()
            }
            .key(asked),
            base.key(Asked {
                model: "n",
                ..asked
            }),
            base.key(Asked {
                prompt: "q",
                ..asked
            }),
            base.key(Asked {
                parameters: &warm,
                ..asked
            }),
        ];
        others.push(key);
        others.sort();
        others.dedup();
        assert_eq!(others.len(), 7);
    }
}
