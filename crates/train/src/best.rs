//! The best weights so far, by the score of a suite's dev split, and the end of a run that no
//! longer becomes better.

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::optim::Parameter;

/// The step whose weights are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestStep {
    /// The dev split that chose it, as `korsts:dev`.
    pub suite: String,
    /// The step, from 1.
    pub step: usize,
    /// Spearman's correlation there.
    pub score: f64,
    /// Evaluations after it, none of which was better.
    pub since: usize,
}

/// A step and its weights, a tensor per parameter in their order.
#[derive(Debug, Clone)]
pub(super) struct Best {
    pub at: BestStep,
    pub weights: Vec<Tensor>,
}

impl Best {
    /// What is best after an evaluation at `step`, which a score that does not exist never is. Of
    /// equal scores, the first is best.
    pub fn after(
        earlier: Option<Self>,
        (suite, step): (&str, usize),
        score: Option<f64>,
        parameters: &[Parameter],
    ) -> Result<Option<Self>> {
        let score = score.filter(|s| earlier.as_ref().is_none_or(|e| *s > e.at.score));
        let Some(score) = score else {
            return Ok(earlier.map(|mut best| {
                best.at.since += 1;
                best
            }));
        };
        // A copy, which later steps do not change.
        let copy = |p: &Parameter| Ok(p.variable.as_tensor().copy()?.detach());
        Ok(Some(Self {
            at: BestStep {
                suite: suite.to_owned(),
                step,
                score,
                since: 0,
            },
            weights: parameters.iter().map(copy).collect::<Result<_>>()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn the_first_of_the_best_scores_is_kept_with_its_weights() {
        let variable = Var::new(&[0.0_f32], &Device::Cpu).expect("a variable");
        let parameters = [Parameter {
            name: "w".into(),
            variable,
            decays: true,
        }];
        let mut best = None;
        let scores = [None, Some(0.2), Some(0.5), Some(0.5), None, Some(0.4)];
        for (step, score) in (1..).zip(scores) {
            let weight = Tensor::new(&[step as f32], &Device::Cpu).expect("a tensor");
            parameters[0].variable.set(&weight).expect("set");
            best = Best::after(best, ("korsts:dev", step), score, &parameters).expect("kept");
        }
        let best = best.expect("one");
        assert_eq!((best.at.step, best.at.score, best.at.since), (3, 0.5, 3));
        assert_eq!(best.weights[0].to_vec1::<f32>().expect("values"), [3.0]);
    }
}
