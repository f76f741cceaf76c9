//! What the templates see: typed, in the reader's language, every number already a text.

mod answers;
mod make;
mod parts;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;

use super::chart::{Axis, CoverageChart, Plot, Scatter};

pub use make::page;
pub(super) use words::{ENGLISH, SAID};

/// Texts of a page by key.
pub type Texts = BTreeMap<String, String>;

/// A page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// Language: `en`, `ko`.
    pub lang: String,
    /// The other languages: code, name, file of this page and of the pair browser.
    pub languages: Vec<[String; 4]>,
    /// Texts.
    pub t: Texts,
    /// What the figures say at first sight.
    pub answers: Vec<AnswerView>,
    /// What else they say.
    pub findings: Vec<String>,
    /// Suites.
    pub suites: Vec<SuiteView>,
    /// Facts that any model has: key and head.
    pub facts: Vec<FactView>,
    /// Subsets with a mean.
    pub subsets: Vec<SubsetView>,
    /// One per model.
    pub models: Vec<ModelView>,
    /// What can be filtered by.
    pub filters: Filters,
    /// Details of each suite.
    pub details: Vec<DetailView>,
    /// Who reports figures, in the order of their numbers.
    pub sources: Vec<String>,
    /// Before and after, one per source.
    pub adaptations: Vec<AdaptationView>,
    /// Figures of one model and suite that sources disagree on.
    pub contradictions: Vec<[String; 6]>,
    /// Score against size, speed or price.
    pub scatters: Vec<ScatterView>,
    /// Choices of the axis up and of the axis across: key and name.
    pub axes: [Vec<[String; 2]>; 2],
    /// Protocols of the board: name and what it is.
    pub protocols: Vec<[String; 2]>,
    /// Coverage against gain.
    pub coverage: Vec<CoverageView>,
    /// Each encoder against the best baseline.
    pub rivals: Vec<RivalView>,
    /// Pairs on which models disagree.
    pub disputes: Vec<DisputeView>,
    /// Where each number comes from; empty where it has a page of its own.
    pub provenance: Vec<ProvenanceView>,
    /// File that holds the provenance; empty where it is this page.
    pub provenance_file: String,
    /// Whether there are rows of cut or quantised embeddings.
    pub forms: bool,
    /// File of this page.
    pub index_file: String,
    /// File of the pair browser.
    pub pairs_file: String,
    /// What was left out.
    pub notes: Vec<String>,
    /// Differences for the comparison, as JSON that is safe inside a script element.
    pub data: String,
    /// Program and version.
    pub made_by: String,
}

/// What a reader came for: the best encoder of a subset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerView {
    /// The subset.
    pub title: String,
    /// Its suites.
    pub suites: String,
    /// Link to the model in the table.
    pub id: String,
    /// The model.
    pub name: String,
    /// Mean.
    pub score: String,
    /// How sure: rank and baseline.
    pub sure: String,
    /// What it costs: size, dimensions, speed, memory, licence, price.
    pub cost: String,
}

/// A fact that has a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FactView {
    /// Key of the column.
    pub key: &'static str,
    /// Head.
    pub head: String,
    /// Whether it is a number.
    pub number: bool,
    /// Whether the column is hidden at first.
    pub hidden: bool,
}

/// A subset with a mean.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubsetView {
    /// Key.
    pub key: &'static str,
    /// Name.
    pub title: String,
    /// The suites that count.
    pub note: String,
}

/// A suite in the head of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteView {
    /// Key.
    pub key: String,
    /// Title.
    pub title: String,
    /// Area in the reader's language.
    pub area: String,
    /// Whether it is finance.
    pub finance: bool,
    /// Whether it holds Korean, and whether it holds English: `ko`, `en`, `ko en`.
    pub tongues: String,
    /// Another suite that holds the same data set.
    pub twin: Option<String>,
    /// Whether it is in the mean of its subset.
    pub counts: bool,
    /// Whether the column is hidden at first.
    pub hidden: bool,
    /// Number of pairs.
    pub n_pairs: Option<usize>,
    /// Ceiling.
    pub ceiling: Option<String>,
    /// Languages.
    pub languages: String,
    /// Licence.
    pub licence: String,
    /// Homepage; empty where it is the address of the licence.
    pub homepage: Option<String>,
}

