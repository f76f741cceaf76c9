//! Questions: how each call is put together, and how it is asked: from the state where it was
//! answered before, else of a backend, within the limits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::backend::{Backend, Failure, Reply};
use super::call::{Answer, Asked, Call, Step, rubric};
use super::limit::{Budget, Rate};
use super::prompt::{Prompt, Prompts};
use super::state::{Kept, State};
use crate::typology::{Language, Triple, Typology, Variant};
use crate::{MineError, RunFolder};

/// Failed calls in a row after which a run stops: the server is not there.
const FAILURES: usize = 5;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Who writes.
    Generator,
    /// Who judges.
    Judge,
}

impl Role {
    /// Name in the state.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Generator => "generator",
            Self::Judge => "judge",
        }
    }
}

/// A backend with its limits.
pub struct LimitedBackend {
    /// Backend.
    pub backend: Box<dyn Backend>,
    /// US dollars per million tokens of prompt and answer, where given.
    pub price: Option<[f64; 2]>,
    /// Requests and tokens per minute.
    pub rate: Rate,
}

/// How a question ended.
#[derive(Debug, Clone, PartialEq)]
pub enum CallOutcome {
    /// It was answered.
    Answer(Answer),
    /// It waits in a request file.
    Pending,
    /// No reply was understood: unscored, never a score.
    NotUnderstood(String),
    /// The model refused.
    Refused(String),
    /// The server gave no answer; the next run asks again.
    Failed(String),
}

/// Why a run stops.
#[derive(Debug)]
pub enum Stop {
    /// The user asked for it.
    Interrupted,
    /// The next call could cost more than is left.
    Cost(String),
    /// No further call can succeed.
    Error(MineError),
}

impl From<MineError> for Stop {
    fn from(error: MineError) -> Self {
        Self::Error(error)
    }
}

/// What every run needs that asks models about passages.
pub struct CallPlan<'a> {
    /// Where it reads and writes.
    pub folder: RunFolder,
    /// Prompts.
    pub prompts: Prompts,
    /// Who writes.
    pub generator: LimitedBackend,
    /// Most US dollars over all runs of this folder.
    pub max_cost: Option<f64>,
    /// Documents worked on at once.
    pub concurrency: usize,
    /// Replies to one question that may fail to be understood.
    pub attempts: u32,
    /// Most documents; the first ones.
    pub limit: Option<usize>,
    /// Set when the run shall stop.
    pub stop: &'a AtomicBool,
    /// Gets the documents done and those in all.
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
}

/// Everything that asking needs. Used from several threads.
pub struct Asker<'a> {
    plan: &'a CallPlan<'a>,
    /// Answers given before.
    state: &'a State,
    /// Who judges.
    judge: &'a LimitedBackend,
    /// What may be spent.
    budget: Budget,
    /// Failed calls in a row.
    failures: AtomicUsize,
    /// Answers by step, and those that were in the state.
    pub counts: Mutex<BTreeMap<&'static str, [usize; 2]>>,
}

/// A call, and the backend that it goes to.
#[derive(Clone, Copy)]
struct Question<'a> {
    role: Role,
    model: &'a LimitedBackend,
    key: &'a str,
    call: &'a Call,
    prompt: &'a Prompt,
}

