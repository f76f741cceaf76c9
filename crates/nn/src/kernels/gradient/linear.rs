//! Linear layers, alone and after an activation.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, backend::BackendStorage as _};
use rayon::prelude::*;
use rten_tensor::NdTensorView;

#[cfg(feature = "cuda")]
use super::super::cuda;
use super::super::{Product, contiguous, failed, with_values};
use super::{activation, add_up, tensor, wide};
use crate::ops::Epilogue;

/// Rows whose gradients of a bias are summed by one task.
const ROWS: usize = 512;

/// `activation(z) W^T + b`. What the activation gives is computed again in the backward pass.
struct LinearOp {
    activation: Epilogue,
    /// Number type of the product and of its result on a GPU, where it is not that of `z`.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))]
    narrow: Option<DType>,
}

fn matrix(values: &[f32], rows: usize, columns: usize) -> NdTensorView<'_, f32, 2> {
    NdTensorView::from_data([rows, columns], values)
}

/// Sums of columns.
fn columns(values: &[f32], width: usize) -> Vec<f32> {
    let parts = values
        .par_chunks(ROWS * width)
        .map(|part| {
            let mut sums = vec![0.0; width];
            wide(|| {
                for row in part.chunks_exact(width) {
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum += value;
                    }
                }
            });
            sums
        })
        .collect();
    add_up(parts)
}

impl LinearOp {
    fn forward(
        &self,
        (z, z_layout): (&CpuStorage, &Layout),
        (weight, weight_layout): (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let z = contiguous(z, z_layout)?;
        let weight = contiguous(weight, weight_layout)?;
        let (outputs, inputs) = weight_layout.shape().dims2()?;
        let mut dims = z_layout.dims().to_vec();
        let width = dims.last().copied().unwrap_or(0);
        let expected = match self.activation {
            Epilogue::Gate(_) => 2 * inputs,
            _ => inputs,
        };
        if width != expected || bias.is_some_and(|b| b.len() != outputs) {
            return Err(failed(format!(
                "a linear layer {inputs} -> {outputs} was given {dims:?}"
            )));
        }
        let rows = z.len() / width.max(1);
        let active;
        let x = match self.activation {
            Epilogue::None => z,
            epilogue => {
                active = activation::forward(epilogue, z, width);
                &active
            }
        };
        let weight = matrix(weight, outputs, inputs).transposed();
        let mut product = Product::new(matrix(x, rows, inputs), weight);
        product.bias = bias;
        let y = product.values()?;
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        Ok((CpuStorage::F32(y), Shape::from(dims)))
    }

    /// Gradients of `z`, `weight` and, with `bias`, of the bias.
    fn backward(
        &self,
        z: &Tensor,
        weight: &Tensor,
        bias: bool,
        gradient: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if z.device().is_cuda() {
            let layer = self.on_gpu(z.dtype());
            return layer.backward(z, weight, bias.then(|| weight.dtype()), &gradient);
        }
        let (outputs, inputs) = weight.dims2()?;
        let width = z.dims().last().copied().unwrap_or(1).max(1);
        let rows = z.elem_count() / width;
        with_values(&gradient, |g| {
            let g_matrix = matrix(g, rows, outputs);
            let to_z = if z.track_op() {
                let to_x = with_values(weight, |weight| {
                    Product::new(g_matrix, matrix(weight, outputs, inputs)).values()
                })?;
                let to_z = with_values(z, |z| {
                    Ok(activation::backward(self.activation, z, width, to_x))
                })?;
                Some(tensor(to_z, z.shape().clone())?)
            } else {
                None
            };
            let to_weight = if weight.track_op() {
                let product = |x: &[f32]| {
                    Product::new(g_matrix.transposed(), matrix(x, rows, inputs)).values()
                };
                let found = with_values(z, |z| match self.activation {
                    Epilogue::None => product(z),
                    epilogue => product(&activation::forward(epilogue, z, width)),
                })?;
                Some(tensor(found, (outputs, inputs))?)
            } else {
                None
            };
            let to_bias = if bias {
                Some(tensor(columns(g, outputs), outputs)?)
            } else {
                None
            };
            Ok([to_z, to_weight, to_bias])
        })
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(&self, dtype: DType) -> cuda::Linear {
        cuda::Linear {
            activation: self.activation,
            dtype: self.narrow.unwrap_or(dtype),
        }
    }
}

impl CustomOp2 for LinearOp {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        z_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((z, z_layout), (weight, weight_layout), None)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        z: &CudaStorage,
        z_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let layer = self.on_gpu(z.dtype());
        layer.forward((z, z_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        z: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [z, weight, _] = self.backward(z, weight, false, gradient)?;
        Ok((z, weight))
    }
}

impl CustomOp3 for LinearOp {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        z_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = contiguous(bias, bias_layout)?;
        self.forward((z, z_layout), (weight, weight_layout), Some(bias))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        z: &CudaStorage,
        z_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let layer = self.on_gpu(z.dtype());
        let bias = Some((bias, bias_layout));
        layer.forward((z, z_layout), (weight, weight_layout), bias)
    }

    fn bwd(
        &self,
        z: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [z, weight, bias] = self.backward(z, weight, bias.track_op(), gradient)?;
        Ok((z, weight, bias))
    }
}

/// `x W^T + b` for `x [.., in]`, `W [out, in]`, `b [out]`; on a GPU in the number type `narrow`.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    narrow: Option<DType>,
) -> Result<Tensor> {
    activated(x, weight, bias, (Epilogue::None, narrow))
}

/// `activation(z) W^T + b`; see [`linear`].
pub fn activated(
    z: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    (activation, narrow): (Epilogue, Option<DType>),
) -> Result<Tensor> {
    let (z, weight) = (z.contiguous()?, weight.contiguous()?);
    let op = LinearOp { activation, narrow };
    match bias {
        Some(bias) => z.apply_op3(&weight, &bias.contiguous()?, op),
        None => z.apply_op2(&weight, op),
    }
    .map(super::narrow)
}

#[cfg(test)]
mod tests {
    use super::super::tests::agree;
    use super::*;
    use crate::ops::Activation;

