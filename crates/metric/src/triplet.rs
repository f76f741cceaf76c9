//! Triplet accuracy: is the positive nearer to the anchor than the hard negative?

use super::bootstrap::{Statistic, Workspace};
use super::domains::Domains;
use super::undefined::Undefined;

/// Outcome over triplets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripletAccuracy {
    /// Number of triplets, at least 1.
    pub triplets: usize,
    /// Triplets whose positive scores strictly higher than their negative.
    pub seen: usize,
    /// Triplets whose two scores are equal: the model does not see the difference.
    pub tied: usize,
    /// `seen / triplets`, in \[0, 1\]: a tie counts as not seen.
    pub accuracy: f64,
}

/// Share of triplets whose positive scores strictly higher than their hard negative.
///
/// `scores` holds one `(positive, negative)` per triplet. Chance is one half for a model that
/// makes no ties; a model that cannot tell the two texts apart gets 0, not one half.
///
/// # Errors
///
/// [`Undefined::TooFew`] where there is no triplet, [`Undefined::NotFinite`] for NaN or infinities.
pub fn triplet_accuracy(scores: &[(f64, f64)]) -> Result<TripletAccuracy, Undefined> {
    if scores.is_empty() {
        return Err(Undefined::TooFew {
            what: "triplets",
            found: 0,
            least: 1,
        });
    }
    let (mut seen, mut tied) = (0, 0);
    for (at, &(positive, negative)) in scores.iter().enumerate() {
        for value in [positive, negative] {
            if !value.is_finite() {
                return Err(Undefined::not_finite(super::Operand::Predicted, at, value));
            }
        }
        seen += usize::from(positive > negative);
        tied += usize::from(positive == negative);
    }
    Ok(TripletAccuracy {
        triplets: scores.len(),
        seen,
        tied,
        accuracy: seen as f64 / scores.len() as f64,
    })
}

/// Mean over groups of the share of triplets that a model sees, under resampling of triplets.
#[derive(Debug, Clone)]
pub struct TripletSample {
    /// 1 for a triplet that is seen, else 0.
    values: Vec<f64>,
    groups: Domains,
}

impl TripletSample {
    /// `values` holds one number per triplet: 1 for one that is seen and 0 for another, or the
    /// difference of two models. `groups` is of the same triplets.
    ///
    /// # Errors
    ///
    /// [`Undefined::TooFew`] where there is no triplet, [`Undefined::LengthMismatch`] where there are
    /// more or fewer groups.
    pub fn new(values: Vec<f64>, groups: Domains) -> Result<Self, Undefined> {
        if values.is_empty() {
            return Err(Undefined::TooFew {
                what: "triplets",
                found: 0,
                least: 1,
            });
        }
        if groups.pairs() != values.len() {
            return Err(Undefined::LengthMismatch {
                what: "groups",
                left: groups.pairs(),
                right: values.len(),
            });
        }
        Ok(Self { values, groups })
    }

    /// The mean over groups.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.means(&vec![1; self.values.len()]).unwrap_or_default()
    }

    /// Groups, within which triplets are drawn.
    #[must_use]
    pub fn groups(&self) -> &Domains {
        &self.groups
    }

    /// What each triplet adds to [`TripletSample::mean`].
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.values.len()];
        let groups = self.groups.members().count() as f64;
        for members in self.groups.members() {
            for &i in members {
                shares[i as usize] = self.values[i as usize] / (groups * members.len() as f64);
            }
        }
        shares
    }

    fn means(&self, counts: &[u32]) -> Option<f64> {
        let (mut sum, mut groups) = (0.0, 0_u32);
        for members in self.groups.members() {
            let (mut seen, mut drawn) = (0.0, 0);
            for &i in members {
                seen += f64::from(counts[i as usize]) * self.values[i as usize];
                drawn += counts[i as usize];
            }
            // Of a group that is not drawn nothing is known.
            if drawn > 0 {
                sum += seen / f64::from(drawn);
                groups += 1;
            }
        }
        (groups > 0).then(|| sum / f64::from(groups))
    }
}

impl Statistic for TripletSample {
    fn pairs(&self) -> usize {
        self.values.len()
    }

    fn of_counts(&self, counts: &[u32], _: &mut Workspace) -> Option<f64> {
        self.means(counts)
    }
}

/// Two-sided sign test of two models on the same triplets (the exact test of `McNemar`).
///
/// `first` and `second` count the triplets that only this model gets right; triplets that both or
/// none get right do not matter. The p-value, in \[0, 1\], is the chance of a split at least as
/// uneven where each of these triplets is as likely to go to either model. 1 where there are none.
#[must_use]
pub fn sign_test(first: usize, second: usize) -> f64 {
    let n = first + second;
    // Binomial(n, ½) up to the smaller count, from logarithms: 2⁻ⁿ underflows early.
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=first.min(second) {
        tail += log_term.exp();
        log_term += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_test_is_the_binomial_one() {
        // scipy.stats.binomtest(k, n).pvalue
        for (first, second, p) in [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (5, 5, 1.0),
            (0, 6, 0.03125),
            (2, 8, 0.109_375),
            (15, 5, 0.041_389_465_332_031_25),
            (900, 1100, 8.457_089_535_503_81e-6),
        ] {
            for found in [sign_test(first, second), sign_test(second, first)] {
                assert!((found / p - 1.0).abs() < 1e-9, "{first} {second}: {found}");
            }
        }
    }

    #[test]
    fn groups_count_alike_whatever_their_size() {
        let groups = Domains::new(&["a", "a", "a", "a", "b", "b"]);
        let seen = vec![1.0, 1.0, 1.0, 0.0, 0.0, 1.0];
        let sample = TripletSample::new(seen, groups.clone()).unwrap();
        assert_eq!(sample.mean(), 0.625);
        assert!((sample.shares().iter().sum::<f64>() - 0.625).abs() < 1e-15);
        let workspace = &mut Workspace::default();
        assert_eq!(sample.of_counts(&[0, 0, 1, 1, 2, 0], workspace), Some(0.25));
        assert_eq!(sample.of_counts(&[1, 1, 1, 1, 0, 0], workspace), Some(0.75));
        assert_eq!(sample.of_counts(&[0; 6], workspace), None);
        assert!(TripletSample::new(vec![1.0], groups.clone()).is_err());
        assert!(TripletSample::new(Vec::new(), Domains::new(&[""; 0])).is_err());
    }

    #[test]
    fn ties_count_as_not_seen() {
        let found = triplet_accuracy(&[(0.9, 0.1), (0.5, 0.5), (0.1, 0.2), (0.3, 0.2)]).unwrap();
        assert_eq!(
            found,
            TripletAccuracy {
                triplets: 4,
                seen: 2,
                tied: 1,
                accuracy: 0.5
            }
        );
        assert!(triplet_accuracy(&[]).is_err());
        assert!(triplet_accuracy(&[(0.1, f64::NAN)]).is_err());
    }
}
