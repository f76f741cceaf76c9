//! Binary gold: AUC, average precision, and how AUC and Spearman are related.

use super::rank::Order;
use super::undefined::{Undefined, check_pairs};

/// How many pairs of binary gold are in each class; neither is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes {
    /// Pairs with gold 1.
    pub ones: usize,
    /// Pairs with gold 0.
    pub zeros: usize,
}

/// Counts the classes of binary gold: one score of 0 or 1 per pair.
///
/// # Errors
///
/// [`Undefined::NotBinary`] for a score other than 0 and 1, [`Undefined::OneClass`] where one
/// class is empty, [`Undefined::TooFew`] where there is no pair.
pub fn classes(gold: &[f64]) -> Result<Classes, Undefined> {
    if gold.is_empty() {
        return Err(Undefined::TooFew {
            what: "pairs",
            found: 0,
            least: 2,
        });
    }
    if let Some(at) = gold.iter().position(|g| *g != 0.0 && *g != 1.0) {
        let value = gold[at];
        return Err(Undefined::NotBinary { at, value });
    }
    let ones = gold.iter().filter(|g| **g == 1.0).count();
    let zeros = gold.len() - ones;
    if ones == 0 || zeros == 0 {
        return Err(Undefined::OneClass {
            value: f64::from(u8::from(ones > 0)),
        });
    }
    Ok(Classes { ones, zeros })
}

/// Ones and zeros of each group of equal predictions, smallest prediction first.
fn groups(predicted: &[f64], gold: &[f64]) -> Vec<(u64, u64)> {
    let order = Order::new(predicted);
    (0..order.groups())
        .map(|group| {
            let members = order.group(group);
            let ones = members.iter().filter(|&&i| gold[i as usize] == 1.0).count();
            (ones as u64, (members.len() - ones) as u64)
        })
        .collect()
}

/// Area under the ROC curve, in \[0, 1\]: the chance that a pair with gold 1 gets a higher score
/// than a pair with gold 0, where a tie counts one half. Constant predictions give 0.5.
///
/// Takes one predicted and one gold score per pair; gold scores are 0 or 1. The sum is exact.
///
/// ```
/// use korfinsts_metric::auc;
///
/// // Of the four (1, 0) couples three are in the right order.
/// let area = auc(&[0.1, 0.4, 0.35, 0.8], &[0.0, 0.0, 1.0, 1.0])?;
/// assert_eq!(area, 0.75);
///
/// // Gold scores that are not 0 or 1 give an error, not a number.
/// assert!(auc(&[0.1, 0.4, 0.35], &[0.0, 0.5, 1.0]).is_err());
/// # Ok::<(), korfinsts_metric::Undefined>(())
/// ```
///
/// # Errors
///
/// [`Undefined`] for lists of different length, NaN or infinities, and as [`classes`].
pub fn auc(predicted: &[f64], gold: &[f64]) -> Result<f64, Undefined> {
    check_pairs(predicted, gold, 2)?;
    let Classes { ones, zeros } = classes(gold)?;
    let (mut below, mut twice) = (0_u128, 0_u128);
    for (a, b) in groups(predicted, gold) {
        twice += u128::from(a) * (2 * below + u128::from(b));
        below += u128::from(b);
    }
    Ok(twice as f64 / (2 * ones as u128 * zeros as u128) as f64)
}

/// Average precision, in (0, 1\]: `Σ (Rₖ − Rₖ₋₁) Pₖ` over thresholds at each distinct predicted
/// score, highest first; equal scores are counted at once (scikit-learn's
/// `average_precision_score`: no interpolation).
///
/// # Errors
///
/// As [`auc`].
pub fn average_precision(predicted: &[f64], gold: &[f64]) -> Result<f64, Undefined> {
    check_pairs(predicted, gold, 2)?;
    let Classes { ones, .. } = classes(gold)?;
    let (mut found, mut seen, mut area) = (0_u64, 0_u64, 0.0);
    for (a, b) in groups(predicted, gold).into_iter().rev() {
        found += a;
        seen += a + b;
        area += a as f64 * (found as f64 / seen as f64);
    }
    Ok(area / ones as f64)
}

/// Spearman's ρ that follows from an AUC where predictions have no ties:
/// `√(3ab / (n² − 1)) · (2·AUC − 1)` for a ones and b zeros. `auc` is in \[0, 1\], ρ in \[−1, 1\].
#[must_use]
pub fn spearman_from_auc(auc: f64, classes: Classes) -> f64 {
    let (a, b) = (classes.ones as f64, classes.zeros as f64);
    let n = a + b;
    (3.0 * a * b / ((n - 1.0) * (n + 1.0))).sqrt() * (2.0 * auc - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spearman;

    #[test]
    fn known_values() {
        let gold = [0.0, 0.0, 1.0, 1.0];
        for (predicted, area, precision) in [
            ([0.1, 0.4, 0.35, 0.8], 0.75, 0.833_333_333_333_333_3),
            ([0.0, 0.1, 0.2, 0.3], 1.0, 1.0),
            ([0.3, 0.2, 0.1, 0.0], 0.0, 5.0 / 12.0),
            ([0.5, 0.5, 0.5, 0.5], 0.5, 0.5),
            ([0.1, 0.5, 0.5, 0.9], 0.875, 0.5 + 0.5 * 2.0 / 3.0),
        ] {
            assert_eq!(auc(&predicted, &gold), Ok(area), "{predicted:?}");
            let found = average_precision(&predicted, &gold).unwrap();
            assert!((found - precision).abs() < 1e-15, "{predicted:?}: {found}");
        }
    }

    #[test]
    fn undefined_never_a_number() {
        for f in [auc, average_precision] {
            for (gold, message) in [
                ([0.0, 0.5, 1.0], "position 1 is 0.5"),
                ([1.0, 1.0, 1.0], "every gold score is 1"),
                ([0.0, 0.0, 0.0], "every gold score is 0"),
                ([0.0, f64::NAN, 1.0], "position 1 is NaN"),
            ] {
                let reason = f(&[0.1, 0.2, 0.3], &gold).unwrap_err().to_string();
                assert!(reason.contains(message), "{reason}");
            }
            assert!(f(&[0.1], &[0.0, 1.0]).is_err());
            assert!(f(&[], &[]).is_err());
        }
    }

    #[test]
    fn spearman_follows_from_auc() {
        let gold = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0];
        let predicted = [0.3, 0.1, 0.7, 0.9, 0.2, 0.25, 0.8];
        let found = spearman_from_auc(auc(&predicted, &gold).unwrap(), classes(&gold).unwrap());
        assert!((found - spearman(&predicted, &gold).unwrap()).abs() < 1e-15);
    }
}
