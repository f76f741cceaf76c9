//! Activations, gates included, and their slopes.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, backend::BackendStorage as _};
use rayon::prelude::*;
use rten_simd::ops::{BitOps, FloatOps, NumOps};
use rten_simd::{Isa, SimdUnaryOp};
use rten_vecmath::{Erf, Exp, Sigmoid, Tanh};

#[cfg(feature = "cuda")]
use super::super::cuda;
use super::super::linear::activate as in_place;
use super::super::{contiguous, failed, with_values};
use super::{PART, tensor, wide};
use crate::isa;
use crate::ops::{Activation, Epilogue};

/// Slope of `x * Phi(x)`: `Phi(x) + x phi(x)`.
struct GeluSlope;

impl SimdUnaryOp<f32> for GeluSlope {
    #[inline(always)]
    fn eval<I: Isa>(&self, isa: I, x: I::F32) -> I::F32 {
        let ops = isa.f32();
        let half = ops.splat(0.5);
        let scaled = ops.mul(x, ops.splat(std::f32::consts::FRAC_1_SQRT_2));
        let below = ops.mul_add(Erf::apply(isa, scaled), half, half);
        let density = Exp::apply(isa, ops.neg(ops.mul(scaled, scaled)));
        // 1 / sqrt(2 pi)
        let density = ops.mul(density, ops.splat(0.398_942_3));
        ops.mul_add(x, density, below)
    }
}

/// Slope of the tanh form: with `u = sqrt(2 / pi) (x + 0.044715 x^3)`,
/// `(1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2`.
struct GeluTanhSlope;

impl SimdUnaryOp<f32> for GeluTanhSlope {
    #[inline(always)]
    fn eval<I: Isa>(&self, isa: I, x: I::F32) -> I::F32 {
        let ops = isa.f32();
        let (half, one) = (ops.splat(0.5), ops.one());
        let (root, cubic) = (ops.splat(0.797_884_6), ops.splat(0.044_715));
        let square = ops.mul(x, x);
        let u = ops.mul(root, ops.mul(x, ops.mul_add(square, cubic, one)));
        let tanh = Tanh::apply(isa, u);
        let slope = ops.mul(root, ops.mul_add(square, ops.splat(3.0 * 0.044_715), one));
        let rest = ops.sub(one, ops.mul(tanh, tanh));
        let second = ops.mul(ops.mul(half, x), ops.mul(rest, slope));
        ops.add(ops.mul_add(half, tanh, half), second)
    }
}

/// Slope of `x s(x)`: `s (1 + x (1 - s))`.
struct SiluSlope;

impl SimdUnaryOp<f32> for SiluSlope {
    #[inline(always)]
    fn eval<I: Isa>(&self, isa: I, x: I::F32) -> I::F32 {
        let ops = isa.f32();
        let one = ops.one();
        let s = Sigmoid::apply(isa, x);
        ops.mul(s, ops.mul_add(x, ops.sub(one, s), one))
    }
}

/// Turns `x` into the slopes at `x`.
fn slope(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Gelu => isa::map(&GeluSlope, x),
        Activation::GeluTanh => isa::map(&GeluTanhSlope, x),
        Activation::Silu => isa::map(&SiluSlope, x),
        Activation::Relu => {
            for v in x {
                *v = f32::from(u8::from(*v > 0.0));
            }
        }
    }
}

/// The result of `epilogue` for rows of `width` values.
pub(super) fn forward(epilogue: Epilogue, z: &[f32], width: usize) -> Vec<f32> {
    match epilogue {
        Epilogue::None => z.to_vec(),
        Epilogue::Activate(activation) => {
            let mut y = vec![0.0; z.len()];
            y.par_chunks_mut(PART)
                .zip(z.par_chunks(PART))
                .for_each(|(y, z)| {
                    y.copy_from_slice(z);
                    in_place(activation, y);
                });
            y
        }
        Epilogue::Gate(activation) => {
            let half = width / 2;
            let mut y = vec![0.0; z.len() / 2];
            y.par_chunks_mut(half)
                .zip(z.par_chunks(width))
                .for_each(|(y, z)| {
                    let (first, second) = z.split_at(half);
                    y.copy_from_slice(first);
                    in_place(activation, y);
                    wide(|| {
                        for (y, b) in y.iter_mut().zip(second) {
                            *y *= b;
                        }
                    });
                });
            y
        }
    }
}

