//! What follows the network, with gradients: pooling, dense layers, normalisation.
//!
//! The same modules as [`korfinsts_encoder::modules`], which serves inference; a test holds the two
//! against each other.

use candle_core::{D, Result, Tensor};

pub use korfinsts_encoder::backend::candle::pooling::pool;
use korfinsts_encoder::modules::Activation;
use korfinsts_encoder::pooling::Pooling;
use korfinsts_nn::ops::{LayerNorm, Mode};

/// One module after the network; its tensors are variables.
#[derive(Debug, Clone)]
pub enum HeadModule {
    /// Token states to one vector; several modes are concatenated in order.
    Pooling(Vec<Pooling>),
    /// `activation(x W^T + b)`.
    Dense {
        /// Weights `[out, in]`.
        weight: Tensor,
        /// Bias `[out]`.
        bias: Option<Tensor>,
        /// Activation after it.
        activation: Activation,
    },
    /// Layer normalisation over the embedding.
    LayerNorm(LayerNorm),
    /// L2 normalisation.
    Normalize,
}

impl HeadModule {
    /// Applies the module to embeddings `[rows, width]`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Pooling(_) => Err(candle_core::Error::Msg(
                "a second pooling module cannot be applied".into(),
            )),
            Self::Dense {
                weight,
                bias,
                activation,
            } => {
                let mut y = x.matmul(&weight.t()?)?;
                if let Some(bias) = bias {
                    y = y.broadcast_add(bias)?;
                }
                match activation {
                    Activation::Tanh => y.tanh(),
                    Activation::Identity => Ok(y),
                    Activation::Relu => y.relu(),
                    Activation::Gelu => y.gelu_erf(),
                    Activation::Silu => y.silu(),
                    // 1 / (1 + e^-x): candle's own sigmoid has no gradient.
                    Activation::Sigmoid => (y.neg()?.exp()? + 1.0)?.recip(),
                }
            }
            Self::LayerNorm(norm) => norm.forward(x),
            Self::Normalize => normalize(x),
        }
    }
}

/// A layer normalisation that has a gradient.
#[must_use]
pub fn layer_norm(weight: Tensor, bias: Tensor, epsilon: f32) -> HeadModule {
    HeadModule::LayerNorm(LayerNorm {
        weight,
        bias: Some(bias),
        epsilon: f64::from(epsilon),
        mode: Mode::Differentiable,
    })
}