impl<'a> Asker<'a> {
    /// Goes on with what earlier runs of the folder left of the budget.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn new(
        plan: &'a CallPlan<'a>,
        state: &'a State,
        judge: &'a LimitedBackend,
    ) -> Result<Self, MineError> {
        let spent = state.spent()?.dollars.unwrap_or(0.0);
        Ok(Self {
            plan,
            state,
            judge,
            budget: Budget::new(plan.max_cost, spent),
            failures: AtomicUsize::new(0),
            counts: Mutex::default(),
        })
    }

    /// Who writes.
    #[must_use]
    pub fn generator(&self) -> &dyn Backend {
        self.plan.generator.backend.as_ref()
    }

    /// Asks.
    ///
    /// # Errors
    /// When the run has to stop.
    pub fn ask(&self, role: Role, call: &Call) -> Result<CallOutcome, Stop> {
        let model = match role {
            Role::Generator => &self.plan.generator,
            Role::Judge => self.judge,
        };
        let backend = model.backend.as_ref();
        let parameters = backend.parameters();
        let version = if backend.is_prompted() {
            self.plan.prompts.template(call)?.version()
        } else {
            String::new()
        };
        let key = call.key(Asked {
            model: backend.model(),
            prompt: &version,
            parameters: &parameters,
        });
        if !backend.is_free()
            && let Some(answer) = self.state.answer(&key)?
        {
            // Kept answers were understood when they came; one that is not now is asked anew.
            if let Ok(answer) = call.understand(&answer) {
                self.count(call.step, true);
                return Ok(CallOutcome::Answer(answer));
            }
        }
        let prompt = if backend.is_prompted() {
            self.plan.prompts.render(call)?
        } else {
            Prompt {
                system: String::new(),
                user: String::new(),
            }
        };
        let question = Question {
            role,
            model,
            key: &key,
            call,
            prompt: &prompt,
        };
        let mut reason = String::new();
        for _ in 0..self.plan.attempts.max(1) {
            let (reply, cost) = match self.reply(question)? {
                Ok(paid) => paid,
                Err(ended) => return Ok(ended),
            };
            match call.understand(&reply.text) {
                Ok(answer) => {
                    if !backend.is_free() {
                        self.state.keep(&Kept {
                            key,
                            role: role.name().into(),
                            step: call.step.name().into(),
                            model: backend.model().into(),
                            prompt: version,
                            schema: digest(&call.schema())[..12].to_owned(),
                            parameters: parameters.to_string(),
                            document: call.document.clone(),
                            input: digest(&call.input)[..32].to_owned(),
                            sample: call.sample,
                            answer: reply.text,
                            prompt_tokens: reply.prompt_tokens,
                            completion_tokens: reply.completion_tokens,
                            cost,
                        })?;
                    }
                    self.count(call.step, false);
                    return Ok(CallOutcome::Answer(answer));
                }
                Err(why) => {
                    self.waste(&key, role, &reply, cost)?;
                    reason = why;
                }
            }
            if backend.is_free() || !backend.is_limited() {
                break;
            }
        }
        Ok(CallOutcome::NotUnderstood(reason))
    }

    /// Asks the backend once, within the limits: the reply and its cost, or how the call ended
    /// without one.
    fn reply(
        &self,
        question: Question<'_>,
    ) -> Result<Result<(Reply, Option<f64>), CallOutcome>, Stop> {
        let Question {
            role,
            model,
            key,
            call,
            prompt,
        } = question;
        if self.plan.stop.load(Ordering::Relaxed) {
            return Err(Stop::Interrupted);
        }
        let backend = model.backend.as_ref();
        let answer_tokens = call.step.answer_tokens(call.text("text"));
        let estimate = model
            .price
            .map(|[i, o]| (prompt.tokens() as f64 * i + answer_tokens as f64 * o) / 1e6);
        let reserved = self
            .budget
            .reserve(estimate.unwrap_or(0.0))
            .map_err(Stop::Cost)?;
        let tokens = prompt.tokens() + answer_tokens;
        if backend.is_limited() && !model.rate.wait(tokens, self.plan.stop) {
            return Err(Stop::Interrupted);
        }
        match backend.answer(key, call, prompt) {
            Ok(reply) => {
                self.failures.store(0, Ordering::Relaxed);
                let cost = cost(&reply, model.price);
                reserved.settle(cost);
                Ok(Ok((reply, cost)))
            }
            Err(Failure::Pending) => Ok(Err(CallOutcome::Pending)),
            Err(Failure::Refused(reason, reply)) => {
                self.failures.store(0, Ordering::Relaxed);
                let cost = cost(&reply, model.price);
                reserved.settle(cost);
                self.waste(key, role, &reply, cost)?;
                Ok(Err(CallOutcome::Refused(reason)))
            }
            Err(Failure::Failed(error)) => {
                let row = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                if row >= FAILURES {
                    return Err(Stop::Error(error));
                }
                Ok(Err(CallOutcome::Failed(error.to_string())))
            }
            Err(Failure::Hopeless(error)) => Err(Stop::Error(error)),
        }
    }

    fn waste(
        &self,
        key: &str,
        role: Role,
        reply: &Reply,
        cost: Option<f64>,
    ) -> Result<(), MineError> {
        let tokens = [reply.prompt_tokens, reply.completion_tokens];
        self.state.waste(key, role.name(), tokens, cost)
    }

    fn count(&self, step: Step, cached: bool) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = counts.entry(step.name()).or_default();
        entry[0] += 1;
        entry[1] += usize::from(cached);
    }
}

fn cost(reply: &Reply, price: Option<[f64; 2]>) -> Option<f64> {
    reply.cost.or_else(|| {
        let [i, o] = price?;
        let tokens = |n: Option<u64>| n.unwrap_or(0) as f64;
        Some((tokens(reply.prompt_tokens) * i + tokens(reply.completion_tokens) * o) / 1e6)
    })
}

fn digest(value: &Value) -> String {
    blake3::hash(value.to_string().as_bytes())
        .to_hex()
        .to_string()
}

/// A text to be asked about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Typology.
    pub typology: &'a Typology,
    /// Id of the document.
    pub id: &'a str,
    /// Text.
    pub text: &'a str,
    /// Id of its source.
    pub source: &'a str,
    /// Its language.
    pub language: &'a Language,
}

impl<'a> Subject<'a> {
    /// The source text of a triple of the typology.
    #[must_use]
    pub fn of(
        typology: &'a Typology,
        variant: &'a Variant,
        language: &'a Language,
        triple: &'a Triple,
    ) -> Self {
        Self {
            typology,
            id: &variant.id,
            text: &triple.source,
            source: typology
                .pattern(&variant.pattern)
                .map_or("", |p| p.source.as_str()),
            language,
        }
    }
}

