//! Scored pairs to numbers. The per-pair file of a record goes through the same function, so every
//! number can be computed again from it alone.

use std::collections::BTreeMap;

use super::record::{DomainScores, ScoredPair, Scores, TrainedOn};
use korfinsts_metric::{
    self as metric, AucSample, BootstrapOptions, Domains, MacroSample, SpearmanSample, Statistic,
    Undefined, WithinSample,
};

/// The numbers of a record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Numbers {
    /// Scores over all pairs.
    pub scores: Scores,
    /// Intervals by score name.
    pub interval: BTreeMap<String, [f64; 2]>,
    /// Scores per domain.
    pub domains: BTreeMap<String, DomainScores>,
    /// Mean over domains.
    pub macro_spearman: Option<f64>,
    /// Stratified by domain.
    pub within_domain_spearman: Option<f64>,
    /// Triplet accuracy per group.
    pub triplet_accuracy: BTreeMap<String, f64>,
    /// Share of tied predictions.
    pub tie_share: Option<f64>,
    /// Why a number is missing, and what misleads.
    pub warnings: Vec<String>,
}

/// A column of scored pairs.
type Get = fn(&ScoredPair) -> Option<f64>;

/// Which numbers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Gold is 0 or 1: AUC, average precision and their kin exist.
    pub binary: bool,
    /// Intervals per domain and over domains, and the warning about pooling. A baseline, which
    /// only stands beside an encoder, goes without them.
    pub breakdown: bool,
}

impl Asked {
    /// What is asked of a record: of its suite's scale and its encoder's backend.
    #[must_use]
    pub fn of(scale: &str, backend: &str) -> Self {
        Self {
            binary: scale == "binary",
            breakdown: backend != LEXICAL,
        }
    }
}

/// Backend that records of lexical baselines name.
pub const LEXICAL: &str = "lexical";

/// The score over the pairs that a model was not trained on, where it was trained on some: `seen`
/// says of each pair whether it was.
#[must_use]
pub fn trained_on(
    pairs: &[ScoredPair],
    seen: &[bool],
    variants: usize,
    bootstrap: &BootstrapOptions,
) -> Option<TrainedOn> {
    if !seen.contains(&true) {
        return None;
    }
    let others: Vec<ScoredPair> = pairs
        .iter()
        .zip(seen)
        .filter(|(_, seen)| !**seen)
        .map(|(pair, _)| pair.clone())
        .collect();
    let asked = Asked {
        binary: false,
        breakdown: false,
    };
    let found = numbers(&others, asked, bootstrap);
    Some(TrainedOn {
        variants,
        pairs: pairs.len() - others.len(),
        other_pairs: others.len(),
        cosine_spearman_of_others: found.scores.cosine_spearman,
        interval_of_others: found.interval.get("cosine_spearman").copied(),
    })
}

/// Computes every number that scored pairs hold and that is asked for. A number that does not exist is `None`, and the
/// reason is a warning.
#[must_use]
pub fn numbers(pairs: &[ScoredPair], asked: Asked, options: &BootstrapOptions) -> Numbers {
    let mut numbers = Numbers::default();
    let gold: Vec<f64> = pairs.iter().map(|p| p.gold).collect();
    let predicted = column(pairs, "score", |p| p.score, &mut numbers.warnings);
    if let Some(predicted) = &predicted {
        main_scores(&mut numbers, predicted, &gold, asked.binary, options);
        by_domain(&mut numbers, pairs, predicted, &gold, asked, options);
        by_group(&mut numbers, pairs, predicted);
    }
    let others: [(&str, Get); 3] = [
        ("dot", |p| p.dot),
        ("manhattan", |p| p.manhattan),
        ("euclidean", |p| p.euclidean),
    ];
    for (name, get) in others {
        if pairs.iter().all(|p| get(p).is_none()) {
            continue;
        }
        let Some(values) = column(pairs, name, get, &mut numbers.warnings) else {
            continue;
        };
        let spearman = metric::spearman(&values, &gold).ok();
        let pearson = metric::pearson(&values, &gold).ok();
        let scores = &mut numbers.scores;
        match name {
            "dot" => (scores.dot_spearman, scores.dot_pearson) = (spearman, pearson),
            "manhattan" => {
                (scores.manhattan_spearman, scores.manhattan_pearson) = (spearman, pearson);
            }
            _ => (scores.euclidean_spearman, scores.euclidean_pearson) = (spearman, pearson),
        }
    }
    numbers
}

