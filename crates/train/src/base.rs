//! What training starts from where that is no existing model: a new static embedding, or a model
//! with new tokens; and the embeddings of the encoder that is imitated.

use std::collections::HashSet;

use super::augment::{self, VocabularyReport};
use super::batch::{Example, Kind, Source, examples, of_kind};
use super::data::whole_words;
use super::fresh::{self, Start, Vocabulary};
use super::principal;
use super::prune::{self, PruneReport};
use super::recipe::{AugmentBase, First, PruneBase, StaticBase};
use super::session::{BESIDE, TrainPlan, Watch};
use super::teachers::Teachers;
use super::vocabulary::Places;
use super::{TrainError, state};
use korfinsts_base::fs;
use korfinsts_bench::run::engine::{self, BATCH_TOKENS, EncodeOptions, EncodeTask};
use korfinsts_bench::run::store::{Store, text_key};
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::spec::{Overrides, read};

/// Writes and reads the static base that the recipe asks for.
pub(super) fn fresh(
    plan: &TrainPlan<'_>,
    stages: &[Vec<Source>],
    watch: &mut dyn Watch,
) -> Result<EncoderSpec, TrainError> {
    let Some(recipe) = &plan.recipe.base.fresh else {
        return Err(plan.wrong("the base model was not found".into()));
    };
    let beside = plan.output.join(BESIDE);
    let folder = beside.join(start_of(0));
    if !plan.restart && state::any(&beside)? && fs::exists(&folder.join("modules.json")) {
        // A run continues with the base it began with.
        return Ok(read(&folder, &Overrides::default())?);
    }
    let words = match plan.teachers.first().and_then(|t| t.tokenizer.as_deref()) {
        Some(tokenizer) if recipe.teacher_words => whole_words(tokenizer),
        _ => Vec::new(),
    };
    let texts = examples(stages)
        .flat_map(Example::texts)
        .chain(words.iter().map(String::as_str));
    let vocabulary = fresh::vocabulary(texts, recipe.vocabulary)?;
    // A dry run has no use for embeddings.
    let start = match recipe.first {
        First::Teacher if !plan.dry => Some(start(plan, recipe, stages, (&vocabulary, watch))?),
        _ => None,
    };
    let runs = match (&start, plan.recipe.stages.first()) {
        (Some(_), Some(stage)) => stage.soup,
        _ => 1,
    };
    for run in (0..runs).rev() {
        let seed = plan.recipe.seed.wrapping_add(run as u64);
        let folder = beside.join(start_of(run));
        vocabulary.write(&folder, recipe, start.as_ref(), seed)?;
    }
    Ok(read(&folder, &Overrides::default())?)
}

/// Folder of the weights that a run of the first stage starts from, in that of the states.
fn start_of(run: usize) -> String {
    match run {
        0 => "base".into(),
        n => format!("base-{n}"),
    }
}

/// A new static base as a later run of the first stage starts from it: with random numbers of its
/// own. Only where vectors of words and the projection start as the teacher has them, which
/// keeps the runs near enough for a mean.
pub(super) fn other(plan: &TrainPlan<'_>, run: usize) -> Result<Option<EncoderSpec>, TrainError> {
    match &plan.recipe.base.fresh {
        Some(recipe) if recipe.first == First::Teacher => {
            let folder = plan.output.join(BESIDE).join(start_of(run));
            Ok(Some(read(&folder, &Overrides::default())?))
        }
        _ => Ok(None),
    }
}

/// Removes what only runs of the first stage needed.
pub(super) fn remove_others(plan: &TrainPlan<'_>) -> Result<(), TrainError> {
    let runs = plan.recipe.stages.first().map_or(1, |stage| stage.soup);
    for run in 1..runs {
        fs::remove_dir(&plan.output.join(BESIDE).join(start_of(run)))?;
    }
    Ok(())
}

