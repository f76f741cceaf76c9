//! Tensors of a checkpoint by name, with names resolved, shapes checked and layers built.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};

use super::ops::{LayerNorm, Linear, Mode, RmsNorm};
use super::runtime_error;
use crate::encoder::EncoderError;
use crate::encoder::safetensors::Checkpoint;

/// Where a network takes its tensors from, and how it is to be built.
pub struct Weights<'a> {
    checkpoint: &'a Checkpoint,
    prefix: String,
    device: Device,
    stored: DType,
    computed: DType,
    mode: Mode,
    variables: RefCell<BTreeMap<String, Var>>,
}

impl<'a> Weights<'a> {
    /// Tensors of `checkpoint`, in `dtype`. Fused networks on a CPU compute in float32 with
    /// weights rounded to `dtype`.
    #[must_use]
    pub fn new(checkpoint: &'a Checkpoint, device: &Device, dtype: DType, mode: Mode) -> Self {
        Self {
            checkpoint,
            prefix: String::new(),
            device: device.clone(),
            stored: dtype,
            computed: if mode.on_cpu(device) {
                DType::F32
            } else {
                dtype
            },
            mode,
            variables: RefCell::default(),
        }
    }

    /// Which form of the operations is built.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The device of the tensors.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number type of the computation.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.computed
    }

    /// Finds the prefix before the names of this checkpoint: the first of `prefixes` with which
    /// the tensor `anchor` is there. Without any, names stay as they are and the first tensor
    /// asked for is reported missing.
    pub fn probe(&mut self, prefixes: &[&str], anchor: &str) {
        self.prefix = prefixes
            .iter()
            .find(|p| self.checkpoint.get(&format!("{p}{anchor}")).is_some())
            .map(|p| (*p).to_owned())
            .unwrap_or_default();
    }

    /// Whether a tensor is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.checkpoint
            .get(&format!("{}{name}", self.prefix))
            .is_some()
    }

    /// The trainable tensors that were taken, by their names in the checkpoint; empty for fused
    /// networks.
    #[must_use]
    pub fn into_variables(self) -> BTreeMap<String, Var> {
        self.variables.into_inner()
    }

    /// A tensor of exactly that shape.
    ///
    /// # Errors
    /// When it is missing, has another shape or is not of a float type.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, EncoderError> {
        self.named(format!("{}{name}", self.prefix), shape)
    }

    fn named(&self, name: String, shape: &[usize]) -> Result<Tensor, EncoderError> {
        let Some(found) = self.checkpoint.get(&name) else {
            return Err(EncoderError::Invalid {
                path: self.checkpoint.path(),
                reason: format!(
                    "tensor `{name}` {shape:?} is missing{}",
                    self.checkpoint.similar(&name)
                ),
                hint: Some("do the weights belong to this `config.json`?".into()),
            });
        };
        let invalid = |reason: String| EncoderError::Invalid {
            path: found.path.to_owned(),
            reason,
            hint: Some("do the weights belong to this `config.json`?".into()),
        };
        if found.shape != shape {
            return Err(invalid(format!(
                "tensor `{name}` has the shape {:?}, expected {shape:?}",
                found.shape
            )));
        }
        if let Some(variable) = self.variables.borrow().get(&name) {
            return Ok(variable.as_tensor().clone());
        }
        let dtype = match found.dtype {
            "F64" => DType::F64,
            "F32" => DType::F32,
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            other => {
                return Err(invalid(format!(
                    "tensor `{name}` is of type {other}, expected F32, F16, BF16 or F64"
                )));
            }
        };
        let tensor = Tensor::from_raw_buffer(found.bytes, dtype, shape, &Device::Cpu)
            .and_then(|t| t.to_dtype(self.stored)?.to_dtype(self.computed))
            .and_then(|t| t.to_device(&self.device))
            .map_err(runtime_error)?;
        self.checkpoint.release(&name);
        if self.mode == Mode::Differentiable {
            let variable = Var::from_tensor(&tensor).map_err(runtime_error)?;
            let tensor = variable.as_tensor().clone();
            self.variables.borrow_mut().insert(name, variable);
            return Ok(tensor);
        }
        Ok(tensor)
    }

    /// A tensor of exactly that shape under the first of `names` that is there, prefixes
    /// included; the probed prefix does not count.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn first_of(&self, names: &[&str], shape: &[usize]) -> Result<Tensor, EncoderError> {
        let name = names
            .iter()
            .find(|n| self.checkpoint.get(n).is_some())
            .or(names.first())
            .copied()
            .unwrap_or_default();
        self.named(name.to_owned(), shape)
    }

    /// The prefix that was probed.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The linear layer `name` (`name.weight [outputs, inputs]`, `name.bias [outputs]`).
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn linear(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Linear, EncoderError> {
        self.joined(&[(name, outputs)], inputs, bias)
    }

    /// Linear layers of the same input as one layer whose output is theirs side by side.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn joined(
        &self,
        names: &[(&str, usize)],
        inputs: usize,
        bias: bool,
    ) -> Result<Linear, EncoderError> {
        let parts: Result<Vec<_>, EncoderError> = names
            .iter()
            .map(|&(name, outputs)| {
                let weight = self.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
                let bias = if bias {
                    Some(self.tensor(&format!("{name}.bias"), &[outputs])?)
                } else {
                    None
                };
                Ok((weight, bias))
            })
            .collect();
        Linear::new(parts?, self.mode).map_err(runtime_error)
    }

    /// The layer normalisation `name`.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn layer_norm(
        &self,
        name: &str,
        width: usize,
        epsilon: f64,
        bias: bool,
    ) -> Result<LayerNorm, EncoderError> {
        Ok(LayerNorm {
            weight: self.tensor(&format!("{name}.weight"), &[width])?,
            bias: if bias {
                Some(self.tensor(&format!("{name}.bias"), &[width])?)
            } else {
                None
            },
            epsilon,
            mode: self.mode,
        })
    }

    /// The root-mean-square normalisation `name`.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn rms_norm(
        &self,
        name: &str,
        width: usize,
        epsilon: f64,
    ) -> Result<RmsNorm, EncoderError> {
        Ok(RmsNorm {
            weight: self.tensor(&format!("{name}.weight"), &[width])?,
            epsilon,
            mode: self.mode,
        })
    }
}
