//! `korfinsts mine report`: what happened to every document.

use std::path::PathBuf;

use clap::Args;

use super::FolderArgs;
use crate::cli::Global;
use crate::cli::output::{Format, OutputArgs};
use korfinsts_mine::report::Report;

/// Show what happened to every document, and write report.json, report.md and report.html
#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Folder with templates that replace the built-in ones
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the subcommand.
///
/// # Errors
/// When nothing was filtered in the folder, or a file cannot be read or written.
pub fn run(args: &ReportArgs, _global: &Global) -> anyhow::Result<()> {
    args.output.check()?;
    let folder = args.folder.folder();
    let _lock = args.folder.locked()?;
    let report = Report::of(&folder)?;
    report.write(&folder, args.templates.as_deref())?;
    let joined = |each: fn(&korfinsts_base::table::Table) -> String| {
        let tables: Vec<String> = report.tables().iter().map(each).collect();
        tables.join("\n")
    };
    let text = match args.output.format {
        Format::Table => report.to_terminal(),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&report.to_json())?),
        Format::Md => report.to_markdown(),
        Format::Csv => joined(korfinsts_base::table::Table::to_csv),
        Format::Latex => joined(korfinsts_base::table::Table::to_latex),
    };
    args.output.emit(&text)
}
