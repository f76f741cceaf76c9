//! Triplet accuracy: is the positive nearer to the anchor than the hard negative?

use super::undefined::Undefined;

/// Outcome over triplets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripletAccuracy {
    /// Triplets looked at.
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

#[cfg(test)]
mod tests {
    use super::*;

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
