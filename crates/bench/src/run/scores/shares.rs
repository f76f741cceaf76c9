//! Shares of triplets, texts, tokens and pairs.

use super::{SCORE, Score, decimal, percent};
use korfinsts_metric as metric;

const SHARE: Score = Score {
    least: Some(0.0),
    ..SCORE
};

/// The mean over groups, each of which has limits of its own.
pub(super) const TRIPLETS: Score = Score {
    key: "triplets",
    get: |record| {
        let groups = &record.triplet_accuracy;
        (!groups.is_empty()).then(|| groups.values().sum::<f64>() / groups.len() as f64)
    },
    report: decimal("triplets"),
    board: percent("triplets"),
    tables_only: true,
    least: None,
    ..SHARE
};

pub(super) const TRUNCATED: Score = Score {
    key: "truncated_share",
    get: |record| record.truncated_share,
    report: percent("truncated"),
    board: percent("truncated"),
    ..SHARE
};

pub(super) const TOKENS_LOST: Score = Score {
    key: "tokens_lost_share",
    get: |record| record.tokens_lost_share,
    ..SHARE
};

pub(super) const TIES: Score = Score {
    key: "tie_share",
    get: |record| record.tie_share,
    set: |numbers, value| numbers.tie_share = value,
    compute: Some(|s| Some(metric::tie_share(s.predicted))),
    warned: "share of ties",
    board: percent("ties"),
    ..SHARE
};
