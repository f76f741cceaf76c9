//! Rank correlation of a handful of models, with what so few can say.

use korfinsts_metric::{Undefined, mid_ranks, spearman_interval};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;

/// Up to this many models every permutation is counted; beyond, [`SAMPLES`] random ones.
pub const EXACT_UP_TO: usize = 9;
/// Random permutations beyond [`EXACT_UP_TO`].
pub const SAMPLES: usize = 200_000;

/// Spearman's ρ with what a permutation test says of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankCorrelation {
    /// Number of models.
    pub n: usize,
    /// Spearman's ρ with mid-ranks; `None` with fewer than 3 models, with a value that is not finite, or where one side is
    /// constant.
    pub rho: Option<f64>,
    /// Two-sided p: the share of pairings of the same values whose |ρ| is at least as large.
    pub p_value: Option<f64>,
    /// The smallest p that these values could have given under any pairing.
    pub smallest_p: Option<f64>,
    /// Central 95 % of ρ over all pairings: what chance alone gives at this n.
    pub chance: Option<[f64; 2]>,
    /// 95 % interval of ρ by [`spearman_interval`]; rough at small n.
    pub interval: Option<[f64; 2]>,
    /// Whether every pairing was counted.
    pub exact: bool,
}

impl RankCorrelation {
    /// Correlates two lists of equal length.
    ///
    /// # Panics
    /// When the lists differ in length.
    #[must_use]
    pub fn of(x: &[f64], y: &[f64]) -> Self {
        assert_eq!(x.len(), y.len(), "one value of each kind per model");
        let n = x.len();
        let nothing = Self {
            n,
            rho: None,
            p_value: None,
            smallest_p: None,
            chance: None,
            interval: None,
            exact: true,
        };
        let (Ok(x), Ok(y)) = (centred_ranks(x), centred_ranks(y)) else {
            return nothing;
        };
        if n < 3 {
            return nothing;
        }
        let squares = |ranks: &[i64]| ranks.iter().map(|r| r * r).sum::<i64>();
        let scale = (squares(&x) as f64 * squares(&y) as f64).sqrt();
        if scale == 0.0 {
            return nothing;
        }
        let observed = product(&x, &y);
        let mut sums = permuted_sums(&x, &y);
        sums.sort_unstable();
        let total = sums.len() as f64;
        let share = |least: i64| sums.iter().filter(|s| s.abs() >= least).count() as f64 / total;
        let largest = sums
            .iter()
            .map(|s| s.abs())
            .max()
            .unwrap_or(observed.abs())
            .max(observed.abs());
        let tail = (sums.len() as f64 * 0.025).floor() as usize;
        let rho = (observed as f64 / scale).clamp(-1.0, 1.0);
        let exact = n <= EXACT_UP_TO;
        // A sampled p counts the observed pairing itself, so that it is never 0.
        let p = |least: i64| {
            if exact {
                share(least)
            } else {
                (share(least) * total + 1.0) / (total + 1.0)
            }
        };
        Self {
            rho: Some(rho),
            p_value: Some(p(observed.abs())),
            smallest_p: Some(p(largest)),
            chance: Some([
                sums[tail] as f64 / scale,
                sums[sums.len() - 1 - tail] as f64 / scale,
            ]),
            interval: spearman_interval(rho, n, 0.95),
            exact,
            ..nothing
        }
    }
}

/// Twice the mid-ranks, centred: integers.
fn centred_ranks(values: &[f64]) -> Result<Vec<i64>, Undefined> {
    let centre = values.len() as i64 + 1;
    let ranks = mid_ranks(values)?.into_iter();
    Ok(ranks.map(|r| (2.0 * r) as i64 - centre).collect())
}

fn product(x: &[i64], y: &[i64]) -> i64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}

fn permuted_sums(x: &[i64], y: &[i64]) -> Vec<i64> {
    let mut y = y.to_vec();
    let mut sums = Vec::new();
    if y.len() <= EXACT_UP_TO {
        // Heap's algorithm.
        let mut counters = vec![0; y.len()];
        sums.push(product(x, &y));
        let mut i = 0;
        while i < y.len() {
            if counters[i] < i {
                y.swap(if i % 2 == 0 { 0 } else { counters[i] }, i);
                sums.push(product(x, &y));
                counters[i] += 1;
                i = 0;
            } else {
                counters[i] = 0;
                i += 1;
            }
        }
    } else {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(42);
        for _ in 0..SAMPLES {
            y.shuffle(&mut random);
            sums.push(product(x, &y));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_models_can_never_be_significant() {
        let found = RankCorrelation::of(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(found.rho, Some(1.0));
        assert_eq!(found.p_value, Some(2.0 / 24.0));
        assert_eq!(found.smallest_p, found.p_value);
        assert_eq!(found.chance, Some([-1.0, 1.0]));
        assert_eq!(found.interval, None, "no standard error at 1");
    }

    #[test]
    fn p_is_that_of_the_published_table_at_seven() {
        // One swap of neighbours at n = 7: ρ = 1 − 6·2/336; the two-sided exact p is
        // 2·(1 + 6)/5040.
        let x: Vec<f64> = (0..7).map(f64::from).collect();
        let found = RankCorrelation::of(&x, &[1.0, 0.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!((found.rho.expect("a number") - (1.0 - 12.0 / 336.0)).abs() < 1e-12);
        assert!((found.p_value.expect("a number") - 14.0 / 5040.0).abs() < 1e-12);
        assert!(found.exact);
    }

    #[test]
    fn ties_share_ranks_and_constants_give_no_number() {
        assert_eq!(
            centred_ranks(&[346.0, 0.0, 346.0, 5413.0]).expect("finite"),
            [0, -3, 0, 3]
        );
        let constant = RankCorrelation::of(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]);
        assert_eq!((constant.rho, constant.p_value), (None, None));
        assert_eq!(RankCorrelation::of(&[1.0], &[1.0]).rho, None);
    }

    #[test]
    fn many_models_are_sampled_and_p_is_never_zero() {
        let x: Vec<f64> = (0..12).map(f64::from).collect();
        let found = RankCorrelation::of(&x, &x);
        assert!(!found.exact);
        let p = found.p_value.expect("a number");
        assert!(p > 0.0 && p < 1e-4, "{p}");
    }
}
