//! `korfinsts mine`: from corpora to triplets.
//!
//! To add a step that is typed: a file with its `Args` and `run`, a line in [`MineCommand`] and its
//! arm.

mod audit;
mod corpora;
mod filter;
mod generate;
mod negatives;
mod report;
mod run;
mod server;
mod synthesise;
mod typology;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Global;
use korfinsts_base::fs::{FolderLock, FsError};
use korfinsts_mine::{RunFolder, folder};

/// Build training triplets from corpora
#[derive(Debug, Args)]
pub struct MineArgs {
    #[command(subcommand)]
    command: MineCommand,
}

#[derive(Debug, Subcommand)]
enum MineCommand {
    Run(Box<run::RunArgs>),
    Filter(Box<filter::FilterArgs>),
    Audit(audit::AuditArgs),
    Report(report::ReportArgs),
    Corpora(corpora::CorporaArgs),
    Generate(Box<generate::GenerateArgs>),
    Negatives(Box<negatives::NegativesArgs>),
    Synthesise(Box<synthesise::SynthesiseArgs>),
    Typology(typology::TypologyArgs),
}

/// Runs the subcommand.
///
/// # Errors
/// What the data-construction room returns.
pub fn run(args: &MineArgs, global: &Global) -> anyhow::Result<()> {
    match &args.command {
        MineCommand::Run(args) => run::run(args, global),
        MineCommand::Filter(args) => filter::run(args, global),
        MineCommand::Audit(args) => audit::run(args, global),
        MineCommand::Report(args) => report::run(args, global),
        MineCommand::Corpora(args) => corpora::run(args, global),
        MineCommand::Generate(args) => generate::run(args, global),
        MineCommand::Negatives(args) => negatives::run(args, global),
        MineCommand::Synthesise(args) => synthesise::run(args, global),
        MineCommand::Typology(args) => typology::run(args),
    }
}

/// The folder of a run, as its steps take it.
#[derive(Debug, Clone, Args)]
struct FolderArgs {
    /// Folder of the run: every step reads and writes here
    #[arg(long, alias = "dir", value_name = "DIR", default_value = folder::DEFAULT)]
    results: PathBuf,
}

impl FolderArgs {
    fn folder(&self) -> RunFolder {
        RunFolder::new(&self.results)
    }

    /// The lock of the folder of a run, for a step that writes into it; nothing where there is no run yet,
    /// which the step then says.
    fn locked(&self) -> Result<Option<FolderLock>, FsError> {
        let run = Some(&self.results).filter(|folder| folder.is_dir());
        run.map(|folder| FolderLock::acquire(folder)).transpose()
    }
}
