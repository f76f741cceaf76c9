//! Triplets of scored pairs: positives and negatives of one source.
//!
//! A model sees a triplet where every positive is strictly nearer to the source than every negative, so a
//! tie counts as not seen. With one of each this is the usual triplet accuracy. With several, a cell is one
//! positive against one negative.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::record::{ScoredPair, TripletPart, TripletScores};
use super::score::{Numbers, bounds};
use korfinsts_metric::{
    self as metric, BootstrapOptions, Clusters, Domains, Interval, Resampling, TripletSample,
};

/// Places of the pairs of one triplet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Triplet {
    /// Of pairs with gold 1, at least one.
    positives: Vec<usize>,
    /// Of the others, at least one.
    negatives: Vec<usize>,
}

/// Fewest documents of a group for draws within groups.
const LEAST_IN_GROUP: usize = 4;

/// The triplets of scored pairs, in the order of their groups and ids.
#[derive(Debug, Clone)]
pub struct Triplets<'a> {
    pairs: &'a [ScoredPair],
    found: Vec<Triplet>,
    /// How many have no positive or no negative, and are left out.
    pub broken: usize,
}

impl<'a> Triplets<'a> {
    /// Joins pairs to triplets.
    #[must_use]
    pub fn of(pairs: &'a [ScoredPair]) -> Self {
        let mut by: BTreeMap<(&str, &str), Triplet> = BTreeMap::new();
        for (at, pair) in pairs.iter().enumerate() {
            if let (Some(group), Some(triplet)) = (&pair.group, &pair.triplet) {
                let sides = by.entry((group, triplet)).or_default();
                if pair.gold == 1.0 {
                    sides.positives.push(at);
                } else {
                    sides.negatives.push(at);
                }
            }
        }
        let all = by.len();
        let whole = |t: &Triplet| !t.positives.is_empty() && !t.negatives.is_empty();
        let found: Vec<Triplet> = by.into_values().filter(whole).collect();
        Self {
            pairs,
            broken: all - found.len(),
            found,
        }
    }

    /// Number of triplets.
    #[must_use]
    pub fn count(&self) -> usize {
        self.found.len()
    }

