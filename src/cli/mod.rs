//! The command line: one file per subcommand, and the only room that knows clap, colour, stdout
//! and progress bars. Imports every room.
//!
//! To add a subcommand: one file with its `Args` and `run`, one line in [`Command`], and one in the
//! groups of `help.rs`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this room prints"
)]

mod add;
mod cache;
mod compare;
mod doctor;
mod encode;
mod eval;
#[cfg(feature = "candle")]
mod export;
mod failure;
mod forms;
mod help;
mod interrupt;
mod leaderboard;
mod merge;
mod mine;
mod model;
pub mod output;
mod pairs;
mod progress;
mod push;
#[cfg(feature = "candle")]
mod ranks;
mod record;
mod release;
mod report;
mod runtime;
mod shell;
mod submissions;
mod submit;
mod suite;
mod summary;
mod texts;
mod tokenizer;
#[cfg(feature = "candle")]
mod train;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, FromArgMatches as _, Parser, Subcommand};

pub use failure::CliError;
use korfinsts_metric::LEAST_RESAMPLES;

/// Measure how well sentence encoders capture meaning in Korean (and English) financial text.
#[derive(Debug, Parser)]
#[command(name = "korfinsts", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every subcommand takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help = "Folder for imported suites, caches and run-time libraries [env: KORFINSTS_DATA] \
                [default: the data folder of the user]"
    )]
    pub data: Option<PathBuf>,
    /// Never use the network
    #[arg(long, global = true)]
    pub offline: bool,
    /// Print no progress and no notes on stderr
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Print every setting that was read of a model, with its source
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
}

impl Global {
    /// The data home: the flag, the environment, or the platform's folder.
    ///
    /// # Errors
    /// When the platform names no home folder and no flag was given.
    pub fn data_home(&self) -> anyhow::Result<PathBuf> {
        // An empty variable counts as unset.
        let named = std::env::var_os("KORFINSTS_DATA").filter(|folder| !folder.is_empty());
        self.data
            .clone()
            .or_else(|| named.map(PathBuf::from))
            .or_else(korfinsts_base::fs::data_home)
            .ok_or_else(|| {
                CliError::usage("no home folder found", "name one with `--data DIR`").into()
            })
    }

    /// Prints a line on stderr unless `--quiet`.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            output::say(&texts::texts().said(line));
        }
    }
}

/// Refuses a `--resamples` that gives no interval.
fn check_resamples(resamples: usize) -> Result<(), CliError> {
    if resamples >= LEAST_RESAMPLES {
        return Ok(());
    }
    let found = format!("found `--resamples {resamples}`, at least {LEAST_RESAMPLES} are allowed");
    Err(CliError::usage(found, "10,000 is the default"))
}

#[derive(Debug, Subcommand)]
enum Command {
    Eval(Box<eval::EvalArgs>),
    Encode(encode::EncodeArgs),
    Compare(compare::CompareArgs),
    Leaderboard(leaderboard::LeaderboardArgs),
    Record(record::RecordArgs),
    Merge(merge::MergeArgs),
    Mine(mine::MineArgs),
    Release(release::ReleaseArgs),
    Submit(submit::SubmitArgs),
    Push(push::PushArgs),
    Verify(Box<verify::VerifyArgs>),
    Cache(cache::CacheArgs),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
    /// List, import, fetch, check and describe suites
    Suite(suite::SuiteArgs),
    Doctor(doctor::DoctorArgs),
    Runtime(runtime::RuntimeArgs),
    Tokenizer(tokenizer::TokenizerArgs),
    #[cfg(feature = "candle")]
    Train(train::TrainArgs),
    #[cfg(feature = "candle")]
    Export(export::ExportArgs),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    if std::env::args_os().len() < 2 {
        return match output::print(&help::command().render_help().to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure::report(&error),
        };
    }
    let matches = help::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    texts::check()?;
    #[cfg(feature = "candle")]
    if let Err(korfinsts_nn::NnError::Unsupported { what, hint }) = korfinsts_nn::isa::cap() {
        return Err(CliError::usage(what, hint.unwrap_or_default()).into());
    }
    let global = &cli.global;
    match &cli.command {
        Command::Eval(args) => eval::run(args, global),
        Command::Encode(args) => encode::run(args, global),
        Command::Compare(args) => compare::run(args, global),
        Command::Leaderboard(args) => leaderboard::run(args, global),
        Command::Record(args) => record::run(args, global),
        Command::Merge(args) => merge::run(args, global),
        Command::Mine(args) => mine::run(args, global),
        Command::Release(args) => release::run(args, global),
        Command::Submit(args) => submit::run(args, global),
        Command::Push(args) => push::run(args, global),
        Command::Verify(args) => verify::run(args, global),
        Command::Cache(args) => cache::run(args, global),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
        Command::Suite(args) => suite::run(args, global),
        Command::Doctor(args) => doctor::run(args, global),
        Command::Runtime(args) => runtime::run(args, global),
        Command::Tokenizer(args) => tokenizer::run(args, global),
        #[cfg(feature = "candle")]
        Command::Train(args) => train::run(args, global),
        #[cfg(feature = "candle")]
        Command::Export(args) => export::run(args, global),
    }
}
