//! `korfinsts record`: look at what runs left, and compute it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use walkdir::WalkDir;

use super::output::OutputArgs;
use super::{CliError, Global, report};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_bench::run::merge;
use korfinsts_bench::run::mteb;
use korfinsts_bench::run::record::{Record, may_be_record, read_pairs};
use korfinsts_bench::run::score::{self, Asked, LEXICAL};
use korfinsts_bench::run::scores::SCORES;
use korfinsts_publish::leaderboard::entry::Entry;

/// Show the records of earlier runs, or compute their numbers again
#[derive(Debug, Args)]
pub struct RecordArgs {
    #[command(subcommand)]
    command: RecordCommand,
}

#[derive(Debug, Subcommand)]
enum RecordCommand {
    /// Show records, ours or mteb's result files, or the scores of a model card (`README.md`)
    Show {
        /// Files, or folders that hold them
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        shown: report::ShownArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Compute every number of records again from their per-pair scores
    Recompute {
        /// Files, or folders that hold them
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

/// Runs the subcommand.
///
/// # Errors
/// When a file cannot be read, or a number computed again differs.
pub fn run(args: &RecordArgs, global: &Global) -> anyhow::Result<()> {
    match &args.command {
        RecordCommand::Show {
            paths,
            shown,
            output,
        } => {
            output.check()?;
            report::emit(&read(paths)?, *shown, output, global)?;
            note_missing(paths, global);
            Ok(())
        }
        RecordCommand::Recompute { paths } => {
            note_missing(paths, global);
            recompute(paths, global)
        }
    }
}

/// Every JSON file at or under the paths, the record of a run or mteb's.
pub(super) fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.exists() {
            return Err(CliError::usage(
                format!("`{}` does not exist", path.display()),
                "name a record, or a folder of records such as `korfinsts-results`",
            )
            .into());
        }
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = entry.map_err(|e| {
                let place = e.path().unwrap_or(path).to_owned();
                fs::at("list", &place)(e.into())
            })?;
            let is_card = entry.path().extension().is_some_and(|e| e == "md");
            let is_record = may_be_record(entry.path()) || entry.depth() == 0 && is_card;
            if entry.file_type().is_file() && is_record {
                files.push(entry.into_path());
            }
        }
    }
    if files.is_empty() {
        let hint = Some("records end in `.json`; `eval` keeps them in `korfinsts-results`".into());
        return Err(CliError::new(FailureClass::Data, "found no record", hint).into());
    }
    Ok(files)
}

/// The first of the paths that holds a part of a run, with what it lacks in words, and what to type.
pub(super) fn incomplete(paths: &[PathBuf]) -> Option<[String; 2]> {
    let (path, missing) = paths.iter().filter(|path| path.is_dir()).find_map(|path| {
        let missing = merge::missing(path).ok()?;
        (!missing.is_empty()).then_some((path, missing))
    })?;
    let names: Vec<String> = missing.iter().map(|s| format!("`--shard {s}`")).collect();
    let folder = path.display();
    Some([
        format!(
            "{folder}: {} of the run is missing or not finished",
            names.join(", ")
        ),
        format!("run it, then join the shards: `korfinsts merge {folder} --results DIR`"),
    ])
}

/// The records of the one encoder and protocol that are meant, for the command that hands them on.
pub(super) fn of_one_encoder(
    records: &[PathBuf],
    (model, protocol): (Option<&str>, Option<&str>),
    command: &str,
) -> anyhow::Result<Vec<PathBuf>> {
    if let Some([what, hint]) = incomplete(records) {
        let hint = format!("{hint}, then `{command}`; or name the records to hand on now");
        return Err(CliError::new(FailureClass::Data, what, Some(hint)).into());
    }
    let mut groups: BTreeMap<(String, String, String), Vec<PathBuf>> = BTreeMap::new();
    for path in files(records)? {
        let record = Record::read(&path)?;
        // Of a folder, what is handed on: whole embeddings. A record that is named itself is refused
        // with the reason.
        let other_form = record.encoder.form.is_some() && !records.contains(&path);
        if record.encoder.backend == LEXICAL || other_form {
            continue;
        }
        let weights = record.encoder.sha256.unwrap_or_default();
        let name = record.encoder.name;
        let meant = model.is_none_or(|m| m == name || (m.len() >= 6 && weights.starts_with(m)));
        let own = record.encoder.protocol;
        if meant && protocol.is_none_or(|p| p == own) {
            groups.entry((name, weights, own)).or_default().push(path);
        }
    }
    if groups.len() > 1 {
        let names: Vec<String> = groups
            .keys()
            .map(|(name, weights, protocol)| {
                format!(
                    "`{name}` ({}, protocol {protocol})",
                    &weights[..weights.len().min(8)]
                )
            })
            .collect();
        return Err(CliError::usage(
            format!(
                "the records are of several encoders or protocols: {}",
                names.join(", ")
            ),
            "choose with `--model` and `--protocol`: they are handed on one at a time",
        )
        .into());
    }
    groups.into_values().next().ok_or_else(|| {
        CliError::new(
            FailureClass::Data,
            "found no record of an encoder",
            Some("`korfinsts eval MODEL` makes them".into()),
        )
        .into()
    })
}

