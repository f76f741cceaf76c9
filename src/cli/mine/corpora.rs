//! `korfinsts mine corpora`: which corpora there are.

use clap::{Args, Subcommand};

use super::super::Global;

/// List and describe corpora
#[derive(Debug, Args)]
pub struct CorporaArgs {
    #[command(subcommand)]
    command: CorporaCommand,
}

#[derive(Debug, Subcommand)]
enum CorporaCommand {
    /// List the corpora
    List,
}

/// Runs the subcommand.
///
/// # Errors
/// When a manifest cannot be read.
pub fn run(args: &CorporaArgs, _global: &Global) -> anyhow::Result<()> {
    match args.command {
        CorporaCommand::List => Ok(()),
    }
}
