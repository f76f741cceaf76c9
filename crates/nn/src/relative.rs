//! Relative position bias of T5 and MPNet: distances fall into buckets, each with a learned bias
//! per head.

use candle_core::{Device, Result, Tensor};

use super::ops::{Bias, Mode, select};

/// Buckets and their biases.
#[derive(Debug)]
pub struct RelativeBias {
    /// `[buckets, heads]`.
    table: Tensor,
    max_distance: usize,
    device: Device,
    mode: Mode,
}

impl RelativeBias {
    /// Biases `[buckets, heads]`; distances from `max_distance` on share the last bucket.
    #[must_use]
    pub fn new(table: Tensor, max_distance: usize, device: &Device, mode: Mode) -> Self {
        Self {
            table,
            max_distance,
            device: device.clone(),
            mode,
        }
    }

    /// The bias of batches of `width` tokens.
    ///
    /// # Errors
    /// When the device fails.
    pub fn of(&self, width: usize) -> Result<Bias> {
        let (buckets, heads) = self.table.dims2()?;
        let span = width as i64 - 1;
        let numbers: Vec<u32> = (-span..=span)
            .map(|distance| bucket(distance, buckets, self.max_distance))
            .collect();
        let select = |numbers: Vec<u32>| {
            let n = numbers.len();
            let numbers = Tensor::from_vec(numbers, n, &self.device)?;
            select(&self.table, &numbers)
        };
        if self.mode.on_cpu(&self.device) || self.device.is_cuda() {
            return Ok(Bias {
                diagonals: select(numbers)?.t()?.contiguous()?,
                matrix: None,
            });
        }
        let matrix: Vec<u32> = (0..width)
            .flat_map(|query| numbers[width - 1 - query..][..width].iter().copied())
            .collect();
        let matrix = select(matrix)?
            .t()?
            .contiguous()?
            .reshape((1, heads, width, width))?;
        Ok(Bias {
            diagonals: select(numbers)?.t()?.contiguous()?,
            matrix: Some(matrix),
        })
    }
}

/// Bucket of `distance` (key less query) as T5 counts: half of the buckets for each direction, of
/// which half hold one distance each and half grow with the logarithm.
fn bucket(distance: i64, buckets: usize, max_distance: usize) -> u32 {
    let half = buckets / 2;
    let start = if distance > 0 { half } else { 0 };
    let exact = half / 2;
    let n = distance.unsigned_abs() as usize;
    if n < exact {
        return (start + n) as u32;
    }
    // In float32 and in this order, as PyTorch does it: the floor at a border depends on it.
    let ratio = (n as f32 / exact as f32).ln() / (max_distance as f64 / exact as f64).ln() as f32;
    let grown = exact + (ratio * (half - exact) as f32) as usize;
    (start + grown.min(half - 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_t5() {
        // transformers' `_relative_position_bucket(d, True, 32, 128)`.
        for (distance, expected) in [
            (0, 0),
            (-1, 1),
            (-7, 7),
            (-8, 8),
            (-11, 8),
            (-12, 9),
            (-16, 10),
            (-64, 14),
            (-127, 15),
            (-1000, 15),
            (1, 17),
            (7, 23),
            (8, 24),
            (90, 30),
            (91, 31),
            (128, 31),
        ] {
            assert_eq!(bucket(distance, 32, 128), expected, "{distance}");
        }
    }
}
