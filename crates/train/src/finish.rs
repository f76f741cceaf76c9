//! What a run is worth: evaluations on the way and at the end, the checkpoint, its report and card.

use std::collections::BTreeMap;
use std::path::Path;

use super::metrics::StepMetrics;
use super::recipe::Number;
use super::report::{self, Report};
use super::session::{BESIDE, Session, Watch};
use super::{TrainError, base, chart, save};
use korfinsts_base::{fs, json};
use korfinsts_bench::run::engine::{self, BATCH_TOKENS, EncodeOptions};
use korfinsts_bench::run::evaluate::{self, EvaluateOptions, Evaluation};
use korfinsts_bench::suite::Suite;
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::lexical::BASELINES;
use korfinsts_encoder::protocol::Prompting;
use korfinsts_encoder::spec::{Overrides, TRAINED_VARIANTS, read};
use korfinsts_metric::BootstrapOptions;

impl Session<'_> {
    fn evaluate_options<'s>(&'s self, label: &'s str) -> EvaluateOptions<'s> {
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
        }
    }

    /// Scores of an encoder on suites, under the recipe's prompt.
    pub(super) fn evaluate(
        &self,
        spec: &EncoderSpec,
        suites: &[Suite],
    ) -> Result<Vec<Evaluation>, TrainError> {
        let prompt = self.plan.recipe.compute.prompt.clone();
        let prompting = Prompting {
            protocol: if prompt.is_empty() { "raw" } else { "custom" }.into(),
            prompts: [prompt.clone(), prompt],
            float32_cosine: false,
        };
        let mut found = Vec::new();
        evaluate::encoder(
            spec,
            &prompting,
            suites,
            &self.plan.open,
            self.evaluate_options(&spec.name),
            &mut engine::Silent,
            &mut |evaluation| {
                found.push(evaluation);
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// Spearman's correlation by suite of the model as it is now, read back from a folder as every
    /// other model is.
    pub(super) fn score(&self, suites: &[Suite]) -> Result<BTreeMap<String, f64>, TrainError> {
        let beside = self.plan.output.join(BESIDE);
        fs::create_dir(&beside)?;
        let folder = fs::temporary_dir_in(&beside)?;
        save::model(&self.model, folder.path(), Number::Float32, 0.0)?;
        let spec = read_trained(folder.path(), &self.plan.open)?;
        let prompt = spec.key(&self.plan.recipe.compute.prompt);
        let found = self.evaluate(&spec, suites);
        // Nobody will ask for these embeddings again.
        fs::remove_dir(&self.plan.cache.join(prompt))?;
        Ok(found?
            .into_iter()
            .filter_map(|e| Some((e.record.suite.id.clone(), e.record.scores.cosine_spearman?)))
            .collect())
    }

    /// What the checkpoint is shown beside: the lexical baselines, and the teacher.
    fn beside(&self, suites: &[Suite]) -> Result<report::Beside, TrainError> {
        let options = self.evaluate_options("");
        let mut found = Vec::new();
        if let Some(teacher) = self.plan.teacher.as_ref().filter(|_| !suites.is_empty()) {
            found.push((teacher.name.clone(), self.evaluate(teacher, suites)?));
        }
        if self.vocabulary.is_some() && !suites.is_empty() {
            let untrained = self.model.spec();
            found.push((untrained.name.clone(), self.evaluate(untrained, suites)?));
        }
        for baseline in BASELINES {
            let scores = suites
                .iter()
                .map(|suite| evaluate::baseline(baseline, suite, options));
            found.push((baseline.name.to_owned(), scores.collect()));
        }
        Ok(found)
    }

    /// Writes the checkpoint, evaluates it, and writes curve, report and card.
    pub(super) fn finish(
        &self,
        before: &[Evaluation],
        suites: &[Suite],
        metrics: &[StepMetrics],
        watch: &mut dyn Watch,
    ) -> Result<Report, TrainError> {
        let recipe = &self.plan.recipe;
        let output = &self.plan.output;
        save::model(
            &self.model,
            output,
            recipe.save.dtype,
            recipe.average_with_base,
        )?;
        let trained = output.join(TRAINED_VARIANTS);
        if self.held_out.is_empty() {
            fs::remove_file(&trained)?;
        } else {
            save::write_json(&trained, &self.held_out.clone().into())?;
        }
        let spec = read_trained(output, &self.plan.open)?;
        let after = if suites.is_empty() {
            Vec::new()
        } else {
            watch.note("evaluating the checkpoint");
            self.evaluate(&spec, suites)?
        };
        let beside = self.beside(suites)?;
        let report = report::build(
            recipe,
            &self.outline()?,
            before,
            &after,
            &beside,
            metrics,
            &self.held_out,
        );
        let beside = output.join(BESIDE);
        fs::write_atomic(&beside.join("recipe.toml"), &fs::read(&self.plan.path)?)?;
        let svg = chart::draw(&recipe.name, metrics)?;
        fs::write_atomic(&beside.join("curve.svg"), svg.as_bytes())?;
        fs::write_atomic(&beside.join("report.json"), &json::pretty(&report))?;
        let card = report::card(recipe, &report, &spec)?;
        fs::write_atomic(&output.join("README.md"), card.as_bytes())?;
        base::remove_others(&self.plan)?;
        Ok(report)
    }
}

/// Reads a checkpoint that was just written.
fn read_trained(folder: &Path, open: &OpenOptions) -> Result<EncoderSpec, TrainError> {
    let overrides = Overrides {
        open: open.clone(),
        ..Overrides::default()
    };
    Ok(read(folder, &overrides)?)
}
