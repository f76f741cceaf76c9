//! Operations of the transformer networks, each in two forms that agree: fused for inference, and
//! composed of candle's differentiable operations for training.
//!
//! candle's own fused operations (`softmax_last_dim`, `layer_norm`, `rms_norm`, `rope`) drop the
//! gradient silently, so which form runs is decided by [`Mode`] and nowhere else. On a CPU the
//! fused form computes in float32 with the kernels of [`super::kernels`].

use candle_core::{D, DType, Device, Result, Tensor};

use super::kernels;
use super::mask::Mask;

/// Which form of the operations a network is built of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Fast, without gradients.
    Fused,
    /// Every operation has a gradient.
    Differentiable,
}

impl Mode {
    /// Whether the CPU kernels are used.
    pub(super) fn on_cpu(self, device: &Device) -> bool {
        self == Self::Fused && device.is_cpu()
    }
}

/// Activation functions of feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Gaussian error linear unit, exact (erf) form.
    Gelu,
    /// Gaussian error linear unit, tanh approximation.
    GeluTanh,
    /// Rectifier.
    Relu,
    /// `x * sigmoid(x)`.
    Silu,
}

impl Activation {
    /// Names in `config.json` (transformers' `ACT2FN`) and what they mean.
    const NAMES: &'static [(&'static str, Self)] = &[
        ("gelu", Self::Gelu),
        ("gelu_python", Self::Gelu),
        ("gelu_new", Self::GeluTanh),
        ("gelu_fast", Self::GeluTanh),
        ("gelu_pytorch_tanh", Self::GeluTanh),
        ("relu", Self::Relu),
        ("silu", Self::Silu),
        ("swish", Self::Silu),
    ];

    /// The activation of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find_map(|&(n, a)| (n == name).then_some(a))
    }

    /// The known names, for error messages.
    #[must_use]
    pub fn names() -> String {
        let names: Vec<String> = Self::NAMES.iter().map(|(n, _)| format!("`{n}`")).collect();
        format!("one of {}", names.join(", "))
    }

    fn composed(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::Relu => x.relu(),
            Self::Silu => x.silu(),
        }
    }
}

/// What is done to the output of a linear layer before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// Nothing.
    None,
    /// An activation.
    Activate(Activation),
    /// The output is two halves; the result is `activation(first) * second`, half as wide.
    Gate(Activation),
}

/// `x W^T + b`; several layers that read the same input may be joined to one.
#[derive(Debug)]
pub struct Linear(Form);

#[derive(Debug)]
enum Form {
    Packed(kernels::Packed),
    Parts(Vec<Part>),
}

/// One of the layers that a [`Linear`] joins.
#[derive(Debug, Clone)]
pub struct Part {
    /// Weights `[out, in]`.
    pub weight: Tensor,
    /// Bias `[out]`.
    pub bias: Option<Tensor>,
    /// What is trained in place of the weights.
    pub adapter: Option<Adapter>,
    /// Number type of the multiplication, where it differs from that of the weights.
    pub multiplied_in: Option<DType>,
}

/// A low-rank change of a layer's weights: `weight + scale * up down` (Hu et al., 2022).
#[derive(Debug, Clone)]
pub struct Adapter {
    /// `[rank, in]`.
    pub down: Tensor,
    /// `[out, rank]`.
    pub up: Tensor,
    /// Factor of the change.
    pub scale: f64,
}

impl Part {
    /// `x W^T + b` for `x [rows, in]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let multiply = |x: &Tensor, weight: &Tensor| match self.multiplied_in {
            Some(narrow) if narrow != dtype => x
                .to_dtype(narrow)?
                .matmul(&weight.to_dtype(narrow)?.t()?)?
                .to_dtype(dtype),
            _ => x.matmul(&weight.t()?),
        };
        let mut y = multiply(x, &self.weight)?;
        if let Some(adapter) = &self.adapter {
            let change = multiply(&multiply(x, &adapter.down)?, &adapter.up)?;
            y = (y + (change * adapter.scale)?)?;
        }
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

