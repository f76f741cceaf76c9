//! `AdamW` (Loshchilov and Hutter, 2019) as `torch.optim.AdamW` computes it, with its state at
//! hand, and the schedule of the learning rate.

use std::collections::BTreeMap;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var};
use serde::Deserialize;

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

/// One step of one parameter; the first moment is brought up to date before.
struct Update {
    learning_rate: f64,
    decay: f64,
    scale_first: f64,
    scale_second: f64,
    epsilon: f64,
}

/// `m = a m + b g` or `v = a v + b g^2`, in place.
struct Moment {
    keep: f64,
    take: f64,
    square: bool,
}

fn pair<'a>(
    target: &'a mut CpuStorage,
    target_layout: &Layout,
    other: &'a CpuStorage,
    other_layout: &Layout,
) -> Result<(&'a mut [f32], &'a [f32])> {
    let gaps = || candle_core::Error::Msg("the optimiser was given a tensor with gaps".into());
    let (a, b) = target_layout.contiguous_offsets().ok_or_else(gaps)?;
    let (c, d) = other_layout.contiguous_offsets().ok_or_else(gaps)?;
    let CpuStorage::F32(target) = target else {
        candle_core::bail!("the optimiser keeps float32");
    };
    Ok((&mut target[a..b], &other.as_slice::<f32>()?[c..d]))
}

impl InplaceOp2 for Moment {
    fn name(&self) -> &'static str {
        "moment"
    }

    fn cpu_fwd(
        &self,
        moment: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let (moment, gradient) = pair(moment, layout, gradient, gradient_layout)?;
        let (keep, take) = (self.keep as f32, self.take as f32);
        if self.square {
            for (m, &g) in moment.iter_mut().zip(gradient) {
                *m = keep * *m + take * g * g;
            }
        } else {
            for (m, &g) in moment.iter_mut().zip(gradient) {
                *m = keep * *m + take * g;
            }
        }
        Ok(())
    }
}

impl candle_core::InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        layout: &Layout,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
    ) -> Result<()> {
        let (parameter, first) = pair(parameter, layout, first, first_layout)?;
        let gaps = || candle_core::Error::Msg("the optimiser was given a tensor with gaps".into());
        let (a, b) = second_layout.contiguous_offsets().ok_or_else(gaps)?;
        let second = &second.as_slice::<f32>()?[a..b];
        let keep = (1.0 - self.learning_rate * self.decay) as f32;
        let rate = (self.learning_rate * self.scale_first) as f32;
        let (scale, epsilon) = (self.scale_second as f32, self.epsilon as f32);
        for ((p, &m), &v) in parameter.iter_mut().zip(first).zip(second) {
            *p = keep * *p - rate * m / ((v * scale).sqrt() + epsilon);
        }
        Ok(())
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

    /// Moves every parameter that has a gradient.
    ///
    /// # Errors
    /// When the device fails.
    pub fn step(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        learning_rate: f64,
    ) -> Result<()> {
        self.steps += 1;
        let AdamWOptions {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = self.options;
        let update = |decays: bool| Update {
            learning_rate,
            decay: if decays { weight_decay } else { 0.0 },
            scale_first: 1.0 / (1.0 - beta1.powi(self.steps as i32)),
            scale_second: 1.0 / (1.0 - beta2.powi(self.steps as i32)),
            epsilon,
        };
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
            let update = update(parameter.decays);
            let fused = parameter.variable.device().is_cpu()
                && parameter.variable.dtype() == candle_core::DType::F32;
            if fused {
                let gradient = gradient.contiguous()?.detach();
                let moment = |keep: f64, square| Moment {
                    keep,
                    take: 1.0 - keep,
                    square,
                };
                let (first, second) = (moments.first.as_tensor(), moments.second.as_tensor());
                first.inplace_op2(&gradient, &moment(beta1, false))?;
                second.inplace_op2(&gradient, &moment(beta2, true))?;
                parameter
                    .variable
                    .as_tensor()
                    .inplace_op3(first, second, &update)?;
            } else {
                composed(parameter, moments, gradient, &update, beta1, beta2)?;
            }
        }
        Ok(())
    }
}

/// The same of candle's own operations, for other devices and number types.
fn composed(
    parameter: &Parameter,
    moments: &Moments,
    gradient: &Tensor,
    update: &Update,
    beta1: f64,
    beta2: f64,
) -> Result<()> {
    let gradient = gradient.detach();
    let first = ((moments.first.as_tensor() * beta1)? + (&gradient * (1.0 - beta1))?)?;
    let second = ((moments.second.as_tensor() * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
    let kept = (parameter.variable.as_tensor() * (1.0 - update.learning_rate * update.decay))?;
    let divisor = ((&second * update.scale_second)?.sqrt()? + update.epsilon)?;
    let moved = ((&first / divisor)? * (update.learning_rate * update.scale_first))?;
    moments.first.set(&first.detach())?;
    moments.second.set(&second.detach())?;
    parameter.variable.set(&(kept - moved)?.detach())
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
    for gradient in gradients.values() {
        // Summed in float32 row by row, then in float64: a sum that does not overflow.
        let rows = gradient.sqr()?.flatten_all()?.sum_all()?;
        sum += rows.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
    }
    Ok(sum.sqrt())
}

/// Scales gradients so that their norm is at most `limit`; gives the norm before.
///
/// # Errors
/// When the device fails.
pub fn clip(gradients: &mut Gradients, limit: f64) -> Result<f64> {
    let norm = norm(gradients)?;
    if norm.is_finite() && norm > limit {
        let scale = limit / (norm + 1e-6);
        for gradient in gradients.values_mut() {
            *gradient = (&*gradient * scale)?;
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

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
                adam.step(&parameters, &gradients, 0.01).expect("a step");
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
        for (a, b) in fused.iter().flatten().zip(composed.iter().flatten()) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
        // A parameter without a gradient value moves by decay alone.
        assert!((composed[0][3] - 3.0 * 0.999_f64.powi(5)).abs() < 1e-12);
        assert_eq!(composed[1][3], 3.0);
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let gradient = Tensor::new(&[3.0_f32, 4.0], &Device::Cpu).expect("a gradient");
        let mut gradients: Gradients = [("a".to_owned(), gradient)].into();
        let norm = clip(&mut gradients, 1.0).expect("clipped");
        assert!((norm - 5.0).abs() < 1e-6);
        let values: Vec<f32> = gradients["a"].to_vec1().expect("values");
        assert!((values[0] - 0.6).abs() < 1e-5 && (values[1] - 0.8).abs() < 1e-5);
    }
}