    fn composed(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        let (rows, width, inputs) = x.dims3()?;
        let y = x.reshape((rows * width, inputs))?.matmul(&w.t()?)?;
        let y = match b {
            Some(b) => y.broadcast_add(b)?,
            None => y,
        };
        y.reshape((rows, width, w.dim(0)?))
    }

    #[test]
    fn linear_layers_agree_with_composed_ones_and_with_differences() {
        let shapes: [&[usize]; 3] = [&[3, 211, 20], &[14, 20], &[14]];
        agree(
            "with a bias",
            &shapes,
            &|x| linear(&x[0], &x[1], Some(&x[2]), None),
            &|x| composed(&x[0], &x[1], Some(&x[2])),
        );
        agree(
            "without a bias",
            &shapes[..2],
            &|x| linear(&x[0], &x[1], None, None),
            &|x| composed(&x[0], &x[1], None),
        );
        let activation = Epilogue::Activate(Activation::Gelu);
        agree(
            "behind an activation",
            &shapes,
            &|x| activated(&x[0], &x[1], Some(&x[2]), (activation, None)),
            &|x| composed(&activation.composed(&x[0])?, &x[1], Some(&x[2])),
        );
        let gate = Epilogue::Gate(Activation::Silu);
        agree(
            "behind a gate",
            &[&[2, 9, 40], &[14, 20]],
            &|x| activated(&x[0], &x[1], None, (gate, None)),
            &|x| composed(&gate.composed(&x[0])?, &x[1], None),
        );
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let zeros = |shape: &[usize]| {
            Tensor::zeros(shape, candle_core::DType::F32, &candle_core::Device::Cpu).expect("zeros")
        };
        let (x, w, b) = (zeros(&[2, 3]), zeros(&[4, 5]), zeros(&[4]));
        assert!(linear(&x, &w, Some(&b), None).is_err());
        assert!(linear(&zeros(&[2, 5]), &w, Some(&zeros(&[3])), None).is_err());
        assert!(linear(&zeros(&[2, 5]), &w, Some(&b), None).is_ok());
    }
}
