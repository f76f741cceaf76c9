//! What the templates see: typed, in the reader's language, every number already a text.

mod make;
mod parts;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;

use super::chart::{Bars, CoverageChart, Dumbbell, Forest, Scatter};

pub use make::page;

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
    pub findings: Vec<String>,
    /// Suites.
    pub suites: Vec<SuiteView>,
    /// Rows in groups that are never mixed.
    pub groups: Vec<GroupView>,
    /// Number of rows.
    pub rows: usize,
    /// What can be filtered by.
    pub filters: Filters,
    /// Details of each suite.
    pub details: Vec<DetailView>,
    /// Before and after, one per source.
    pub adaptations: Vec<AdaptationView>,
    /// Figures of one model and suite that sources disagree on.
    pub contradictions: Vec<[String; 6]>,
    /// Score against size.
    pub scatters: Vec<Scatter>,
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
    /// Number of pairs.
    pub n_pairs: Option<usize>,
    /// Ceiling.
    pub ceiling: Option<String>,
    /// Languages.
    pub languages: String,
    /// Licence.
    pub licence: String,
    /// Homepage.
    pub homepage: Option<String>,
}

/// Rows of one origin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupView {
    /// Name of the group.
    pub title: String,
    /// What its badge means.
    pub note: String,
    /// Badge.
    pub badge: &'static str,
    /// Where to read it.
    pub url: Option<String>,
    /// Rows.
    pub rows: Vec<RowView>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowView {
    /// For links.
    pub id: String,
    /// Name.
    pub name: String,
    /// Language of the name, where it is Korean.
    pub korean: bool,
    /// `baseline` or `encoder`.
    pub kind: &'static str,
    /// Before or after, in the reader's language.
    pub stage: String,
    /// Badge.
    pub badge: &'static str,
    /// Badge in the reader's language.
    pub badge_text: String,
    /// Protocol.
    pub protocol: String,
    /// Number of weights, for sorting and filters.
    pub parameters: Option<u64>,
    /// Number of weights as text.
    pub size: String,
    /// Licence.
    pub licence: String,
    /// Languages.
    pub languages: String,
    /// Architecture.
    pub architecture: String,
    /// Cells.
    pub cells: Vec<CellView>,
}

/// A cell of the table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CellView {
    /// Score; a dash where there is none.
    pub text: String,
    /// Interval.
    pub interval: String,
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
    /// Scores with intervals.
    pub forest: Option<Forest>,
    /// Triplet accuracy.
    pub bars: Option<Bars>,
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
    /// `baseline`, `encoder` or `reported`.
    pub class: String,
    /// Cells: text, and the shade of ρ in a domain as [`shade`](super::chart::shade) names it.
    pub cells: Vec<[String; 2]>,
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
    /// One chart per suite.
    pub charts: Vec<Dumbbell>,
    /// Suites: key and title.
    pub suites: Vec<[String; 2]>,
    /// Rows.
    pub rows: Vec<AdaptationRow>,
}

/// One model before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdaptationRow {
    /// Name.
    pub name: String,
    /// Per suite: before, after, Δ, interval, class; empty where unknown.
    pub cells: Vec<[String; 5]>,
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
    /// What the figures support, in English.
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
