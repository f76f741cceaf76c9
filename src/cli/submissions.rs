//! Bundles of a folder as what other subcommands need of them.

use std::collections::HashMap;
use std::path::Path;

use super::CliError;
use super::output::Table;
use korfinsts_base::failure::FailureClass;
use korfinsts_base::{archive, fs, json};
use korfinsts_publish::leaderboard::entry;
use korfinsts_publish::release::{StoredScores, Subject};
use korfinsts_publish::submission::Verdict;

/// How the names of bundles end.
pub const ENDING: &str = ".kfsub.zip";

/// Names of the suites that are of a release: its id, and its id with the major version, under which a suite of other rows is known
/// next to the one before.
fn suites_of(subject: &Subject) -> [String; 2] {
    let major = subject.version.split('.').next().unwrap_or_default();
    [subject.id.clone(), format!("{}-{major}", subject.id)]
}

/// Adds scores to those of the same name and split. An id is one pair in all releases.
fn add(found: &mut Vec<StoredScores>, new: StoredScores) {
    match found
        .iter_mut()
        .find(|f| (&f.name, &f.split) == (&new.name, &new.split))
    {
        Some(known) => known.scores.extend(new.scores),
        None => found.push(new),
    }
}

/// The scores of every record in a folder on the suites of a release.
///
/// # Errors
/// When the folder cannot be read, a record is broken, or its scores by pair are not there.
pub fn of_records(folder: &Path, subject: &Subject) -> anyhow::Result<Vec<StoredScores>> {
    let read = entry::read(folder)?;
    if let Some((path, reason)) = read.broken.first() {
        let message = format!("{}: {reason}", path.display());
        return Err(CliError::new(FailureClass::Data, message, None).into());
    }
    let mut found = Vec::new();
    for entry in read.entries {
        if suites_of(subject).contains(&entry.record.suite.id) {
            let pairs = entry.pairs()?.into_iter();
            let pairs = pairs.filter_map(|pair| Some((pair.id, pair.score?)));
            let stored = StoredScores {
                name: entry.name(),
                split: entry.record.suite.split.clone(),
                scores: pairs.collect(),
            };
            add(&mut found, stored);
        }
    }
    Ok(found)
}

/// The scores of every bundle in a folder on the suites of a release, by name of the bundle.
///
/// # Errors
/// When the folder cannot be listed, or a bundle is refused.
pub fn stored(folder: &Path, subject: &Subject) -> anyhow::Result<Vec<StoredScores>> {
    let suites = suites_of(subject);
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
            let of = |suite: &String| file.strip_prefix(&format!("scores/{suite}."));
            let split = suites
                .iter()
                .find_map(of)
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
            let stored = StoredScores {
                name: name.to_owned(),
                split: split.to_owned(),
                scores,
            };
            add(&mut found, stored);
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
