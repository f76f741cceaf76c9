//! Agreement between annotators: Krippendorff's alpha.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng as _;
use serde::{Deserialize, Serialize};

use super::clusters::Resampling;
use super::random::index_below;

/// Kind of labels, which decides how far two of them are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measurement {
    /// Names: two labels are equal or not.
    Nominal,
    /// Steps whose distances are counted by the labels between them.
    Ordinal,
    /// Numbers whose differences mean something.
    Interval,
    /// Numbers whose quotients mean something.
    Ratio,
}

/// Alpha with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Krippendorff's alpha, at most 1. 0 is agreement by chance, less is worse than chance.
    pub alpha: f64,
    /// Lower end of the interval; `alpha` itself where there are no resamples.
    pub low: f64,
    /// Upper end of the interval; `alpha` itself where there are no resamples.
    pub high: f64,
    /// Units with at least two labels; the other units do not count.
    pub units: usize,
    /// Labels of these units.
    pub labels: usize,
}

/// Krippendorff's alpha: 1 − observed disagreement / expected disagreement, over units that carry at
/// least two labels (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"). The interval
/// is the 2.5th to 97.5th percentile over `resamples` resamples of the units; resamples on which
/// alpha does not exist are left out.
///
/// `units` has one list per unit, with the labels that annotators gave it: any number, in any order.
/// Equal seeds give equal intervals.
///
/// `None` where fewer than two units carry two labels, a label is not finite, or all labels are
/// equal: then nothing can disagree and alpha does not exist.
#[must_use]
pub fn krippendorff(
    units: &[Vec<f64>],
    measurement: Measurement,
    resamples: usize,
    seed: u64,
) -> Option<Agreement> {
    let table = Table::new(units)?;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let n = table.units.len() as u32;
    let draw = || {
        (0..n)
            .map(|_| index_below(&mut random, n) as usize)
            .collect()
    };
    table.agreement(measurement, resamples, draw)
}

/// As [`krippendorff`], with an interval over resamples of whole clusters, as the pairs of one document; without clusters it is
/// the same to the bit. The level of `how` is not used: the interval is the 95 % one.
///
/// # Panics
/// When the clusters are not of as many units.
#[must_use]
pub fn krippendorff_clustered(
    units: &[Vec<f64>],
    measurement: Measurement,
    how: Resampling<'_>,
) -> Option<Agreement> {
    let options = how.options;
    let Some(clusters) = how.clusters else {
        return krippendorff(units, measurement, options.resamples, options.seed);
    };
    assert_eq!(clusters.pairs(), units.len(), "one unit for each pair");
    let table = Table::new(units)?;
    let kept = units.iter().scan(0, |next, unit| {
        let place = (unit.len() >= 2).then_some(*next);
        *next += usize::from(place.is_some());
        Some(place)
    });
    let place: Vec<Option<usize>> = kept.collect();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(options.seed);
    let n = clusters.count() as u32;
    let draw = || {
        let drawn = (0..n).map(|_| index_below(&mut random, n));
        let members = drawn.flat_map(|cluster| clusters.member(cluster));
        members.filter_map(|&unit| place[unit as usize]).collect()
    };
    table.agreement(measurement, options.resamples, draw)
}

/// Units with at least two labels, each as its count of each value.
struct Table {
    units: Vec<Vec<(usize, f64)>>,
    values: Vec<f64>,
    labels: usize,
}

impl Table {
    fn new(units: &[Vec<f64>]) -> Option<Self> {
        if units.iter().flatten().any(|x| !x.is_finite()) {
            return None;
        }
        let units: Vec<&Vec<f64>> = units.iter().filter(|u| u.len() >= 2).collect();
        let mut values: Vec<f64> = units.iter().flat_map(|u| u.iter().copied()).collect();
        let labels = values.len();
        values.sort_by(f64::total_cmp);
        values.dedup();
        if units.len() < 2 || values.len() < 2 {
            return None;
        }
        let counted = units.iter().map(|unit| {
            let mut counts = vec![0.0; values.len()];
            for x in *unit {
                counts[values.partition_point(|v| v < x)] += 1.0;
            }
            counts
                .into_iter()
                .enumerate()
                .filter(|(_, n)| *n > 0.0)
                .collect()
        });
        Some(Self {
            units: counted.collect(),
            values,
            labels,
        })
    }

    /// Alpha, and its interval over the units that each call of `draw` gives.
    fn agreement(
        &self,
        measurement: Measurement,
        resamples: usize,
        mut draw: impl FnMut() -> Vec<usize>,
    ) -> Option<Agreement> {
        let all: Vec<usize> = (0..self.units.len()).collect();
        let alpha_of = |drawn: &[usize]| alpha(&self.units, drawn, &self.values, measurement);
        let alpha = alpha_of(&all)?;
        let mut found: Vec<f64> = (0..resamples).filter_map(|_| alpha_of(&draw())).collect();
        found.sort_by(f64::total_cmp);
        let at = |share: f64| found.get((share * found.len() as f64) as usize).copied();
        Some(Agreement {
            alpha,
            low: at(0.025).unwrap_or(alpha),
            high: at(0.975).unwrap_or(alpha),
            units: self.units.len(),
            labels: self.labels,
        })
    }
}

