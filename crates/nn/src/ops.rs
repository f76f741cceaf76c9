//! Operations of the transformer networks, each in forms that agree: fused for inference, fused
//! with a gradient for training, and composed of candle's differentiable operations.
//!
//! candle's own fused operations (`softmax_last_dim`, `layer_norm`, `rms_norm`, `rope`) drop the
//! gradient silently, so which form runs is decided by [`Mode`] and nowhere else. On a CPU the
//! fused forms compute in float32 with the kernels of [`super::kernels`]; training there in other
//! number types takes the composed form. On a GPU one form serves both.

use candle_core::{D, DType, Device, Result, Tensor};

use super::dropout::{Dropout, dropped};
use super::kernels::{self, gradient};
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

    /// Whether the kernels with a gradient are used. On a GPU there are no others.
    fn learns(self, x: &Tensor) -> bool {
        gradient::serves(x) && (self == Self::Differentiable || x.device().is_cuda())
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

impl Epilogue {
    /// The same of candle's own operations.
    pub(super) fn composed(self, y: &Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(y.clone()),
            Self::Activate(a) => a.composed(y),
            Self::Gate(a) => {
                let half = y.dim(D::Minus1)? / 2;
                let first = y.narrow(D::Minus1, 0, half)?;
                let second = y.narrow(D::Minus1, half, half)?;
                a.composed(&first)? * second
            }
        }
    }

    /// The same with a gradient.
    fn learning(self, y: Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(y),
            _ if gradient::serves(&y) => gradient::activate(&y, self),
            _ => self.composed(&y),
        }
    }
}

/// Rows `ids [n]` of `table [rows, width]`, with a gradient.
///
/// # Errors
/// When an id has no row or the device fails.
pub fn select(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    gradient::select(table, ids)
}

/// `x W^T + b`; several layers that read the same input may be joined to one.
#[derive(Debug)]
pub struct Linear(Form, Option<Dropout>);

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
    /// What is left out of its input while it trains.
    pub dropout: Option<Dropout>,
}

impl Part {
    /// Whether an operation with a gradient multiplies `x` by its weights. On a GPU it does so, and
    /// stores the result, in [`Self::multiplied_in`].
    fn served(&self, x: &Tensor) -> bool {
        let same = |d: DType| d == self.weight.dtype();
        let on_gpu = x.device().is_cuda() || gradient::is_as_on_gpu();
        gradient::serves(x) && (on_gpu || self.multiplied_in.is_none_or(same))
    }

    /// `x W^T + b` for `x [rows, in]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let multiply = |x: &Tensor, weight: &Tensor| match self.multiplied_in {
            narrow if self.served(x) => gradient::linear(x, weight, None, narrow),
            Some(narrow) if narrow != dtype => x
                .to_dtype(narrow)?
                .matmul(&weight.to_dtype(narrow)?.t()?)?
                .to_dtype(dtype),
            _ => x.matmul(&weight.t()?),
        };
        let mut y = multiply(x, &self.weight)?;
        if let Some(adapter) = &self.adapter {
            let x = match &adapter.dropout {
                Some(dropout) => &dropout.apply(x)?,
                None => x,
            };
            let change = multiply(&multiply(x, &adapter.down)?, &adapter.up)?;
            y = (y + (change * adapter.scale)?)?;
        }
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?),
            None => Ok(y),
        }
    }
}

/// Weights and bias of layers side by side.
fn join(parts: &[Part]) -> Result<(Tensor, Option<Tensor>)> {
    let weights: Vec<&Tensor> = parts.iter().map(|p| &p.weight).collect();
    let weight = match weights[..] {
        [one] => one.clone(),
        _ => Tensor::cat(&weights, 0)?,
    };
    if parts.iter().all(|p| p.bias.is_none()) {
        return Ok((weight, None));
    }
    let biases: Result<Vec<Tensor>> = parts
        .iter()
        .map(|p| match &p.bias {
            Some(b) => Ok(b.clone()),
            None => Tensor::zeros(p.weight.dim(0)?, p.weight.dtype(), p.weight.device()),
        })
        .collect();
    Ok((weight, Some(Tensor::cat(&biases?, 0)?)))
}

