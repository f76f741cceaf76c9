//! `korfinsts mine run`: from corpora to triplets and their report.

use clap::Args;

use super::filter::{self, ChoiceArgs};
use super::generate::{self, GenerateArgs};
use crate::cli::Global;
use korfinsts_base::fs;
use korfinsts_mine::report::Report;

/// Everything, end to end: filter corpora, generate triplets, report
///
/// Where the folder holds passages already, they are used as they are and the generating steps go
/// on; `--again` filters anew.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  korfinsts mine run --profile strict --tokenizer qwen2.5/")]
pub struct RunArgs {
    /// Filter anew although the folder holds passages
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    generate: GenerateArgs,
}

/// Runs the subcommand.
///
/// # Errors
/// As `filter`, `generate` and `report`.
pub fn run(args: &RunArgs, global: &Global) -> anyhow::Result<()> {
    let folder = args.generate.folder.folder();
    if args.again || !fs::exists(&folder.passages()) {
        filter::whole(&args.choice, &folder, global)?;
    } else {
        global.note("note: the folder holds passages; `--again` filters anew");
    }
    let generated = generate::run(&args.generate, global);
    // A run whose shortcut check fails has a report all the same.
    if fs::exists(&folder.filter()) {
        let _lock = args.generate.folder.locked()?;
        Report::of(&folder)?.write(&folder, None)?;
    }
    generated
}
