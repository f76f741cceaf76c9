//! What follows the network in a sentence-transformers model, as data.

use super::pooling::Pooling;

/// One module behind the network. Tensors are row-major float32.
#[derive(Debug, Clone, PartialEq)]
pub enum Module {
    /// Token states to one vector; several modes are concatenated in order.
    Pooling {
        /// The modes, in the order of concatenation.
        modes: Vec<Pooling>,
        /// Whether prompt tokens take part.
        include_prompt: bool,
    },
    /// `activation(x W^T + b)`.
    Dense {
        /// Weights `[out_features, in_features]`.
        weight: Vec<f32>,
        /// Bias `[out_features]`.
        bias: Option<Vec<f32>>,
        /// Width of the input.
        in_features: usize,
        /// Width of the output.
        out_features: usize,
        /// Activation behind it.
        activation: Activation,
    },
    /// Layer normalisation over the embedding.
    LayerNorm {
        /// Scale `[dimension]`.
        weight: Vec<f32>,
        /// Shift `[dimension]`.
        bias: Vec<f32>,
        /// Added to the variance.
        epsilon: f32,
    },
    /// L2 normalisation; a zero vector stays zero (divisor floored at 1e-12, as PyTorch).
    Normalize,
}

/// Activation of a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Hyperbolic tangent, the default of sentence-transformers.
    Tanh,
    /// No activation.
    Identity,
    /// Rectifier.
    Relu,
    /// Gaussian error linear unit, exact (erf) form.
    Gelu,
    /// `x * sigmoid(x)`.
    Silu,
    /// Logistic function.
    Sigmoid,
}
