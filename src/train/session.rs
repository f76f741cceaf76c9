//! A whole run: recipe to checkpoint.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use serde::Serialize;

use super::augment::VocabularyReport;
use super::base;
use super::batch::{BatchPlan, Example, Kind, PlanOptions, Source, examples, of_kind};
use super::data::{self, Places};
use super::doing::Doing;
use super::error::computing;
use super::held_out;
use super::leakage::{self, LeakReport};
use super::model::{Model, ModelOptions};
use super::optim::{self, AdamW, AdamWOptions, Schedule};
use super::ranks::Ranks;
use super::recipe::{Negatives, Number, Recipe, Stage};
use super::report::{self, Report};
use super::state::{self, Position};
use super::step::{Objective, StepOptions, same_texts, step_of};
use super::{TrainError, chart, save};
use crate::encoder::backend::OpenOptions;
use crate::encoder::backend::candle::weights::Lora;
use crate::encoder::lexical::BASELINES;
use crate::encoder::spec::{Overrides, TRAINED_VARIANTS, read};
use crate::encoder::{EncoderSpec, PreparedText};
use crate::metric::BootstrapOptions;
use crate::run::engine::{self, BATCH_TOKENS, EncodeOptions};
use crate::run::evaluate::{self, EvaluateOptions, Evaluation, Prompting};
use crate::run::store::Store;
use crate::suite::{Registry, Suite};
use crate::{fs, json};

/// Folder of a checkpoint for what is not the model: metrics, curve, report, states.
pub const BESIDE: &str = "training";

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

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub struct StepMetrics {
    /// Step, from 1, over all stages.
    pub step: usize,
    /// Stage.
    pub stage: String,
    /// Loss of the step's batch.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Examples per second of this step.
    pub triplets_per_second: f64,
    /// Resident memory of this process in MiB; absent where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<f64>,
    /// Spearman's correlation by suite, at steps with an evaluation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evaluation: BTreeMap<String, f64>,
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

/// What a dry run found out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outline {
    /// Name of the recipe.
    pub name: String,
    /// Trainable values.
    pub parameters: usize,
    /// Tensors they lie in.
    pub tensors: usize,
    /// Stages: name, sources with their examples, steps.
    pub stages: Vec<StageOutline>,
    /// The leakage check.
    pub leakage: LeakReport,
    /// The new tokens, where the recipe asks for some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<VocabularyReport>,
    /// Triplets by what the data say of them: by field, then by value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, BTreeMap<String, usize>>,
    /// Tokens of the longest text, and texts that are truncated.
    pub longest_text: usize,
    /// Texts that lose tokens to truncation.
    pub truncated_texts: usize,
}

/// One stage of an [`Outline`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageOutline {
    /// Its name.
    pub name: String,
    /// Examples by source.
    pub sources: Vec<(String, usize)>,
    /// Steps.
    pub steps: usize,
}

