//! Spearman, Pearson, and how large Spearman can get.

use super::rank::Order;
use super::undefined::{Operand, Undefined, check_pairs, finite, varies};

/// Fewest pairs a correlation is computed from: two always give −1 or 1.
pub const LEAST_PAIRS: usize = 3;

/// Checks what every correlation needs; gold is blamed first.
pub(super) fn check(predicted: &[f64], gold: &[f64]) -> Result<(), Undefined> {
    check_pairs(predicted, gold, LEAST_PAIRS)?;
    varies(gold, Operand::Gold)?;
    varies(predicted, Operand::Predicted)
}

/// Spearman's ρ in \[−1, 1\]: Pearson's correlation of mid-ranks. Sums are exact integers.
///
/// Takes one predicted and one gold score per pair. Tied scores share the mean of the ranks they
/// cover.
///
/// ```
/// use korfinsts_metric::{Undefined, spearman};
///
/// let gold = [0.0, 1.0, 2.0, 3.0, 4.0];
/// assert_eq!(spearman(&[0.1, 0.2, 0.4, 0.3, 0.9], &gold)?, 0.9);
///
/// // A constant has no rank order, so there is no ρ.
/// let reason = spearman(&[0.5; 5], &gold).unwrap_err();
/// assert!(matches!(reason, Undefined::Constant { .. }));
/// # Ok::<(), Undefined>(())
/// ```
///
/// # Errors
///
/// [`Undefined`] for lists of different length, fewer than 3 pairs, NaN or infinities, and where
/// all gold scores or all predicted scores are equal.
pub fn spearman(predicted: &[f64], gold: &[f64]) -> Result<f64, Undefined> {
    check(predicted, gold)?;
    let centre = gold.len() as i64 + 1;
    let x = Order::new(predicted).doubled_ranks();
    let y = Order::new(gold).doubled_ranks();
    let (mut xx, mut yy, mut xy) = (0_i128, 0_i128, 0_i128);
    for (&x, &y) in x.iter().zip(&y) {
        let (x, y) = (i64::from(x) - centre, i64::from(y) - centre);
        xx += i128::from(x * x);
        yy += i128::from(y * y);
        xy += i128::from(x * y);
    }
    Ok(ratio(xy as f64, xx as f64, yy as f64))
}

/// `xy / √(xx·yy)`, exactly ±1 where the three are equal.
pub(super) fn ratio(xy: f64, xx: f64, yy: f64) -> f64 {
    (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0)
}

