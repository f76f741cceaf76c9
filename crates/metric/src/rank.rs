//! Mid-ranks: tied values share the mean of the ranks they cover.

use super::undefined::{Operand, Undefined, finite};

/// Values in ascending order, cut into groups of equal values.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// Positions of the values, smallest value first, equal values by position.
    pub by_value: Vec<u32>,
    /// Where each group starts in `by_value`; one more entry holds the length.
    pub starts: Vec<u32>,
}

impl Order {
    /// Orders finite values; −0 equals 0.
    pub fn new(values: &[f64]) -> Self {
        let mut by_value: Vec<u32> = (0..values.len() as u32).collect();
        by_value.sort_by(|&a, &b| {
            values[a as usize]
                .partial_cmp(&values[b as usize])
                .expect("values are finite")
        });
        let mut starts = Vec::new();
        for (at, &i) in by_value.iter().enumerate() {
            if at == 0 || values[i as usize] != values[by_value[at - 1] as usize] {
                starts.push(at as u32);
            }
        }
        starts.push(values.len() as u32);
        Self { by_value, starts }
    }

    pub fn len(&self) -> usize {
        self.by_value.len()
    }

    pub fn groups(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether no two values are equal.
    pub fn is_untied(&self) -> bool {
        self.groups() == self.len()
    }

    pub fn group(&self, group: usize) -> &[u32] {
        &self.by_value[self.starts[group] as usize..self.starts[group + 1] as usize]
    }

    /// The group of each value, in the order of the values.
    pub fn group_of(&self) -> Vec<u32> {
        let mut of = vec![0; self.len()];
        for group in 0..self.groups() {
            for &i in self.group(group) {
                of[i as usize] = group as u32;
            }
        }
        of
    }

    /// Twice the mid-rank of each value: a whole number from 2 to 2n.
    pub fn doubled_ranks(&self) -> Vec<u32> {
        let mut ranks = vec![0; self.len()];
        for group in 0..self.groups() {
            let doubled = self.starts[group] + self.starts[group + 1] + 1;
            for &i in self.group(group) {
                ranks[i as usize] = doubled;
            }
        }
        ranks
    }

    /// Walks groups of equal values, smallest first or last: how many of each group were
    /// drawn, and how many of those are marked with 1 (in the order of the values) rather than 0.
    #[inline]
    pub fn walk(
        &self,
        marks: &[u32],
        counts: &[u32],
        from_the_top: bool,
        mut group: impl FnMut(u64, u64),
    ) {
        let pairs = self.by_value.iter().zip(marks);
        let single = |(&i, &mark): (&u32, &u32)| {
            let count = counts[i as usize];
            group(u64::from(count), u64::from(count & mark.wrapping_neg()));
        };
        match (self.is_untied(), from_the_top) {
            (true, false) => pairs.for_each(single),
            (true, true) => pairs.rev().for_each(single),
            (false, _) => {
                let groups = self.groups();
                for at in 0..groups {
                    let at = if from_the_top { groups - 1 - at } else { at };
                    let start = self.starts[at] as usize;
                    let (mut all, mut marked) = (0, 0);
                    for (&i, &mark) in self.group(at).iter().zip(&marks[start..]) {
                        all += counts[i as usize];
                        marked += counts[i as usize] & mark.wrapping_neg();
                    }
                    group(u64::from(all), u64::from(marked));
                }
            }
        }
    }
}

/// Mid-ranks from 1 to n: the smallest value has rank 1, equal values share the mean of the ranks
/// they cover (`scipy.stats.rankdata`, method `average`). −0 equals 0.
///
/// # Errors
///
/// [`Undefined::NotFinite`], which calls the values predicted scores.
pub fn mid_ranks(values: &[f64]) -> Result<Vec<f64>, Undefined> {
    finite(values, Operand::Predicted)?;
    let doubled = Order::new(values).doubled_ranks();
    Ok(doubled.into_iter().map(|r| f64::from(r) / 2.0).collect())
}

/// Share of predicted scores, in \[0, 1\], that equal the score of at least one other pair; one score
/// per pair.
///
/// 0: all scores differ. 1: every score occurs at least twice.
///
/// # Errors
///
/// [`Undefined::NotFinite`], and [`Undefined::TooFew`] where there is no score.
pub fn tie_share(predicted: &[f64]) -> Result<f64, Undefined> {
    if predicted.is_empty() {
        return Err(Undefined::TooFew {
            what: "pairs",
            found: 0,
            least: 1,
        });
    }
    finite(predicted, Operand::Predicted)?;
    let order = Order::new(predicted);
    let alone = (0..order.groups())
        .filter(|&g| order.group(g).len() == 1)
        .count();
    Ok((predicted.len() - alone) as f64 / predicted.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_with_ties() {
        for (values, expected) in [
            (vec![], vec![]),
            (vec![7.0], vec![1.0]),
            (vec![3.0, 1.0, 2.0], vec![3.0, 1.0, 2.0]),
            (vec![1.0, 1.0, 1.0], vec![2.0, 2.0, 2.0]),
            (vec![0.0, -0.0, 5.0, -1.0], vec![2.5, 2.5, 4.0, 1.0]),
            (vec![2.0, 1.0, 2.0, 1.0, 0.0], vec![4.5, 2.5, 4.5, 2.5, 1.0]),
        ] {
            assert_eq!(mid_ranks(&values).unwrap(), expected, "{values:?}");
        }
        assert!(mid_ranks(&[1.0, f64::NAN]).is_err());
    }

    #[test]
    fn shares_of_ties() {
        for (values, expected) in [
            (vec![1.0], 0.0),
            (vec![1.0, 2.0, 3.0], 0.0),
            (vec![1.0, 1.0, 3.0, 4.0], 0.5),
            (vec![1.0, 1.0, 3.0, 3.0], 1.0),
        ] {
            assert_eq!(tie_share(&values), Ok(expected), "{values:?}");
        }
        assert!(tie_share(&[]).is_err());
        assert!(tie_share(&[f64::INFINITY]).is_err());
    }
}
