//! R8: balance over domains and labels, lengths, and what scores without reading: the shortcut check.

use std::collections::BTreeMap;

use super::super::Subject;
use super::super::report::Notes;
use super::super::rows::SplitRows;
use super::{Gate, gate};
use korfinsts_bench::suite::ScaleKind;
use korfinsts_encoder::lexical::BASELINES;
use korfinsts_metric::{DomainScores, Domains, auc, spearman, spearman_ceiling};

/// Share of the ceiling that a baseline may reach.
const SHORTCUT: f64 = 0.25;
/// How many times the largest group may exceed the smallest.
const IMBALANCE: f64 = 5.0;
/// Difference of mean scores between domains, as a share of the scale, that pooling turns into a score.
const DOMAIN_GAP: f64 = 0.25;

pub(super) const GATE: Gate = gate("R8", "balance and shortcuts", false, run);

fn run(subject: &Subject, notes: &mut Notes) {
    for split in &subject.splits {
        balance(subject, split, notes);
        if !split.hidden {
            shortcuts(subject, split, notes);
        }
    }
}

fn balance(subject: &Subject, split: &SplitRows, notes: &mut Notes) {
    let range = subject.scale.max - subject.scale.min;
    let group = subject.triplets.as_ref().map(|t| t.group.as_str());
    let by_domain = count(split, |r| r.domain.as_deref());
    let by_group = group
        .map(|g| count(split, |r| r.labels.get(g).map(String::as_str)))
        .unwrap_or_default();
    for (what, groups) in [
        ("domain", &by_domain),
        (group.unwrap_or_default(), &by_group),
    ] {
        let (Some(least), Some(most)) = (
            groups.iter().min_by_key(|g| g.1.len()),
            groups.iter().max_by_key(|g| g.1.len()),
        ) else {
            continue;
        };
        notes.fact(format!(
            "{} by {what}: {}",
            split.name,
            groups
                .iter()
                .map(|(name, rows)| format!("{name} {}", rows.len()))
                .collect::<Vec<_>>()
                .join(", ")
        ));
        if most.1.len() as f64 > IMBALANCE * least.1.len() as f64 {
            notes.warn(
                None,
                format!(
                    "`{}`: {what} `{}` has {} rows, `{}` has {}",
                    split.name,
                    most.0,
                    most.1.len(),
                    least.0,
                    least.1.len()
                ),
                "add to the small ones, or report each apart",
            );
        }
    }
    let means: Vec<(&str, f64)> = by_domain
        .iter()
        .filter_map(|(name, rows)| {
            let gold: Vec<f64> = rows.iter().filter_map(|r| r.score).collect();
            (!gold.is_empty()).then(|| (*name, gold.iter().sum::<f64>() / gold.len() as f64))
        })
        .collect();
    let low = means.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let high = means.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    if let (Some(low), Some(high)) = (low, high)
        && high.1 - low.1 > DOMAIN_GAP * range
    {
        notes.warn(
            None,
            format!("`{}`: the mean score of `{}` is {:.2}, of `{}` {:.2}: pooled scores mix domains up", split.name, high.0, high.1, low.0, low.1),
            "balance the labels within each domain, or report the mean within domains",
        );
    }
    let gold: Vec<f64> = split.rows.iter().filter_map(|r| r.score).collect();
    let mut bins = [0_usize; 10];
    for score in &gold {
        bins[(((score - subject.scale.min) / range * 10.0) as usize).min(9)] += 1;
    }
    let lengths: Vec<usize> = split
        .rows
        .iter()
        .flat_map(|r| [r.sentence1.chars().count(), r.sentence2.chars().count()])
        .collect();
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
    notes.fact(format!(
        "{}: texts of {mean:.1} characters in the mean; scores in ten bins: {bins:?}",
        split.name
    ));
    let most = bins.iter().max().copied().unwrap_or_default();
    if subject.scale.kind == ScaleKind::Binary && !gold.is_empty() {
        let share = most as f64 / gold.len() as f64;
        if share > 0.8 {
            notes.warn(
                None,
                format!(
                    "`{}`: {:.0} % of the pairs carry one label",
                    split.name,
                    100.0 * share
                ),
                "balance the labels",
            );
        }
    }
}

type Groups<'a> = BTreeMap<&'a str, Vec<&'a super::super::rows::Row>>;

fn count<'a>(
    split: &'a SplitRows,
    of: impl Fn(&'a super::super::rows::Row) -> Option<&'a str>,
) -> Groups<'a> {
    let mut groups = Groups::new();
    for row in &split.rows {
        if let Some(name) = of(row) {
            groups.entry(name).or_default().push(row);
        }
    }
    groups
}

/// What length and shared words alone score.
fn shortcuts(subject: &Subject, split: &SplitRows, notes: &mut Notes) {
    let rows: Vec<_> = split.rows.iter().filter(|r| r.score.is_some()).collect();
    let gold: Vec<f64> = rows.iter().filter_map(|r| r.score).collect();
    let Ok(ceiling) = spearman_ceiling(&gold) else {
        return;
    };
    let names: Vec<&str> = rows.iter().filter_map(|r| r.domain.as_deref()).collect();
    for baseline in BASELINES {
        let scores: Vec<f64> = rows
            .iter()
            .map(|r| baseline.score(&r.sentence1, &r.sentence2))
            .collect();
        let Ok(rho) = spearman(&scores, &gold) else {
            continue;
        };
        let area = (subject.scale.kind == ScaleKind::Binary)
            .then(|| auc(&scores, &gold).ok())
            .flatten();
        let within = (names.len() == gold.len())
            .then(|| korfinsts_metric::domain_scores(&scores, &gold, &Domains::new(&names)).ok())
            .flatten()
            .and_then(|d: DomainScores| d.within_spearman.ok());
        notes.fact(format!(
            "{}: baseline {} scores Spearman {rho:.4}{}{}",
            split.name,
            baseline.name,
            area.map(|a| format!(", AUC {a:.3}")).unwrap_or_default(),
            within
                .map(|w| format!(", within domains {w:.4}"))
                .unwrap_or_default()
        ));
        if rho.abs() > SHORTCUT * ceiling {
            notes.warn(
                None,
                format!("`{}`: a shortcut: {} alone reach Spearman {rho:.4} of a ceiling of {ceiling:.3}", split.name, baseline.summary),
                "add pairs that are alike in form and unlike in meaning; keep the baseline in every table",
            );
        }
    }
}
