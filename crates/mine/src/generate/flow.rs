//! What becomes of one document.

use std::collections::BTreeMap;

use super::ask::{Asker, CallOutcome, Role, Stop, Subject};
use super::call::{Answer, Call, Tag, TextAnswer};
use super::excerpt::excerpts;
use crate::Document;
use crate::generation::Yield;
use crate::typology::{Typology, Variant};

/// The steps that a document goes through, in order.
pub const STEPS: [&str; 6] = [
    "axis",
    "negative",
    "negative-judge",
    "positive",
    "positive-judge",
    "assemble",
];

/// Which wordings are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Negatives close to the source and positives freely worded, or loosely worded negatives and
    /// lightly edited positives, in equal parts: overlap alone says nothing.
    Balanced,
    /// Always a close negative and a free positive.
    Naive,
}

impl Mix {
    /// Name in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::Naive => "naive",
        }
    }
}

/// How documents are worked on.
#[derive(Debug, Clone, Copy)]
pub struct MiningOptions {
    /// Wordings.
    pub mix: Mix,
    /// Most variants per document.
    pub variants: usize,
    /// Judgements of each order; the least total counts.
    pub samples: u32,
    /// Whether translations are asked for.
    pub translate: bool,
    /// Sentences of a passage that its triplets are about, at most; 0 = all.
    pub sentences: usize,
}

/// A text that was written and judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scored {
    /// Text.
    pub text: String,
    /// Rules.
    pub rules: Vec<String>,
    /// `close`, `loose`, `light`, `free` or `exact`.
    pub wording: &'static str,
    /// Total.
    pub score: u8,
}

/// One judged pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// `negative`, `positive`, `translation`.
    pub kind: &'static str,
    /// Least total; `None` where it is unscored.
    pub total: Option<u8>,
    /// Whether it is kept.
    pub kept: bool,
    /// Whether the orders differ by more than a point.
    pub disagree: bool,
}

/// What became of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentOutcome {
    /// The text that its triplets are about.
    pub anchor: String,
    /// Per step that it entered: `None` where it went on, else why not.
    pub steps: Vec<(&'static str, Option<String>)>,
    /// Judgements.
    pub judged: Vec<Judged>,
    /// Negatives by variant.
    pub variants: BTreeMap<String, Yield>,
    /// Rules by part in candidates: written, kept.
    pub rules: BTreeMap<String, [usize; 2]>,
    /// Negatives kept, by variant.
    pub negatives: Vec<(String, Scored)>,
    /// Positives kept.
    pub positives: Vec<Scored>,
    /// Translations kept.
    pub translations: Vec<Translation>,
    /// Whether calls wait for results, or failed: the next run asks again.
    pub unfinished: bool,
}

/// Translations of a text into one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// Code of the language.
    pub language: String,
    /// The text, translated.
    pub text: Scored,
    /// Its negatives, translated, by their position in [`DocumentOutcome::negatives`].
    pub negatives: BTreeMap<usize, Scored>,
}

/// One answer to a question that writes a text.
enum Written {
    Text(TextAnswer),
    Not(&'static str),
}

struct Work<'a> {
    asker: &'a Asker<'a>,
    subject: Subject<'a>,
    options: MiningOptions,
    outcome: DocumentOutcome,
}

/// Works on a document.
///
/// # Errors
/// When the run has to stop; what was answered is kept.
pub fn mine(
    document: &Document,
    typology: &Typology,
    options: MiningOptions,
    asker: &Asker<'_>,
) -> Result<DocumentOutcome, Stop> {
    let mut outcome = DocumentOutcome::default();
    let Some(language) = typology.language_of_code(&document.language) else {
        outcome.steps.push((
            "axis",
            Some(format!(
                "the typology has no language {}",
                document.language
            )),
        ));
        return Ok(outcome);
    };
    if typology.source(&document.source).is_none() {
        outcome.steps.push((
            "axis",
            Some(format!("the typology has no source {}", document.source)),
        ));
        return Ok(outcome);
    }
    let mut work = Work {
        asker,
        subject: Subject {
            typology,
            id: &document.id,
            text: &document.text,
            source: &document.source,
            language,
        },
        options,
        outcome,
    };
    work.run(excerpts(&document.text, options.sentences, &document.id))?;
    Ok(work.outcome)
}

