//! Scored pairs to numbers. The per-pair file of a record goes through the same function, so every
//! number can be computed again from it alone.

use std::collections::BTreeMap;

use super::record::{
    ClusterFacts, DomainScores, Record, ScoredPair, Scores, TrainedOn, TripletScores, clusters,
};
use super::scores::{SCORES, Sample, Score};
use super::triplets;
use crate::suite::{ScaleKind, Suite};
use korfinsts_metric::{
    self as metric, BootstrapOptions, Domains, Interval, Resampling, Similarity, SpearmanSample,
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
    /// Triplet accuracy over all groups.
    pub triplets: Option<TripletScores>,
    /// Clusters that were resampled whole.
    pub clusters: Option<ClusterFacts>,
    /// Share of tied predictions.
    pub tie_share: Option<f64>,
    /// Why a number is missing, and what misleads.
    pub warnings: Vec<String>,
}

impl Numbers {
    /// A record that holds these numbers and nothing else.
    #[must_use]
    pub fn record(self) -> Record {
        Record {
            scores: self.scores,
            interval: self.interval,
            domains: self.domains,
            macro_spearman: self.macro_spearman,
            within_domain_spearman: self.within_domain_spearman,
            triplet_accuracy: self.triplet_accuracy,
            triplets: self.triplets,
            clusters: self.clusters,
            tie_share: self.tie_share,
            warnings: self.warnings,
            ..Record::default()
        }
    }
}

/// Which numbers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Gold is 0 or 1: AUC, average precision and their kin exist.
    pub binary: bool,
    /// Intervals per domain and over domains, and the warning about pooling. A baseline is
    /// there for comparison only and gets none.
    pub breakdown: bool,
}

impl Asked {
    /// What is asked of an encoder on a suite.
    #[must_use]
    pub fn of_suite(suite: &Suite) -> Self {
        Self {
            binary: suite.scale.kind == ScaleKind::Binary,
            breakdown: true,
        }
    }

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

/// The score over the pairs that a model was not trained on, where it was trained on some.
#[must_use]
pub fn trained_on(
    pairs: &[ScoredPair],
    variants: usize,
    bootstrap: &BootstrapOptions,
) -> Option<TrainedOn> {
    let others: Vec<ScoredPair> = pairs.iter().filter(|p| !p.trained).cloned().collect();
    if others.len() == pairs.len() {
        return None;
    }
    let asked = Asked {
        binary: false,
        breakdown: false,
    };
    let found = numbers(&others, asked, Some(bootstrap));
    Some(TrainedOn {
        variants,
        pairs: pairs.len() - others.len(),
        other_pairs: others.len(),
        cosine_spearman_of_others: found.scores.cosine_spearman,
        interval_of_others: found.interval.get("cosine_spearman").copied(),
        triplets_of_others: found.triplets.map(|triplets| triplets.all),
    })
}

/// Computes every number that scored pairs hold and that is asked for, with intervals where
/// `bootstrap` says how. A number that does not exist is `None`, and the reason is a warning.
#[must_use]
pub fn numbers(
    pairs: &[ScoredPair],
    asked: Asked,
    bootstrap: Option<&BootstrapOptions>,
) -> Numbers {
    let mut numbers = Numbers::default();
    let gold: Vec<f64> = pairs.iter().map(|p| p.gold).collect();
    let clusters = clusters(pairs);
    let how = bootstrap.map(|options| options.by(clusters.as_ref()));
    for similarity in Similarity::ALL {
        let main = similarity == Similarity::Cosine;
        let mut rows = SCORES
            .iter()
            .filter(|s| s.similarity == similarity)
            .peekable();
        // Bundles and baselines hold the main similarity alone.
        let absent = || pairs.iter().all(|p| p.by(similarity).is_none());
        if rows.peek().is_none() || !main && absent() {
            continue;
        }
        let Some(predicted) = column(pairs, similarity, &mut numbers.warnings) else {
            continue;
        };
        let mut scorer = Scorer {
            predicted: &predicted,
            gold: &gold,
            asked,
            how,
            domains: None,
            numbers: &mut numbers,
        };
        scorer.score(rows.clone().filter(|s| !s.by_domain));
        if main {
            by_domain(pairs, scorer, rows.filter(|s| s.by_domain));
            let effect = triplets::score(&mut numbers, pairs, &predicted, bootstrap);
            numbers.clusters = clusters.as_ref().map(|clusters| ClusterFacts {
                n: clusters.count(),
                design_effect: effect.or_else(|| {
                    let sample = SpearmanSample::new(&predicted, &gold).ok()?;
                    metric::design_effect(&sample, None, how?).ok()
                }),
            });
        }
    }
    numbers
}

/// The values of all pairs, or `None` (and the reason) where one has none: no number is computed
/// from a part.
fn column(
    pairs: &[ScoredPair],
    similarity: Similarity,
    warnings: &mut Vec<String>,
) -> Option<Vec<f64>> {
    let missing: Vec<&ScoredPair> = pairs
        .iter()
        .filter(|p| p.by(similarity).is_none())
        .collect();
    if let Some(first) = missing.first() {
        warnings.push(format!(
            "no score: {} of {} pairs have no {} (a zero vector, or a value that is not a number), \
             first `{}`",
            missing.len(),
            pairs.len(),
            match similarity {
                Similarity::Cosine => "similarity",
                other => other.name(),
            },
            first.id
        ));
        return None;
    }
    pairs.iter().map(|p| p.by(similarity)).collect()
}

/// Computes rows of the table of scores from one list of predicted scores.
struct Scorer<'a> {
    predicted: &'a [f64],
    gold: &'a [f64],
    asked: Asked,
    how: Option<Resampling<'a>>,
    domains: Option<(&'a Domains, &'a metric::DomainScores)>,
    numbers: &'a mut Numbers,
}

