//! Principal directions of a set of vectors.

use nalgebra::DMatrix;

/// The `n` directions along which rows of `width` components vary most: the eigenvectors of their
/// second moment (not centred) with the largest eigenvalues, largest first, `[n, width]` row by
/// row. Each has its largest component above 0, so that the same rows give the same signs.
#[must_use]
pub(super) fn directions(rows: &[f32], width: usize, n: usize) -> Vec<f32> {
    let mut moment = DMatrix::<f64>::zeros(width, width);
    // Blocks, so that a matrix product does the work.
    for block in rows.chunks(width * 1024) {
        let block = DMatrix::from_row_slice(block.len() / width, width, block).map(f64::from);
        moment += block.tr_mul(&block);
    }
    let found = moment.symmetric_eigen();
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| found.eigenvalues[b].total_cmp(&found.eigenvalues[a]));
    let mut directions = Vec::with_capacity(n * width);
    for &at in order.iter().take(n) {
        let direction = found.eigenvectors.column(at);
        let largest =
            direction.iter().copied().fold(
                0.0_f64,
                |most, v| {
                    if v.abs() > most.abs() { v } else { most }
                },
            );
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        directions.extend(direction.iter().map(|v| (sign * v) as f32));
    }
    directions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_on_a_line_have_its_direction() {
        // On (3, 4, 0) / 5, with a little of (0, 0, 1).
        let rows = [3.0, 4.0, 0.0, -6.0, -8.0, 0.1, 3.0, 4.0, 0.1];
        let found = directions(&rows, 3, 2);
        for (found, expected) in found.iter().zip([0.6, 0.8, 0.0, 0.0, 0.0, 1.0]) {
            assert!((found - expected).abs() < 0.02, "{found} {expected}");
        }
    }

    #[test]
    fn directions_are_of_length_1_and_apart() {
        let rows: Vec<f32> = (0..600)
            .map(|i| ((i * 7919 + 13) % 101) as f32 / 50.5 - 1.0)
            .collect();
        let found = directions(&rows, 12, 12);
        for a in 0..12 {
            for b in 0..12 {
                let dot: f32 = (0..12).map(|i| found[a * 12 + i] * found[b * 12 + i]).sum();
                let expected = if a == b { 1.0 } else { 0.0 };
                // Directions are float64 until they are stored.
                let bound = korfinsts_nn::rounding::float32(12, 2) as f32;
                assert!((dot - expected).abs() < bound, "{a} {b}: {dot}");
            }
        }
    }
}
