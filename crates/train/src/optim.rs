//! `AdamW` (Loshchilov and Hutter, 2019) as `torch.optim.AdamW` computes it, with its state at
//! hand, and the schedule of the learning rate.

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor, Var};
use rayon::prelude::*;
use serde::Deserialize;

use korfinsts_nn::{AdamWStep, adamw, serves, with_values};

/// A trainable tensor.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Name, unique in the model.
    pub name: String,
    /// The tensor.
    pub variable: Var,
    /// Whether weight decay acts on it.
    pub decays: bool,
}

/// Gradients by parameter name.
pub type Gradients = BTreeMap<String, Tensor>;

/// The constants of `AdamW`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, times the learning rate, of parameters that decay.
    pub weight_decay: f64,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }
}

/// First and second moment of one parameter.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Mean of gradients.
    pub first: Var,
    /// Mean of squared gradients.
    pub second: Var,
}

/// The optimiser: two groups, of which one decays.
#[derive(Debug)]
pub struct AdamW {
    options: AdamWOptions,
    steps: usize,
    moments: BTreeMap<String, Moments>,
}

/// What one step does to one parameter.
struct Update {
    options: AdamWOptions,
    learning_rate: f64,
    decay: f64,
    scale_first: f64,
    scale_second: f64,
    /// Factor of the gradient.
    scale: f64,
}

impl Update {
    /// One pass over parameter, gradient and moments.
    fn fused(&self, parameter: &Tensor, moments: &Moments, gradient: &Tensor) -> Result<()> {
        let moments = [moments.first.as_tensor(), moments.second.as_tensor()];
        adamw(&self.step(), parameter, moments, gradient)
    }

    fn step(&self) -> AdamWStep {
        let (beta1, beta2) = (self.options.beta1, self.options.beta2);
        AdamWStep {
            first: [beta1 as f32, (1.0 - beta1) as f32],
            second: [beta2 as f32, (1.0 - beta2) as f32],
            keep: (1.0 - self.learning_rate * self.decay) as f32,
            rate: (self.learning_rate * self.scale_first) as f32,
            scale: self.scale_second as f32,
            epsilon: self.options.epsilon as f32,
            factor: self.scale as f32,
        }
    }

    /// The same of candle's own operations, for other devices and number types.
    fn composed(&self, parameter: &Parameter, moments: &Moments, gradient: &Tensor) -> Result<()> {
        let AdamWOptions {
            beta1,
            beta2,
            epsilon,
            ..
        } = self.options;
        let mut gradient = gradient.detach();
        if self.scale != 1.0 {
            gradient = (gradient * self.scale)?;
        }
        let first = ((moments.first.as_tensor() * beta1)? + (&gradient * (1.0 - beta1))?)?;
        let second = ((moments.second.as_tensor() * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
        let kept = (parameter.variable.as_tensor() * (1.0 - self.learning_rate * self.decay))?;
        let divisor = ((&second * self.scale_second)?.sqrt()? + epsilon)?;
        let moved = ((&first / divisor)? * (self.learning_rate * self.scale_first))?;
        moments.first.set(&first.detach())?;
        moments.second.set(&second.detach())?;
        parameter.variable.set(&(kept - moved)?.detach())
    }
}

impl AdamW {
    /// An optimiser before its first step.
    #[must_use]
    pub fn new(options: AdamWOptions) -> Self {
        Self {
            options,
            steps: 0,
            moments: BTreeMap::new(),
        }
    }

    /// An optimiser as it was after `steps` steps.
    #[must_use]
    pub fn resumed(
        options: AdamWOptions,
        steps: usize,
        moments: BTreeMap<String, Moments>,
    ) -> Self {
        Self {
            options,
            steps,
            moments,
        }
    }

    /// Steps taken.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The moments, by parameter name; a parameter that never had a gradient has none.
    #[must_use]
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// Moves every parameter that has a gradient; gradients are multiplied by `scale` first.
    ///
    /// # Errors
    /// When the device fails.
    pub fn step(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        learning_rate: f64,
        scale: f64,
    ) -> Result<()> {
        self.steps += 1;
        let options = self.options;
        for parameter in parameters {
            let Some(gradient) = gradients.get(&parameter.name) else {
                continue;
            };
            if !self.moments.contains_key(&parameter.name) {
                let zeros = || Var::from_tensor(&parameter.variable.zeros_like()?);
                let moments = Moments {
                    first: zeros()?,
                    second: zeros()?,
                };
                self.moments.insert(parameter.name.clone(), moments);
            }
            let moments = &self.moments[&parameter.name];
            let update = Update {
                options,
                learning_rate,
                decay: if parameter.decays {
                    options.weight_decay
                } else {
                    0.0
                },
                scale_first: 1.0 / (1.0 - options.beta1.powi(self.steps as i32)),
                scale_second: 1.0 / (1.0 - options.beta2.powi(self.steps as i32)),
                scale,
            };
            let tensor = parameter.variable.as_tensor();
            if serves(tensor) && tensor.dtype() == DType::F32 {
                update.fused(tensor, moments, gradient)?;
            } else {
                update.composed(parameter, moments, gradient)?;
            }
        }
        Ok(())
    }
}

/// How the learning rate goes after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Straight down to 0 at the last step.
    Linear,
    /// Half a cosine down to 0 at the last step.
    Cosine,
    /// As it is.
    Constant,
}

/// The learning rate of each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Highest learning rate.
    pub peak: f64,
    /// Steps of the linear warm-up.
    pub warmup: usize,
    /// Steps in all.
    pub total: usize,
    /// What follows the warm-up.
    pub shape: Shape,
}