/// A model: a row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelView {
    /// For links.
    pub id: String,
    /// Name.
    pub name: String,
    /// Where the model is.
    pub url: Option<String>,
    /// Language of the name, where it is Korean.
    pub korean: bool,
    /// `baseline` or `encoder`.
    pub kind: &'static str,
    /// Badges of its sources, the most trusted first.
    pub badges: String,
    /// Number of weights, for the filter.
    pub parameters: Option<u64>,
    /// Languages.
    pub languages: String,
    /// Facts, in the order of the columns: text, and the number to sort by where it is another.
    pub facts: Vec<[String; 2]>,
    /// Means by subset.
    pub means: Vec<CellView>,
    /// Cells.
    pub cells: Vec<CellView>,
    /// Its results by source: the first is the most trusted one.
    pub sources: Vec<SourceView>,
}

/// A result of a model: one protocol, one source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceView {
    /// For links to its provenance.
    pub id: String,
    /// Badge.
    pub badge: &'static str,
    /// Badge in the reader's language.
    pub badge_text: String,
    /// Before or after, in the reader's language.
    pub stage: String,
    /// Protocol.
    pub protocol: String,
    /// Who says so.
    pub title: String,
    /// Where to read it.
    pub url: Option<String>,
    /// Cells; empty where it is the only source.
    pub cells: Vec<CellView>,
}

/// A cell of the table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CellView {
    /// Score; a dash where there is none.
    pub text: String,
    /// Half the width of its interval.
    pub half: String,
    /// Rank or range of ranks.
    pub rank: String,
    /// Classes: bar, mark of the baselines, first rank.
    pub class: String,
}

/// What can be filtered by.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Filters {
    /// Badges: value and text.
    pub badges: Vec<[String; 2]>,
    /// Protocols.
    pub protocols: Vec<String>,
    /// Licences.
    pub licences: Vec<String>,
    /// Languages.
    pub languages: Vec<String>,
    /// Architectures.
    pub architectures: Vec<String>,
}

/// Everything about one suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetailView {
    /// The suite.
    pub suite: SuiteView,
    /// Axis of the scores.
    pub axis: Axis,
    /// Triplet accuracy by pattern.
    pub patterns: Option<PatternView>,
    /// Heads of the table, after the name.
    pub head: Vec<String>,
    /// Whether some of them are domains.
    pub by_domain: bool,
    /// Rows: name, id, class, cells.
    pub rows: Vec<DetailRow>,
    /// How many rows are left out.
    pub more: usize,
    /// Warnings: text and models.
    pub warnings: Vec<[String; 2]>,
}

/// A row of a suite's table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetailRow {
    /// Name with its stage.
    pub name: String,
    /// For links.
    pub id: String,
    /// Number of the source among those of the page; 0 for what was run or computed here.
    pub source: usize,
    /// The score with its interval.
    pub plot: Option<Plot>,
    /// Cells: text, and the shade of ρ in a domain as [`shade`](super::chart::shade) names it.
    pub cells: Vec<[String; 2]>,
}

/// Triplet accuracy: models down, patterns across.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatternView {
    /// Patterns.
    pub head: Vec<String>,
    /// Models: name, and a text and a shade per pattern.
    pub rows: Vec<(String, Vec<[String; 2]>)>,
}

/// One choice of both axes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScatterView {
    /// Key of the axis up.
    pub up: String,
    /// Key of the axis across.
    pub across: String,
    /// Name of the axis up.
    pub up_title: String,
    /// Name of the axis across.
    pub across_title: String,
    /// The chart; `None` where no model has both.
    pub chart: Option<Scatter>,
}