/// The values of all pairs, or `None` (and the reason) where one has none: no number is computed
/// from a part.
fn column(
    pairs: &[ScoredPair],
    name: &str,
    get: impl Fn(&ScoredPair) -> Option<f64>,
    warnings: &mut Vec<String>,
) -> Option<Vec<f64>> {
    let missing: Vec<&ScoredPair> = pairs.iter().filter(|p| get(p).is_none()).collect();
    if let Some(first) = missing.first() {
        warnings.push(format!(
            "no score: {} of {} pairs have no {} (a zero vector, or a value that is not a number), \
             first `{}`",
            missing.len(),
            pairs.len(),
            if name == "score" { "similarity" } else { name },
            first.id
        ));
        return None;
    }
    pairs.iter().map(get).collect()
}

fn main_scores(
    numbers: &mut Numbers,
    predicted: &[f64],
    gold: &[f64],
    binary: bool,
    options: &BootstrapOptions,
) {
    let warnings = &mut numbers.warnings;
    let mut or_say = |what: &str, result: Result<f64, Undefined>| match result {
        Ok(value) => Some(value),
        Err(reason) => {
            warnings.push(format!("no {what}: {reason}"));
            None
        }
    };
    let spearman = or_say("Spearman", metric::spearman(predicted, gold));
    let scores = &mut numbers.scores;
    scores.cosine_spearman = spearman;
    scores.cosine_pearson = metric::pearson(predicted, gold).ok();
    scores.ceiling = metric::spearman_ceiling(gold).ok();
    numbers.tie_share = metric::tie_share(predicted).ok();
    if binary {
        scores.auc = or_say("AUC", metric::auc(predicted, gold));
        scores.average_precision = metric::average_precision(predicted, gold).ok();
        scores.spearman_over_ceiling = spearman
            .zip(scores.ceiling)
            .filter(|(_, ceiling)| *ceiling > 0.0)
            .map(|(rho, ceiling)| rho / ceiling);
    }
    if spearman.is_some() {
        let sample = SpearmanSample::new(predicted, gold);
        insert(numbers, "cosine_spearman", sample, options);
        if binary && numbers.scores.auc.is_some() {
            insert(numbers, "auc", AucSample::new(predicted, gold), options);
        }
    }
}

fn insert(
    numbers: &mut Numbers,
    name: &str,
    sample: Result<impl Statistic, Undefined>,
    options: &BootstrapOptions,
) {
    match sample.and_then(|s| metric::bootstrap(&s, options)) {
        Ok(interval) => {
            numbers
                .interval
                .insert(name.into(), [interval.low, interval.high]);
        }
        Err(reason) => numbers
            .warnings
            .push(format!("no interval of `{name}`: {reason}")),
    }
}

