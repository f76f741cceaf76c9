//! The steps between a corpus and the passages.
//!
//! A step says of every document whether it stays and, where it does not, why and by which figure:
//! a [`Verdict`]. Nothing is deleted. To add a step: a file here and its line in [`ROW_STEPS`] (it
//! looks at one document) or [`POOL_STEPS`] (it looks at all that are left).

pub mod balance;
pub mod contamination;
pub mod duplicate;
mod length;
mod licence;
pub mod personal;
pub(super) mod quality;

use serde::Serialize;

use super::pool::Pool;
use super::setup::Setup;
use super::{Document, MineError};
use korfinsts_bench::coverage::TokenBounds;

/// What a step says of a document that does not stay.
#[derive(Debug, Clone, PartialEq)]
pub struct Drop {
    /// Why, one word of the step's own.
    pub reason: &'static str,
    /// The figures that decided.
    pub metrics: Vec<(&'static str, Metric)>,
}

impl Drop {
    /// A reason with one figure.
    #[must_use]
    pub fn new(reason: &'static str, metric: &'static str, value: impl Into<Metric>) -> Self {
        Self {
            reason,
            metrics: vec![(metric, value.into())],
        }
    }
}

/// A figure, or what was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Metric {
    /// A figure.
    Number(f64),
    /// A name or a place.
    Text(String),
}

impl From<f64> for Metric {
    fn from(value: f64) -> Self {
        // Six digits decide; more only make files longer.
        Self::Number((value * 1e6).round() / 1e6)
    }
}

impl From<String> for Metric {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// A document on its way through the row steps, with what they found out.
#[derive(Debug)]
pub struct Candidate {
    /// The document.
    pub document: Document,
    /// Its length, once the length step has seen it.
    pub tokens: Option<TokenBounds>,
    /// Figures that steps took of it, for the report.
    pub measured: Vec<Measured>,
    /// What was overwritten in it, by reason.
    pub masked: Vec<(&'static str, u64)>,
}

/// A figure of a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Its name.
    pub metric: &'static str,
    /// The figure, never negative.
    pub value: f64,
    /// Whether it exceeds the limit on it.
    pub beyond: bool,
    /// Width of the steps in which the report counts it.
    pub step: f64,
}

/// A step that looks at one document at a time; each worker has its own.
pub trait RowStep {
    /// Why the document does not stay; `None` where it does.
    ///
    /// # Errors
    /// When a library fails on the text.
    fn judge(&mut self, candidate: &mut Candidate) -> Result<Option<Drop>, MineError>;
}

/// One line of the list of row steps.
pub struct RowEntry {
    /// Id, the name of its verdicts' file.
    pub id: &'static str,
    /// What it looks for.
    pub about: &'static str,
    /// Opens the step for one worker.
    pub open: for<'a> fn(&'a Setup) -> Result<Box<dyn RowStep + 'a>, MineError>,
}

/// What a step over all documents does: the drops among those that are left, by their number in the
/// pool, ascending.
pub type PoolStep = fn(&Pool, &PoolOptions, &[bool]) -> Vec<(usize, Drop)>;

/// A step that looks at all documents that are left.
pub struct PoolEntry {
    /// Id, the name of its verdicts' file.
    pub id: &'static str,
    /// What it looks for.
    pub about: &'static str,
    /// The step itself.
    pub judge: PoolStep,
}

/// What the steps over all documents are told.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolOptions {
    /// Estimated Jaccard similarity from which two texts are near-duplicates.
    pub near: f64,
    /// Whether sources are brought to the size of the smallest.
    pub balance: bool,
    /// Seed of the draw.
    pub seed: u64,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            near: 0.7,
            balance: true,
            seed: 0,
        }
    }
}

/// The steps that look at one document, in order.
pub static ROW_STEPS: &[RowEntry] = &[
    licence::ENTRY,
    length::ENTRY,
    quality::ENTRY,
    personal::ENTRY,
];

/// The steps that look at all documents, in order.
pub static POOL_STEPS: &[PoolEntry] = &[
    duplicate::EXACT,
    duplicate::NEAR,
    contamination::ENTRY,
    balance::ENTRY,
];

/// Id of what happens to rows without text.
pub const INGEST: &str = "ingest";

/// Ids of all steps in order.
pub fn ids() -> impl Iterator<Item = &'static str> {
    std::iter::once(INGEST)
        .chain(ROW_STEPS.iter().map(|s| s.id))
        .chain(POOL_STEPS.iter().map(|s| s.id))
}

/// One line of a file of verdicts.
#[derive(Debug, Serialize)]
pub struct Verdict<'a> {
    /// Id of the document.
    pub id: &'a str,
    /// `drop`, `mask` or `keep`.
    pub verdict: &'static str,
    /// Why, where it was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The figures that decided; what was masked, and how often.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    pub metrics: Vec<(&'static str, Metric)>,
    /// Id of its corpus.
    pub corpus: &'a str,
    /// Where in the corpus.
    pub origin: &'a str,
}

fn as_map<S: serde::Serializer>(
    metrics: &[(&'static str, Metric)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().map(|(name, value)| (name, value)))
}
