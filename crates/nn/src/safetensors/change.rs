//! Changes of a checkpoint's tensors that are made when a value is read: adapters merged into their
//! base.

use std::borrow::Cow;

/// One change of a tensor; all are float32, row-major, and of the tensor's shape.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// These values take the place of all.
    Whole(Vec<f32>),
    /// `up [rows, rank]` times `down [rank, columns]`, times `scale`, is added.
    Product {
        /// Second factor of an adapter.
        up: Vec<f32>,
        /// First factor of an adapter.
        down: Vec<f32>,
        /// Rank; not 0.
        rank: usize,
        /// What the product is multiplied by.
        scale: f32,
    },
    /// These values are added.
    Sum(Vec<f32>),
    /// These rows take the place of those of the given numbers, which the tensor has.
    Rows {
        /// Numbers of the rows.
        rows: Vec<usize>,
        /// Their values.
        values: Vec<f32>,
    },
}

impl Change {
    /// Makes the change in a tensor with rows of `width` values.
    fn apply(&self, tensor: &mut Vec<f32>, width: usize) {
        match self {
            Self::Whole(values) => tensor.clone_from(values),
            Self::Product {
                up,
                down,
                rank,
                scale,
            } => product(tensor, width, (up, down, *rank), *scale),
            Self::Sum(values) => {
                for (value, more) in tensor.iter_mut().zip(values) {
                    *value += more;
                }
            }
            Self::Rows { rows, values } => {
                for (row, new) in rows.iter().zip(values.chunks_exact(width)) {
                    tensor[row * width..][..width].copy_from_slice(new);
                }
            }
        }
    }
}

/// Adds a product, row by row; the sum over the rank comes first, as in a matrix product.
fn product(
    tensor: &mut [f32],
    width: usize,
    (up, down, rank): (&[f32], &[f32], usize),
    scale: f32,
) {
    let mut sum = vec![0.0_f32; width];
    for (row, up) in tensor.chunks_exact_mut(width).zip(up.chunks_exact(rank)) {
        sum.fill(0.0);
        for (up, down) in up.iter().zip(down.chunks_exact(width)) {
            for (sum, down) in sum.iter_mut().zip(down) {
                *sum += up * down;
            }
        }
        for (value, sum) in row.iter_mut().zip(&sum) {
            *value += scale * sum;
        }
    }
}

/// The values of a tensor of that shape behind its changes.
pub(super) fn applied(mut values: Vec<f32>, shape: &[usize], changes: &[Change]) -> Vec<f32> {
    let width = shape.last().copied().unwrap_or(1).max(1);
    for change in changes {
        change.apply(&mut values, width);
    }
    values
}

/// Float32 numbers as bytes, little endian.
pub(super) fn bytes_of(values: &[f32]) -> Cow<'static, [u8]> {
    Cow::Owned(values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_in_their_order() {
        let product = Change::Product {
            up: vec![1.0, 0.0, 2.0, 1.0],
            down: vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0],
            rank: 2,
            scale: 0.5,
        };
        let rows = Change::Rows {
            rows: vec![1],
            values: vec![7.0, 8.0, 9.0],
        };
        let start = vec![1.0; 6];
        for (changes, expected) in [
            (vec![product.clone()], [1.5, 2.0, 2.5, 7.0, 13.0, 19.0]),
            (vec![product.clone(), rows], [1.5, 2.0, 2.5, 7.0, 8.0, 9.0]),
            (vec![Change::Sum(vec![0.5; 6])], [1.5; 6]),
            (vec![product, Change::Whole(vec![3.0; 6])], [3.0; 6]),
        ] {
            assert_eq!(applied(start.clone(), &[2, 3], &changes), expected);
        }
    }
}
