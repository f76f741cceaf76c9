//! Attention of queries, keys and values that are in one tensor: scores, mask, softmax and sum in
//! one operation. Weights are computed again in the backward pass, block by block, so none are
//! kept; padding is left out, and its queries have no gradient.

use std::ops::Range;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use rten_tensor::NdTensorView;

use super::super::attention::{self, Heads, QUERY_BLOCK, weigh};
#[cfg(feature = "cuda")]
use super::super::cuda;
use super::super::{Product, contiguous, failed, with_values};
use super::{add_up, sum, tensor, wide};
use crate::mask::{Keys, Reach};
use crate::ops::Attention;

/// Attention in `qkv [rows, width, heads + 2 groups, head]`, with the biases of distances
/// `[heads, 2 width - 1]` where there are some.
struct Joined {
    scale: f32,
    reach: Reach,
    keys: Vec<Keys>,
    heads: usize,
    groups: usize,
    #[cfg(feature = "cuda")]
    on_gpu: Option<cuda::Joined>,
}

/// One block of queries and the keys they may see.
struct Block {
    queries: Range<usize>,
    keys: Range<usize>,
}

/// What one row works with.
#[derive(Default)]
struct Scratch {
    weights: Vec<f32>,
    changes: Vec<f32>,
    states: Vec<f32>,
}

impl Joined {
    fn blocks(&self, real: &Keys) -> impl Iterator<Item = Block> {
        let (span, reach) = (real.span.clone(), self.reach);
        span.clone().step_by(QUERY_BLOCK).map(move |start| {
            let queries = start..(start + QUERY_BLOCK).min(span.end);
            let first = reach.keys(queries.start, span.end).start;
            let last = reach.keys(queries.end - 1, span.end).end;
            Block {
                queries,
                keys: first.max(span.start)..last,
            }
        })
    }

