//! The mean of token vectors, with a gradient: what a static embedding computes.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType};

use korfinsts_encoder::TokenBatch;

/// Means over rows of a table `[tokens, dimension]`.
struct Bag {
    /// Token ids, text after text.
    ids: Vec<u32>,
    /// Where each text ends in `ids`.
    ends: Vec<usize>,
}

impl Bag {
    fn texts(&self) -> impl Iterator<Item = &[u32]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let ids = &self.ids[start..end];
            start = end;
            ids
        })
    }

    fn forward<T: WithDType>(&self, table: &[T], dimension: usize) -> Vec<T> {
        let mut means = vec![T::zero(); self.ends.len() * dimension];
        for (mean, ids) in means.chunks_exact_mut(dimension).zip(self.texts()) {
            for &id in ids {
                let row = &table[id as usize * dimension..][..dimension];
                for (sum, &value) in mean.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            let share = T::from_f64(1.0 / ids.len().max(1) as f64);
            for value in mean {
                *value *= share;
            }
        }
        means
    }

    fn backward<T: WithDType>(&self, gradient: &[T], rows: usize, dimension: usize) -> Vec<T> {
        let mut table = vec![T::zero(); rows * dimension];
        let mut shared = vec![T::zero(); dimension];
        for (gradient, ids) in gradient.chunks_exact(dimension).zip(self.texts()) {
            let share = T::from_f64(1.0 / ids.len().max(1) as f64);
            for (shared, &value) in shared.iter_mut().zip(gradient) {
                *shared = value * share;
            }
            for &id in ids {
                let row = &mut table[id as usize * dimension..][..dimension];
                for (sum, &value) in row.iter_mut().zip(&shared) {
                    *sum += value;
                }
            }
        }
        table
    }
}

fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| {
        candle_core::Error::Msg("a table of vectors must lie without gaps".into())
    })?;
    Ok(&storage.as_slice::<T>()?[start..end])
}

impl CustomOp1 for Bag {
    fn name(&self) -> &'static str {
        "embedding-bag"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, dimension) = layout.shape().dims2()?;
        let shape = Shape::from((self.ends.len(), dimension));
        let means = match storage.dtype() {
            DType::F64 => CpuStorage::F64(self.forward::<f64>(slice(storage, layout)?, dimension)),
            _ => CpuStorage::F32(self.forward::<f32>(slice(storage, layout)?, dimension)),
        };
        Ok((means, shape))
    }

    fn bwd(&self, table: &Tensor, _means: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (rows, dimension) = table.dims2()?;
        let gradient = gradient.contiguous()?;
        let (storage, layout) = gradient.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            candle_core::bail!("the gradient of an embedding bag is computed on a CPU");
        };
        let device = table.device();
        let shape = (rows, dimension);
        let table = match storage.dtype() {
            DType::F64 => {
                let values = self.backward::<f64>(slice(storage, layout)?, rows, dimension);
                Tensor::from_vec(values, shape, device)?
            }
            _ => {
                let values = self.backward::<f32>(slice(storage, layout)?, rows, dimension);
                Tensor::from_vec(values, shape, device)?
            }
        };
        Ok(Some(table))
    }
}

/// The mean of the rows of `table [tokens, dimension]` that each text of the batch names,
/// `[rows, dimension]`; zeros for a text without tokens.
///
/// # Errors
/// When an id has no row.
pub fn mean(table: &Tensor, batch: &TokenBatch) -> Result<Tensor> {
    let rows = table.dim(0)?;
    let mut bag = Bag {
        ids: Vec::with_capacity(batch.ids.len()),
        ends: Vec::with_capacity(batch.rows),
    };
    for (ids, mask) in batch
        .ids
        .chunks(batch.width)
        .zip(batch.mask.chunks(batch.width))
    {
        for (&id, _) in ids.iter().zip(mask).filter(|&(_, &m)| m == 1) {
            if id as usize >= rows {
                candle_core::bail!("token id {id} is outside the table of {rows} vectors");
            }
            bag.ids.push(id);
        }
        bag.ends.push(bag.ids.len());
    }
    if table.device().is_cpu() {
        return table.apply_op1(bag);
    }
    composed(table, &bag)
}

/// The same of candle's own operations, for other devices.
fn composed(table: &Tensor, bag: &Bag) -> Result<Tensor> {
    let device = table.device();
    let dimension = table.dim(1)?;
    let mut owners = Vec::with_capacity(bag.ids.len());
    let mut shares = Vec::with_capacity(bag.ids.len());
    for (text, ids) in bag.texts().enumerate() {
        owners.extend(std::iter::repeat_n(text as u32, ids.len()));
        shares.extend(std::iter::repeat_n(1.0 / ids.len() as f32, ids.len()));
    }
    let n = owners.len();
    let zeros = Tensor::zeros((bag.ends.len(), dimension), table.dtype(), device)?;
    if n == 0 {
        return Ok(zeros);
    }
    let shares = Tensor::from_vec(shares, (n, 1), device)?.to_dtype(table.dtype())?;
    let vectors = table
        .index_select(&Tensor::from_slice(&bag.ids, n, device)?, 0)?
        .broadcast_mul(&shares)?;
    zeros.index_add(&Tensor::from_vec(owners, n, device)?, &vectors, 0)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn means_and_gradients_agree_with_composed_operations() {
        let values: Vec<f64> = (0..15).map(|i| f64::from(i * i % 7) - 2.0).collect();
        let batch = TokenBatch {
            rows: 3,
            width: 4,
            ids: vec![4, 1, 1, 0, 2, 9, 9, 9, 9, 9, 9, 9],
            mask: vec![1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            pooling_mask: vec![1; 12],
        };
        let table = Var::from_vec(values, (5, 3), &Device::Cpu).expect("a table");
        let bag = Bag {
            ids: vec![4, 1, 1, 0, 2],
            ends: vec![4, 5, 5],
        };
        let both = [
            mean(table.as_tensor(), &batch).expect("fused"),
            composed(table.as_tensor(), &bag).expect("composed"),
        ]
        .map(|means| {
            let loss = means.sqr().and_then(|m| m.sum_all()).expect("a loss");
            let gradients = loss.backward().expect("backward");
            let gradient = gradients.get(table.as_tensor()).expect("a gradient");
            let values = |t: &Tensor| -> Vec<f64> {
                t.flatten_all().and_then(|t| t.to_vec1()).expect("values")
            };
            (values(&means), values(gradient))
        });
        for (a, b) in both[0].0.iter().zip(&both[1].0) {
            assert!((a - b).abs() < 1e-6, "{both:?}");
        }
        for (a, b) in both[0].1.iter().zip(&both[1].1) {
            assert!((a - b).abs() < 1e-6, "{both:?}");
        }
        assert_eq!(both[0].0[6..], [0.0; 3]);
    }

    #[test]
    fn an_id_without_a_row_is_an_error() {
        let table = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).expect("a table");
        let batch = TokenBatch {
            rows: 1,
            width: 1,
            ids: vec![2],
            mask: vec![1],
            pooling_mask: vec![1],
        };
        assert!(mean(&table, &batch).is_err());
    }
}
