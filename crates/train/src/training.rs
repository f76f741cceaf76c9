//! The steps of a run: stages, their runs, and what is written on the way.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::best::{Best, BestStep};
use super::error::computing;
use super::evaluator::Evaluator;
use super::events::Events;
use super::in_progress::InProgress;
use super::metrics::{Log, StepMetrics, memory_mib};
use super::optim::{self, AdamW, Schedule};
use super::ranks::Ranks;
use super::session::{BESIDE, MEAN, Others, Session, Watch};
use super::soup::{self, Soup};
use super::state::{self, Kept, Position};
use super::step::{Objective, StepOptions, TrainingBatch, step_of};
use super::task::Task;
use super::{TrainError, held_out};
use korfinsts_encoder::PreparedText;
use korfinsts_nn::dropout::Draw;

/// A session that trains, at some position.
pub(super) struct Training<'t> {
    session: &'t Session<'t>,
    evaluator: &'t Evaluator<'t>,
    watch: &'t mut dyn Watch,
    ranks: &'t mut dyn Ranks,
    others: Others,
    position: Position,
    /// What the state of an earlier run holds, until its stage continues.
    restored: Option<(AdamW, Option<Soup>)>,
    /// At rank 0, where a dev split chooses the checkpoint.
    best: Option<Best>,
    /// Whether training ended before its last step, because it no longer became better.
    stopped: bool,
    /// At rank 0.
    records: Option<Records>,
    /// Steps of all stages.
    total: usize,
}

/// A run that was trained.
pub(super) struct Trained {
    pub log: Log,
    /// The step whose weights the model has, where it is not the last one for certain.
    pub best: Option<BestStep>,
}

/// A step that was made.
struct Made {
    loss: f64,
    /// Norm of the gradients before clipping.
    norm: f64,
    /// Negatives that the guide masked, where there is one.
    masked: Option<usize>,
}

/// What rank 0 writes.
struct Records {
    log: Log,
    /// Where the recipe wants them.
    events: Option<Events>,
    in_progress: InProgress,
}

impl<'t> Training<'t> {
    /// Begins, or continues from the last state.
    pub fn begin(
        session: &'t Session<'t>,
        evaluator: &'t Evaluator<'t>,
        watch: &'t mut dyn Watch,
        ranks: &'t mut dyn Ranks,
    ) -> Result<Self, TrainError> {
        let first = ranks.rank() == 0;
        // Rank 0 computes the embeddings of teacher and guides; the others read them from the cache.
        if !first {
            ranks.wait()?;
        }
        let others = session.others(watch)?;
        if first {
            ranks.wait()?;
        }
        let folder = session.plan.output.join(BESIDE);
        let found = state::find(&folder, &session.run)?;
        let at = found.as_ref().map_or(0, |(_, position)| position.step);
        ranks.same("last state", &(at as u64).to_le_bytes())?;
        let position = match &found {
            Some((_, position)) => position.clone(),
            None => Position {
                run: session.run.clone(),
                step: 0,
                stage: 0,
                lap: 0,
                in_lap: 0,
                best: None,
            },
        };
        let log = if first {
            Some(Log::open(folder.join("metrics.jsonl"), position.step)?)
        } else {
            None
        };
        let mut best = None;
        let restored = match &found {
            Some((path, _)) => {
                let stage = position.stage.min(session.batches.len() - 1);
                let options = session.optimiser(stage);
                let restored = state::restore(path, &position, &session.model, options)?;
                best = restored.best;
                Some((restored.optimiser, restored.soup))
            }
            None => None,
        };
        // Nobody removes a state that another still reads.
        ranks.wait()?;
        if position.step > 0 {
            watch.note(&format!("going on behind step {}", position.step));
        }
        let records = match log {
            Some(log) => {
                let (in_progress, earlier) = InProgress::begin(&folder)?;
                if let Some(earlier) = earlier {
                    watch.note(&format!(
                        "the last run was ended in the middle of {earlier}\nwhere memory ran out, \
                         set `micro_batch` or `gradient_checkpointing` in `[compute]`"
                    ));
                }
                let wanted = session.plan.recipe.save.tensorboard;
                let events = wanted
                    .then(|| Events::begin(&folder, position.step))
                    .transpose()?;
                Some(Records {
                    log,
                    events,
                    in_progress,
                })
            }
            None => None,
        };
        let total = session.batches.iter().flatten().map(Vec::len).sum();
        watch.training(position.step, total);
        Ok(Self {
            session,
            evaluator,
            watch,
            ranks,
            others,
            position,
            restored,
            best,
            stopped: false,
            records,
            total,
        })
    }

