//! The board: records and reported figures put in order, with the statistics between them.

mod adapt;
mod facts;
mod make;
mod models;
mod rank;

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};

use super::LeaderboardError;
use super::catalogue::Catalogue;
use super::compare::Disagreement;
use super::entry::Entry;
use super::reported::{ModelFacts, Models, Reported};
use korfinsts_bench::run::scores::{SCORES, Values};
use korfinsts_bench::suite::manifest::Area;
use korfinsts_metric::BootstrapOptions;

/// Most characters of a text of a pair, or of a warning.
const TEXT_LENGTH: usize = 400;

/// How a result came about. They are never ranked as if they were the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Badge {
    /// Run by the maintainers, and equal to what its per-pair scores give.
    Reproduced,
    /// Run by others, and computed again here from its per-pair scores.
    Recomputed,
    /// Said by others, in a paper or on another leaderboard.
    Reported,
}

impl Badge {
    /// As printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::Recomputed => "recomputed",
            Self::Reported => "reported",
        }
    }
}

/// What a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An encoder.
    Encoder,
    /// A similarity that needs no model.
    Baseline,
}

/// Before or after the adaptation that a source is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// As it was.
    Before,
    /// Adapted.
    After,
}

/// What a board is made of.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Records that the maintainers made.
    pub reproduced: Vec<Entry>,
    /// Records that others made.
    pub submitted: Vec<Entry>,
    /// Figures that others report.
    pub reported: Vec<Reported>,
    /// Facts about models.
    pub models: Models,
    /// Files that were left out, with the reason.
    pub broken: Vec<(String, String)>,
}

/// How a board is computed.
#[derive(Debug, Clone, Copy)]
pub struct BoardOptions {
    /// Resamples behind ranks and differences.
    pub bootstrap: BootstrapOptions,
    /// Pairs shown per suite and couple of models in the pair browser.
    pub disagreements: usize,
    /// Most differences of two models that are kept.
    pub most_differences: usize,
}

impl Default for BoardOptions {
    fn default() -> Self {
        Self {
            bootstrap: BootstrapOptions::default(),
            disagreements: 10,
            most_differences: 2_000,
        }
    }
}

/// Everything a page shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Board {
    /// Suites: finance first, then by name.
    pub suites: Vec<SuiteColumn>,
    /// Results: by badge, baselines last, then by the score on the first suite.
    pub rows: Vec<Row>,
    /// Groups of suites that have a mean: finance, other Korean suites, other English suites.
    pub subsets: Vec<Subset>,
    /// Models: by their mean over finance, those that lack a part of it behind the others.
    pub models: Vec<Model>,
    /// Differences of two rows on a suite, from a paired bootstrap.
    pub differences: Vec<RowDifference>,
    /// Models before and after adaptation.
    pub adaptations: Vec<Adaptation>,
    /// Pairs on which two rows disagree most.
    pub disputes: Vec<Dispute>,
    /// What was left out and why.
    pub notes: Vec<String>,
    /// Resamples behind ranks and differences.
    pub resamples: usize,
    /// Nominal coverage of every interval.
    pub level: f64,
}

/// A suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteColumn {
    /// Name in reports.
    pub key: String,
    /// Name as people write it.
    pub title: String,
    /// Finance or general.
    pub area: Area,
    /// Languages with script.
    pub languages: Vec<String>,
    /// Licence of its texts.
    pub licence: String,
    /// Where to read about it.
    pub homepage: Option<String>,
    /// Whether gold is 0 or 1.
    pub binary: bool,
    /// Pairs.
    pub n_pairs: Option<usize>,
    /// Largest ρ that untied predictions can reach; binary gold only.
    pub ceiling: Option<f64>,
    /// Domains in the order of their names.
    pub domains: Vec<String>,
    /// The release that is ranked.
    pub release_id: Option<String>,
    /// The baseline with the highest score, and that score.
    pub best_baseline: Option<(String, f64)>,
}

/// A group of suites that has a mean.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subset {
    /// `finance`, `korean` or `english`.
    pub key: &'static str,
    /// Its data sets: each is the suites that hold it, which are two where one has two names.
    pub suites: Vec<Vec<usize>>,
    /// Those of the data sets that count: those that an encoder was run on, and all where none was.
    pub counted: Vec<Vec<usize>>,
}

