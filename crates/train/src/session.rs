//! A whole run: recipe to checkpoint.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Device};

use super::TrainError;
use super::augment::VocabularyReport;
use super::base;
use super::batch::{BatchPlan, Kind, PlanOptions, Source, examples, of_kind};
use super::data::{self, Places};
use super::doing::Doing;
use super::error::computing;
use super::held_out;
use super::leakage::{self, LeakReport};
use super::metrics::{Log, StepMetrics, memory_mib};
use super::model::{Model, ModelOptions};
use super::optim::{self, AdamW, AdamWOptions, Schedule};
use super::ranks::Ranks;
use super::recipe::{Number, Recipe, Stage};
use super::report::Report;
use super::soup::{self, Soup};
use super::state::{self, Position};
use super::step::{StepOptions, step_of};
use super::task::{named, places};
use korfinsts_base::fs;
use korfinsts_bench::run::engine;
use korfinsts_bench::run::store::Store;
use korfinsts_bench::suite::{Registry, Suite};
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::{EncoderSpec, PreparedText};
use korfinsts_nn::weights::Lora;

/// Folder of a checkpoint for what is not the model: metrics, curve, report, states.
pub const BESIDE: &str = "training";

/// What the runs of a stage end with.
const MEAN: &str = "the mean of the runs of a stage";

/// A run as it was asked for.
pub struct Plan<'a> {
    /// The recipe.
    pub recipe: Recipe,
    /// Where it was read.
    pub path: PathBuf,
    /// Data files are named relative to it.
    pub root: PathBuf,
    /// Folder of the checkpoint.
    pub output: PathBuf,
    /// The base model; `None` where the recipe makes a new one.
    pub base: Option<EncoderSpec>,
    /// The teacher, where the recipe names one.
    pub teacher: Option<EncoderSpec>,
    /// Suites.
    pub registry: &'a Registry,
    /// Folder of embeddings that were computed before.
    pub cache: PathBuf,
    /// Where it trains.
    pub device: Device,
    /// How encoders are opened.
    pub open: OpenOptions,
    /// Whether what an earlier run left is dropped.
    pub restart: bool,
    /// Whether nothing is trained: a new base keeps its random first values.
    pub dry: bool,
    /// Set when the user wants to stop.
    pub stop: &'a AtomicBool,
}

impl Plan<'_> {
    /// An error in the recipe.
    pub(super) fn wrong(&self, reason: String) -> TrainError {
        TrainError::Recipe {
            path: self.path.clone(),
            line: None,
            reason,
            hint: None,
        }
    }
}

/// Told how a run goes on.
pub trait Watch: engine::Progress {
    /// Training begins (or goes on) at step `done` of `total`.
    fn training(&mut self, done: usize, total: usize);
    /// A step was made.
    fn stepped(&mut self, metrics: &StepMetrics, total: usize);
    /// Training ended, well or not.
    fn trained(&mut self);
}

/// A run that is ready to train.
pub struct Session<'a> {
    pub(super) plan: Plan<'a>,
    pub(super) model: Model,
    pub(super) stages: Vec<Vec<Source>>,
    /// By stage, then by run of the stage.
    pub(super) batches: Vec<Vec<Vec<BatchPlan>>>,
    pub(super) leakage: LeakReport,
    pub(super) vocabulary: Option<VocabularyReport>,
    pub(super) suites: Vec<Suite>,
    pub(super) held_out: Vec<String>,
    pub(super) run: String,
}

