//! Linear layers: the products are cuBLAS's, what is before and behind them are kernels.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, DType, Layout, Result, Shape, Tensor};

use super::rows::{activate, activate_backward, add_row, column_sums};
use super::{View, tensor};
use crate::kernels::failed;
use crate::ops::Epilogue;

/// `activation(z) W^T + b`, multiplied and stored in `dtype`.
pub struct Linear {
    /// Before the product.
    pub activation: Epilogue,
    /// Number type of the product and its result.
    pub dtype: DType,
}

impl Linear {
    /// The layer's result.
    pub fn forward(
        &self,
        z: (&CudaStorage, &Layout),
        weight: (&CudaStorage, &Layout),
        bias: Option<(&CudaStorage, &Layout)>,
    ) -> Result<(CudaStorage, Shape)> {
        let (outputs, inputs) = weight.1.shape().dims2()?;
        let mut dims = z.1.dims().to_vec();
        let width = dims.last().copied().unwrap_or(0);
        let expected = match self.activation {
            Epilogue::Gate(_) => 2 * inputs,
            _ => inputs,
        };
        let fits = bias.is_none_or(|(_, layout)| layout.shape().elem_count() == outputs);
        if width != expected || !fits {
            return Err(failed(format!(
                "a linear layer {inputs} -> {outputs} was given {dims:?}"
            )));
        }
        let rows = z.1.shape().elem_count() / width.max(1);
        let active;
        let (x, x_start) = match self.activation {
            Epilogue::None if z.0.dtype() == self.dtype => (z.0, z.1.start_offset()),
            Epilogue::None => {
                active = z.0.to_dtype(z.1, self.dtype)?;
                (&active, 0)
            }
            epilogue => {
                active = activate(z, epilogue, self.dtype)?.0;
                (&active, 0)
            }
        };
        let narrow;
        let (weight, weight_start) = if weight.0.dtype() == self.dtype {
            (weight.0, weight.1.start_offset())
        } else {
            narrow = weight.0.to_dtype(weight.1, self.dtype)?;
            (&narrow, 0)
        };
        let x_layout = Layout::contiguous_with_offset((rows, inputs), x_start);
        let weight_layout =
            Layout::contiguous_with_offset((outputs, inputs), weight_start).transpose(0, 1)?;
        let y = x.matmul(
            weight,
            (1, rows, outputs, inputs),
            &x_layout,
            &weight_layout,
        )?;
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        let shape = Shape::from(dims);
        if let Some((bias, layout)) = bias {
            let out = View::of_storage(&y, &Layout::contiguous(&shape))?;
            add_row(&y.device, (out, &shape), View::of_storage(bias, layout)?)?;
        }
        Ok((y, shape))
    }

    /// Gradients of `z`, `weight` and, with `bias`, of a bias of that type.
    pub fn backward(
        &self,
        z: &Tensor,
        weight: &Tensor,
        bias: Option<DType>,
        gradient: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let (outputs, inputs) = weight.dims2()?;
        let width = z.dims().last().copied().unwrap_or(1).max(1);
        let rows = z.elem_count() / width;
        let g = gradient.detach().reshape((rows, outputs))?;
        let (z_value, w) = (z.detach(), weight.detach());
        let to_z = if z.track_op() {
            let to_x = g.matmul(&w.to_dtype(self.dtype)?)?;
            Some(match self.activation {
                Epilogue::None => to_x.to_dtype(z.dtype())?.reshape(z.shape())?,
                epilogue => activate_backward(&z_value, &to_x, epilogue)?,
            })
        } else {
            None
        };
        let to_weight = if weight.track_op() {
            let x = match self.activation {
                Epilogue::None => z_value.to_dtype(self.dtype)?,
                epilogue => {
                    let (storage, layout) = z_value.storage_and_layout();
                    let candle_core::Storage::Cuda(storage) = &*storage else {
                        return Err(failed("a linear layer's input left its device"));
                    };
                    let (x, shape) = activate((storage, layout), epilogue, self.dtype)?;
                    tensor(x, shape)
                }
            };
            let x = x.reshape((rows, inputs))?;
            Some(g.t()?.matmul(&x)?.to_dtype(weight.dtype())?)
        } else {
            None
        };
        let to_bias = bias
            .map(|dtype| column_sums(&g)?.to_dtype(dtype))
            .transpose()?;
        Ok([to_z, to_weight, to_bias])
    }
}