impl Linear {
    /// A layer whose output is that of its parts side by side. Fused layers have no adapters.
    ///
    /// # Errors
    /// When the parts have different inputs.
    pub fn new(parts: Vec<Part>, mode: Mode) -> Result<Self> {
        if mode == Mode::Differentiable {
            return Ok(Self(Form::Parts(parts), None));
        }
        let (weight, bias) = join(&parts)?;
        if mode.on_cpu(weight.device()) {
            let packed = kernels::Packed::new(&weight, bias.as_ref())?;
            Ok(Self(Form::Packed(packed), None))
        } else {
            let part = Part {
                weight,
                bias,
                adapter: None,
                multiplied_in: None,
            };
            Ok(Self(Form::Parts(vec![part]), None))
        }
    }

    /// Drops values of its output, before anything is added to it; fused layers drop nothing.
    #[must_use]
    pub fn dropping(self, dropout: Option<Dropout>) -> Self {
        Self(self.0, dropout)
    }

    /// Applies the layer to `x [.., in]`. On a GPU the result has the number type of the
    /// multiplication.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn forward(&self, x: &Tensor, epilogue: Epilogue) -> Result<Tensor> {
        match &self.0 {
            Form::Packed(packed) => packed.forward(x, None, epilogue),
            Form::Parts(parts) => {
                dropped(epilogue.learning(Self::joined(parts, x)?)?, self.1.as_ref())
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
            Form::Parts(parts) => sum(
                &dropped(Self::joined(parts, x)?, self.1.as_ref())?,
                residual,
            ),
        }
    }

    /// Applies the layer to `epilogue(inner(x))`, the two layers of a feed-forward block, without
    /// keeping what the epilogue gives.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn behind(&self, inner: &Self, x: &Tensor, epilogue: Epilogue) -> Result<Tensor> {
        if let (Form::Parts(inner), Form::Parts(parts)) = (&inner.0, &self.0)
            && let [part] = &parts[..]
            && part.adapter.is_none()
            && part.served(x)
        {
            let z = Self::joined(inner, x)?;
            let (weight, bias) = (&part.weight, part.bias.as_ref());
            let y = gradient::activated(&z, weight, bias, (epilogue, part.multiplied_in))?;
            return dropped(y, self.1.as_ref());
        }
        self.forward(&inner.forward(x, epilogue)?, Epilogue::None)
    }

    /// [`Self::behind`], and adds `residual`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn behind_add(
        &self,
        inner: &Self,
        x: &Tensor,
        epilogue: Epilogue,
        residual: &Tensor,
    ) -> Result<Tensor> {
        match &self.0 {
            Form::Packed(_) => self.forward_add(&inner.forward(x, epilogue)?, residual),
            Form::Parts(_) => sum(&self.behind(inner, x, epilogue)?, residual),
        }
    }

    fn joined(parts: &[Part], x: &Tensor) -> Result<Tensor> {
        let alone = |part: &Part| part.adapter.is_none() && part.served(x);
        if !parts.iter().all(alone) {
            return Self::composed(parts, x);
        }
        let narrow = parts.first().and_then(|part| part.multiplied_in);
        let (weight, bias) = match parts {
            [one] => (one.weight.clone(), one.bias.clone()),
            _ => join(parts)?,
        };
        gradient::linear(x, &weight, bias.as_ref(), narrow)
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

/// `y + residual` in the number type of the residual, which a layer's result may be narrower than.
pub(super) fn sum(y: &Tensor, residual: &Tensor) -> Result<Tensor> {
    y.to_dtype(residual.dtype())? + residual
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
        if self.mode.learns(x) {
            let bias = self.bias.as_ref();
            return gradient::norm(x, None, &self.weight, bias, self.epsilon, true);
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

    /// Normalises `linear(x) + residual`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn of_sum(&self, linear: &Linear, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        if self.mode.learns(x) {
            let y = linear.forward(x, Epilogue::None)?;
            return self.learnt_sum(&y, residual);
        }
        self.forward(&linear.forward_add(x, residual)?)
    }

    /// Normalises the sum of a feed-forward block `outer(epilogue(inner(x)))` and `x`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn of_block(
        &self,
        [inner, outer]: [&Linear; 2],
        x: &Tensor,
        epilogue: Epilogue,
    ) -> Result<Tensor> {
        if self.mode.learns(x) {
            return self.learnt_sum(&outer.behind(inner, x, epilogue)?, x);
        }
        self.forward(&outer.forward_add(&inner.forward(x, epilogue)?, x)?)
    }

    fn learnt_sum(&self, y: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref();
        gradient::norm(y, Some(residual), &self.weight, bias, self.epsilon, true)
    }
}

