//! Permutation test: would swapping two models' scores pair by pair give such a difference?

use rand_xoshiro::rand_core::Rng;
use rayon::prelude::*;

use super::binary::{Classes, classes};
use super::bootstrap::BootstrapOptions;
use super::clusters::{Clusters, Resampling};
use super::correlation::check;
use super::paired::{PairedStatistic, ROUNDING};
use super::random::{CHUNK, Purpose, stream};
use super::rank::Order;
use super::undefined::{Undefined, check_pairs};

/// Outcome of a permutation test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Permutation {
    /// Two-sided p-value, in (0, 1\].
    pub p_value: f64,
    /// Whether all 2ⁿ swaps were computed, rather than a random sample of them.
    pub exact: bool,
    /// Swaps computed.
    pub permutations: usize,
    /// Swaps on which the statistic does not exist, left out.
    pub skipped: usize,
}

/// Two-sided permutation test of a difference between two models on the same pairs.
///
/// Hypothesis: on each pair the two models' ranks are exchangeable. Scores are first turned into
/// mid-ranks within each model, since the scales of two models differ; each permutation swaps the
/// two ranks of some pairs (each with chance one half), ranks the two mixed lists again, and takes
/// the difference of the statistic. p is the share of differences at least as far from 0 as the
/// one found: over all 2ⁿ swaps where those are no more than `options.resamples`, else over that
/// many random ones, with one added to both counts (so never 0). Equals
/// `scipy.stats.permutation_test` with `permutation_type="samples"` on the ranks. With clusters, all
/// pairs of a cluster are swapped together, so n is the number of clusters. The level is not used. `a`, `b` and `gold` have one score per pair.
///
/// # Errors
///
/// As [`spearman`](super::spearman) or [`auc`](super::auc) of either model, and
/// [`Undefined::TooFew`] for no resamples.
#[expect(
    clippy::missing_panics_doc,
    reason = "what has passed the checks has a difference before anything is swapped"
)]
pub fn permutation_test<'a>(
    statistic: PairedStatistic,
    [a, b]: [&[f64]; 2],
    gold: &[f64],
    how: impl Into<Resampling<'a>>,
) -> Result<Permutation, Undefined> {
    let Resampling { options, clusters } = how.into();
    let swaps = Swaps {
        clusters: clusters.map(Clusters::of),
        ..Swaps::new(statistic, a, b, gold)?
    };
    if options.resamples == 0 {
        return Err(Undefined::TooFew {
            what: "resamples",
            found: 0,
            least: 1,
        });
    }
    let n = gold.len();
    let units = clusters.map_or(n, Clusters::count);
    let (exact, permutations) = swaps_of(units, options);
    let words = units.div_ceil(64);
    let observed = swaps
        .difference(&vec![0; words], &mut Buffers::new(n))
        .expect("both models have a statistic")
        .abs();
    let (reached, skipped) = (0..permutations.div_ceil(CHUNK))
        .into_par_iter()
        .map_init(
            || (Buffers::new(n), vec![0_u64; words]),
            |(buffers, bits), chunk| {
                let mut rng = stream(options.seed, Purpose::Permutation, chunk);
                let (mut reached, mut skipped) = (0, 0);
                for at in chunk * CHUNK..permutations.min((chunk + 1) * CHUNK) {
                    if exact {
                        bits[0] = at as u64;
                    } else {
                        bits.fill_with(|| rng.next_u64());
                    }
                    match swaps.difference(bits, buffers) {
                        Some(d) => reached += usize::from(d.abs() >= observed - ROUNDING),
                        None => skipped += 1,
                    }
                }
                (reached, skipped)
            },
        )
        .reduce(|| (0, 0), |x, y| (x.0 + y.0, x.1 + y.1));
    let added = usize::from(!exact);
    Ok(Permutation {
        p_value: (reached + added) as f64 / (permutations - skipped + added) as f64,
        exact,
        permutations,
        skipped,
    })
}

/// Whether all swaps of so many units are computed, and how many swaps are.
fn swaps_of(units: usize, options: &BootstrapOptions) -> (bool, usize) {
    let all = 1_usize.checked_shl(units as u32).unwrap_or(0);
    let exact = units < 64 && all <= options.resamples;
    (exact, if exact { all } else { options.resamples })
}

