//! What a model was trained on is said, and ids that it may have seen are ids of the suites.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::verify::Examined;
use super::first;

/// Fewest characters of a statement that says something.
const LEAST: usize = 10;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    let bundle = examined.bundle;
    let disclosure = &bundle.manifest.disclosure;
    let datasets: BTreeSet<&str> = bundle
        .train_data
        .datasets
        .iter()
        .map(|d| d.name.as_str())
        .collect();
    let named: BTreeSet<&str> = disclosure.trained_on.iter().map(String::as_str).collect();
    if datasets.len() != bundle.train_data.datasets.len()
        || named.len() != disclosure.trained_on.len()
    {
        return Err("a dataset stands twice".into());
    }
    if datasets != named {
        return Err("`trained_on` and train_data.json do not name the same datasets".into());
    }
    if datasets.is_empty() && bundle.train_data.statement.trim().chars().count() < LEAST {
        return Err("train_data.json names no dataset and states nothing: say what is known, also where it is little".into());
    }
    for dataset in &bundle.train_data.datasets {
        if dataset.name.trim().is_empty() || dataset.licence.trim().is_empty() {
            return Err("a dataset of train_data.json has no name or no licence".into());
        }
    }
    if disclosure.overlap_report.trim().chars().count() < LEAST {
        return Err("`overlap_report` says nothing: say how overlap with the suites was looked for, or that it was not".into());
    }
    let mut suites: HashMap<&str, HashSet<&str>> = HashMap::new();
    for entry in &bundle.manifest.suites {
        suites
            .entry(&entry.id)
            .or_default()
            .extend(examined.lines(entry).iter().map(|l| l.id.as_str()));
    }
    let unknown: Vec<String> = disclosure
        .contaminated_ids
        .iter()
        .filter(|name| {
            let found = name
                .split_once('/')
                .and_then(|(suite, id)| Some(suites.get(suite)?.contains(id)));
            found != Some(true)
        })
        .cloned()
        .collect();
    if !unknown.is_empty() {
        return Err(format!(
            "`contaminated_ids` holds what is no `<suite>/<id>` of this bundle: {}",
            first(&unknown, 5)
        ));
    }
    Ok(format!(
        "{} datasets are named, {} ids may have been seen",
        datasets.len(),
        disclosure.contaminated_ids.len()
    ))
}
