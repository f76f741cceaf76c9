//! `korfinsts leaderboard`: the page, its server, and figures that others report.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::output::print;
use super::{CliError, Global};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::{self, Commit, FolderLock};
use korfinsts_metric::BootstrapOptions;
use korfinsts_publish::leaderboard::board::{Board, BoardOptions, Inputs};
use korfinsts_publish::leaderboard::catalogue::Catalogue;
use korfinsts_publish::leaderboard::entry;
use korfinsts_publish::leaderboard::page::{self, PageFile, Templates};
use korfinsts_publish::leaderboard::reported::{self, Models};
use korfinsts_publish::leaderboard::{export, import, serve};

/// Build and serve the leaderboard page, and import what others report
#[derive(Debug, Args)]
pub struct LeaderboardArgs {
    #[command(subcommand)]
    command: LeaderboardCommand,
}

#[derive(Debug, Subcommand)]
enum LeaderboardCommand {
    Build(BuildArgs),
    Serve(ServeArgs),
    Import(ImportArgs),
    Add(super::add::AddArgs),
}

/// Build the page from records and reported figures
///
/// Writes `index.html` (one per language), the pair browser, and the same figures as CSV, JSON,
/// Markdown and LaTeX. The page needs no server and no network. Your own records are ranked as
/// *reproduced*, submissions with per-pair scores as *recomputed*. All other figures are shown as
/// *reported* and are not ranked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts leaderboard build
  korfinsts leaderboard build --records results --submitted bundles -o site
  korfinsts leaderboard build --reported figures.toml --templates my-templates")]
struct BuildArgs {
    /// Folders of records that you made
    #[arg(long, value_name = "DIR", default_value = "korfinsts-results")]
    records: Vec<PathBuf>,
    /// Folders of records that others made
    #[arg(long, value_name = "DIR")]
    submitted: Vec<PathBuf>,
    /// Files or folders of reported figures, in addition to those built in
    #[arg(long, value_name = "PATH")]
    reported: Vec<PathBuf>,
    /// Leave the built-in reported figures out
    #[arg(long)]
    no_reported: bool,
    /// Files of facts about models (size, licence, languages), in addition to those built in
    #[arg(long, value_name = "FILE")]
    models: Vec<PathBuf>,
    /// Folder of templates that replace built-in ones of the same name
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Folder for the page
    #[arg(
        long,
        short,
        value_name = "DIR",
        default_value = "korfinsts-leaderboard"
    )]
    output: PathBuf,
    /// Number of bootstrap resamples for ranks and differences
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    resamples: usize,
    /// Seed of the resamples
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Pairs that the pair browser shows for two models
    #[arg(long, value_name = "N", default_value_t = 10)]
    pairs: usize,
    /// Fail where a file is no sound record, instead of leaving it out
    #[arg(long)]
    strict: bool,
}

/// Serve a built page on this machine (loopback only)
#[derive(Debug, Args)]
struct ServeArgs {
    /// Folder of the page
    #[arg(value_name = "DIR", default_value = "korfinsts-leaderboard")]
    folder: PathBuf,
    /// Port; 0 takes any free one
    #[arg(long, default_value_t = 8000)]
    port: u16,
}

/// Turn a folder of mteb results into reported figures
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts leaderboard import results/ --source \"Results of ...\" -o figures.toml
  korfinsts leaderboard build --reported figures.toml")]
