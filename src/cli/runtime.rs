//! `korfinsts runtime`: ONNX Runtime found, and put in place.

mod install;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Global;
use super::output::print;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::backend::onnxruntime::{self, library};

/// Install ONNX Runtime, or see where it is looked for
#[derive(Debug, Args)]
pub struct RuntimeArgs {
    #[command(subcommand)]
    command: RuntimeCommand,
}

#[derive(Debug, Subcommand)]
enum RuntimeCommand {
    /// Put a pinned ONNX Runtime into the data home, through `pip download`
    Install(install::InstallArgs),
    /// Show every place that is searched, in order, and what was found there
    List(ListArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// ONNX Runtime library (or its folder) to use
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// Format of what is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Format {
    /// A table for reading
    #[default]
    Table,
    /// JSON for programs
    Json,
}

/// Runs the subcommand.
///
/// # Errors
/// When the library cannot be fetched, checked or unpacked.
pub fn run(args: &RuntimeArgs, global: &Global) -> anyhow::Result<()> {
    match &args.command {
        RuntimeCommand::Install(args) => install::run(args, global),
        RuntimeCommand::List(args) => list(args, global),
    }
}

#[derive(Debug, Serialize)]
struct Row {
    place: &'static str,
    path: PathBuf,
    library: Option<PathBuf>,
    version: Option<String>,
    used: bool,
}

fn list(args: &ListArgs, global: &Global) -> anyhow::Result<()> {
    let options = OpenOptions {
        onnxruntime: args.onnxruntime.clone(),
        data_home: global.data_home().ok(),
        ..OpenOptions::default()
    };
    let loaded = onnxruntime::load(&options);
    let used = loaded.as_ref().ok().map(|l| l.path.clone());
    let rows: Vec<Row> = library::places(&options)
        .into_iter()
        .map(|place| Row {
            place: place.origin.name(),
            version: place.library.as_deref().and_then(library::version),
            used: used.is_some() && place.library == used,
            path: place.path,
            library: place.library,
        })
        .collect();
    match args.format {
        Format::Json => print(&(serde_json::to_string_pretty(&rows)? + "\n"))?,
        Format::Table => print(&table(&rows))?,
    }
    match loaded {
        Ok(loaded) => {
            for (path, reason) in &loaded.passed_over {
                let path = path.display();
                global.note(&format!("note: `{path}` was passed over: {reason}"));
            }
            global.note(&format!(
                "ONNX Runtime {} with {} is used",
                loaded.version,
                loaded.providers.join(", ")
            ));
        }
        Err(error) => {
            global.note(&format!("note: {error}"));
            if let Some(hint) = error.hint() {
                global.note(&format!("hint: {hint}"));
            }
        }
    }
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["", "place", "version", "path"]);
    for row in rows {
        let path = row.library.as_ref().unwrap_or(&row.path);
        table.add_row([
            if row.used { "*" } else { "" }.to_owned(),
            row.place.to_owned(),
            match (&row.library, &row.version) {
                (None, _) => "-".to_owned(),
                (Some(_), version) => version.clone().unwrap_or_else(|| "unknown".to_owned()),
            },
            path.display().to_string(),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}
