//! Layer and root-mean-square normalisation, of a sum where there is a residual.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::super::cuda;
use super::super::{contiguous, failed, with_values};
use super::{add_up, sum, tensor, wide};

/// Rows that one task normalises.
const ROWS: usize = 64;

/// Normalises rows of `x`, or of `x + residual`. Scale and shift are rows of one tensor,
/// `[1 or 2, width]`, as an operation has three arguments at most.
struct Norm {
    epsilon: f32,
    centre: bool,
}

/// Mean and inverse deviation of a row.
#[inline(always)]
fn moments(row: &[f32], epsilon: f32, centre: bool) -> (f32, f32) {
    let width = row.len() as f32;
    let mean = if centre {
        sum(row.len(), |i| row[i]) / width
    } else {
        0.0
    };
    let square = sum(row.len(), |i| (row[i] - mean) * (row[i] - mean));
    (mean, 1.0 / (square / width + epsilon).sqrt())
}

/// A task's part of a tensor that may not be there.
fn part(values: Option<&[f32]>, index: usize, size: usize, length: usize) -> Option<&[f32]> {
    values.map(|v| &v[index * size..index * size + length])
}

impl Norm {
    fn forward(
        &self,
        x: &[f32],
        residual: Option<&[f32]>,
        parameters: (&CpuStorage, &Layout),
        shape: &Shape,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = parameters.1.shape().dims2()?;
        let parameters = contiguous(parameters.0, parameters.1)?;
        if shape.dims().last() != Some(&width) || residual.is_some_and(|r| r.len() != x.len()) {
            return Err(failed(format!(
                "a normalisation of width {width} was given {shape:?}"
            )));
        }
        let (weight, bias) = parameters.split_at(width);
        let size = ROWS * width;
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(size).enumerate().for_each(|(index, y)| {
            let x = &x[index * size..index * size + y.len()];
            let residual = part(residual, index, size, y.len());
            wide(|| {
                add(y, x, residual);
                for row in y.chunks_exact_mut(width) {
                    let (mean, scale) = moments(row, self.epsilon, self.centre);
                    for (v, w) in row.iter_mut().zip(weight) {
                        *v = (*v - mean) * scale * w;
                    }
                    if rows == 2 {
                        for (v, b) in row.iter_mut().zip(bias) {
                            *v += b;
                        }
                    }
                }
            });
        });
        Ok((CpuStorage::F32(y), shape.clone()))
    }

    /// Gradients of `x`, of the residual (the same numbers), and of the parameters.
    fn backward(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        parameters: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Tensor, Option<Tensor>, Tensor)> {
        let (rows, width) = parameters.dims2()?;
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return self.on_gpu().backward(x, residual, parameters, &gradient);
        }
        let run = |x: &[f32], residual: Option<&[f32]>, weight: &[f32], g: &[f32]| {
            let size = ROWS * width;
            let mut out = vec![0.0; x.len()];
            let parts = out
                .par_chunks_mut(size)
                .enumerate()
                .map(|(index, out)| {
                    let (from, to) = (index * size, index * size + out.len());
                    let (x, g) = (&x[from..to], &g[from..to]);
                    let residual = part(residual, index, size, out.len());
                    let mut sums = vec![0.0; rows * width];
                    wide(|| self.rows(out, x, residual, weight, g, &mut sums));
                    sums
                })
                .collect();
            (out, add_up(parts))
        };
        let (to_x, to_parameters) = with_values(x, |x| {
            with_values(parameters, |p| {
                with_values(&gradient, |g| match residual {
                    Some(residual) => {
                        with_values(residual, |r| Ok(run(x, Some(r), &p[..width], g)))
                    }
                    None => Ok(run(x, None, &p[..width], g)),
                })
            })
        })?;
        let to_x = tensor(to_x, x.shape().clone())?;
        let to_residual = residual.map(|_| to_x.clone());
        Ok((to_x, to_residual, tensor(to_parameters, (rows, width))?))
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(&self) -> cuda::Norm {
        cuda::Norm {
            epsilon: self.epsilon,
            centre: self.centre,
        }
    }

