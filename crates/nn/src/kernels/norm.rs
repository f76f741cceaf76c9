//! Layer and root-mean-square normalisation.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rten_vecmath::{ExtendInit, Normalize, NormalizeOptions, Sum, SumSquare, SumSquareSub};

use super::{contiguous, failed, with_values};
use crate::isa;

struct Norm<'a> {
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    epsilon: f32,
    centre: bool,
}

impl CustomOp1 for Norm<'_> {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = contiguous(storage, layout)?;
        let width = self.weight.len();
        if layout.dims().last() != Some(&width) {
            return Err(failed(format!(
                "a normalisation of width {width} was given {:?}",
                layout.dims()
            )));
        }
        let mut y = Vec::with_capacity(x.len());
        for row in x.chunks_exact(width) {
            let (mean, square) = if self.centre {
                let mean = isa::run(Sum::new(row)) / width as f32;
                (mean, isa::run(SumSquareSub::new(row, mean)))
            } else {
                (0.0, isa::run(SumSquare::new(row)))
            };
            let scale = 1.0 / (square / width as f32 + self.epsilon).sqrt();
            y.extend_init(|free| {
                let options = NormalizeOptions {
                    pre_scale_bias: mean,
                    scale,
                    element_scale: Some(self.weight),
                    bias: 0.0,
                    element_bias: self.bias,
                };
                isa::run(Normalize::new(row, &mut free[..width], options))
            });
        }
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }
}

/// Layer normalisation over the last dimension.
pub fn layer_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    epsilon: f32,
) -> Result<Tensor> {
    let x = x.contiguous()?;
    let run = |weight: &[f32], bias: Option<&[f32]>| {
        x.apply_op1_no_bwd(&Norm {
            weight,
            bias,
            epsilon,
            centre: true,
        })
    };
    with_values(weight, |weight| match bias {
        Some(bias) => with_values(bias, |bias| run(weight, Some(bias))),
        None => run(weight, None),
    })
}

/// Root-mean-square normalisation over the last dimension.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
    let x = x.contiguous()?;
    with_values(weight, |weight| {
        x.apply_op1_no_bwd(&Norm {
            weight,
            bias: None,
            epsilon,
            centre: false,
        })
    })
}