/// Pearson's r in \[−1, 1\], of one predicted and one gold score per pair.
///
/// # Errors
///
/// As [`spearman`]; and [`Undefined::NearlyConstant`] where values differ by less than 1e-13 of
/// their mean, the bound at which `SciPy` warns.
pub fn pearson(predicted: &[f64], gold: &[f64]) -> Result<f64, Undefined> {
    check(predicted, gold)?;
    let x = centred(predicted, Operand::Predicted)?;
    let y = centred(gold, Operand::Gold)?;
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(&y) {
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    Ok(ratio(xy, xx, yy))
}

/// Values less their mean, scaled so that the largest is ±1: squares neither overflow nor vanish.
pub(super) fn centred(values: &[f64], operand: Operand) -> Result<Vec<f64>, Undefined> {
    let n = values.len() as f64;
    // Halves and shares, because a sum or a difference of large values can overflow.
    let mut mean: f64 = values.iter().map(|v| v / n).sum();
    mean += values.iter().map(|v| (v - mean) / n).sum::<f64>();
    let halves: Vec<f64> = values.iter().map(|v| v / 2.0 - mean / 2.0).collect();
    let largest = halves.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if largest <= 0.5e-13 * mean.abs() {
        return Err(Undefined::NearlyConstant {
            operand,
            value: mean,
        });
    }
    Ok(halves.into_iter().map(|v| v / largest).collect())
}

/// The largest Spearman's ρ that predictions without ties can reach against these gold scores.
///
/// Let gold scores come in groups of t₁, t₂, … equal values. Predictions that order the groups
/// correctly reach `√((n³ − n − Σ(tᵢ³ − tᵢ)) / (n³ − n))`, which is 1 where gold has no ties. For
/// binary gold with a ones and b zeros that is `√(3ab / (n² − 1))`: `√(3p(1 − p))` up to 1/n².
/// Predictions with ties in the right places can exceed it; encoders do not have such ties.
///
/// # Errors
///
/// [`Undefined`] for fewer than 3 pairs, NaN or infinities, and constant gold.
pub fn spearman_ceiling(gold: &[f64]) -> Result<f64, Undefined> {
    if gold.len() < LEAST_PAIRS {
        return Err(Undefined::TooFew {
            what: "pairs",
            found: gold.len(),
            least: LEAST_PAIRS,
        });
    }
    finite(gold, Operand::Gold)?;
    varies(gold, Operand::Gold)?;
    let cubes = |t: usize| (t as i128).pow(3) - t as i128;
    let order = Order::new(gold);
    let tied: i128 = (0..order.groups())
        .map(|g| cubes(order.group(g).len()))
        .sum();
    let all = cubes(gold.len());
    Ok(((all - tied) as f64 / all as f64).sqrt())
}

/// Spearman's ρ as a share of [`spearman_ceiling`]. In \[−1, 1\] for predictions without ties; ties
/// in the right places can exceed 1.
///
/// # Errors
///
/// As [`spearman`].
pub fn share_of_ceiling(predicted: &[f64], gold: &[f64]) -> Result<f64, Undefined> {
    Ok(spearman(predicted, gold)? / spearman_ceiling(gold)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(ones: usize, zeros: usize) -> Vec<f64> {
        let mut gold = vec![1.0; ones];
        gold.resize(ones + zeros, 0.0);
        gold
    }

    #[test]
    fn known_values() {
        let up = [1.0, 2.0, 3.0, 4.0, 5.0];
        for (predicted, rho, r) in [
            ([1.0, 2.0, 3.0, 4.0, 5.0], 1.0, 1.0),
            ([5.0, 4.0, 3.0, 2.0, 1.0], -1.0, -1.0),
            ([1.0, 2.0, 3.0, 4.0, 100.0], 1.0, 0.724_999_433_594_413_9),
            // Ranks 1.5 1.5 3.5 3.5 5.
            (
                [0.0, 0.0, 1.0, 1.0, 2.0],
                9.0 / 90.0_f64.sqrt(),
                0.944_911_182_523_068,
            ),
        ] {
            let found = (
                spearman(&predicted, &up).unwrap(),
                pearson(&predicted, &up).unwrap(),
            );
            assert!((found.0 - rho).abs() < 1e-14, "{predicted:?}: {found:?}");
            assert!((found.1 - r).abs() < 1e-14, "{predicted:?}: {found:?}");
        }
    }

    #[test]
    fn undefined_never_a_number() {
        let gold = [0.0, 1.0, 0.0, 1.0];
        for f in [spearman, pearson] {
            for (predicted, gold, message) in [
                (&[0.1, 0.2, 0.3][..], &gold[..], "3 predicted scores"),
                (&[0.1, 0.2], &gold[..2], "2 pairs are too few"),
                (&[], &[], "0 pairs are too few"),
                (&[0.1, f64::NAN, 0.3, 0.4], &gold, "position 1 is NaN"),
                (&[0.1, 0.2, 0.3, 0.4], &[1.0; 4], "every gold score is 1"),
                (&[0.5; 4], &gold, "every predicted score is 0.5"),
            ] {
                let reason = f(predicted, gold).unwrap_err().to_string();
                assert!(reason.contains(message), "{reason}");
            }
        }
        let nearly = [1.0, 1.0 + f64::EPSILON, 1.0, 1.0];
        assert!(matches!(
            pearson(&nearly, &gold),
            Err(Undefined::NearlyConstant { .. })
        ));
    }

    #[test]
    fn extreme_values_have_a_pearson() {
        let gold = [0.0, 1.0, 0.0, 1.0];
        for scale in [1e-320, 1e-200, 1.0, 1e200, f64::MAX] {
            let predicted = [-scale, scale, -scale, scale];
            assert_eq!(pearson(&predicted, &gold), Ok(1.0), "{scale:e}");
        }
    }

    #[test]
    fn ceilings_of_facts() {
        for (gold, expected) in [
            (binary(163, 207), 0.860),
            (binary(1175, 816), 0.852),
            (vec![1.0, 2.0, 3.0], 1.0),
        ] {
            let ceiling = spearman_ceiling(&gold).unwrap();
            assert!((ceiling - expected).abs() < 0.000_5, "{ceiling}");
        }
        assert!(spearman_ceiling(&[1.0; 9]).is_err());
        assert!(spearman_ceiling(&[1.0, 0.0]).is_err());
    }

    #[test]
    fn untied_predictions_in_gold_order_reach_the_ceiling() {
        for gold in [
            binary(3, 5),
            vec![0.0, 1.0, 1.0, 2.0, 2.0, 2.0, 5.0],
            vec![1.0, 1.0, 2.0],
        ] {
            let mut sorted = gold;
            sorted.sort_by(f64::total_cmp);
            let predicted: Vec<f64> = (0..sorted.len()).map(|i| i as f64).collect();
            let rho = spearman(&predicted, &sorted).unwrap();
            assert!((rho - spearman_ceiling(&sorted).unwrap()).abs() < 1e-15);
            let share = share_of_ceiling(&predicted, &sorted).unwrap();
            assert!((share - 1.0).abs() < 1e-15);
        }
    }
}
