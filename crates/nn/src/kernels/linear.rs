//! Linear layers with packed weights, and the activations after them.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rten_tensor::NdTensorView;
use rten_vecmath::{ApproxGelu, Gelu, Silu};

use super::{Product, Right, Weights, contiguous, failed, values, with_values};
use crate::isa;
use crate::ops::{Activation, Epilogue};

/// A linear layer with its weights in the order in which the multiplication reads them.
pub struct Packed {
    matrix: Weights,
    bias: Option<Vec<f32>>,
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed({} -> {})", self.inputs(), self.outputs())
    }
}

impl Packed {
    /// Packs weights `[out, in]` and a bias `[out]`.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let matrix = with_values(&weight.contiguous()?, |w| {
            let view = NdTensorView::from_data([outputs, inputs], w);
            Ok(Weights::new(view.transposed()))
        })?;
        let bias = bias.map(values).transpose()?;
        Ok(Self { matrix, bias })
    }

    fn inputs(&self) -> usize {
        self.matrix.rows()
    }

    fn outputs(&self) -> usize {
        self.matrix.columns()
    }

    /// `epilogue(x W^T + b)`, or `x W^T + b + residual`.
    pub fn forward(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        epilogue: Epilogue,
    ) -> Result<Tensor> {
        let x = x.contiguous()?;
        let op = LinearOp {
            packed: self,
            residual: residual.map(Tensor::contiguous).transpose()?,
            epilogue,
        };
        x.apply_op1_no_bwd(&op)
    }
}

struct LinearOp<'a> {
    packed: &'a Packed,
    residual: Option<Tensor>,
    epilogue: Epilogue,
}

impl CustomOp1 for LinearOp<'_> {
    fn name(&self) -> &'static str {
        "packed-linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = contiguous(storage, layout)?;
        let (inputs, outputs) = (self.packed.inputs(), self.packed.outputs());
        let mut dims = layout.dims().to_vec();
        if dims.last() != Some(&inputs) {
            return Err(failed(format!(
                "a linear layer of {inputs} inputs was given {dims:?}"
            )));
        }
        let rows = x.len() / inputs;
        let mut product = Product::new(
            NdTensorView::from_data([rows, inputs], x),
            Right::Weights(&self.packed.matrix),
        );
        product.bias = self.packed.bias.as_deref();
        let mut y;
        if let Some(residual) = &self.residual {
            y = with_values(residual, |r| Ok(r.to_vec()))?;
            product.add(&mut y)?;
        } else {
            y = product.values()?;
        }
        let mut width = outputs;
        match self.epilogue {
            Epilogue::None => {}
            Epilogue::Activate(activation) => activate(activation, &mut y),
            Epilogue::Gate(activation) => {
                width = outputs / 2;
                gate(activation, &mut y, width);
            }
        }
        if let Some(last) = dims.last_mut() {
            *last = width;
        }
        Ok((CpuStorage::F32(y), Shape::from(dims)))
    }
}

pub(super) fn activate(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Gelu => isa::map(&Gelu {}, x),
        Activation::GeluTanh => isa::map(&ApproxGelu {}, x),
        Activation::Silu => isa::map(&Silu {}, x),
        Activation::Relu => {
            for v in x {
                *v = v.max(0.0);
            }
        }
    }
}

/// `activation(first half) * second half` of each row of `2 * width`, moved to the front.
fn gate(activation: Activation, y: &mut Vec<f32>, width: usize) {
    let rows = y.len() / (2 * width).max(1);
    for row in 0..rows {
        let start = row * 2 * width;
        let (first, second) = y[start..start + 2 * width].split_at_mut(width);
        activate(activation, first);
        for (a, b) in first.iter_mut().zip(second) {
            *a *= *b;
        }
        y.copy_within(start..start + width, row * width);
    }
    y.truncate(rows * width);
}
