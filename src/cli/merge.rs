//! `korfinsts merge`: the folders of several runs into one.

use std::path::PathBuf;

use clap::Args;

use super::output::OutputArgs;
use super::{Global, report};
use korfinsts_bench::run::merge;
use korfinsts_publish::leaderboard::entry::Entry;

/// Join the results of several runs, or the shards of one, into one folder
///
/// Shards made with `eval --shard I/N` are checked for completeness, and the joined folder holds
/// the bytes that one run would have left. Records of one name must be equal; each per-pair file
/// is checked against its record.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts merge korfinsts-results --results all
  korfinsts merge node-a/results node-b/results --results all --format markdown")]
pub struct MergeArgs {
    /// Results folders, or one that holds the folders of shards
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Folder that the joined records are written to
    #[arg(long, alias = "into", value_name = "DIR")]
    results: PathBuf,
    /// Join what is there, though shards are missing
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    shown: report::ShownArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the subcommand.
///
/// # Errors
/// When folders do not belong together, one is damaged or missing, or the disk fails.
pub fn run(args: &MergeArgs, global: &Global) -> anyhow::Result<()> {
    args.output.check()?;
    let merged = merge::merge(&args.folders, &args.results, args.partial)?;
    let entries = merged.records.iter().map(|path| Entry::read(path));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    report::emit(&entries, args.shown, &args.output, global)?;
    for shard in &merged.missing {
        global.note(&format!("warning: shard {shard} is missing"));
    }
    let repeated = match merged.repeated {
        0 => String::new(),
        n => format!(", {n} of them in more than one folder"),
    };
    global.note(&format!(
        "records: {} ({} joined{repeated})",
        args.results.display(),
        merged.records.len()
    ));
    Ok(())
}
