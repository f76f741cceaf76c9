//! What a run would ask and cost at most, without asking.

use std::collections::BTreeMap;

use super::ask::{LimitedBackend, Role, Subject};
use super::call::Call;
use super::flow::{MiningOptions, Mix};
use super::prompt::Prompts;
use crate::{Document, MineError, Typology};

/// An estimate from above: every document expresses as many variants as may be asked for, every
/// candidate is written and passes.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Documents.
    pub documents: usize,
    /// Calls by step.
    pub calls: BTreeMap<String, u64>,
    /// Tokens of prompts, by role.
    pub prompt_tokens: BTreeMap<String, u64>,
    /// Tokens of answers, by role.
    pub completion_tokens: BTreeMap<String, u64>,
    /// US dollars; `null` where no price was given.
    pub dollars: Option<f64>,
}

/// Who is asked, and how.
#[derive(Clone, Copy)]
pub struct Models<'a> {
    /// Prompts.
    pub prompts: &'a Prompts,
    /// Who writes.
    pub generator: &'a LimitedBackend,
    /// Who judges.
    pub judge: &'a LimitedBackend,
}

/// Tokens of an answer that carries so many bytes of text: a third of them, and its JSON.
fn answer_tokens(call: &Call) -> u64 {
    let text = match call.step.name() {
        "axis" | "judge" => 120,
        _ => call.text("text").len() as u64 / 3,
    };
    text + 40
}

/// Estimates a run over documents.
///
/// # Errors
/// When a prompt cannot be rendered.
pub fn estimate(
    documents: &[Document],
    typology: &Typology,
    options: MiningOptions,
    models: Models<'_>,
) -> Result<Estimate, MineError> {
    let Models {
        prompts,
        generator,
        judge,
    } = models;
    let mut found = Estimate {
        documents: documents.len(),
        dollars: (generator.price.is_some() || judge.price.is_some()).then_some(0.0),
        ..Estimate::default()
    };
    let mut add = |role: Role, call: &Call, times: u64| -> Result<(), MineError> {
        let model = if role == Role::Generator {
            generator
        } else {
            judge
        };
        *found.calls.entry(call.step.name().into()).or_default() += times;
        if !model.backend.is_prompted() {
            return Ok(());
        }
        let tokens = prompts.render(call)?.tokens() * times;
        let answer = answer_tokens(call) * times;
        *found.prompt_tokens.entry(role.name().into()).or_default() += tokens;
        *found
            .completion_tokens
            .entry(role.name().into())
            .or_default() += answer;
        if let (Some([i, o]), Some(dollars)) = (model.price, &mut found.dollars) {
            *dollars += (tokens as f64 * i + answer as f64 * o) / 1e6;
        }
        Ok(())
    };
    let both = options.mix == Mix::Balanced && generator.backend.is_free();
    let wordings = if both { 2 } else { 1 };
    for document in documents {
        let Some(language) = typology.language_of_code(&document.language) else {
            continue;
        };
        let subject = Subject {
            typology,
            id: &document.id,
            text: &document.text,
            source: &document.source,
            language,
        };
        let variants: Vec<_> = typology
            .of_source(&document.source)
            .take(options.variants)
            .collect();
        let Some(variant) = variants.first() else {
            continue;
        };
        let negatives = wordings * variants.len() as u64;
        let judged = 2 * u64::from(options.samples.max(1));
        add(Role::Generator, &subject.axis(options.variants), 1)?;
        let longest = |calls: [Call; 2]| -> Result<Call, MineError> {
            let [a, b] = calls;
            let longer = prompts.render(&a)?.tokens() >= prompts.render(&b)?.tokens();
            Ok(if longer { a } else { b })
        };
        let call =
            longest(["close", "loose"].map(|w| subject.negative(variant, &document.text, w)))?;
        add(Role::Generator, &call, negatives)?;
        let [call, _] = subject.judge("negative", Some(variant), &document.text);
        add(Role::Judge, &call, judged * negatives)?;
        let positives = if variants.len() > 1 || both { 2 } else { 1 };
        let call = longest(["light", "free"].map(|w| subject.positive(w)))?;
        add(Role::Generator, &call, positives)?;
        let [call, _] = subject.judge("positive", None, &document.text);
        add(Role::Judge, &call, judged * positives)?;
        if options.translate {
            let others = typology.languages.len() as u64 - 1;
            let times = others * (1 + negatives);
            add(Role::Generator, &subject.translation(language), times)?;
            let [call, _] = subject.judge("translation", None, &document.text);
            add(Role::Judge, &call, judged * times)?;
        }
    }
    Ok(found)
}
