//! Scores over domains.

use super::{SCORE, Score, decimal};
use korfinsts_metric::{self as metric, MacroSample, WithinSample};

const BY_DOMAIN: Score = Score {
    by_domain: true,
    claimed: true,
    ..SCORE
};

pub(super) const MACRO: Score = Score {
    key: "macro_spearman",
    get: |record| record.macro_spearman,
    set: |numbers, value| numbers.macro_spearman = value,
    compute: Some(|s| Some(s.domains?.1.macro_spearman.clone())),
    interval: Some(|s, how| {
        let domains = s.domains.expect("the score exists").0;
        let sample = MacroSample::new(s.predicted, s.gold, domains)?;
        metric::bootstrap_domains(&sample, domains, how)
    }),
    warned: "macro mean",
    report: decimal("macro ρ"),
    board: decimal("macro_spearman"),
    card: Some("Spearman cosine, mean over domains"),
    ..BY_DOMAIN
};

pub(super) const WITHIN: Score = Score {
    key: "within_domain_spearman",
    get: |record| record.within_domain_spearman,
    set: |numbers, value| numbers.within_domain_spearman = value,
    compute: Some(|s| Some(s.domains?.1.within_spearman.clone())),
    interval: Some(|s, how| {
        let domains = s.domains.expect("the score exists").0;
        let sample = WithinSample::new(s.predicted, s.gold, domains)?;
        metric::bootstrap_domains(&sample, domains, how)
    }),
    warned: "within-domain Spearman",
    report: decimal("within ρ"),
    board: decimal("within_domain"),
    card: Some("Spearman cosine, within domains"),
    ..BY_DOMAIN
};
