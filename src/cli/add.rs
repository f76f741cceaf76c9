//! `korfinsts leaderboard add`: a verified bundle becomes records that the page shows.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::output::OutputArgs;
use super::submissions::ENDING;
use super::{CliError, Global, report};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::{self, Commit, FolderLock};
use korfinsts_bench::run::record::{RecordFiles, Timing, file_name, to_json};
use korfinsts_bench::suite::Registry;
use korfinsts_metric::BootstrapOptions;
use korfinsts_publish::leaderboard::entry::Entry;
use korfinsts_publish::submission::{self, Accepted, BundleContext};

/// Take submissions in: verify each bundle, keep it, and write the records that the page shows
///
/// A bundle that fails a check is not taken in. What is taken in is compared with what was before, so
/// that copies are found. `korfinsts leaderboard build --submitted DIR/records` shows it as
/// *recomputed*. A name belongs to the first bundle of it: a later one must be signed with the same key
/// (`submit --secret-key`), or a maintainer vouches for it. A bundle that was packed with
/// `--resubmission-of` takes the place of the one it names: the records of that one are removed, the
/// bundle itself is kept, so that its scores cannot be handed in by somebody else.
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
    /// Take a bundle's name, or what it replaces, for its submitter's own without the proof of a key, and a
    /// model that is close to another for one of its own: you know the submitter
    #[arg(long)]
    vouch: bool,
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
    super::check_resamples(args.resamples)?;
    let registry = Registry::open(&global.data_home()?)?;
    let kept = args.results.join("bundles");
    let lock = FolderLock::acquire(&args.results)?;
    let mut shown = Vec::new();
    for path in &args.bundles {
        // Each is compared with those before it, in the same call too.
        let mut entries = if fs::exists(&kept) {
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
        // What a killed run had decided is done by now: that this bundle is here already is no copy.
        if lock.completed() {
            let sha256 = fs::sha256(&bytes);
            entries.retain(|e| e.sha256 != sha256);
        }
        for entry in &mut entries {
            entry.vouched = args.vouch;
        }
        let bootstrap = BootstrapOptions {
            resamples: args.resamples,
            ..BootstrapOptions::default()
        };
        let context = BundleContext {
            registry: &registry,
            entries: &entries,
            revoked: &submission::revoked(),
        };
        let accepted = submission::accepted(path, &bytes, context, &bootstrap)?;
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
        let name = format!(
            "{}-{}{ENDING}",
            file_name(&accepted.bundle.manifest.model.id),
            &accepted.sha256[..8]
        );
        let mut commit = Commit::new(&lock);
        let removed = match replaced {
            Some(old) => remove(&mut commit, &args.results, old)?,
            None => 0,
        };
        shown.extend(put_records(&mut commit, &args.results, &accepted)?);
        commit.put(Path::new("bundles").join(&name), &bytes)?;
        commit.finish()?;
        global.note(&format!("taken in: {} ({})", name, accepted.level));
        if let Some(old) = replaced {
            global.note(&format!(
                "replaced: {removed} records of the bundle {} were removed; the bundle is kept",
                &old[..8]
            ));
        }
    }
    drop(lock);
    report::emit(&shown, report::ShownArgs::default(), &args.output, global)?;
    global.note(&format!(
        "next: `korfinsts leaderboard build --submitted {}`",
        args.results.join("records").display()
    ));
    Ok(())
}

/// Puts the records of a bundle, with their per-pair scores, into a folder of its own: no other bundle
/// writes there.
fn put_records(
    commit: &mut Commit<'_>,
    to: &Path,
    accepted: &Accepted,
) -> anyhow::Result<Vec<Entry>> {
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
    let manifest = &accepted.bundle.manifest;
    let key = manifest.model.weights_sha256().unwrap_or_default();
    let folder = Path::new("records").join(&accepted.sha256);
    let files: Vec<RecordFiles> = accepted
        .records
        .iter()
        .map(|(record, _)| RecordFiles::new(&folder, record, &key))
        .collect();
    for files in &files {
        let replaced = manifest.resubmission_of.as_deref();
        refuse_second(&to.join("records"), files, replaced)?;
    }
    let about = About {
        bundle_sha256: accepted.sha256.clone(),
        level: accepted.level.to_string(),
    };
    let mut written = Vec::new();
    for ((record, pairs), files) in accepted.records.iter().zip(files) {
        let mut record = record.clone();
        for (path, content) in record.contents(&files, pairs, &timing) {
            commit.put(path, &content)?;
        }
        commit.put(files.record.with_extension(ABOUT), &to_json(&about))?;
        written.push(Entry {
            record,
            path: to.join(files.record),
        });
    }
    Ok(written)
}

/// Refuses a second record of a model on a suite, unless its bundle replaces that of the first.
fn refuse_second(
    records: &Path,
    files: &RecordFiles,
    replaced: Option<&str>,
) -> anyhow::Result<()> {
    // The folder of the model and the name of the record: what is below the folder of the bundle.
    let below = files.record.components().skip(2).collect::<PathBuf>();
    let bundles = if fs::exists(records) {
        fs::list(records)?
    } else {
        Vec::new()
    };
    for bundle in bundles {
        let sha256 = bundle.file_name().unwrap_or_default().to_string_lossy();
        let own = files
            .record
            .starts_with(Path::new("records").join(&*sha256));
        if own || replaced == Some(&*sha256) || !fs::exists(&bundle.join(&below)) {
            continue;
        }
        let message = format!(
            "{}: it is a record of the bundle {sha256}, of the same model and suite",
            bundle.join(&below).display()
        );
        let hint = "pack this one with `--resubmission-of` and that hash to replace it, or under another \
                    `--name` to keep both";
        return Err(CliError::new(FailureClass::Check, message, Some(hint.into())).into());
    }
    Ok(())
}

/// The files of a record that came with a bundle.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    bundle_sha256: String,
    level: String,
}

/// Ending of its file. Not `.json`: it is no record.
const ABOUT: &str = "submission.txt";

/// Removes the records that came with a bundle, and says how many those were. Those that an older version
/// of this program wrote are in folders that several bundles share.
fn remove(commit: &mut Commit<'_>, to: &Path, bundle_sha256: &str) -> anyhow::Result<usize> {
    let mut removed = 0;
    let records = to.join("records");
    if !fs::exists(&records) {
        return Ok(0);
    }
    for path in fs::walk(&records, 1_000_000)? {
        let name = path.to_string_lossy();
        let Some(stem) = name.strip_suffix(&format!(".{ABOUT}")) else {
            continue;
        };
        let about: Option<About> = serde_json::from_slice(&fs::read(&path)?).ok();
        if about.is_none_or(|a| a.bundle_sha256 != bundle_sha256) {
            continue;
        }
        for ending in ["json", "pairs.jsonl", "timing.json", "tokens.jsonl", ABOUT] {
            let file = PathBuf::from(format!("{stem}.{ending}"));
            if let (true, Ok(below)) = (fs::exists(&file), file.strip_prefix(to)) {
                commit.remove(below)?;
            }
        }
        removed += 1;
    }
    Ok(removed)
}
