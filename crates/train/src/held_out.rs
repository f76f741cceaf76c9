//! What a run is tested on: suites without the variants that it trains on.

use std::collections::BTreeSet;

use super::TrainError;
use super::batch::{Source, examples};
use super::session::Plan;
use korfinsts_bench::suite::{Availability, Suite};

/// The variants that examples are of, sorted.
pub(super) fn variants(stages: &[Vec<Source>]) -> Vec<String> {
    let found: BTreeSet<&String> = examples(stages)
        .map(|e| &e.labels.variant)
        .filter(|v| !v.is_empty())
        .collect();
    found.into_iter().cloned().collect()
}

/// The suites that are evaluated, without what was trained on.
pub(super) fn suites_left(plan: &Plan<'_>, trained: &[String]) -> Result<Vec<Suite>, TrainError> {
    let mut suites = Vec::new();
    for name in &plan.recipe.evaluate.suites {
        let (manifest, split) = plan.registry.select(name)?;
        if let Availability::Missing { .. } = plan.registry.availability(&manifest, Some(&split))? {
            continue;
        }
        let mut suite = plan.registry.load(&manifest, Some(&split))?;
        hold_out(&mut suite, trained);
        if suite.pairs.is_empty() {
            return Err(TrainError::Recipe {
                path: plan.path.clone(),
                line: None,
                reason: format!(
                    "nothing of `{name}` is left to evaluate: every variant in it is trained on"
                ),
                hint: Some(
                    "leave variants for testing with `without_variants` in `data`, or the \
                     suite out of `evaluate`"
                        .into(),
                ),
            });
        }
        suites.push(suite);
    }
    Ok(suites)
}

/// Pairs of variants that were trained on are no part of an evaluation.
fn hold_out(suite: &mut Suite, trained: &[String]) {
    suite
        .pairs
        .retain(|pair| pair.variant_among(trained).is_none());
}

/// The suites that training texts are looked for in, and those that are not on disk.
pub(super) fn leak_suites(
    plan: &Plan<'_>,
    trained: &[String],
) -> Result<(Vec<Suite>, Vec<String>), TrainError> {
    let registry = plan.registry;
    let mut names = plan.recipe.leakage_suites.clone();
    if names.is_empty() {
        names = registry.all().iter().map(|m| m.id.clone()).collect();
    }
    for name in &plan.recipe.evaluate.suites {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let (mut suites, mut absent) = (Vec::new(), Vec::new());
    for name in names {
        let (manifest, split) = registry.select(&name)?;
        match registry.availability(&manifest, Some(&split))? {
            Availability::Available => {
                let mut suite = registry.load(&manifest, Some(&split))?;
                hold_out(&mut suite, trained);
                suites.push(suite);
            }
            Availability::Missing { .. } => absent.push(name),
        }
    }
    Ok((suites, absent))
}
