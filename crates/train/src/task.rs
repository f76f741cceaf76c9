//! What a step is made of: a batch's texts, and what they are trained for.

use candle_core::{Device, Tensor};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use super::batch::{BatchPlan, Example, Kind, Source};
use super::error::computing;
use super::recipe::{Negatives, Stage};
use super::session::{Others, Session};
use super::step::{Objective, same_texts};
use super::{TrainError, base};
use korfinsts_encoder::PreparedText;
use korfinsts_nn::error::says_out_of_memory;

/// What one step is made of.
pub(super) struct Task<'a> {
    /// Number of the step in the run, from 1.
    pub step: usize,
    /// Index of the stage.
    pub stage_index: usize,
    pub stage: &'a Stage,
    /// The stage's data.
    pub sources: &'a [Source],
    pub batch: &'a BatchPlan,
}

impl Session<'_> {
    /// Texts of a batch in the order of their roles, and what they are trained for.
    pub(super) fn objective(
        &self,
        task: &Task<'_>,
        others: &Others,
    ) -> Result<(Vec<PreparedText>, Objective), TrainError> {
        let teachers = &others.teachers;
        let (stage, sources, batch) = (task.stage, task.sources, task.batch);
        let examples: Vec<&Example> = batch.examples(sources).collect();
        let first = examples.iter().map(|e| e.first.as_str());
        let second = examples.iter().map(|e| e.second.as_str());
        let negative = examples.iter().filter_map(|e| e.negative.as_deref());
        let temperature = stage.temperature;
        let (texts, mut objective): (Vec<&str>, Objective) = match batch.kind {
            Kind::Triplets => (
                first.chain(second).chain(negative).collect(),
                match (stage.negatives, stage.margin) {
                    (_, Some(margin)) => Objective::Margin { margin },
                    (Negatives::Hard, None) => Objective::Triplet { temperature },
                    (Negatives::HardAndBatch, None) => Objective::InBatch {
                        temperature,
                        hard: true,
                        same: same_texts(&examples, stage.batch),
                    },
                },
            ),
            Kind::Pairs => (
                first.chain(second).collect(),
                Objective::InBatch {
                    temperature,
                    hard: false,
                    same: same_texts(&examples, stage.batch),
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
                let extra: Vec<&str> = batch.extra(sources).collect();
                let (firsts, seconds): (Vec<&str>, Vec<&str>) = (first.collect(), second.collect());
                let views = [
                    teachers.firsts(&firsts)?,
                    teachers.translations([&firsts, &seconds])?,
                ];
                let objective = Objective::Distil {
                    views: views
                        .into_iter()
                        .map(|view| self.targets(view, firsts.len()))
                        .collect::<Result<_, _>>()?,
                    extra: match extra.len() {
                        0 => None,
                        n => Some(self.targets(teachers.firsts(&extra)?, n)?),
                    },
                    from: 0,
                    similarity: stage.similarity,
                };
                ([firsts, seconds, extra].concat(), objective)
            }
            Kind::Texts => {
                let texts: Vec<&str> = first.collect();
                let objective = Objective::Distil {
                    views: vec![self.targets(teachers.alone(&texts)?, texts.len())?],
                    extra: None,
                    from: teachers.before_translations(),
                    similarity: stage.similarity,
                };
                (texts, objective)
            }
        };
        let guide = others.guides.get(task.stage_index).and_then(Option::as_ref);
        if let (Objective::InBatch { same, .. }, Some(guide), Some(store)) =
            (&mut objective, &stage.guide, guide)
        {
            let (rows, _) = base::unit_rows(store, &texts)?;
            guide.mark(same, examples.len(), &rows);
        }
        let prompts = stage.prompts(&self.plan.recipe.compute);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(batch.seed);
        let mut prepared = texts
            .into_iter()
            .enumerate()
            .map(|(i, text)| {
                self.model
                    .prepare(text, prompts[usize::from(i >= examples.len())])
            })
            .collect::<Result<Vec<_>, _>>()?;
        if stage.token_dropout > 0.0 && batch.kind.distils() {
            for text in &mut prepared {
                drop_tokens(text, stage.token_dropout, &mut random);
            }
        }
        Ok((prepared, objective))
    }

    /// What the student is to be like, as a tensor of so many rows.
    fn targets(&self, values: Vec<f32>, rows: usize) -> Result<Tensor, TrainError> {
        let (options, width) = (self.model.options(), values.len() / rows.max(1));
        Tensor::from_vec(values, (rows, width), &Device::Cpu)
            .and_then(|t| t.to_dtype(options.dtype)?.to_device(&options.device))
            .map_err(computing("reading the teachers' embeddings"))
    }
}

