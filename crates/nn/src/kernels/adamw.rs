//! A step of `AdamW`, in place.

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::gradient::{change, wide};
use super::{failed, with_values};

/// Values that one task moves.
const PART: usize = 1 << 15;

/// The numbers of a step of `AdamW`.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// Factors of the first moment and of the gradient in it.
    pub first: [f32; 2],
    /// Factors of the second moment and of the squared gradient in it.
    pub second: [f32; 2],
    /// Factor of the parameter.
    pub keep: f32,
    /// Learning rate, corrected for the first moment's start at 0.
    pub rate: f32,
    /// Factor that corrects the second moment.
    pub scale: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Factor of the gradient.
    pub factor: f32,
}

/// Moves a float32 parameter and its two moments by a gradient, in one pass. Nothing that a graph
/// still needs must be changed so.
///
/// # Errors
/// When the tensors are not float32, differ in size or place, have gaps, or the device fails.
pub fn adamw(
    step: &AdamWStep,
    parameter: &Tensor,
    moments: [&Tensor; 2],
    gradient: &Tensor,
) -> Result<()> {
    let gradient = gradient.contiguous()?.detach();
    let all = [parameter, moments[0], moments[1], &gradient];
    let n = parameter.elem_count();
    if all
        .iter()
        .any(|t| t.dtype() != DType::F32 || t.elem_count() != n)
    {
        return Err(failed("a step of AdamW was given tensors that do not fit"));
    }
    #[cfg(feature = "cuda")]
    if parameter.device().is_cuda() {
        return super::cuda::adamw(step, all);
    }
    with_values(&gradient, |g| {
        change(moments[0], |m| {
            change(moments[1], |v| {
                change(parameter, |p| {
                    p.par_chunks_mut(PART)
                        .zip(m.par_chunks_mut(PART).zip(v.par_chunks_mut(PART)))
                        .zip(g.par_chunks(PART))
                        .for_each(|((p, (m, v)), g)| wide(|| part(step, p, [m, v], g)));
                    Ok(())
                })
            })
        })
    })
}

#[allow(
    clippy::inline_always,
    reason = "a loop has the vectors of the function that it is inlined into"
)]
#[inline(always)]
fn part(step: &AdamWStep, p: &mut [f32], [m, v]: [&mut [f32]; 2], g: &[f32]) {
    let AdamWStep {
        first,
        second,
        keep,
        rate,
        scale,
        epsilon,
        factor,
    } = *step;
    for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
        let g = factor * g;
        *m = first[0] * *m + first[1] * g;
        *v = second[0] * *v + second[1] * g * g;
        *p = keep * *p - rate * *m / ((*v * scale).sqrt() + epsilon);
    }
}
