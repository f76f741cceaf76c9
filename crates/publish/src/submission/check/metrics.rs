//! Every metric that is claimed is computed again from the scores and equal to its last digit.

use std::collections::BTreeMap;

use super::super::manifest::{ClaimedScores, Metrics};
use super::super::verify::{Examined, Joined};
use korfinsts_bench::run::score::{self, Asked};

/// Below what numbers print: two computations of one number differ by rounding alone.
const ROUNDING: f64 = 1e-12;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    let joined = examined.joined();
    if joined.len() != examined.suites.len() {
        return Err("not every suite could be scored again (see `release` and `ids`)".into());
    }
    let mut count = 0;
    for suite in &joined {
        let name = suite.entry.name();
        let again = computed(suite);
        let claimed = &suite.entry.metrics;
        for key in ClaimedScores::rows().map(|score| score.key) {
            if let Some(reason) = differs(claimed.get(key), again.get(key)) {
                return Err(format!("{name}: {key}: {reason}"));
            }
            count += usize::from(claimed.get(key).is_some());
        }
        let domains = |m: &Metrics| -> BTreeMap<String, (f64, Option<f64>)> {
            m.domains
                .iter()
                .map(|(k, d)| (k.clone(), (d.n_pairs as f64, d.cosine_spearman)))
                .collect()
        };
        let groups = |m: &Metrics| -> BTreeMap<String, (f64, Option<f64>)> {
            m.triplet_accuracy
                .iter()
                .map(|(k, x)| (k.clone(), (0.0, Some(*x))))
                .collect()
        };
        for (what, claimed, again) in [
            ("domains", domains(claimed), domains(&again)),
            ("triplet_accuracy", groups(claimed), groups(&again)),
        ] {
            let names = |m: &BTreeMap<String, _>| m.keys().cloned().collect::<Vec<_>>();
            if names(&claimed) != names(&again) {
                return Err(format!(
                    "{name}: {what}: claimed for {:?}, the suite has {:?}",
                    names(&claimed),
                    names(&again)
                ));
            }
            for (key, (n, score)) in &claimed {
                let (n_again, score_again) = again[key];
                if *n != n_again {
                    return Err(format!(
                        "{name}: {what} `{key}`: claimed {n} pairs, found {n_again}"
                    ));
                }
                if let Some(reason) = differs(*score, score_again) {
                    return Err(format!("{name}: {what} `{key}`: {reason}"));
                }
                count += 1;
            }
        }
    }
    Ok(format!("{count} numbers computed again, all equal"))
}

fn differs(claimed: Option<f64>, again: Option<f64>) -> Option<String> {
    let show = |x: Option<f64>| x.map_or("no number".to_owned(), |x| x.to_string());
    let same = match (claimed, again) {
        (None, None) => true,
        (Some(a), Some(b)) => (a - b).abs() <= ROUNDING,
        _ => false,
    };
    (!same).then(|| format!("claimed {}, computed {}", show(claimed), show(again)))
}

/// What follows from the scores of a suite, without intervals: no random number is needed.
fn computed(suite: &Joined<'_>) -> Metrics {
    let asked = Asked::of_suite(suite.suite);
    Metrics::of(&score::numbers(&suite.pairs(), asked, None).record())
}
