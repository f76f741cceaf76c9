//! Rotary positions and attention, head by head, on tensors as the linear layers leave them.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rten_tensor::{Matrix, NdTensorView};
use rten_vecmath::Softmax;

use super::{Product, contiguous, failed, float32, with_values};
use crate::isa;
use crate::mask::{Keys, Reach};
use crate::ops::Attention;

/// Queries whose scores are computed at once: bounds the memory of long texts.
pub(super) const QUERY_BLOCK: usize = 256;

struct Rotate;

impl CustomOp3 for Rotate {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let heads = Heads::new(x, layout)?;
        let half = heads.head / 2;
        let (cos, sin) = (contiguous(cos, cos_layout)?, contiguous(sin, sin_layout)?);
        let mut y = vec![0.0; layout.shape().elem_count()];
        let mut out = y.chunks_exact_mut(heads.head);
        for row in 0..heads.rows {
            for token in 0..heads.width {
                let at = (row * heads.width + token) * half;
                let (cos, sin) = (&cos[at..at + half], &sin[at..at + half]);
                for head in 0..heads.count {
                    let x = heads.vector(row, token, head);
                    let (a, b) = x.split_at(half);
                    let out = out.next().ok_or_else(|| failed("too few heads"))?;
                    let (first, second) = out.split_at_mut(half);
                    for i in 0..half {
                        first[i] = a[i] * cos[i] - b[i] * sin[i];
                        second[i] = b[i] * cos[i] + a[i] * sin[i];
                    }
                }
            }
        }
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }
}

/// Rotates `x [rows, width, heads, head]` by `cos` and `sin [rows, width, head / 2]`.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    x.apply_op3_no_bwd(&cos.contiguous()?, &sin.contiguous()?, &Rotate)
}

/// `[rows, width, heads, head]`, possibly a part of a wider tensor.
pub(super) struct Heads<'a> {
    values: &'a [f32],
    pub rows: usize,
    pub width: usize,
    pub count: usize,
    pub head: usize,
    strides: [usize; 3],
}

impl<'a> Heads<'a> {
    pub fn new(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let (rows, width, count, head) = layout.shape().dims4()?;
        let stride = layout.stride();
        if head > 1 && stride[3] != 1 {
            return Err(failed("the values of a head do not lie side by side"));
        }
        Ok(Self {
            values: &float32(storage)?[layout.start_offset()..],
            rows,
            width,
            count,
            head,
            strides: [stride[0], stride[1], stride[2]],
        })
    }

    /// Heads of a tensor without gaps.
    pub fn side_by_side(values: &'a [f32], shape: &Shape) -> Result<Self> {
        let (rows, width, count, head) = shape.dims4()?;
        if values.len() != shape.elem_count() {
            return Err(failed(format!("{} values are not {shape:?}", values.len())));
        }
        Ok(Self {
            values,
            rows,
            width,
            count,
            head,
            strides: [width * count * head, count * head, head],
        })
    }

    fn offset(&self, row: usize, token: usize, head: usize) -> usize {
        row * self.strides[0] + token * self.strides[1] + head * self.strides[2]
    }

    fn vector(&self, row: usize, token: usize, head: usize) -> &'a [f32] {
        let at = self.offset(row, token, head);
        &self.values[at..at + self.head]
    }

    /// Tokens of one head as a matrix `[tokens, head]`.
    pub fn matrix(
        &self,
        row: usize,
        tokens: std::ops::Range<usize>,
        head: usize,
    ) -> Result<Matrix<'a, f32>> {
        let at = self.offset(row, tokens.start, head);
        Matrix::from_slice_with_strides(
            [tokens.len(), self.head],
            &self.values[at..],
            [self.strides[1], 1],
        )
        .map_err(|e| failed(format!("a head does not fit its tensor: {e:?}")))
    }
}

struct AttentionOp<'a> {
    attention: &'a Attention<'a>,
    added: Added<'a>,
}