impl Task<'_> {
    /// Where the rows of the batch came from, the first of them.
    fn places(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for at in &self.batch.rows {
            let name = self.sources[at.source].name.as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let examples = self.batch.examples(self.sources).take(4);
        let places: Vec<&str> = examples.map(|e| e.place.as_str()).collect();
        let more = self.batch.rows.len().saturating_sub(places.len());
        let names = format!("{}: {}", names.join(" and "), places.join(", "));
        match more {
            0 => names,
            n => format!("{names} and {n} more"),
        }
    }

    /// `value` of the step is no number.
    pub(super) fn not_finite(&self, what: &str, value: f64) -> TrainError {
        TrainError::NotFinite {
            stage: self.stage.name.clone(),
            step: self.step,
            what: what.to_owned(),
            value,
            batch: self.places(),
        }
    }

    /// An error of the step; one that says that memory ran out names step and batch.
    pub(super) fn out_of_memory(&self, error: TrainError) -> TrainError {
        match error {
            TrainError::Compute { reason, .. } if says_out_of_memory(&reason) => {
                TrainError::OutOfMemory {
                    stage: self.stage.name.clone(),
                    step: self.step,
                    batch: self.places(),
                }
            }
            other => other,
        }
    }
}

impl std::fmt::Display for Task<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (step, name, places) = (self.step, &self.stage.name, self.places());
        write!(f, "step {step} ({name}); the batch: {places}")
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::batch::{self, PlanOptions};
    use super::super::recipe::Recipe;
    use super::*;

    const RECIPE: &str = r#"schema = 1
name = "small"
[base]
model = "folder"
[[stage]]
name = "first"
batch = 8
learning_rate = 5e-5
data = [{ pairs = "pairs.jsonl" }]
"#;

    #[test]
    fn errors_of_a_step_that_say_that_memory_ran_out_name_step_and_batch() {
        let recipe = Recipe::parse(RECIPE, Path::new("small.toml")).expect("a recipe");
        let example = Example {
            place: "pairs.jsonl:1".into(),
            ..Example::default()
        };
        let sources = [Source::new(
            Kind::Pairs,
            "pairs.jsonl".into(),
            vec![example],
        )];
        let options = PlanOptions {
            batch: 8,
            epochs: 1,
            extra: 0.0,
            seed: 0,
        };
        let batches = batch::plan(&sources, options);
        let task = Task {
            step: 7,
            stage_index: 0,
            stage: &recipe.stages[0],
            sources: &sources,
            batch: &batches[0],
        };
        let said = |reason: &str| {
            let failed = computing("a step")(candle_core::Error::Msg(reason.into()));
            task.out_of_memory(failed).to_string()
        };
        for reason in [
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
            "std::bad_alloc",
        ] {
            let expected = "step 7 (first): out of memory; the batch: pairs.jsonl: pairs.jsonl:1";
            assert_eq!(said(reason), expected, "{reason}");
        }
        assert_eq!(
            said("CUDA_ERROR_ILLEGAL_ADDRESS"),
            "a step: CUDA_ERROR_ILLEGAL_ADDRESS"
        );
        let error = task.not_finite("the loss", f64::NAN).to_string();
        assert_eq!(
            error,
            "step 7 (first): the loss is NaN; the batch: pairs.jsonl: pairs.jsonl:1"
        );
    }
}