impl<'a> Work<'a> {
    fn run(&mut self, mut texts: Vec<&'a str>) -> Result<(), Stop> {
        // Whoever is paid is asked about one excerpt.
        let free = self.asker.generator().is_free();
        if !free {
            texts.truncate(1);
        }
        // The first with a variant, better still one that can be worded otherwise too.
        let mut found: Option<(&str, Vec<Tag>)> = None;
        let mut why = "no sentence says enough";
        for text in texts {
            self.subject.text = text;
            let (tags, reason) = self.axis()?;
            why = reason;
            if tags.is_empty() {
                continue;
            }
            let complete = !free || self.can_be_reworded()?;
            if complete || found.is_none() {
                found = Some((text, tags));
            }
            if complete {
                break;
            }
        }
        self.step("axis", found.is_some(), why);
        let Some((text, tags)) = found else {
            return Ok(());
        };
        self.subject.text = text;
        text.clone_into(&mut self.outcome.anchor);
        let mut written = Vec::new();
        let mut why = "cannot be written";
        for Tag { id, span } in &tags {
            let Some(variant) = self.subject.typology.variant(id) else {
                continue;
            };
            for wording in self.negative_wordings(id) {
                self.outcome.variants.entry(id.clone()).or_default().tried += 1;
                match self.write(&self.subject.negative(variant, span, wording))? {
                    Written::Text(text) => {
                        self.outcome.variants.entry(id.clone()).or_default().written += 1;
                        written.push((variant, wording, text));
                    }
                    Written::Not(reason) => why = reason,
                }
            }
        }
        if !self.step("negative", !written.is_empty(), why) {
            return Ok(());
        }
        let mut why = "below the threshold";
        for (variant, wording, text) in written {
            match self.judged("negative", Some(variant), &text.text)? {
                Ok(score) => {
                    self.outcome
                        .variants
                        .entry(variant.id.clone())
                        .or_default()
                        .accepted += 1;
                    self.rules(&text.rules, true);
                    let scored = scored(text, wording, score);
                    self.outcome.negatives.push((variant.id.clone(), scored));
                }
                Err(reason) => {
                    self.rules(&text.rules, false);
                    why = reason;
                }
            }
        }
        if !self.step("negative-judge", !self.outcome.negatives.is_empty(), why) {
            return Ok(());
        }
        self.positives()
    }