/// What is added to the scores.
#[derive(Clone, Copy)]
enum Added<'a> {
    Nothing,
    /// `[heads, 2 * width - 1]`: of each distance.
    Diagonals(&'a [f32]),
    /// `[rows, heads, width, width]`.
    Scores(&'a [f32]),
}

impl<'a> Added<'a> {
    /// Of a query, from the key `first` on; `place` is its row and head.
    fn of(self, q: &Heads<'_>, place: [usize; 2], query: usize, first: usize) -> Option<&'a [f32]> {
        let [row, head] = place;
        match self {
            Self::Nothing => None,
            Self::Diagonals(all) => {
                let n = all.len() / q.count;
                Some(diagonal(&all[head * n..(head + 1) * n], query, first))
            }
            Self::Scores(all) => {
                let at = ((row * q.count + head) * q.width + query) * q.width;
                Some(&all[at + first..at + q.width])
            }
        }
    }
}

/// The part of a head's `[2 * width - 1]` biases for a query, from the key `first` on.
pub(super) fn diagonal(all: &[f32], query: usize, first: usize) -> &[f32] {
    &all[all.len() / 2 + first - query..]
}

/// Turns the scores of `query` for the keys of `keys` into weights, in place.
pub(super) fn weigh(
    scores: &mut [f32],
    query: usize,
    keys: &std::ops::Range<usize>,
    row: &Keys,
    reach: Reach,
    added: Option<&[f32]>,
) {
    let seen = reach.keys(query, row.span.end);
    let seen = seen.start.max(keys.start)..seen.end.min(keys.end);
    if seen.is_empty() {
        scores.fill(0.0);
        return;
    }
    if let Some(added) = added {
        for (score, bias) in scores.iter_mut().zip(added) {
            *score += bias;
        }
    }
    for &hole in &row.holes {
        if keys.contains(&hole) {
            scores[hole - keys.start] = f32::NEG_INFINITY;
        }
    }
    let (from, to) = (seen.start - keys.start, seen.end - keys.start);
    scores[..from].fill(0.0);
    scores[to..].fill(0.0);
    let softmax = Softmax::new_mut(&mut scores[from..to]);
    isa::run(softmax.flush_nans_to_zero(row.holes.len() >= seen.len()));
}

impl CustomOp3 for AttentionOp<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let q = Heads::new(q, q_layout)?;
        let k = Heads::new(k, k_layout)?;
        let v = Heads::new(v, v_layout)?;
        let reach = self.attention.mask.reach;
        let per_group = q.count / k.count;
        let out_width = q.count * q.head;
        let mut out = vec![0.0; q.rows * q.width * out_width];
        let (mut scores, mut states) = (Vec::new(), Vec::new());
        for (row, real) in self.attention.mask.rows().iter().enumerate() {
            for head in 0..q.count {
                let group = head / per_group;
                let mut start = real.span.start;
                while start < real.span.end {
                    let queries = start..(start + QUERY_BLOCK).min(real.span.end);
                    let first = reach.keys(queries.start, real.span.end).start;
                    let last = reach.keys(queries.end - 1, real.span.end).end;
                    let keys = first.max(real.span.start)..last;
                    start = queries.end;
                    let mut product = Product::new(
                        q.matrix(row, queries.clone(), head)?,
                        k.matrix(row, keys.clone(), group)?.transposed(),
                    );
                    product.scale = self.attention.scale as f32;
                    product.write(&mut scores)?;
                    for (query, scores) in queries.clone().zip(scores.chunks_exact_mut(keys.len()))
                    {
                        let added = self.added.of(&q, [row, head], query, keys.start);
                        weigh(scores, query, &keys, real, reach, added);
                    }
                    let weights = NdTensorView::from_data([queries.len(), keys.len()], &scores[..]);
                    Product::new(weights, v.matrix(row, keys, group)?).write(&mut states)?;
                    for (token, state) in queries.zip(states.chunks_exact(q.head)) {
                        let at = (row * q.width + token) * out_width + head * q.head;
                        out[at..at + q.head].copy_from_slice(state);
                    }
                }
            }
        }
        let shape = Shape::from((q.rows, q.width, out_width));
        Ok((CpuStorage::F32(out), shape))
    }
}

/// Attention on a CPU; see [`Attention`]. `scores [rows, heads, width, width]` are added, where there are
/// some.
pub fn attention(
    attention: &Attention<'_>,
    [q, k, v]: [&Tensor; 3],
    scores: Option<&Tensor>,
) -> Result<Tensor> {
    let run = |added: Added<'_>| q.apply_op3_no_bwd(k, v, &AttentionOp { attention, added });
    match (scores, attention.bias) {
        (Some(scores), _) => with_values(&scores.contiguous()?, |s| run(Added::Scores(s))),
        (None, Some(bias)) => {
            with_values(&bias.diagonals.contiguous()?, |d| run(Added::Diagonals(d)))
        }
        (None, None) => run(Added::Nothing),
    }
}
