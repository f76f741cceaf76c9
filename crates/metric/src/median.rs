//! The median of repeated measurements, and how well it is known.

/// A median and its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Median {
    /// The middle value; the mean of the two middle ones of an even number.
    pub value: f64,
    /// The narrowest pair of values, equally far from both ends, that holds the median of the distribution with
    /// at least the probability asked for; `None` where even the least and the greatest value do not.
    pub interval: Option<[f64; 2]>,
}

impl Median {
    /// Half of the interval's width as a share of the median, at least 0; `None` without an interval.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        let [low, high] = self.interval?;
        Some((high - low) / 2.0 / self.value.abs())
    }
}

/// The median of finite values, with the interval between two of them (David and Nagaraja, Order Statistics, 2003,
/// section 7.1). It assumes nothing of the distribution. `level` is the least coverage, in (0, 1): at 95 % an
/// interval exists from 6 values on. `None` without a value.
#[must_use]
pub fn median(values: &[f64], level: f64) -> Option<Median> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let (low, high) = (*sorted.get(n.checked_sub(1)? / 2)?, sorted[n / 2]);
    // The tail below the value at index k: at most k of n values are under the median.
    let (mut choose, mut tail, mut outside) = (1.0, 0.0, None);
    for k in 0..n.div_ceil(2) {
        tail += choose * 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
        if tail > (1.0 - level) / 2.0 {
            break;
        }
        outside = Some(k);
        choose *= (n - k) as f64 / (k + 1) as f64;
    }
    Some(Median {
        value: f64::midpoint(low, high),
        interval: outside.map(|k| [sorted[k], sorted[n - 1 - k]]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks as in the table of Conover, Practical Nonparametric Statistics, for the quantile 0.5 at 95 %.
    #[test]
    fn the_interval_is_between_the_ranks_of_the_table() {
        for (n, rank) in [
            (1, None),
            (5, None),
            (6, Some(1)),
            (8, Some(1)),
            (9, Some(2)),
            (12, Some(3)),
            (20, Some(6)),
            (50, Some(18)),
        ] {
            // Backwards: order does not matter.
            let values: Vec<f64> = (1..=n).rev().map(f64::from).collect();
            let found = median(&values, 0.95).expect("values");
            assert_eq!(found.value, f64::from(n + 1) / 2.0);
            let expected = rank.map(|r| [f64::from(r), f64::from(n + 1 - r)]);
            assert_eq!(found.interval, expected, "{n} values");
        }
        assert_eq!(median(&[], 0.95), None);
    }

    #[test]
    fn the_spread_is_half_the_width_over_the_median() {
        let found = median(&[9.0, 10.0, 10.0, 10.0, 10.0, 11.0], 0.95).expect("values");
        assert_eq!(found.spread(), Some(0.1));
        assert_eq!(median(&[1.0, 2.0], 0.95).and_then(|m| m.spread()), None);
    }

    #[test]
    fn a_higher_level_needs_more_values() {
        let values: Vec<f64> = (1..=6).map(f64::from).collect();
        assert_eq!(median(&values, 0.975).expect("values").interval, None);
        let values: Vec<f64> = (1..=7).map(f64::from).collect();
        assert_eq!(
            median(&values, 0.975).expect("values").interval,
            Some([1.0, 7.0])
        );
    }
}
