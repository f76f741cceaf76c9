//! Encoding again: all pairs, or some that were drawn after the bundle was handed in.
//!
//! A sample of k pairs finds that 1 % of the scores were altered with probability 1 − 0.99^k: 48 % for
//! 64 pairs, 74 % for 128, 92 % for 256 of an endless list; of a list of 1,379 or so slightly more.

use std::collections::HashMap;

use super::verify::{CheckResult, Examined, Level};
use super::{Bundle, TokenLine};
use korfinsts_base::fs::sha256;
use korfinsts_bench::run::evaluate::Evaluation;
use korfinsts_bench::suite::Suite;
use korfinsts_metric::spearman;

/// Pairs to encode again.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The suites, each with the drawn pairs alone, in order of the suite.
    pub suites: Vec<Suite>,
    /// Number of pairs drawn.
    pub pairs: usize,
    /// Number of pairs in all.
    pub of: usize,
}

/// How far scores may be from those encoded again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Of one score.
    pub score: f64,
    /// Of Spearman over a whole suite.
    pub rho: f64,
}

impl Tolerance {
    /// What was measured between back ends: 1e-5 and 5e-5 in float32, 1e-4 and 5e-4 below.
    #[must_use]
    pub fn of(dtype: Option<&str>) -> Self {
        if dtype == Some("float32") {
            Self {
                score: 1e-5,
                rho: 5e-5,
            }
        } else {
            Self {
                score: 1e-4,
                rho: 5e-4,
            }
        }
    }
}

/// What encoding again gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Rerun {
    /// How it ended, as the check `re-run`.
    pub result: CheckResult,
    /// The level that is reached where it passed.
    pub level: Level,
}

/// Draws pairs: those whose hash with the seed is smallest, so that whoever knows the seed draws the
/// same. `None` draws all.
///
/// # Errors
/// In words, where a suite of the bundle is not on this machine.
pub fn draw(examined: &Examined<'_>, n: Option<usize>, seed: &str) -> Result<Drawn, String> {
    let mut all = Vec::new();
    for (at, (entry, suite)) in examined
        .bundle
        .manifest
        .suites
        .iter()
        .zip(&examined.suites)
        .enumerate()
    {
        let suite = suite
            .as_ref()
            .map_err(|e| format!("{}: {e}", entry.name()))?;
        for (i, pair) in suite.pairs.iter().enumerate() {
            let key = format!(
                "{seed}\n{}\n{}\n{}",
                examined.bundle.sha256,
                entry.name(),
                pair.id
            );
            all.push((sha256(key.as_bytes()), at, i));
        }
    }
    let of = all.len();
    all.sort();
    all.truncate(n.unwrap_or(of));
    let mut suites = Vec::new();
    for (at, suite) in examined.suites.iter().enumerate() {
        let Ok(suite) = suite else { continue };
        let mut places: Vec<usize> = all.iter().filter(|d| d.1 == at).map(|d| d.2).collect();
        places.sort_unstable();
        if places.is_empty() {
            continue;
        }
        suites.push(Suite {
            pairs: places.into_iter().map(|i| suite.pairs[i].clone()).collect(),
            ..suite.clone()
        });
    }
    Ok(Drawn {
        suites,
        pairs: all.len(),
        of,
    })
}

/// Compares a bundle with what encoding the drawn pairs again gave.
#[must_use]
pub fn compare(bundle: &Bundle, drawn: &Drawn, again: &[Evaluation]) -> Rerun {
    let tolerance = Tolerance::of(bundle.manifest.run.dtype.as_deref());
    let full = drawn.pairs == drawn.of;
    let level = if full { Level::Full } else { Level::Sampled };
    let failed = |message: String| Rerun {
        result: CheckResult {
            id: "re-run",
            passed: false,
            message,
        },
        level: Level::Claimed,
    };
    let tokens: HashMap<(&str, &str, &str), &TokenLine> = bundle
        .tokens
        .iter()
        .map(|l| ((l.suite.as_str(), l.split.as_str(), l.id.as_str()), l))
        .collect();
    let (mut largest, mut count, mut identical) = (0.0_f64, 0, 0);
    for evaluation in again {
        let facts = &evaluation.record.suite;
        let name = format!("{}:{}", facts.id, facts.split);
        let Some(entry) = bundle.manifest.suites.iter().find(|s| s.name() == name) else {
            continue;
        };
        let lines = bundle
            .scores
            .get(&entry.scores.file)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let claimed: HashMap<&str, f64> = lines.iter().map(|l| (l.id.as_str(), l.score)).collect();
        let (mut old, mut new, mut gold) = (Vec::new(), Vec::new(), Vec::new());
        for pair in &evaluation.pairs {
            let (Some(theirs), Some(ours)) = (claimed.get(pair.id.as_str()), pair.score) else {
                return failed(format!("{name}: `{}` has no score to compare", pair.id));
            };
            let delta = (theirs - ours).abs();
            if delta > tolerance.score {
                return failed(format!(
                    "{name}: the score of `{}` is {ours} when encoded again, the bundle says {theirs}: they differ by {delta:.1e}, allowed is {:.0e}",
                    pair.id, tolerance.score
                ));
            }
            largest = largest.max(delta);
            identical += usize::from(delta == 0.0);
            count += 1;
            old.push(*theirs);
            new.push(ours);
            gold.push(pair.gold);
        }
        for counts in &evaluation.tokens {
            let line = tokens.get(&(facts.id.as_str(), facts.split.as_str(), counts.id.as_str()));
            if line.is_some_and(|l| (l.tokens, l.lost) != (counts.tokens, counts.lost)) {
                return failed(format!(
                    "{name}: `{}` has other token counts when encoded again",
                    counts.id
                ));
            }
        }
        if full
            && let (Ok(a), Ok(b)) = (spearman(&old, &gold), spearman(&new, &gold))
            && (a - b).abs() > tolerance.rho
        {
            return failed(format!(
                "{name}: Spearman is {b} when encoded again, the bundle's scores give {a}"
            ));
        }
    }
    if count != drawn.pairs {
        return failed(format!(
            "{count} of {} pairs were encoded again",
            drawn.pairs
        ));
    }
    let others = if identical == count {
        String::new()
    } else {
        format!(
            ", the others differ by at most {largest:.1e} (allowed is {:.0e})",
            tolerance.score
        )
    };
    Rerun {
        result: CheckResult {
            id: "re-run",
            passed: true,
            message: format!(
                "{count} of {} pairs were encoded again: {identical} identical{others}",
                drawn.of
            ),
        },
        level,
    }
}
