//! What follows the network in a sentence-transformers model, as data, and how it is computed.

use super::network::{NetworkOutput, TokenBatch};
use super::pooling::{Pooling, pool};
use super::{Embeddings, EncoderError};

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
    /// L2 normalisation; a zero vector stays zero (divisor floored at 1e-12, as `PyTorch`).
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

impl Activation {
    /// Every activation with the name of its `PyTorch` class.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Tanh, "Tanh"),
        (Self::Identity, "Identity"),
        (Self::Relu, "ReLU"),
        (Self::Gelu, "GELU"),
        (Self::Silu, "SiLU"),
        (Self::Sigmoid, "Sigmoid"),
    ];

    /// The activation of a `PyTorch` class path, `torch.nn.` and the class at its end; a class of
    /// another package may do anything.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (_, name) = path.strip_prefix("torch.nn.")?.rsplit_once('.')?;
        Self::ALL
            .into_iter()
            .find(|(_, class)| *class == name)
            .map(|(activation, _)| activation)
    }

    /// Name of its `PyTorch` class.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .into_iter()
            .find(|(activation, _)| *activation == self)
            .map_or("", |(_, class)| class)
    }

    /// Its value at `x`.
    #[must_use]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Tanh => x.tanh(),
            Self::Identity => x,
            Self::Relu => x.max(0.0),
            Self::Gelu => {
                let x = f64::from(x);
                (0.5 * x * (1.0 + statrs::function::erf::erf(x * std::f64::consts::FRAC_1_SQRT_2)))
                    as f32
            }
            Self::Silu => x / (1.0 + (-x).exp()),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }
}

impl Module {
    /// The module in words, for what is printed and for cache keys.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Pooling {
                modes,
                include_prompt,
            } => {
                let names: Vec<_> = modes.iter().map(|mode| mode.name()).collect();
                let prompt = if *include_prompt {
                    ""
                } else {
                    ", prompt left out"
                };
                format!("pooling {}{prompt}", names.join(" + "))
            }
            Self::Dense {
                bias,
                in_features,
                out_features,
                activation,
                ..
            } => {
                let bias = if bias.is_some() { "" } else { " without bias" };
                format!(
                    "dense {in_features} to {out_features}{bias}, {}",
                    activation.name()
                )
            }
            Self::LayerNorm { weight, .. } => format!("layer norm {}", weight.len()),
            Self::Normalize => "normalize".into(),
        }
    }

    /// Applies the module to sentence embeddings. Pooling has been done before.
    ///
    /// # Errors
    /// When the width of the embeddings is not that of the module.
    fn apply(&self, embeddings: Embeddings) -> Result<Embeddings, EncoderError> {
        match self {
            Self::Pooling { .. } => Err(wrong_shape("a second pooling module cannot be applied")),
            Self::Normalize => Ok(normalize(embeddings)),
            Self::LayerNorm {
                weight,
                bias,
                epsilon,
            } => {
                expect_width(&embeddings, weight.len(), "the layer norm")?;
                Ok(layer_norm(embeddings, weight, bias, *epsilon))
            }
            Self::Dense {
                weight,
                bias,
                in_features,
                out_features,
                activation,
            } => {
                expect_width(&embeddings, *in_features, "the dense layer")?;
                let mut values = Vec::with_capacity(embeddings.rows() * out_features);
                for row in embeddings.values.chunks_exact(*in_features) {
                    for (out, weights) in weight.chunks_exact(*in_features).enumerate() {
                        let bias = bias.as_ref().map_or(0.0, |bias| bias[out]);
                        values.push(activation.apply(dot(row, weights) + bias));
                    }
                }
                Ok(Embeddings {
                    values,
                    dimension: *out_features,
                })
            }
        }
    }
}

/// Runs what follows the network: pooling, dense layers, normalisation.
///
/// # Errors
/// When the network gave token states and the modules do not begin with a pooling (or the other
/// way round), or a width does not fit.
pub fn apply(
    modules: &[Module],
    output: NetworkOutput,
    batch: &TokenBatch,
) -> Result<Embeddings, EncoderError> {
    let (mut embeddings, rest) = match (output, modules.split_first()) {
        (
            NetworkOutput::Tokens { values, dimension },
            Some((Module::Pooling { modes, .. }, rest)),
        ) => {
            if values.len() != batch.rows * batch.width * dimension {
                return Err(wrong_shape("the network's token states have a wrong shape"));
            }
            let values = pool(modes, &values, dimension, batch);
            let dimension = modes.len() * dimension;
            (Embeddings { values, dimension }, rest)
        }
        (NetworkOutput::Pooled { values, dimension }, Some((Module::Pooling { .. }, rest))) => {
            if values.len() != batch.rows * dimension {
                return Err(wrong_shape(
                    "the network's pooled states have a wrong shape",
                ));
            }
            (Embeddings { values, dimension }, rest)
        }
        (NetworkOutput::Tokens { .. } | NetworkOutput::Pooled { .. }, _) => {
            return Err(wrong_shape(
                "the network gives token states, and the model names no pooling",
            ));
        }
        (NetworkOutput::Sentence { .. }, Some((Module::Pooling { .. }, _))) => {
            return Err(wrong_shape(
                "the network gives finished embeddings, which cannot be pooled",
            ));
        }
        (NetworkOutput::Sentence { values, dimension }, _) => {
            if values.len() != batch.rows * dimension {
                return Err(wrong_shape("the network's embeddings have a wrong shape"));
            }
            (Embeddings { values, dimension }, modules)
        }
    };
    for module in rest {
        embeddings = module.apply(embeddings)?;
    }
    Ok(embeddings)
}