struct ImportArgs {
    /// Folder of result files, of any version of mteb, and of model cards (`README.md`)
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Who reports these figures: shown next to each of them
    #[arg(long, value_name = "TEXT", default_value = "Results of mteb")]
    source: String,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the subcommand.
///
/// # Errors
/// When a record, a template or the output fails, or there is nothing to show.
pub fn run(args: &LeaderboardArgs, global: &Global) -> anyhow::Result<()> {
    match &args.command {
        LeaderboardCommand::Build(args) => build(args, global),
        LeaderboardCommand::Serve(args) => serve_folder(args, global),
        LeaderboardCommand::Import(args) => import_folder(args, global),
        LeaderboardCommand::Add(args) => super::add::run(args, global),
    }
}

fn build(args: &BuildArgs, global: &Global) -> anyhow::Result<()> {
    super::check_resamples(args.resamples)?;
    // All that may fail fast comes before the statistics.
    fs::check_writable(&args.output.join("index.html"))?;
    let templates = Templates::new(args.templates.as_deref())?;
    let catalogue = Catalogue::open(&global.data_home()?)?;
    let inputs = inputs(args, global)?;
    for (path, reason) in &inputs.broken {
        global.note(&format!("left out: {path}: {reason}"));
    }
    let options = BoardOptions {
        bootstrap: BootstrapOptions {
            resamples: args.resamples,
            seed: args.seed,
            ..BootstrapOptions::default()
        },
        disagreements: args.pairs,
        ..BoardOptions::default()
    };
    let begun = std::time::Instant::now();
    let board = Board::new(&inputs, &catalogue, &options)?;
    let statistics = begun.elapsed();
    for note in board.notes.iter().skip(inputs.broken.len()) {
        global.note(note);
    }
    if args.strict && !board.notes.is_empty() {
        let message = format!("{} files or records were left out", board.notes.len());
        let hint = Some("leave `--strict` out to build the page without them".into());
        return Err(CliError::new(FailureClass::Data, message, hint).into());
    }
    let begun = std::time::Instant::now();
    let mut files = page::render(&board, &templates)?;
    files.extend(export::all(&board));
    let lock = FolderLock::acquire(&args.output)?;
    let mut commit = Commit::new(&lock);
    for PageFile { name, content } in &files {
        commit.put(name, content.as_bytes())?;
    }
    commit.finish()?;
    drop(lock);
    let bytes = files
        .iter()
        .find(|f| f.name == "index.html")
        .map_or(0, |f| f.content.len());
    global.note(&format!(
        "{} models, {} suites: statistics in {:.1} s, page in {:.2} s, {:.0} kB",
        board.models.len(),
        board.suites.len(),
        statistics.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        bytes as f64 / 1000.0
    ));
    print(&format!("{}\n", args.output.join("index.html").display()))
}

fn inputs(args: &BuildArgs, global: &Global) -> anyhow::Result<Inputs> {
    let mut inputs = Inputs {
        models: Models::built_in()?,
        ..Inputs::default()
    };
    for path in &args.models {
        inputs.models.add(path)?;
    }
    if !args.no_reported {
        inputs.reported = reported::built_in()?;
    }
    for path in &args.reported {
        inputs.reported.extend(reported::read(path)?);
    }
    let own = [PathBuf::from("korfinsts-results")];
    for folder in &args.records {
        // The default folder need not be there; one that was named must.
        if args.records == own && !fs::exists(folder) {
            global.note(&format!("no records: `{}` is not there", folder.display()));
            continue;
        }
        inputs.reproduced.extend(read(folder, &mut inputs.broken)?);
    }
    for folder in &args.submitted {
        inputs.submitted.extend(read(folder, &mut inputs.broken)?);
    }
    Ok(inputs)
}

fn read(folder: &Path, broken: &mut Vec<(String, String)>) -> anyhow::Result<Vec<entry::Entry>> {
    let found = entry::read(folder)?;
    for (path, reason) in found.broken {
        // The page names no folder of this machine.
        let shown = path
            .strip_prefix(folder)
            .unwrap_or(&path)
            .display()
            .to_string();
        let whole = path.display().to_string();
        let reason = reason
            .replace(&whole, "")
            .trim_start_matches(':')
            .trim()
            .to_owned();
        broken.push((
            korfinsts_base::text::visible(&shown, 200),
            korfinsts_base::text::visible(&reason, 300),
        ));
    }
    Ok(found.entries)
}

fn serve_folder(args: &ServeArgs, global: &Global) -> anyhow::Result<()> {
    let files = serve::files(&args.folder)?;
    let server = serve::PageServer::listen(args.port, files)?;
    print(&format!("{}\n", server.address()))?;
    global.note("for this machine only; stop with Ctrl-C");
    loop {
        server.answer();
    }
}

fn import_folder(args: &ImportArgs, global: &Global) -> anyhow::Result<()> {
    if let Some(path) = &args.output {
        fs::check_writable(path)?;
    }
    let catalogue = Catalogue::open(&global.data_home()?)?;
    let found = import::mteb_folder(&args.folder, &args.source, &catalogue)?;
    for note in &found.notes {
        global.note(note);
    }
    global.note(&format!(
        "{} result files read, {} models",
        found.files,
        found.reported.models.len()
    ));
    let text = import::to_toml(&found.reported);
    match &args.output {
        Some(path) => Ok(fs::write_atomic(path, text.as_bytes())?),
        None => print(&text),
    }
}