impl Linear {
    /// A layer whose output is that of its parts side by side. Fused layers have no adapters.
    ///
    /// # Errors
    /// When the parts have different inputs.
    pub fn new(parts: Vec<Part>, mode: Mode) -> Result<Self> {
        if mode == Mode::Differentiable {
            return Ok(Self(Form::Parts(parts)));
        }
        let weights: Vec<&Tensor> = parts.iter().map(|p| &p.weight).collect();
        let weight = match weights[..] {
            [one] => one.clone(),
            _ => Tensor::cat(&weights, 0)?,
        };
        let bias = if parts.iter().any(|p| p.bias.is_some()) {
            let biases: Result<Vec<Tensor>> = parts
                .iter()
                .map(|p| match &p.bias {
                    Some(b) => Ok(b.clone()),
                    None => Tensor::zeros(p.weight.dim(0)?, p.weight.dtype(), p.weight.device()),
                })
                .collect();
            Some(Tensor::cat(&biases?, 0)?)
        } else {
            None
        };
        if mode.on_cpu(weight.device()) {
            Ok(Self(Form::Packed(kernels::Packed::new(
                &weight,
                bias.as_ref(),
            )?)))
        } else {
            Ok(Self(Form::Parts(vec![Part {
                weight,
                bias,
                adapter: None,
                multiplied_in: None,
            }])))
        }
    }

    /// Applies the layer to `x [.., in]`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn forward(&self, x: &Tensor, epilogue: Epilogue) -> Result<Tensor> {
        match &self.0 {
            Form::Packed(packed) => packed.forward(x, None, epilogue),
            Form::Parts(parts) => {
                let y = Self::composed(parts, x)?;
                match epilogue {
                    Epilogue::None => Ok(y),
                    Epilogue::Activate(a) => a.composed(&y),
                    Epilogue::Gate(a) => {
                        let half = y.dim(D::Minus1)? / 2;
                        let first = y.narrow(D::Minus1, 0, half)?;
                        let second = y.narrow(D::Minus1, half, half)?;
                        a.composed(&first)? * second
                    }
                }
            }
        }
    }

    /// Applies the layer to `x [.., in]` and adds `residual [.., out]`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Form::Packed(packed) => packed.forward(x, Some(residual), Epilogue::None),
            Form::Parts(parts) => Self::composed(parts, x)? + residual,
        }
    }

    fn composed(parts: &[Part], x: &Tensor) -> Result<Tensor> {
        let dims = x.dims();
        let rows = x.elem_count() / dims[dims.len() - 1].max(1);
        let flat = x.reshape((rows, dims[dims.len() - 1]))?;
        let outputs: Result<Vec<Tensor>> = parts.iter().map(|p| p.forward(&flat)).collect();
        let outputs = outputs?;
        let y = match &outputs[..] {
            [one] => one.clone(),
            _ => Tensor::cat(&outputs, 1)?,
        };
        let mut shape = dims.to_vec();
        if let Some(last) = shape.last_mut() {
            *last = y.dim(1)?;
        }
        y.reshape(shape)
    }
}

/// Layer normalisation over the last dimension, in float32 or wider.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// Scale `[width]`.
    pub weight: Tensor,
    /// Shift `[width]`.
    pub bias: Option<Tensor>,
    /// Added to the variance.
    pub epsilon: f64,
    /// Which form runs.
    pub mode: Mode,
}

impl LayerNorm {
    /// Normalises `x [.., width]`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.mode.on_cpu(x.device()) {
            return kernels::layer_norm(x, &self.weight, self.bias.as_ref(), self.epsilon as f32);
        }
        if let (Mode::Fused, Some(bias)) = (self.mode, &self.bias) {
            let x = x.contiguous()?;
            return candle_nn::ops::layer_norm(&x, &self.weight, bias, self.epsilon as f32);
        }
        let dtype = x.dtype();
        let x = widened(x)?;
        let width = x.dim(D::Minus1)? as f64;
        let mean = (x.sum_keepdim(D::Minus1)? / width)?;
        let centred = x.broadcast_sub(&mean)?;
        let variance = (centred.sqr()?.sum_keepdim(D::Minus1)? / width)?;
        let y = centred
            .broadcast_div(&(variance + self.epsilon)?.sqrt()?)?
            .to_dtype(dtype)?
            .broadcast_mul(&self.weight)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Root-mean-square normalisation over the last dimension, in float32 or wider.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// Scale `[width]`.
    pub weight: Tensor,
    /// Added to the mean square.
    pub epsilon: f64,
    /// Which form runs.
    pub mode: Mode,
}

