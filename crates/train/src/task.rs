//! What a step is made of: a batch's texts, and what they are trained for.

use candle_core::{Device, Tensor};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use super::batch::{BatchPlan, Example, Kind, Source};
use super::error::computing;
use super::recipe::{Negatives, Stage};
use super::session::Session;
use super::step::{Objective, same_texts};
use super::{TrainError, base};
use korfinsts_bench::run::store::Store;
use korfinsts_encoder::PreparedText;

impl Session<'_> {
    /// Texts of a batch in the order of their roles, and what they are trained for.
    pub(super) fn objective(
        &self,
        stage: &Stage,
        sources: &[Source],
        batch: &BatchPlan,
        teacher: Option<&Store>,
    ) -> Result<(Vec<PreparedText>, Objective), TrainError> {
        let examples: Vec<&Example> = batch.examples(sources).collect();
        let first = examples.iter().map(|e| e.first.as_str());
        let second = examples.iter().map(|e| e.second.as_str());
        let negative = examples.iter().filter_map(|e| e.negative.as_deref());
        let temperature = stage.temperature;
        let (texts, objective): (Vec<&str>, Objective) = match batch.kind {
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
                let extra: Vec<&str> = batch.extra(sources).collect();
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
        if stage.token_dropout > 0.0 && batch.kind == Kind::Parallel {
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
}

/// Where the rows of a batch came from, the first of them.
pub(super) fn places(sources: &[Source], batch: &BatchPlan) -> String {
    let mut names: Vec<&str> = Vec::new();
    for at in &batch.rows {
        let name = sources[at.source].name.as_str();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let places: Vec<&str> = batch
        .examples(sources)
        .take(4)
        .map(|e| e.place.as_str())
        .collect();
    let more = batch.rows.len().saturating_sub(places.len());
    let names = format!("{}: {}", names.join(" and "), places.join(", "));
    match more {
        0 => names,
        n => format!("{names} and {n} more"),
    }
}

/// Names step and batch in an error.
pub(super) fn named(
    error: TrainError,
    stage: &Stage,
    step: usize,
    sources: &[Source],
    batch: &BatchPlan,
) -> TrainError {
    let batch = places(sources, batch);
    match error {
        TrainError::NotFinite { what, value, .. } => TrainError::NotFinite {
            stage: stage.name.clone(),
            step,
            what,
            value,
            batch,
        },
        TrainError::Compute { reason, .. } if korfinsts_nn::error::says_out_of_memory(&reason) => {
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
