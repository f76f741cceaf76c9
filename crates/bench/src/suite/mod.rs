//! Suites: pairs of sentences with gold scores, packaged as data.
//!
//! Holds the manifest, the loaders, the registry and what `korfinsts suite` does. Imports the
//! ground floor only (`fs`, `text`, `hub`, `failure`, `metric`): a suite knows no encoder.
//!
//! A file of pairs without a manifest is one too: `pairs`. To add a suite: a folder under `benchmarks/` with a `suite.toml`. To add a format: one file
//! under `format/` and one line in its list.

pub mod annotate;
mod check;
mod choose;
mod error;
mod format;
mod import;
mod load;
pub mod manifest;
mod pairs;
pub mod probe;
mod registry;
mod stats;

use std::collections::BTreeMap;

pub use check::CheckReport;
pub use choose::{Absent, BUILT_IN, Chosen, Selection};
pub use error::{Finding, Level, Place, Problem, SuiteError};
pub use format::Encoding;
pub use import::ImportReport;
pub use manifest::{Manifest, Origin};
pub use pairs::{OF_FILE, OwnPairs, PairsOptions, Role, pairs_id};
pub use registry::{Availability, Imported, Registry, built_in_text};
pub use stats::{
    DomainStats, GoldStats, Lengths, Overlap, Repeats, Stats, TokenIds, TokenStats, lengths,
    overlap, stats, unique_texts,
};

use serde::{Deserialize, Serialize};

/// What kind of numbers gold scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScaleKind {
    /// 0 or 1.
    Binary,
    /// Steps whose distances mean nothing.
    Ordinal,
    /// Means of several ratings, or a scale whose distances mean something.
    Interval,
}

/// The declared scale of gold scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Kind of numbers.
    pub kind: ScaleKind,
    /// Smallest score allowed.
    pub min: f64,
    /// Largest score allowed.
    pub max: f64,
}

/// One pair of sentences.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Unique within the suite.
    pub id: String,
    /// First text, exactly as in the source.
    pub sentence1: String,
    /// Second text, exactly as in the source.
    pub sentence2: String,
    /// Gold score within the suite's scale.
    pub gold: f64,
    /// Domain, where the suite has domains.
    pub domain: Option<String>,
    /// Further columns that the manifest keeps (`language`, `pattern`, `variant`, ...).
    pub labels: BTreeMap<String, String>,
}

impl Pair {
    /// The one of some variants of a typology that the pair is of, where its suite labels them.
    #[must_use]
    pub fn variant_among<'a>(&self, variants: &'a [String]) -> Option<&'a String> {
        let own = self.labels.get("variant")?;
        variants.iter().find(|variant| *variant == own)
    }
}

/// Names of the label columns that join pairs to triplets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TripletColumns {
    /// Column that names the triplet: pairs with gold 1 (positives) and with gold 0 (negatives) of one
    /// source.
    pub id: String,
    /// Column by which triplet accuracy is reported.
    pub group: String,
    /// Column that tells the positives, and the negatives, of a triplet apart: `pos.light`, `neg.close`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// Column of the language of a triplet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

impl TripletColumns {
    /// Every column that is named.
    pub fn columns(&self) -> impl Iterator<Item = &String> {
        let further = self.cell.iter().chain(&self.language);
        [&self.id, &self.group].into_iter().chain(further)
    }
}

/// A loaded split of a suite.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Suite id, as the folder under `benchmarks/`.
    pub id: String,
    /// Version of the manifest.
    pub version: String,
    /// Name of the split.
    pub split: String,
    /// ISO 639-3 languages with script, as `kor-Hang`.
    pub languages: Vec<String>,
    /// Declared scale of the gold scores.
    pub scale: Scale,
    /// Pairs in source order.
    pub pairs: Vec<Pair>,
    /// SHA-256 of the canonical list of source files with their hashes: names the content.
    pub release_id: String,
    /// Whether the licence lets the texts be shown to others.
    pub redistributable: bool,
    /// Columns that join pairs to triplets, where the suite has triplets.
    pub triplets: Option<TripletColumns>,
    /// Label column that names the cluster of a pair, as the document that it was made from, where the
    /// pairs of one are not independent.
    pub cluster: Option<String>,
    /// Task name in mteb's result files, where mteb has this suite.
    pub mteb_task: Option<String>,
    /// Revision of the dataset on the hub, where the rows were fetched at it, or have the bytes that the
    /// manifest pins.
    pub hub_revision: Option<String>,
    /// What a user should know about this split.
    pub warnings: Vec<String>,
}
