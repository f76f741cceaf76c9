//! A whole run: passages in, triplets and `generation.json` out.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::ask::{Asker, CallPlan, LimitedBackend, Stop};
use super::assemble::{Assembler, from_templates};
use super::backend::same_model;
use super::calibrate::calibrate;
use super::flow::{self, DocumentOutcome, MiningOptions, STEPS};
use super::state::State;
use super::{margin, shortcut};
use crate::document::passages as each_passage;
use crate::generation::{
    Calibration, Cost, Distribution, Generation, JudgeCount, Leakage, Provenance, RuleCount,
    SCHEMA, Sides, Status, StepCount, Yield,
};
use crate::minhash::Signature;
use crate::step::contamination::{Search, SuiteIndex};
use crate::typology::{KINDS, MOST};
use crate::{Document, MineError, Place, RunFolder, Transforms, Triplet, Typology};
use korfinsts_base::fs;
use korfinsts_bench::run::record::to_json;
use korfinsts_bench::suite::Suite;
use korfinsts_encoder::Encoder;

/// What a run needs.
pub struct GenerationPlan<'a> {
    /// Passages, and who writes.
    pub calls: CallPlan<'a>,
    /// Typology.
    pub typology: Arc<Typology>,
    /// Rules.
    pub transforms: Arc<Transforms>,
    /// Who judges.
    pub judge: LimitedBackend,
    /// How documents are worked on.
    pub options: MiningOptions,
    /// Triples that the judge is calibrated on; 0: none.
    pub calibration: usize,
    /// Least accuracy of the calibration.
    pub least_accuracy: f64,
    /// Triplets from slot templates for every hundred from documents.
    pub template_percent: usize,
    /// Encoder whose margins are measured.
    pub encoder: Option<(String, Box<dyn Encoder>)>,
    /// Suites whose texts may not be in triplets.
    pub suites: Vec<Suite>,
    /// Suites that are known and not installed.
    pub absent_suites: Vec<String>,
    /// Where the answers are written as lines.
    pub record: Option<PathBuf>,
}

/// How a run ended.
#[derive(Debug)]
pub struct RunOutcome {
    /// What was counted; also in `generation.json`.
    pub generation: Generation,
    /// What the user has to do next, in words.
    pub next: Vec<String>,
    /// The error that stopped it, after everything was written.
    pub error: Option<MineError>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// Reads the passages of a run folder.
///
/// # Errors
/// When the file is missing or a line is no document.
pub fn passages(folder: &RunFolder, limit: Option<usize>) -> Result<Vec<Document>, MineError> {
    let mut found = Vec::new();
    let mut seen = HashMap::new();
    each_passage(folder, &mut |line, document| {
        if limit.is_some_and(|most| found.len() >= most) {
            return Ok(false);
        }
        if let Some(first) = seen.insert(document.id.clone(), line) {
            let reason = format!("the document `{}` stands in line {first} too", document.id);
            return Err(MineError::data(
                &folder.passages(),
                Place::Line(line),
                reason,
                None,
            ));
        }
        found.push(document);
        Ok(true)
    })?;
    Ok(found)
}

impl GenerationPlan<'_> {
    /// Checks what needs no question.
    ///
    /// # Errors
    /// When rules and typology do not belong together, a rule's example does not hold, or the judge
    /// is the generator's model.
    pub fn check(&self) -> Result<(), MineError> {
        self.transforms.check(&self.typology)?;
        if let Some(first) = self.transforms.failures().first() {
            return Err(MineError::usage(
                format!(
                    "an example of the rules `{}` does not hold: {first}",
                    self.transforms.name
                ),
                "mend the rule or its example",
            ));
        }
        let (generator, judge) = (
            self.calls.generator.backend.model(),
            self.judge.backend.model(),
        );
        if same_model(generator, judge) {
            return Err(MineError::usage(
                format!("`{judge}` would judge what `{generator}` wrote, the same model"),
                "name another model with `--judge`",
            ));
        }
        let unpriced = [&self.calls.generator, &self.judge]
            .iter()
            .any(|s| !s.backend.is_free() && s.price.is_none());
        if self.calls.max_cost.is_some() && unpriced {
            return Err(MineError::usage(
                "`--max-cost` needs a price for every model that is paid for",
                "give `--price-generator IN,OUT` and `--price-judge IN,OUT` in dollars per million tokens",
            ));
        }
        Ok(())
    }

