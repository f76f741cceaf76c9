//! A session: several encoders, and the lexical baselines, on several suites. What is finished is
//! written at once; an encoder that fails does not stop the others. Nothing is printed.

use std::path::PathBuf;

use super::RunError;
use super::engine::{Progress, Silent};
use super::evaluate::{self, EvaluateOptions, EvaluatedEncoder, Evaluation};
use super::mteb::{self, Written};
use super::record::{BootstrapFacts, EncoderFacts, Record, RecordFiles, SuiteFacts, write_tokens};
use super::shard::{self, Shard, ShardPlan, Unit};
use crate::suite::Suite;
use korfinsts_base::fs::{self, FolderLock};
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::lexical::BASELINES;
use korfinsts_encoder::protocol::Prompting;

/// What is evaluated, and what is kept of it.
#[derive(Debug, Clone)]
pub struct SessionPlan<'a> {
    /// Names of the encoders, as they were asked for.
    pub encoders: Vec<String>,
    /// The suites, at least one.
    pub suites: Vec<Suite>,
    /// Whether the lexical baselines are evaluated too.
    pub baselines: bool,
    /// The part that this process does; `None` for everything.
    pub shard: Option<Shard>,
    /// Folder for records and per-pair scores, and for the folders of shards; `None` keeps nothing.
    pub results: Option<PathBuf>,
    /// Folder for mteb's result files.
    pub mteb: Option<PathBuf>,
    /// How encoders are opened.
    pub open: OpenOptions,
    /// How suites are evaluated.
    pub options: EvaluateOptions<'a>,
}

/// Observes a session. Calls come from one thread.
pub trait Watch {
    /// Gets the progress of the encoder that runs.
    fn progress(&mut self) -> &mut dyn Progress;

    /// An encoder failed: nothing more is run with it, and the next one follows.
    fn failed(&mut self, encoder: &str, error: &RunError);
}

/// The outcome lists what failed.
impl Watch for Silent {
    fn progress(&mut self) -> &mut dyn Progress {
        self
    }
    fn failed(&mut self, _encoder: &str, _error: &RunError) {}
}

/// What a session gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Records in the order of encoders, then baselines, each in the order of suites.
    pub records: Vec<Record>,
    /// The file of each record; empty where nothing is kept.
    pub paths: Vec<PathBuf>,
    /// The encoders that failed, by name, and why.
    pub failed: Vec<(String, RunError)>,
    /// Files that were asked for and not written, each with the reason.
    pub notes: Vec<String>,
}

/// The units (encoder × suite) of a plan that this process does.
#[derive(Debug, Clone)]
pub struct Session<'a> {
    plan: SessionPlan<'a>,
    /// Folder of this process.
    results: Option<PathBuf>,
    /// Units of all shards, where the work is spread.
    shards: Option<ShardPlan>,
}

impl<'a> Session<'a> {
    /// Lists the units of a plan. The baselines come after the last encoder.
    #[must_use]
    pub fn new(plan: SessionPlan<'a>) -> Self {
        let shards = plan.shard.map(|shard| {
            let mut names: Vec<&str> = plan.encoders.iter().map(String::as_str).collect();
            if plan.baselines {
                names.push(shard::BASELINES);
            }
            let units = names.iter().flat_map(|encoder| {
                plan.suites.iter().map(|suite| Unit {
                    encoder: (*encoder).to_owned(),
                    suite: suite.id.clone(),
                    split: suite.split.clone(),
                    pairs: plan.options.limited(suite).len(),
                    shard: 0,
                })
            });
            ShardPlan::new(shard, units.collect())
        });
        let results = plan.results.clone().map(|folder| match plan.shard {
            Some(shard) => folder.join(shard.folder()),
            None => folder,
        });
        Self {
            plan,
            results,
            shards,
        }
    }

    /// Indices of the encoders that this process needs: only these have to be read.
    pub fn needed(&self) -> impl Iterator<Item = usize> {
        (0..self.plan.encoders.len()).filter(|&encoder| !self.own(encoder).is_empty())
    }

    /// Folder that this process writes to.
    #[must_use]
    pub fn results(&self) -> Option<&PathBuf> {
        self.results.as_ref()
    }

    /// The plan of all shards, with the units of this one that are done.
    #[must_use]
    pub fn shards(&self) -> Option<&ShardPlan> {
        self.shards.as_ref()
    }

    /// Indices of the suites on which this process runs an encoder.
    fn own(&self, encoder: usize) -> Vec<usize> {
        let suites = self.plan.suites.len();
        let is_own = |suite: &usize| match &self.shards {
            Some(plan) => plan.is_own(encoder * suites + suite),
            None => true,
        };
        (0..suites).filter(is_own).collect()
    }

    fn own_suites(&self, encoder: usize) -> impl Iterator<Item = &Suite> {
        self.own(encoder)
            .into_iter()
            .map(|suite| &self.plan.suites[suite])
    }

