//! mteb's result files: every variant seen in the wild is read, the current one is written.
//!
//! `results/<org__model>/<revision>/<TaskName>.json` next to `model_meta.json`. [`read`] brings the
//! files of any version, and the scores of model cards (`card.rs`), to one form; `name.rs` says whose
//! they are; [`write()`] writes as mteb does: two-space indent, its key order, ASCII escapes, Python's
//! number format, scores rounded to six places, no newline at the end.

mod card;
mod name;
mod read;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::record::{EncoderFacts, Harness, Record, SCHEMA_VERSION, Scores, SuiteFacts};
use korfinsts_metric::Similarity;

pub use name::{ModelName, model_of};
pub use read::read;
pub use write::{Written, write};

/// The version of mteb whose format is written.
pub const MTEB_VERSION: &str = "2.12.30";

/// Key of the main score.
const SPEARMAN: &str = "cosine_spearman";

/// The similarities that mteb reports for pairs.
const SIMILARITIES: [Similarity; 3] = [
    Similarity::Cosine,
    Similarity::Manhattan,
    Similarity::Euclidean,
];

/// The correlations that mteb reports of each.
const KINDS: [&str; 2] = ["pearson", "spearman"];

/// Key of a correlation, ours and mteb's.
fn key(similarity: Similarity, kind: &str) -> String {
    format!("{}_{kind}", similarity.name())
}

/// One split and subset of one task in a result file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MtebScores {
    /// Task name, as `KorSTS`.
    pub task: String,
    /// Name of the model, where the file itself has it: only a model card does.
    pub model: Option<String>,
    /// Revision of the dataset, where the file has it.
    pub dataset_revision: Option<String>,
    /// Version of mteb that wrote the file.
    pub mteb_version: Option<String>,
    /// Split.
    pub split: String,
    /// Subset; `default` where the task has one.
    pub subset: String,
    /// Languages with script.
    pub languages: Vec<String>,
    /// Correlations in [−1, 1] by their current names (`cosine_spearman`, ...); a NaN is left out.
    pub scores: BTreeMap<String, f64>,
    /// The main score.
    pub main_score: Option<f64>,
    /// Unix time of the run, where the file has it.
    pub date: Option<f64>,
    /// What had to be concluded to read it, and why it has no score.
    pub notes: Vec<String>,
}

/// A result file as a record, as far as it goes: what mteb does not keep stays empty. A file that
/// names no model has its path for a name.
#[must_use]
pub fn to_record(result: &MtebScores, path: &Path) -> Record {
    let keys = SIMILARITIES
        .iter()
        .flat_map(|s| KINDS.map(|kind| key(*s, kind)));
    let known: Map<String, Value> = keys
        .filter_map(|key| Some((key.clone(), (*result.scores.get(&key)?).into())))
        .collect();
    let scores: Scores = serde_json::from_value(known.into()).unwrap_or_default();
    let model = model_of(path, result.model.as_deref());
    let mut warnings = vec!["read from a result file of mteb: not run here".to_owned()];
    warnings.extend(model.note.iter().chain(&result.notes).cloned());
    Record {
        schema_version: SCHEMA_VERSION,
        encoder: EncoderFacts {
            name: model.name.unwrap_or_else(|| path.display().to_string()),
            revision: model.revision,
            backend: "mteb".into(),
            backend_version: result.mteb_version.clone(),
            protocol: "mteb".into(),
            ..EncoderFacts::default()
        },
        suite: SuiteFacts {
            id: result.task.clone(),
            split: result.split.clone(),
            languages: result.languages.clone(),
            mteb_task: Some(result.task.clone()),
            hub_revision: result.dataset_revision.clone(),
            ..SuiteFacts::default()
        },
        scores,
        harness: Harness {
            name: "mteb".into(),
            version: result.mteb_version.clone().unwrap_or_default(),
        },
        warnings,
        ..Record::default()
    }
}
