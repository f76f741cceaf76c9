//! Scores of predictions against gold that is 0 or 1.

use super::{SCORE, Score, decimal};
use korfinsts_metric::{self as metric, AucSample};

pub(super) const AUC: Score = Score {
    compute: Some(|s| Some(metric::auc(s.predicted, s.gold))),
    interval: Some(|s, how| metric::bootstrap(&AucSample::new(s.predicted, s.gold)?, how)),
    binary: true,
    warned: "AUC",
    report: decimal("AUC"),
    board: decimal("auc"),
    card: Some("AUC"),
    claimed: true,
    ..SCORE
};

pub(super) const AVERAGE_PRECISION: Score = Score {
    compute: Some(|s| Some(metric::average_precision(s.predicted, s.gold))),
    binary: true,
    warned: "average precision",
    report: decimal("AP"),
    board: decimal("average_precision"),
    claimed: true,
    ..SCORE
};
