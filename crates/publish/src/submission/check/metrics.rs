//! Every metric that is claimed is computed again from the scores and equal to its last digit.

use std::collections::BTreeMap;

use super::super::manifest::{DomainMetrics, Metrics};
use super::super::verify::{Examined, Joined};
use korfinsts_bench::suite::ScaleKind;
use korfinsts_metric::{self as metric, Domains};

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
        let again = numbers(suite);
        let claimed = &suite.entry.metrics;
        for ((what, claimed), (_, again)) in flat(claimed).iter().zip(flat(&again)) {
            if let Some(reason) = differs(*claimed, again) {
                return Err(format!("{name}: {what}: {reason}"));
            }
            count += usize::from(claimed.is_some());
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

fn flat(m: &Metrics) -> [(&'static str, Option<f64>); 7] {
    [
        ("cosine_spearman", m.cosine_spearman),
        ("cosine_pearson", m.cosine_pearson),
        ("auc", m.auc),
        ("average_precision", m.average_precision),
        ("ceiling", m.ceiling),
        ("macro_spearman", m.macro_spearman),
        ("within_domain_spearman", m.within_domain_spearman),
    ]
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

/// Every metric of one suite, without intervals: no random number is needed.
pub(in super::super) fn numbers(suite: &Joined<'_>) -> Metrics {
    let (predicted, gold) = (suite.predicted, suite.gold);
    let binary = suite.suite.scale.kind == ScaleKind::Binary;
    let mut found = Metrics {
        cosine_spearman: metric::spearman(predicted, gold).ok(),
        cosine_pearson: metric::pearson(predicted, gold).ok(),
        ceiling: metric::spearman_ceiling(gold).ok(),
        ..Metrics::default()
    };
    if binary {
        found.auc = metric::auc(predicted, gold).ok();
        found.average_precision = metric::average_precision(predicted, gold).ok();
    }
    let names: Vec<&str> = suite
        .suite
        .pairs
        .iter()
        .filter_map(|p| p.domain.as_deref())
        .collect();
    if names.len() == gold.len()
        && let Ok(scores) = metric::domain_scores(predicted, gold, &Domains::new(&names))
    {
        for domain in &scores.domains {
            found.domains.insert(
                domain.domain.clone(),
                DomainMetrics {
                    n_pairs: domain.pairs,
                    cosine_spearman: domain.spearman.as_ref().ok().copied(),
                },
            );
        }
        if scores.domains.len() > 1 {
            found.macro_spearman = scores.macro_spearman.ok();
            found.within_domain_spearman = scores.within_spearman.ok();
        }
    }
    triplets(suite, &mut found);
    found
}

/// Triplet accuracy per group: a pair with gold 1 and one with gold 0 make a triplet.
fn triplets(suite: &Joined<'_>, found: &mut Metrics) {
    type Sides = (Option<f64>, Option<f64>);
    let Some(columns) = &suite.suite.triplets else {
        return;
    };
    let mut sides: BTreeMap<(&str, &str), Sides> = BTreeMap::new();
    for (pair, score) in suite.suite.pairs.iter().zip(suite.predicted) {
        if let (Some(id), Some(group)) = (
            pair.labels.get(&columns.id),
            pair.labels.get(&columns.group),
        ) {
            let entry = sides.entry((group, id)).or_default();
            if pair.gold == 1.0 {
                entry.0 = Some(*score);
            } else {
                entry.1 = Some(*score);
            }
        }
    }
    let mut groups: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for ((group, _), side) in sides {
        if let (Some(positive), Some(negative)) = side {
            groups.entry(group).or_default().push((positive, negative));
        }
    }
    for (group, scores) in groups {
        if let Ok(accuracy) = metric::triplet_accuracy(&scores) {
            found
                .triplet_accuracy
                .insert(group.to_owned(), accuracy.accuracy);
        }
    }
}