/// First values of the vectors of words that occur in the teacher's texts.
fn start(
    plan: &TrainPlan<'_>,
    recipe: &StaticBase,
    stages: &[Vec<Source>],
    (vocabulary, watch): (&Vocabulary, &mut dyn Watch),
) -> Result<Start, TrainError> {
    let parallel = || of_kind(stages, Kind::Parallel);
    let known: HashSet<String> = parallel()
        .flat_map(|s| s.examples.iter().map(|e| &e.first).chain(&s.extra))
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .map(str::to_lowercase)
        .collect();
    let mut words = vocabulary.words();
    words.retain(|(_, word)| known.contains(*word));
    let wanted: Vec<&str> = words
        .iter()
        .map(|(_, word)| *word)
        .chain(parallel().flat_map(|s| s.examples.iter().map(|e| e.first.as_str())))
        .collect();
    let teachers = Teachers::of(plan, stages, &wanted, watch)?;
    let (rows, width) = (teachers.firsts(&wanted)?, teachers.width());
    if width != recipe.projection {
        return Err(plan.wrong(format!(
            "`projection` is {}, and the embeddings to imitate have {width} components",
            recipe.projection
        )));
    }
    let directions = principal::directions(&rows, width, recipe.dimension);
    let vectors = words
        .iter()
        .zip(rows.chunks_exact(width))
        .map(|((piece, _), row)| {
            let parts = directions.chunks_exact(width).map(|direction| {
                direction
                    .iter()
                    .zip(row)
                    .map(|(d, v)| f64::from(*d) * f64::from(*v))
                    .sum::<f64>() as f32
            });
            (*piece, parts.collect())
        })
        .collect();
    Ok(Start {
        vectors,
        directions,
    })
}

/// Whether the base that an earlier run wrote is taken again, and every training text once.
fn continued<'s>(
    plan: &TrainPlan<'_>,
    stages: &'s [Vec<Source>],
) -> Result<(bool, Vec<&'s str>), TrainError> {
    let keep = !plan.restart && state::any(&plan.output.join(BESIDE))?;
    let mut seen = HashSet::new();
    let texts = examples(stages).flat_map(Example::texts);
    Ok((keep, texts.filter(|text| seen.insert(*text)).collect()))
}

/// Writes and reads the base model with the new tokens that the recipe asks for.
pub(super) fn augmented(
    plan: &TrainPlan<'_>,
    base: &EncoderSpec,
    recipe: &AugmentBase,
    stages: &[Vec<Source>],
) -> Result<(EncoderSpec, VocabularyReport), TrainError> {
    let (keep, texts) = continued(plan, stages)?;
    augment::base(
        base,
        recipe,
        Places {
            folder: &plan.output.join(BESIDE).join("base"),
            root: &plan.root,
            training_texts: &texts,
            keep,
        },
    )
}

/// Writes and reads the base model with the tokens that the recipe keeps.
pub(super) fn pruned(
    plan: &TrainPlan<'_>,
    base: &EncoderSpec,
    recipe: &PruneBase,
    stages: &[Vec<Source>],
) -> Result<(EncoderSpec, PruneReport), TrainError> {
    let (keep, mut texts) = continued(plan, stages)?;
    let prompts = (plan.recipe.stages.iter()).flat_map(|s| s.prompts(&plan.recipe.compute));
    texts.extend(prompts);
    prune::base(
        base,
        recipe,
        Places {
            folder: &plan.output.join(BESIDE).join("base"),
            root: &plan.root,
            training_texts: &texts,
            keep,
        },
    )
}

/// Embeddings of texts by another encoder under a prompt, computed once and kept.
pub(super) fn embedded(
    plan: &TrainPlan<'_>,
    (encoder, prompt): (&EncoderSpec, &str),
    texts: &[&str],
    watch: &mut dyn Watch,
) -> Result<Store, TrainError> {
    let task = EncodeTask {
        texts,
        prompt,
        folder: &plan.cache.join(encoder.key(prompt)),
        options: EncodeOptions {
            batch_tokens: BATCH_TOKENS,
            resume: true,
            label: &encoder.name,
            stop: plan.stop,
        },
    };
    Ok(engine::embed(task, watch, &mut || {
        encoder.open(&plan.open)
    })?)
}

/// An embedding that should be in a store is not.
fn no_embedding() -> TrainError {
    TrainError::Compute {
        what: "reading the embeddings of another encoder",
        reason: "one is missing".into(),
    }
}

/// The stored embeddings of texts as rows of length 1, one after another, and their width.
pub(super) fn unit_rows(store: &Store, texts: &[&str]) -> Result<(Vec<f32>, usize), TrainError> {
    let set = store.set();
    let mut values = Vec::with_capacity(texts.len() * set.dimension());
    for text in texts {
        let (row, _) = set.get(&text_key(text)).ok_or_else(no_embedding)?;
        let norm = row
            .iter()
            .map(|&v| f64::from(v).powi(2))
            .sum::<f64>()
            .sqrt();
        values.extend(row.iter().map(|&v| (f64::from(v) / norm.max(1e-12)) as f32));
    }
    Ok((values, set.dimension()))
}