impl<'a> Session<'a> {
    /// Reads data, checks them against suites and opens the model. A new static base is written
    /// below the output folder.
    ///
    /// # Errors
    /// When data, a suite, the base model or the recipe is wrong, or texts leak.
    pub fn open(plan: Plan<'a>, watch: &mut dyn Watch) -> Result<Self, TrainError> {
        let recipe = &plan.recipe;
        let places = Places {
            root: &plan.root,
            registry: plan.registry,
            recipe: &plan.path,
            teacher: plan.teacher.as_ref().and_then(|t| t.tokenizer.as_deref()),
        };
        let mut stages = data::load(recipe, places)?;
        let trained_variants = held_out::variants(&stages);
        let (suites, absent) = held_out::leak_suites(&plan, &trained_variants)?;
        let mut leakage = leakage::check(&mut stages, &suites, recipe.leakage)?;
        leakage.absent = absent;
        if leakage.dropped > 0 {
            watch.note(&format!(
                "{} of {} examples were left out: their texts stand in {}",
                leakage.dropped,
                leakage.examples,
                leakage.found.keys().cloned().collect::<Vec<_>>().join(", ")
            ));
        }
        if let Some(empty) = stages.iter().flatten().find(|s| s.examples.is_empty()) {
            return Err(plan.wrong(format!(
                "no example of `{}` is left to train on",
                empty.name
            )));
        }
        let (base, vocabulary) = match (&plan.base, &recipe.base.augment) {
            (Some(base), None) => (base.clone(), None),
            (Some(base), Some(augment)) => {
                let (base, report) = base::augmented(&plan, base, augment, &stages)?;
                (base, Some(report))
            }
            (None, _) => (base::fresh(&plan, &stages, watch)?, None),
        };
        let model = Model::open(&base, model_options(&plan))?;
        let batches = recipe
            .stages
            .iter()
            .zip(&stages)
            .enumerate()
            .map(|(i, (stage, sources))| {
                let lap = |lap: usize| PlanOptions {
                    batch: stage.batch,
                    epochs: stage.epochs,
                    extra: stage.extra,
                    seed: (recipe.seed)
                        .wrapping_add(1000 * (i as u64 + 1))
                        .wrapping_add(1_000_000 * lap as u64),
                };
                (0..stage.soup)
                    .map(|l| super::batch::plan(sources, lap(l)))
                    .collect()
            })
            .collect();
        let run = run_key(&plan, &stages, &base)?;
        Ok(Self {
            // What is left of the suites is known before anything is computed.
            suites: held_out::suites_left(&plan, &trained_variants)?,
            plan,
            model,
            stages,
            batches,
            leakage,
            vocabulary,
            held_out: trained_variants,
            run,
        })
    }

    /// The model as it is now.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Trains, writes the checkpoint and its card, and gives the report of before and after: at
    /// rank 0, and nothing at the others.
    ///
    /// # Errors
    /// When a loss is no number, memory runs out, the disk fails, another rank does, or the user
    /// stops; then the last state is kept.
    pub fn train(
        self,
        watch: &mut dyn Watch,
        ranks: &mut dyn Ranks,
    ) -> Result<Option<Report>, TrainError> {
        let outcome = self.run(watch, ranks);
        match &outcome {
            // What another rank said is known to all.
            Ok(_) | Err(TrainError::Rank { .. } | TrainError::Interrupted { .. }) => {}
            Err(error) => ranks.fail(&error.to_string()),
        }
        outcome
    }

    fn run(
        self,
        watch: &mut dyn Watch,
        ranks: &mut dyn Ranks,
    ) -> Result<Option<Report>, TrainError> {
        ranks.same("recipe, data or base model", self.run.as_bytes())?;
        let first = ranks.rank() == 0;
        let beside = self.plan.output.join(BESIDE);
        let states = beside.clone();
        if self.plan.restart && first {
            state::clear(&states)?;
        }
        // Rank 0 evaluates.
        let suites: &[Suite] = if first { &self.suites } else { &[] };
        let (before, teacher) = if first {
            let before = match &self.plan.base {
                Some(base) if !suites.is_empty() => {
                    watch.note("evaluating the base model");
                    self.evaluate(base, suites)?
                }
                _ => Vec::new(),
            };
            let teacher = self.teacher(watch)?;
            ranks.wait()?;
            (before, teacher)
        } else {
            // The teacher's embeddings lie in the cache now.
            ranks.wait()?;
            (Vec::new(), self.teacher(watch)?)
        };
        let found = state::find(&states, &self.run)?;
        let at = found.as_ref().map_or(0, |(_, position)| position.step);
        ranks.same("last state", &(at as u64).to_le_bytes())?;
        let total: usize = self.batches.iter().flatten().map(Vec::len).sum();
        let mut position = match &found {
            Some((_, position)) => position.clone(),
            None => Position {
                run: self.run.clone(),
                step: 0,
                stage: 0,
                lap: 0,
                in_lap: 0,
            },
        };
        let mut log = if first {
            Some(Log::open(beside.join("metrics.jsonl"), position.step)?)
        } else {
            None
        };
        // Nobody removes a state that another still reads.
        let mut restored = match &found {
            Some((path, _)) => {
                let options = self.options(position.stage.min(self.batches.len() - 1));
                Some(state::restore(path, &position, &self.model, options)?)
            }
            None => None,
        };
        ranks.wait()?;
        if position.step > 0 {
            watch.note(&format!("going on behind step {}", position.step));
        }
        let mut doing = if first {
            let (doing, earlier) = Doing::begin(&beside)?;
            if let Some(earlier) = earlier {
                watch.note(&format!(
                    "the last run was ended in the middle of {earlier}\nwhere memory ran out, set \
                     `micro_batch` or `gradient_checkpointing` in `[compute]`"
                ));
            }
            Some(doing)
        } else {
            None
        };
        watch.training(position.step, total);
        let outcome = (|| -> Result<(), TrainError> {
            while position.stage < self.plan.recipe.stages.len() {
                let options = self.options(position.stage);
                let laps = self.batches[position.stage].len();
                let (mut optimiser, mut soup) = match restored.take() {
                    Some(restored) => restored,
                    None if laps > 1 => {
                        let soup = Soup::begin(self.model.parameters()).map_err(computing(MEAN))?;
                        (AdamW::new(options), Some(soup))
                    }
                    None => (AdamW::new(options), None),
                };
                while position.lap < laps {
                    self.lap(
                        &mut position,
                        (&mut optimiser, soup.as_ref()),
                        teacher.as_ref(),
                        &mut Desk {
                            log: log.as_mut(),
                            suites,
                            total,
                            doing: doing.as_mut(),
                        },
                        watch,
                        ranks,
                    )?;
                    position.lap += 1;
                    position.in_lap = 0;
                    optimiser = AdamW::new(options);
                    let Some(soup) = &mut soup else { continue };
                    soup.add(self.model.parameters()).map_err(computing(MEAN))?;
                    if position.lap < laps {
                        self.restart(soup, &position)?;
                        if first {
                            state::write(&states, &position, &self.model, &optimiser, Some(soup))?;
                        }
                    }
                }
                if let Some(soup) = soup {
                    soup.finish(self.model.parameters(), laps)
                        .map_err(computing(MEAN))?;
                }
                position.stage += 1;
                position.lap = 0;
                if first {
                    state::write(&states, &position, &self.model, &optimiser, None)?;
                }
            }
            Ok(())
        })();
        watch.trained();
        if let Some(doing) = doing {
            doing.end()?;
        }
        outcome?;
        match log {
            Some(log) => self.finish(&before, suites, log.lines(), watch).map(Some),
            None => Ok(None),
        }
    }