impl RmsNorm {
    /// Normalises `x [.., width]`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.mode.on_cpu(x.device()) {
            return kernels::rms_norm(x, &self.weight, self.epsilon as f32);
        }
        if self.mode == Mode::Fused {
            let x = x.contiguous()?;
            return candle_nn::ops::rms_norm(&x, &self.weight, self.epsilon as f32);
        }
        let dtype = x.dtype();
        let x = widened(x)?;
        let width = x.dim(D::Minus1)? as f64;
        let square = (x.sqr()?.sum_keepdim(D::Minus1)? / width)?;
        x.broadcast_div(&(square + self.epsilon)?.sqrt()?)?
            .to_dtype(dtype)?
            .broadcast_mul(&self.weight)
    }
}

/// Cosines and sines of one batch, `[rows, width, head / 2]`.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// Cosines, times the attention factor.
    pub cos: Tensor,
    /// Sines, times the attention factor.
    pub sin: Tensor,
}

impl Rotation {
    /// Rotates `x [rows, width, heads, head]`; the two halves of a head are the two coordinates.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn apply(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        if mode.on_cpu(x.device()) {
            return kernels::rotate(x, &self.cos, &self.sin);
        }
        let dtype = x.dtype();
        if mode == Mode::Fused {
            let (cos, sin) = (self.cos.to_dtype(dtype)?, self.sin.to_dtype(dtype)?);
            return candle_nn::rotary_emb::rope_thd(&x.contiguous()?, &cos, &sin);
        }
        let half = x.dim(D::Minus1)? / 2;
        let cos = self.cos.to_dtype(dtype)?.unsqueeze(2)?;
        let sin = self.sin.to_dtype(dtype)?.unsqueeze(2)?;
        let a = x.narrow(D::Minus1, 0, half)?;
        let b = x.narrow(D::Minus1, half, half)?;
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Tensor::cat(&[first, second], D::Minus1)
    }
}

/// Relative position bias of one batch width.
#[derive(Debug, Clone)]
pub struct Bias {
    /// `[heads, 2 * width - 1]`: column `width - 1 + key - query` is added to a score.
    pub diagonals: Tensor,
    /// The same as `[1, heads, width, width]`, where the fused CPU kernel does not run.
    pub matrix: Option<Tensor>,
}

/// Attention of `q [rows, width, heads, head]` to `k` and `v [rows, width, groups, head]`, where
/// `groups` divides `heads`. The result is `[rows, width, heads * head]`; positions that may
/// attend to nothing hold finite values without meaning.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Scores are multiplied by it.
    pub scale: f64,
    /// Who may attend to whom.
    pub mask: &'a Mask,
    /// Added to the scores.
    pub bias: Option<&'a Bias>,
    /// Which form runs.
    pub mode: Mode,
}

impl Attention<'_> {
    /// Runs the attention.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        if self.mode.on_cpu(q.device()) {
            return kernels::attention(self, q, k, v);
        }
        let (rows, width, heads, head) = q.dims4()?;
        let groups = k.dim(2)?;
        let repeat = |x: &Tensor| -> Result<Tensor> {
            let x = x.transpose(1, 2)?;
            if groups == heads {
                return x.contiguous();
            }
            x.unsqueeze(2)?
                .broadcast_as((rows, groups, heads / groups, width, head))?
                .contiguous()?
                .reshape((rows, heads, width, head))
        };
        let q = q.transpose(1, 2)?.contiguous()?;
        let (k, v) = (repeat(k)?, repeat(v)?);
        let scores = (q.matmul(&k.t()?)? * self.scale)?;
        let mut scores = widened(&scores)?;
        if let Some(bias) = self.bias.and_then(|b| b.matrix.as_ref()) {
            scores = scores.broadcast_add(&bias.to_dtype(scores.dtype())?)?;
        }
        if let Some(additive) = self.mask.additive() {
            scores = scores.broadcast_add(&additive.to_dtype(scores.dtype())?)?;
        }
        let weights = match self.mode {
            Mode::Fused => candle_nn::ops::softmax_last_dim(&scores)?,
            Mode::Differentiable => candle_nn::ops::softmax(&scores, D::Minus1)?,
        };
        weights
            .to_dtype(v.dtype())?
            .matmul(&v)?
            .transpose(1, 2)?
            .contiguous()?
            .reshape((rows, width, heads * head))
    }
}

/// Half-precision tensors as float32, others as they are.
fn widened(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}
