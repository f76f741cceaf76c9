//! Rotary positions of queries and keys that share a tensor with their values.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::super::cuda;
use super::super::{contiguous, failed, with_values};
use super::wide;

/// Turns the first `turned` heads of `[rows, width, heads, head]`; others stay as they are. The
/// gradient is turned back.
struct Rotate {
    cos: Tensor,
    sin: Tensor,
    turned: usize,
    /// 1, or -1 to turn back.
    way: f32,
}

impl Rotate {
    fn run(&self, x: &[f32], [heads, head]: [usize; 2]) -> Result<Vec<f32>> {
        let (half, way) = (head / 2, self.way);
        let size = heads * head;
        if x.len() / size.max(1) * half != self.cos.elem_count() || self.turned > heads {
            return Err(failed("a rotation does not fit its tensor"));
        }
        let mut y = vec![0.0; x.len()];
        with_values(&self.cos, |cos| {
            with_values(&self.sin, |sin| {
                y.par_chunks_mut(size)
                    .zip(x.par_chunks(size))
                    .zip(cos.par_chunks(half).zip(sin.par_chunks(half)))
                    .for_each(|((y, x), (cos, sin))| {
                        y.copy_from_slice(x);
                        wide(|| {
                            for y in y.chunks_exact_mut(head).take(self.turned) {
                                let (first, second) = y.split_at_mut(half);
                                for i in 0..half {
                                    let (a, b, sin) = (first[i], second[i], way * sin[i]);
                                    first[i] = a * cos[i] - b * sin;
                                    second[i] = b * cos[i] + a * sin;
                                }
                            }
                        });
                    });
                Ok(())
            })
        })?;
        Ok(y)
    }
}

impl CustomOp1 for Rotate {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, _, heads, head) = layout.shape().dims4()?;
        let y = self.run(contiguous(storage, layout)?, [heads, head])?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let y = cuda::rotate((x, layout), &self.cos, &self.sin, (self.turned, self.way))?;
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let back = Self {
            cos: self.cos.clone(),
            sin: self.sin.clone(),
            way: -self.way,
            ..*self
        };
        gradient.contiguous()?.apply_op1_no_bwd(&back).map(Some)
    }
}

/// Rotates the first `turned` heads of `x [rows, width, heads, head]` by `cos` and
/// `sin [rows, width, head / 2]`.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor, turned: usize) -> Result<Tensor> {
    x.contiguous()?
        .apply_op1(Rotate {
            cos: cos.contiguous()?,
            sin: sin.contiguous()?,
            turned,
            way: 1.0,
        })
        .map(super::narrow)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agree, numbers};
    use super::*;
    use crate::ops::{Mode, Rotation};

    #[test]
    fn a_rotation_agrees_with_the_composed_one_and_with_differences() {
        let angles = |f: fn(f64) -> f64| {
            let values: Vec<f32> = numbers(2 * 5 * 4, 9)
                .iter()
                .map(|&a| f(3.0 * a) as f32)
                .collect();
            Tensor::from_vec(values, (2, 5, 4), &candle_core::Device::Cpu).expect("angles")
        };
        let (cos, sin) = (angles(f64::cos), angles(f64::sin));
        for turned in [2, 3] {
            agree(
                "rotary",
                &[&[2, 5, 3, 8]],
                &|x| rotate(&x[0], &cos, &sin, turned),
                &|x| {
                    let rotation = Rotation {
                        cos: cos.clone(),
                        sin: sin.clone(),
                    };
                    let first = x[0].narrow(2, 0, turned)?;
                    let first = rotation.apply(&first, Mode::Differentiable)?;
                    let rest = x[0].narrow(2, turned, 3 - turned)?;
                    if turned == 3 {
                        Ok(first)
                    } else {
                        Tensor::cat(&[first, rest], 2)
                    }
                },
            );
        }
    }
}
