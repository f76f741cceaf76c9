//! The table of scores. Records, reports, the leaderboard, its exports, bundles and their checks all
//! read it.
//!
//! To add a score: a file here that holds its `SCORE`, and a line in the call of `scores!` below. The
//! line names the key of the score in JSON and CSV.

mod binary;
mod ceiling;
mod correlation;
mod domains;
mod shares;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::Record;
use super::score::Numbers;
use korfinsts_metric::{DomainScores, Domains, Interval, Resampling, Similarity, Undefined};

/// A score: its name, how it is computed, and where it is shown.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Score {
    /// Key in JSON, name in CSV.
    pub key: &'static str,
    /// Its value in a record.
    pub get: fn(&Record) -> Option<f64>,
    /// Puts a value where a record takes it from.
    pub(super) set: fn(&mut Numbers, Option<f64>),
    /// The similarity whose values are the predicted scores; [`Similarity::Cosine`] is the main one.
    pub(super) similarity: Similarity,
    /// How it is computed; `None` where it does not follow from scored pairs alone. The function gives
    /// `None` where the score does not apply, and the reason where it applies and does not exist.
    pub(super) compute: Option<Compute>,
    /// Its interval.
    pub(super) interval: Option<Bounds>,
    /// Computed on binary gold only.
    pub(super) binary: bool,
    /// Computed from domains. Baselines get no intervals of these.
    pub by_domain: bool,
    /// What a warning calls it where it applies and does not exist.
    pub(super) warned: &'static str,
    /// Its column in the report of records.
    pub report: Option<Column>,
    /// The report shows it for binary gold only.
    pub report_binary: bool,
    /// Its column in the details of the leaderboard. The head is the key of its texts, and its key in
    /// `board.json`.
    pub board: Option<Column>,
    /// Its name on the card of a submission.
    pub card: Option<&'static str>,
    /// Whether a bundle claims it, and the check of bundles computes it again.
    pub claimed: bool,
    /// Whether CSV files leave it out, since they hold the numbers that it is computed from.
    pub tables_only: bool,
    /// The smallest value that is no error; the largest is 1. `None`: no limits.
    pub least: Option<f64>,
}

/// Computes a score.
type Compute = fn(&Sample<'_>) -> Option<Result<f64, Undefined>>;

/// Computes an interval.
type Bounds = fn(&Sample<'_>, Resampling<'_>) -> Result<Interval, Undefined>;

/// How a column prints its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Four decimals.
    Decimal,
    /// As a percentage with one decimal.
    Percent,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its head.
    pub head: &'static str,
    /// Its form.
    pub form: Form,
}

#[allow(clippy::unnecessary_wraps, reason = "what a `SCORE` takes")]
const fn decimal(head: &'static str) -> Option<Column> {
    let form = Form::Decimal;
    Some(Column { head, form })
}

#[allow(clippy::unnecessary_wraps, reason = "what a `SCORE` takes")]
const fn percent(head: &'static str) -> Option<Column> {
    let form = Form::Percent;
    Some(Column { head, form })
}

/// What a score is computed from.
pub struct Sample<'a> {
    /// Predicted scores, one per pair.
    pub predicted: &'a [f64],
    /// Gold scores, one per pair.
    pub gold: &'a [f64],
    /// The scores above this one in the table.
    pub found: Scores,
    /// Scores by domain, where every pair names a domain and there are several.
    pub domains: Option<(&'a Domains, &'a DomainScores)>,
}

/// A score that nobody computes and no table shows: what a `SCORE` fills in.
const SCORE: Score = Score {
    key: "",
    get: |_| None,
    set: |_, _| {},
    similarity: Similarity::Cosine,
    compute: None,
    interval: None,
    binary: false,
    by_domain: false,
    warned: "",
    report: None,
    report_binary: false,
    board: None,
    card: None,
    claimed: false,
    tables_only: false,
    least: Some(-1.0),
};

macro_rules! scores {
    ($($(#[$doc:meta])* $key:ident: $score:expr,)* => $($beside:expr,)*) => {
        /// The scores, each raw in [−1, 1] ([0, 1] for AUC, average precision and the ceiling). For a
        /// lexical baseline `cosine_spearman` and `cosine_pearson` are those of its own similarity.
        #[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Scores {
            $($(#[$doc])* pub $key: Option<f64>,)*
        }

        impl Scores {
            const KEYS: &[&str] = &[$(stringify!($key)),*];
        }

        /// Every score: first those under `scores` in a record, in that order, then those next to `scores`.
        pub static SCORES: &[Score] = &[
            $(Score {
                key: stringify!($key),
                get: |record| record.scores.$key,
                set: |numbers, value| numbers.scores.$key = value,
                ..$score
            },)*
            $($beside,)*
        ];
    };
}

scores! {
    /// The main score.
    cosine_spearman: correlation::MAIN,
    /// Pearson of the cosine.
    cosine_pearson: correlation::MAIN_PEARSON,
    /// Spearman of the inner product.
    dot_spearman: correlation::spearman(Similarity::Dot),
    /// Pearson of the inner product.
    dot_pearson: correlation::pearson(Similarity::Dot),
    /// Spearman of the negated Manhattan distance.
    manhattan_spearman: correlation::spearman(Similarity::Manhattan),
    /// Pearson of the negated Manhattan distance.
    manhattan_pearson: correlation::pearson(Similarity::Manhattan),
    /// Spearman of the negated Euclidean distance.
    euclidean_spearman: correlation::spearman(Similarity::Euclidean),
    /// Pearson of the negated Euclidean distance.
    euclidean_pearson: correlation::pearson(Similarity::Euclidean),
    /// Area under the ROC curve; binary gold only.
    auc: binary::AUC,
    /// Average precision; binary gold only.
    average_precision: binary::AVERAGE_PRECISION,
    /// Largest Spearman that any untied prediction can reach on this gold.
    ceiling: ceiling::CEILING,
    /// `cosine_spearman / ceiling`; binary gold only.
    spearman_over_ceiling: ceiling::SHARE,
    =>
    domains::MACRO,
    domains::WITHIN,
    shares::TRIPLETS,
    shares::TRUNCATED,
    shares::TOKENS_LOST,
    shares::TIES,
}

impl Score {
    /// Whether it follows from scored pairs, and a record holds it next to its [`Scores`].
    #[must_use]
    pub fn is_beside(&self) -> bool {
        self.compute.is_some() && !Scores::KEYS.contains(&self.key)
    }
}

/// Values of scores by key; one that does not exist is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values(BTreeMap<&'static str, f64>);

impl Values {
    /// The values in a record of those scores that are `wanted`.
    #[must_use]
    pub fn of(record: &Record, wanted: impl Fn(&Score) -> bool) -> Self {
        let wanted = SCORES.iter().filter(|score| wanted(score));
        wanted
            .filter_map(|score| Some((score.key, (score.get)(record)?)))
            .collect()
    }

    /// The value of the score of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<f64> {
        debug_assert!(SCORES.iter().any(|s| s.key == key), "no score `{key}`");
        self.0.get(key).copied()
    }
}

impl FromIterator<(&'static str, f64)> for Values {
    fn from_iter<I: IntoIterator<Item = (&'static str, f64)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}