    /// Heads and the shape of the tensor, checked.
    fn view<'a>(
        &self,
        values: &'a [f32],
        shape: &Shape,
        diagonals: Option<usize>,
    ) -> Result<Heads<'a>> {
        let view = Heads::side_by_side(values, shape)?;
        let fits = view.count == self.heads + 2 * self.groups
            && view.rows == self.keys.len()
            && diagonals.is_none_or(|n| n == self.heads * (2 * view.width - 1));
        if fits {
            Ok(view)
        } else {
            Err(failed(format!(
                "attention of {} heads and {} groups was given {shape:?}",
                self.heads, self.groups
            )))
        }
    }

    fn diagonal<'a>(&self, diagonals: Option<&'a [f32]>, head: usize) -> Option<&'a [f32]> {
        diagonals.map(|d| {
            let n = d.len() / self.heads;
            &d[head * n..(head + 1) * n]
        })
    }

    /// The weights of a block into `scratch.weights`.
    fn weights(
        &self,
        scratch: &mut Scratch,
        qkv: &Heads<'_>,
        row: usize,
        head: usize,
        block: &Block,
        diagonals: Option<&[f32]>,
    ) -> Result<()> {
        let group = self.heads + head / (self.heads / self.groups);
        let (queries, keys) = (&block.queries, &block.keys);
        let q = qkv.matrix(row, queries.clone(), head)?;
        let k = qkv.matrix(row, keys.clone(), group)?;
        let mut product = Product::new(q, k.transposed());
        product.scale = self.scale;
        product.write(&mut scratch.weights)?;
        let diagonal = self.diagonal(diagonals, head);
        let scores = scratch.weights.chunks_exact_mut(keys.len());
        for (query, scores) in queries.clone().zip(scores) {
            let added = diagonal.map(|d| attention::diagonal(d, query, keys.start));
            weigh(scores, query, keys, &self.keys[row], self.reach, added);
        }
        Ok(())
    }

    fn forward(
        &self,
        values: &[f32],
        shape: &Shape,
        diagonals: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let qkv = self.view(values, shape, diagonals.map(<[f32]>::len))?;
        let out_width = self.heads * qkv.head;
        let mut out = vec![0.0; qkv.rows * qkv.width * out_width];
        out.par_chunks_mut(qkv.width * out_width)
            .enumerate()
            .try_for_each(|(row, out)| {
                let mut scratch = Scratch::default();
                for head in 0..self.heads {
                    let values = self.heads + self.groups + head / (self.heads / self.groups);
                    for block in self.blocks(&self.keys[row]) {
                        self.weights(&mut scratch, &qkv, row, head, &block, diagonals)?;
                        let (n, m) = (block.queries.len(), block.keys.len());
                        let weights = NdTensorView::from_data([n, m], &scratch.weights[..]);
                        let values = qkv.matrix(row, block.keys.clone(), values)?;
                        Product::new(weights, values).write(&mut scratch.states)?;
                        for (token, state) in
                            block.queries.zip(scratch.states.chunks_exact(qkv.head))
                        {
                            let at = token * out_width + head * qkv.head;
                            out[at..at + qkv.head].copy_from_slice(state);
                        }
                    }
                }
                Ok::<_, candle_core::Error>(())
            })?;
        let shape = Shape::from((qkv.rows, qkv.width, out_width));
        Ok((CpuStorage::F32(out), shape))
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(&self) -> Result<&cuda::Joined> {
        let no_mask = || failed("attention on a GPU was given the mask of another device");
        self.on_gpu.as_ref().ok_or_else(no_mask)
    }

    /// Gradients of `qkv` and of the biases.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables))]
    fn backward(
        &self,
        qkv: &Tensor,
        diagonals: Option<&Tensor>,
        states: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if qkv.device().is_cuda() {
            return self.on_gpu()?.backward(qkv, diagonals, states, &gradient);
        }
        let run = |values: &[f32], gradient: &[f32], diagonals: Option<&[f32]>| {
            let view = self.view(values, qkv.shape(), diagonals.map(<[f32]>::len))?;
            let size = view.width * view.count * view.head;
            let mut out = vec![0.0; view.rows * size];
            let parts: Result<Vec<Vec<f32>>> = out
                .par_chunks_mut(size)
                .enumerate()
                .map(|(row, out)| self.row(out, &view, row, gradient, diagonals))
                .collect();
            Ok((out, add_up(parts?)))
        };
        let (to_qkv, to_diagonals) = with_values(qkv, |values| {
            with_values(&gradient, |gradient| match diagonals {
                Some(d) => with_values(d, |d| run(values, gradient, Some(d))),
                None => run(values, gradient, None),
            })
        })?;
        let to_diagonals = diagonals
            .map(|d| tensor(to_diagonals, d.shape().clone()))
            .transpose()?;
        Ok((tensor(to_qkv, qkv.shape().clone())?, to_diagonals))
    }

    /// Writes the gradients of one row of `qkv`; gives those of the biases, or nothing where there
    /// are none. With weights `p`, their gradients `d` and the result's `g`:
    /// `d = g v^T`, scores have `s = p (d - rowsum(p d))`, and `q`, `k`, `v` have `scale s k`,
    /// `scale s^T q`, `p^T g`.
    fn row(
        &self,
        out: &mut [f32],
        qkv: &Heads<'_>,
        row: usize,
        gradient: &[f32],
        diagonals: Option<&[f32]>,
    ) -> Result<Vec<f32>> {
        let (width, head_width) = (qkv.width, qkv.head);
        let shape = Shape::from((qkv.rows, width, self.heads, head_width));
        let gradient = Heads::side_by_side(gradient, &shape)?;
        let real = &self.keys[row];
        let per_group = self.heads / self.groups;
        let mut to_diagonals = vec![0.0; diagonals.map_or(0, <[f32]>::len)];
        let per_head = to_diagonals.len() / self.heads;
        let mut scratch = Scratch::default();
        let mut put = |tokens: Range<usize>, head: usize, values: &[f32]| {
            for (token, values) in tokens.zip(values.chunks_exact(head_width)) {
                let at = (token * qkv.count + head) * head_width;
                out[at..at + head_width].copy_from_slice(values);
            }
        };
        for group in 0..self.groups {
            let mut to_k = vec![0.0; real.span.len() * head_width];
            let mut to_v = to_k.clone();
            let (k, v) = (self.heads + group, self.heads + self.groups + group);
            for head in group * per_group..(group + 1) * per_group {
                for block in self.blocks(real) {
                    let Block { queries, keys } = &block;
                    let (n, m) = (queries.len(), keys.len());
                    let inner = (keys.start - real.span.start) * head_width
                        ..(keys.end - real.span.start) * head_width;
                    self.weights(&mut scratch, qkv, row, head, &block, diagonals)?;
                    let g = gradient.matrix(row, queries.clone(), head)?;
                    let values = qkv.matrix(row, keys.clone(), v)?;
                    Product::new(g, values.transposed()).write(&mut scratch.changes)?;
                    let weights = NdTensorView::from_data([n, m], &scratch.weights[..]);
                    Product::new(weights.transposed(), g).add(&mut to_v[inner.clone()])?;
                    wide(|| {
                        for (p, d) in scratch
                            .weights
                            .chunks_exact(m)
                            .zip(scratch.changes.chunks_exact_mut(m))
                        {
                            let level = sum(m, |i| p[i] * d[i]);
                            for (d, p) in d.iter_mut().zip(p) {
                                *d = p * (*d - level);
                            }
                        }
                    });
                    if per_head > 0 {
                        let to = &mut to_diagonals[head * per_head..(head + 1) * per_head];
                        for (query, d) in queries.clone().zip(scratch.changes.chunks_exact(m)) {
                            let start = width - 1 + keys.start - query;
                            for (sum, d) in to[start..].iter_mut().zip(d) {
                                *sum += d;
                            }
                        }
                    }
                    wide(|| {
                        for d in &mut scratch.changes {
                            *d *= self.scale;
                        }
                    });
                    let changes = NdTensorView::from_data([n, m], &scratch.changes[..]);
                    let keys = qkv.matrix(row, keys.clone(), k)?;
                    Product::new(changes, keys).write(&mut scratch.states)?;
                    put(queries.clone(), head, &scratch.states);
                    let q = qkv.matrix(row, queries.clone(), head)?;
                    Product::new(changes.transposed(), q).add(&mut to_k[inner])?;
                }
            }
            put(real.span.clone(), k, &to_k);
            put(real.span.clone(), v, &to_v);
        }
        Ok(to_diagonals)
    }
}