/// Before and after, from one source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdaptationView {
    /// Who says so.
    pub title: String,
    /// Badge.
    pub badge: &'static str,
    /// Badge in the reader's language.
    pub badge_text: String,
    /// Suites: title and axis.
    pub suites: Vec<(String, Axis)>,
    /// Rows.
    pub rows: Vec<AdaptationRow>,
}

/// One model before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdaptationRow {
    /// Name.
    pub name: String,
    /// Per suite: before, after, Δ and its interval, with the arrow.
    pub cells: Vec<Option<([String; 4], Plot)>>,
    /// Mean Δ over the suites of finance, and over the others.
    pub means: [String; 2],
}

/// Coverage against gain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoverageView {
    /// Which models.
    pub title: String,
    /// The chart.
    pub chart: Option<CoverageChart>,
    /// Suites whose gains are shown.
    pub suites: Vec<String>,
    /// Rows: model, vocabulary, size, raw, raw share, decoded, decoded share, gains, mean.
    pub rows: Vec<Vec<String>>,
    /// ρ of coverage and gain: measure, ρ, p, smallest p.
    pub correlations: Vec<[String; 4]>,
    /// What the figures support.
    pub findings: Vec<String>,
}

/// An encoder against the best baseline of a suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RivalView {
    /// The encoder.
    pub name: String,
    /// Suite.
    pub suite: String,
    /// The other.
    pub rival: String,
    /// Difference.
    pub delta: String,
    /// Its interval.
    pub interval: String,
    /// p.
    pub p: String,
    /// What may be said, in the reader's language.
    pub verdict: String,
    /// `gain`, `loss`, `same`.
    pub class: &'static str,
}

/// Two models and the pairs they disagree on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DisputeView {
    /// For links.
    pub id: String,
    /// Suite.
    pub suite: String,
    /// Title of the suite.
    pub title: String,
    /// First model.
    pub a: String,
    /// Second model.
    pub b: String,
    /// Why texts are not shown.
    pub withheld: Option<String>,
    /// Licence of the texts.
    pub licence: String,
    /// Whether the texts are Korean.
    pub korean: bool,
    /// Pairs.
    pub pairs: Vec<PairView>,
}

/// A pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairView {
    /// Id.
    pub id: String,
    /// Domain.
    pub domain: String,
    /// Gold score.
    pub gold: String,
    /// Ranks as percentages: gold, first, second.
    pub ranks: [String; 3],
    /// The same from 0 to 100, for the drawing.
    pub places: [f64; 3],
    /// Name of the nearer model.
    pub nearer: String,
    /// Texts.
    pub texts: Option<[String; 2]>,
}

/// Where the numbers of a row come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProvenanceView {
    /// For links.
    pub id: String,
    /// Name.
    pub name: String,
    /// Badge.
    pub badge: &'static str,
    /// Badge in the reader's language.
    pub badge_text: String,
    /// Facts: name and value.
    pub facts: Vec<[String; 2]>,
    /// Where to read about the model.
    pub url: Option<String>,
    /// Per suite: suite, ρ, interval, pairs, release, per-pair scores, truncated, remarks.
    pub cells: Vec<[String; 8]>,
}

/// Names of the files of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The page.
    pub index: String,
    /// The pair browser.
    pub pairs: String,
    /// The provenance, where it has a page of its own.
    pub provenance: String,
}

impl Files {
    /// Names in a language; English has the bare ones.
    #[must_use]
    pub fn of(lang: &str) -> Self {
        let end = if lang == "en" {
            String::new()
        } else {
            format!(".{lang}")
        };
        Self {
            index: format!("index{end}.html"),
            pairs: format!("pairs{end}.html"),
            provenance: format!("provenance{end}.html"),
        }
    }
}
