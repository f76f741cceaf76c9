//! Ranks: processes that train one model together. Each embeds its share of a batch's texts; the
//! embeddings of all are gathered, so that the loss (and with it every in-batch negative) is that
//! of the whole batch; the gradients of all are summed in the order of the ranks, and every rank
//! takes the same step. So a recipe's `batch` is that of all ranks together, and N ranks give what
//! one gives, but for the order of sums.
//!
//! To add a way to meet: a file that implements [`Ranks`].

#[cfg(feature = "nccl")]
pub mod nccl;
pub mod tcp;

use candle_core::Tensor;

use super::TrainError;

/// What ranks do together. Every rank makes the same calls in the same order.
pub trait Ranks {
    /// This process, from 0. Rank 0 writes what is written.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn count(&self) -> usize;

    /// The bytes of each rank, by rank; their lengths may differ.
    ///
    /// # Errors
    /// [`TrainError::Rank`] when another rank failed or went away.
    fn exchange(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TrainError>;

    /// The sum over ranks, in their order, of tensors `[n]` of float32: the same bits everywhere.
    ///
    /// # Errors
    /// [`TrainError::Rank`] when another rank failed or went away.
    fn sum(&mut self, values: &Tensor) -> Result<Tensor, TrainError>;

    /// Reports to the others that this rank ends with an error; they end too and name it.
    fn fail(&mut self, reason: &str);

    /// The numbers of each rank, by rank; their lengths may differ.
    ///
    /// # Errors
    /// As [`Self::exchange`]; when a rank sent a part of a number.
    fn gather(&mut self, values: &[f32]) -> Result<Vec<Vec<f32>>, TrainError> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let all = self.exchange(&bytes)?;
        let numbers = all.iter().enumerate().map(|(rank, bytes)| {
            let (numbers, rest) = bytes.as_chunks::<4>();
            if rest.is_empty() {
                return Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect());
            }
            let reason = format!(
                "it sent {} bytes, which are no float32 numbers",
                bytes.len()
            );
            Err(TrainError::Rank { rank, reason })
        });
        numbers.collect()
    }

    /// Waits for every rank.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    fn wait(&mut self) -> Result<(), TrainError> {
        self.exchange(&[]).map(|_| ())
    }

    /// Whether any rank gave `true`.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    fn any(&mut self, here: bool) -> Result<bool, TrainError> {
        let all = self.exchange(&[u8::from(here)])?;
        Ok(all.iter().flatten().any(|&said| said != 0))
    }

    /// Makes sure that every rank gave the same bytes as rank 0.
    ///
    /// # Errors
    /// [`TrainError::Rank`] with the first rank that did not; as [`Self::exchange`].
    fn same(&mut self, what: &str, bytes: &[u8]) -> Result<(), TrainError> {
        let all = self.exchange(bytes)?;
        match all.iter().position(|other| other != &all[0]) {
            None => Ok(()),
            Some(rank) => Err(TrainError::Rank {
                rank,
                reason: format!("its {what} is not that of rank 0"),
            }),
        }
    }
}

/// One process, alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn exchange(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TrainError> {
        Ok(vec![bytes.to_vec()])
    }

    fn sum(&mut self, values: &Tensor) -> Result<Tensor, TrainError> {
        Ok(values.clone())
    }

    fn fail(&mut self, _reason: &str) {}
}

/// The ranks of `texts` texts: the longest go round first, so that all have about as much to do.
/// `costs` are their lengths.
#[must_use]
pub fn shares(costs: &[usize], count: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(costs[i]), i));
    let mut shares = vec![Vec::new(); count.max(1)];
    for (at, text) in order.into_iter().enumerate() {
        shares[at % count.max(1)].push(text);
    }
    for share in &mut shares {
        share.sort_unstable();
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_has_one_rank_and_loads_are_even() {
        let costs = [9, 1, 5, 7, 3, 3, 8];
        for count in [1, 2, 3, 10] {
            let shares = shares(&costs, count);
            let mut all = shares.concat();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4, 5, 6], "{count}");
            let sizes: Vec<usize> = shares.iter().map(Vec::len).collect();
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            assert!(
                most.zip(least).is_some_and(|(a, b)| a - b <= 1),
                "{sizes:?}"
            );
        }
        assert_eq!(shares(&costs, 2)[0], [0, 1, 3, 4]);
    }
}
