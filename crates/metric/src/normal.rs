//! Intervals where only a score and a number of pairs are known.

/// z, above 0, such that a standard normal number is within ±z with probability `level`, in (0, 1).
#[must_use]
pub fn normal_quantile(level: f64) -> f64 {
    std::f64::consts::SQRT_2 * statrs::function::erf::erf_inv(level)
}

/// Approximate interval of a Spearman's ρ of which only the value and the number of pairs are
/// known: Fisher's z with the standard error √((1 + ρ²/2) / (n − 3)) of Bonett and Wright (2000).
/// Lower and upper end, both in (−1, 1); `level` is the nominal coverage, in (0, 1). `None` below 4
/// pairs and where ρ is NaN or |ρ| is 1 or more.
///
/// Made for continuous scores; on binary gold a little wider than the bootstrap's.
#[must_use]
pub fn spearman_interval(rho: f64, pairs: usize, level: f64) -> Option<[f64; 2]> {
    if pairs < 4 || !rho.is_finite() || rho.abs() >= 1.0 {
        return None;
    }
    let half = normal_quantile(level) * spearman_error_z(rho, pairs);
    Some([(rho.atanh() - half).tanh(), (rho.atanh() + half).tanh()])
}

/// Standard error of the same ρ itself, by the delta method: that of z times 1 − ρ². `None` as
/// [`spearman_interval`].
#[must_use]
pub fn spearman_error(rho: f64, pairs: usize) -> Option<f64> {
    let defined = pairs >= 4 && rho.is_finite() && rho.abs() < 1.0;
    defined.then(|| spearman_error_z(rho, pairs) * (1.0 - rho * rho))
}

fn spearman_error_z(rho: f64, pairs: usize) -> f64 {
    ((1.0 + rho * rho / 2.0) / (pairs as f64 - 3.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert!((normal_quantile(0.95) - 1.959_963_984_540_054).abs() < 1e-9);
        // The paper's best KorFinSTS figure, and a typical one on FinSTS.
        for (rho, n, half) in [(0.2732, 1991, 0.042), (0.1969, 370, 0.099)] {
            let [low, high] = spearman_interval(rho, n, 0.95).unwrap();
            assert!(((high - low) / 2.0 - half).abs() < 0.001, "{low} {high}");
            let error = spearman_error(rho, n).unwrap();
            assert!((1.96 * error - half).abs() < 0.001, "{error}");
        }
        for (rho, n) in [(0.5, 3), (1.0, 100), (f64::NAN, 100), (2.0, 100)] {
            assert_eq!(spearman_interval(rho, n, 0.95), None);
            assert_eq!(spearman_error(rho, n), None);
        }
    }
}
