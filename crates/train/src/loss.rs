//! Objectives: scalars with a gradient, from embeddings `[rows, dimension]` of any length.
//!
//! To add an objective: its function here and its arm in [`super::step`].

use candle_core::{D, DType, Result, Tensor};

use super::head::normalize;

/// Cosines of rows with rows, `[rows]`.
fn cosines(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    (normalize(a)? * normalize(b)?)?.sum(D::Minus1)
}

/// `-log softmax(logits)[target]`, the mean over rows.
fn cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    // The maximum is taken out as a constant: the gradient is the same without it.
    let highest = logits.max_keepdim(D::Minus1)?.detach();
    let shifted = logits.broadcast_sub(&highest)?;
    let log_sum = shifted.exp()?.sum(D::Minus1)?.log()?;
    let chosen = (shifted * target)?.sum(D::Minus1)?;
    (log_sum - chosen)?.mean_all()
}

/// Equation 1 of the NMIXX paper: `-log(e^(cos(s,p)/tau) / (e^(cos(s,p)/tau) + e^(cos(s,n)/tau)))`,
/// the mean over triplets. All three are `[rows, dimension]`.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn triplet(
    anchor: &Tensor,
    positive: &Tensor,
    negative: &Tensor,
    temperature: f64,
) -> Result<Tensor> {
    let near = cosines(anchor, positive)?.unsqueeze(1)?;
    let far = cosines(anchor, negative)?.unsqueeze(1)?;
    let logits = (Tensor::cat(&[near, far], 1)? / temperature)?;
    let target = Tensor::new(&[[1_f32, 0.0]], logits.device())?
        .to_dtype(logits.dtype())?
        .broadcast_as(logits.shape())?;
    cross_entropy(&logits, &target)
}

/// Added to the difference of two texts before its length is taken, as `PyTorch` does.
const EPSILON: f64 = 1e-6;

/// The triplet margin loss, as `torch.nn.TripletMarginLoss` with `p = 2` computes it:
/// `max(0, |s - p| - |s - n| + margin)`, the mean over triplets. All three are
/// `[rows, dimension]`, at whatever length they have.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn margin(
    anchor: &Tensor,
    positive: &Tensor,
    negative: &Tensor,
    margin: f64,
) -> Result<Tensor> {
    let distance = |other: &Tensor| -> Result<Tensor> {
        let apart = ((anchor - other)? + EPSILON)?;
        apart.sqr()?.sum(D::Minus1)?.sqrt()
    };
    let missing = (distance(positive)? - distance(negative)?)?;
    (missing + margin)?.relu()?.mean_all()
}

/// Which of the candidates of a step are no negatives of a row: copies of its own texts, and texts
/// of another batch, and what a guide takes for false negatives.
#[derive(Debug, Clone, Default)]
pub struct SameText {
    /// Row-major `[rows, candidates]`; true where a candidate must not count against the row.
    pub same: Vec<bool>,
    /// How many of them a guide alone marked.
    pub by_guide: usize,
}

/// Equation 1 with every other positive and every negative of the batch as further negatives.
/// `candidates` are the positives and then, where there are any, the negatives.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn in_batch(
    anchor: &Tensor,
    candidates: &[Tensor],
    same: &SameText,
    temperature: f64,
) -> Result<Tensor> {
    let rows = anchor.dim(0)?;
    let candidates = Tensor::cat(candidates, 0)?;
    let logits = (normalize(anchor)?.matmul(&normalize(&candidates)?.t()?)? / temperature)?;
    let columns = candidates.dim(0)?;
    let mut away = vec![0_f32; rows * columns];
    let mut target = vec![0_f32; rows * columns];
    for row in 0..rows {
        for column in 0..columns {
            let at = row * columns + column;
            if column == row {
                target[at] = 1.0;
            } else if same.same[at] {
                away[at] = -1e9;
            }
        }
    }
    let constant = |values: Vec<f32>| {
        Tensor::from_vec(values, (rows, columns), logits.device())?.to_dtype(logits.dtype())
    };
    let (away, target) = (constant(away)?, constant(target)?);
    cross_entropy(&(logits + away)?, &target)
}

/// `CoSENT`: pairs with a higher gold score must have a higher cosine;
/// `log(1 + sum over gold_i > gold_j of e^((cos_j - cos_i)/tau))`. It trains the order that
/// Spearman's correlation measures. Source: <https://kexue.fm/archives/8847>, and
/// sentence-transformers' `CoSENTLoss` (with scale `1 / tau`).
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn cosent(first: &Tensor, second: &Tensor, gold: &[f64], temperature: f64) -> Result<Tensor> {
    let cosines = (cosines(first, second)? / temperature)?;
    let n = gold.len();
    let differences = cosines
        .unsqueeze(0)?
        .broadcast_sub(&cosines.unsqueeze(1)?)?;
    let mut away = vec![-1e9_f32; n * n];
    for i in 0..n {
        for j in 0..n {
            if gold[i] > gold[j] {
                away[i * n + j] = 0.0;
            }
        }
    }
    let away = Tensor::from_vec(away, (n, n), cosines.device())?.to_dtype(cosines.dtype())?;
    let scores = (differences + away)?.flatten_all()?;
    let scores = Tensor::cat(&[scores.zeros_like()?.narrow(0, 0, 1)?, scores], 0)?;
    let highest = scores.max(0)?.detach();
    scores.broadcast_sub(&highest)?.exp()?.sum_all()?.log()? + highest
}