    /// Trains to the end and leaves the weights of the checkpoint; gives the log at rank 0.
    pub fn run(mut self) -> Result<Option<Trained>, TrainError> {
        let stages = self.session.plan.recipe.stages.len();
        let mut outcome = Ok(());
        while outcome.is_ok() && self.position.stage < stages {
            outcome = self.stage();
        }
        self.watch.trained();
        let log = match self.records {
            Some(records) => {
                records.in_progress.end()?;
                Some(records.log)
            }
            None => None,
        };
        outcome?;
        let Some(log) = log else { return Ok(None) };
        let best = self.best.map(|Best { at, weights }| {
            let line = format!("{}: {} {:.4}", at.step, at.suite, at.score);
            self.watch
                .note(&format!("the checkpoint is that of step {line}"));
            soup::set(self.session.model.parameters(), &weights).map(|()| at)
        });
        let best = best.transpose().map_err(computing("the best weights"))?;
        Ok(Some(Trained { log, best }))
    }

    /// The rest of a stage.
    fn stage(&mut self) -> Result<(), TrainError> {
        let session = self.session;
        let parameters = session.model.parameters();
        let options = session.optimiser(self.position.stage);
        let laps = session.batches[self.position.stage].len();
        let (mut optimiser, mut soup) = match self.restored.take() {
            Some(restored) => restored,
            None if laps > 1 => {
                let soup = Soup::begin(parameters).map_err(computing(MEAN))?;
                (AdamW::new(options), Some(soup))
            }
            None => (AdamW::new(options), None),
        };
        while self.position.lap < laps && !self.stopped {
            self.lap(&mut optimiser, soup.as_ref())?;
            self.position.lap += 1;
            self.position.in_lap = 0;
            optimiser = AdamW::new(options);
            let Some(soup) = &mut soup else { continue };
            soup.add(parameters).map_err(computing(MEAN))?;
            if self.position.lap < laps {
                session.restart(soup, &self.position)?;
                self.save(&optimiser, Some(soup))?;
            }
        }
        if let Some(soup) = soup {
            soup.finish(parameters, laps).map_err(computing(MEAN))?;
        }
        self.position.stage = if self.stopped {
            session.batches.len()
        } else {
            self.position.stage + 1
        };
        self.position.lap = 0;
        self.save(&optimiser, None)
    }

    /// The rest of one run of a stage.
    fn lap(&mut self, optimiser: &mut AdamW, soup: Option<&Soup>) -> Result<(), TrainError> {
        let session = self.session;
        let stage = &session.plan.recipe.stages[self.position.stage];
        let batches = &session.batches[self.position.stage][self.position.lap];
        let schedule = Schedule {
            peak: stage.learning_rate,
            warmup: stage
                .warmup_steps
                .unwrap_or_else(|| (batches.len() as f64 * stage.warmup).round() as usize),
            total: batches.len(),
            shape: stage.schedule,
        };
        while self.position.in_lap < batches.len() {
            if self.ranks.any(session.plan.stop.load(Ordering::Relaxed))? {
                self.save(optimiser, soup)?;
                return Err(TrainError::Interrupted {
                    step: self.position.step,
                    total: self.total,
                });
            }
            if session.plan.recipe.evaluate.patience > 0
                && self.ranks.any(self.out_of_patience())?
            {
                self.stopped = true;
                break;
            }
            let start = Instant::now();
            let task = Task {
                step: self.position.step + 1,
                stage_index: self.position.stage,
                stage,
                sources: &session.stages[self.position.stage],
                batch: &batches[self.position.in_lap],
            };
            if let Some(records) = &mut self.records {
                records.in_progress.set(&task.to_string())?;
            }
            let rate = schedule.at(self.position.in_lap);
            let made = self
                .step(&task, optimiser, rate)
                .map_err(|error| task.out_of_memory(error))?;
            self.position.step = task.step;
            self.position.in_lap += 1;
            if self.records.is_none() {
                continue;
            }
            self.record(StepMetrics {
                step: task.step,
                stage: stage.name.clone(),
                run: self.position.lap + 1,
                kind: task.batch.kind.name().to_owned(),
                loss: made.loss as f32,
                learning_rate: rate as f32,
                gradient_norm: made.norm as f32,
                masked: made.masked,
                triplets_per_second: task.batch.rows.len() as f32 / start.elapsed().as_secs_f32(),
                memory_mib: memory_mib(),
                evaluation: BTreeMap::new(),
            })?;
            let every = session.plan.recipe.save.every;
            if every > 0 && task.step.is_multiple_of(every) {
                self.save(optimiser, soup)?;
            }
        }
        Ok(())
    }