fn by_domain(
    numbers: &mut Numbers,
    pairs: &[ScoredPair],
    predicted: &[f64],
    gold: &[f64],
    asked: Asked,
    options: &BootstrapOptions,
) {
    let names: Vec<&str> = pairs.iter().filter_map(|p| p.domain.as_deref()).collect();
    if names.len() != pairs.len() {
        if !names.is_empty() {
            let without = pairs.len() - names.len();
            numbers
                .warnings
                .push(format!("no domains: {without} pairs name none"));
        }
        return;
    }
    let domains = Domains::new(&names);
    let Ok(found) = metric::domain_scores(predicted, gold, &domains) else {
        return;
    };
    for (score, members) in found.domains.iter().zip(domains.members()) {
        if let Err(reason) = &score.spearman {
            numbers
                .warnings
                .push(format!("no Spearman for `{}`: {reason}", score.domain));
        }
        let of =
            |values: &[f64]| -> Vec<f64> { members.iter().map(|&i| values[i as usize]).collect() };
        let interval = (asked.breakdown && score.spearman.is_ok()).then(|| {
            let sample = SpearmanSample::new(&of(predicted), &of(gold)).ok()?;
            metric::bootstrap(&sample, options)
                .ok()
                .map(|i| [i.low, i.high])
        });
        let scores = DomainScores {
            n_pairs: score.pairs,
            cosine_spearman: score.spearman.as_ref().ok().copied(),
            interval: interval.flatten(),
        };
        numbers.domains.insert(score.domain.clone(), scores);
    }
    if found.domains.len() < 2 {
        return;
    }
    match &found.macro_spearman {
        Ok(value) => numbers.macro_spearman = Some(*value),
        Err(reason) => numbers.warnings.push(format!("no macro mean: {reason}")),
    }
    match &found.within_spearman {
        Ok(value) => numbers.within_domain_spearman = Some(*value),
        Err(reason) => {
            numbers
                .warnings
                .push(format!("no within-domain Spearman: {reason}"));
        }
    }
    if !asked.breakdown {
        return;
    }
    if numbers.macro_spearman.is_some() {
        let sample = MacroSample::new(predicted, gold, &domains);
        stratified(numbers, "macro_spearman", sample, &domains, options);
    }
    if numbers.within_domain_spearman.is_some() {
        let sample = WithinSample::new(predicted, gold, &domains);
        stratified(numbers, "within_domain_spearman", sample, &domains, options);
    }
    if let (Some(pooled), Some(within), Some(&[low, high])) = (
        numbers.scores.cosine_spearman,
        numbers.within_domain_spearman,
        numbers.interval.get("cosine_spearman"),
    ) && let Some(warning) = metric::pooling_warning(pooled, within, (high - low) / 2.0)
    {
        numbers.warnings.push(warning.to_string());
    }
}

fn stratified(
    numbers: &mut Numbers,
    name: &str,
    sample: Result<impl Statistic, Undefined>,
    domains: &Domains,
    options: &BootstrapOptions,
) {
    if let Ok(interval) = sample.and_then(|s| metric::bootstrap_domains(&s, domains, options)) {
        numbers
            .interval
            .insert(name.into(), [interval.low, interval.high]);
    }
}

