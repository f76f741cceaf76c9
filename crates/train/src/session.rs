//! A whole run: recipe to checkpoint.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use candle_core::{DType, Device};

use super::TrainError;
use super::augment::VocabularyReport;
use super::base;
use super::batch::{self, BatchPlan, Example, Kind, PlanOptions, Source, examples, of_kind};
use super::data::{self, Places};
use super::error::computing;
use super::evaluator::{self, Evaluator};
use super::held_out;
use super::leakage::{self, LeakReport};
use super::metrics::StepMetrics;
use super::model::{Model, ModelOptions};
use super::optim::AdamWOptions;
use super::prune::PruneReport;
use super::ranks::Ranks;
use super::recipe::{Number, Recipe};
use super::report::Report;
use super::soup::{self, Soup};
use super::state::{self, Position};
use super::teachers::Teachers;
use super::training::Training;
use korfinsts_base::fs;
use korfinsts_base::hub::Hub;
use korfinsts_bench::run::engine;
use korfinsts_bench::run::store::Store;
use korfinsts_bench::suite::{Registry, Suite};
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_nn::weights::Lora;

/// Folder in a checkpoint for everything but the model: metrics, curve, report, states.
pub const BESIDE: &str = "training";

/// What the runs of a stage end with.
pub(super) const MEAN: &str = "the mean of the runs of a stage";

/// A run as it was asked for.
pub struct TrainPlan<'a> {
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
    /// The teachers that the recipe names.
    pub teachers: Vec<EncoderSpec>,
    /// The guide of each stage, where the recipe names one.
    pub guides: Vec<Option<EncoderSpec>>,
    /// Suites.
    pub registry: &'a Registry,
    /// Datasets.
    pub hub: Hub,
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

impl TrainPlan<'_> {
    /// The batches of each stage and run.
    fn batches(&self, stages: &[Vec<Source>]) -> Result<Vec<Vec<Vec<BatchPlan>>>, TrainError> {
        let recipe = &self.recipe;
        recipe
            .stages
            .iter()
            .zip(stages)
            .enumerate()
            .map(|(i, (stage, sources))| {
                let lap = |lap: usize| PlanOptions {
                    batch: stage.examples_per_step(),
                    epochs: stage.epochs,
                    extra: stage.extra,
                    seed: (recipe.seed)
                        .wrapping_add(1000 * (i as u64 + 1))
                        .wrapping_add(1_000_000 * lap as u64),
                };
                let rows = batch::planned_rows(sources, lap(0)) * stage.soup as f64;
                if rows > batch::MOST_ROWS {
                    return Err(self.wrong(format!(
                        "stage `{}` would train on {rows:.0} rows ({} epochs), allowed are {:.0}: split \
                         it into stages of fewer `epochs`",
                        stage.name,
                        stage.epochs,
                        batch::MOST_ROWS
                    )));
                }
                Ok((0..stage.soup)
                    .map(|l| batch::plan(sources, lap(l)))
                    .collect())
            })
            .collect()
    }

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

/// Receives the progress of a run.
pub trait Watch: engine::Progress {
    /// Training begins (or continues) at step `done` of `total`.
    fn training(&mut self, done: usize, total: usize);
    /// A step was made.
    fn stepped(&mut self, metrics: &StepMetrics, total: usize);
    /// Training ended, well or not.
    fn trained(&mut self);
}

/// A run that is ready to train.
pub struct Session<'a> {
    pub(super) plan: TrainPlan<'a>,
    pub(super) model: Model,
    pub(super) stages: Vec<Vec<Source>>,
    /// By stage, then by run of the stage.
    pub(super) batches: Vec<Vec<Vec<BatchPlan>>>,
    pub(super) leakage: LeakReport,
    pub(super) vocabulary: Option<VocabularyReport>,
    pub(super) pruned: Option<PruneReport>,
    pub(super) suites: Vec<Suite>,
    /// What is evaluated at steps.
    pub(super) dev: Vec<Suite>,
    pub(super) held_out: Vec<String>,
    pub(super) run: String,
}