impl Schedule {
    /// The learning rate of step `step`, from 0. As transformers' `get_linear_schedule_with_warmup`
    /// gives it: the first step of a warm-up has a rate of 0.
    #[must_use]
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.peak * step as f64 / self.warmup as f64;
        }
        let left = self.total.saturating_sub(self.warmup).max(1);
        let done = ((step - self.warmup) as f64 / left as f64).min(1.0);
        self.peak
            * match self.shape {
                Shape::Linear => 1.0 - done,
                Shape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
                Shape::Constant => 1.0,
            }
    }
}

/// The norm of all gradients together.
///
/// # Errors
/// When the device fails.
pub fn norm(gradients: &Gradients) -> Result<f64> {
    let mut sum = 0.0;
    let mut elsewhere = Vec::new();
    for gradient in gradients.values() {
        if gradient.device().is_cpu() && serves(gradient) {
            sum += square(gradient)?;
        } else {
            elsewhere.push(gradient.sqr()?.sum_all()?.to_dtype(DType::F64)?);
        }
    }
    // A device is waited for once, not once for each parameter.
    if !elsewhere.is_empty() {
        sum += Tensor::stack(&elsewhere, 0)?
            .to_vec1::<f64>()?
            .iter()
            .sum::<f64>();
    }
    Ok(sum.sqrt())
}

/// Values that one task adds up.
const PART: usize = 1 << 15;

/// The sum of squares: in float32 within a part, then in float64, so that it does not overflow.
fn square(gradient: &Tensor) -> Result<f64> {
    with_values(&gradient.contiguous()?, |g| {
        let parts: Vec<f64> = g
            .par_chunks(PART)
            .map(|part| {
                part.chunks(64)
                    .map(|few| {
                        few.iter()
                            .map(|v| f64::from(*v) * f64::from(*v))
                            .sum::<f64>()
                    })
                    .sum()
            })
            .collect();
        Ok(parts.iter().sum())
    })
}

/// The factor that brings gradients of that norm to a norm of at most `limit`.
#[must_use]
pub fn clip(norm: f64, limit: f64) -> f64 {
    if norm.is_finite() && norm > limit {
        limit / (norm + 1e-6)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_schedule_is_that_of_transformers() {
        let schedule = |shape| Schedule {
            peak: 1.0,
            warmup: 2,
            total: 10,
            shape,
        };
        for (shape, step, expected) in [
            (Shape::Linear, 0, 0.0),
            (Shape::Linear, 1, 0.5),
            (Shape::Linear, 2, 1.0),
            (Shape::Linear, 6, 0.5),
            (Shape::Linear, 9, 0.125),
            (Shape::Linear, 12, 0.0),
            (Shape::Cosine, 6, 0.5),
            (Shape::Constant, 9, 1.0),
        ] {
            let found = schedule(shape).at(step);
            assert!(
                (found - expected).abs() < 1e-12,
                "{shape:?} {step}: {found}"
            );
        }
        let none = Schedule {
            warmup: 0,
            ..schedule(Shape::Linear)
        };
        assert_eq!(none.at(0), 1.0);
    }

    #[test]
    fn fused_and_composed_steps_agree_and_only_one_group_decays() {
        let run = |dtype: DType| -> Vec<Vec<f64>> {
            let parameters: Vec<Parameter> = [true, false]
                .into_iter()
                .map(|decays| Parameter {
                    name: decays.to_string(),
                    variable: Var::from_tensor(
                        &Tensor::new(&[[1.0_f64, -2.0], [0.5, 3.0]], &Device::Cpu)
                            .and_then(|t| t.to_dtype(dtype))
                            .expect("a tensor"),
                    )
                    .expect("a variable"),
                    decays,
                })
                .collect();
            let mut adam = AdamW::new(AdamWOptions {
                weight_decay: 0.1,
                ..AdamWOptions::default()
            });
            for step in 0..5 {
                let gradient =
                    Tensor::new(&[[0.1_f64, -1.0], [f64::from(step), 0.0]], &Device::Cpu)
                        .and_then(|t| t.to_dtype(dtype))
                        .expect("a gradient");
                let gradients = parameters
                    .iter()
                    .map(|p| (p.name.clone(), gradient.clone()))
                    .collect();
                adam.step(&parameters, &gradients, 0.01, 0.5)
                    .expect("a step");
            }
            assert_eq!(adam.steps(), 5);
            parameters
                .iter()
                .map(|p| {
                    p.variable
                        .to_dtype(DType::F64)
                        .and_then(|t| t.flatten_all()?.to_vec1())
                        .expect("values")
                })
                .collect()
        };
        let (fused, composed) = (run(DType::F32), run(DType::F64));
        // Five steps of about eight roundings each, of values up to 3.
        let bound = 3.0 * korfinsts_nn::rounding::float32(8, 5);
        for (a, b) in fused.iter().flatten().zip(composed.iter().flatten()) {
            assert!((a - b).abs() < bound, "{a} {b}");
        }
        // A parameter without a gradient value moves by decay alone.
        assert!((composed[0][3] - 3.0 * 0.999_f64.powi(5)).abs() < 1e-12);
        assert_eq!(composed[1][3], 3.0);
    }

    #[test]
    fn clipping_is_a_factor_of_gradients_that_are_too_long() {
        let gradient = Tensor::new(&[3.0_f32, 4.0], &Device::Cpu).expect("a gradient");
        let gradients: Gradients = [("a".to_owned(), gradient)].into();
        let norm = norm(&gradients).expect("a norm");
        assert!((norm - 5.0).abs() < 1e-12);
        assert!((clip(norm, 1.0) - 0.2).abs() < 1e-6);
        assert_eq!([clip(norm, 6.0), clip(f64::NAN, 1.0)], [1.0; 2]);
    }
}
