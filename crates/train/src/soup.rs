//! A stage that is run several times from the same weights and ends with their mean (Wortsman et
//! al., 2022: model soups). Runs differ in the order of examples, in the tokens that are left out
//! and in the texts that are drawn.

use candle_core::{Result, Tensor};

use super::optim::Parameter;

/// Where the runs of a stage start, and the sum of where they ended.
#[derive(Debug, Clone)]
pub struct Soup {
    /// A tensor per parameter, in their order.
    pub(super) start: Vec<Tensor>,
    /// Sum over the runs that are done, in the same order.
    pub(super) sum: Vec<Tensor>,
}

impl Soup {
    /// Keeps the weights as they are.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn begin(parameters: &[Parameter]) -> Result<Self> {
        // A copy, which later steps do not change.
        let copy = |p: &Parameter| Ok(p.variable.as_tensor().copy()?.detach());
        let start = parameters.iter().map(copy).collect::<Result<Vec<_>>>()?;
        let sum = start
            .iter()
            .map(Tensor::zeros_like)
            .collect::<Result<_>>()?;
        Ok(Self { start, sum })
    }

    /// Adds the weights that a run ended with.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn add(&mut self, parameters: &[Parameter]) -> Result<()> {
        for (sum, parameter) in self.sum.iter_mut().zip(parameters) {
            *sum = (&*sum + parameter.variable.as_tensor())?.detach();
        }
        Ok(())
    }

    /// Puts the weights back that the stage began with.
    ///
    /// # Errors
    /// When the device fails.
    pub fn restart(&self, parameters: &[Parameter]) -> Result<()> {
        set(parameters, &self.start)
    }

    /// Gives the parameters the mean of `runs` runs.
    ///
    /// # Errors
    /// When the device fails.
    pub fn finish(self, parameters: &[Parameter], runs: usize) -> Result<()> {
        let mean = |sum: &Tensor| sum.affine(1.0 / runs as f64, 0.0);
        let means = self.sum.iter().map(mean).collect::<Result<Vec<_>>>()?;
        set(parameters, &means)
    }
}

/// Gives parameters values, one each in their order.
///
/// # Errors
/// When the device fails.
pub(super) fn set<'a>(
    parameters: &[Parameter],
    values: impl IntoIterator<Item = &'a Tensor>,
) -> Result<()> {
    for (parameter, value) in parameters.iter().zip(values) {
        parameter.variable.set(value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn runs_start_alike_and_the_end_is_their_mean() {
        let variable = Var::new(&[1.0_f32, -2.0], &Device::Cpu).expect("a variable");
        let parameters = [Parameter {
            name: "w".into(),
            variable,
            decays: true,
        }];
        let values = || -> Vec<f32> { parameters[0].variable.to_vec1().expect("values") };
        let mut soup = Soup::begin(&parameters).expect("kept");
        for end in [[2.0_f32, 0.0], [4.0, 6.0], [0.0, 3.0]] {
            let end = Tensor::new(&end, &Device::Cpu).expect("a tensor");
            parameters[0].variable.set(&end).expect("set");
            soup.add(&parameters).expect("added");
            soup.restart(&parameters).expect("put back");
            assert_eq!(values(), [1.0, -2.0]);
        }
        soup.finish(&parameters, 3).expect("set");
        assert_eq!(values(), [2.0, 3.0]);
    }
}