/// The gradient of the arguments `z` from that of the result.
pub(super) fn backward(epilogue: Epilogue, z: &[f32], width: usize, mut g: Vec<f32>) -> Vec<f32> {
    match epilogue {
        Epilogue::None => g,
        Epilogue::Activate(activation) => {
            // Parts that stay in the first cache.
            g.par_chunks_mut(PART / 8)
                .zip(z.par_chunks(PART / 8))
                .for_each(|(g, z)| {
                    let mut slopes = z.to_vec();
                    slope(activation, &mut slopes);
                    wide(|| {
                        for (g, s) in g.iter_mut().zip(&slopes) {
                            *g *= s;
                        }
                    });
                });
            g
        }
        Epilogue::Gate(activation) => {
            let half = width / 2;
            let mut out = vec![0.0; z.len()];
            out.par_chunks_mut(width)
                .zip(z.par_chunks(width))
                .zip(g.par_chunks(half))
                .for_each(|((out, z), g)| {
                    let (first, second) = z.split_at(half);
                    let (to_first, to_second) = out.split_at_mut(half);
                    to_first.copy_from_slice(first);
                    slope(activation, to_first);
                    to_second.copy_from_slice(first);
                    in_place(activation, to_second);
                    wide(|| {
                        for i in 0..half {
                            to_first[i] *= g[i] * second[i];
                            to_second[i] *= g[i];
                        }
                    });
                });
            out
        }
    }
}

struct Activate(Epilogue);

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activate"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut dims = layout.dims().to_vec();
        let width = dims.last().copied().unwrap_or(1).max(1);
        let y = forward(self.0, contiguous(storage, layout)?, width);
        if let (Epilogue::Gate(_), Some(last)) = (self.0, dims.last_mut()) {
            *last /= 2;
        }
        Ok((CpuStorage::F32(y), Shape::from(dims)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, z: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda::activate((z, layout), self.0, z.dtype())
    }

    fn bwd(&self, z: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let width = z.dims().last().copied().unwrap_or(1).max(1);
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if z.device().is_cuda() {
            return cuda::activate_backward(z, &gradient, self.0).map(Some);
        }
        let gradient = with_values(&gradient, |g| Ok(g.to_vec()))?;
        let found = with_values(z, |z| Ok(backward(self.0, z, width, gradient)))?;
        tensor(found, z.shape().clone()).map(Some)
    }
}

/// `epilogue(z)`.
pub fn activate(z: &Tensor, epilogue: Epilogue) -> Result<Tensor> {
    if matches!(epilogue, Epilogue::Gate(_)) && z.dims().last().is_none_or(|w| w % 2 != 0) {
        return Err(failed(format!("a gate was given {:?}", z.dims())));
    }
    z.contiguous()?.apply_op1(Activate(epilogue))
}

#[cfg(test)]
mod tests {
    use super::super::tests::agree;
    use super::*;
    use crate::rounding::float32;

    #[test]
    fn activations_agree_with_composed_ones_and_with_differences() {
        for activation in [Activation::Gelu, Activation::Relu, Activation::Silu] {
            // Differences must not step over the rectifier's corner.
            let wide = |x: &Tensor| match activation {
                Activation::Relu => {
                    let above = (x.sqr()? + 0.1)?;
                    Tensor::cat(&[&above, &above.neg()?], 1)
                }
                _ => x * 3.0,
            };
            for epilogue in [Epilogue::Activate(activation), Epilogue::Gate(activation)] {
                agree(
                    &format!("{epilogue:?}"),
                    &[&[5, 7, 22]],
                    &|x| activate(&wide(&x[0])?, epilogue),
                    &|x| epilogue.composed(&wide(&x[0])?),
                );
            }
        }
        // candle's own slope of the tanh form has constants of six digits.
        agree(
            "tanh",
            &[&[9, 31]],
            &|x| activate(&x[0], Epilogue::Activate(Activation::GeluTanh)),
            &|x| {
                let inner = ((&x[0] + (x[0].powf(3.0)? * 0.044_715)?)?
                    * (2.0 / std::f64::consts::PI).sqrt())?;
                (&x[0] * 0.5)? * (inner.tanh()? + 1.0)?
            },
        );
    }

    #[test]
    fn slopes_far_out_are_those_of_lines() {
        for (activation, right) in [
            (Activation::Gelu, 1.0),
            (Activation::GeluTanh, 1.0),
            (Activation::Silu, 1.0),
            (Activation::Relu, 1.0),
        ] {
            let bound = float32(1, 8) as f32;
            let mut x = [-80.0, 80.0, f32::MIN / 4.0];
            slope(activation, &mut x);
            assert!(
                x[0].abs() < bound && (x[1] - right).abs() < bound,
                "{activation:?} {x:?}"
            );
        }
    }
}