impl Scorer<'_> {
    fn sample(&self) -> Sample<'_> {
        Sample {
            predicted: self.predicted,
            gold: self.gold,
            found: self.numbers.scores,
            domains: self.domains,
        }
    }

    /// Computes scores in order, then their intervals.
    fn score<'s>(&mut self, scores: impl Iterator<Item = &'s Score>) {
        let mut bounded = Vec::new();
        // Scores that do not exist, by the reason.
        let mut absent: Vec<(Vec<&str>, String)> = Vec::new();
        for score in scores.filter(|s| !s.binary || self.asked.binary) {
            match score.compute.and_then(|compute| compute(&self.sample())) {
                Some(Ok(value)) => {
                    (score.set)(self.numbers, Some(value));
                    bounded.extend(score.interval.map(|interval| (score, interval)));
                }
                Some(Err(reason)) => {
                    let reason = reason.to_string();
                    match absent.iter_mut().find(|(_, other)| *other == reason) {
                        Some((names, _)) => names.push(score.warned),
                        None => absent.push((vec![score.warned], reason)),
                    }
                }
                None => {}
            }
        }
        for (names, reason) in absent {
            let warning = format!("no {}: {reason}", names.join(", "));
            self.numbers.warnings.push(warning);
        }
        let Some(how) = self.how else {
            return;
        };
        // Where the main score does not exist, no interval says anything.
        let main = self.numbers.scores.cosine_spearman.is_some();
        let wanted = |score: &Score| main && (!score.by_domain || self.asked.breakdown);
        bounded.retain(|(score, _)| wanted(score));
        for (score, interval) in bounded {
            match interval(&self.sample(), how) {
                Ok(found) => {
                    let bounds = bounds(found);
                    self.numbers.interval.insert(score.key.into(), bounds);
                }
                Err(_) if score.by_domain => {}
                Err(reason) => {
                    let warning = format!("no interval of `{}`: {reason}", score.key);
                    self.numbers.warnings.push(warning);
                }
            }
        }
    }
}

pub(super) fn bounds(interval: Interval) -> [f64; 2] {
    [interval.low, interval.high]
}

