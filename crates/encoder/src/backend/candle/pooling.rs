//! Pooling of states where they are, with a gradient: the formulas of [`crate::pooling`],
//! in the number type of the states. Training pools with it, and inference off the CPU.

use candle_core::{D, DType, Device, Result, Tensor};

use crate::TokenBatch;
use crate::pooling::{Join, Pooling};

/// Added to a state that takes no part in a maximum.
const NEVER: f32 = f32::MIN / 2.0;

/// Pools token states `[rows, width, dimension]` to `[rows, modes * dimension]`.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn pool(modes: &[Pooling], states: &Tensor, batch: &TokenBatch) -> Result<Tensor> {
    let parts: Result<Vec<Tensor>> = modes
        .iter()
        .map(|mode| match mode.join() {
            Join::Largest => maximum(states, batch),
            join => weighted(states, &weights(join, batch)),
        })
        .collect();
    match &parts?[..] {
        [one] => Ok(one.clone()),
        several => Tensor::cat(several, D::Minus1),
    }
}

/// The share that each token has in the pooled vector, `rows * width`.
fn weights(join: Join, batch: &TokenBatch) -> Vec<f64> {
    let mut weights = vec![0.0; batch.rows * batch.width];
    for ((row, pooling_mask), mask) in weights
        .chunks_mut(batch.width)
        .zip(batch.pooling_mask.chunks(batch.width))
        .zip(batch.mask.chunks(batch.width))
    {
        let taking_part = || (0..pooling_mask.len()).filter(|&at| pooling_mask[at] == 1);
        match join {
            Join::First => row[taking_part().next().unwrap_or(0)] = 1.0,
            Join::Last => {
                if let Some(last) = taking_part().next_back() {
                    row[last] = 1.0;
                }
            }
            Join::Largest => {}
            Join::Sum { weight, divisor } => {
                let first = mask.iter().position(|&m| m == 1).unwrap_or(0);
                for at in taking_part() {
                    row[at] = weight(at + 1 - first);
                }
                let divisor = divisor(row.iter().sum::<f64>().max(1e-9));
                for weight in row {
                    *weight /= divisor;
                }
            }
        }
    }
    weights
}

fn weighted(states: &Tensor, weights: &[f64]) -> Result<Tensor> {
    let (rows, width, _) = states.dims3()?;
    let weights = constant(weights, (rows, 1, width), states.dtype(), states.device())?;
    weights.matmul(&states.contiguous()?)?.squeeze(1)
}

fn maximum(states: &Tensor, batch: &TokenBatch) -> Result<Tensor> {
    let away: Vec<f64> = batch
        .pooling_mask
        .iter()
        .map(|&m| if m == 1 { 0.0 } else { f64::from(NEVER) })
        .collect();
    let shape = (batch.rows, batch.width, 1);
    let away = constant(&away, shape, states.dtype(), states.device())?;
    states.broadcast_add(&away)?.max(1)
}

fn constant(
    values: &[f64],
    shape: (usize, usize, usize),
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    Tensor::from_slice(values, shape, &Device::Cpu)?
        .to_dtype(dtype)?
        .to_device(device)
}
