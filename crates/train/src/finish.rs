//! The end of a run: the checkpoint, its scores, report and card.

use super::evaluator::{Evaluator, read_trained};
use super::recipe::Recipe;
use super::report::{self, Report};
use super::session::{BESIDE, Session, Watch};
use super::training::Trained;
use super::{TrainError, base, chart, save};
use korfinsts_base::{fs, json};
use korfinsts_bench::run::evaluate::Evaluation;
use korfinsts_encoder::spec::TRAINED_VARIANTS;

impl Session<'_> {
    /// Writes the checkpoint, evaluates it, and writes curve, report and card.
    pub(super) fn finish(
        &self,
        evaluator: &Evaluator<'_>,
        before: &[Evaluation],
        trained: Trained,
        watch: &mut dyn Watch,
    ) -> Result<Report, TrainError> {
        let metrics = trained.log.lines();
        let recipe = &self.plan.recipe;
        let output = &self.plan.output;
        save::model(
            &self.model,
            output,
            recipe.save.dtype,
            recipe.average_with_base,
        )?;
        let variants = output.join(TRAINED_VARIANTS);
        if self.held_out.is_empty() {
            fs::remove_file(&variants)?;
        } else {
            save::write_json(&variants, &self.held_out.clone().into())?;
        }
        let spec = read_trained(output, &self.plan)?;
        if !evaluator.suites.is_empty() {
            watch.note("evaluating the checkpoint");
        }
        let after = evaluator.of(&spec)?;
        let beside = evaluator.others(self.vocabulary.as_ref().map(|_| self.model.spec()))?;
        let mut report = report::build(
            recipe,
            &self.outline()?,
            report::Evaluations {
                before,
                after: &after,
                beside: &beside,
            },
            metrics,
        );
        report.best = trained.best;
        report.held_out_of_evaluation.clone_from(&self.held_out);
        let beside = output.join(BESIDE);
        fs::write_atomic(&beside.join("recipe.toml"), &self.recipe_that_ran()?)?;
        let svg = chart::draw(&recipe.name, metrics)?;
        fs::write_atomic(&beside.join("curve.svg"), svg.as_bytes())?;
        fs::write_atomic(&beside.join("report.json"), &json::pretty(&report))?;
        let card = report::card(recipe, &report, &spec)?;
        fs::write_atomic(&output.join("README.md"), card.as_bytes())?;
        base::remove_others(&self.plan)?;
        Ok(report)
    }

    /// The recipe as its file is, or with the models that replaced those it names.
    fn recipe_that_ran(&self) -> Result<Vec<u8>, TrainError> {
        let (path, recipe) = (&self.plan.path, &self.plan.recipe);
        if Recipe::read(path)? == *recipe {
            return Ok(fs::read(path)?);
        }
        Ok(report::to_toml(recipe)?.into_bytes())
    }
}