/// Rows of length 1; a zero row stays zero and has a gradient of zero.
///
/// # Errors
/// When the device fails.
pub fn normalize(x: &Tensor) -> Result<Tensor> {
    // The root of a sum that cannot be 0: the root's gradient there would not be a number.
    let norm = (x.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?;
    x.broadcast_div(&norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use korfinsts_encoder::TokenBatch;
    use korfinsts_encoder::modules::{self, Module};
    use korfinsts_encoder::network::{NetworkOutput, PaddingSide};
    use korfinsts_encoder::{Embeddings, PreparedText};
    use korfinsts_nn::rounding::float32;

    fn batch(side: PaddingSide) -> TokenBatch {
        let texts: Vec<PreparedText> = [(4, 1), (2, 0), (1, 0)]
            .iter()
            .map(|&(n, prompt_tokens)| PreparedText {
                ids: vec![7; n],
                prompt_tokens,
                ..PreparedText::default()
            })
            .collect();
        TokenBatch::pad(&texts.iter().collect::<Vec<_>>(), 0, side, true)
    }

    /// Numbers without a pattern between -1 and 1.
    fn numbers(n: usize) -> Vec<f32> {
        (0..n)
            .map(|i| ((i * 7919 + 13) % 101) as f32 / 50.5 - 1.0)
            .collect()
    }

    #[test]
    fn every_pooling_agrees_with_that_of_inference_and_has_a_gradient() {
        for side in [PaddingSide::Left, PaddingSide::Right] {
            let batch = batch(side);
            let values = numbers(batch.rows * batch.width * 5);
            let shape = (batch.rows, batch.width, 5);
            for mode in Pooling::ALL {
                let variable =
                    candle_core::Var::from_slice(&values, shape, &Device::Cpu).expect("a variable");
                let pooled = pool(&[mode], variable.as_tensor(), &batch).expect("pooled");
                let gradient = pooled
                    .sqr()
                    .and_then(|p| p.sum_all())
                    .and_then(|s| s.backward())
                    .expect("a backward pass");
                let gradient = gradient.get(variable.as_tensor()).expect("a gradient");
                let sum = gradient.abs().and_then(|g| g.sum_all()).expect("a sum");
                assert!(sum.to_scalar::<f32>().expect("a number") > 0.0, "{mode}");
                let expected = korfinsts_encoder::pooling::pool(&[mode], &values, 5, &batch);
                let found: Vec<f32> = pooled
                    .flatten_all()
                    .and_then(|p| p.to_vec1())
                    .expect("values");
                for (a, b) in found.iter().zip(&expected) {
                    // At most a mean of all tokens; both sides are float32, of values up to 1.
                    let bound = 2.0 * float32(batch.width, 2) as f32;
                    assert!((a - b).abs() < bound, "{mode}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn every_module_agrees_with_that_of_inference() {
        let (rows, width, out) = (3, 6, 4);
        let x = numbers(rows * width);
        let tensor = |values: &[f32], shape: &[usize]| {
            Tensor::from_slice(values, shape, &Device::Cpu).expect("a tensor")
        };
        let weight = numbers(out * width);
        let bias = numbers(out);
        let mut cases = vec![
            (Module::Normalize, HeadModule::Normalize),
            (
                Module::LayerNorm {
                    weight: numbers(width),
                    bias: numbers(width),
                    epsilon: 1e-5,
                },
                layer_norm(
                    tensor(&numbers(width), &[width]),
                    tensor(&numbers(width), &[width]),
                    1e-5,
                ),
            ),
        ];
        for (activation, _) in Activation::ALL {
            cases.push((
                Module::Dense {
                    weight: weight.clone(),
                    bias: Some(bias.clone()),
                    in_features: width,
                    out_features: out,
                    activation,
                },
                HeadModule::Dense {
                    weight: tensor(&weight, &[out, width]),
                    bias: Some(tensor(&bias, &[out])),
                    activation,
                },
            ));
        }
        let batch = TokenBatch {
            rows,
            width: 1,
            ids: vec![0; rows],
            mask: vec![1; rows],
            pooling_mask: vec![1; rows],
        };
        for (module, head) in cases {
            let output = NetworkOutput::Sentence {
                values: x.clone(),
                dimension: width,
            };
            let Embeddings { values, .. } =
                modules::apply(std::slice::from_ref(&module), output, &batch).expect("applied");
            let found: Vec<f32> = head
                .apply(&tensor(&x, &[rows, width]))
                .and_then(|y| y.flatten_all()?.to_vec1())
                .expect("values");
            for (a, b) in found.iter().zip(&values) {
                // Products of up to `width` values up to 1, and an activation; both sides are float32.
                let bound = 2.0 * width as f32 * float32(width, 2) as f32;
                assert!((a - b).abs() < bound, "{}: {a} {b}", module.describe());
            }
        }
    }

    #[test]
    fn a_zero_row_has_no_direction_and_no_gradient() {
        let zero = candle_core::Var::zeros((1, 3), DType::F32, &Device::Cpu).expect("a variable");
        let y = normalize(zero.as_tensor()).expect("normalised");
        let gradients = y.sum_all().and_then(|s| s.backward()).expect("backward");
        let y: Vec<Vec<f32>> = y.to_vec2().expect("values");
        assert_eq!(y, [[0.0; 3]]);
        let g: Vec<Vec<f32>> = gradients
            .get(zero.as_tensor())
            .and_then(|g| g.to_vec2().ok())
            .expect("a gradient");
        assert!(g[0].iter().all(|v| v.is_finite()), "{g:?}");
    }
}
