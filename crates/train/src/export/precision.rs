//! How the weights of a graph are stored.

use super::proto::{FLOAT, FLOAT16};

/// Type of the weights of an exported graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, as the model computes.
    #[default]
    Float32,
    /// Matrices in 16 bits. They are converted to 32 bits when the graph is loaded, so the file is half as
    /// large and computes the same on every processor.
    Float16,
    /// Matrices in 8 bits with one scale per output feature (per token in the embedding matrix). Products are of
    /// whole numbers; the inputs of each product get their range while the graph runs.
    Int8,
}

/// Largest magnitude of an 8-bit weight: 7 bits, because processors without VNNI add two products of 8 bits in
/// 16 bits with saturation.
const LARGEST: f32 = 63.0;

impl Precision {
    /// Element type and bytes of a matrix that is stored as floats.
    pub(super) fn floats(self, values: &[f32]) -> (i64, Vec<u8>) {
        if self == Self::Float16 {
            let bytes = values
                .iter()
                .flat_map(|v| half::f16::from_f32(*v).to_le_bytes());
            (FLOAT16, bytes.collect())
        } else {
            (FLOAT, values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
    }
}

/// Rows of `width` floats as 8-bit numbers, and the scale of each row: `values[i] ≈ numbers[i] · scales[row]`.
pub(super) fn eight_bits(values: &[f32], width: usize) -> (Vec<i8>, Vec<f32>) {
    let mut numbers = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(values.len() / width.max(1));
    for row in values.chunks(width.max(1)) {
        let most = row.iter().fold(0f32, |most, v| most.max(v.abs()));
        let scale = if most > 0.0 { most / LARGEST } else { 1.0 };
        numbers.extend(row.iter().map(|v| (v / scale).round() as i8));
        scales.push(scale);
    }
    (numbers, scales)
}