/// A run that is ready to train.
pub struct Session<'a> {
    plan: Plan<'a>,
    model: Model,
    stages: Vec<Vec<Source>>,
    batches: Vec<Vec<BatchPlan>>,
    leakage: LeakReport,
    vocabulary: Option<VocabularyReport>,
    suites: Vec<Suite>,
    held_out: Vec<String>,
    run: String,
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
                super::batch::plan(
                    sources,
                    PlanOptions {
                        batch: stage.batch,
                        epochs: stage.epochs,
                        extra: stage.extra,
                        seed: recipe.seed.wrapping_add(1000 * (i as u64 + 1)),
                    },
                )
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

    /// What would be trained.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn outline(&self) -> Result<Outline, TrainError> {
        let prompt = &self.plan.recipe.compute.prompt;
        let (mut longest_text, mut truncated_texts) = (0, 0);
        for example in examples(&self.stages) {
            for text in example.texts() {
                let prepared = self.model.prepare(text, prompt)?;
                longest_text = longest_text.max(prepared.ids.len() + prepared.lost_tokens);
                truncated_texts += usize::from(prepared.lost_tokens > 0);
            }
        }
        Ok(Outline {
            name: self.plan.recipe.name.clone(),
            parameters: self.model.size(),
            tensors: self.model.parameters().len(),
            stages: self
                .plan
                .recipe
                .stages
                .iter()
                .zip(&self.stages)
                .zip(&self.batches)
                .map(|((stage, sources), batches)| StageOutline {
                    name: stage.name.clone(),
                    sources: sources
                        .iter()
                        .map(|s| {
                            let name = format!("{} ({})", s.name, s.kind.name());
                            (name, s.examples.len())
                        })
                        .collect(),
                    steps: batches.len(),
                })
                .collect(),
            leakage: self.leakage.clone(),
            vocabulary: self.vocabulary.clone(),
            labels: labels(&self.stages),
            longest_text,
            truncated_texts,
        })
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
        let total: usize = self.batches.iter().map(Vec::len).sum();
        let mut position = match &found {
            Some((_, position)) => position.clone(),
            None => Position {
                run: self.run.clone(),
                step: 0,
                stage: 0,
                in_stage: 0,
            },
        };
        let metrics_path = beside.join("metrics.jsonl");
        let mut metrics = if first {
            earlier_metrics(&metrics_path, position.step)?
        } else {
            Vec::new()
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
                let mut optimiser = restored.take().unwrap_or_else(|| AdamW::new(options));
                self.stage(
                    &mut position,
                    &mut optimiser,
                    teacher.as_ref(),
                    &mut Log {
                        path: &metrics_path,
                        lines: &mut metrics,
                        suites,
                        total,
                        doing: doing.as_mut(),
                    },
                    watch,
                    ranks,
                )?;
                position.stage += 1;
                position.in_stage = 0;
                if first {
                    state::write(&states, &position, &self.model, &AdamW::new(options))?;
                }
            }
            Ok(())
        })();
        watch.trained();
        if let Some(doing) = doing {
            doing.end()?;
        }
        outcome?;
        if !first {
            return Ok(None);
        }
        self.finish(&before, suites, &metrics, watch).map(Some)
    }

    fn options(&self, stage: usize) -> AdamWOptions {
        AdamWOptions {
            weight_decay: self.plan.recipe.stages[stage].weight_decay,
            ..AdamWOptions::default()
        }
    }

    /// One stage from where it stands to its end.
    fn stage(
        &self,
        position: &mut Position,
        optimiser: &mut AdamW,
        teacher: Option<&Store>,
        log: &mut Log<'_>,
        watch: &mut dyn Watch,
        ranks: &mut dyn Ranks,
    ) -> Result<(), TrainError> {
        let first = ranks.rank() == 0;
        let recipe = &self.plan.recipe;
        let stage = &recipe.stages[position.stage];
        let batches = &self.batches[position.stage];
        let schedule = Schedule {
            peak: stage.learning_rate,
            warmup: (batches.len() as f64 * stage.warmup).round() as usize,
            total: batches.len(),
            shape: stage.schedule,
        };
        let states = self.plan.output.join(BESIDE);
        while position.in_stage < batches.len() {
            if ranks.any(self.plan.stop.load(Ordering::Relaxed))? {
                if first {
                    state::write(&states, position, &self.model, optimiser)?;
                }
                return Err(TrainError::Interrupted {
                    step: position.step,
                    total: log.total,
                });
            }
            let start = Instant::now();
            let batch = &batches[position.in_stage];
            let source = &self.stages[position.stage][batch.source];
            let rate = schedule.at(position.in_stage);
            let step = position.step + 1;
            if let Some(doing) = &mut log.doing {
                let places = places(source, batch);
                doing.next(&format!(
                    "step {step} ({}); the batch: {places}",
                    stage.name
                ))?;
            }
            let (loss, norm) = self
                .make_step((stage, source, batch), teacher, optimiser, rate, ranks)
                .map_err(|e| named(e, stage, step, source, batch))?;
            position.step = step;
            position.in_stage += 1;
            if !first {
                continue;
            }
            let mut line = StepMetrics {
                step,
                stage: stage.name.clone(),
                loss,
                learning_rate: rate,
                gradient_norm: norm,
                triplets_per_second: batch.rows.len() as f64 / start.elapsed().as_secs_f64(),
                memory_mib: memory_mib(),
                evaluation: BTreeMap::new(),
            };
            let every = recipe.evaluate.every;
            if every > 0 && step.is_multiple_of(every) {
                line.evaluation = self.score(log.suites)?;
            }
            log.write(&line)?;
            watch.stepped(&line, log.total);
            if recipe.save.every > 0 && step.is_multiple_of(recipe.save.every) {
                state::write(&states, position, &self.model, optimiser)?;
            }
        }
        Ok(())
    }

    /// Loss and gradient norm of one step.
    fn make_step(
        &self,
        (stage, source, batch): (&Stage, &Source, &BatchPlan),
        teacher: Option<&Store>,
        optimiser: &mut AdamW,
        rate: f64,
        ranks: &mut dyn Ranks,
    ) -> Result<(f64, f64), TrainError> {
        let compute = &self.plan.recipe.compute;
        let (texts, objective) = self.objective(stage, source, batch, teacher)?;
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

    /// Texts of a batch in the order of their roles, and what they are trained for.
    fn objective(
        &self,
        stage: &Stage,
        source: &Source,
        batch: &BatchPlan,
        teacher: Option<&Store>,
    ) -> Result<(Vec<PreparedText>, Objective), TrainError> {
        let examples: Vec<&Example> = batch.rows.iter().map(|&i| &source.examples[i]).collect();
        let first = examples.iter().map(|e| e.first.as_str());
        let second = examples.iter().map(|e| e.second.as_str());
        let negative = examples.iter().filter_map(|e| e.negative.as_deref());
        let temperature = stage.temperature;
        let (texts, objective): (Vec<&str>, Objective) = match source.kind {
            Kind::Triplets => (
                first.chain(second).chain(negative).collect(),
                match stage.negatives {
                    Negatives::Hard => Objective::Triplet { temperature },
                    Negatives::HardAndBatch => Objective::InBatch {
                        temperature,
                        hard: true,
                        same: same_texts(&examples),
                    },
                },
            ),
            Kind::Pairs => (
                first.chain(second).collect(),
                Objective::InBatch {
                    temperature,
                    hard: false,
                    same: same_texts(&examples),
                },
            ),
            Kind::Scored => (
                first.chain(second).collect(),
                Objective::Scored {
                    temperature,
                    gold: examples.iter().filter_map(|e| e.gold).collect(),
                },
            ),
            Kind::Parallel => {
                let extra: Vec<&str> = batch
                    .extra
                    .iter()
                    .map(|&i| source.extra[i].as_str())
                    .collect();
                let firsts: Vec<&str> = first.collect();
                let targets = self.targets(teacher, &firsts)?;
                let more = if extra.is_empty() {
                    None
                } else {
                    Some(self.targets(teacher, &extra)?)
                };
                let texts = firsts.into_iter().chain(second).chain(extra).collect();
                let objective = Objective::Distil {
                    teacher: targets,
                    views: 2,
                    extra: more,
                    similarity: stage.similarity,
                };
                (texts, objective)
            }
        };
        let prompt = &self.plan.recipe.compute.prompt;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(batch.seed);
        let mut prepared = texts
            .into_iter()
            .map(|text| self.model.prepare(text, prompt))
            .collect::<Result<Vec<_>, _>>()?;
        if stage.token_dropout > 0.0 && source.kind == Kind::Parallel {
            for text in &mut prepared {
                drop_tokens(text, stage.token_dropout, &mut random);
            }
        }
        Ok((prepared, objective))
    }

    /// The teacher's embeddings of texts, rows of length 1.
    fn targets(&self, teacher: Option<&Store>, texts: &[&str]) -> Result<Tensor, TrainError> {
        let store = teacher.ok_or_else(base::no_embedding)?;
        let (values, dimension) = base::unit_rows(store, texts)?;
        let options = self.model.options();
        Tensor::from_vec(values, (texts.len(), dimension), &Device::Cpu)
            .and_then(|t| t.to_dtype(options.dtype)?.to_device(&options.device))
            .map_err(computing("reading the teacher's embeddings"))
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

    fn evaluate(
        &self,
        spec: &EncoderSpec,
        suites: &[Suite],
    ) -> Result<Vec<Evaluation>, TrainError> {
        let prompt = self.plan.recipe.compute.prompt.clone();
        let prompting = Prompting {
            protocol: if prompt.is_empty() { "raw" } else { "custom" }.into(),
            prompts: [prompt.clone(), prompt],
            float32_cosine: false,
        };
        let options = EvaluateOptions {
            encode: EncodeOptions {
                batch_tokens: BATCH_TOKENS,
                resume: true,
                label: &spec.name,
                stop: self.plan.stop,
            },
            bootstrap: BootstrapOptions {
                resamples: 1000,
                ..BootstrapOptions::default()
            },
            limit: None,
            cache: &self.plan.cache,
        };
        let mut found = Vec::new();
        evaluate::encoder(
            spec,
            &prompting,
            suites,
            &self.plan.open,
            options,
            &mut engine::Silent,
            &mut |evaluation| {
                found.push(evaluation);
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// Spearman's correlation by suite of the model as it is now, read back from a folder as every
    /// other model is.
    fn score(&self, suites: &[Suite]) -> Result<BTreeMap<String, f64>, TrainError> {
        let beside = self.plan.output.join(BESIDE);
        fs::create_dir(&beside)?;
        let folder = fs::temporary_dir_in(&beside)?;
        save::model(&self.model, folder.path(), Number::Float32, 0.0)?;
        let spec = read_trained(folder.path(), &self.plan.open)?;
        let prompt = spec.key(&self.plan.recipe.compute.prompt);
        let found = self.evaluate(&spec, suites);
        // Nobody will ask for these embeddings again.
        fs::remove_dir(&self.plan.cache.join(prompt))?;
        Ok(found?
            .into_iter()
            .filter_map(|e| Some((e.record.suite.id.clone(), e.record.scores.cosine_spearman?)))
            .collect())
    }

    /// What the checkpoint is shown beside: the lexical baselines, and the teacher.
    fn beside(&self, suites: &[Suite]) -> Result<report::Beside, TrainError> {
        let options = EvaluateOptions {
            encode: EncodeOptions {
                batch_tokens: BATCH_TOKENS,
                resume: true,
                label: "",
                stop: self.plan.stop,
            },
            bootstrap: BootstrapOptions {
                resamples: 1000,
                ..BootstrapOptions::default()
            },
            limit: None,
            cache: &self.plan.cache,
        };
        let mut found = Vec::new();
        if let Some(teacher) = self.plan.teacher.as_ref().filter(|_| !suites.is_empty()) {
            found.push((teacher.name.clone(), self.evaluate(teacher, suites)?));
        }
        if self.vocabulary.is_some() && !suites.is_empty() {
            let untrained = self.model.spec();
            found.push((untrained.name.clone(), self.evaluate(untrained, suites)?));
        }
        for baseline in BASELINES {
            let scores = suites
                .iter()
                .map(|suite| evaluate::baseline(baseline, suite, options));
            found.push((baseline.name.to_owned(), scores.collect()));
        }
        Ok(found)
    }

    /// Writes the checkpoint, evaluates it, and writes curve, report and card.
    fn finish(
        &self,
        before: &[Evaluation],
        suites: &[Suite],
        metrics: &[StepMetrics],
        watch: &mut dyn Watch,
    ) -> Result<Report, TrainError> {
        let recipe = &self.plan.recipe;
        let output = &self.plan.output;
        save::model(
            &self.model,
            output,
            recipe.save.dtype,
            recipe.average_with_base,
        )?;
        let trained = output.join(TRAINED_VARIANTS);
        if self.held_out.is_empty() {
            fs::remove_file(&trained)?;
        } else {
            save::write_json(&trained, &self.held_out.clone().into())?;
        }
        let spec = read_trained(output, &self.plan.open)?;
        let after = if suites.is_empty() {
            Vec::new()
        } else {
            watch.note("evaluating the checkpoint");
            self.evaluate(&spec, suites)?
        };
        let beside = self.beside(suites)?;
        let report = report::build(
            recipe,
            &self.outline()?,
            before,
            &after,
            &beside,
            metrics,
            &self.held_out,
        );
        let beside = output.join(BESIDE);
        fs::write_atomic(&beside.join("recipe.toml"), &fs::read(&self.plan.path)?)?;
        let loss = metrics.iter().map(|m| (m.step, m.loss)).collect();
        let mut curves: BTreeMap<String, chart::Curve> = BTreeMap::new();
        for line in metrics {
            for (suite, score) in &line.evaluation {
                curves
                    .entry(suite.clone())
                    .or_default()
                    .push((line.step, *score));
            }
        }
        let svg = chart::draw(&recipe.name, &loss, &curves)?;
        fs::write_atomic(&beside.join("curve.svg"), svg.as_bytes())?;
        fs::write_atomic(&beside.join("report.json"), &json::pretty(&report))?;
        let card = report::card(recipe, &report, &spec)?;
        fs::write_atomic(&output.join("README.md"), card.as_bytes())?;
        Ok(report)
    }
}

struct Log<'a> {
    path: &'a Path,
    lines: &'a mut Vec<StepMetrics>,
    suites: &'a [Suite],
    total: usize,
    doing: Option<&'a mut Doing>,
}

impl Log<'_> {
    fn write(&mut self, line: &StepMetrics) -> Result<(), TrainError> {
        let mut file = fs::open_append(self.path)?;
        let mut text = serde_json::to_vec(line).map_err(|e| TrainError::Compute {
            what: "writing metrics",
            reason: e.to_string(),
        })?;
        text.push(b'\n');
        file.write_all(&text).map_err(fs::at("write", self.path))?;
        self.lines.push(line.clone());
        Ok(())
    }
}

/// What an earlier run logged up to `step`; the file is cut back to that.
fn earlier_metrics(path: &Path, step: usize) -> Result<Vec<StepMetrics>, TrainError> {
    if !fs::exists(path) {
        return Ok(Vec::new());
    }
    let text = fs::read(path)?;
    let lines: Vec<StepMetrics> = String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|l| serde_json::from_str(l).ok())
        .filter(|m: &StepMetrics| m.step <= step)
        .collect();
    let mut kept = Vec::new();
    for line in &lines {
        // A line that was read can be written.
        kept.extend(serde_json::to_vec(line).unwrap_or_default());
        kept.push(b'\n');
    }
    fs::write_atomic(path, &kept)?;
    Ok(lines)
}

/// Where the rows of a batch came from, the first of them.
fn places(source: &Source, batch: &BatchPlan) -> String {
    let places: Vec<&str> = batch
        .rows
        .iter()
        .take(4)
        .map(|&i| source.examples[i].place.as_str())
        .collect();
    let more = batch.rows.len().saturating_sub(places.len());
    let names = format!("{}: {}", source.name, places.join(", "));
    match more {
        0 => names,
        n => format!("{names} and {n} more"),
    }
}

/// Names step and batch in an error.
fn named(
    error: TrainError,
    stage: &Stage,
    step: usize,
    source: &Source,
    batch: &BatchPlan,
) -> TrainError {
    let batch = places(source, batch);
    match error {
        TrainError::NotFinite { what, value, .. } => TrainError::NotFinite {
            stage: stage.name.clone(),
            step,
            what,
            value,
            batch,
        },
        TrainError::Compute { reason, .. }
            if reason.contains("OUT_OF_MEMORY") || reason.contains("out of memory") =>
        {
            TrainError::OutOfMemory {
                stage: stage.name.clone(),
                step,
                batch,
            }
        }
        other => other,
    }
}

/// A number in `[0, 1)`.
fn uniform(random: &mut Xoshiro256PlusPlus) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Leaves tokens out at random, never all.
fn drop_tokens(text: &mut PreparedText, share: f64, random: &mut Xoshiro256PlusPlus) {
    let kept: Vec<u32> = text
        .ids
        .iter()
        .copied()
        .filter(|_| uniform(random) >= share)
        .collect();
    if !kept.is_empty() {
        text.ids = kept;
    }
}

/// Triplets by label and value; what the data do not say is not counted.
fn labels(stages: &[Vec<Source>]) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut found: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for example in of_kind(stages, Kind::Triplets).flat_map(|s| &s.examples) {
        for (field, value) in example.labels.named() {
            if !value.is_empty() {
                *found
                    .entry(field.to_owned())
                    .or_default()
                    .entry(value.to_owned())
                    .or_default() += 1;
            }
        }
    }
    found
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

/// Reads a checkpoint that was just written.
fn read_trained(folder: &Path, open: &OpenOptions) -> Result<EncoderSpec, TrainError> {
    let overrides = Overrides {
        open: open.clone(),
        ..Overrides::default()
    };
    Ok(read(folder, &overrides)?)
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

/// Resident memory of this process.
fn memory_mib() -> Option<f64> {
    let status = fs::read(Path::new("/proc/self/status")).ok()?;
    let status = String::from_utf8_lossy(&status).into_owned();
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((kib / 102.4).round() / 10.0)
}
