//! Two models on the same pairs.

use super::binary::auc;
use super::bootstrap::{Interval, Statistic, replicates};
use super::clusters::Resampling;
use super::correlation::spearman;
use super::permutation::{Permutation, permutation_test};
use super::resampled::{AucSample, SpearmanSample};
use super::undefined::Undefined;

/// Two scores closer than this are equal: rounding, not evidence.
pub(super) const ROUNDING: f64 = 1e-13;

/// What two models are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairedStatistic {
    /// Spearman's ρ.
    Spearman,
    /// Area under the ROC curve; needs binary gold.
    Auc,
}

impl PairedStatistic {
    /// The statistic of one model: one predicted and one gold score per pair.
    ///
    /// # Errors
    ///
    /// As [`spearman`] or [`auc`].
    pub fn of(self, predicted: &[f64], gold: &[f64]) -> Result<f64, Undefined> {
        match self {
            Self::Spearman => spearman(predicted, gold),
            Self::Auc => auc(predicted, gold),
        }
    }

    pub(super) fn sample(
        self,
        predicted: &[f64],
        gold: &[f64],
    ) -> Result<Box<dyn Statistic>, Undefined> {
        Ok(match self {
            Self::Spearman => Box::new(SpearmanSample::new(predicted, gold)?),
            Self::Auc => Box::new(AucSample::new(predicted, gold)?),
        })
    }
}

/// How two models differ on the same pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Score of the first model: ρ in \[−1, 1\] or AUC in \[0, 1\].
    pub a: f64,
    /// Score of the second model, of the same range.
    pub b: f64,
    /// `a − b`.
    pub delta: f64,
    /// Percentile interval of `delta` under resampling of pairs.
    pub interval: Interval,
    /// Two-sided bootstrap p-value: twice the smaller of the shares of differences at or below 0
    /// and at or above 0, one added to both counts, in (0, 1\]. Answers the question of `interval`:
    /// are the two scores equal in the population?
    pub p_bootstrap: f64,
    /// The permutation test; its p-value is the one to report. Answers whether the two models are
    /// exchangeable on each pair.
    pub permutation: Permutation,
}

/// Compares two models on the same pairs: difference, its interval, and two p-values. With clusters, both
/// draw and swap clusters whole.
///
/// `a`, `b` and `gold` have one score per pair, in the same order. The two models need not have the
/// same scale.
///
/// ```
/// use korfinsts_metric::{BootstrapOptions, PairedStatistic, compare};
///
/// let gold = [5.0, 4.6, 4.2, 3.8, 3.0, 2.6, 2.2, 1.4, 0.8, 0.0];
/// let a = [0.91, 0.72, 0.85, 0.60, 0.64, 0.31, 0.52, 0.28, 0.40, 0.11];
/// let b = [0.20, 0.50, 0.10, 0.70, 0.40, 0.80, 0.30, 0.90, 0.60, 0.75];
/// let found = compare(PairedStatistic::Spearman, [&a, &b], &gold, &BootstrapOptions::default())?;
/// assert_eq!(found.delta, found.a - found.b);
/// assert!(found.interval.low <= found.delta && found.delta <= found.interval.high);
/// assert!(found.permutation.p_value < 0.05);
/// # Ok::<(), korfinsts_metric::Undefined>(())
/// ```
///
/// Measured (`benches/simulation.rs`, 5,000 samples each of 50, 150 and 370 pairs): nominal 95 %
/// intervals of Δρ hold the true difference in 94.1 to 95.8 % of samples, the least with binary gold and
/// 50 pairs; of two equal models the permutation test rejects 4.6 to 5.4 % at 5 %, the bootstrap 4.1 to
/// 5.6 %.
///
/// Give the p-values of a family of comparisons to [`holm`](super::holm).
///
/// # Errors
///
/// [`Undefined`] where either model has no score, or as [`Interval::of_replicates`].
///
/// # Panics
///
/// Where the level is not between 0 and 1.
pub fn compare<'a>(
    statistic: PairedStatistic,
    [a, b]: [&[f64]; 2],
    gold: &[f64],
    how: impl Into<Resampling<'a>>,
) -> Result<Comparison, Undefined> {
    let how = how.into();
    let (first, second) = (statistic.of(a, gold)?, statistic.of(b, gold)?);
    let samples = [statistic.sample(a, gold)?, statistic.sample(b, gold)?];
    let columns = replicates(&[&*samples[0], &*samples[1]], None, how)?;
    let differences: Vec<Option<f64>> = columns[0]
        .iter()
        .zip(&columns[1])
        .map(|(a, b)| Some((*a)? - (*b)?))
        .collect();
    Ok(Comparison {
        a: first,
        b: second,
        delta: first - second,
        interval: Interval::of_replicates(&differences, how.options.level)?,
        p_bootstrap: p_of_zero(&differences),
        permutation: permutation_test(statistic, [a, b], gold, how)?,
    })
}

/// Two-sided share of replicates beyond 0.
pub(super) fn p_of_zero(differences: &[Option<f64>]) -> f64 {
    let (mut below, mut above, mut all) = (1_usize, 1_usize, 1_usize);
    for difference in differences.iter().flatten() {
        below += usize::from(*difference <= ROUNDING);
        above += usize::from(*difference >= -ROUNDING);
        all += 1;
    }
    (2.0 * below.min(above) as f64 / all as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::rand_core::Rng;

    use super::*;
    use crate::BootstrapOptions;
    use crate::random::{Purpose, stream};

    /// Two models of different quality on the same pairs.
    fn models(n: usize, binary: bool) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let mut rng = stream(9, Purpose::Bootstrap, 0);
        let mut uniform = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
        let (mut a, mut b, mut gold) = (vec![], vec![], vec![]);
        for _ in 0..n {
            let truth = uniform();
            gold.push(if binary { truth.round() } else { truth });
            a.push(truth + 0.3 * uniform());
            b.push(100.0 * (truth + 2.0 * uniform()));
        }
        (a, b, gold)
    }

    #[test]
    fn a_better_model_is_seen() {
        let options = BootstrapOptions {
            resamples: 999,
            ..BootstrapOptions::default()
        };
        for (statistic, binary) in [
            (PairedStatistic::Spearman, false),
            (PairedStatistic::Spearman, true),
            (PairedStatistic::Auc, true),
        ] {
            let (a, b, gold) = models(120, binary);
            let found = compare(statistic, [&a, &b], &gold, &options).unwrap();
            assert_eq!(found.delta, found.a - found.b);
            assert!(found.interval.low > 0.0, "{found:?}");
            assert_eq!(found.permutation.p_value, 0.001, "{found:?}");
            assert_eq!(found.p_bootstrap, 0.002, "{found:?}");
            let other = compare(statistic, [&b, &a], &gold, &options).unwrap();
            assert_eq!(other.delta, -found.delta);
            assert!((other.interval.low + found.interval.high).abs() < 1e-15);
            assert_eq!(other.permutation.p_value, found.permutation.p_value);
        }
    }

    #[test]
    fn a_model_is_no_better_than_its_monotone_image() {
        let (a, _, gold) = models(60, false);
        let image: Vec<f64> = a.iter().map(|v| v.exp() - 7.0).collect();
        let options = BootstrapOptions::default();
        let found = compare(PairedStatistic::Spearman, [&a, &image], &gold, &options).unwrap();
        assert_eq!(found.delta, 0.0);
        assert_eq!((found.interval.low, found.interval.high), (0.0, 0.0));
        assert_eq!((found.p_bootstrap, found.permutation.p_value), (1.0, 1.0));
    }
}