/// A model with everything that is known of it: one or more rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// Unique, from the name: for links that stay.
    pub id: String,
    /// Name as shown.
    pub name: String,
    /// Its rows, the most trusted first: run, computed again, reported; the model before an adaptation.
    pub rows: Vec<usize>,
    /// By suite: the row that is shown, the first with a score.
    pub shown: Vec<Option<usize>>,
    /// By subset: its mean.
    pub means: Vec<Option<Mean>>,
}

/// The mean of a model over a subset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mean {
    /// Mean ρ.
    pub score: f64,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
    /// Data sets in it; fewer than those that count where the model lacks some.
    pub of: usize,
    /// Whether it is over all that count.
    pub whole: bool,
    /// Best and worst rank it may hold among models that were run, under the same protocol, on all that
    /// count.
    pub rank: Option<[usize; 2]>,
    /// How many were ranked.
    pub ranked: usize,
    /// Whether it is surely better than the baseline with the best mean.
    pub beats_baselines: Option<bool>,
    /// Whether the model was trained on a part of a suite: the score over the other pairs counts.
    pub trained_on: bool,
    /// Whether a reported figure is in it.
    pub reported: bool,
}

/// A model under one protocol, or one model of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Unique, of letters, digits and dashes: for links.
    pub id: String,
    /// Name as shown.
    pub name: String,
    /// Encoder or baseline.
    pub kind: Kind,
    /// How its results came about.
    pub badge: Badge,
    /// Before or after an adaptation.
    pub stage: Option<Stage>,
    /// Protocol of prompts.
    pub protocol: String,
    /// The form of the embeddings, where it is not the whole embedding: the row is tested, and never ranked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Who reports it.
    pub source: Option<String>,
    /// Where.
    pub source_url: Option<String>,
    /// What is known of the model.
    pub facts: ModelFacts,
    /// Facts of the run, in the order in which they are shown: name and value.
    pub run: Vec<(String, String)>,
    /// One per suite of the board.
    pub cells: Vec<Option<Cell>>,
}

/// A model on a suite.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cell {
    /// ρ; `None` with the reason in the warnings.
    pub score: Option<f64>,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
    /// Whether the interval follows from ρ and n alone rather than from pairs.
    pub approximate: bool,
    /// Pairs.
    pub n_pairs: Option<usize>,
    /// Best and worst rank it may hold among those run under the same protocol.
    pub rank: Option<[usize; 2]>,
    /// How many were ranked.
    pub ranked: usize,
    /// Whether it is surely better than the best baseline; of a reported figure, whether it is
    /// above it. `None` where there is no baseline.
    pub beats_baselines: Option<bool>,
    /// The scores that have a column on the board.
    #[serde(flatten, serialize_with = "by_head")]
    pub values: Values,
    /// By domain: pairs and ρ.
    pub domains: BTreeMap<String, (usize, Option<f64>)>,
    /// Triplet accuracy by group.
    pub triplets: BTreeMap<String, f64>,
    /// What a reader must know.
    pub warnings: Vec<String>,
    /// Release of the suite that it was run on.
    pub release_id: Option<String>,
    /// Hash of the per-pair scores.
    pub pairs_sha256: Option<String>,
    /// Why it is not ranked.
    pub unranked: Option<String>,
    /// Whether the model was trained on a part of the suite.
    pub trained_on: bool,
    /// What it has over the pairs that it was not trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Unseen>,
}

/// Scores over the pairs that a model was not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Unseen {
    /// Pairs.
    pub n_pairs: usize,
    /// ρ.
    pub score: f64,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
}

impl Cell {
    /// The score that may be shown and its interval: of a model that was trained on a part of the suite,
    /// those over the other pairs.
    #[must_use]
    pub fn shown(&self) -> Option<(f64, Option<[f64; 2]>)> {
        match &self.unseen {
            Some(unseen) => Some((unseen.score, unseen.interval)),
            None if self.trained_on => None,
            None => Some((self.score?, self.interval)),
        }
    }
}

/// Values by the heads of their columns, `null` where there is none.
fn by_head<S: Serializer>(values: &Values, serializer: S) -> Result<S::Ok, S::Error> {
    let columns = SCORES.iter().filter(|score| !score.tables_only);
    serializer.collect_map(columns.filter_map(|s| Some((s.board?.head, values.get(s.key)))))
}