/// Two-sided test of paired differences: p is the share of assignments of signs, each as likely, whose sum
/// is at least as far from 0 as the one found. Over all assignments where those are no more than
/// `options.resamples`, else over that many random ones, with one added to both counts. Differences of 0
/// do not matter; 1 where there are no others. For differences of 1 and −1 this is the
/// [`sign_test`](super::sign_test); the differences of clusters are sums over their pairs.
#[must_use]
pub fn flip_test(differences: &[f64], options: &BootstrapOptions) -> f64 {
    let moved: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let (exact, flips) = swaps_of(moved.len(), options);
    let observed = moved.iter().sum::<f64>().abs();
    let mut reached = usize::from(!exact);
    let mut bits = vec![0_u64; moved.len().div_ceil(64)];
    let mut rng = stream(options.seed, Purpose::Permutation, 0);
    for at in 0..flips {
        if !exact {
            bits.fill_with(|| rng.next_u64());
        } else if let Some(word) = bits.first_mut() {
            *word = at as u64;
        }
        let signed = moved.iter().enumerate().map(|(i, difference)| {
            if bits[i / 64] >> (i % 64) & 1 == 1 {
                -difference
            } else {
                *difference
            }
        });
        reached += usize::from(signed.sum::<f64>().abs() >= observed - ROUNDING);
    }
    reached as f64 / (flips + usize::from(!exact)) as f64
}

/// Two models' ranks and what turns mixed ranks into a statistic.
struct Swaps<'a> {
    /// The cluster of each pair, where clusters are swapped whole.
    clusters: Option<&'a [u32]>,
    ranks: Vec<[u32; 2]>,
    /// Centred doubled gold ranks, or 1 and 0.
    weights: Vec<i64>,
    scale: Scale,
}

enum Scale {
    /// Sum of squares of the weights.
    Spearman {
        yy: i64,
    },
    Auc(Classes),
}

/// Counts of, then ranks at, each doubled rank; one per model.
struct Buffers {
    at: Vec<[u32; 2]>,
}

impl Buffers {
    fn new(pairs: usize) -> Self {
        Self {
            at: vec![[0; 2]; 2 * pairs + 1],
        }
    }
}

