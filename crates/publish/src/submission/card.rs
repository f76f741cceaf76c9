//! The model card that goes with a submission: `model-index` in its YAML head, and one file per suite
//! under `.eval_results/`, as hubs read them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::{Submission, SubmissionError, SuiteEntry};
use korfinsts_base::template;
use korfinsts_bench::run::scores::SCORES;
use korfinsts_bench::suite::{Manifest, Registry};

/// What a card says that the submission does not.
#[derive(Debug, Clone, Default)]
pub struct Card {
    /// Day, `YYYY-MM-DD`.
    pub date: String,
    /// Where the results can be read.
    pub url: Option<String>,
}

/// Renders the card and the files under `.eval_results/`: text by file name.
///
/// # Errors
/// When a template fails.
pub fn card(
    submission: &Submission,
    about: &Card,
    registry: &Registry,
    templates: Option<&Path>,
) -> Result<BTreeMap<String, String>, SubmissionError> {
    let suites: Vec<Value> = submission
        .suites
        .iter()
        .map(|suite| values(suite, registry.all().iter().find(|m| m.id == suite.id)))
        .collect();
    let model = &submission.model;
    let values = json!({
        "name": model.id.rsplit('/').next().unwrap_or(&model.id),
        "id": model.id,
        "licence": model.licence,
        "licence_lower": model.licence.to_lowercase(),
        "model": model,
        "run": submission.run,
        "suites": suites,
        "trained_on": submission.disclosure.trained_on,
        "overlap_report": submission.disclosure.overlap_report,
        "date": about.date,
        "url": about.url,
        "program": format!("korfinsts {}", submission.run.harness.version),
    });
    let mut files = BTreeMap::new();
    let text = template::source("submission/README.md", templates)?;
    files.insert(
        "README.md".into(),
        template::render("submission/README.md", &text, &values)?,
    );
    let text = template::source("submission/eval_results.yaml", templates)?;
    for suite in &suites {
        let mut values = values.clone();
        values["suite"] = suite.clone();
        let name = format!(
            ".eval_results/{}.{}.yaml",
            suite["id"].as_str().unwrap_or_default(),
            suite["split"].as_str().unwrap_or_default()
        );
        files.insert(
            name,
            template::render("submission/eval_results.yaml", &text, &values)?,
        );
    }
    Ok(files)
}

fn values(suite: &SuiteEntry, manifest: Option<&Manifest>) -> Value {
    let hub = manifest.and_then(|m| m.sources.iter().find_map(|s| s.hub.as_ref()));
    let metrics = &suite.metrics;
    let main = metrics.get("cosine_spearman");
    let shown = SCORES.iter().filter_map(|score| {
        let (name, value) = (score.card?, metrics.get(score.key)?);
        Some(json!({ "type": score.key, "name": name, "value": value }))
    });
    json!({
        "id": suite.id,
        "split": suite.split,
        "title": manifest.map_or(suite.id.as_str(), |m| m.title.as_str()),
        "dataset": hub.map_or(suite.id.as_str(), |h| h.repo.as_str()),
        "revision": hub.and_then(|h| h.revision.as_deref()).unwrap_or(&suite.release_id),
        "release_id": suite.release_id,
        "version": suite.version,
        "n_pairs": suite.n_pairs,
        "truncated_pairs": suite.truncated_pairs,
        "metrics": shown.collect::<Vec<_>>(),
        "value": main,
        "shown": main.map(|x| format!("{x:.4}")),
        "domains": metrics.domains.iter().map(|(name, d)| json!({
            "name": name,
            "n_pairs": d.n_pairs,
            "shown": d.cosine_spearman.map_or("none".to_owned(), |x| format!("{x:.4}")),
        })).collect::<Vec<_>>(),
    })
}