fn note_missing(paths: &[PathBuf], global: &Global) {
    if let Some([what, hint]) = incomplete(paths) {
        global.note(&format!("note: {what}; {hint}"));
    }
}

/// Records of runs, and those made of mteb's result files.
fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for path in files(paths)? {
        match Record::read(&path) {
            Ok(record) => entries.push(Entry { record, path }),
            Err(error) => match mteb::read(&path) {
                Ok(results) => entries.extend(results.iter().map(|result| Entry {
                    record: mteb::to_record(result, &path),
                    path: path.clone(),
                })),
                Err(other) if path.extension().is_some_and(|e| e == "md") => {
                    return Err(other.into());
                }
                Err(_) => return Err(error.into()),
            },
        }
    }
    Ok(entries)
}

fn recompute(paths: &[PathBuf], global: &Global) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    let files = files(paths)?;
    for path in &files {
        let record = Record::read(path)?;
        let differences = differences(path, &record)?;
        let verdict = if differences.is_empty() {
            "equal"
        } else {
            "differs"
        };
        super::output::print(&format!("{verdict}  {}\n", path.display()))?;
        for difference in &differences {
            super::output::print(&format!("    {difference}\n"))?;
        }
        if !differences.is_empty() {
            wrong.push(path);
        }
    }
    if wrong.is_empty() {
        global.note(&format!(
            "{} records computed again, all equal",
            files.len()
        ));
        return Ok(());
    }
    let message = format!(
        "{} of {} records differ from their pairs",
        wrong.len(),
        files.len()
    );
    Err(CliError::new(FailureClass::Check, message, None).into())
}

/// What differs between a record and its per-pair scores: hash and every number.
fn differences(path: &Path, record: &Record) -> anyhow::Result<Vec<String>> {
    let Some(file) = &record.pairs else {
        return Ok(vec!["the record names no pairs".into()]);
    };
    let pairs_path = file.beside(path)?;
    let mut differences = Vec::new();
    let found = fs::sha256_file(&pairs_path)?;
    if found != file.sha256 {
        differences.push(format!(
            "{}: sha256 is {found}, recorded {}",
            file.name, file.sha256
        ));
    }
    let pairs = read_pairs(&pairs_path)?;
    let again = score::numbers(
        &pairs,
        Asked::of(&record.suite.scale, &record.encoder.backend),
        Some(&record.bootstrap.options()),
    )
    .record();
    let mut compare = |what: &str, recorded: serde_json::Value, again: serde_json::Value| {
        if recorded != again {
            differences.push(format!("{what}: recorded {recorded}, computed {again}"));
        }
    };
    compare("n_pairs", record.n_pairs.into(), pairs.len().into());
    compare("scores", json(&record.scores), json(&again.scores));
    compare("interval", json(&record.interval), json(&again.interval));
    compare("domains", json(&record.domains), json(&again.domains));
    for score in SCORES.iter().filter(|score| score.is_beside()) {
        let [recorded, again] = [record, &again].map(score.get);
        compare(score.key, recorded.into(), again.into());
    }
    compare(
        "triplet_accuracy",
        json(&record.triplet_accuracy),
        json(&again.triplet_accuracy),
    );
    // Records made before it was added have none.
    if record.triplets.is_some() {
        compare("triplets", json(&record.triplets), json(&again.triplets));
    }
    compare("clusters", json(&record.clusters), json(&again.clusters));
    // So have those of pairs that say nothing of training.
    if let Some(trained) = &record.trained_on
        && pairs.iter().any(|pair| pair.trained)
    {
        let again = score::trained_on(&pairs, trained.variants, &record.bootstrap.options());
        compare("trained_on", json(&trained), json(&again));
    }
    Ok(differences)
}

fn json<T: serde::Serialize>(value: &T) -> serde_json::Value {
    serde_json::to_value(value).expect("records serialise")
}