    /// One line for each unit of this process, of the encoders that could be read.
    #[must_use]
    pub fn summary(&self, models: &[Model]) -> String {
        let mut out = String::new();
        let mut line = |encoder: &str, protocol: &str, suite: &Suite| {
            let forms = self.plan.options.forms.others.iter();
            let forms: Vec<String> = forms.map(ToString::to_string).collect();
            let forms = match forms.as_slice() {
                forms if !forms.is_empty() && encoder != shard::BASELINES => {
                    format!(", also as {}", forms.join(", "))
                }
                _ => String::new(),
            };
            out.push_str(&format!(
                "{encoder} (protocol `{protocol}`) on {} {}: {} pairs{forms}\n",
                suite.id,
                suite.split,
                self.plan.options.limited(suite).len()
            ));
        };
        for model in models {
            for suite in self.own_suites(model.index) {
                line(&model.spec.name, &model.prompting.protocol, suite);
            }
        }
        if self.plan.baselines {
            for suite in self.own_suites(self.plan.encoders.len()) {
                line(shard::BASELINES, "raw", suite);
            }
        }
        out
    }

    /// Refuses a run whose records would replace those of another one.
    ///
    /// # Errors
    /// As [`RecordFiles::refuse_another_run`].
    pub fn refuse_other_records(&self, models: &[Model]) -> Result<(), RunError> {
        let Some(results) = &self.results else {
            return Ok(());
        };
        let refuse = |encoder: EncoderFacts, key: &str, suite: &Suite| {
            let limit = self.plan.options.limit.filter(|n| *n < suite.pairs.len());
            let record = Record {
                encoder,
                suite: SuiteFacts::of(suite, limit),
                bootstrap: BootstrapFacts::of(&self.plan.options.bootstrap),
                ..Record::default()
            };
            RecordFiles::new(results, &record, key).refuse_another_run(&record)
        };
        for model in models {
            let key = model.spec.key("");
            for suite in self.own_suites(model.index) {
                let forms = self.plan.options.forms;
                for form in forms.all() {
                    let encoder = EncoderFacts {
                        name: model.spec.name.clone(),
                        protocol: model.prompting.protocol.clone(),
                        prompts: model.prompting.prompts.clone(),
                        form: forms.facts(form, suite),
                        ..EncoderFacts::default()
                    };
                    refuse(encoder, &key, suite)?;
                }
            }
        }
        for baseline in BASELINES.iter().filter(|_| self.plan.baselines) {
            for suite in self.own_suites(self.plan.encoders.len()) {
                refuse(evaluate::baseline_facts(baseline), "", suite)?;
            }
        }
        Ok(())
    }

    /// Runs the encoders, then the baselines. `models` are the encoders that could be read, in order;
    /// a shard counts as finished only where these are all that it needs and none fails.
    ///
    /// # Errors
    /// When the folder of results is in use or holds a record of another run under the name of one of
    /// this run, the store or the disk fails, or the run is stopped; when
    /// an encoder fails that is the only one of the plan. The records of units that were finished by
    /// then are kept.
    pub fn run(&mut self, models: &[Model], watch: &mut dyn Watch) -> Result<Outcome, RunError> {
        let _lock = match &self.results {
            Some(folder) => Some(FolderLock::acquire(folder)?),
            None => None,
        };
        self.refuse_other_records(models)?;
        // What an earlier run wrote about this shard is no longer so.
        if let (Some(_), Some(folder)) = (&self.shards, &self.results) {
            fs::remove_file(&folder.join(shard::PLAN))?;
        }
        let mut outcome = Outcome::default();
        for model in models {
            match self.encoder(model, watch.progress(), &mut outcome) {
                Ok(()) => {}
                Err(error) if self.plan.encoders.len() > 1 && is_of_the_encoder(&error) => {
                    let name = &self.plan.encoders[model.index];
                    watch.failed(name, &error);
                    outcome.failed.push((name.clone(), error));
                }
                Err(error) => return Err(error),
            }
        }
        if self.plan.baselines {
            self.baselines(&mut outcome)?;
        }
        let complete = outcome.failed.is_empty() && models.len() == self.needed().count();
        if let (true, Some(plan), Some(folder)) = (complete, &self.shards, &self.results) {
            plan.write(folder)?;
        }
        Ok(outcome)
    }

    fn encoder(
        &mut self,
        model: &Model,
        progress: &mut dyn Progress,
        outcome: &mut Outcome,
    ) -> Result<(), RunError> {
        let own = self.own(model.index);
        let some: Vec<Suite>;
        let suites = if own.len() == self.plan.suites.len() {
            &self.plan.suites
        } else {
            some = self.own_suites(model.index).cloned().collect();
            &some
        };
        let mut places = Vec::new();
        let encoder = EvaluatedEncoder {
            spec: &model.spec,
            prompting: &model.prompting,
            open: &self.plan.open,
        };
        encoder.evaluate(suites, self.plan.options, progress, &mut |evaluation| {
            places.push(self.keep(evaluation, outcome)?);
            Ok(())
        })?;
        let forms = self.plan.options.forms.all().count();
        for (suite, places) in own.into_iter().zip(places.chunks(forms)) {
            self.done(model.index, suite, places.to_vec());
        }
        Ok(())
    }

