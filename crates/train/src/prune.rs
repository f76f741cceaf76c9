//! A base model with fewer tokens: its folder again, with a tokenizer that knows those that are needed,
//! and their rows of the embedding matrix.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TrainError;
use super::recipe::PruneBase;
use super::save::{self, Values};
use super::vocabulary::{self, Places, corpus_name, matrix};
use korfinsts_bench::coverage::augment::Texts;
use korfinsts_bench::coverage::prune::{self, KeptRows, PruneOptions};
use korfinsts_bench::coverage::{CoverageError, ScriptQuery, Subject};
use korfinsts_encoder::EncoderSpec;

/// What is kept with the new tokenizer, for a run that is continued later.
const REPORT: &str = "pruned.json";

/// What became of a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReport {
    /// Kind of the tokenizer's model: `Unigram`, `BPE`, `WordPiece`.
    pub model: String,
    /// Where the tokens were counted: a file, or the training texts.
    pub corpus: String,
    /// Rows of the embedding matrix before.
    pub old_rows: usize,
    /// Rows after.
    pub new_rows: usize,
}

/// Writes `base` with the tokens that stay as a model folder and reads it back.
///
/// # Errors
/// When the corpus cannot be read, the tokenizer is of a kind that is not pruned, or the weights
/// have no matrix with its rows.
pub fn base(
    base: &EncoderSpec,
    recipe: &PruneBase,
    places: Places<'_>,
) -> Result<(EncoderSpec, PruneReport), TrainError> {
    let (mut spec, report) = places.model(base, REPORT, || write(base, recipe, places))?;
    spec.name = format!("{}, {} tokens", base.name, report.new_rows);
    Ok((spec, report))
}

fn write(
    base: &EncoderSpec,
    recipe: &PruneBase,
    places: Places<'_>,
) -> Result<PruneReport, TrainError> {
    let folder = places.folder;
    let corpus = places.corpus(
        recipe.corpus.as_ref(),
        recipe.field.as_deref(),
        recipe.sha256.as_ref(),
    )?;
    let scripts = |names: &[String]| -> Result<Vec<ScriptQuery>, CoverageError> {
        names.iter().map(|name| ScriptQuery::parse(name)).collect()
    };
    let options = PruneOptions {
        scripts: scripts(&recipe.scripts)?,
        letters: scripts(&recipe.letters)?,
        min_count: recipe.min_count,
        ids: std::iter::once(base.pad_id)
            .chain(base.append_token)
            .collect(),
    };
    let before = Subject::load(base.tokenizer_folder())?.named(base.name.clone());
    let texts = match &corpus {
        Some(corpus) => Texts::Corpus(corpus),
        None => Texts::Listed(places.training_texts),
    };
    let counts = prune::counts(&before, texts)?;
    let (tokenizer, rows) = prune::prune(&before, &counts, &options)?;
    prune::write(folder, &before, &tokenizer, &rows)?;
    let old_rows = std::cell::Cell::new(0);
    let new_rows = vocabulary::weights(folder, base, &|table| {
        old_rows.set(table.shape.first().copied().unwrap_or_default());
        select(table, &rows)
    })?;
    if let Some(mut config) = base.config.as_object().cloned() {
        config.insert("vocab_size".into(), new_rows.into());
        let ids = |key: &str| key.ends_with("_token_id") || key.ends_with("_token_ids");
        for (_, value) in config.iter_mut().filter(|(key, _)| ids(key)) {
            prune::renumbered(value, &rows);
        }
        save::write_json(&folder.join("config.json"), &Value::Object(config))?;
    }
    Ok(PruneReport {
        model: rows.model.to_owned(),
        corpus: corpus_name(recipe.corpus.as_ref()),
        old_rows: old_rows.get(),
        new_rows,
    })
}

/// Leaves the rows of a matrix `[rows, width]` that stay, in their order.
fn select(table: &mut Values, kept: &KeptRows) -> Result<(), String> {
    let (_, width) = matrix(table, kept.old_rows)?;
    let row = |old: &u32| &table.values[*old as usize * width..][..width];
    table.values = kept.rows.iter().flat_map(row).copied().collect();
    table.shape = vec![kept.rows.len(), width];
    Ok(())
}