    /// Runs, or goes on where an earlier run stopped.
    ///
    /// # Errors
    /// When nothing could be begun; what happens later is in [`RunOutcome::error`].
    pub fn run(&self) -> Result<RunOutcome, MineError> {
        self.check()?;
        let documents = passages(&self.calls.folder, self.calls.limit)?;
        let passages_sha256 = fs::sha256_file(&self.calls.folder.passages())?;
        for path in [self.calls.folder.triplets(), self.calls.folder.generation()] {
            fs::check_writable(&path)?;
        }
        let state = State::open(&self.calls.folder.state())?;
        let asker = Asker::new(&self.calls, &state, &self.judge)?;
        let (calibration, mut stopped) = self.calibrated(&asker);
        let outcomes = if stopped.is_some() {
            vec![None; documents.len()]
        } else {
            let mine = |document: &_| flow::mine(document, &self.typology, self.options, &asker);
            let (outcomes, why) = self.calls.each(&documents, mine);
            stopped = why;
            outcomes
        };
        let mut next = Vec::new();
        for model in [&self.calls.generator, &self.judge] {
            next.extend(model.backend.finish()?);
        }
        let calibrating = self.calibration > 0 && calibration.is_none();
        let unfinished = calibrating
            || outcomes
                .iter()
                .any(|o| o.as_ref().is_none_or(|o| o.unfinished));
        let (status, stopped_by) = status(stopped.as_ref(), unfinished, !next.is_empty());
        let mut counted = Counted::default();
        let assembled = self.assemble(&documents, &outcomes, &mut counted);
        let triplets = &assembled.triplets;
        let mut verdicts = BTreeMap::new();
        for (document, outcome) in documents.iter().zip(&outcomes) {
            counted.add(document, outcome.as_ref());
            verdicts.insert(
                document.id.clone(),
                counted.verdict(document, outcome.as_ref()),
            );
        }
        self.write(&state, triplets, &verdicts)?;
        let embedding_margin = match &self.encoder {
            Some((name, encoder)) => margin::margin(name, encoder.as_ref(), triplets)?,
            None => None,
        };
        let generation = Generation {
            schema: SCHEMA,
            status,
            stopped_by,
            documents: documents.len(),
            triplets: triplets.len(),
            mix: self.options.mix.name().into(),
            steps: counted.steps(),
            judges: counted.judges(&self.typology),
            variants: counted.variants,
            rules: counted.rules,
            beyond_rules: if self.calls.generator.backend.is_prompted() {
                BTreeMap::new()
            } else {
                self.transforms.beyond(&self.typology)
            },
            triplets_by_source: by(triplets, |t| &t.source),
            triplets_by_language: by(triplets, |t| &t.language),
            triplets_by_licence: by(triplets, |t| &t.licence),
            triplets_by_origin: by(triplets, |t| &t.origin),
            overlap: sides(triplets, shortcut::overlap),
            length: sides(triplets, shortcut::longer),
            edit_position: Distribution::of(&positions(triplets)),
            embedding_margin,
            shortcut: shortcut::check(triplets, &assembled.naive),
            cost: cost(&state, &asker, triplets.len())?,
            leakage: assembled.leakage,
            calibration,
            provenance: self.provenance(passages_sha256),
        };
        fs::write_atomic(&self.calls.folder.generation(), &to_json(&generation))?;
        Ok(RunOutcome {
            generation,
            next,
            interrupted: matches!(stopped, Some(Stop::Interrupted)),
            error: match stopped {
                Some(Stop::Error(error)) => Some(error),
                _ => None,
            },
        })
    }

