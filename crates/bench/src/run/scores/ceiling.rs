//! The largest Spearman that the ties of the gold scores allow.

use super::{SCORE, Score, decimal, percent};
use korfinsts_metric as metric;

pub(super) const CEILING: Score = Score {
    compute: Some(|s| Some(metric::spearman_ceiling(s.gold))),
    warned: "ceiling",
    report: decimal("ceiling"),
    report_binary: true,
    claimed: true,
    ..SCORE
};

/// Tied predictions may pass the ceiling of untied ones, so this share has no limits.
pub(super) const SHARE: Score = Score {
    compute: Some(|s| {
        let ceiling = s.found.ceiling.filter(|ceiling| *ceiling > 0.0)?;
        Some(Ok(s.found.cosine_spearman? / ceiling))
    }),
    binary: true,
    report: decimal("ρ/ceiling"),
    board: percent("over_ceiling"),
    least: None,
    ..SCORE
};
