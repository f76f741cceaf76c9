//! Encoding again: all pairs, or some of each suite that were drawn after the bundle was handed in.
//!
//! A sample of k pairs finds that 1 % of the scores were altered with probability 1 − 0.99^k: 48 % for
//! 64 pairs, 74 % for 128, 92 % for 256 of an endless list; of a list of 1,379 or so slightly more.

use std::collections::HashMap;

use super::manifest::SuiteEntry;
use super::verify::{CheckResult, Examined, Level};
use super::{Bundle, TokenLine};
use korfinsts_base::fs::sha256;
use korfinsts_bench::run::evaluate::Evaluation;
use korfinsts_bench::run::record::EncoderFacts;
use korfinsts_bench::suite::Suite;
use korfinsts_encoder::spec::Decision;
use korfinsts_metric::spearman;

/// Fewest pairs of each suite (all, where it has fewer) from which a re-run has a level of its own.
pub const LEAST_PAIRS: usize = 256;
/// Fewest scores whose order is compared: of a few, one exchange of neighbours says nothing.
const LEAST_ORDERED: usize = 30;
/// Largest share of the spread of the scores by which one may differ. Where the noise of the arithmetic
/// is more than that, the scores order the pairs by noise.
const SPREAD: f64 = 0.01;

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
    /// Least rank correlation of the claimed scores with those encoded again.
    pub order: f64,
}

