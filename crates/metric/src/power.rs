//! What a comparison could have seen.

use super::normal::normal_quantile;

/// Power at which a difference counts as one that a test sees.
const POWER: f64 = 0.8;

/// The smallest difference of two models' shares of triplets that a paired test of `level` (as 0.95) sees
/// with a power of 80 %, in \[0, 1\]; 1 where it could see none.
///
/// `n` is the number of independent triplets, `discordance` the share of triplets that only one of the
/// models gets right. Solves R. J. Connor's sample size of `McNemar`'s test ("Sample size for testing
/// differences in proportions for the paired-sample design", 1987),
/// n δ² = (z₁ √d + z₂ √(d − δ²))², for δ.
///
/// # Panics
///
/// Where `level` is not between 0 and 1.
#[must_use]
pub fn detectable_difference(n: f64, discordance: f64, level: f64) -> f64 {
    let alpha = normal_quantile(level);
    // `normal_quantile` is two-sided.
    let beta = normal_quantile(2.0 * POWER - 1.0);
    let d = discordance.clamp(0.0, 1.0);
    let sees = |delta: f64| {
        let needed = alpha * d.sqrt() + beta * (d - delta * delta).max(0.0).sqrt();
        n.max(0.0).sqrt() * delta >= needed
    };
    // No difference is larger than the share in which the two differ.
    let (mut low, mut high) = (0.0, d);
    if !sees(high) {
        return 1.0;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if sees(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// The smallest difference that a two-sided test of `level` (as 0.95) sees with a power of 80 %, where the
/// difference is estimated with a normal error of this standard deviation: (z₁ + z₂) σ.
#[must_use]
pub fn detectable_shift(standard_error: f64, level: f64) -> f64 {
    (normal_quantile(level) + normal_quantile(2.0 * POWER - 1.0)) * standard_error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_connors_sample_size_turned_round() {
        // n for δ by the same formula, from scipy.stats.norm.ppf.
        for (n, d, delta) in [
            (625.547_3, 0.2, 0.05),
            (154.598_6, 0.2, 0.1),
            (233.094_5, 0.3, 0.1),
        ] {
            let found = detectable_difference(n, d, 0.95);
            assert!((found - delta).abs() < 1e-4, "{n} {d}: {found}");
        }
        assert_eq!(detectable_difference(2.0, 0.5, 0.95), 1.0);
        // scipy.stats.norm.ppf(.975) + norm.ppf(.8), by the error.
        assert!((detectable_shift(0.02, 0.95) - 0.056_031_7).abs() < 1e-6);
        assert_eq!(detectable_difference(0.0, 0.5, 0.95), 1.0);
        let of = |n: f64| detectable_difference(n, 0.3, 0.95);
        assert!(of(40.0) > of(80.0) && of(80.0) > of(160.0));
        assert_eq!(of(8.0), 1.0);
    }
}