fn alpha(
    units: &[Vec<(usize, f64)>],
    drawn: &[usize],
    values: &[f64],
    measurement: Measurement,
) -> Option<f64> {
    let k = values.len();
    let mut totals = vec![0.0; k];
    for &u in drawn {
        for &(c, n) in &units[u] {
            totals[c] += n;
        }
    }
    let n: f64 = totals.iter().sum();
    // Labels up to and including each value, for ordinal distances.
    let below: Vec<f64> = totals
        .iter()
        .scan(0.0, |sum, n| {
            *sum += n;
            Some(*sum)
        })
        .collect();
    let distance = |a: usize, b: usize| -> f64 {
        let (a, b) = (a.min(b), a.max(b));
        match measurement {
            Measurement::Nominal => f64::from(u8::from(a != b)),
            Measurement::Ordinal => {
                let between = below[b] - below[a] + totals[a];
                (between - f64::midpoint(totals[a], totals[b])).powi(2)
            }
            Measurement::Interval => (values[a] - values[b]).powi(2),
            Measurement::Ratio => {
                let sum = values[a] + values[b];
                if sum == 0.0 {
                    0.0
                } else {
                    ((values[a] - values[b]) / sum).powi(2)
                }
            }
        }
    };
    let mut observed = 0.0;
    for &u in drawn {
        let unit = &units[u];
        let size: f64 = unit.iter().map(|(_, n)| n).sum();
        for (i, &(a, x)) in unit.iter().enumerate() {
            for &(b, y) in &unit[i + 1..] {
                observed += 2.0 * x * y * distance(a, b) / (size - 1.0);
            }
        }
    }
    let mut expected = 0.0;
    for a in 0..k {
        for b in a + 1..k {
            expected += 2.0 * totals[a] * totals[b] * distance(a, b);
        }
    }
    (expected > 0.0).then(|| 1.0 - (n - 1.0) * observed / expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootstrapOptions, Clusters};

    /// Four annotators, twelve units: the example of Krippendorff's paper.
    fn classic() -> Vec<Vec<f64>> {
        // By unit: 0 is a label that was not given.
        let table = [
            [1., 1., 0., 1.],
            [2., 2., 3., 2.],
            [3., 3., 3., 3.],
            [3., 3., 3., 3.],
            [2., 2., 2., 2.],
            [1., 2., 3., 4.],
            [4., 4., 4., 4.],
            [1., 1., 2., 1.],
            [2., 2., 2., 2.],
            [0., 5., 5., 5.],
            [0., 0., 1., 1.],
            [0., 3., 0., 0.],
        ];
        table
            .iter()
            .map(|u| u.iter().copied().filter(|x| *x > 0.0).collect())
            .collect()
    }

    #[test]
    fn the_classic_example_is_reproduced() {
        for (measurement, expected) in [
            (Measurement::Nominal, 0.743),
            (Measurement::Ordinal, 0.815),
            (Measurement::Interval, 0.849),
            (Measurement::Ratio, 0.797),
        ] {
            let found = krippendorff(&classic(), measurement, 1_000, 0).expect("defined");
            assert!(
                (found.alpha - expected).abs() < 5e-4,
                "{measurement:?}: {found:?}"
            );
            assert!(
                found.low < found.alpha && found.alpha < found.high,
                "{found:?}"
            );
            assert_eq!((found.units, found.labels), (11, 40));
        }
    }

    #[test]
    fn clusters_widen_the_interval_and_leave_alpha_alone() {
        // Every unit of the classic example three times: as clusters, they tell no more than once.
        let units: Vec<Vec<f64>> = classic().into_iter().flat_map(|u| vec![u; 3]).collect();
        let names: Vec<String> = (0..units.len()).map(|i| (i / 3).to_string()).collect();
        let clusters = Clusters::new(names.iter().map(|n| Some(n.as_str())));
        let options = BootstrapOptions {
            resamples: 1_000,
            ..BootstrapOptions::default()
        };
        let found = |clusters: Option<&Clusters>| {
            krippendorff_clustered(&units, Measurement::Interval, options.by(clusters))
                .expect("defined")
        };
        let (alone, together) = (found(None), found(clusters.as_ref()));
        assert_eq!(
            Some(alone),
            krippendorff(&units, Measurement::Interval, 1_000, 0)
        );
        assert_eq!(alone.alpha, together.alpha);
        let width = |a: Agreement| a.high - a.low;
        assert!(
            width(together) > 1.4 * width(alone),
            "{together:?} {alone:?}"
        );
    }

    #[test]
    fn where_nothing_can_disagree_there_is_no_alpha() {
        for units in [
            vec![],
            vec![vec![1.0, 2.0]],
            vec![vec![1.0, 1.0], vec![1.0, 1.0]],
            vec![vec![1.0], vec![2.0]],
            vec![vec![1.0, f64::NAN], vec![2.0, 1.0]],
        ] {
            assert_eq!(krippendorff(&units, Measurement::Nominal, 100, 0), None);
        }
        let perfect = vec![vec![1.0, 1.0], vec![2.0, 2.0]];
        let found = krippendorff(&perfect, Measurement::Nominal, 100, 0).expect("defined");
        assert_eq!(found.alpha, 1.0);
    }
}