/// Two rows on one suite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RowDifference {
    /// Index of the suite.
    pub suite: usize,
    /// Index of the first row; less than that of the second.
    pub a: usize,
    /// Index of the second row.
    pub b: usize,
    /// ρ of the first less that of the second.
    pub delta: f64,
    /// Percentile interval.
    pub interval: [f64; 2],
    /// Two-sided p of the bootstrap.
    pub p_value: f64,
}

/// A model before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adaptation {
    /// Name of the model.
    pub name: String,
    /// Who says so; `None` for what was run.
    pub source: Option<String>,
    /// How the results came about.
    pub badge: Badge,
    /// By suite: before and after.
    pub changes: BTreeMap<usize, Change>,
}

/// Before and after on a suite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// ρ before.
    pub before: f64,
    /// ρ after.
    pub after: f64,
    /// Interval of ρ before.
    pub before_interval: Option<[f64; 2]>,
    /// Interval of ρ after.
    pub after_interval: Option<[f64; 2]>,
    /// Interval of the difference: paired where both were run; else as if the two were independent,
    /// which is wider.
    pub interval: Option<[f64; 2]>,
    /// Whether that interval is paired.
    pub paired: bool,
    /// Whether one of the two was trained on a part of the suite: its score is over the other pairs.
    pub trained_on: bool,
}

impl Change {
    /// After less before.
    #[must_use]
    pub fn delta(&self) -> f64 {
        self.after - self.before
    }

    /// `gain` and `loss` where the interval excludes no change, else `same`.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self.interval {
            Some([low, _]) if low > 0.0 => "gain",
            Some([_, high]) if high < 0.0 => "loss",
            _ => "same",
        }
    }
}

/// Two rows and the pairs of a suite that they see most differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dispute {
    /// Index of the suite.
    pub suite: usize,
    /// Index of the first row.
    pub a: usize,
    /// Index of the second row.
    pub b: usize,
    /// The pairs.
    pub pairs: Vec<Disagreement>,
    /// Why their texts are not shown.
    pub withheld: Option<String>,
}

impl Board {
    /// The row and the cell of a model that a suite shows.
    #[must_use]
    pub fn cell(&self, model: &Model, suite: usize) -> Option<(&Row, &Cell)> {
        let row = &self.rows[model.shown[suite]?];
        Some((row, row.cells[suite].as_ref()?))
    }

    /// Puts records and figures in order and computes what is between them.
    ///
    /// # Errors
    /// When there is nothing to show, or a suite on disk is broken.
    pub fn new(
        inputs: &Inputs,
        catalogue: &Catalogue,
        options: &BoardOptions,
    ) -> Result<Self, LeaderboardError> {
        let mut maker = make::Maker {
            catalogue,
            options,
            suites: BTreeMap::new(),
            rows: Vec::new(),
            scored: HashMap::new(),
            notes: inputs
                .broken
                .iter()
                .map(|(path, reason)| format!("left out: {path}: {reason}"))
                .collect(),
        };
        maker.records(&inputs.reproduced, Badge::Reproduced, &inputs.models)?;
        maker.records(&inputs.submitted, Badge::Recomputed, &inputs.models)?;
        for reported in &inputs.reported {
            maker.reported(reported, &inputs.models);
        }
        if maker.rows.is_empty() {
            return Err(LeaderboardError::Empty {
                reason: "no record and no reported figure".into(),
                hint: "`korfinsts eval MODEL` makes records",
            });
        }
        maker.finish()
    }

    /// Whether a model is shown in a form of its embeddings that is not the whole one.
    #[must_use]
    pub fn is_form(&self, model: &Model) -> bool {
        self.rows[model.rows[0]].form.is_some()
    }

    /// Index of a suite.
    #[must_use]
    pub fn suite(&self, key: &str) -> Option<usize> {
        self.suites.iter().position(|s| s.key == key)
    }

    /// Rows with a score on a suite, highest first.
    #[must_use]
    pub fn by_score(&self, suite: usize) -> Vec<usize> {
        let score = |row: usize| {
            let cell = self.rows[row].cells[suite].as_ref();
            cell.and_then(Cell::shown).map(|shown| shown.0)
        };
        let mut rows: Vec<usize> = (0..self.rows.len())
            .filter(|&r| score(r).is_some())
            .collect();
        let place = |row: usize| score(row).unwrap_or(f64::NEG_INFINITY);
        rows.sort_by(|&a, &b| place(b).total_cmp(&place(a)));
        rows
    }
}
