//! Many models on the same pairs: which ranks each may hold.

use rayon::prelude::*;

use super::bootstrap::{BootstrapOptions, Interval, enough_resamples, replicates};
use super::field;
use super::paired::{PairedStatistic, ROUNDING, p_of_zero};
use super::undefined::Undefined;

/// What is known about one model's place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankRange {
    /// The model's score: ρ in \[−1, 1\] or AUC in \[0, 1\].
    pub score: f64,
    /// Percentile interval of the score.
    pub interval: Interval,
    /// Best rank it may hold, from 1: 1 + the number of models surely better. Models that cannot be
    /// distinguished share it; it is the rank to show.
    pub best: usize,
    /// Worst rank it may hold, at least `best`: the number of models less those surely worse.
    pub worst: usize,
}

/// Models on the same pairs, with the replicates of their scores on the same resamples.
///
/// Every interval, the difference of any two models and every rank follow from these.
#[derive(Debug, Clone)]
pub struct Field {
    scores: Vec<f64>,
    /// One column per model; NaN where a replicate does not exist.
    columns: Vec<Vec<f64>>,
    level: f64,
}

/// How two models of a field differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Score of the first less that of the second.
    pub delta: f64,
    /// Percentile interval of `delta`.
    pub interval: Interval,
    /// Two-sided bootstrap p-value in (0, 1\], as [`Comparison::p_bootstrap`](super::Comparison).
    pub p_value: f64,
}

impl Field {
    /// Scores and resamples models.
    ///
    /// `models` has one list of predicted scores per model; each list, and `gold`, has one score
    /// per pair.
    ///
    /// # Errors
    ///
    /// [`Undefined`] of the first model without a score; leave it out. [`Undefined::TooFew`] for
    /// no models, and for fewer than 100 resamples.
    pub fn new(
        statistic: PairedStatistic,
        models: &[&[f64]],
        gold: &[f64],
        options: &BootstrapOptions,
    ) -> Result<Self, Undefined> {
        if models.is_empty() {
            return Err(Undefined::TooFew {
                what: "models",
                found: 0,
                least: 1,
            });
        }
        enough_resamples(options.resamples)?;
        let scores = models
            .par_iter()
            .map(|predicted| statistic.of(predicted, gold))
            .collect::<Result<Vec<_>, _>>()?;
        let fast = statistic == PairedStatistic::Spearman && gold.len() <= field::MOST_PAIRS;
        let columns = if fast {
            field::spearman_replicates(models, gold, options)?
        } else {
            let samples = models
                .iter()
                .map(|predicted| statistic.sample(predicted, gold))
                .collect::<Result<Vec<_>, _>>()?;
            let samples: Vec<_> = samples.iter().map(|s| &**s).collect();
            replicates(&samples, None, options)?
                .into_iter()
                .map(|column| column.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
                .collect()
        };
        Ok(Self {
            scores,
            columns,
            level: options.level,
        })
    }

    /// Score of a model, by its index in `models` of [`Field::new`].
    ///
    /// # Panics
    ///
    /// Where there is no such model.
    #[must_use]
    pub fn score(&self, model: usize) -> f64 {
        self.scores[model]
    }

    /// Percentile interval of a model's score.
    ///
    /// # Errors
    ///
    /// As [`Interval::of_replicates`].
    ///
    /// # Panics
    ///
    /// Where there is no such model, or the level is not between 0 and 1.
    pub fn interval(&self, model: usize) -> Result<Interval, Undefined> {
        let column = self.columns[model].iter();
        let column: Vec<Option<f64>> = column.map(|v| Some(*v).filter(|v| !v.is_nan())).collect();
        Interval::of_replicates(&column, self.level)
    }

    /// How two models differ: the first less the second.
    ///
    /// # Errors
    ///
    /// As [`Interval::of_replicates`].
    ///
    /// # Panics
    ///
    /// Where there is no such model, or the level is not between 0 and 1.
    pub fn difference(&self, first: usize, second: usize) -> Result<Difference, Undefined> {
        let pairs = self.columns[first].iter().zip(&self.columns[second]);
        let differences: Vec<Option<f64>> = pairs
            .map(|(a, b)| Some(a - b).filter(|d| !d.is_nan()))
            .collect();
        Ok(Difference {
            delta: self.scores[first] - self.scores[second],
            interval: Interval::of_replicates(&differences, self.level)?,
            p_value: p_of_zero(&differences),
        })
    }

    /// Whether a model is surely better than another: their difference is at most 0 on less than
    /// `(1 − level) / 2` of the resamples, that is, its percentile interval is above 0.
    ///
    /// # Panics
    ///
    /// Where there is no such model.
    #[must_use]
    pub fn surely_better(&self, first: usize, second: usize) -> bool {
        // Replicates scatter around the scores: the lower score cannot lead on 97.5 % of them.
        if self.scores[first] <= self.scores[second] {
            return false;
        }
        let tail = (1.0 - self.level) / 2.0;
        let (mut not_above, mut all) = (0_usize, 0_usize);
        for (a, b) in self.columns[first].iter().zip(&self.columns[second]) {
            let difference = a - b;
            not_above += usize::from(difference <= ROUNDING);
            all += usize::from(!difference.is_nan());
        }
        (not_above as f64) < tail * all as f64
    }

    /// Which ranks each model may hold.
    ///
    /// # Errors
    ///
    /// As [`Interval::of_replicates`].
    pub fn ranges(&self) -> Result<Vec<RankRange>, Undefined> {
        let models = self.scores.len();
        // Each pair is looked at once: only the one with the higher score can be surely better.
        let beaten: Vec<Vec<usize>> = (0..models)
            .into_par_iter()
            .map(|a| (0..models).filter(|&b| self.surely_better(a, b)).collect())
            .collect();
        let mut better = vec![0; models];
        for list in &beaten {
            for &loser in list {
                better[loser] += 1;
            }
        }
        (0..models)
            .into_par_iter()
            .map(|model| {
                Ok(RankRange {
                    score: self.scores[model],
                    interval: self.interval(model)?,
                    best: 1 + better[model],
                    worst: models - beaten[model].len(),
                })
            })
            .collect()
    }
}

/// Ranks models by a paired bootstrap over pairs: one range per model, in the order of `models`.
///
/// A model is surely better than another where [`Field::surely_better`] says so. No correction
/// for the number of models. Arguments as [`Field::new`].
///
/// # Errors
///
/// As [`Field::new`] and [`Field::ranges`].
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
    Field::new(statistic, models, gold, options)?.ranges()
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