/// Distance to a teacher (Reimers and Gurevych, 2020, with cosines in place of squared errors):
/// the mean of `1 - cos(student, teacher)` over rows. `teacher` holds rows of length 1.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn to_teacher(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    let cosines = (normalize(student)? * teacher)?.sum(D::Minus1)?;
    1.0 - cosines.mean_all()?
}

/// Mean squared difference between the similarities of rows with rows in the student and in the
/// teacher. `first` and `second` are two views (two languages, say), each with the embeddings of the
/// student and of the teacher.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn similarities(first: &[Tensor; 2], second: &[Tensor; 2]) -> Result<Tensor> {
    let found = normalize(&first[0])?.matmul(&normalize(&second[0])?.t()?)?;
    let wanted = first[1].matmul(&second[1].t()?)?;
    (found - wanted)?.sqr()?.mean_all()
}

/// The value of a scalar.
///
/// # Errors
/// When it is no scalar or the device fails.
pub fn value(loss: &Tensor) -> Result<f64> {
    loss.to_dtype(DType::F64)?.to_scalar::<f64>()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tensor(rows: &[[f64; 2]]) -> Tensor {
        let values = rows.concat();
        Tensor::from_vec(values, (rows.len(), 2), &Device::Cpu).expect("a tensor")
    }

    fn number(loss: Result<Tensor>) -> f64 {
        value(&loss.expect("a loss")).expect("a number")
    }

    #[test]
    fn the_triplet_loss_is_equation_1() {
        let (s, p, n) = (
            tensor(&[[1.0, 0.0], [0.0, 2.0]]),
            tensor(&[[3.0, 4.0], [0.0, 1.0]]),
            tensor(&[[0.0, 1.0], [0.0, 5.0]]),
        );
        // Cosines 0.6 and 0, then 1 and 1.
        let tau = 0.5_f64;
        let first = -((0.6 / tau).exp() / ((0.6 / tau).exp() + 1.0)).ln();
        let expected = f64::midpoint(first, 2.0_f64.ln());
        let found = number(triplet(&s, &p, &n, tau));
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    #[test]
    fn in_batch_negatives_come_with_the_hard_ones_and_copies_do_not_count() {
        let (s, p, n) = (
            tensor(&[[1.0, 0.0], [0.0, 1.0]]),
            tensor(&[[1.0, 0.0], [0.0, 1.0]]),
            tensor(&[[0.0, 1.0], [1.0, 0.0]]),
        );
        let none = SameText {
            same: vec![false; 8],
            by_guide: 0,
        };
        // Own positive 1; other positive 0; own negative 0; other negative 1.
        let e = 1.0_f64.exp();
        let expected = ((2.0 * e + 2.0) / e).ln();
        let found = number(in_batch(&s, &[p.clone(), n.clone()], &none, 1.0));
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        // The other row's negative is a copy of the row's positive.
        let mut copies = none.clone();
        copies.same[3] = true;
        copies.same[6] = true;
        let expected = ((e + 2.0) / e).ln();
        let found = number(in_batch(&s, &[p.clone(), n], &copies, 1.0));
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        // Without negatives only the positives are candidates.
        let none = SameText {
            same: vec![false; 4],
            by_guide: 0,
        };
        let found = number(in_batch(&s, &[p], &none, 1.0));
        assert!((found - ((e + 1.0) / e).ln()).abs() < 1e-6, "{found}");
    }

    #[test]
    fn cosent_is_zero_in_the_right_order_and_grows_in_the_wrong_one() {
        let a = tensor(&[[1.0, 0.0], [1.0, 0.0]]);
        let b = tensor(&[[1.0, 0.0], [0.0, 1.0]]);
        let right = number(cosent(&a, &b, &[5.0, 0.0], 0.05));
        let wrong = number(cosent(&a, &b, &[0.0, 5.0], 0.05));
        assert!(right < 1e-6, "{right}");
        assert!((wrong - 20.0).abs() < 1e-6, "{wrong}");
        let tied = number(cosent(&a, &b, &[1.0, 1.0], 0.05));
        assert!(tied.abs() < 1e-9, "{tied}");
    }

    #[test]
    fn a_student_like_its_teacher_has_no_loss() {
        let teacher = tensor(&[[0.6, 0.8], [1.0, 0.0]]);
        let student = (&teacher * 3.0).expect("scaled");
        assert!(number(to_teacher(&student, &teacher)).abs() < 1e-9);
        let view = [student, teacher.clone()];
        assert!(number(similarities(&view, &view)).abs() < 1e-9);
        let other = tensor(&[[0.6, 0.8], [-1.0, 0.0]]);
        assert!((number(to_teacher(&other, &teacher)) - 1.0).abs() < 1e-9);
    }
}
