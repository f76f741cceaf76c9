//! Folders of mteb results as reported figures.

use std::collections::BTreeMap;
use std::path::Path;

use super::LeaderboardError;
use super::catalogue::Catalogue;
use super::entry::NAME_LENGTH;
use super::reported::{Reported, ReportedModel};
use korfinsts_base::fs;
use korfinsts_base::text::visible;
use korfinsts_bench::run::mteb::{self, MtebScores};
use korfinsts_bench::run::record::may_be_record;

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

/// Reads every result file of mteb under a folder, of any known variant, and the scores in the heads
/// of model cards (`README.md`).
///
/// A task is named by the suite whose manifest names it; one that no suite knows is left out,
/// since mteb's results hold every kind of task. Where several files hold one model and task, the
/// one with the later date wins, then the one whose path comes later.
///
/// # Errors
/// When the folder cannot be listed, or no result in it can be used; the reasons are named.
pub fn mteb_folder(
    folder: &Path,
    source: &str,
    catalogue: &Catalogue,
) -> Result<Imported, LeaderboardError> {
    let mut found = Results::default();
    let mut files = 0;
    let is_folder = fs::metadata(folder)?.is_dir();
    let paths = if is_folder {
        fs::walk(folder, MOST_FILES)?
    } else {
        vec![folder.to_owned()]
    };
    for path in paths.iter().filter(|p| may_be_record(p) || is_card(p)) {
        match mteb::read(path) {
            Ok(results) => {
                files += 1;
                for result in &results {
                    found.add(result, path, catalogue);
                }
            }
            // Most Markdown files in a folder hold no scores.
            Err(_) if is_folder && is_card(path) && !holds_scores(path) => {}
            Err(error) => found.note(&format!("left out: {error}")),
        }
    }
    let (models, pairs, notes) = found.end();
    if models.is_empty() {
        let shown = notes.iter().take(8).map(|note| format!("\n  {note}"));
        return Err(LeaderboardError::Empty {
            reason: format!(
                "no result under `{}` can be used ({files} result files read){}",
                folder.display(),
                shown.collect::<String>()
            ),
            hint: "mteb keeps its results as `<model>/<revision>/<task>.json`; `korfinsts suite list` \
                   shows the suites",
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

fn is_card(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "README.md")
}

fn holds_scores(card: &Path) -> bool {
    let text = fs::read(card).unwrap_or_default();
    String::from_utf8_lossy(&text).contains("model-index:")
}

/// By model and suite: score, and time of the run.
type Models = BTreeMap<String, BTreeMap<String, (f64, f64)>>;

/// What result files hold.
#[derive(Default)]
struct Results {
    models: Models,
    /// Pairs by suite.
    pairs: BTreeMap<String, usize>,
    notes: Vec<String>,
    /// Tasks of no known suite, with the number of their results.
    unknown: BTreeMap<String, usize>,
    /// Files by the reason why a result in them was left out.
    skipped: BTreeMap<String, Vec<String>>,
}

impl Results {
    fn note(&mut self, note: &str) {
        self.notes.push(visible(note, 400));
    }

    /// Adds one result; of several on one suite the latest is kept.
    fn add(&mut self, result: &MtebScores, path: &Path, catalogue: &Catalogue) {
        let Some((manifest, split)) = catalogue.of_mteb(&result.task) else {
            *self
                .unknown
                .entry(visible(&result.task, NAME_LENGTH))
                .or_insert(0) += 1;
            return;
        };
        let file = path.display();
        if result.split != split || result.subset != "default" {
            let reason = format!(
                "split `{}`, subset `{}` of {}: the suite `{}` is split `{split}`, subset `default`",
                result.split, result.subset, result.task, manifest.id
            );
            let files = self.skipped.entry(visible(&reason, 300)).or_default();
            files.push(visible(&file.to_string(), 200));
            return;
        }
        let model = mteb::model_of(path, result.model.as_deref());
        for note in model.note.iter().chain(&result.notes) {
            self.note(&format!("{file}: {note}"));
        }
        let Some(name) = model.name.map(|name| visible(&name, NAME_LENGTH)) else {
            return;
        };
        let Some(&score) = result.scores.get("cosine_spearman") else {
            self.note(&format!("left out: {file}: no Spearman of the cosine"));
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

    /// The models, the pairs by suite, and the notes with what was left out.
    fn end(mut self) -> (Models, BTreeMap<String, usize>, Vec<String>) {
        let shortened = |names: Vec<&str>, most: usize| {
            let more = if names.len() > most { ", …" } else { "" };
            format!("{}{more}", names[..names.len().min(most)].join(", "))
        };
        for (reason, files) in &self.skipped {
            let names = files.iter().map(String::as_str).collect();
            let names = shortened(names, 3);
            self.notes.push(match files.len() {
                1 => format!("left out: {names}: {reason}"),
                n => format!("left out in {n} files: {reason}: {names}"),
            });
        }
        if !self.unknown.is_empty() {
            let tasks = self.unknown.keys().map(String::as_str).collect();
            self.notes.push(format!(
                "{} tasks are of no known suite and were left out: {}",
                self.unknown.len(),
                shortened(tasks, 12)
            ));
        }
        (self.models, self.pairs, self.notes)
    }
}

/// The figures as a file of `leaderboard/reported/`.
#[must_use]
pub fn to_toml(reported: &Reported) -> String {
    let body = toml::to_string(reported).unwrap_or_default();
    format!("# Reported by others; nothing here was run by this project.\n{body}")
}