    /// Gives the model the weights that the next run of the stage starts from.
    fn restart(&self, soup: &Soup, position: &Position) -> Result<(), TrainError> {
        let parameters = self.model.parameters();
        let other = match position.stage {
            0 => base::other(&self.plan, position.lap)?,
            _ => None,
        };
        let start = match other {
            Some(spec) => {
                let model = Model::open(&spec, model_options(&self.plan))?;
                let values = model.parameters().iter().map(|p| p.variable.as_tensor());
                soup::set(parameters, values)
            }
            None => soup.restart(parameters),
        };
        start.map_err(computing(MEAN))
    }

    fn options(&self, stage: usize) -> AdamWOptions {
        AdamWOptions {
            weight_decay: self.plan.recipe.stages[stage].weight_decay,
            ..AdamWOptions::default()
        }
    }

    /// One run of a stage from where it stands to its end.
    fn lap(
        &self,
        position: &mut Position,
        (optimiser, soup): (&mut AdamW, Option<&Soup>),
        teacher: Option<&Store>,
        desk: &mut Desk<'_>,
        watch: &mut dyn Watch,
        ranks: &mut dyn Ranks,
    ) -> Result<(), TrainError> {
        let first = ranks.rank() == 0;
        let recipe = &self.plan.recipe;
        let stage = &recipe.stages[position.stage];
        let batches = &self.batches[position.stage][position.lap];
        let schedule = Schedule {
            peak: stage.learning_rate,
            warmup: (batches.len() as f64 * stage.warmup).round() as usize,
            total: batches.len(),
            shape: stage.schedule,
        };
        let states = self.plan.output.join(BESIDE);
        while position.in_lap < batches.len() {
            if ranks.any(self.plan.stop.load(Ordering::Relaxed))? {
                if first {
                    state::write(&states, position, &self.model, optimiser, soup)?;
                }
                return Err(TrainError::Interrupted {
                    step: position.step,
                    total: desk.total,
                });
            }
            let start = Instant::now();
            let batch = &batches[position.in_lap];
            let sources = &self.stages[position.stage];
            let rate = schedule.at(position.in_lap);
            let step = position.step + 1;
            if let Some(doing) = &mut desk.doing {
                let places = places(sources, batch);
                doing.next(&format!(
                    "step {step} ({}); the batch: {places}",
                    stage.name
                ))?;
            }
            let (loss, norm) = self
                .make_step((stage, sources, batch), teacher, optimiser, rate, ranks)
                .map_err(|e| named(e, stage, step, sources, batch))?;
            position.step = step;
            position.in_lap += 1;
            let Some(log) = &mut desk.log else {
                continue;
            };
            let mut line = StepMetrics {
                step,
                stage: stage.name.clone(),
                run: position.lap + 1,
                kind: batch.kind.name().to_owned(),
                loss: loss as f32,
                learning_rate: rate as f32,
                gradient_norm: norm as f32,
                triplets_per_second: batch.rows.len() as f32 / start.elapsed().as_secs_f32(),
                memory_mib: memory_mib(),
                evaluation: BTreeMap::new(),
            };
            let every = recipe.evaluate.every;
            if every > 0 && step.is_multiple_of(every) {
                line.evaluation = self.score(desk.suites)?;
            }
            log.write(&line)?;
            watch.stepped(&line, desk.total);
            if recipe.save.every > 0 && step.is_multiple_of(recipe.save.every) {
                state::write(&states, position, &self.model, optimiser, soup)?;
            }
        }
        Ok(())
    }

