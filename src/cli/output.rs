//! Tables in every format, and where they go. One exporter is one function and one line in
//! [`Format`].

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::texts::texts;
use korfinsts_base::fs;
pub use korfinsts_base::table::Table;
use korfinsts_base::table::wrap;
use korfinsts_base::text::printable;

/// Formats of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
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
}

/// Where a report goes and in which format.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs<F: ValueEnum + Default + Send + Sync + 'static = Format> {
    /// Format of what is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: F,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl OutputArgs {
    /// Prints a document as JSON, or its tables in another format.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn show(&self, document: &impl Serialize, tables: &[Table]) -> anyhow::Result<()> {
        self.emit(&match self.format {
            Format::Json => format!("{}\n", serde_json::to_string_pretty(document)?),
            format => rendered(tables, format),
        })
    }
}

/// Tables in a format, one after the other.
#[must_use]
pub fn rendered(tables: &[Table], format: Format) -> String {
    let each: fn(&Table) -> String = match format {
        Format::Table | Format::Json => |table| match screen_width() {
            Some(width) => table.to_terminal_within(width),
            None => table.to_terminal(),
        },
        Format::Md => Table::to_markdown,
        Format::Csv => Table::to_csv,
        Format::Latex => Table::to_latex,
    };
    let said = |table: &Table| match format {
        Format::Csv | Format::Json => table.clone(),
        _ => table.clone().said(|text| texts().said(text)),
    };
    let tables: Vec<String> = tables.iter().map(|table| each(&said(table))).collect();
    tables.join("\n")
}

impl<F: ValueEnum + Default + Send + Sync + 'static> OutputArgs<F> {
    /// Fails before any work where the output could not be written after it.
    ///
    /// # Errors
    /// When the folder of the output file cannot be made or written to.
    pub fn check(&self) -> anyhow::Result<()> {
        let Some(path) = &self.output else {
            return Ok(());
        };
        fs::check_writable(path)?;
        Ok(())
    }

    /// Prints the report, or writes it to the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn emit(&self, text: &str) -> anyhow::Result<()> {
        match &self.output {
            Some(path) => Ok(fs::write_atomic(path, text.as_bytes())?),
            None => print(text),
        }
    }
}

/// Characters of a line of the terminal: the number in `COLUMNS`, else the width of the terminal
/// that stdout is; 80 in a pipe.
#[must_use]
pub fn terminal_width() -> usize {
    screen_width().unwrap_or(80)
}

/// The same; `None` in a pipe, where a table may be as wide as it is.
#[must_use]
pub fn screen_width() -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let found = || comfy_table::Table::new().width().map(usize::from);
    asked.or_else(found)
}

/// A sentence in lines that fit the terminal, cut at spaces; on one line in a pipe.
#[must_use]
pub fn wrapped(sentence: &str) -> String {
    let width = screen_width();
    width.map_or_else(|| sentence.to_owned(), |width| wrap(sentence, width, 2))
}

/// Prints a line on stderr, with what others wrote in it made harmless; one that nobody reads any more
/// (`2>&1 | head`), or that a full disk does not take, is lost.
pub fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}

/// Prints to stdout; a reader that went away (`| head`) is no error. What others wrote is made harmless for
/// a terminal, and in a pipe, which may end at one, where it holds escapes: no format of ours has any.
///
/// # Errors
/// When stdout cannot be written for another reason.
pub fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{IsTerminal as _, Write as _};
    let escape = |c: char| c < ' ' && !matches!(c, '\n' | '\t' | '\r');
    let text = if std::io::stdout().is_terminal() || text.contains(escape) {
        printable(text)
    } else {
        text.into()
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(fs::at("write", Path::new("stdout"))(e).into()),
        Ok(()) => Ok(()),
    }
}
