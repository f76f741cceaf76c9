//! `korfinsts suite probe`: how much of a suite can be solved without reading.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::selected;
use crate::cli::CliError;
use crate::cli::output::{OutputArgs, Table};
use korfinsts_base::failure::FailureClass;
use korfinsts_bench::suite::probe::{self, Area, Probes};
use korfinsts_bench::suite::{Registry, Suite};

/// Probes the splits of suites, and all splits of a suite together.
///
/// # Errors
/// When a suite or the output fails, or no suite can be probed.
pub fn show(registry: &Registry, suites: &[String], output: &OutputArgs) -> anyhow::Result<()> {
    output.check()?;
    let mut by_suite: BTreeMap<String, Vec<Suite>> = BTreeMap::new();
    for (manifest, split) in selected(registry, suites)? {
        // A split that reads another's files in another way holds the same texts.
        if manifest.splits[&split].from.is_none() {
            let suite = registry.load(&manifest, Some(&split))?;
            by_suite.entry(suite.id.clone()).or_default().push(suite);
        }
    }
    let head = [
        "suite",
        "split",
        "language",
        "#pairs",
        "#clusters",
        "#logistic",
        "#stumps",
        "#characters",
        "#words",
    ];
    let title =
        "AUC of cheap probes on pairs that they were not trained on (0.5: they see nothing)";
    let mut table = Table::new(title, &head);
    let mut document: Vec<Value> = Vec::new();
    for (id, splits) in &by_suite {
        let mut parts: Vec<(&str, Vec<&Suite>)> =
            splits.iter().map(|s| (s.split.as_str(), vec![s])).collect();
        if splits.len() > 1 {
            parts.push(("all", splits.iter().collect()));
        }
        for (split, of) in parts {
            let examples: Vec<_> = of.into_iter().flat_map(probe::examples).collect();
            let found = probe::probe(&examples);
            for (language, probes) in &found {
                table.push(row(id, split, language, probes));
            }
            document.push(json!({ "suite": id, "split": split, "languages": found }));
        }
    }
    if table.rows.is_empty() {
        let message =
            "nothing to probe: probes need binary gold and 20 clusters of pairs of a language";
        let hint = "probe a suite of triplets: `korfinsts suite probe korfin-shift`";
        let error = CliError::new(FailureClass::Data, message.to_owned(), Some(hint.into()));
        return Err(error.into());
    }
    output.show(&document, &[table])
}

fn row(suite: &str, split: &str, language: &str, probes: &Probes) -> Vec<String> {
    let area = |(_, area): (_, Area)| match area.interval {
        Some([low, high]) => format!("{:.3} [{low:.3}, {high:.3}]", area.auc),
        None => format!("{:.3}", area.auc),
    };
    let mut row: Vec<String> = [suite, split, language].map(str::to_owned).into();
    row.extend([probes.pairs.to_string(), probes.clusters.to_string()]);
    row.extend(probes.all().map(area));
    row
}
