//! `korfinsts mine audit`: a sample for two raters, and their agreement.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::FolderArgs;
use crate::cli::output::{Format, OutputArgs, Table};
use crate::cli::{CliError, Global};
use korfinsts_mine::audit::{self, AuditAgreement, SampleOptions};

/// Draw a sample of the passages for two raters, and measure how far they agree
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Sheet(SheetArgs),
    Agreement(AgreementArgs),
}

/// Write audit/rater-1.csv, audit/rater-2.csv and audit/guide.md
#[derive(Debug, Args)]
struct SheetArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Share of each source's passages
    #[arg(long, default_value_t = 0.05)]
    share: f64,
    /// Minimum number of passages of each source
    #[arg(long, default_value_t = 457)]
    least: usize,
    /// Share of the sample that both raters see
    #[arg(long, default_value_t = 0.2)]
    overlap: f64,
    /// Seed of the draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Read two filled sheets back: Krippendorff's alpha for each question
#[derive(Debug, Args)]
struct AgreementArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// The filled sheets [default: those in the run folder]
    #[arg(num_args = 2, value_names = ["SHEET", "SHEET"])]
    sheets: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the subcommand.
///
/// # Errors
/// When there are no passages, or a sheet cannot be read or written.
pub fn run(args: &AuditArgs, global: &Global) -> anyhow::Result<()> {
    match &args.command {
        AuditCommand::Sheet(args) => sheet(args, global),
        AuditCommand::Agreement(args) => agreement(args),
    }
}

fn sheet(args: &SheetArgs, global: &Global) -> anyhow::Result<()> {
    for (flag, value) in [("--share", args.share), ("--overlap", args.overlap)] {
        if !(0.0..=1.0).contains(&value) {
            return Err(CliError::usage(
                format!("found `{flag} {value}`"),
                "give a share from 0 to 1",
            )
            .into());
        }
    }
    let folder = args.folder.folder();
    let _lock = args.folder.locked()?;
    let sampled = audit::sample(
        &folder,
        SampleOptions {
            share: args.share,
            least: args.least,
            overlap: args.overlap,
            seed: args.seed,
        },
    )?;
    for source in sampled {
        global.note(&format!(
            "{}: {} of {} passages, {} for both raters",
            source.source, source.sampled, source.passages, source.both
        ));
    }
    Ok(())
}

fn agreement(args: &AgreementArgs) -> anyhow::Result<()> {
    args.output.check()?;
    let folder = args.folder.folder();
    let _lock = args.folder.locked()?;
    let own = [audit::sheet(&folder, 1), audit::sheet(&folder, 2)];
    let sheets = match &args.sheets[..] {
        [a, b] => [a.as_path(), b.as_path()],
        _ => [own[0].as_path(), own[1].as_path()],
    };
    let found = audit::agreement(&folder, sheets)?;
    let table = table(&found);
    let text = match args.output.format {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&found)?),
        Format::Table => table.to_terminal(),
        Format::Md => table.to_markdown(),
        Format::Csv => table.to_csv(),
        Format::Latex => table.to_latex(),
    };
    args.output.emit(&text)
}

fn table(found: &AuditAgreement) -> Table {
    let mut table = Table::new(
        "Agreement of the raters",
        &[
            "question", "#both", "#same", "#alpha", "#low", "#high", "#yes",
        ],
    );
    let shown = |x: Option<f64>| x.map(|x| format!("{x:.3}")).unwrap_or_default();
    for question in &found.questions {
        let [answers, yes] = question.answers;
        table.push(vec![
            question.question.clone(),
            question.units.to_string(),
            shown(question.same),
            shown(question.alpha),
            shown(question.low),
            shown(question.high),
            format!("{yes}/{answers}"),
        ]);
    }
    table
}
