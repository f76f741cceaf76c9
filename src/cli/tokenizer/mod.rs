//! `korfinsts tokenizer`: what a vocabulary covers, what that has to do with gains, and plans for
//! new tokens.

mod augment;
mod coverage;
mod gains;
pub(super) mod source;
mod tables;

use std::fmt::Write as _;

use clap::{Args, Subcommand, ValueEnum};

use super::Global;
use super::output::{Format, OutputArgs, Table, rendered, wrapped};
use super::texts::texts;

/// Measure and extend tokenizers
#[derive(Debug, Args)]
pub struct TokenizerArgs {
    #[command(subcommand)]
    command: TokenizerCommand,
}

#[derive(Debug, Subcommand)]
enum TokenizerCommand {
    Coverage(coverage::CoverageArgs),
    Gains(gains::GainsArgs),
    Augment(augment::AugmentArgs),
}

/// Runs the subcommand.
///
/// # Errors
/// When a tokenizer, a suite, a corpus or the output fails.
pub fn run(args: &TokenizerArgs, global: &Global) -> anyhow::Result<()> {
    match &args.command {
        TokenizerCommand::Coverage(args) => coverage::run(args, global),
        TokenizerCommand::Gains(args) => gains::run(args, global),
        TokenizerCommand::Augment(args) => augment::run(args, global),
    }
}

/// Formats of a coverage report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ReportFormat {
    /// Tables for a terminal
    #[default]
    Table,
    /// One JSON document
    Json,
    /// Comma separated, one row per number, raw values
    Csv,
    /// Markdown tables
    #[value(name = "markdown", alias = "md")]
    Md,
    /// LaTeX tables (booktabs)
    Latex,
    /// A chart
    Svg,
}

/// Where a report goes and in which format.
type ReportOutput = OutputArgs<ReportFormat>;

/// A report as text blocks: tables, and notes under them.
#[derive(Debug, Default)]
struct Page {
    tables: Vec<Table>,
    notes: Vec<(String, Vec<String>)>,
}

impl Page {
    fn table(&mut self, table: Table) {
        if !table.rows.is_empty() {
            self.tables.push(table);
        }
    }

    fn notes(&mut self, title: &str, lines: Vec<String>) {
        if !lines.is_empty() {
            self.notes.push((title.to_owned(), lines));
        }
    }

    fn render(self, format: ReportFormat) -> String {
        let tables: Vec<String> = self
            .tables
            .into_iter()
            .map(|table| {
                let format = match format {
                    ReportFormat::Md => Format::Md,
                    ReportFormat::Latex => Format::Latex,
                    _ => Format::Table,
                };
                rendered(&[table.without_empty_columns()], format)
            })
            .collect();
        let mut out = tables.join("\n");
        for (title, lines) in self.notes {
            let title = texts().said(&title);
            let (heading, mark) = match format {
                ReportFormat::Md => (format!("**{title}**\n"), "-"),
                ReportFormat::Latex => (format!("% {title}"), "%"),
                _ => (title, " "),
            };
            let _ = writeln!(out, "\n{heading}");
            for line in lines {
                let line = format!("{mark} {}", texts().said(&line));
                let _ = match format {
                    ReportFormat::Table => writeln!(out, "{}", wrapped(&line)),
                    _ => writeln!(out, "{line}"),
                };
            }
        }
        out
    }
}
