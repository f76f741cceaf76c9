//! How far float32 results may be from exact ones: for tests that must pass on every processor.

/// Largest relative error of one rounding to float32.
const UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// Largest relative error that rounding leaves in float32 after `steps` operations one after
/// another, of which each sums `terms` products at most.
///
/// A sum of `n` products is rounded about `n` times, up as often as down, so its error stays below
/// `4 sqrt(n) u` in all but 1 of 1,500 sums, with `u` half the distance from 1 to the next number
/// (Higham and Mary, 2019: "A new approach to probabilistic rounding error analysis"). This holds
/// for every order of summation, with and without fused multiplication and addition: it depends on
/// no instruction set. Errors of successive operations are independent, so `steps` operations
/// round as one sum of `steps * terms` products does.
///
/// The error is relative to the size of what is summed, not to the sum: multiply it by the norm of
/// the row or of the gradient that is compared. Where both sides are float32, each may be off by
/// this much.
#[must_use]
pub fn float32(terms: usize, steps: usize) -> f64 {
    4.0 * ((terms * steps) as f64).sqrt() * UNIT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a pattern between -1 and 1.
    fn numbers(n: usize, seed: u64) -> impl Iterator<Item = f32> {
        let mut state = seed;
        (0..n).map(move |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
    }

    #[test]
    fn sums_in_any_order_stay_within_the_bound_and_a_lost_term_does_not() {
        for n in [16, 256, 4096] {
            let products: Vec<(f32, f32)> = numbers(n, 1).zip(numbers(n, 2)).collect();
            let wide = products.iter().map(|&(a, b)| (f64::from(a), f64::from(b)));
            let exact: f64 = wide.clone().map(|(a, b)| a * b).sum();
            let size: f64 = wide.map(|(a, b)| (a * b).abs()).sum();
            let bound = float32(n, 1) * size;
            let fused = products.iter().fold(0.0, |sum, &(a, b)| a.mul_add(b, sum));
            let back = products.iter().rev().fold(0.0, |sum, &(a, b)| sum + a * b);
            let (even, odd) = (
                products.iter().step_by(2),
                products.iter().skip(1).step_by(2),
            );
            let lanes = [even.collect::<Vec<_>>(), odd.collect()]
                .map(|lane| lane.iter().fold(0.0, |sum, &(a, b)| sum + a * b));
            for found in [fused, back, lanes[0] + lanes[1]] {
                let error = (f64::from(found) - exact).abs();
                assert!(error < bound, "{n}: {error:e}, the bound is {bound:e}");
            }
            let lost = f64::from(products[n / 2].0 * products[n / 2].1).abs();
            assert!(lost > bound, "{n}: {lost:e} is not found by {bound:e}");
        }
    }
}