    fn first(&self, triplet: &Triplet) -> &'a ScoredPair {
        &self.pairs[triplet.positives[0]]
    }

    /// Whether a model with these scores, one per pair, sees each triplet.
    #[must_use]
    pub fn seen(&self, scores: &[f64]) -> Vec<bool> {
        let seen = |t: &Triplet| {
            let mut pairs = t.positives.iter();
            pairs.all(|&p| t.negatives.iter().all(|&n| scores[p] > scores[n]))
        };
        self.found.iter().map(seen).collect()
    }

    /// The group of each triplet.
    #[must_use]
    pub fn groups(&self) -> Vec<&'a str> {
        let group = |t: &Triplet| self.first(t).group.as_deref().unwrap_or_default();
        self.found.iter().map(group).collect()
    }

    /// The clusters of the triplets that `kept` takes, where pairs name theirs.
    #[must_use]
    pub fn clusters(&self, kept: impl Fn(usize) -> bool) -> Option<Clusters> {
        let kept = self.found.iter().enumerate().filter(|(at, _)| kept(*at));
        Clusters::new(kept.map(|(_, t)| self.first(t).cluster.as_deref()))
    }

    /// Those of one language.
    fn of_language(&self, language: &str) -> Self {
        let own = |t: &&Triplet| self.first(t).language.as_deref() == Some(language);
        Self {
            found: self.found.iter().filter(own).cloned().collect(),
            ..*self
        }
    }

    fn languages(&self) -> BTreeSet<&'a str> {
        let named = |t: &Triplet| self.first(t).language.as_deref();
        self.found.iter().filter_map(named).collect()
    }

    /// Each positive against each negative, by the names of their cells; empty where pairs name none.
    fn cells(&self) -> BTreeMap<String, Self> {
        let name = |at: usize| {
            let cell = self.pairs[at].cell.as_deref()?;
            Some(cell.split_once('.').map_or(cell, |(_, name)| name))
        };
        let mut cells: BTreeMap<String, Self> = BTreeMap::new();
        for triplet in &self.found {
            for &positive in &triplet.positives {
                for &negative in &triplet.negatives {
                    let (Some(p), Some(n)) = (name(positive), name(negative)) else {
                        continue;
                    };
                    let one = Triplet {
                        positives: vec![positive],
                        negatives: vec![negative],
                    };
                    let cell = cells.entry(format!("{p}/{n}")).or_insert_with(|| Self {
                        found: Vec::new(),
                        ..*self
                    });
                    cell.found.push(one);
                }
            }
        }
        cells
    }

    /// Values of the triplets, one each, by group: their mean over groups is triplet accuracy where a value
    /// is 1 for a triplet that is seen.
    fn sample(&self, values: Vec<f64>) -> Option<TripletSample> {
        TripletSample::new(values, Domains::new(&self.groups())).ok()
    }

    /// The interval of a mean over groups. Documents, or triplets where there are no clusters, are drawn within groups. A group of
    /// one or two would hardly vary and the interval would be too narrow: where a group has fewer than [`LEAST_IN_GROUP`], they are
    /// drawn from all.
    fn interval(&self, sample: &TripletSample, how: Resampling<'_>) -> Option<Interval> {
        let mut units: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for triplet in &self.found {
            let pair = self.first(triplet);
            let unit = pair.cluster.as_deref().or(pair.triplet.as_deref());
            let group = units.entry(pair.group.as_deref().unwrap_or_default());
            group.or_default().extend(unit);
        }
        let found = if units.values().all(|units| units.len() >= LEAST_IN_GROUP) {
            metric::bootstrap_domains(sample, sample.groups(), how)
        } else {
            metric::bootstrap(sample, how)
        };
        found.ok()
    }

    fn accuracy(&self, scores: &[f64], options: Option<&BootstrapOptions>) -> Option<TripletPart> {
        let sample = self.sample(numbers(&self.seen(scores)))?;
        let clusters = self.clusters(|_| true);
        let interval =
            options.and_then(|options| self.interval(&sample, options.by(clusters.as_ref())));
        Some(TripletPart {
            n: self.count(),
            accuracy: sample.mean(),
            interval: interval.map(bounds),
        })
    }

    /// Two models: their accuracies, the difference with its interval, and p of [`metric::flip_test`] over
    /// clusters, or over triplets where there are none.
    #[must_use]
    pub fn compare(&self, models: [&[f64]; 2], options: &BootstrapOptions) -> Option<Compared> {
        let seen = models.map(|scores| numbers(&self.seen(scores)));
        let differences = seen[0].iter().zip(&seen[1]).map(|(a, b)| a - b).collect();
        let sample = self.sample(differences)?;
        let clusters = self.clusters(|_| true);
        let interval = self.interval(&sample, options.by(clusters.as_ref()));
        let shares = sample.shares();
        let moved = clusters.map_or_else(|| shares.clone(), |c| c.sums(&shares));
        let [a, b] = seen.map(|seen| self.sample(seen).map_or(0.0, |sample| sample.mean()));
        Some(Compared {
            n: self.count(),
            a,
            b,
            delta: sample.mean(),
            interval: interval.map(bounds),
            p_value: metric::flip_test(&moved, options),
            p_holm: None,
        })
    }
}

/// Two models on the same triplets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Compared {
    /// Number of triplets.
    pub n: usize,
    /// Accuracy of the first model, the mean over groups.
    pub a: f64,
    /// Of the second.
    pub b: f64,
    /// `a − b`.
    pub delta: f64,
    /// Its percentile interval.
    pub interval: Option<[f64; 2]>,
    /// Two-sided p.
    pub p_value: f64,
    /// The same, by Holm over what it is reported with; `None` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_holm: Option<f64>,
}

fn numbers(seen: &[bool]) -> Vec<f64> {
    seen.iter().map(|s| f64::from(u8::from(*s))).collect()
}