    /// Whether a positive of some wording can be written; of who costs nothing every close negative
    /// asks for all of them.
    fn can_be_reworded(&mut self) -> Result<bool, Stop> {
        for wording in self.positive_wordings("close") {
            if let Written::Text(_) = self.write(&self.subject.positive(wording))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Variants and the words they apply to, and the reason where there are none.
    fn axis(&mut self) -> Result<(Vec<Tag>, &'static str), Stop> {
        let Subject {
            typology,
            text,
            source,
            language,
            ..
        } = self.subject;
        let rules = !self.asker.generator().is_prompted();
        if rules && !typology.reads_as(source, text, &language.id) {
            return Ok((Vec::new(), "reads as another kind of text"));
        }
        let call = self.subject.axis(self.options.variants);
        Ok(match self.asker.ask(Role::Generator, &call)? {
            CallOutcome::Answer(Answer::Axis(found)) => {
                let mut tags: Vec<Tag> = Vec::new();
                for tag in found.variants {
                    if !tags.iter().any(|t| t.id == tag.id) {
                        tags.push(tag);
                    }
                }
                tags.truncate(self.options.variants);
                (tags, "no variant applies")
            }
            other => (Vec::new(), self.not(&other)),
        })
    }

    fn positives(&mut self) -> Result<(), Stop> {
        let mut wanted: Vec<&'static str> = Vec::new();
        for (_, negative) in &self.outcome.negatives {
            for wording in self.positive_wordings(negative.wording) {
                if !wanted.contains(&wording) {
                    wanted.push(wording);
                }
            }
        }
        let mut written = Vec::new();
        let mut why = "cannot be written";
        for wording in wanted {
            match self.write(&self.subject.positive(wording))? {
                Written::Text(text) => written.push((wording, text)),
                Written::Not(reason) => why = reason,
            }
        }
        let translated = self.translate()?;
        if !self.step("positive", !written.is_empty() || translated, why) {
            return Ok(());
        }
        let mut why = "below the threshold";
        for (wording, text) in written {
            match self.judged("positive", None, &text.text)? {
                Ok(score) => {
                    self.rules(&text.rules, true);
                    self.outcome.positives.push(scored(text, wording, score));
                }
                Err(reason) => {
                    self.rules(&text.rules, false);
                    why = reason;
                }
            }
        }
        let any = !self.outcome.positives.is_empty() || !self.outcome.translations.is_empty();
        self.step("positive-judge", any, why);
        Ok(())
    }

    /// Exact translations of the text and of its negatives into every other language; whether any
    /// was written.
    fn translate(&mut self) -> Result<bool, Stop> {
        if !self.options.translate {
            return Ok(false);
        }
        let mut any = false;
        let typology = self.subject.typology;
        for language in &typology.languages {
            if language.id == self.subject.language.id {
                continue;
            }
            let Some(text) = self.translation(self.subject, language)? else {
                continue;
            };
            any = true;
            let mut negatives = BTreeMap::new();
            for (at, (_, negative)) in self.outcome.negatives.clone().iter().enumerate() {
                let subject = Subject {
                    text: &negative.text,
                    ..self.subject
                };
                if let Some(translated) = self.translation(subject, language)? {
                    negatives.insert(at, translated);
                }
            }
            if !negatives.is_empty() {
                self.outcome.translations.push(Translation {
                    language: language.code.clone(),
                    text,
                    negatives,
                });
            }
        }
        Ok(any)
    }

    fn translation(
        &mut self,
        subject: Subject<'_>,
        language: &crate::typology::Language,
    ) -> Result<Option<Scored>, Stop> {
        let Written::Text(text) = self.write(&subject.translation(language))? else {
            return Ok(None);
        };
        let judged = self.judged_as(subject, "translation", None, &text.text)?;
        Ok(judged.ok().map(|score| scored(text, "exact", score)))
    }

    fn write(&mut self, call: &Call) -> Result<Written, Stop> {
        Ok(match self.asker.ask(Role::Generator, call)? {
            CallOutcome::Answer(Answer::Text(text)) if text.possible => Written::Text(text),
            CallOutcome::Answer(_) => Written::Not("cannot be written"),
            other => Written::Not(self.not(&other)),
        })
    }

    fn judged(
        &mut self,
        kind: &'static str,
        variant: Option<&Variant>,
        candidate: &str,
    ) -> Result<Result<u8, &'static str>, Stop> {
        self.judged_as(self.subject, kind, variant, candidate)
    }

    /// The total with which a pair is kept, or why it is not.
    fn judged_as(
        &mut self,
        subject: Subject<'_>,
        kind: &'static str,
        variant: Option<&Variant>,
        candidate: &str,
    ) -> Result<Result<u8, &'static str>, Stop> {
        let threshold = subject.typology.threshold(kind);
        let candidate = Candidate {
            kind,
            variant,
            text: candidate,
        };
        let judgement = judge(self.asker, subject, candidate, self.options.samples)?;
        let (total, disagree) = match judgement {
            Judgement::Total { least, disagree } => (Some(least), disagree),
            Judgement::Unscored(ended) => {
                let why = self.not(&ended);
                if ended == CallOutcome::Pending {
                    return Ok(Err(why));
                }
                (None, false)
            }
        };
        let kept = total.is_some_and(|t| t >= threshold);
        self.outcome.judged.push(Judged {
            kind,
            total,
            kept,
            disagree,
        });
        Ok(match total {
            Some(total) if kept => Ok(total),
            Some(_) => Err("below the threshold"),
            None => Err("unscored"),
        })
    }

