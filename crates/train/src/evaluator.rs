//! Scores of models on the suites of a run.
//!
//! One rule says where: safetensors networks, that is, base, teacher and checkpoint, are evaluated
//! on the device that trains, in float32 as their weights are trained. Static embeddings, ONNX
//! graphs and endpoints are evaluated on the CPU.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::DeviceLocation;

use super::model::Model;
use super::recipe::Number;
use super::session::{BESIDE, TrainPlan};
use super::{TrainError, held_out, report, save};
use korfinsts_base::fs;
use korfinsts_bench::run::engine::{BATCH_TOKENS, EncodeOptions, Silent};
use korfinsts_bench::run::evaluate::{self, EvaluateOptions, EvaluatedEncoder, Evaluation};
use korfinsts_bench::run::form::Forms;
use korfinsts_bench::suite::Suite;
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::backend::device::Device;
use korfinsts_encoder::lexical::BASELINES;
use korfinsts_encoder::protocol::Prompting;
use korfinsts_encoder::spec::{Overrides, Setting, read};
use korfinsts_metric::BootstrapOptions;

/// Evaluates models on the suites of a run, under the recipe's prompt.
pub(super) struct Evaluator<'a> {
    pub plan: &'a TrainPlan<'a>,
    /// Nothing is evaluated where there are none.
    pub suites: &'a [Suite],
}

impl Evaluator<'_> {
    fn options<'s>(&'s self, label: &'s str) -> EvaluateOptions<'s> {
        EvaluateOptions {
            encode: EncodeOptions {
                batch_tokens: BATCH_TOKENS,
                resume: true,
                label,
                stop: self.plan.stop,
            },
            bootstrap: BootstrapOptions {
                resamples: 1000,
                ..BootstrapOptions::default()
            },
            limit: None,
            cache: &self.plan.cache,
            forms: Forms::default(),
            speed: false,
        }
    }

    /// Scores of a model, by suite.
    pub fn of(&self, spec: &EncoderSpec) -> Result<Vec<Evaluation>, TrainError> {
        let mut found = Vec::new();
        if self.suites.is_empty() {
            return Ok(found);
        }
        let prompt = self.plan.recipe.compute.prompt.clone();
        let prompting = Prompting {
            protocol: if prompt.is_empty() { "raw" } else { "custom" }.into(),
            prompts: [prompt.clone(), prompt],
            float32_cosine: false,
        };
        let encoder = EvaluatedEncoder {
            spec,
            prompting: &prompting,
            open: &self.plan.open,
        };
        let options = self.options(&spec.name);
        encoder.evaluate(self.suites, options, &mut Silent, &mut |evaluation| {
            found.push(evaluation);
            Ok(())
        })?;
        Ok(found)
    }

    /// Spearman's correlation by suite and split of the model as it is now, read back from a folder as every
    /// other model is.
    pub fn now(&self, model: &Model) -> Result<BTreeMap<String, f64>, TrainError> {
        if self.suites.is_empty() {
            return Ok(BTreeMap::new());
        }
        let beside = self.plan.output.join(BESIDE);
        fs::create_dir(&beside)?;
        let folder = fs::temporary_dir_in(&beside)?;
        save::model(model, folder.path(), Number::Float32, 0.0)?;
        let spec = read_trained(folder.path(), self.plan)?;
        let prompt = spec.key(&self.plan.recipe.compute.prompt);
        let found = self.of(&spec);
        // Nobody will ask for these embeddings again.
        fs::remove_dir(&self.plan.cache.join(prompt))?;
        Ok(found?
            .into_iter()
            .filter_map(|e| {
                let suite = &e.record.suite;
                let score = e.record.scores.cosine_spearman?;
                Some((held_out::name(&suite.id, &suite.split), score))
            })
            .collect())
    }

    /// Scores that the checkpoint is compared with: of the teacher, of the untrained model where
    /// its vocabulary is new, and of the lexical baselines.
    pub fn others(&self, untrained: Option<&EncoderSpec>) -> Result<report::Beside, TrainError> {
        let mut found = Vec::new();
        if !self.suites.is_empty() {
            for spec in self.plan.teachers.iter().chain(untrained) {
                found.push((spec.name.clone(), self.of(spec)?));
            }
        }
        for baseline in BASELINES {
            let scores = self
                .suites
                .iter()
                .map(|suite| evaluate::baseline(baseline, suite, self.options("")));
            found.push((baseline.name.to_owned(), scores.collect()));
        }
        Ok(found)
    }
}

/// Reads a checkpoint that was just written.
pub(super) fn read_trained(folder: &Path, plan: &TrainPlan<'_>) -> Result<EncoderSpec, TrainError> {
    let overrides = Overrides {
        open: plan.open.clone(),
        ..Overrides::default()
    };
    Ok(on_device(
        read(folder, &overrides)?,
        &plan.device.location(),
    ))
}

/// A model as it is evaluated: on the GPU that trains, where the model is a safetensors network.
pub(super) fn on_device(mut spec: EncoderSpec, training: &DeviceLocation) -> EncoderSpec {
    let device = match training {
        DeviceLocation::Cuda { gpu_id } => Device::Cuda(*gpu_id).to_string(),
        _ => return spec,
    };
    if spec.backend == "candle" {
        for decision in spec
            .decisions
            .iter_mut()
            .filter(|d| d.what == Setting::Device)
        {
            decision.value.clone_from(&device);
            "the device that trains".clone_into(&mut decision.source);
        }
        spec.device = device;
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_evaluated_on_the_device_that_trains_and_others_on_the_cpu() {
        let references =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/encoders");
        let gpu = |gpu_id| DeviceLocation::Cuda { gpu_id };
        for (folder, training, device) in [
            ("bert-mean", gpu(0), "cuda"),
            ("bert-mean", gpu(1), "cuda:1"),
            ("bert-mean", DeviceLocation::Cpu, "cpu"),
            ("static", gpu(0), "cpu"),
        ] {
            let cpu = read(&references.join(folder), &Overrides::default()).expect("a model");
            let spec = on_device(cpu.clone(), &training);
            let decided = spec.decisions.iter().find(|d| d.what == Setting::Device);
            assert_eq!(decided.expect("decided").value, device, "{folder}");
            assert_eq!(
                (spec.device.as_str(), spec.dtype.as_str()),
                (device, "float32")
            );
            // Embeddings of one device are not taken for those of another.
            assert_eq!(spec.key("") == cpu.key(""), device == "cpu", "{folder}");
        }
    }
}