impl CustomOp1 for Joined {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(contiguous(qkv, layout)?, layout.shape(), None)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, qkv: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_gpu()?.forward((qkv, layout), None)
    }

    fn bwd(&self, qkv: &Tensor, states: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.backward(qkv, None, states, gradient)?.0))
    }
}

impl CustomOp2 for Joined {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
        diagonals: &CpuStorage,
        diagonals_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let diagonals = contiguous(diagonals, diagonals_layout)?;
        self.forward(contiguous(qkv, layout)?, layout.shape(), Some(diagonals))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        qkv: &CudaStorage,
        layout: &Layout,
        diagonals: &CudaStorage,
        diagonals_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let diagonals = Some((diagonals, diagonals_layout));
        self.on_gpu()?.forward((qkv, layout), diagonals)
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        diagonals: &Tensor,
        states: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (qkv, diagonals) = self.backward(qkv, Some(diagonals), states, gradient)?;
        Ok((Some(qkv), diagonals))
    }
}

/// Attention in `qkv [rows, width, heads + 2 groups, head]`; see [`Attention`].
pub fn attention(
    attention: &Attention<'_>,
    qkv: &Tensor,
    heads: usize,
    groups: usize,
) -> Result<Tensor> {
    let op = Joined {
        scale: attention.scale as f32,
        reach: attention.mask.reach,
        keys: attention.mask.rows().to_vec(),
        heads,
        groups,
        #[cfg(feature = "cuda")]
        on_gpu: attention.mask.on_device().map(|mask| cuda::Joined {
            scale: attention.scale as f32,
            reach: attention.mask.reach,
            mask: mask.clone(),
            heads,
            groups,
            logsum: std::sync::OnceLock::new(),
        }),
    };
    let qkv = qkv.contiguous()?;
    match attention.bias {
        Some(bias) => {
            let diagonals = bias.diagonals.to_dtype(DType::F32)?.contiguous()?;
            qkv.apply_op2(&diagonals, op)
        }
        None => qkv.apply_op1(op),
    }
    .map(super::narrow)
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device};

    use super::super::tests::agree;
    use super::*;
    use crate::TokenBatch;
    use crate::mask::Mask;
    use crate::ops::{Bias, Mode};

    const WIDTH: usize = 9;

    fn mask(reach: Reach) -> Mask {
        // Right padding, left padding, a hole, none.
        let mask: Vec<u8> = [
            [1, 1, 1, 1, 1, 0, 0, 0, 0],
            [0, 0, 1, 1, 1, 1, 1, 1, 1],
            [1, 1, 0, 1, 1, 1, 1, 1, 0],
            [1; 9],
        ]
        .concat();
        let batch = TokenBatch {
            rows: 4,
            width: WIDTH,
            ids: vec![0; 4 * WIDTH],
            mask: mask.clone(),
            pooling_mask: mask,
        };
        Mask::new(&batch, reach, &Device::Cpu, Mode::Differentiable).expect("a mask")
    }

    /// Results of padding have no meaning: those inside no span count for nothing.
    fn real(mask: &Mask, y: &Tensor) -> Result<Tensor> {
        let mut keep = vec![0.0_f32; 4 * WIDTH];
        for (row, keys) in mask.rows().iter().enumerate() {
            for token in keys.span.clone().filter(|t| !keys.holes.contains(t)) {
                keep[row * WIDTH + token] = 1.0;
            }
        }
        let keep = Tensor::from_vec(keep, (4, WIDTH, 1), &Device::Cpu)?;
        y.broadcast_mul(&keep.to_dtype(y.dtype())?)
    }

    #[test]
    fn attention_agrees_with_the_composed_one_and_with_differences() {
        let window = Reach {
            behind: 2,
            ahead: 1,
        };
        for reach in [Reach::FULL, Reach::CAUSAL, window] {
            for (heads, groups, biased) in [(4, 4, false), (4, 2, false), (3, 3, true)] {
                let mask = mask(reach);
                let with = |bias: Option<&Tensor>, x: &Tensor| -> Result<Tensor> {
                    let bias = bias.map(|d| -> Result<Bias> {
                        Ok(Bias {
                            diagonals: d.clone(),
                            matrix: Some(square(d)?),
                        })
                    });
                    let bias = bias.transpose()?;
                    let attention = Attention {
                        scale: 0.7,
                        mask: &mask,
                        bias: bias.as_ref(),
                        mode: Mode::Differentiable,
                    };
                    real(&mask, &attention.joined(x, heads, groups, None)?)
                };
                let run = |x: &[Tensor]| with(x.get(1), &x[0]);
                let shapes: [&[usize]; 2] =
                    [&[4, WIDTH, heads + 2 * groups, 6], &[heads, 2 * WIDTH - 1]];
                let shapes = if biased { &shapes[..] } else { &shapes[..1] };
                agree(
                    &format!("{reach:?} {heads} {groups} {biased}"),
                    shapes,
                    &run,
                    &run,
                );
            }
        }
    }

    /// `[1, heads, width, width]` of the biases of distances.
    fn square(diagonals: &Tensor) -> Result<Tensor> {
        let rows: Result<Vec<Tensor>> = (0..WIDTH)
            .map(|query| diagonals.narrow(1, WIDTH - 1 - query, WIDTH)?.unsqueeze(1))
            .collect();
        Tensor::cat(&rows?, 1)?.unsqueeze(0)
    }

    #[test]
    fn long_texts_are_cut_into_blocks_of_queries() {
        let width = QUERY_BLOCK + 70;
        let batch = TokenBatch {
            rows: 1,
            width,
            ids: vec![0; width],
            mask: vec![1; width],
            pooling_mask: vec![1; width],
        };
        let reach = Reach {
            behind: 150,
            ahead: 20,
        };
        let mask = Mask::new(&batch, reach, &Device::Cpu, Mode::Differentiable).expect("a mask");
        let run = |x: &[Tensor]| {
            let attention = Attention {
                scale: 0.5,
                mask: &mask,
                bias: None,
                mode: Mode::Differentiable,
            };
            attention.joined(&x[0], 1, 1, None)
        };
        agree("blocks", &[&[1, width, 3, 8]], &run, &run);
    }

    #[test]
    fn a_row_of_padding_has_no_gradient() {
        let batch = TokenBatch {
            rows: 1,
            width: 3,
            ids: vec![0; 3],
            mask: vec![0; 3],
            pooling_mask: vec![0; 3],
        };
        let mask =
            Mask::new(&batch, Reach::FULL, &Device::Cpu, Mode::Differentiable).expect("a mask");
        let attention = Attention {
            scale: 1.0,
            mask: &mask,
            bias: None,
            mode: Mode::Differentiable,
        };
        let qkv = candle_core::Var::ones((1, 3, 3, 4), DType::F32, &Device::Cpu).expect("ones");
        let y = attention
            .joined(qkv.as_tensor(), 1, 1, None)
            .expect("attended");
        let store = y.sum_all().and_then(|s| s.backward()).expect("backward");
        let gradient = store.get(qkv.as_tensor()).expect("a gradient");
        let size = gradient
            .abs()
            .and_then(|g| g.max(D::Minus1)?.max(0)?.max(0)?.max(0));
        assert_eq!(
            size.and_then(|s| s.to_scalar::<f32>()).expect("a number"),
            0.0
        );
    }
}