/// Fails on the first value that is not a finite number.
///
/// # Errors
/// [`EncoderError::NotFinite`].
pub fn check_finite(embeddings: &Embeddings) -> Result<(), EncoderError> {
    match embeddings.values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(EncoderError::NotFinite {
            value: embeddings.values[at],
            dimension: at % embeddings.dimension.max(1),
        }),
    }
}

fn normalize(mut embeddings: Embeddings) -> Embeddings {
    if embeddings.dimension > 0 {
        for row in embeddings.values.chunks_mut(embeddings.dimension) {
            let norm = row
                .iter()
                .map(|&v| f64::from(v).powi(2))
                .sum::<f64>()
                .sqrt();
            let divisor = norm.max(1e-12);
            for value in row {
                *value = (f64::from(*value) / divisor) as f32;
            }
        }
    }
    embeddings
}

fn layer_norm(
    mut embeddings: Embeddings,
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
) -> Embeddings {
    let n = weight.len();
    for row in embeddings.values.chunks_mut(n.max(1)) {
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
        let variance = row
            .iter()
            .map(|&v| (f64::from(v) - mean).powi(2))
            .sum::<f64>()
            / n as f64;
        let scale = 1.0 / (variance + f64::from(epsilon)).sqrt();
        for ((value, &w), &b) in row.iter_mut().zip(weight).zip(bias) {
            *value = ((f64::from(*value) - mean) * scale) as f32 * w + b;
        }
    }
    embeddings
}

/// Inner product in eight running sums, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + tail
}

fn expect_width(embeddings: &Embeddings, width: usize, what: &str) -> Result<(), EncoderError> {
    if embeddings.dimension == width {
        return Ok(());
    }
    Err(wrong_shape(&format!(
        "{what} takes {width} dimensions, the embedding has {}",
        embeddings.dimension
    )))
}

fn wrong_shape(what: &str) -> EncoderError {
    EncoderError::Unsupported {
        what: what.to_owned(),
        hint: Some("do the weights and the configuration belong to the same model?".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(values: &[f32]) -> Embeddings {
        Embeddings {
            values: values.to_vec(),
            dimension: values.len(),
        }
    }

    #[test]
    fn pooled_states_take_the_modules_after_the_pooling() {
        let pooling = Module::Pooling {
            modes: vec![Pooling::Mean],
            include_prompt: true,
        };
        let batch = TokenBatch {
            rows: 1,
            width: 1,
            ids: vec![0],
            mask: vec![1],
            pooling_mask: vec![1],
        };
        let pooled = || NetworkOutput::Pooled {
            values: vec![3.0, 4.0],
            dimension: 2,
        };
        let found = apply(&[pooling, Module::Normalize], pooled(), &batch).expect("applied");
        assert_eq!(found.values, [0.6, 0.8]);
        assert!(apply(&[Module::Normalize], pooled(), &batch).is_err());
    }

    #[test]
    fn a_zero_vector_stays_zero_under_normalize() {
        assert_eq!(normalize(one(&[0.0, 0.0])).values, [0.0, 0.0]);
        assert_eq!(normalize(one(&[3.0, 4.0])).values, [0.6, 0.8]);
    }

    #[test]
    fn dense_multiplies_adds_and_activates() {
        let dense = |activation| Module::Dense {
            weight: vec![1.0, 2.0, 3.0, 4.0, 5.0, -6.0],
            bias: Some(vec![0.5, 0.0, 0.0]),
            in_features: 2,
            out_features: 3,
            activation,
        };
        let out = dense(Activation::Identity)
            .apply(one(&[1.0, 1.0]))
            .expect("it fits");
        assert_eq!(out.values, [3.5, 7.0, -1.0]);
        let out = dense(Activation::Relu)
            .apply(one(&[1.0, 1.0]))
            .expect("it fits");
        assert_eq!(out.values, [3.5, 7.0, 0.0]);
        assert!(dense(Activation::Tanh).apply(one(&[1.0])).is_err());
    }

    #[test]
    fn activations_have_pytorch_s_values_at_one_half() {
        // torch.nn.functional at 0.5.
        for (activation, expected) in [
            (Activation::Tanh, 0.462_117_2),
            (Activation::Identity, 0.5),
            (Activation::Relu, 0.5),
            (Activation::Gelu, 0.345_731_24),
            (Activation::Silu, 0.311_229_66),
            (Activation::Sigmoid, 0.622_459_35_f32),
        ] {
            assert!(
                (activation.apply(0.5) - expected).abs() < 1e-6,
                "{activation:?}"
            );
        }
        assert_eq!(
            Activation::parse("torch.nn.modules.activation.Tanh"),
            Some(Activation::Tanh)
        );
        for other in ["torch.nn.modules.activation.Mish", "my.code.Tanh", "Tanh"] {
            assert_eq!(Activation::parse(other), None, "{other}");
        }
    }

    #[test]
    fn layer_norm_has_mean_zero_and_unit_variance() {
        let out = layer_norm(one(&[1.0, 2.0, 3.0]), &[1.0; 3], &[0.0; 3], 0.0).values;
        assert!((out[2] - 1.5_f32.sqrt()).abs() < 1e-6, "{out:?}");
        assert!(out[1].abs() < 1e-6);
    }

    #[test]
    fn the_inner_product_holds_for_any_length() {
        for n in 0..20 {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let expected: f32 = a.iter().map(|x| x * x).sum();
            assert_eq!(dot(&a, &a), expected, "{n}");
        }
    }
}
