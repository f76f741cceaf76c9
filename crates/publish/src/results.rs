//! Scores in the two forms that hubs read: `model-index` in the head of a model card, and files under
//! `.eval_results/`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use korfinsts_base::template::{self, TemplateError};
use korfinsts_bench::run::scores::SCORES;
use korfinsts_bench::suite::Manifest;

/// The scores of a model on a suite.
pub(crate) struct Scored<'a> {
    /// Suite.
    pub id: &'a str,
    /// Split.
    pub split: &'a str,
    /// SHA-256 that names the content.
    pub release_id: &'a str,
    /// The score of a key.
    pub get: &'a dyn Fn(&str) -> Option<f64>,
}

impl Scored<'_> {
    /// What the templates say of it. The dataset is that of the hub, where the suite comes from there.
    pub fn values(&self, manifest: Option<&Manifest>) -> Value {
        let hub = manifest.and_then(|m| m.sources.iter().find_map(|s| s.hub.as_ref()));
        let shown = SCORES.iter().filter_map(|score| {
            let (name, value) = (score.card?, (self.get)(score.key)?);
            Some(json!({ "type": score.key, "name": name, "value": value }))
        });
        json!({
            "id": self.id,
            "split": self.split,
            "title": manifest.map_or(self.id, |m| m.title.as_str()),
            "dataset": hub.map_or(self.id, |h| h.repo.as_str()),
            "revision": hub.and_then(|h| h.revision.as_deref()).unwrap_or(self.release_id),
            "release_id": self.release_id,
            "metrics": shown.collect::<Vec<_>>(),
            "value": (self.get)("cosine_spearman"),
        })
    }
}

/// The items of `results` in `model-index`, indented by two: one for each of `suites` in `values`.
///
/// # Errors
/// When the template fails.
pub(crate) fn model_index(
    values: &Value,
    templates: Option<&Path>,
) -> Result<String, TemplateError> {
    let text = template::source("submission/model_index.yaml", templates)?;
    template::render("submission/model_index.yaml", &text, values)
}

/// The files under `.eval_results/`: text by path, one for each of `suites` in `values`.
///
/// # Errors
/// When the template fails.
pub(crate) fn eval_results(
    values: &Value,
    templates: Option<&Path>,
) -> Result<BTreeMap<String, String>, TemplateError> {
    let text = template::source("submission/eval_results.yaml", templates)?;
    let suites = values["suites"].as_array();
    let file = |suite: &Value| {
        let mut values = values.clone();
        values["suite"] = suite.clone();
        let part = |key: &str| suite[key].as_str().unwrap_or_default();
        let name = format!(".eval_results/{}.{}.yaml", part("id"), part("split"));
        let text = template::render("submission/eval_results.yaml", &text, &values)?;
        Ok((name, text))
    };
    suites.into_iter().flatten().map(file).collect()
}