    /// Loss and gradient norm of one step.
    fn make_step(
        &self,
        (stage, sources, batch): (&Stage, &[Source], &BatchPlan),
        teacher: Option<&Store>,
        optimiser: &mut AdamW,
        rate: f64,
        ranks: &mut dyn Ranks,
    ) -> Result<(f64, f64), TrainError> {
        let compute = &self.plan.recipe.compute;
        let (texts, objective) = self.objective(stage, sources, batch, teacher)?;
        let texts: Vec<&PreparedText> = texts.iter().collect();
        let options = StepOptions {
            micro_batch: compute.micro_batch,
            checkpointing: compute.gradient_checkpointing,
            widths: &compute.matryoshka,
        };
        let (loss, gradients) = step_of(&self.model, &texts, &objective, options, ranks)?;
        let clip = if stage.clip > 0.0 {
            stage.clip
        } else {
            f64::MAX
        };
        let norm = optim::norm(&gradients).map_err(computing("the norm of the gradients"))?;
        for (what, value) in [("the loss", loss), ("the norm of the gradients", norm)] {
            if !value.is_finite() {
                return Err(TrainError::NotFinite {
                    stage: stage.name.clone(),
                    step: 0,
                    what: what.into(),
                    value,
                    batch: String::new(),
                });
            }
        }
        optimiser
            .step(
                self.model.parameters(),
                &gradients,
                rate,
                optim::clip(norm, clip),
            )
            .map_err(computing("the optimiser"))?;
        Ok((loss, norm))
    }

    /// Embeddings of every text that is distilled, computed once and kept.
    fn teacher(&self, watch: &mut dyn Watch) -> Result<Option<Store>, TrainError> {
        let Some(spec) = &self.plan.teacher else {
            return Ok(None);
        };
        let sources = || of_kind(&self.stages, Kind::Parallel);
        let texts: Vec<&str> = sources()
            .flat_map(|s| s.examples.iter().map(|e| e.first.as_str()))
            .chain(sources().flat_map(|s| s.extra.iter().map(String::as_str)))
            .collect();
        Ok(Some(base::imitated(&self.plan, spec, &texts, watch)?))
    }
}

/// What rank 0 keeps beside the steps; the others have no log.
struct Desk<'a> {
    log: Option<&'a mut Log>,
    suites: &'a [Suite],
    total: usize,
    doing: Option<&'a mut Doing>,
}

fn model_options(plan: &Plan<'_>) -> ModelOptions {
    let recipe = &plan.recipe;
    let matmul = match recipe.compute.matmul {
        Number::Float32 => None,
        Number::Float16 => Some(DType::F16),
        // A CPU multiplies bfloat16 no faster than float32.
        Number::Bfloat16 if plan.device.is_cpu() => None,
        Number::Bfloat16 => Some(DType::BF16),
    };
    ModelOptions {
        dtype: DType::F32,
        matmul,
        device: plan.device.clone(),
        max_tokens: recipe.compute.max_tokens,
        freeze: recipe.compute.freeze.clone(),
        decay_all: false,
        lora: recipe.lora.as_ref().map(|lora| Lora {
            rank: lora.rank,
            alpha: lora.alpha,
            targets: lora.targets.clone(),
            seed: recipe.seed,
        }),
    }
}

/// Names everything that decides how a run goes.
fn run_key(
    plan: &Plan<'_>,
    stages: &[Vec<Source>],
    base: &EncoderSpec,
) -> Result<String, TrainError> {
    // What is evaluated, kept and said of a run decides nothing of its weights.
    let recipe = Recipe {
        card: super::recipe::Card::default(),
        evaluate: super::recipe::Evaluate::default(),
        save: super::recipe::Save::default(),
        ..plan.recipe.clone()
    };
    let mut text = serde_json::to_string(&recipe).map_err(|e| TrainError::Compute {
        what: "naming the run",
        reason: e.to_string(),
    })?;
    for example in examples(stages) {
        for part in example.texts() {
            text.push('\u{1f}');
            text.push_str(part);
        }
    }
    for file in &base.weights {
        text.push_str(&fs::sha256_file(file)?);
    }
    Ok(fs::sha256(text.as_bytes()))
}