impl<'a> Session<'a> {
    /// Reads data, checks them against suites and opens the model. A new static base is written
    /// below the output folder.
    ///
    /// # Errors
    /// When data, a suite, the base model or the recipe is wrong, or texts leak.
    pub fn open(mut plan: TrainPlan<'a>, watch: &mut dyn Watch) -> Result<Self, TrainError> {
        let training = plan.device.location();
        let on_device = |spec| evaluator::on_device(spec, &training);
        plan.base = plan.base.map(on_device);
        plan.teachers = plan.teachers.into_iter().map(on_device).collect();
        let guides = plan.guides.into_iter();
        plan.guides = guides.map(|guide| guide.map(on_device)).collect();
        let recipe = &plan.recipe;
        let places = Places {
            root: &plan.root,
            registry: plan.registry,
            hub: &plan.hub,
            recipe: &plan.path,
            teacher: plan.teachers.first().and_then(|t| t.tokenizer.as_deref()),
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
        let (mut vocabulary, mut pruned) = (None, None);
        let base = match (&plan.base, &recipe.base.augment, &recipe.base.prune) {
            (Some(base), Some(augment), _) => {
                let (base, report) = base::augmented(&plan, base, augment, &stages)?;
                vocabulary = Some(report);
                base
            }
            (Some(base), None, Some(prune)) => {
                let (base, report) = base::pruned(&plan, base, prune, &stages)?;
                pruned = Some(report);
                base
            }
            (Some(base), None, None) => base.clone(),
            (None, ..) => base::fresh(&plan, &stages, watch)?,
        };
        let base = on_device(base);
        let model = Model::open(&base, model_options(&plan))?;
        let drops = recipe.stages.iter().find(|stage| stage.dropout > 0.0);
        if let Some(stage) = drops.filter(|_| !model.has_layers()) {
            return Err(plan.wrong(format!(
                "`dropout` of stage `{}` drops values behind layers, and a static embedding has none",
                stage.name
            )));
        }
        let batches = plan.batches(&stages)?;
        let run = run_key(&plan, &stages, &base)?;
        let dev = held_out::dev_suites(&plan, &trained_variants)?;
        if recipe.evaluate.every > 0 && dev.is_empty() {
            watch.note(
                "no suite of `evaluate` has a dev split on disk: nothing is evaluated at steps",
            );
        }
        Ok(Self {
            dev,
            // What is left of the suites is known before anything is computed.
            suites: held_out::suites_left(&plan, &trained_variants)?,
            plan,
            model,
            stages,
            batches,
            leakage,
            vocabulary,
            pruned,
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
            // Every rank has the error of another rank.
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
        if self.plan.restart && first {
            state::clear(&self.plan.output.join(BESIDE))?;
        }
        let evaluator = Evaluator {
            plan: &self.plan,
            // Rank 0 evaluates.
            suites: if first { &self.suites } else { &[] },
        };
        let before = match &self.plan.base {
            Some(base) if !evaluator.suites.is_empty() => {
                watch.note("evaluating the base model");
                evaluator.of(base)?
            }
            _ => Vec::new(),
        };
        let at_steps = Evaluator {
            plan: &self.plan,
            suites: &self.dev,
        };
        match Training::begin(&self, &at_steps, watch, ranks)?.run()? {
            Some(trained) => self.finish(&evaluator, &before, trained, watch).map(Some),
            None => Ok(None),
        }
    }

    /// Gives the model the weights that the next run of the stage starts from.
    pub(super) fn restart(&self, soup: &Soup, position: &Position) -> Result<(), TrainError> {
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

    /// How the optimiser of a stage works.
    pub(super) fn optimiser(&self, stage: usize) -> AdamWOptions {
        AdamWOptions {
            weight_decay: self.plan.recipe.stages[stage].weight_decay,
            ..AdamWOptions::default()
        }
    }

    /// What other encoders say of the training texts.
    pub(super) fn others(&self, watch: &mut dyn Watch) -> Result<Others, TrainError> {
        let teachers = Teachers::of(&self.plan, &self.stages, &[], watch)?;
        let mut guides = Vec::new();
        for (i, stage) in self.plan.recipe.stages.iter().enumerate() {
            let spec = self.plan.guides.get(i).and_then(Option::as_ref);
            let (Some(guide), Some(spec)) = (&stage.guide, spec) else {
                guides.push(None);
                continue;
            };
            let sources = &self.stages[i..=i];
            let texts: Vec<&str> = of_kind(sources, Kind::Triplets)
                .chain(of_kind(sources, Kind::Pairs))
                .flat_map(|s| s.examples.iter().flat_map(Example::texts))
                .collect();
            let store = base::embedded(&self.plan, (spec, &guide.prompt), &texts, watch)?;
            guides.push(Some(store));
        }
        Ok(Others { teachers, guides })
    }
}

/// Embeddings of training texts by other encoders than the one that trains.
pub(super) struct Others {
    /// By the encoders that are imitated.
    pub teachers: Teachers,
    /// By the guide of each stage.
    pub guides: Vec<Option<Store>>,
}

fn model_options(plan: &TrainPlan<'_>) -> ModelOptions {
    let recipe = &plan.recipe;
    let matmul = match recipe.compute.matmul {
        Number::Float32 => None,
        Number::Float16 => Some(DType::F16),
        // The other 16 bits need as much memory on a GPU, and a CPU can multiply them.
        Number::Bfloat16 if plan.dry => Some(DType::F16),
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
            dropout: lora.dropout,
        }),
    }
}

/// Names everything that decides how a run goes.
fn run_key(
    plan: &TrainPlan<'_>,
    stages: &[Vec<Source>],
    base: &EncoderSpec,
) -> Result<String, TrainError> {
    // The weights do not depend on what is evaluated, kept and reported, unless it chooses them.
    let evaluate = match plan.recipe.evaluate.best {
        Some(_) => plan.recipe.evaluate.clone(),
        None => super::recipe::Evaluate::default(),
    };
    let recipe = Recipe {
        card: super::recipe::Card::default(),
        evaluate,
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
    let adapters = base.adapters.iter().flat_map(|a| [&a.weights, &a.config]);
    for file in base.weights.iter().chain(adapters) {
        text.push_str(&fs::sha256_file(file)?);
    }
    Ok(fs::sha256(text.as_bytes()))
}
