//! Many tests at once.

use super::undefined::Undefined;

/// Holm's step-down correction: adjusted p-values in \[0, 1\], in the order given.
///
/// The k-th smallest of m p-values (from 0) becomes the largest of `(m − i) · pᵢ` over i ≤ k, at
/// most 1. Rejecting where the adjusted value is at most α keeps the chance of any false rejection
/// at most α, whatever the dependence (S. Holm, 1979). An empty family stays empty.
///
/// # Errors
///
/// [`Undefined::NotProbability`] for NaN or a value outside \[0, 1\].
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, Undefined> {
    if let Some(at) = p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(Undefined::NotProbability {
            at,
            value: p_values[at].to_string(),
        });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (smaller, &at) in order.iter().enumerate() {
        let left = (p_values.len() - smaller) as f64;
        largest = largest.max((left * p_values[at]).min(1.0));
        adjusted[at] = largest;
    }
    Ok(adjusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_families() {
        for (p, expected) in [
            (vec![], vec![]),
            (vec![0.03], vec![0.03]),
            // R: p.adjust(c(.01, .04, .03, .005), "holm")
            (vec![0.01, 0.04, 0.03, 0.005], vec![0.03, 0.06, 0.06, 0.02]),
            (vec![0.5, 0.6, 0.7], vec![1.0, 1.0, 1.0]),
            (vec![0.02, 0.02], vec![0.04, 0.04]),
        ] {
            let found = holm(&p).unwrap();
            for (f, e) in found.iter().zip(&expected) {
                assert!((f - e).abs() < 1e-15, "{p:?}: {found:?}");
            }
            assert_eq!(found.len(), expected.len());
        }
        assert!(holm(&[0.1, f64::NAN]).is_err());
        assert!(holm(&[1.1]).is_err());
    }
}