impl Tolerance {
    /// What was measured between back ends: 1e-5 and 5e-5 in float32, 1e-4 and 5e-4 below.
    #[must_use]
    pub fn of(dtype: Option<&str>) -> Self {
        if dtype == Some("float32") {
            Self {
                score: 1e-5,
                rho: 5e-5,
                order: 0.999,
            }
        } else {
            Self {
                score: 1e-4,
                rho: 5e-4,
                order: 0.99,
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

/// Draws `n` pairs of each suite: those whose hash with the seed is smallest, so that whoever knows the
/// seed draws the same. `None` draws all.
///
/// # Errors
/// In words, where a suite of the bundle is not on this machine.
pub fn draw(examined: &Examined<'_>, n: Option<usize>, seed: &str) -> Result<Drawn, String> {
    let bundle = examined.bundle;
    let mut drawn = Drawn {
        suites: Vec::new(),
        pairs: 0,
        of: 0,
    };
    for (entry, suite) in bundle.manifest.suites.iter().zip(&examined.suites) {
        let name = entry.name();
        let suite = suite.as_ref().map_err(|e| format!("{name}: {e}"))?;
        let hash = |id: &str| sha256(format!("{seed}\n{}\n{name}\n{id}", bundle.sha256).as_bytes());
        let keys = suite.pairs.iter().enumerate();
        let mut keys: Vec<(String, usize)> = keys.map(|(i, p)| (hash(&p.id), i)).collect();
        keys.sort();
        keys.truncate(n.unwrap_or(keys.len()));
        let mut places: Vec<usize> = keys.into_iter().map(|(_, i)| i).collect();
        places.sort_unstable();
        drawn.of += suite.pairs.len();
        drawn.pairs += places.len();
        drawn.suites.push(Suite {
            pairs: places.into_iter().map(|i| suite.pairs[i].clone()).collect(),
            ..suite.clone()
        });
    }
    Ok(drawn)
}

/// Compares a bundle with what encoding the drawn pairs again gave.
#[must_use]
pub fn compare(bundle: &Bundle, drawn: &Drawn, again: &[Evaluation]) -> Rerun {
    let tolerance = Tolerance::of(bundle.manifest.run.dtype.as_deref());
    let full = drawn.pairs == drawn.of;
    let level = |enough: bool| match enough {
        _ if full => Level::Full,
        true => Level::Sampled {
            pairs: drawn.pairs,
            of: drawn.of,
        },
        false => Level::Recomputed,
    };
    let failed = |message: String| Rerun {
        result: CheckResult {
            id: "re-run",
            passed: false,
            message,
        },
        level: Level::Claimed,
    };
    let mut agreement = Agreement {
        bundle,
        tolerance,
        full,
        tokens: bundle
            .tokens
            .iter()
            .map(|l| ((l.suite.as_str(), l.split.as_str(), l.id.as_str()), l))
            .collect(),
        largest: 0.0,
        count: 0,
        identical: 0,
        unconfirmed: Vec::new(),
    };
    for evaluation in again {
        let facts = &evaluation.record.suite;
        let name = format!("{}:{}", facts.id, facts.split);
        let Some(entry) = bundle.manifest.suites.iter().find(|s| s.name() == name) else {
            continue;
        };
        if let Err(reason) = agreement.add(entry, evaluation) {
            return failed(format!("{name}: {reason}"));
        }
    }
    let Agreement {
        tolerance,
        largest,
        count,
        identical,
        unconfirmed,
        ..
    } = agreement;
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
    let short = bundle.manifest.suites.iter().zip(&drawn.suites);
    let mut short = short.filter(|(s, d)| d.pairs.len() < s.n_pairs.min(LEAST_PAIRS));
    let few = short.next().map(|(suite, drawn)| {
        format!(
            "; {} pairs of {} are too few for a level (at least {})",
            drawn.pairs.len(),
            suite.name(),
            suite.n_pairs.min(LEAST_PAIRS)
        )
    });
    let claims = match unconfirmed.as_slice() {
        [] => String::new(),
        claims => format!("; claimed and not confirmed here: {}", claims.join(", ")),
    };
    Rerun {
        result: CheckResult {
            id: "re-run",
            passed: true,
            message: format!(
                "{count} of {} pairs were encoded again: {identical} identical{others}{}{claims}",
                drawn.of,
                few.as_deref().unwrap_or_default()
            ),
        },
        level: level(few.is_none()),
    }
}

/// How far the scores of a bundle are those of encoding again.
struct Agreement<'a> {
    bundle: &'a Bundle,
    tolerance: Tolerance,
    /// Whether every pair was encoded again.
    full: bool,
    /// The token counts of the bundle, by suite, split and id.
    tokens: HashMap<(&'a str, &'a str, &'a str), &'a TokenLine>,
    /// The largest difference of two scores.
    largest: f64,
    /// Pairs compared, and those with the same score.
    count: usize,
    identical: usize,
    /// Facts that are claimed and differ here.
    unconfirmed: Vec<String>,
}

impl Agreement<'_> {
    /// Compares one suite; an error is the reason why the bundle is not confirmed.
    fn add(&mut self, entry: &SuiteEntry, evaluation: &Evaluation) -> Result<(), String> {
        let (bundle, tolerance) = (self.bundle, &self.tolerance);
        let facts = &evaluation.record.suite;
        let lines = bundle
            .scores
            .get(&entry.scores.file)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let claimed: HashMap<&str, f64> = lines.iter().map(|l| (l.id.as_str(), l.score)).collect();
        self.unconfirmed = facts_again(bundle, evaluation)?;
        let scores: Vec<f64> = evaluation.pairs.iter().filter_map(|p| p.score).collect();
        let spread = spread(&scores);
        let allowed = if scores.len() < LEAST_ORDERED {
            tolerance.score
        } else {
            tolerance.score.min(SPREAD * spread)
        };
        let (mut old, mut new, mut gold) = (Vec::new(), Vec::new(), Vec::new());
        for pair in &evaluation.pairs {
            let (Some(theirs), Some(ours)) = (claimed.get(pair.id.as_str()), pair.score) else {
                return Err(format!("`{}` has no score to compare", pair.id));
            };
            let delta = (theirs - ours).abs();
            if delta > allowed {
                return Err(format!(
                    "the score of `{}` is {ours} when encoded again, the bundle says {theirs}: they differ by \
                     {delta:.1e}, allowed is {allowed:.0e} ({:.0e}, and a hundredth of the spread of the scores, {spread:.0e})",
                    pair.id, tolerance.score
                ));
            }
            self.largest = self.largest.max(delta);
            self.identical += usize::from(delta == 0.0);
            self.count += 1;
            old.push(*theirs);
            new.push(ours);
            gold.push(pair.gold);
        }
        for counts in &evaluation.tokens {
            let key = (facts.id.as_str(), facts.split.as_str(), counts.id.as_str());
            let line = self.tokens.get(&key);
            if line.is_some_and(|l| (l.tokens, l.lost) != (counts.tokens, counts.lost)) {
                return Err(format!(
                    "`{}` has other token counts when encoded again",
                    counts.id
                ));
            }
        }
        if old.len() >= LEAST_ORDERED {
            let order =
                spearman(&old, &new).map_err(|e| format!("the order of the scores: {e}"))?;
            if order < tolerance.order {
                return Err(format!(
                    "the bundle's scores order the pairs otherwise than those encoded again: their rank \
                     correlation is {order:.4}, at least {} is needed",
                    tolerance.order
                ));
            }
        }
        if self.full
            && let (Ok(a), Ok(b)) = (spearman(&old, &gold), spearman(&new, &gold))
            && (a - b).abs() > tolerance.rho
        {
            return Err(format!(
                "Spearman is {b} when encoded again, the bundle's scores give {a}"
            ));
        }
        Ok(())
    }
}

/// Compares the facts of a bundle with those of the record that encoding again made: what decides a score
/// must be the same. Gives those of the machine that are claimed and differ here.
fn facts_again(bundle: &Bundle, again: &Evaluation) -> Result<Vec<String>, String> {
    let (model, run) = (&bundle.manifest.model, &bundle.manifest.run);
    let found: &EncoderFacts = &again.record.encoder;
    let normalise = found.decisions.iter().any(Decision::normalizes);
    let shown = |value: &dyn std::fmt::Debug| {
        let text = format!("{value:?}");
        match text.strip_prefix("Some(").and_then(|t| t.strip_suffix(')')) {
            Some(inner) => inner.to_owned(),
            None => text,
        }
    };
    macro_rules! facts {
        ($($name:literal: $claimed:expr, $here:expr;)*) => {
            [$(($name, $claimed == $here, shown(&$claimed), shown(&$here))),*]
        };
    }
    let decisive = facts! {
        "protocol": run.protocol, found.protocol;
        "prompts": model.prompts, found.prompts;
        "maximum length": model.max_tokens, found.max_tokens;
        "pooling": model.pooling, found.pooling;
        "normalise": model.normalise, normalise;
        "dimension": model.dimension, found.dimension;
        "architecture": model.architecture, found.architecture;
        "similarity": run.similarity, found.similarity;
        "harness": run.harness.name, again.record.harness.name;
    };
    if let Some((name, _, claimed, here)) = decisive.into_iter().find(|fact| !fact.1) {
        return Err(format!(
            "{name} is {here} when encoded again, the bundle says {claimed}"
        ));
    }
    let of_machine = facts! {
        "backend": run.backend, found.backend;
        "backend version": run.backend_version, found.backend_version;
        "device": run.device, found.device;
        "number type": run.dtype, found.dtype;
        "harness version": run.harness.version, again.record.harness.version;
        "revision": model.revision, found.revision;
    };
    let differing = of_machine.into_iter().filter(|fact| !fact.1);
    Ok(differing
        .map(|(name, _, claimed, here)| format!("{name} {claimed} (here {here})"))
        .collect())
}

/// The range of the middle half of some scores: a few far ones do not widen it.
fn spread(scores: &[f64]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at =
        |share: usize| sorted.get((sorted.len() * share / 4).min(sorted.len().saturating_sub(1)));
    match (at(1), at(3)) {
        (Some(low), Some(high)) => high - low,
        _ => 0.0,
    }
}