    /// Makes one step.
    fn step(
        &mut self,
        task: &Task<'_>,
        optimiser: &mut AdamW,
        rate: f64,
    ) -> Result<Made, TrainError> {
        let session = self.session;
        let compute = &session.plan.recipe.compute;
        let (texts, objective) = session.objective(task, &self.others)?;
        let masked = match &objective {
            Objective::InBatch { same, .. } if task.stage.guide.is_some() => Some(same.by_guide),
            _ => None,
        };
        let texts: Vec<&PreparedText> = texts.iter().collect();
        let options = StepOptions {
            micro_batch: compute.micro_batch,
            checkpointing: compute.gradient_checkpointing,
            widths: &compute.matryoshka,
            draw: Draw {
                seed: task.batch.seed,
                share: task.stage.dropout,
            },
        };
        let batch = TrainingBatch {
            texts: &texts,
            objective: &objective,
        };
        let (loss, gradients) = step_of(&session.model, batch, options, self.ranks)?;
        let norm = optim::norm(&gradients).map_err(computing("the norm of the gradients"))?;
        for (what, value) in [("the loss", loss), ("the norm of the gradients", norm)] {
            if !value.is_finite() {
                return Err(task.not_finite(what, value));
            }
        }
        let clip = match task.stage.clip {
            clip if clip > 0.0 => optim::clip(norm, clip),
            _ => optim::clip(norm, f64::MAX),
        };
        optimiser
            .step(session.model.parameters(), &gradients, rate, clip)
            .map_err(computing("the optimiser"))?;
        Ok(Made { loss, norm, masked })
    }

    /// Writes the line of a step at rank 0, with scores where the recipe wants some.
    fn record(&mut self, mut line: StepMetrics) -> Result<(), TrainError> {
        let (evaluate, model) = (&self.session.plan.recipe.evaluate, &self.session.model);
        let last = line.step == self.total && evaluate.best.is_some();
        if evaluate.every > 0 && (last || line.step.is_multiple_of(evaluate.every)) {
            line.evaluation = self.evaluator.now(model)?;
            if let (Some(_), Some(dev)) = (&evaluate.best, self.session.dev.first()) {
                let name = held_out::name(&dev.id, &dev.split);
                let score = line.evaluation.get(&name).copied();
                let at = (name.as_str(), line.step);
                self.best = Best::after(self.best.take(), at, score, model.parameters())
                    .map_err(computing("the best weights"))?;
                self.position.best = self.best.as_ref().map(|best| best.at.clone());
            }
        }
        if let Some(records) = &mut self.records {
            records.log.write(&line)?;
            if let Some(events) = &mut records.events {
                events.write(&line)?;
            }
        }
        self.watch.stepped(&line, self.total);
        Ok(())
    }

    /// Whether the last evaluations were no better than one before them.
    fn out_of_patience(&self) -> bool {
        let patience = self.session.plan.recipe.evaluate.patience;
        self.best
            .as_ref()
            .is_some_and(|best| best.at.since >= patience)
    }

    /// Writes a state at rank 0.
    fn save(&self, optimiser: &AdamW, soup: Option<&Soup>) -> Result<(), TrainError> {
        if self.records.is_some() {
            let folder = self.session.plan.output.join(BESIDE);
            state::write(
                &folder,
                &self.position,
                &self.session.model,
                Kept {
                    optimiser,
                    soup,
                    best: self.best.as_ref(),
                },
            )?;
        }
        Ok(())
    }
}
