//! How alike two embeddings are.

use super::undefined::{Operand, Undefined};

/// A similarity of two embeddings: larger means more alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Similarity {
    /// [`cosine`].
    #[default]
    Cosine,
    /// [`cosine_f32`], the one that published scores were computed with.
    CosineF32,
    /// [`dot`].
    Dot,
    /// [`negated_manhattan`].
    Manhattan,
    /// [`negated_euclidean`].
    Euclidean,
}

impl Similarity {
    /// Every similarity, in the order in which they are reported.
    pub const ALL: [Self; 5] = [
        Self::Cosine,
        Self::CosineF32,
        Self::Dot,
        Self::Manhattan,
        Self::Euclidean,
    ];

    /// The name used in result files: `cosine`, `cosine_f32`, `dot`, `manhattan`, `euclidean`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::CosineF32 => "cosine_f32",
            Self::Dot => "dot",
            Self::Manhattan => "manhattan",
            Self::Euclidean => "euclidean",
        }
    }

    /// This similarity of two embeddings of the same number of dimensions. Its range is that of the
    /// function of the same name.
    ///
    /// # Errors
    ///
    /// As the function of the same name.
    pub fn of(self, first: &[f32], second: &[f32]) -> Result<f64, Undefined> {
        match self {
            Self::Cosine => cosine(first, second),
            Self::CosineF32 => cosine_f32(first, second).map(f64::from),
            Self::Dot => dot(first, second),
            Self::Manhattan => negated_manhattan(first, second),
            Self::Euclidean => negated_euclidean(first, second),
        }
    }
}

fn check(first: &[f32], second: &[f32]) -> Result<(), Undefined> {
    if first.len() != second.len() {
        return Err(Undefined::Dimensions {
            first: first.len(),
            second: second.len(),
        });
    }
    if first.is_empty() {
        return Err(Undefined::TooFew {
            what: "dimensions",
            found: 0,
            least: 1,
        });
    }
    for (operand, values) in [(Operand::First, first), (Operand::Second, second)] {
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(Undefined::not_finite(operand, at, f64::from(values[at])));
        }
    }
    Ok(())
}