impl Subject<'_> {
    fn call(&self, step: Step, pattern: &str, fields: Value) -> Call {
        let source = self.typology.source(self.source);
        let named = |map: Option<&BTreeMap<String, String>>, language: &str| {
            map.and_then(|m| m.get(language))
                .cloned()
                .unwrap_or_default()
        };
        let mut input = json!({
            "source": self.source,
            "source_name": named(source.map(|s| &s.name), "en"),
            "register": named(source.map(|s| &s.register), &self.language.id),
            "language": self.language.id,
            "language_name": self.language.name,
        });
        if let (Value::Object(input), Value::Object(fields)) = (&mut input, fields) {
            input.extend(fields);
        }
        Call {
            step,
            document: self.id.to_owned(),
            source: self.source.to_owned(),
            pattern: pattern.to_owned(),
            input,
            sample: 0,
        }
    }

    /// Which variants of its source it can express, at most so many.
    #[must_use]
    pub fn axis(&self, most: usize) -> Call {
        let variants: Vec<Value> = self
            .typology
            .of_source(self.source)
            .map(|v| {
                json!({"id": v.id, "applies_when": v.applies_when, "negative_changes": v.negative_changes})
            })
            .collect();
        self.call(
            Step::Axis,
            "",
            json!({"text": self.text, "variants": variants, "most": most}),
        )
    }

    /// A negative of a variant at a span, in a wording (`close`, `loose`).
    #[must_use]
    pub fn negative(&self, variant: &Variant, span: &str, wording: &str) -> Call {
        // The example is of the wording and of the text's language, and never the text itself.
        let example = if wording == "loose" {
            self.typology
                .example(self.source, &self.language.id)
                .map(|e| (&e.text, &e.loose, &e.variant))
        } else {
            let triple = variant.texts.get(&self.language.id);
            triple.map(|t| (&t.source, &t.negative, &variant.id))
        };
        let example = example
            .filter(|(source, ..)| *source != self.text)
            .map(|(source, text, id)| json!({"source": source, "text": text, "variant": id}));
        self.call(
            Step::Negative,
            &variant.pattern,
            json!({
                "text": self.text,
                "variant": self.variant(variant),
                "span": span,
                "wording": wording,
                "example": example,
            }),
        )
    }

    /// A positive in a wording (`light`, `free`).
    #[must_use]
    pub fn positive(&self, wording: &str) -> Call {
        let example = self.typology.example(self.source, &self.language.id);
        let example = example.map(|e| {
            let text = if wording == "light" {
                &e.light
            } else {
                &e.free
            };
            json!({"source": e.text, "text": text})
        });
        self.call(
            Step::Positive,
            "",
            json!({"text": self.text, "wording": wording, "example": example}),
        )
    }

    /// An exact translation.
    #[must_use]
    pub fn translation(&self, into: &Language) -> Call {
        self.call(
            Step::Translation,
            "",
            json!({
                "text": self.text,
                "other_language": into.id,
                "other_language_name": into.name,
            }),
        )
    }

    /// The text in the form of another kind of text.
    #[must_use]
    pub fn rewrite(&self, as_source: &str) -> Call {
        let target = Subject {
            source: as_source,
            ..*self
        };
        target.call(
            Step::Synthesis,
            "",
            json!({"text": self.text, "from": self.source}),
        )
    }

    /// The two calls, one per order, that judge a pair.
    #[must_use]
    pub fn judge(&self, kind: &str, variant: Option<&Variant>, candidate: &str) -> [Call; 2] {
        let pattern = variant.map_or("", |v| v.pattern.as_str());
        let of = |original: &str, first: &str, second: &str| {
            self.call(
                Step::Judge,
                pattern,
                json!({
                    "kind": kind,
                    "original": original,
                    "variant": variant.map(|v| self.variant(v)),
                    "first": first,
                    "second": second,
                    "rubric": rubric(self.typology, kind),
                }),
            )
        };
        [
            of("first", self.text, candidate),
            of("second", candidate, self.text),
        ]
    }

    fn variant(&self, variant: &Variant) -> Value {
        let pattern = self.typology.pattern(&variant.pattern);
        json!({
            "id": variant.id,
            "name": pattern.and_then(|p| p.name.get("en").or_else(|| p.name.values().next())),
            "definition": pattern.map(|p| &p.definition),
            "negative_changes": variant.negative_changes,
            "preserve": variant.preserve,
            "trap": variant.trap,
        })
    }
}

/// One call of every kind about a triple of the typology, for tests of prompts.
#[must_use]
pub fn every_kind(
    typology: &Typology,
    variant: &Variant,
    language: &Language,
    triple: &Triple,
) -> Vec<Call> {
    let subject = Subject::of(typology, variant, language, triple);
    let mut calls = vec![
        subject.axis(2),
        subject.negative(variant, &triple.source, "loose"),
        subject.positive("light"),
        subject.translation(language),
        subject.rewrite("disclosure"),
    ];
    calls.extend(subject.judge("negative", Some(variant), &triple.negative));
    calls.extend(subject.judge("positive", None, &triple.positive));
    calls.extend(subject.judge("translation", None, &triple.positive));
    calls
}
