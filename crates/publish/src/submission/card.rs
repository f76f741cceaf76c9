//! The model card that goes with a submission: `model-index` in its YAML head, and one file per suite
//! under `.eval_results/`, as hubs read them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::{Submission, SubmissionError, SuiteEntry};
use crate::results::{self, Scored};
use korfinsts_base::template;
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
    let mut values = json!({
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
    values["model_index"] = results::model_index(&values, templates)?.into();
    let mut files = BTreeMap::new();
    let text = template::source("submission/README.md", templates)?;
    files.insert(
        "README.md".into(),
        template::render("submission/README.md", &text, &values)?,
    );
    files.extend(results::eval_results(&values, templates)?);
    Ok(files)
}

fn values(suite: &SuiteEntry, manifest: Option<&Manifest>) -> Value {
    let metrics = &suite.metrics;
    let scored = Scored {
        id: &suite.id,
        split: &suite.split,
        release_id: &suite.release_id,
        get: &|key| metrics.get(key),
    };
    let mut values = scored.values(manifest);
    values["version"] = json!(suite.version);
    values["n_pairs"] = json!(suite.n_pairs);
    values["truncated_pairs"] = json!(suite.truncated_pairs);
    values["shown"] = json!(values["value"].as_f64().map(|x| format!("{x:.4}")));
    let domains = metrics.domains.iter().map(|(name, d)| {
        json!({
            "name": name,
            "n_pairs": d.n_pairs,
            "shown": d.cosine_spearman.map_or("none".to_owned(), |x| format!("{x:.4}")),
        })
    });
    values["domains"] = domains.collect();
    values
}