/// Sum over dimensions in four independent lanes: fast, and the same bits everywhere.
fn sum(first: &[f32], second: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [0.0_f64; 4];
    let (a, a_rest) = first.as_chunks::<4>();
    let (b, b_rest) = second.as_chunks::<4>();
    for (x, y) in a.iter().zip(b) {
        for lane in 0..4 {
            lanes[lane] += term(f64::from(x[lane]), f64::from(y[lane]));
        }
    }
    for (lane, (x, y)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[lane] += term(f64::from(*x), f64::from(*y));
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

/// Cosine of the angle between two embeddings, in \[−1, 1\], accumulated in `f64`.
///
/// # Errors
///
/// [`Undefined`] for different or no dimensions, NaN, infinities, and zero vectors.
pub fn cosine(first: &[f32], second: &[f32]) -> Result<f64, Undefined> {
    check(first, second)?;
    let mut norms = [0.0; 2];
    for (at, (operand, values)) in [(Operand::First, first), (Operand::Second, second)]
        .into_iter()
        .enumerate()
    {
        norms[at] = sum(values, values, |x, y| x * y);
        if norms[at] == 0.0 {
            return Err(Undefined::ZeroVector { operand, norm: 0.0 });
        }
    }
    // Squares of f32, and products of two such sums, neither overflow nor vanish in f64; one square
    // root of a product gives exactly 1 for equal vectors.
    let product = (norms[0] * norms[1]).sqrt();
    Ok((sum(first, second, |x, y| x * y) / product).clamp(-1.0, 1.0))
}

/// Inner product of two embeddings, unbounded, accumulated in `f64`.
///
/// # Errors
///
/// [`Undefined`] for different or no dimensions, NaN and infinities. Zero vectors give 0.
pub fn dot(first: &[f32], second: &[f32]) -> Result<f64, Undefined> {
    check(first, second)?;
    Ok(sum(first, second, |x, y| x * y))
}

/// Minus the sum of absolute differences, at most 0, accumulated in `f64`.
///
/// # Errors
///
/// As [`dot`].
pub fn negated_manhattan(first: &[f32], second: &[f32]) -> Result<f64, Undefined> {
    check(first, second)?;
    Ok(0.0 - sum(first, second, |x, y| (x - y).abs()))
}

/// Minus the Euclidean distance, at most 0, accumulated in `f64`.
///
/// # Errors
///
/// As [`dot`].
pub fn negated_euclidean(first: &[f32], second: &[f32]) -> Result<f64, Undefined> {
    check(first, second)?;
    Ok(0.0 - sum(first, second, |x, y| (x - y) * (x - y)).sqrt())
}

/// Norms below this count as zero: `10 * eps` of `f32`, as scikit-learn's `normalize` has it.
const ZERO_NORM: f32 = 10.0 * f32::EPSILON;

/// `1 − ½‖x̂ − ŷ‖²` in `f32`, the cosine that mteb publishes scores with.
///
/// Equals scikit-learn's `1 - paired_cosine_distances(x, y)` on `float32` rows bit for bit (1.9.1
/// with `NumPy` 2.4.6 on x86-64): each row divided by its norm, squares summed in four lanes from
/// the end of each block of sixteen to its start. Other builds of `NumPy` sum in another order and
/// differ in the last bit. Its values are on a coarse grid near 1, so it has more ties than
/// [`cosine`]; it may leave \[−1, 1\] by a few units in the last place, and is not clamped, since
/// clamping would make ties.
///
/// # Errors
///
/// As [`cosine`]; rows whose norm is below `10 * f32::EPSILON`, which scikit-learn leaves as they
/// are and so scores as if they were near everything, are zero vectors here.
pub fn cosine_f32(first: &[f32], second: &[f32]) -> Result<f32, Undefined> {
    check(first, second)?;
    let mut norms = [0.0_f32; 2];
    for (at, (operand, values)) in [(Operand::First, first), (Operand::Second, second)]
        .into_iter()
        .enumerate()
    {
        norms[at] = squares_f32(values.len(), |i| values[i]).sqrt();
        if norms[at] < ZERO_NORM {
            return Err(Undefined::ZeroVector {
                operand,
                norm: f64::from(norms[at]),
            });
        }
        if !norms[at].is_finite() {
            return Err(Undefined::Overflow);
        }
    }
    let squared = squares_f32(first.len(), |i| first[i] / norms[0] - second[i] / norms[1]);
    Ok(1.0 - 0.5 * squared)
}

/// `np.einsum("i,i->", x, x)` in `float32`, in the order of `NumPy`'s loop for contiguous operands:
/// four lanes; per block of four vectors the last vector is added first; no fused multiply-add.
fn squares_f32(len: usize, value: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 4];
    let blocks = len / 16;
    for block in 0..blocks {
        for vector in (0..4).rev() {
            for (lane, total) in lanes.iter_mut().enumerate() {
                let x = value(block * 16 + vector * 4 + lane);
                *total += x * x;
            }
        }
    }
    for at in blocks * 16..len {
        let x = value(at);
        lanes[at % 4] += x * x;
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let x = [3.0, 4.0];
        let y = [4.0, 3.0];
        for (similarity, expected) in [
            (Similarity::Cosine, 24.0 / 25.0),
            (Similarity::CosineF32, f64::from(0.96_f32)),
            (Similarity::Dot, 24.0),
            (Similarity::Manhattan, -2.0),
            (Similarity::Euclidean, -2.0_f64.sqrt()),
        ] {
            let found = similarity.of(&x, &y).unwrap();
            assert!((found - expected).abs() < 1e-7, "{similarity:?}: {found}");
            assert_eq!(found, similarity.of(&y, &x).unwrap(), "{similarity:?}");
        }
    }

    #[test]
    fn a_vector_and_itself() {
        let x = [0.1_f32, -0.7, 1e-20, 3.3];
        assert_eq!(cosine(&x, &x), Ok(1.0));
        assert_eq!(cosine_f32(&x, &x), Ok(1.0));
        for distance in [negated_manhattan(&x, &x), negated_euclidean(&x, &x)] {
            assert_eq!(distance.unwrap().to_bits(), 0.0_f64.to_bits());
        }
        let opposite = x.map(|v| -v);
        assert_eq!(cosine(&x, &opposite), Ok(-1.0));
    }

    #[test]
    fn extreme_norms_keep_their_cosine() {
        let large = [f32::MAX, f32::MAX];
        let small = [f32::MIN_POSITIVE * f32::EPSILON, 0.0];
        let cosine = cosine(&large, &small).unwrap();
        assert!((cosine - 0.5_f64.sqrt()).abs() < 1e-15, "{cosine}");
        assert_eq!(cosine_f32(&large, &large), Err(Undefined::Overflow));
        assert!(matches!(
            cosine_f32(&[1.0, 0.0], &small),
            Err(Undefined::ZeroVector {
                operand: Operand::Second,
                ..
            })
        ));
    }

    #[test]
    fn undefined_never_a_number() {
        for similarity in Similarity::ALL {
            for (first, second) in [
                (vec![1.0, 2.0], vec![1.0]),
                (vec![], vec![]),
                (vec![f32::NAN, 1.0], vec![1.0, 1.0]),
                (vec![1.0, 1.0], vec![1.0, f32::INFINITY]),
            ] {
                assert!(similarity.of(&first, &second).is_err(), "{similarity:?}");
            }
        }
        for similarity in [Similarity::Cosine, Similarity::CosineF32] {
            assert_eq!(
                similarity.of(&[1.0, 1.0], &[0.0, 0.0]),
                Err(Undefined::ZeroVector {
                    operand: Operand::Second,
                    norm: 0.0
                })
            );
        }
        assert_eq!(dot(&[1.0, 1.0], &[0.0, 0.0]), Ok(0.0));
    }
}