    /// The calibration of the judge, and why the run stops where it has to.
    fn calibrated(&self, asker: &Asker<'_>) -> (Option<Calibration>, Option<Stop>) {
        let found = match calibrate(asker, &self.typology, self.calibration, self.least_accuracy) {
            Ok(found) => found,
            Err(stop) => return (None, Some(stop)),
        };
        let failed = found.as_ref().filter(|c| c.accuracy < c.least).map(|c| {
            Stop::Error(MineError::Check {
                what: format!(
                    "the judge `{}` is right on {:.1} % of what is known, at least {:.1} % is asked for",
                    self.judge.backend.model(),
                    100.0 * c.accuracy,
                    100.0 * c.least
                ),
                hint: Some("take a stronger judge, or lower `--min-calibration`".into()),
            })
        });
        (found, failed)
    }

    /// Writes the triplets, the state, and the answers where they are asked for.
    fn write(
        &self,
        state: &State,
        triplets: &[Triplet],
        verdicts: &BTreeMap<String, (String, String)>,
    ) -> Result<(), MineError> {
        write_lines(&self.calls.folder.triplets(), triplets)?;
        let rows: Vec<(String, String, String)> = triplets
            .iter()
            .map(|t| {
                let row = serde_json::to_string(t).unwrap_or_default();
                (t.id.clone(), t.document.clone(), row)
            })
            .collect();
        state.finish(verdicts, &rows)?;
        match &self.record {
            Some(path) => write_lines(path, &state.calls()?),
            None => Ok(()),
        }
    }

    fn provenance(&self, passages_sha256: String) -> Provenance {
        Provenance {
            korfinsts: korfinsts_base::VERSION.into(),
            passages_sha256,
            typology: [
                self.typology.name.clone(),
                self.typology.version.clone(),
                self.typology.sha256.clone(),
            ],
            transforms: [
                self.transforms.name.clone(),
                self.transforms.version.clone(),
                self.transforms.sha256.clone(),
            ],
            prompts: self.calls.prompts.versions(),
            generator: self.calls.generator.backend.about().into_iter().collect(),
            judge: self.judge.backend.about().into_iter().collect(),
        }
    }

    fn assemble(
        &self,
        documents: &[Document],
        outcomes: &[Option<DocumentOutcome>],
        counted: &mut Counted,
    ) -> Assembled {
        let index = SuiteIndex::new(&self.suites);
        let mut search = Search::default();
        let mut buffer = Vec::new();
        let mut leakage = Leakage {
            checked: index.suites.clone(),
            absent: self.absent_suites.clone(),
            dropped: BTreeMap::new(),
        };
        let mut clean = |triplet: &Triplet| -> bool {
            let texts = [&triplet.anchor, &triplet.positive, &triplet.negative];
            let found = texts.iter().find_map(|text| {
                let signature = Signature::of(text, &mut buffer);
                index.find(text, &signature, &mut search)
            });
            let Some((_, suite)) = found else { return true };
            let name = index.suites[usize::from(suite)].clone();
            *leakage.dropped.entry(name).or_default() += 1;
            false
        };
        let mut assembler = Assembler::default();
        let mut triplets = Vec::new();
        for (document, outcome) in documents.iter().zip(outcomes) {
            let Some(outcome) = outcome.as_ref().filter(|o| !o.unfinished) else {
                continue;
            };
            let taken = assembler.take(document, outcome, &self.typology);
            let before = triplets.len();
            let any = !taken.is_empty();
            triplets.extend(taken.into_iter().filter(&mut clean));
            let why = match (any, triplets.len() > before) {
                (_, true) => None,
                (true, false) => Some("a text stands in a suite".to_owned()),
                (false, false) => Some("no pair of texts differs".to_owned()),
            };
            counted.assembled.insert(document.id.clone(), why);
        }
        // Who costs nothing gives no translations of documents: templates do.
        if self.calls.generator.backend.is_free() && !triplets.is_empty() {
            let count = (triplets.len() * self.template_percent).div_ceil(100);
            let made = from_templates(&self.transforms, &self.typology, count);
            triplets.extend(made.into_iter().filter(&mut clean));
        }
        Assembled {
            triplets,
            naive: assembler.naive().to_vec(),
            leakage,
        }
    }
}

