//! Folders of mteb results as reported figures.

use std::collections::BTreeMap;
use std::path::Path;

use super::LeaderboardError;
use super::catalogue::Catalogue;
use super::entry::{NAME_LENGTH, may_be_record};
use super::reported::{Reported, ReportedModel};
use korfinsts_base::fs;
use korfinsts_base::text::visible;
use korfinsts_bench::run::mteb::{self, MtebScores};

/// What an import found.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The figures.
    pub reported: Reported,
    /// Files read.
    pub files: usize,
    /// What was left out, and what was not sure.
    pub notes: Vec<String>,
}

/// Most files under a folder of results.
const MOST_FILES: usize = 1_000_000;

/// Reads every result file of mteb under a folder, of any known variant.
///
/// A task is named by the suite whose manifest names it; one that no suite knows is left out,
/// since mteb's results hold every kind of task. Where several files hold one model and task, the
/// one with the later date wins, then the one whose path comes later.
///
/// # Errors
/// When the folder cannot be listed, or holds no result of a known suite.
pub fn mteb_folder(
    folder: &Path,
    source: &str,
    catalogue: &Catalogue,
) -> Result<Imported, LeaderboardError> {
    let mut found = Results::default();
    let mut files = 0;
    let paths = if fs::metadata(folder)?.is_dir() {
        fs::walk(folder, MOST_FILES)?
    } else {
        vec![folder.to_owned()]
    };
    for path in paths.iter().filter(|p| may_be_record(p)) {
        match mteb::read(path) {
            Ok(results) => {
                files += 1;
                for result in &results {
                    found.add(result, path, catalogue);
                }
            }
            Err(error) => {
                let note = visible(&format!("left out: {error}"), 400);
                found.notes.push(note);
            }
        }
    }
    let Results {
        models,
        pairs,
        mut notes,
        unknown,
    } = found;
    if !unknown.is_empty() {
        let tasks: Vec<&str> = unknown.keys().take(12).map(String::as_str).collect();
        notes.push(format!(
            "{} tasks are of no known suite and were left out: {}{}",
            unknown.len(),
            tasks.join(", "),
            if unknown.len() > 12 { ", …" } else { "" }
        ));
    }
    if models.is_empty() {
        return Err(LeaderboardError::Empty {
            reason: format!(
                "no result of a known suite under `{}` ({files} result files read)",
                folder.display()
            ),
            hint: "mteb keeps its results as `<model>/<revision>/<task>.json`",
        });
    }
    Ok(Imported {
        reported: Reported {
            kind: "scores".into(),
            source: visible(source, 160),
            url: None,
            badge: "reported".into(),
            metric: "cosine_spearman".into(),
            protocol: Some("mteb".into()),
            suites: BTreeMap::new(),
            pairs,
            ones: BTreeMap::new(),
            models: models
                .into_iter()
                .map(|(name, scores)| ReportedModel {
                    name,
                    scores: scores
                        .into_iter()
                        .map(|(k, (score, _))| (k, score))
                        .collect(),
                    ..ReportedModel::default()
                })
                .collect(),
        },
        files,
        notes,
    })
}

/// What result files hold.
#[derive(Default)]
struct Results {
    /// By model and suite: score, and time of the run.
    models: BTreeMap<String, BTreeMap<String, (f64, f64)>>,
    /// Pairs by suite.
    pairs: BTreeMap<String, usize>,
    notes: Vec<String>,
    /// Tasks of no known suite, with the number of their results.
    unknown: BTreeMap<String, usize>,
}

impl Results {
    /// Adds one result; of several on one suite the latest is kept.
    fn add(&mut self, result: &MtebScores, path: &Path, catalogue: &Catalogue) {
        let Some((manifest, split)) = catalogue.of_mteb(&result.task) else {
            *self
                .unknown
                .entry(visible(&result.task, NAME_LENGTH))
                .or_insert(0) += 1;
            return;
        };
        if result.split != split || result.subset != "default" {
            return;
        }
        let record = mteb::to_record(result, path);
        let name = visible(&record.encoder.name, NAME_LENGTH);
        let score = record.scores.cosine_spearman;
        let Some(score) = score.filter(|s| (-1.0..=1.0).contains(s)) else {
            let path = path.display();
            self.notes.push(format!(
                "left out: {path}: no Spearman of the cosine in [-1, 1]"
            ));
            return;
        };
        let suite = if split == manifest.default_split {
            manifest.id.clone()
        } else {
            format!("{}:{split}", manifest.id)
        };
        if let Some(rows) = manifest.splits.get(split).and_then(|s| s.rows) {
            self.pairs.insert(suite.clone(), rows);
        }
        let date = result.date.unwrap_or(0.0);
        let kept = self.models.entry(name.clone()).or_default();
        if let Some((other, _)) = kept.get(&suite)
            && (other - score).abs() > 1e-6
        {
            self.notes.push(format!(
                "{name} on {suite}: several results, {other} and {score}"
            ));
        }
        if kept.get(&suite).is_none_or(|(_, old)| date >= *old) {
            kept.insert(suite, (score, date));
        }
    }
}

/// The figures as a file of `leaderboard/reported/`.
#[must_use]
pub fn to_toml(reported: &Reported) -> String {
    let body = toml::to_string(reported).unwrap_or_default();
    format!("# Reported by others; nothing here was run by this project.\n{body}")
}
