//! Many models on the same pairs: which ranks each may hold.

use rayon::prelude::*;

use super::bootstrap::{BootstrapOptions, Interval, enough_resamples, replicates};
use super::clusters::Resampling;
use super::field;
use super::normal::normal_quantile;
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

/// What a mean over suites is taken of.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// A model of a field of as many resamples, by its index.
    Of(&'a Field, usize),
    /// A score with its standard error: independent of all others.
    Alone {
        /// The score.
        score: f64,
        /// Its standard error, at least 0.
        error: f64,
    },
}

/// Standard normal numbers: an additive sequence through the quantiles, another one per `stream`.
fn normal(resample: usize, stream: usize) -> f64 {
    const STEPS: [f64; 4] = [
        0.618_033_988_749_895,
        0.414_213_562_373_095,
        0.732_050_807_568_877,
        0.236_067_977_499_79,
    ];
    let start = (stream as f64 * 0.754_877_666_246_693).fract();
    let share = (start + (resample + 1) as f64 * STEPS[stream % STEPS.len()]).fract();
    let level = (2.0 * share - 1.0).abs();
    if level == 0.0 || level >= 1.0 {
        return 0.0;
    }
    (share - 0.5).signum() * normal_quantile(level)
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
    pub fn new<'a>(
        statistic: PairedStatistic,
        models: &[&[f64]],
        gold: &[f64],
        how: impl Into<Resampling<'a>>,
    ) -> Result<Self, Undefined> {
        let how = how.into();
        let options = how.options;
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
        let fast = statistic == PairedStatistic::Spearman
            && gold.len() <= field::MOST_PAIRS
            && how.clusters.is_none();
        let columns = if fast {
            field::spearman_replicates(models, gold, options)?
        } else {
            let samples = models
                .iter()
                .map(|predicted| statistic.sample(predicted, gold))
                .collect::<Result<Vec<_>, _>>()?;
            let samples: Vec<_> = samples.iter().map(|s| &**s).collect();
            replicates(&samples, None, how)?
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

    /// Models by the means of their scores over several suites: one list of parts per model, each
    /// list in the same order of suites and of the same length.
    ///
    /// Suites are resampled apart from each other; models stay paired within a suite.
    ///
    /// # Panics
    ///
    /// Where a part names no model of its field.
    #[must_use]
    pub fn of_means(models: &[Vec<Part<'_>>], options: &BootstrapOptions) -> Self {
        let mean = |parts: &[Part<'_>], of: &dyn Fn(usize, &Part<'_>) -> f64| -> f64 {
            let parts = parts.iter().enumerate();
            parts
                .clone()
                .map(|(suite, part)| of(suite, part))
                .sum::<f64>()
                / parts.len() as f64
        };
        let score = |_: usize, part: &Part<'_>| match part {
            Part::Of(field, model) => field.scores[*model],
            Part::Alone { score, .. } => *score,
        };
        let column = |(at, parts): (usize, &Vec<Part<'_>>)| -> Vec<f64> {
            let replicate = |resample: usize| {
                mean(parts, &|suite, part| match part {
                    // Suites of one size are drawn alike: they are taken from other resamples.
                    Part::Of(field, model) => {
                        field.columns[*model][(resample + 37 * suite) % options.resamples]
                    }
                    Part::Alone { score, error } => {
                        score + error * normal(resample, 31 * at + suite)
                    }
                })
            };
            (0..options.resamples).map(replicate).collect()
        };
        Self {
            scores: models.iter().map(|parts| mean(parts, &score)).collect(),
            columns: models.par_iter().enumerate().map(column).collect(),
            level: options.level,
        }
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

    #[test]
    fn means_keep_the_pairing_and_what_stands_alone_its_error() {
        let gold: Vec<f64> = (0..120).map(f64::from).collect();
        let noisy = |step: u32| -> Vec<f64> {
            let pairs = gold.iter().zip(0_u32..);
            pairs
                .map(|(g, i)| g + 2.0 * f64::from((i * step) % 97))
                .collect()
        };
        let (a, b) = (noisy(31), noisy(17));
        let options = BootstrapOptions {
            resamples: 2_000,
            ..BootstrapOptions::default()
        };
        let field = |models: &[&[f64]]| {
            Field::new(PairedStatistic::Spearman, models, &gold, &options).unwrap()
        };
        let (one, two) = (field(&[&a, &b]), field(&[&b, &a]));
        // The same score twice is itself, and a model never differs from itself.
        let means = Field::of_means(
            &[
                vec![Part::Of(&one, 0), Part::Of(&two, 1)],
                vec![Part::Of(&one, 0), Part::Of(&two, 1)],
                vec![
                    Part::Alone {
                        score: 0.5,
                        error: 0.1,
                    },
                    Part::Alone {
                        score: 0.7,
                        error: 0.1,
                    },
                ],
            ],
            &options,
        );
        assert!((means.score(0) - one.score(0)).abs() < 1e-12);
        let same = means.difference(0, 1).unwrap();
        assert_eq!((same.interval.low, same.interval.high), (0.0, 0.0));
        // Two suites: the interval is narrower by the root of two.
        let (single, mean) = (one.interval(0).unwrap(), means.interval(0).unwrap());
        let ratio = (mean.high - mean.low) / (single.high - single.low);
        assert!((ratio - 0.5_f64.sqrt()).abs() < 0.05, "{ratio}");
        let alone = means.interval(2).unwrap();
        let half = 1.96 * 0.1 / 2.0_f64.sqrt();
        assert!((means.score(2) - 0.6).abs() < 1e-12);
        assert!((alone.low - (0.6 - half)).abs() < 0.01, "{alone:?}");
        assert!((alone.high - (0.6 + half)).abs() < 0.01, "{alone:?}");
    }
}