    /// Gradients of some rows: with `n` the normalised row and `a = g w`, that of `x` is
    /// `scale (a - mean(a) - n mean(a n))`, without `mean(a)` where rows are not centred.
    #[inline(always)]
    fn rows(
        &self,
        out: &mut [f32],
        x: &[f32],
        residual: Option<&[f32]>,
        weight: &[f32],
        g: &[f32],
        sums: &mut [f32],
    ) {
        let width = weight.len();
        let (to_weight, to_bias) = sums.split_at_mut(width);
        add(out, x, residual);
        for (row, g) in out.chunks_exact_mut(width).zip(g.chunks_exact(width)) {
            let (mean, scale) = moments(row, self.epsilon, self.centre);
            for v in row.iter_mut() {
                *v = (*v - mean) * scale;
            }
            for i in 0..width {
                to_weight[i] += g[i] * row[i];
            }
            for (sum, g) in to_bias.iter_mut().zip(g) {
                *sum += g;
            }
            let along = sum(width, |i| g[i] * weight[i] * row[i]) / width as f32;
            let level = if self.centre {
                sum(width, |i| g[i] * weight[i]) / width as f32
            } else {
                0.0
            };
            for i in 0..width {
                row[i] = scale * (g[i] * weight[i] - level - row[i] * along);
            }
        }
    }
}

#[inline(always)]
fn add(out: &mut [f32], x: &[f32], residual: Option<&[f32]>) {
    match residual {
        Some(residual) => {
            for ((out, x), r) in out.iter_mut().zip(x).zip(residual) {
                *out = x + r;
            }
        }
        None => out.copy_from_slice(x),
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let values = contiguous(x, layout)?;
        self.forward(
            values,
            None,
            (parameters, parameters_layout),
            layout.shape(),
        )
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        parameters: &CudaStorage,
        parameters_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_gpu()
            .forward((x, layout), None, (parameters, parameters_layout))
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (x, _, parameters) = self.backward(x, None, parameters, gradient)?;
        Ok((Some(x), Some(parameters)))
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(
            contiguous(x, layout)?,
            Some(contiguous(residual, residual_layout)?),
            (parameters, parameters_layout),
            layout.shape(),
        )
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        residual: &CudaStorage,
        residual_layout: &Layout,
        parameters: &CudaStorage,
        parameters_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_gpu().forward(
            (x, layout),
            Some((residual, residual_layout)),
            (parameters, parameters_layout),
        )
    }

    fn bwd(
        &self,
        x: &Tensor,
        residual: &Tensor,
        parameters: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (x, residual, parameters) = self.backward(x, Some(residual), parameters, gradient)?;
        Ok((Some(x), residual, Some(parameters)))
    }
}

/// Normalises `x`, or `x + residual`, over the last dimension; `centre` takes the mean out.
pub fn norm(
    x: &Tensor,
    residual: Option<&Tensor>,
    weight: &Tensor,
    bias: Option<&Tensor>,
    epsilon: f64,
    centre: bool,
) -> Result<Tensor> {
    let parameters = match bias {
        Some(bias) => Tensor::stack(&[weight, bias], 0)?,
        None => weight.unsqueeze(0)?,
    };
    let op = Norm {
        epsilon: epsilon as f32,
        centre,
    };
    let (x, parameters) = (x.contiguous()?, parameters.contiguous()?);
    match residual {
        Some(residual) => x.apply_op3(&residual.contiguous()?, &parameters, op),
        None => x.apply_op2(&parameters, op),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::agree;
    use super::*;
    use crate::ops::{LayerNorm, Mode, RmsNorm};

    #[test]
    fn normalisations_agree_with_composed_ones_and_with_differences() {
        // In float64 the layers are composed of candle's own operations.
        let layer = |x: &Tensor, w: &Tensor, b: Option<&Tensor>| {
            LayerNorm {
                weight: w.clone(),
                bias: b.cloned(),
                epsilon: 1e-5,
                mode: Mode::Differentiable,
            }
            .forward(x)
        };
        let shapes: [&[usize]; 4] = [&[3, 50, 70], &[70], &[70], &[3, 50, 70]];
        agree(
            "layer norm",
            &shapes[..3],
            &|x| norm(&x[0], None, &x[1], Some(&x[2]), 1e-5, true),
            &|x| layer(&x[0], &x[1], Some(&x[2])),
        );
        agree(
            "layer norm of a sum",
            &shapes,
            &|x| norm(&x[0], Some(&x[3]), &x[1], Some(&x[2]), 1e-5, true),
            &|x| layer(&(&x[0] + &x[3])?, &x[1], Some(&x[2])),
        );
        agree(
            "layer norm without a bias",
            &shapes[..2],
            &|x| norm(&x[0], None, &x[1], None, 1e-5, true),
            &|x| layer(&x[0], &x[1], None),
        );
        agree(
            "root mean square",
            &shapes[..2],
            &|x| norm(&x[0], None, &x[1], None, 1e-6, false),
            &|x| {
                RmsNorm {
                    weight: x[1].clone(),
                    offset: 0.0,
                    epsilon: 1e-6,
                    mode: Mode::Differentiable,
                }
                .forward(&x[0])
            },
        );
    }
}
