//! How a figure is spread over many documents: counts by steps, which add up in any order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Step of a share.
pub const SHARE: f64 = 0.005;
/// Step of bits per character.
pub const BITS: f64 = 0.05;

/// Counts of a figure that is never negative.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Width of a step.
    pub step: f64,
    /// Documents beyond the limit on the figure.
    pub beyond: u64,
    /// Documents by the number of whole steps below their figure.
    pub counts: BTreeMap<u32, u64>,
}

impl Histogram {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(step: f64) -> Self {
        Self {
            step,
            ..Self::default()
        }
    }

    /// Counts a figure.
    pub fn add(&mut self, value: f64, beyond: bool) {
        // A figure on the edge of a step belongs above it, whatever the division rounds to.
        let at = (value / self.step + 1e-9) as u32;
        *self.counts.entry(at).or_default() += 1;
        self.beyond += u64::from(beyond);
    }

    /// Adds another part; steps must be the same.
    pub fn merge(&mut self, other: &Self) {
        self.step = other.step;
        self.beyond += other.beyond;
        for (at, n) in &other.counts {
            *self.counts.entry(*at).or_default() += n;
        }
    }

    /// Documents counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Lower edge of the step that holds a quantile, 0 to 1; `None` of nothing.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.total() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        self.counts
            .iter()
            .find(|(_, n)| {
                below += **n;
                below >= wanted
            })
            .map(|(at, _)| f64::from(*at) * self.step)
    }

    /// Its shape as a line of bars from 0 to the greatest figure, each as high as its share of the
    /// tallest; anything at all is seen.
    #[must_use]
    pub fn shape(&self) -> String {
        const WIDTH: u32 = 16;
        let Some((last, _)) = self.counts.last_key_value() else {
            return String::new();
        };
        let per_bar = (last + 1).div_ceil(WIDTH).max(1);
        let mut bars = vec![0; (last / per_bar + 1) as usize];
        for (at, n) in &self.counts {
            bars[(at / per_bar) as usize] += n;
        }
        shape(&bars)
    }
}

/// Counts as a line of bars; a count above 0 is never shown as none.
#[must_use]
pub fn shape(counts: &[u64]) -> String {
    const BARS: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().max().copied().unwrap_or(0).max(1);
    counts
        .iter()
        .map(|n| BARS[(n * 8).div_ceil(most) as usize])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole_and_quantiles_are_those_of_the_figures() {
        let figures: Vec<f64> = (0..1000).map(|i| f64::from(i * i % 997) / 997.0).collect();
        let mut whole = Histogram::new(SHARE);
        let mut parts = [Histogram::new(SHARE), Histogram::new(SHARE)];
        for (i, x) in figures.iter().enumerate() {
            whole.add(*x, *x > 0.9);
            parts[i % 2].add(*x, *x > 0.9);
        }
        let [mut first, second] = parts;
        first.merge(&second);
        assert_eq!(first, whole);
        assert_eq!(whole.total(), 1000);
        let beyond = figures.iter().filter(|x| **x > 0.9).count() as u64;
        assert_eq!(whole.beyond, beyond);
        let mut sorted = figures;
        sorted.sort_by(f64::total_cmp);
        for (share, at) in [(0.05, 49), (0.5, 499), (0.99, 989), (1.0, 999)] {
            let found = whole.quantile(share).expect("not empty");
            let exact = sorted[at];
            assert!(found <= exact && exact < found + SHARE, "{share}: {found}");
        }
        assert_eq!(Histogram::new(SHARE).quantile(0.5), None);
    }

    #[test]
    fn edges_belong_to_the_step_above_and_rare_figures_are_seen() {
        let mut found = Histogram::new(SHARE);
        for i in 0..=200_u32 {
            found.add(f64::from(i) * SHARE, false);
        }
        assert!(found.counts.values().all(|n| *n == 1));
        assert_eq!(found.counts.len(), 201);
        assert_eq!(shape(&[0, 1, 1000, 500]), "·▁█▄");
        assert_eq!(shape(&[]), "");
        assert_eq!(Histogram::new(BITS).shape(), "");
    }
}