    fn baselines(&mut self, outcome: &mut Outcome) -> Result<(), RunError> {
        let last = self.plan.encoders.len();
        for at in self.own(last) {
            let places: Result<Vec<String>, RunError> = BASELINES
                .iter()
                .map(|baseline| {
                    let suite = &self.plan.suites[at];
                    let found = evaluate::baseline(baseline, suite, self.plan.options);
                    self.keep(found, outcome)
                })
                .collect();
            self.done(last, at, places?);
        }
        Ok(())
    }

    /// Writes what one unit gave. Returns the path of the record below the results, with `/`.
    fn keep(&self, evaluation: Evaluation, outcome: &mut Outcome) -> Result<String, RunError> {
        let Evaluation {
            mut record,
            pairs,
            tokens,
            timing,
            key,
        } = evaluation;
        let mut place = String::new();
        if let Some(results) = &self.results {
            let files = RecordFiles::new(results, &record, &key);
            let below = files.record.strip_prefix(results);
            let below = below.unwrap_or(&files.record).components();
            let below: Vec<_> = below.map(|c| c.as_os_str().to_string_lossy()).collect();
            place = below.join("/");
            write_tokens(&files, &tokens)?;
            record.write(&files, &pairs, &timing.clone().after(&files.timing))?;
            outcome.paths.push(files.record);
        }
        if let Some(folder) = &self.plan.mteb {
            let written = mteb::write(folder, &record, &timing)?;
            if let Written::Not(note) = written
                && !outcome.notes.contains(&note)
            {
                outcome.notes.push(note);
            }
        }
        outcome.records.push(record);
        Ok(place)
    }

    fn done(&mut self, encoder: usize, suite: usize, records: Vec<String>) {
        let suites = self.plan.suites.len();
        if let Some(plan) = &mut self.shards {
            plan.records.push((encoder * suites + suite, records));
        }
    }
}

/// An encoder of a plan that was read.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its index in [`SessionPlan::encoders`].
    pub index: usize,
    /// How its files were read.
    pub spec: EncoderSpec,
    /// Its prompts.
    pub prompting: Prompting,
}

/// Whether a failure is of one encoder alone, so that the next one may succeed: not that of the disk,
/// of another process, or an interrupt.
fn is_of_the_encoder(error: &RunError) -> bool {
    matches!(
        error,
        RunError::Encoder(_) | RunError::Width { .. } | RunError::TooWide { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use super::super::engine::{BATCH_TOKENS, EncodeOptions};
    use super::super::form::Forms;
    use super::*;
    use crate::suite::{BUILT_IN, Registry, Selection};
    use korfinsts_metric::BootstrapOptions;

    static STOP: AtomicBool = AtomicBool::new(false);

    fn plan(results: Option<PathBuf>, shard: Option<Shard>) -> SessionPlan<'static> {
        let nowhere = Path::new("no such folder");
        let registry = Registry::open(nowhere).expect("the built-in suites");
        let chosen = registry.choose(&Selection::of([BUILT_IN]));
        SessionPlan {
            encoders: vec!["org/a".into(), "org/b".into()],
            suites: chosen.expect("a built-in suite").suites,
            baselines: true,
            shard,
            results,
            mteb: None,
            open: OpenOptions::default(),
            options: EvaluateOptions {
                encode: EncodeOptions {
                    batch_tokens: BATCH_TOKENS,
                    resume: true,
                    label: "",
                    stop: &STOP,
                },
                bootstrap: BootstrapOptions {
                    resamples: 100,
                    ..BootstrapOptions::default()
                },
                limit: Some(20),
                cache: nowhere,
                forms: Forms::default(),
                speed: false,
            },
        }
    }

    #[test]
    fn a_session_without_a_folder_keeps_nothing() {
        let mut session = Session::new(plan(None, None));
        assert_eq!(session.needed().collect::<Vec<_>>(), [0, 1]);
        let outcome = session.run(&[], &mut Silent).expect("baselines run");
        assert_eq!(outcome.records.len(), BASELINES.len());
        assert!(outcome.records.iter().all(|r| r.pairs.is_none()));
    }

    #[test]
    fn a_shard_is_finished_only_with_all_that_it_needs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for index in 1..=3 {
            let shard = Shard { index, count: 3 };
            let mut session = Session::new(plan(Some(folder.path().into()), Some(shard)));
            let needed = session.needed().count();
            let outcome = session.run(&[], &mut Silent).expect("baselines run");
            let below = folder.path().join(shard.folder());
            assert_eq!(fs::exists(&below.join(shard::PLAN)), needed == 0);
            assert_eq!(outcome.records.is_empty(), needed == 1);
        }
    }
}
