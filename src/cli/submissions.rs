//! Bundles of a folder as what other subcommands need of them.

use std::collections::HashMap;
use std::path::Path;

use super::CliError;
use super::output::Table;
use korfinsts_base::failure::FailureClass;
use korfinsts_base::{archive, fs, json};
use korfinsts_publish::release::StoredScores;
use korfinsts_publish::submission::Verdict;

/// How the names of bundles end.
pub const ENDING: &str = ".kfsub.zip";

/// The scores of every bundle in a folder on one suite, by name of the bundle.
///
/// # Errors
/// When the folder cannot be listed, or a bundle is refused.
pub fn stored(folder: &Path, suite: &str) -> anyhow::Result<Vec<StoredScores>> {
    let mut found = Vec::new();
    for path in fs::list(folder)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some(name) = name.strip_suffix(ENDING) else {
            continue;
        };
        let wrong = |reason: String| {
            let message = format!("{}: {reason}", path.display());
            CliError::new(
                FailureClass::Data,
                message,
                Some("`korfinsts verify` says more".into()),
            )
        };
        let files = archive::open(&path).map_err(|e| wrong(e.to_string()))?;
        for (file, bytes) in &files {
            let split = file
                .strip_prefix(&format!("scores/{suite}."))
                .and_then(|f| f.strip_suffix(".jsonl"));
            let Some(split) = split else { continue };
            let lines = json::parse_lines(bytes)
                .map_err(|(line, reason)| wrong(format!("{file}:{line}: {reason}")))?;
            let mut scores = HashMap::new();
            for (i, line) in lines.iter().enumerate() {
                let (Some(id), Some(score)) = (line["id"].as_str(), line["score"].as_f64()) else {
                    return Err(
                        wrong(format!("{file}:{}: found no `id` and `score`", i + 1)).into(),
                    );
                };
                scores.insert(id.to_owned(), score);
            }
            found.push(StoredScores {
                name: name.to_owned(),
                split: split.to_owned(),
                scores,
            });
        }
    }
    Ok(found)
}

/// A verdict as a table.
#[must_use]
pub fn verdict_table(verdict: &Verdict) -> Table {
    let title = if verdict.passed {
        "accepted"
    } else {
        "refused"
    };
    let mut table = Table::new(
        &format!("{title}: {}", verdict.level),
        &["check", "result", "what"],
    );
    for check in &verdict.checks {
        let result = if check.passed { "passed" } else { "FAILED" };
        table.push(vec![check.id.into(), result.into(), check.message.clone()]);
    }
    table
}