/// Root-mean-square normalisation over the last dimension, in float32 or wider.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// Scale `[width]`, less `offset`.
    pub weight: Tensor,
    /// Added to `weight`.
    pub offset: f64,
    /// Added to the mean square.
    pub epsilon: f64,
    /// Which form runs.
    pub mode: Mode,
}

impl RmsNorm {
    /// The same where the stored scale is the scale less `offset` (Gemma: 1).
    ///
    /// # Errors
    /// When the device fails.
    pub fn stored_less(self, offset: f64) -> Result<Self> {
        if self.mode == Mode::Differentiable {
            // A sum made now would not follow the weights as they train.
            return Ok(Self { offset, ..self });
        }
        let weight = (self.weight + offset)?;
        Ok(Self { weight, ..self })
    }

    /// Normalises `x [.., width]`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.mode.on_cpu(x.device()) {
            return kernels::rms_norm(x, &self.weight, self.epsilon as f32);
        }
        let weight = match self.offset {
            0.0 => self.weight.clone(),
            offset => (&self.weight + offset)?,
        };
        if self.mode.learns(x) {
            return gradient::norm(x, None, &weight, None, self.epsilon, false);
        }
        let dtype = x.dtype();
        let x = widened(x)?;
        let width = x.dim(D::Minus1)? as f64;
        let square = (x.sqr()?.sum_keepdim(D::Minus1)? / width)?;
        x.broadcast_div(&(square + self.epsilon)?.sqrt()?)?
            .to_dtype(dtype)?
            .broadcast_mul(&weight)
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
        if mode.learns(x) {
            return gradient::rotate(x, &self.cos, &self.sin, x.dim(2)?);
        }
        let dtype = x.dtype();
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
    /// The same as `[1, heads, width, width]`, for the composed form.
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
    /// Runs the attention on `qkv [rows, width, heads + 2 groups, head]`: queries, keys, values.
    /// Queries and keys are rotated first where there is a rotation.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn joined(
        &self,
        qkv: &Tensor,
        heads: usize,
        groups: usize,
        rotation: Option<&Rotation>,
    ) -> Result<Tensor> {
        if self.mode.learns(qkv) {
            return match rotation {
                Some(Rotation { cos, sin }) => {
                    let qkv = gradient::rotate(qkv, cos, sin, heads + groups)?;
                    gradient::attention(self, &qkv, heads, groups)
                }
                None => gradient::attention(self, qkv, heads, groups),
            };
        }
        let mut q = qkv.narrow(2, 0, heads)?;
        let mut k = qkv.narrow(2, heads, groups)?;
        let v = qkv.narrow(2, heads + groups, groups)?;
        if let Some(rotation) = rotation {
            q = rotation.apply(&q, self.mode)?;
            k = rotation.apply(&k, self.mode)?;
        }
        self.run([&q, &k, &v], None)
    }

    /// Runs the attention on `qkv [rows, width, 3 heads, head]` with `scores [rows, heads, width,
    /// width]` added to its scores; there is no such form on a GPU.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn with_scores(&self, qkv: &Tensor, heads: usize, scores: &Tensor) -> Result<Tensor> {
        let part = |i: usize| qkv.narrow(2, i * heads, heads);
        self.run([&part(0)?, &part(1)?, &part(2)?], Some(scores))
    }

    /// Runs the attention.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        self.run([q, k, v], None)
    }

    fn run(&self, [q, k, v]: [&Tensor; 3], added: Option<&Tensor>) -> Result<Tensor> {
        if self.mode.on_cpu(q.device()) {
            return kernels::attention(self, [q, k, v], added);
        }
        if q.device().is_cuda() {
            candle_core::bail!("attention on a GPU knows no {:?}", q.dtype());
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
        if let Some(added) = added {
            scores = (scores + widened(added)?)?;
        }
        if let Some(bias) = self.bias.and_then(|b| b.matrix.as_ref()) {
            scores = scores.broadcast_add(&bias.to_dtype(scores.dtype())?)?;
        }
        if let Some(additive) = self.mask.additive() {
            scores = scores.broadcast_add(&additive.to_dtype(scores.dtype())?)?;
        }
        softmax(&scores)?
            .to_dtype(v.dtype())?
            .matmul(&v)?
            .transpose(1, 2)?
            .contiguous()?
            .reshape((rows, width, heads * head))
    }
}

/// The softmax over the last dimension.
fn softmax(scores: &Tensor) -> Result<Tensor> {
    let powers = scores
        .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
        .exp()?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}

/// Half-precision tensors as float32, others as they are.
fn widened(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}