    fn step(&mut self, step: &'static str, on: bool, why: &str) -> bool {
        let why = (!on).then(|| why.to_owned());
        self.outcome.steps.push((step, why));
        on
    }

    fn not(&mut self, ended: &CallOutcome) -> &'static str {
        match ended {
            CallOutcome::Answer(_) => "another answer",
            CallOutcome::Pending => {
                self.outcome.unfinished = true;
                "waiting"
            }
            CallOutcome::NotUnderstood(_) => "not understood",
            CallOutcome::Refused(_) => "refused",
            CallOutcome::Failed(_) => {
                self.outcome.unfinished = true;
                "failed"
            }
        }
    }

    fn rules(&mut self, rules: &[String], kept: bool) {
        for rule in rules {
            let entry = self.outcome.rules.entry(rule.clone()).or_default();
            entry[0] += 1;
            entry[1] += usize::from(kept);
        }
    }

    /// Who costs nothing writes every wording, and the best mix is chosen of them; else the
    /// document and the variant decide which one is paid for.
    fn negative_wordings(&self, variant: &str) -> Vec<&'static str> {
        match self.options.mix {
            Mix::Naive => vec!["close"],
            Mix::Balanced if self.asker.generator().is_free() => vec!["close", "loose"],
            Mix::Balanced => {
                let hash = blake3::hash(format!("{}|{variant}", self.subject.id).as_bytes());
                vec![if hash.as_bytes()[0] & 1 == 0 {
                    "close"
                } else {
                    "loose"
                }]
            }
        }
    }

    fn positive_wordings(&self, negative: &str) -> Vec<&'static str> {
        match self.options.mix {
            Mix::Naive => vec!["free"],
            Mix::Balanced if self.asker.generator().is_free() => vec!["free", "light"],
            Mix::Balanced if negative == "close" => vec!["free"],
            Mix::Balanced => vec!["light"],
        }
    }
}

fn scored(text: TextAnswer, wording: &'static str, score: u8) -> Scored {
    Scored {
        text: text.text,
        rules: text.rules,
        wording,
        score,
    }
}

/// What a judge compares with a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// One of [`KINDS`](crate::typology::KINDS).
    pub kind: &'a str,
    /// Variant that a negative is of.
    pub variant: Option<&'a Variant>,
    /// Its text.
    pub text: &'a str,
}

/// A judgement of a pair over both orders.
pub(super) enum Judgement {
    /// The least total, and whether the orders differ by more than a point.
    Total { least: u8, disagree: bool },
    /// None of the answers is a score.
    Unscored(CallOutcome),
}

/// Asks the judge about a pair, in both orders and so many times each. A pair that the first order
/// refuses is not asked about again: its least total cannot rise.
pub(super) fn judge(
    asker: &Asker<'_>,
    subject: Subject<'_>,
    candidate: Candidate<'_>,
    samples: u32,
) -> Result<Judgement, Stop> {
    let Candidate {
        kind,
        variant,
        text,
    } = candidate;
    let threshold = subject.typology.threshold(kind);
    let mut totals: Vec<u8> = Vec::new();
    for call in subject.judge(kind, variant, text) {
        for sample in 0..samples.max(1) {
            let call = Call {
                sample,
                ..call.clone()
            };
            match asker.ask(Role::Judge, &call)? {
                CallOutcome::Answer(Answer::Judgement(found)) => totals.push(found.total()),
                other => return Ok(Judgement::Unscored(other)),
            }
            if totals.last().is_some_and(|t| *t < threshold) {
                break;
            }
        }
        if totals.last().is_some_and(|t| *t < threshold) {
            break;
        }
    }
    let least = totals.iter().copied().min().unwrap_or(0);
    let most = totals.iter().copied().max().unwrap_or(0);
    Ok(Judgement::Total {
        least,
        disagree: most - least > 1,
    })
}