/// Triplet accuracy per group. A triplet is one pair with gold 1 and one with gold 0.
fn by_group(numbers: &mut Numbers, pairs: &[ScoredPair], predicted: &[f64]) {
    type Sides = (Option<f64>, Option<f64>);
    let mut triplets: BTreeMap<(&str, &str), Sides> = BTreeMap::new();
    for (pair, score) in pairs.iter().zip(predicted) {
        if let (Some(triplet), Some(group)) = (&pair.triplet, &pair.group) {
            let sides = triplets
                .entry((group.as_str(), triplet.as_str()))
                .or_default();
            if pair.gold == 1.0 {
                sides.0 = Some(*score);
            } else {
                sides.1 = Some(*score);
            }
        }
    }
    let mut groups: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    let mut broken = 0;
    for ((group, _), sides) in triplets {
        match sides {
            (Some(positive), Some(negative)) => {
                groups.entry(group).or_default().push((positive, negative));
            }
            _ => broken += 1,
        }
    }
    for (group, scores) in groups {
        if let Ok(found) = metric::triplet_accuracy(&scores) {
            numbers
                .triplet_accuracy
                .insert(group.to_owned(), found.accuracy);
        }
    }
    if broken > 0 {
        numbers
            .warnings
            .push(format!("{broken} triplets lack one side and are left out"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(i: usize, gold: f64, score: Option<f64>) -> ScoredPair {
        ScoredPair {
            id: format!("p-{i}"),
            gold,
            score,
            dot: None,
            manhattan: None,
            euclidean: None,
            domain: None,
            triplet: None,
            group: None,
        }
    }

    const ENCODER: Asked = Asked {
        binary: false,
        breakdown: true,
    };

    fn options() -> BootstrapOptions {
        BootstrapOptions {
            resamples: 200,
            ..BootstrapOptions::default()
        }
    }

    #[test]
    fn what_was_trained_on_has_a_score_over_the_rest() {
        let pairs: Vec<ScoredPair> = (0..60)
            .map(|i| {
                let score = if i % 3 == 0 { i } else { i * 7 % 61 };
                pair(i, i as f64, Some(score as f64))
            })
            .collect();
        let seen: Vec<bool> = (0..60).map(|i| i % 3 == 0).collect();
        let found = trained_on(&pairs, &seen, 4, &options()).expect("some were seen");
        let rest: Vec<ScoredPair> = pairs
            .iter()
            .zip(&seen)
            .filter(|(_, seen)| !**seen)
            .map(|(pair, _)| pair.clone())
            .collect();
        let alone = numbers(&rest, ENCODER, &options());
        assert_eq!(
            (found.variants, found.pairs, found.other_pairs),
            (4, 20, 40)
        );
        assert_eq!(
            found.cosine_spearman_of_others,
            alone.scores.cosine_spearman
        );
        assert_eq!(
            found.interval_of_others.as_ref(),
            alone.interval.get("cosine_spearman")
        );
        assert_eq!(trained_on(&pairs, &[false; 60], 0, &options()), None);
        let all = trained_on(&pairs, &[true; 60], 4, &options()).expect("all were seen");
        assert_eq!((all.other_pairs, all.cosine_spearman_of_others), (0, None));
        assert!(all.sentence().ends_with("no correlation"));
    }

    #[test]
    fn no_number_is_computed_from_a_part() {
        let mut pairs: Vec<ScoredPair> =
            (0..20).map(|i| pair(i, i as f64, Some(i as f64))).collect();
        assert_eq!(
            numbers(&pairs, ENCODER, &options()).scores.cosine_spearman,
            Some(1.0)
        );
        pairs[7].score = None;
        let found = numbers(&pairs, ENCODER, &options());
        assert_eq!(found.scores, Scores::default());
        assert!(found.interval.is_empty());
        assert!(
            found.warnings[0].contains("1 of 20 pairs"),
            "{:?}",
            found.warnings
        );
        assert!(
            found.warnings[0].ends_with("first `p-7`"),
            "{:?}",
            found.warnings
        );
    }

    #[test]
    fn a_constant_prediction_has_no_score_but_a_reason() {
        let pairs: Vec<ScoredPair> = (0..20).map(|i| pair(i, i as f64, Some(0.5))).collect();
        let found = numbers(&pairs, ENCODER, &options());
        assert_eq!(found.scores.cosine_spearman, None);
        assert!(
            found
                .warnings
                .iter()
                .any(|w| w.starts_with("no Spearman: ")),
            "{found:?}"
        );
    }

    #[test]
    fn pooling_that_changes_the_sign_is_said() {
        // Within each domain the prediction falls with gold; between domains both rise.
        let mut pairs = Vec::new();
        for d in 0..2 {
            for i in 0..30 {
                let gold = f64::from(d * 100 + i);
                let mut pair = pair(pairs.len(), gold, Some(f64::from(d * 100 - i)));
                pair.domain = Some(format!("d{d}"));
                pairs.push(pair);
            }
        }
        let found = numbers(&pairs, ENCODER, &options());
        assert_eq!(found.macro_spearman, Some(-1.0));
        assert!(found.scores.cosine_spearman.expect("a score") > 0.0);
        assert!(
            found.warnings.iter().any(|w| w.contains("pool")),
            "{:?}",
            found.warnings
        );
    }

    #[test]
    fn a_tied_triplet_counts_as_not_seen() {
        let mut pairs = Vec::new();
        for (triplet, positive, negative) in [("a", 0.9, 0.1), ("b", 0.5, 0.5), ("c", 0.1, 0.9)] {
            for (gold, score) in [(1.0, positive), (0.0, negative)] {
                let mut pair = pair(pairs.len(), gold, Some(score));
                pair.triplet = Some(triplet.into());
                pair.group = Some("g".into());
                pairs.push(pair);
            }
        }
        let found = numbers(
            &pairs,
            Asked {
                binary: true,
                breakdown: true,
            },
            &options(),
        );
        assert_eq!(found.triplet_accuracy["g"], 1.0 / 3.0);
    }
}
