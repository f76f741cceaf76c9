//! `korfinsts leaderboard add`: a verified bundle becomes records that the page shows.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::output::OutputArgs;
use super::submissions::ENDING;
use super::{CliError, Global, report};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_bench::run::record::{Record, RecordFiles, Timing, file_name, to_json};
use korfinsts_bench::suite::Registry;
use korfinsts_metric::BootstrapOptions;
use korfinsts_publish::leaderboard::entry::Entry;
use korfinsts_publish::submission::{self, Accepted};

/// Take submissions in: verify each bundle, keep it, and write the records that the page shows
///
/// A bundle that fails a check is not taken in. What is taken in is compared with what was before, so
/// that copies are found. `korfinsts leaderboard build --submitted DIR/records` shows it as
/// *recomputed*. A bundle that was packed with `--resubmission-of` takes the place of the one it names:
/// the records of that one are removed, the bundle itself is kept, so that its scores cannot be handed in
/// by somebody else.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts leaderboard add my-model.kfsub.zip
  korfinsts leaderboard build --submitted korfinsts-submitted/records")]
pub struct AddArgs {
    /// Bundles
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,
    /// Folder that keeps bundles and records
    #[arg(
        long,
        alias = "to",
        value_name = "DIR",
        default_value = "korfinsts-submitted"
    )]
    results: PathBuf,
    /// Number of bootstrap resamples for each interval
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    resamples: usize,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the subcommand.
///
/// # Errors
/// When a bundle cannot be read or does not pass; when the folder cannot be written.
pub fn run(args: &AddArgs, global: &Global) -> anyhow::Result<()> {
    args.output.check()?;
    if args.resamples < 100 {
        let found = format!(
            "found `--resamples {}`, at least 100 are allowed",
            args.resamples
        );
        return Err(CliError::usage(found, "10,000 is the default").into());
    }
    let registry = Registry::open(&global.data_home()?)?;
    let kept = args.results.join("bundles");
    let mut shown = Vec::new();
    for path in &args.bundles {
        // Each is compared with those before it, in the same call too.
        let entries = if fs::exists(&kept) {
            submission::entries(&kept)?
        } else {
            Vec::new()
        };
        let length = fs::metadata(path)?.len();
        if length > korfinsts_base::archive::MAX_TOTAL {
            let message = format!(
                "{}: {length} bytes, allowed are {}",
                path.display(),
                korfinsts_base::archive::MAX_TOTAL
            );
            return Err(CliError::new(FailureClass::Check, message, None).into());
        }
        let bytes = fs::read(path)?;
        let bootstrap = BootstrapOptions {
            resamples: args.resamples,
            ..BootstrapOptions::default()
        };
        let accepted = submission::accepted(
            path,
            &bytes,
            &registry,
            &entries,
            &submission::revoked(),
            &bootstrap,
        )?;
        let name = format!(
            "{}-{}{ENDING}",
            file_name(&accepted.bundle.manifest.model.id),
            &accepted.sha256[..8]
        );
        let replaced = accepted.bundle.manifest.resubmission_of.as_deref();
        if let Some(old) = replaced
            && !entries.iter().any(|e| e.sha256 == old)
        {
            let message = format!(
                "{}: it replaces the bundle {old}, which was not taken in here",
                path.display()
            );
            let hint = "pack it without `--resubmission-of`, or with the hash of the bundle in ";
            let hint = format!("{hint}{}", kept.display());
            return Err(CliError::new(FailureClass::Check, message, Some(hint)).into());
        }
        shown.extend(write(args, &accepted)?);
        fs::write_atomic(&kept.join(&name), &bytes)?;
        global.note(&format!("taken in: {} ({})", name, accepted.level));
        if let Some(old) = replaced {
            let count = remove(&args.results.join("records"), old)?;
            global.note(&format!(
                "replaced: {count} records of the bundle {} were removed; the bundle is kept",
                &old[..8]
            ));
        }
    }
    report::emit(&shown, report::ShownArgs::default(), &args.output, global)?;
    global.note(&format!(
        "next: `korfinsts leaderboard build --submitted {}`",
        args.results.join("records").display()
    ));
    Ok(())
}

/// Writes the records of a bundle with their per-pair scores.
fn write(args: &AddArgs, accepted: &Accepted) -> anyhow::Result<Vec<Entry>> {
    let timing = Timing {
        finished_at: std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0.0, |d| d.as_secs_f64()),
        elapsed_s: 0.0,
        encode_s: 0.0,
        texts_encoded: 0,
        encoded_by: None,
        usage: None,
        notes: Vec::new(),
    };
    let key = accepted
        .bundle
        .manifest
        .model
        .weights_sha256()
        .unwrap_or_default();
    let folder = args.results.join("records");
    let files = |record: &Record| RecordFiles::new(&folder, record, &key);
    for (record, _) in &accepted.records {
        refuse_another_bundle(&files(record).record, accepted)?;
    }
    let mut written = Vec::new();
    for (record, pairs) in &accepted.records {
        let mut record = record.clone();
        let files = files(&record);
        record.write(&files, pairs, &timing)?;
        let about = About {
            bundle_sha256: accepted.sha256.clone(),
            level: accepted.level.to_string(),
        };
        fs::write_atomic(&files.record.with_extension(ABOUT), &to_json(&about))?;
        written.push(Entry {
            record,
            path: files.record,
        });
    }
    Ok(written)
}

/// A record of another bundle is replaced only where this one says that it replaces that one.
fn refuse_another_bundle(record: &Path, accepted: &Accepted) -> anyhow::Result<()> {
    let about = record.with_extension(ABOUT);
    if !fs::exists(&about) {
        return Ok(());
    }
    let about: About = serde_json::from_slice(&fs::read(&about)?)?;
    let replaced = accepted.bundle.manifest.resubmission_of.as_deref();
    if [Some(accepted.sha256.as_str()), replaced].contains(&Some(&about.bundle_sha256)) {
        return Ok(());
    }
    let message = format!(
        "{}: it is a record of the bundle {}, of the same model and suite",
        record.display(),
        about.bundle_sha256
    );
    let hint = "pack this one with `--resubmission-of` and that hash to replace it, or under another \
                `--name` to keep both";
    Err(CliError::new(FailureClass::Check, message, Some(hint.into())).into())
}

/// The files of a record that came with a bundle.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    bundle_sha256: String,
    level: String,
}

/// Ending of its file. Not `.json`: it is no record.
const ABOUT: &str = "submission.txt";

/// Removes the records that came with a bundle, and says how many those were.
fn remove(records: &Path, bundle_sha256: &str) -> anyhow::Result<usize> {
    let mut removed = 0;
    for path in fs::walk(records, 1_000_000)? {
        let name = path.to_string_lossy();
        let Some(stem) = name.strip_suffix(&format!(".{ABOUT}")) else {
            continue;
        };
        let about: Option<About> = serde_json::from_slice(&fs::read(&path)?).ok();
        if about.is_none_or(|a| a.bundle_sha256 != bundle_sha256) {
            continue;
        }
        // The record first: without it the others are nothing.
        for ending in ["json", "pairs.jsonl", "timing.json", "tokens.jsonl", ABOUT] {
            let file = PathBuf::from(format!("{stem}.{ending}"));
            if fs::exists(&file) {
                fs::remove_file(&file)?;
            }
        }
        removed += 1;
    }
    Ok(removed)
}
