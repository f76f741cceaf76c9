//! What a run is tested on: suites without the variants that it trains on.

use std::collections::BTreeSet;

use super::TrainError;
use super::batch::{Source, examples};
use super::session::TrainPlan;
use korfinsts_bench::suite::{Availability, Manifest, Suite};

/// The variants that examples are of, sorted.
pub(super) fn variants(stages: &[Vec<Source>]) -> Vec<String> {
    let found: BTreeSet<&String> = examples(stages)
        .map(|e| &e.labels.variant)
        .filter(|v| !v.is_empty())
        .collect();
    found.into_iter().cloned().collect()
}

/// The suites that are evaluated, without what was trained on.
pub(super) fn suites_left(
    plan: &TrainPlan<'_>,
    trained: &[String],
) -> Result<Vec<Suite>, TrainError> {
    let mut suites = Vec::new();
    for name in &plan.recipe.evaluate.suites {
        let (manifest, split) = plan.registry.select(name)?;
        if let Availability::Missing { .. } = plan.registry.availability(&manifest, Some(&split))? {
            continue;
        }
        let suite = plan.registry.load(&manifest, Some(&split))?;
        suites.push(left(plan, name, suite, trained)?);
    }
    Ok(suites)
}

/// What of a suite was not trained on, which must be something.
fn left(
    plan: &TrainPlan<'_>,
    name: &str,
    mut suite: Suite,
    trained: &[String],
) -> Result<Suite, TrainError> {
    hold_out(&mut suite, trained);
    if !suite.pairs.is_empty() {
        return Ok(suite);
    }
    Err(TrainError::Recipe {
        path: plan.path.clone(),
        line: None,
        reason: format!(
            "nothing of `{name}` is left to evaluate: every variant in it is trained on"
        ),
        hint: Some(
            "leave variants for testing with `without_variants` in `data`, or the suite out of \
             `evaluate`"
                .into(),
        ),
    })
}

/// Names of splits that a model may be chosen by.
const DEV: [&str; 4] = ["dev", "development", "validation", "valid"];

/// The dev split of a suite. A split that the suite is tested on by default is none, whatever its
/// name.
fn dev_split(manifest: &Manifest) -> Option<&str> {
    let is_dev = |split: &&str| DEV.contains(split) && *split != manifest.default_split;
    manifest.splits.keys().map(String::as_str).find(is_dev)
}

/// The dev splits that are evaluated at steps, that which chooses the checkpoint first.
///
/// # Errors
/// When `best` names a split that is tested on, or one that cannot be read.
pub(super) fn dev_suites(
    plan: &TrainPlan<'_>,
    trained: &[String],
) -> Result<Vec<Suite>, TrainError> {
    let (registry, evaluate) = (plan.registry, &plan.recipe.evaluate);
    let mut suites: Vec<Suite> = Vec::new();
    if evaluate.every == 0 {
        return Ok(suites);
    }
    if let Some(name) = &evaluate.best {
        let (manifest, split) = registry.select(name)?;
        if dev_split(&manifest) != Some(&split) {
            let known = registry.all().iter();
            let known = known.filter_map(|m| Some(format!("`{}:{}`", m.id, dev_split(m)?)));
            return Err(TrainError::Recipe {
                path: plan.path.clone(),
                line: None,
                reason: format!(
                    "`best` is `{name}`, and `{}:{split}` is no dev split: what is tested on chooses \
                     no checkpoint",
                    manifest.id
                ),
                hint: Some(format!(
                    "dev splits: {}",
                    known.collect::<Vec<_>>().join(", ")
                )),
            });
        }
        suites.push(left(
            plan,
            name,
            registry.load(&manifest, Some(&split))?,
            trained,
        )?);
    }
    for name in &evaluate.suites {
        let (manifest, _) = registry.select(name)?;
        let Some(split) = dev_split(&manifest) else {
            continue;
        };
        let known = suites
            .iter()
            .any(|s| (&s.id, s.split.as_str()) == (&manifest.id, split));
        let there = registry.availability(&manifest, Some(split))?;
        if !known && there == Availability::Available {
            suites.push(registry.load(&manifest, Some(split))?);
        }
    }
    for suite in &mut suites {
        hold_out(suite, trained);
    }
    suites.retain(|suite| !suite.pairs.is_empty());
    Ok(suites)
}

/// A suite and its split.
pub(super) fn name(suite: &str, split: &str) -> String {
    format!("{suite}:{split}")
}

/// Pairs of variants that were trained on are no part of an evaluation.
fn hold_out(suite: &mut Suite, trained: &[String]) {
    suite
        .pairs
        .retain(|pair| pair.variant_among(trained).is_none());
}

/// The suites that training texts are looked for in, and those that are not on disk.
pub(super) fn leak_suites(
    plan: &TrainPlan<'_>,
    trained: &[String],
) -> Result<(Vec<Suite>, Vec<String>), TrainError> {
    let registry = plan.registry;
    let mut names = plan.recipe.leakage_suites.clone();
    if names.is_empty() {
        names = registry.all().iter().map(|m| m.id.clone()).collect();
    }
    let evaluate = &plan.recipe.evaluate;
    for name in evaluate.suites.iter().chain(&evaluate.best) {
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
