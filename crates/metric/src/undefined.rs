//! Why there is no number.

use std::fmt;

/// Which input of a function a reason is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// Scores that a model gave.
    Predicted,
    /// Scores that people gave.
    Gold,
    /// The first of two embeddings.
    First,
    /// The second of two embeddings.
    Second,
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Predicted => "predicted score",
            Self::Gold => "gold score",
            Self::First => "first embedding",
            Self::Second => "second embedding",
        })
    }
}

/// The reason why a score does not exist. Where this is returned no number may be shown.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Undefined {
    /// Two lists that must have one entry per pair differ in length.
    #[error("{left} {what}, but {right} gold scores")]
    LengthMismatch {
        /// What the left list holds, in the plural.
        what: &'static str,
        /// Its length.
        left: usize,
        /// Number of gold scores.
        right: usize,
    },
    /// Too few pairs (or triplets, resamples, models) for the statistic to mean anything.
    #[error("{found} {what} are too few, at least {least} are needed")]
    TooFew {
        /// What was counted, in the plural.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// More pairs than exact integer sums can hold.
    #[error("{found} pairs are too many, at most {most} are allowed")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many are allowed.
        most: usize,
    },
    /// An input holds NaN or an infinity.
    #[error("{operand} at position {at} is {value}, not a finite number")]
    NotFinite {
        /// Which input.
        operand: Operand,
        /// Index from 0: of the pair, or of the dimension of an embedding.
        at: usize,
        /// `NaN`, `inf` or `-inf`.
        value: &'static str,
    },
    /// All values of one input are equal: there is nothing to correlate.
    #[error("every {operand} is {value}, so no correlation exists")]
    Constant {
        /// Which input.
        operand: Operand,
        /// The value.
        value: f64,
    },
    /// Values differ by no more than rounding: their Pearson correlation would be noise.
    #[error("every {operand} is {value} up to rounding, so no correlation exists")]
    NearlyConstant {
        /// Which input.
        operand: Operand,
        /// Their mean.
        value: f64,
    },
    /// An embedding has no direction.
    #[error("the {operand} is the zero vector (norm {norm:e}), which has no direction")]
    ZeroVector {
        /// Which embedding.
        operand: Operand,
        /// Its Euclidean norm: 0, or below the threshold that counts as 0.
        norm: f64,
    },
    /// Two embeddings have different dimensions.
    #[error("embeddings of {first} and {second} dimensions cannot be compared")]
    Dimensions {
        /// Dimensions of the first.
        first: usize,
        /// Dimensions of the second.
        second: usize,
    },
    /// The squares of an embedding leave the range of `f32`.
    #[error("an embedding is too long for `f32`: its squares overflow")]
    Overflow,
    /// A statistic of binary gold met a gold score other than 0 and 1.
    #[error("gold score at position {at} is {value}, where 0 or 1 is needed")]
    NotBinary {
        /// Index of the pair from 0.
        at: usize,
        /// The gold score.
        value: f64,
    },
    /// Binary gold holds only one of its two classes.
    #[error("every gold score is {value}, so the classes cannot be told apart")]
    OneClass {
        /// The only class.
        value: f64,
    },
    /// The statistic does not exist on most resamples.
    #[error("the statistic does not exist on {skipped} of {resamples} resamples")]
    Degenerate {
        /// Resamples without a statistic.
        skipped: usize,
        /// All resamples.
        resamples: usize,
    },
    /// Every domain's gold scores, or predicted scores, are constant.
    #[error("{operand}s do not vary within any domain")]
    ConstantWithinDomains {
        /// Which input.
        operand: Operand,
    },
    /// One domain has no number, so the mean over domains has none.
    #[error("domain `{domain}`: {reason}")]
    Domain {
        /// Name of the domain.
        domain: String,
        /// Why it has no number.
        reason: Box<Undefined>,
    },
    /// A p-value of a family is not a probability.
    #[error("p-value at position {at} is {value}, not a number between 0 and 1")]
    NotProbability {
        /// Index from 0.
        at: usize,
        /// What was found, as text.
        value: String,
    },
}

impl Undefined {
    /// What to look at next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotFinite {
                operand: Operand::Gold,
                ..
            } => Some("correct the gold score or drop the pair"),
            Self::NotFinite { .. } => Some(
                "the weights overflow in this number type, or are damaged: try a wider number type",
            ),
            Self::ZeroVector { .. } => {
                Some("look for an empty text, or a text of unknown tokens only")
            }
            Self::Constant {
                operand: Operand::Predicted,
                ..
            }
            | Self::NearlyConstant {
                operand: Operand::Predicted,
                ..
            } => Some("the encoder gives every pair the same score: is its pooling the right one?"),
            Self::NotBinary { .. } => Some("only a suite with a binary scale has this statistic"),
            Self::Domain { reason, .. } => reason.hint(),
            _ => None,
        }
    }

    pub(super) fn not_finite(operand: Operand, at: usize, value: f64) -> Self {
        let value = match value {
            v if v.is_nan() => "NaN",
            v if v > 0.0 => "inf",
            _ => "-inf",
        };
        Self::NotFinite { operand, at, value }
    }
}

/// Checks that every value is finite.
pub(super) fn finite(values: &[f64], operand: Operand) -> Result<(), Undefined> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(Undefined::not_finite(operand, at, values[at])),
        None => Ok(()),
    }
}

/// Checks that values differ.
pub(super) fn varies(values: &[f64], operand: Operand) -> Result<(), Undefined> {
    let value = values[0];
    if values.iter().all(|v| *v == value) {
        return Err(Undefined::Constant { operand, value });
    }
    Ok(())
}

/// Checks one list of predicted scores against one list of gold scores.
pub(super) fn check_pairs(predicted: &[f64], gold: &[f64], least: usize) -> Result<(), Undefined> {
    if predicted.len() != gold.len() {
        return Err(Undefined::LengthMismatch {
            what: "predicted scores",
            left: predicted.len(),
            right: gold.len(),
        });
    }
    if gold.len() < least {
        return Err(Undefined::TooFew {
            what: "pairs",
            found: gold.len(),
            least,
        });
    }
    finite(gold, Operand::Gold)?;
    finite(predicted, Operand::Predicted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lower_case_and_say_what_was_found() {
        for (reason, text) in [
            (
                Undefined::LengthMismatch {
                    what: "predicted scores",
                    left: 3,
                    right: 4,
                },
                "3 predicted scores, but 4 gold scores",
            ),
            (
                Undefined::not_finite(Operand::Predicted, 7, f64::NAN),
                "predicted score at position 7 is NaN, not a finite number",
            ),
            (
                Undefined::not_finite(Operand::Gold, 0, f64::NEG_INFINITY),
                "gold score at position 0 is -inf, not a finite number",
            ),
            (
                Undefined::Domain {
                    domain: "news".into(),
                    reason: Box::new(Undefined::Constant {
                        operand: Operand::Gold,
                        value: 1.0,
                    }),
                },
                "domain `news`: every gold score is 1, so no correlation exists",
            ),
        ] {
            assert_eq!(reason.to_string(), text);
        }
    }

    #[test]
    fn lengths_come_before_values() {
        let nan = [f64::NAN, 1.0];
        assert!(matches!(
            check_pairs(&nan, &[1.0], 3),
            Err(Undefined::LengthMismatch { .. })
        ));
        assert!(matches!(
            check_pairs(&nan, &[1.0, 0.0], 3),
            Err(Undefined::TooFew { .. })
        ));
        assert!(matches!(
            check_pairs(&nan, &[1.0, 0.0], 2),
            Err(Undefined::NotFinite { at: 0, .. })
        ));
    }
}