/// Scores of each domain, then those that are computed from all of them.
#[allow(
    clippy::needless_pass_by_value,
    reason = "it is taken apart, and goes on with the domains"
)]
fn by_domain<'s>(
    pairs: &[ScoredPair],
    scorer: Scorer<'_>,
    scores: impl Iterator<Item = &'s Score>,
) {
    let Scorer {
        predicted,
        gold,
        asked,
        ..
    } = scorer;
    let numbers = &mut *scorer.numbers;
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
        let how = scorer
            .how
            .filter(|_| asked.breakdown && score.spearman.is_ok());
        let interval = how.and_then(|how| {
            let sample = SpearmanSample::new(&of(predicted), &of(gold)).ok()?;
            let own = members
                .iter()
                .map(|&i| pairs[i as usize].cluster.as_deref());
            let clusters = metric::Clusters::new(own);
            let how = how.options.by(clusters.as_ref());
            metric::bootstrap(&sample, how).ok().map(bounds)
        });
        let scores = DomainScores {
            n_pairs: score.pairs,
            cosine_spearman: score.spearman.as_ref().ok().copied(),
            interval,
        };
        numbers.domains.insert(score.domain.clone(), scores);
    }
    if found.domains.len() < 2 {
        return;
    }
    let mut scorer = Scorer {
        domains: Some((&domains, &found)),
        numbers,
        ..scorer
    };
    scorer.score(scores);
    let numbers = scorer.numbers;
    if let (true, Some(pooled), Some(within), Some(&[low, high])) = (
        asked.breakdown,
        numbers.scores.cosine_spearman,
        numbers.within_domain_spearman,
        numbers.interval.get("cosine_spearman"),
    ) && let Some(warning) = metric::pooling_warning(pooled, within, (high - low) / 2.0)
    {
        numbers.warnings.push(warning.to_string());
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
            ..ScoredPair::default()
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
        let pairs = |trained: &dyn Fn(usize) -> bool| -> Vec<ScoredPair> {
            let one = |i: usize| {
                let score = if i.is_multiple_of(3) { i } else { i * 7 % 61 };
                ScoredPair {
                    trained: trained(i),
                    ..pair(i, i as f64, Some(score as f64))
                }
            };
            (0..60).map(one).collect()
        };
        let third = |i: usize| i.is_multiple_of(3);
        let found = trained_on(&pairs(&third), 4, &options()).expect("some were seen");
        let mut rest = pairs(&third);
        rest.retain(|pair| !pair.trained);
        let alone = numbers(&rest, ENCODER, Some(&options()));
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
        assert_eq!(trained_on(&pairs(&|_| false), 0, &options()), None);
        let all = trained_on(&pairs(&|_| true), 4, &options()).expect("all were seen");
        assert_eq!((all.other_pairs, all.cosine_spearman_of_others), (0, None));
        assert!(all.sentence().ends_with("no correlation"));
    }

    #[test]
    fn no_number_is_computed_from_a_part() {
        let mut pairs: Vec<ScoredPair> =
            (0..20).map(|i| pair(i, i as f64, Some(i as f64))).collect();
        assert_eq!(
            numbers(&pairs, ENCODER, Some(&options()))
                .scores
                .cosine_spearman,
            Some(1.0)
        );
        pairs[7].score = None;
        let found = numbers(&pairs, ENCODER, Some(&options()));
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
        let found = numbers(&pairs, ENCODER, Some(&options()));
        assert_eq!(found.scores.cosine_spearman, None);
        assert!(
            found
                .warnings
                .iter()
                .any(|w| w.starts_with("no Spearman, Pearson: ")),
            "{found:?}"
        );
    }

    #[test]
    fn every_score_that_does_not_exist_has_its_reason() {
        type Column<'a> = &'a dyn Fn(usize) -> f64;
        let varied = |i: usize| (i * i % 19) as f64;
        let collapsed = |i: usize| 0.5 + (i * i % 3) as f64 * 1e-16;
        let offset = |i: usize| 1e15 + (i % 4) as f64;
        let cases: [(Column<'_>, Column<'_>, Option<&str>); 3] = [
            (&varied, &varied, None),
            (
                &varied,
                &collapsed,
                Some("no Pearson: every predicted score is 0.5"),
            ),
            (
                &offset,
                &varied,
                Some("no Pearson: every gold score is 1000000000000001"),
            ),
        ];
        for (gold, score, reason) in cases {
            let pairs: Vec<ScoredPair> =
                (0..20).map(|i| pair(i, gold(i), Some(score(i)))).collect();
            let found = numbers(&pairs, ENCODER, Some(&options()));
            assert!(found.scores.cosine_spearman.is_some());
            assert_eq!(found.scores.cosine_pearson.is_none(), reason.is_some());
            let said = |reason| found.warnings.iter().any(|w| w.starts_with(reason));
            assert!(reason.is_none_or(said), "{:?}", found.warnings);
        }
        // Every score of a constant gold has the one reason.
        let pairs: Vec<ScoredPair> = (0..20).map(|i| pair(i, 1.0, Some(i as f64))).collect();
        let asked = Asked {
            binary: true,
            breakdown: true,
        };
        let found = numbers(&pairs, asked, Some(&options()));
        for (name, value) in [
            ("Spearman", found.scores.cosine_spearman),
            ("Pearson", found.scores.cosine_pearson),
            ("AUC", found.scores.auc),
            ("average precision", found.scores.average_precision),
            ("ceiling", found.scores.ceiling),
        ] {
            let said = found.warnings.iter().filter_map(|w| w.split_once(": "));
            let said = said.filter(|(names, _)| names[3..].split(", ").any(|n| n == name));
            assert_eq!(
                (value, said.count()),
                (None, 1),
                "{name}: {:?}",
                found.warnings
            );
        }
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
        let found = numbers(&pairs, ENCODER, Some(&options()));
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
            Some(&options()),
        );
        assert_eq!(found.triplet_accuracy["g"], 1.0 / 3.0);
    }
}