impl CallPlan<'_> {
    /// What becomes of each document, several at once, in their order, whatever order they were finished in; and why it stopped.
    pub(crate) fn each<T: Send + Clone>(
        &self,
        documents: &[Document],
        make: impl Fn(&Document) -> Result<T, Stop> + Sync,
    ) -> (Vec<Option<T>>, Option<Stop>) {
        let count = documents.len();
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let outcomes: Mutex<Vec<Option<T>>> = Mutex::new(vec![None; count]);
        let stopped: Mutex<Option<Stop>> = Mutex::default();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..self.concurrency.clamp(1, count.max(1)) {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(document) = documents.get(at) else {
                            return;
                        };
                        if self.stop.load(Ordering::Relaxed) {
                            stop_with(&stopped, &ended, Stop::Interrupted);
                            return;
                        }
                        match make(document) {
                            Ok(outcome) => {
                                let mut all =
                                    outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                                all[at] = Some(outcome);
                            }
                            Err(stop) => {
                                stop_with(&stopped, &ended, stop);
                                return;
                            }
                        }
                        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                        (self.progress)(done, count);
                    }
                });
            }
        });
        (
            outcomes
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            stopped.into_inner().unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// The triplets of a run.
struct Assembled {
    triplets: Vec<Triplet>,
    /// Features of triplets with plain wordings, as [`Assembler::naive`] gives them.
    naive: Vec<[[f64; 2]; 2]>,
    leakage: Leakage,
}

/// How the run ended, for the report, and why where it is not complete.
fn status(stopped: Option<&Stop>, unfinished: bool, waits: bool) -> (Status, Option<String>) {
    let why = match stopped {
        Some(Stop::Interrupted) => "interrupted".into(),
        Some(Stop::Cost(why)) => format!("--max-cost: {why}"),
        Some(Stop::Error(error)) => error.to_string(),
        None if unfinished && waits => {
            return (Status::Waiting, Some("calls wait for a batch".into()));
        }
        None if unfinished => "calls failed; the next run asks again".into(),
        None => return (Status::Complete, None),
    };
    (Status::Stopped, Some(why))
}

fn stop_with(stopped: &Mutex<Option<Stop>>, ended: &AtomicBool, stop: Stop) {
    ended.store(true, Ordering::Relaxed);
    let mut first = stopped.lock().unwrap_or_else(PoisonError::into_inner);
    // An error says more than that others stopped for it.
    if first.is_none() || matches!(*first, Some(Stop::Interrupted)) {
        *first = Some(stop);
    }
}

pub(crate) fn write_lines<T: serde::Serialize>(path: &Path, rows: &[T]) -> Result<(), MineError> {
    fs::write_atomic_with(path, |file| {
        for row in rows {
            serde_json::to_writer(&mut *file, row)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })?;
    Ok(())
}

fn by<'a>(
    triplets: &'a [Triplet],
    of: impl Fn(&'a Triplet) -> &'a String,
) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for triplet in triplets {
        *found.entry(of(triplet).clone()).or_default() += 1;
    }
    found
}

fn sides(triplets: &[Triplet], of: impl Fn(&str, &str) -> f64) -> Sides {
    let side = |pick: fn(&Triplet) -> &String| {
        let values: Vec<f64> = triplets.iter().map(|t| of(&t.anchor, pick(t))).collect();
        Distribution::of(&values)
    };
    Sides {
        positive: side(|t| &t.positive),
        negative: side(|t| &t.negative),
    }
}

/// Characters of the anchor before the first edit.
fn positions(triplets: &[Triplet]) -> Vec<f64> {
    triplets
        .iter()
        .filter_map(|t| {
            let [start, _] = *t.edits.first()?;
            Some(t.anchor.get(..start)?.chars().count() as f64)
        })
        .collect()
}

fn cost(state: &State, asker: &Asker<'_>, triplets: usize) -> Result<Cost, MineError> {
    let spent = state.spent()?;
    let counts = asker.counts.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Cost {
        answers: counts
            .iter()
            .map(|(s, n)| ((*s).to_owned(), n[0]))
            .collect(),
        cached: counts.values().map(|n| n[1]).sum(),
        wasted: spent.wasted as usize,
        prompt_tokens: spent.prompt_tokens,
        completion_tokens: spent.completion_tokens,
        dollars: spent.dollars,
        dollars_per_triplet: spent
            .dollars
            .filter(|_| triplets > 0)
            .map(|d| d / triplets as f64),
    })
}

