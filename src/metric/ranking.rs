//! Many models on the same pairs: which ranks each may hold.

use rayon::prelude::*;

use super::bootstrap::{BootstrapOptions, Interval, replicates};
use super::paired::{PairedStatistic, ROUNDING};
use super::undefined::Undefined;

/// What is known about one model's place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankRange {
    /// The model's score.
    pub score: f64,
    /// Percentile interval of the score.
    pub interval: Interval,
    /// Best rank it may hold: 1 + the number of models surely better. Models that cannot be told
    /// apart share it; it is the rank to show.
    pub best: usize,
    /// Worst rank it may hold: the number of models less those surely worse.
    pub worst: usize,
}

/// Ranks models by a paired bootstrap over pairs.
///
/// A model is surely better than another where their difference is at most 0 on less than
/// `(1 − level) / 2` of the resamples: where the percentile interval of the difference lies above
/// 0. No correction for the number of models. In the order of `models`.
///
/// # Errors
///
/// [`Undefined`] of the first model without a score; leave it out. [`Undefined::TooFew`] for no
/// models, and as [`Interval::of_replicates`].
///
/// # Panics
///
/// Where the level is not between 0 and 1.
pub fn rank_ranges(
    statistic: PairedStatistic,
    models: &[&[f64]],
    gold: &[f64],
    options: &BootstrapOptions,
) -> Result<Vec<RankRange>, Undefined> {
    if models.is_empty() {
        return Err(Undefined::TooFew {
            what: "models",
            found: 0,
            least: 1,
        });
    }
    let mut samples = Vec::with_capacity(models.len());
    let mut scores = Vec::with_capacity(models.len());
    for predicted in models {
        scores.push(statistic.of(predicted, gold)?);
        samples.push(statistic.sample(predicted, gold)?);
    }
    let samples: Vec<_> = samples.iter().map(|s| &**s).collect();
    let columns = replicates(&samples, None, options)?;
    let tail = (1.0 - options.level) / 2.0;
    let surely_better = |a: &[Option<f64>], b: &[Option<f64>]| {
        let (mut not_above, mut all) = (0_usize, 0_usize);
        for (a, b) in a.iter().zip(b) {
            if let (Some(a), Some(b)) = (a, b) {
                not_above += usize::from(*a <= b + ROUNDING);
                all += 1;
            }
        }
        (not_above as f64) < tail * all as f64
    };
    columns
        .par_iter()
        .zip(&scores)
        .map(|(column, &score)| {
            let better = columns.iter().filter(|c| surely_better(c, column)).count();
            let worse = columns.iter().filter(|c| surely_better(column, c)).count();
            Ok(RankRange {
                score,
                interval: Interval::of_replicates(column, options.level)?,
                best: 1 + better,
                worst: models.len() - worse,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_models_share_a_rank() {
        let gold: Vec<f64> = (0..200).map(|i| f64::from(i % 50)).collect();
        let noisy = |step: u32, size: f64| -> Vec<f64> {
            gold.iter()
                .zip(0_u32..)
                .map(|(g, i)| g + size * f64::from((i * step) % 97))
                .collect()
        };
        let (good, same, middling, poor) = (
            noisy(31, 0.1),
            noisy(31, 0.1),
            noisy(17, 0.8),
            noisy(53, 10.0),
        );
        let models: [&[f64]; 4] = [&poor, &good, &middling, &same];
        let options = BootstrapOptions::default();
        let found = rank_ranges(PairedStatistic::Spearman, &models, &gold, &options).unwrap();
        let ranks: Vec<_> = found.iter().map(|r| (r.best, r.worst)).collect();
        assert_eq!(ranks, [(4, 4), (1, 2), (3, 3), (1, 2)]);
        for range in found {
            assert!(range.interval.contains(range.score));
        }
        assert!(rank_ranges(PairedStatistic::Spearman, &[], &gold, &options).is_err());
    }
}