/// Triplet accuracy per group, and over all of them. Gives the design effect, where there are clusters.
pub(super) fn score(
    numbers: &mut Numbers,
    pairs: &[ScoredPair],
    scores: &[f64],
    options: Option<&BootstrapOptions>,
) -> Option<f64> {
    let triplets = Triplets::of(pairs);
    let mut groups: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (group, seen) in triplets.groups().into_iter().zip(triplets.seen(scores)) {
        let [right, all] = groups.entry(group).or_default();
        *right += usize::from(seen);
        *all += 1;
    }
    for (group, [right, all]) in groups {
        let accuracy = right as f64 / all as f64;
        numbers.triplet_accuracy.insert(group.to_owned(), accuracy);
    }
    if triplets.broken > 0 {
        numbers.warnings.push(format!(
            "{} triplets lack one side and are left out",
            triplets.broken
        ));
    }
    let all = triplets.accuracy(scores, options)?;
    let part = |part: &Triplets<'_>| part.accuracy(scores, options);
    let languages = triplets.languages().into_iter();
    let languages = languages
        .filter_map(|name| Some((name.to_owned(), part(&triplets.of_language(name))?)))
        .collect();
    let cells: BTreeMap<String, TripletPart> = triplets
        .cells()
        .into_iter()
        .filter_map(|(name, cell)| Some((name, part(&cell)?)))
        .collect();
    let worst = cells
        .iter()
        .min_by(|a, b| a.1.accuracy.total_cmp(&b.1.accuracy));
    numbers.triplets = Some(TripletScores {
        all,
        languages,
        worst_cell: worst.map(|(name, _)| name.clone()),
        cells,
    });
    let clusters = triplets.clusters(|_| true)?;
    let sample = triplets.sample(self::numbers(&triplets.seen(scores)))?;
    let how = options?.by(Some(&clusters));
    metric::design_effect(&sample, Some(sample.groups()), how).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::score::{Asked, numbers};

    const ASKED: Asked = Asked {
        binary: true,
        breakdown: true,
    };

    fn options() -> BootstrapOptions {
        BootstrapOptions {
            resamples: 400,
            ..BootstrapOptions::default()
        }
    }

    /// Documents × two languages × four cells; `score` gives the similarity of document, language and cell.
    fn suite(documents: usize, score: impl Fn(usize, usize, usize) -> f64) -> Vec<ScoredPair> {
        let cells = ["pos.light", "pos.free", "neg.close", "neg.free"];
        let mut pairs = Vec::new();
        for document in 0..documents {
            for (l, language) in ["ko", "en"].into_iter().enumerate() {
                for (c, cell) in cells.into_iter().enumerate() {
                    pairs.push(ScoredPair {
                        id: format!("{document}.{language}.{cell}"),
                        gold: f64::from(u8::from(c < 2)),
                        score: Some(score(document, l, c)),
                        triplet: Some(format!("{document}.{language}")),
                        group: Some(format!("pattern {}", document % 2)),
                        cell: Some(cell.to_owned()),
                        language: Some(language.to_owned()),
                        cluster: Some(document.to_string()),
                        ..ScoredPair::default()
                    });
                }
            }
        }
        pairs
    }

    /// One document in each group: within groups nothing varies.
    #[test]
    fn small_groups_are_drawn_together() {
        for (documents, narrow) in [(2, false), (40, true)] {
            let pairs = suite(documents, |document, _, cell| match cell {
                0 | 1 if document % 2 == 0 => 0.8,
                0 | 1 => 0.1,
                _ => 0.5,
            });
            let found = numbers(&pairs, ASKED, Some(&options()));
            let all = found.triplets.expect("triplets").all;
            let [low, high] = all.interval.expect("an interval");
            assert_eq!(all.accuracy, 0.5);
            // The groups are right and wrong as a whole, so draws within groups give one value.
            assert_eq!(low == high, narrow, "{documents}: {low} {high}");
        }
    }

    #[test]
    fn a_triplet_is_seen_where_both_positives_are_nearer_than_both_negatives() {
        // Positives .8 and .6; the close negative is .7 in even documents, the free one .1 throughout,
        // but it ties with the free positive in English documents of 3.
        let pairs = suite(12, |document, language, cell| match cell {
            0 => 0.8,
            1 => 0.6,
            2 if document % 2 == 0 => 0.7,
            3 if document % 3 == 0 && language == 1 => 0.6,
            _ => 0.1,
        });
        let found = numbers(&pairs, ASKED, Some(&options()));
        let triplets = found.triplets.clone().expect("triplets");
        // Odd documents: 6 Korean, and 4 of 6 English.
        assert_eq!(triplets.all.n, 24);
        assert_eq!(found.triplet_accuracy["pattern 0"], 0.0);
        assert!((found.triplet_accuracy["pattern 1"] - 10.0 / 12.0).abs() < 1e-15);
        assert!((triplets.all.accuracy - 5.0 / 12.0).abs() < 1e-15);
        assert_eq!(triplets.languages["ko"].accuracy, 0.5);
        assert!((triplets.languages["en"].accuracy - 1.0 / 3.0).abs() < 1e-15);
        let cell = |name: &str| triplets.cells[name].accuracy;
        assert_eq!([cell("light/close"), cell("light/free")], [1.0, 1.0]);
        assert_eq!(cell("free/close"), 0.5);
        assert!((cell("free/free") - 20.0 / 24.0).abs() < 1e-15);
        assert_eq!(triplets.worst_cell.as_deref(), Some("free/close"));
        let [low, high] = triplets.all.interval.expect("an interval");
        assert!(low < triplets.all.accuracy && triplets.all.accuracy < high);
        assert_eq!(found.clusters.expect("clusters").n, 12);
    }

    #[test]
    fn one_positive_and_one_negative_are_as_before() {
        let mut pairs = suite(8, |document, _, cell| {
            ((document * 7 + cell * 5) % 11) as f64
        });
        pairs.retain(|p| matches!(p.cell.as_deref(), Some("pos.light" | "neg.close")));
        for pair in &mut pairs {
            (pair.cell, pair.language, pair.cluster) = (None, None, None);
        }
        let found = numbers(&pairs, ASKED, Some(&options()));
        let sides: Vec<(f64, f64)> = pairs
            .chunks(2)
            .filter(|c| c[0].group.as_deref() == Some("pattern 1"))
            .map(|c| (c[0].score.unwrap(), c[1].score.unwrap()))
            .collect();
        let expected = metric::triplet_accuracy(&sides).unwrap().accuracy;
        assert_eq!(found.triplet_accuracy["pattern 1"], expected);
        let triplets = found.triplets.expect("triplets");
        assert!(triplets.cells.is_empty() && triplets.languages.is_empty());
        let mean = found.triplet_accuracy.values().sum::<f64>() / 2.0;
        assert_eq!(triplets.all.accuracy, mean);
        assert_eq!(found.clusters, None);
        let line = serde_json::to_string(&pairs[0]).unwrap();
        assert!(
            !line.contains("cluster") && !line.contains("cell"),
            "{line}"
        );
    }

    #[test]
    fn languages_of_a_document_that_go_together_widen_the_interval() {
        // A document is seen in both languages or in none.
        let pairs = suite(60, |document, _, cell| {
            let seen = document * 7 % 10 < 6;
            if (cell < 2) == seen { 0.9 } else { 0.1 }
        });
        let options = BootstrapOptions {
            resamples: 4_000,
            ..options()
        };
        let clustered = numbers(&pairs, ASKED, Some(&options));
        let mut alone = pairs.clone();
        for pair in &mut alone {
            pair.cluster = None;
        }
        let alone = numbers(&alone, ASKED, Some(&options));
        let width = |n: &Numbers| {
            let [low, high] = n.triplets.as_ref().unwrap().all.interval.unwrap();
            high - low
        };
        assert_eq!(clustered.triplet_accuracy, alone.triplet_accuracy);
        let ratio = width(&clustered) / width(&alone);
        assert!((1.3..1.55).contains(&ratio), "{ratio}");
        let effect = clustered.clusters.unwrap().design_effect.unwrap();
        assert!((1.8..2.25).contains(&effect), "{effect}");
    }

    #[test]
    fn two_models_are_compared_by_document() {
        let pairs = suite(20, |_, _, _| 0.0);
        let right = |right: &dyn Fn(usize) -> bool| -> Vec<f64> {
            let of = |(at, p): (usize, &ScoredPair)| {
                if (p.gold == 1.0) == right(at / 8) {
                    1.0
                } else {
                    0.0
                }
            };
            pairs.iter().enumerate().map(of).collect()
        };
        let (a, b) = (right(&|_| true), right(&|document| document >= 5));
        let found = Triplets::of(&pairs)
            .compare([&a, &b], &BootstrapOptions::default())
            .unwrap();
        assert_eq!((found.n, found.a), (40, 1.0));
        assert!((found.delta - 0.25).abs() < 1e-12, "{found:?}");
        // Five documents that only the first model sees: 2 of 2⁵ assignments of signs are as far.
        assert_eq!(found.p_value, 0.0625);
    }
}