impl Swaps<'_> {
    fn new(
        statistic: PairedStatistic,
        a: &[f64],
        b: &[f64],
        gold: &[f64],
    ) -> Result<Self, Undefined> {
        if gold.len() > super::bootstrap::MOST_PAIRS {
            return Err(Undefined::TooMany {
                found: gold.len(),
                most: super::bootstrap::MOST_PAIRS,
            });
        }
        let (weights, scale) = match statistic {
            PairedStatistic::Spearman => {
                check(a, gold)?;
                check(b, gold)?;
                let centre = gold.len() as i64 + 1;
                let weights: Vec<i64> = Order::new(gold)
                    .doubled_ranks()
                    .into_iter()
                    .map(|r| i64::from(r) - centre)
                    .collect();
                let yy = weights.iter().map(|w| w * w).sum();
                (weights, Scale::Spearman { yy })
            }
            PairedStatistic::Auc => {
                check_pairs(a, gold, 2)?;
                check_pairs(b, gold, 2)?;
                let classes = classes(gold)?;
                let weights = gold.iter().map(|g| i64::from(*g == 1.0)).collect();
                (weights, Scale::Auc(classes))
            }
        };
        let a = Order::new(a).doubled_ranks();
        let b = Order::new(b).doubled_ranks();
        Ok(Self {
            clusters: None,
            ranks: a.into_iter().zip(b).map(|(a, b)| [a, b]).collect(),
            weights,
            scale,
        })
    }

    /// The difference after swapping the pairs whose bit is set; ranks are sorted by counting.
    fn difference(&self, bits: &[u64], buffers: &mut Buffers) -> Option<f64> {
        let swapped = |at: usize, ranks: [u32; 2]| {
            let at = self.clusters.map_or(at, |of| of[at] as usize);
            let swap = (bits[at / 64] >> (at % 64)) as usize & 1;
            [ranks[swap] as usize, ranks[1 - swap] as usize]
        };
        buffers.at.fill([0; 2]);
        for (at, &ranks) in self.ranks.iter().enumerate() {
            let [a, b] = swapped(at, ranks);
            buffers.at[a][0] += 1;
            buffers.at[b][1] += 1;
        }
        let (mut below, mut cubes) = ([0_u32; 2], [0_u64; 2]);
        for at in &mut buffers.at {
            for model in 0..2 {
                let tied = at[model];
                at[model] = 2 * below[model] + tied + 1;
                below[model] += tied;
                cubes[model] += u64::from(tied).pow(3);
            }
        }
        let mut sums = [0_i64; 2];
        for (at, (&ranks, &weight)) in self.ranks.iter().zip(&self.weights).enumerate() {
            let [a, b] = swapped(at, ranks);
            sums[0] += weight * i64::from(buffers.at[a][0]);
            sums[1] += weight * i64::from(buffers.at[b][1]);
        }
        match self.scale {
            Scale::Spearman { yy } => {
                let n = self.ranks.len() as u64;
                let mut rho = [0.0; 2];
                for model in 0..2 {
                    let xx = (n * n * n - cubes[model]) / 3;
                    if xx == 0 {
                        return None;
                    }
                    rho[model] = sums[model] as f64 / (xx as f64 * yy as f64).sqrt();
                }
                Some(rho[0] - rho[1])
            }
            // AUC = (Σ r − a(a + 1)/2) / ab over the a ones; the constant cancels.
            Scale::Auc(Classes { ones, zeros }) => {
                Some((sums[0] - sums[1]) as f64 / (2 * ones * zeros) as f64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auc, spearman};

    fn options(resamples: usize) -> BootstrapOptions {
        BootstrapOptions {
            resamples,
            ..BootstrapOptions::default()
        }
    }

    const A: [f64; 8] = [0.9, 0.8, 0.35, 0.6, 0.2, 0.35, 0.1, 0.3];
    const B: [f64; 8] = [0.2, 0.4, 0.9, 0.3, 0.8, 0.1, 0.7, 0.5];
    const GOLD: [f64; 8] = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];

    #[test]
    fn nothing_swapped_is_the_difference_of_the_models() {
        let none = &[0];
        let found = Swaps::new(PairedStatistic::Spearman, &A, &B, &GOLD).unwrap();
        let rho = spearman(&A, &GOLD).unwrap() - spearman(&B, &GOLD).unwrap();
        let difference = found.difference(none, &mut Buffers::new(8)).unwrap();
        assert!((difference - rho).abs() < 1e-15);
        let swapped = found.difference(&[0xff], &mut Buffers::new(8)).unwrap();
        assert_eq!(swapped, -difference);
        let found = Swaps::new(PairedStatistic::Auc, &A, &B, &GOLD).unwrap();
        let area = auc(&A, &GOLD).unwrap() - auc(&B, &GOLD).unwrap();
        let difference = found.difference(none, &mut Buffers::new(8)).unwrap();
        assert!((difference - area).abs() < 1e-15);
    }

    #[test]
    fn random_swaps_come_near_all_swaps() {
        for statistic in [PairedStatistic::Spearman, PairedStatistic::Auc] {
            let all = permutation_test(statistic, [&A, &B], &GOLD, &options(256)).unwrap();
            assert!(all.exact);
            assert_eq!(all.permutations, 256);
            // The chunked random path cannot be reached for 8 pairs but with fewer resamples.
            let mut shares = Vec::new();
            for seed in 0..200 {
                let options = BootstrapOptions {
                    seed,
                    ..options(255)
                };
                let some = permutation_test(statistic, [&A, &B], &GOLD, &options).unwrap();
                assert!(!some.exact);
                shares.push(some.p_value);
            }
            let mean = shares.iter().sum::<f64>() / 200.0;
            assert!((mean - all.p_value).abs() < 0.01, "{mean} {all:?}");
        }
    }

    #[test]
    fn a_model_against_itself_has_p_one() {
        for resamples in [200, 256] {
            let found = permutation_test(
                PairedStatistic::Spearman,
                [&A, &A],
                &GOLD,
                &options(resamples),
            );
            assert_eq!(found.unwrap().p_value, 1.0);
        }
    }

    #[test]
    fn flips_are_the_sign_test_and_scipys() {
        let options = options(10_000);
        for (first, second) in [(0, 0), (1, 0), (0, 6), (2, 8), (5, 5)] {
            let mut differences = vec![1.0; first];
            differences.resize(first + second, -1.0);
            differences.resize(first + second + 7, 0.0);
            let found = flip_test(&differences, &options);
            assert!((found - crate::sign_test(first, second)).abs() < 1e-12);
        }
        // scipy.stats.permutation_test((d,), numpy.sum, permutation_type="samples", n_resamples=inf)
        let differences = [2.0, -1.0, 1.0, 3.0, 0.0, 1.0, -1.0, 2.0, 1.0];
        assert_eq!(flip_test(&differences, &options), 0.140_625);
        let many: Vec<f64> = (0..200).map(|i| f64::from(i % 5) - 1.9).collect();
        assert!((flip_test(&many, &options) - 0.322).abs() < 0.03);
    }

    #[test]
    fn undefined_never_a_number() {
        let constant = [0.5; 8];
        for (a, b, gold) in [
            (&constant[..], &B[..], &GOLD[..]),
            (&A, &constant, &GOLD),
            (&A, &B[..7], &GOLD),
            (&A, &B, &constant),
        ] {
            let found = permutation_test(PairedStatistic::Spearman, [a, b], gold, &options(10));
            assert!(found.is_err());
        }
        let graded = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0];
        assert!(permutation_test(PairedStatistic::Auc, [&A, &B], &graded, &options(10)).is_err());
        assert!(permutation_test(PairedStatistic::Spearman, [&A, &B], &GOLD, &options(0)).is_err());
    }
}
