//! Tensors of a checkpoint by name, with names resolved, shapes checked and layers built.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::dropout::{Draws, Dropout, STRIDE, mix};
use super::ops::{Adapter, LayerNorm, Linear, Mode, Part, RmsNorm};
use super::runtime_error;
use crate::NnError;
use crate::safetensors::Checkpoint;

/// Low-rank adapters (Hu et al., 2022) that train in place of a network's own tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// Rank of an adapter.
    pub rank: usize,
    /// The adapter's product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Last names of the linear layers that get one (`q_proj`, `query`); empty = all.
    pub targets: Vec<String>,
    /// Seed of the first values.
    pub seed: u64,
    /// Share of an adapter's input that is dropped while it trains, from 0 to 1.
    pub dropout: f64,
}

/// Behind the name of a linear layer: its adapter's tensors, as PEFT names them.
pub const LORA_DOWN: &str = "lora_A.weight";
/// See [`LORA_DOWN`].
pub const LORA_UP: &str = "lora_B.weight";

/// Where a network takes its tensors from, and how it is to be built.
pub struct Weights<'a> {
    checkpoint: &'a Checkpoint,
    prefix: String,
    device: Device,
    stored: DType,
    computed: DType,
    mode: Mode,
    multiplied_in: Option<DType>,
    lora: Option<Lora>,
    draws: Arc<Draws>,
    variables: RefCell<BTreeMap<String, Var>>,
    /// Names of the tensors that were asked for; `Some` where no value is read.
    names_only: Option<RefCell<BTreeSet<String>>>,
    multiplied: Cell<u64>,
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
            multiplied_in: None,
            lora: None,
            draws: Arc::default(),
            variables: RefCell::default(),
            names_only: None,
            multiplied: Cell::new(0),
        }
    }

    /// Weights of the linear layers that were built: what each token is multiplied by.
    #[must_use]
    pub fn multiplied(&self) -> u64 {
        self.multiplied.get()
    }

    /// Weights of which no value is read: a network built from them checks names and shapes, and
    /// [`Self::into_names`] says which tensors it took.
    #[must_use]
    pub fn names_only(checkpoint: &'a Checkpoint) -> Self {
        Self {
            names_only: Some(RefCell::default()),
            ..Self::new(checkpoint, &Device::Cpu, DType::F32, Mode::Differentiable)
        }
    }

    /// The tensors that were taken from weights without values.
    #[must_use]
    pub fn into_names(self) -> BTreeSet<String> {
        self.names_only.map(RefCell::into_inner).unwrap_or_default()
    }

    /// Lets differentiable linear layers multiply in `dtype`, with weights kept as they are.
    pub fn multiply_in(&mut self, dtype: DType) {
        self.multiplied_in = Some(dtype);
    }

    /// Lets adapters of linear layers train in place of every tensor of the checkpoint.
    pub fn adapt(&mut self, lora: Lora) {
        self.lora = Some(lora);
    }

    /// What dropout draws for.
    #[must_use]
    pub fn draws(&self) -> Arc<Draws> {
        Arc::clone(&self.draws)
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
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, NnError> {
        self.named(format!("{}{name}", self.prefix), shape)
    }

    fn named(&self, name: String, shape: &[usize]) -> Result<Tensor, NnError> {
        let Some(found) = self.checkpoint.get(&name) else {
            return Err(NnError::Invalid {
                path: self.checkpoint.path(),
                reason: format!(
                    "tensor `{name}` {shape:?} is missing{}",
                    self.checkpoint.similar(&name)
                ),
                hint: Some("do the weights belong to this `config.json`?".into()),
            });
        };
        let invalid = |reason: String| NnError::Invalid {
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
        if let Some(names) = &self.names_only {
            names.borrow_mut().insert(name);
            let zero = Tensor::zeros((), self.computed, &self.device);
            return zero
                .and_then(|zero| zero.broadcast_as(shape))
                .map_err(runtime_error);
        }
        let tensor = Tensor::from_raw_buffer(&found.bytes(), dtype, shape, &Device::Cpu)
            .and_then(|t| t.to_dtype(self.stored)?.to_dtype(self.computed))
            .and_then(|t| t.to_device(&self.device))
            .map_err(runtime_error)?;
        self.checkpoint.release(&name);
        if self.mode == Mode::Differentiable && self.lora.is_none() {
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
    pub fn first_of(&self, names: &[&str], shape: &[usize]) -> Result<Tensor, NnError> {
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
    ) -> Result<Linear, NnError> {
        self.joined(&[(name, outputs)], inputs, bias)
    }

    /// [`Self::linear`] whose output joins the residual stream: values of it are dropped while a
    /// network trains, with the share of the step.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn output(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Linear, NnError> {
        let linear = self.linear(name, inputs, outputs, bias)?;
        Ok(linear.dropping(self.dropout(name)))
    }

    /// Dropout behind the layer `name`, with the share of the step; none in fused networks.
    #[must_use]
    pub fn dropout(&self, name: &str) -> Option<Dropout> {
        let key = *blake3::hash(format!("{}{name}", self.prefix).as_bytes()).as_bytes();
        (self.mode == Mode::Differentiable).then(|| Dropout {
            share: None,
            layer: key.iter().take(8).fold(0, |s, b| s << 8 | u64::from(*b)),
            draws: self.draws(),
        })
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
    ) -> Result<Linear, NnError> {
        let parts: Result<Vec<_>, NnError> = names
            .iter()
            .map(|&(name, outputs)| self.part((name, outputs), inputs, bias))
            .collect();
        Linear::new(parts?, self.mode).map_err(runtime_error)
    }

    fn part(
        &self,
        (name, outputs): (&str, usize),
        inputs: usize,
        bias: bool,
    ) -> Result<Part, NnError> {
        let weight = self.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
        self.multiplied
            .set(self.multiplied.get() + (inputs as u64) * (outputs as u64));
        let bias = if bias {
            Some(self.tensor(&format!("{name}.bias"), &[outputs])?)
        } else {
            None
        };
        Ok(Part {
            weight,
            bias,
            adapter: self.adapter(name, inputs, outputs)?,
            multiplied_in: self.multiplied_in,
        })
    }

    /// [`Self::linear`] with the second half of its output before the first.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn swapped(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Linear, NnError> {
        let whole = self.part((name, outputs), inputs, bias)?;
        let half = outputs / 2;
        let rows = |tensor: &Tensor, from: usize| tensor.narrow(0, from, half);
        let part = |from: usize| -> candle_core::Result<Part> {
            Ok(Part {
                weight: rows(&whole.weight, from)?,
                bias: whole.bias.as_ref().map(|b| rows(b, from)).transpose()?,
                adapter: match &whole.adapter {
                    Some(adapter) => Some(Adapter {
                        up: rows(&adapter.up, from)?,
                        ..adapter.clone()
                    }),
                    None => None,
                },
                multiplied_in: whole.multiplied_in,
            })
        };
        part(half)
            .and_then(|first| Linear::new(vec![first, part(0)?], self.mode))
            .map_err(runtime_error)
    }

    /// Whether a tensor of exactly that name is there, whatever prefix was probed.
    #[must_use]
    pub fn has_outside(&self, name: &str) -> bool {
        self.checkpoint.get(name).is_some()
    }

    /// The linear layer of exactly that name, without a bias; the probed prefix does not count.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn linear_outside(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Linear, NnError> {
        let part = Part {
            weight: self.named(format!("{name}.weight"), &[outputs, inputs])?,
            bias: None,
            adapter: None,
            multiplied_in: self.multiplied_in,
        };
        Linear::new(vec![part], self.mode).map_err(runtime_error)
    }

    /// The adapter of a linear layer, where it gets one: it starts without effect, from small
    /// values that depend on the seed and the name alone.
    fn adapter(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Option<Adapter>, NnError> {
        let Some(lora) = self
            .lora
            .as_ref()
            .filter(|_| self.mode == Mode::Differentiable)
        else {
            return Ok(None);
        };
        let last = name.rsplit('.').next().unwrap_or(name);
        if !lora.targets.is_empty() && !lora.targets.iter().any(|t| t == last) {
            return Ok(None);
        }
        let name = format!("{}{name}", self.prefix);
        let bound = 1.0 / (inputs as f64).sqrt();
        let key = blake3::hash(format!("{} {name}", lora.seed).as_bytes());
        let mut bytes = key.as_bytes().iter().cycle();
        let mut state = (0..8).fold(0_u64, |s, _| {
            s << 8 | u64::from(*bytes.next().unwrap_or(&0))
        });
        let down: Vec<f64> = (0..lora.rank * inputs)
            .map(|_| bound * (2.0 * split_mix(&mut state) - 1.0))
            .collect();
        let variable = |values: Vec<f64>, shape: (usize, usize), end: &str| {
            let variable = Tensor::from_vec(values, shape, &Device::Cpu)
                .and_then(|t| t.to_dtype(self.computed)?.to_device(&self.device))
                .and_then(|t| Var::from_tensor(&t))
                .map_err(runtime_error)?;
            let tensor = variable.as_tensor().clone();
            self.variables
                .borrow_mut()
                .insert(format!("{name}.{end}"), variable);
            Ok::<_, NnError>(tensor)
        };
        Ok(Some(Adapter {
            down: variable(down, (lora.rank, inputs), LORA_DOWN)?,
            up: variable(
                vec![0.0; outputs * lora.rank],
                (outputs, lora.rank),
                LORA_UP,
            )?,
            scale: lora.alpha / lora.rank as f64,
            dropout: (lora.dropout > 0.0).then(|| Dropout {
                share: Some(lora.dropout),
                layer: state,
                draws: self.draws(),
            }),
        }))
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
    ) -> Result<LayerNorm, NnError> {
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
    pub fn rms_norm(&self, name: &str, width: usize, epsilon: f64) -> Result<RmsNorm, NnError> {
        Ok(RmsNorm {
            weight: self.tensor(&format!("{name}.weight"), &[width])?,
            offset: 0.0,
            epsilon,
            mode: self.mode,
        })
    }
}

/// A number in `[0, 1)` (Steele et al., 2014).
fn split_mix(state: &mut u64) -> f64 {
    let drawn = mix(*state);
    *state = state.wrapping_add(STRIDE);
    (drawn >> 11) as f64 / (1_u64 << 53) as f64
}