/// Counts over documents.
#[derive(Debug, Default)]
struct Counted {
    groups: BTreeMap<[String; 4], BTreeMap<&'static str, StepCount>>,
    judged: Vec<flow::Judged>,
    variants: BTreeMap<String, Yield>,
    rules: BTreeMap<String, RuleCount>,
    assembled: BTreeMap<String, Option<String>>,
}

impl Counted {
    /// Steps of a document: those of its outcome, and whether it gave a triplet.
    fn steps_of<'a>(
        &self,
        document: &Document,
        outcome: &'a DocumentOutcome,
    ) -> Vec<(&'static str, Option<std::borrow::Cow<'a, str>>)> {
        let mut steps: Vec<_> = outcome
            .steps
            .iter()
            .map(|(s, why)| (*s, why.as_deref().map(std::borrow::Cow::Borrowed)))
            .collect();
        let finished = steps.last().is_some_and(|(_, why)| why.is_none());
        if finished && let Some(why) = self.assembled.get(&document.id) {
            steps.push(("assemble", why.clone().map(std::borrow::Cow::Owned)));
        }
        steps
    }

    fn add(&mut self, document: &Document, outcome: Option<&DocumentOutcome>) {
        let Some(outcome) = outcome else { return };
        let steps = self.steps_of(document, outcome);
        let group = [
            &document.source,
            &document.language,
            &document.licence,
            &document.corpus,
        ]
        .map(Clone::clone);
        let counts = self.groups.entry(group).or_default();
        for (step, why) in steps {
            let count = counts.entry(step).or_insert_with(|| StepCount {
                step: step.to_owned(),
                source: document.source.clone(),
                language: document.language.clone(),
                licence: document.licence.clone(),
                corpus: document.corpus.clone(),
                entered: 0,
                passed: 0,
                dropped: BTreeMap::new(),
            });
            count.entered += 1;
            match why {
                None => count.passed += 1,
                Some(why) => *count.dropped.entry(why.into_owned()).or_default() += 1,
            }
        }
        self.judged.extend(outcome.judged.iter().cloned());
        for (variant, found) in &outcome.variants {
            let count = self.variants.entry(variant.clone()).or_default();
            count.tried += found.tried;
            count.written += found.written;
            count.accepted += found.accepted;
        }
        let place = format!("{}/{}", document.source, document.language);
        for (rule, [fired, kept]) in &outcome.rules {
            let count = self.rules.entry(rule.clone()).or_default();
            *count.fired.entry(place.clone()).or_default() += fired;
            count.accepted += kept;
        }
    }

    /// Verdict and reason of a document.
    fn verdict(&self, document: &Document, outcome: Option<&DocumentOutcome>) -> (String, String) {
        let Some(outcome) = outcome else {
            return ("waiting".into(), "the run stopped before it".into());
        };
        if outcome.unfinished {
            return ("waiting".into(), "an answer is missing".into());
        }
        match self.steps_of(document, outcome).pop() {
            Some((step, Some(why))) => ("dropped".into(), format!("{step}: {why}")),
            _ => ("accepted".into(), String::new()),
        }
    }

    fn steps(&self) -> Vec<StepCount> {
        let mut found = Vec::new();
        for step in STEPS {
            for counts in self.groups.values() {
                found.extend(counts.get(step).cloned());
            }
        }
        found
    }

    fn judges(&self, typology: &Typology) -> Vec<JudgeCount> {
        KINDS
            .iter()
            .map(|kind| {
                let mut count = JudgeCount {
                    kind: (*kind).to_owned(),
                    threshold: typology.threshold(kind),
                    histogram: vec![0; usize::from(MOST) + 1],
                    unscored: 0,
                    accepted: 0,
                    order_disagreements: 0,
                };
                for judged in self.judged.iter().filter(|j| j.kind == *kind) {
                    match judged.total {
                        Some(total) => count.histogram[usize::from(total.min(MOST))] += 1,
                        None => count.unscored += 1,
                    }
                    count.accepted += usize::from(judged.kept);
                    count.order_disagreements += usize::from(judged.disagree);
                }
                count
            })
            .collect()
    }
}
