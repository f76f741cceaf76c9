//! `korfinsts mine filter`: from corpora to passages.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

use super::FolderArgs;
use crate::cli::output::print;
use crate::cli::tokenizer::source as tokenizers;
use crate::cli::{CliError, Global, interrupt};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::{self, FolderLock};
use korfinsts_base::hub::Hub;
use korfinsts_bench::coverage::Subject;
use korfinsts_bench::suite;
use korfinsts_mine::corpus::{Located, Registry, archive, locate};
use korfinsts_mine::quality::Quality;
use korfinsts_mine::setup::{FilterPlan, Options, Setup, SetupInputs, suites};
use korfinsts_mine::sift::{Progress, Shard, SiftPlan};
use korfinsts_mine::step::PoolOptions;
use korfinsts_mine::step::personal::PersonalData;
use korfinsts_mine::{RunFolder, join, report};

/// The tokenizer of the paper's lengths.
const QWEN: &str = "Qwen/Qwen2.5-0.5B";

/// Filter corpora to passages: licence, length, quality, personal data, duplicates, contamination, balance
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts mine filter --tokenizer qwen2.5/
  korfinsts mine filter --profile strict --tokenizer qwen2.5/
  korfinsts mine filter --corpus disclosures=dart/ --corpus korfin-asc=asc/ --tokenizer qwen2.5/
  korfinsts mine filter --corpus my.toml --tokenizer qwen2.5/

On several machines or processes, each processes a shard, and one joins them; the passages are those
of one run, byte for byte. Every step before the search for duplicates looks at one document at a
time, so shards may run in any order:
  korfinsts mine filter --shard 1/2 ...     (and 2/2 elsewhere, into the same folder)
  korfinsts mine filter --join")]
pub struct FilterArgs {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Process shard I of N only; `--join` joins the shards
    #[arg(long, value_name = "I/N", conflicts_with = "join")]
    shard: Option<String>,
    /// Join what the shards left
    #[arg(long)]
    join: bool,
}

/// What is filtered, and how.
#[derive(Debug, Clone, Args)]
pub struct ChoiceArgs {
    /// A corpus: an id, its TOML file, or ID=PATH for files of it on this machine [default: those
    /// of the profile]
    #[arg(long, value_name = "CORPUS")]
    corpus: Vec<String>,
    /// Which corpora and licences: `paper` (the six of the paper) or `strict` (no NC)
    #[arg(long, default_value = "paper")]
    profile: String,
    /// Tokenizer that measures lengths: file, folder or hub id [default: Qwen2.5's, from the hub's
    /// cache or the hub]
    #[arg(long, value_name = "TOKENIZER")]
    tokenizer: Option<String>,
    /// Minimum length of a passage in tokens
    #[arg(long, default_value_t = 128, value_name = "N")]
    min_tokens: u64,
    /// Maximum length of a passage in tokens
    #[arg(long, default_value_t = 4096, value_name = "N")]
    max_tokens: u64,
    /// File with quality limits of a language, instead of the built-in ones
    #[arg(long, value_name = "FILE")]
    quality: Vec<PathBuf>,
    /// Estimated Jaccard similarity from which texts are near-duplicates
    #[arg(long, default_value_t = 0.7, value_name = "S")]
    near: f64,
    /// Keep the larger sources whole instead of drawing as many documents as the smallest has
    #[arg(long)]
    no_balance: bool,
    /// Seed of the draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What to do with personal data: overwrite it, drop its document, or keep it
    #[arg(long, value_name = "ACTION", value_enum, default_value_t)]
    personal: PersonalArg,
    /// Write a verdict for documents that stay, too: a line for each step and document
    #[arg(long)]
    keep_verdicts: bool,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum PersonalArg {
    /// Digits become 0, letters of an address x, a given name ○○
    #[default]
    Mask,
    /// The document is dropped
    Drop,
    /// Nothing is looked for
    Keep,
}

/// Runs the subcommand.
///
/// # Errors
/// When a corpus, the tokenizer, a suite or the folder fails.
pub fn run(args: &FilterArgs, global: &Global) -> anyhow::Result<()> {
    let folder = args.folder.folder();
    if args.join {
        let _lock = FolderLock::acquire(folder.path())?;
        return joined(&folder, global);
    }
    match &args.shard {
        Some(shard) => {
            let shard = parse(shard)?;
            // Shards work at once, each in a folder of its own.
            let _run = FolderLock::share(folder.path())?;
            let _lock = FolderLock::acquire(&shard.folder(&folder))?;
            sifted(&args.choice, &folder, shard, global)?;
            global.note(&format!(
                "shard {}/{} is done; when all are: `korfinsts mine filter --join`",
                shard.number, shard.of
            ));
            Ok(())
        }
        None => {
            whole(&args.choice, &folder, global)?;
            Ok(())
        }
    }
}

/// Sifts and joins.
///
/// # Errors
/// As [`run`].
pub fn whole(choice: &ChoiceArgs, folder: &RunFolder, global: &Global) -> anyhow::Result<()> {
    let _lock = FolderLock::acquire(folder.path())?;
    // What shards of an earlier run left must not be joined to this one.
    fs::discard_dir(&folder.path().join("shards"))?;
    sifted(choice, folder, Shard::WHOLE, global)?;
    joined(folder, global)
}

fn sifted(
    choice: &ChoiceArgs,
    folder: &RunFolder,
    shard: Shard,
    global: &Global,
) -> anyhow::Result<()> {
    let setup = setup(choice, global)?;
    fs::create_dir(folder.path())?;
    let plan = setup.plan()?.to_toml()?;
    if shard.of > 1 && fs::exists(&folder.plan()) {
        let there = FilterPlan::read(folder)?.to_toml()?;
        if there != plan && fs::exists(&folder.path().join("shards")) {
            return Err(CliError::usage(
                format!("`{}` is another run's plan", folder.plan().display()),
                "give another folder with `--dir`, or remove this one",
            )
            .into());
        }
    }
    fs::write_atomic(&folder.plan(), plan.as_bytes())?;
    if shard.number == 1 {
        for corpus in &setup.corpora {
            for warning in archive::keep(corpus, folder)?.warnings {
                global.note(&format!("note: corpus `{}`: {warning}", corpus.manifest.id));
            }
        }
    }
    if !setup.absent.is_empty() {
        global.note(&format!(
            "note: not on this machine, so not looked for: {}",
            setup.absent.join(", ")
        ));
    }
    let jobs = choice
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let progress = Progress::default();
    let begun = Instant::now();
    let bar = bar(global.quiet);
    let done = std::sync::atomic::AtomicBool::new(false);
    let record = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                bar.set_position(progress.rows.load(Ordering::Relaxed));
                bar.set_message(HumanBytes(progress.bytes.load(Ordering::Relaxed)).to_string());
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let plan = SiftPlan {
            setup: &setup,
            folder,
            shard,
            workers: jobs,
            progress: &progress,
            stop: interrupt::flag(),
        };
        let record = plan.run();
        done.store(true, Ordering::Relaxed);
        record
    });
    bar.finish_and_clear();
    let record = record?;
    global.note(&format!(
        "{} rows, {}; {} documents passed the steps that look at one; {}",
        progress.rows.load(Ordering::Relaxed),
        HumanBytes(progress.bytes.load(Ordering::Relaxed)),
        record.survivors,
        HumanDuration(begun.elapsed())
    ));
    Ok(())
}

fn joined(folder: &RunFolder, global: &Global) -> anyhow::Result<()> {
    join::join(folder)?;
    let report = report::Report::of(folder)?;
    report.write(folder, None)?;
    // The documents that passed are in the passages now.
    fs::discard_dir(&folder.path().join("shards"))?;
    if !global.quiet {
        print(&report.waterfall().to_terminal())?;
    }
    Ok(())
}

fn bar(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} rows  {per_sec}  {msg}  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

fn parse(shard: &str) -> anyhow::Result<Shard> {
    let parsed = shard.split_once('/').and_then(|(number, of)| {
        let shard = Shard {
            number: number.parse().ok()?,
            of: of.parse().ok()?,
        };
        (1..=shard.of).contains(&shard.number).then_some(shard)
    });
    parsed.ok_or_else(|| {
        CliError::usage(
            format!("found `--shard {}`", shard.escape_debug()),
            "write it as I/N with I from 1 to N, such as `1/4`",
        )
        .into()
    })
}

fn setup(choice: &ChoiceArgs, global: &Global) -> anyhow::Result<Setup> {
    if choice.min_tokens > choice.max_tokens || choice.max_tokens == 0 {
        return Err(CliError::usage(
            format!(
                "`--min-tokens {}` and `--max-tokens {}` leave no length",
                choice.min_tokens, choice.max_tokens
            ),
            "give a least that is not above the most",
        )
        .into());
    }
    if !(0.0..=1.0).contains(&choice.near) {
        return Err(CliError::usage(
            format!("found `--near {}`", choice.near),
            "give a similarity from 0 to 1",
        )
        .into());
    }
    let registry = Registry::built_in()?;
    let profile = registry.profile(&choice.profile)?.clone();
    let quality = choice
        .quality
        .iter()
        .map(|path| Ok(Quality::parse(path, &fs::read(path)?)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let corpora = located(choice, &registry, &profile.corpora, global)?;
    let tokenizer = tokenizer(choice.tokenizer.as_deref(), global)?;
    let home = global.data_home()?;
    let (suites, absent) = suites(&suite::Registry::open(&home)?)?;
    Ok(Setup::new(SetupInputs {
        profile_name: choice.profile.clone(),
        profile,
        corpora,
        tokenizer,
        options: Options {
            personal: match choice.personal {
                PersonalArg::Mask => PersonalData::Mask,
                PersonalArg::Drop => PersonalData::Drop,
                PersonalArg::Keep => PersonalData::Keep,
            },
            min_tokens: choice.min_tokens,
            max_tokens: choice.max_tokens,
            keep_verdicts: choice.keep_verdicts,
            pool: PoolOptions {
                near: choice.near,
                balance: !choice.no_balance,
                seed: choice.seed,
            },
        },
        own_quality: &quality,
        suites: &suites,
        absent,
    })?)
}

fn located(
    choice: &ChoiceArgs,
    registry: &Registry,
    default: &[String],
    global: &Global,
) -> anyhow::Result<Vec<Located>> {
    let hub = Hub::from_env(global.offline);
    let asked = if choice.corpus.is_empty() {
        default
    } else {
        &choice.corpus
    };
    let mut found: Vec<Located> = Vec::new();
    for spec in asked {
        let (manifest, place) = match (registry.find(spec), spec.split_once('=')) {
            (Ok(manifest), _) => (manifest, None),
            (Err(_), Some((id, path))) => (registry.find(id)?, Some(PathBuf::from(path))),
            (Err(e), None) => return Err(e.into()),
        };
        if let Some(place) = &place {
            // A path that is not there is named as such, not as a corpus without files.
            fs::metadata(place)?;
        }
        if found.iter().any(|f| f.manifest.id == manifest.id) {
            return Err(CliError::usage(
                format!("corpus `{}` is named twice", manifest.id),
                "give each corpus once; its folder may hold several files",
            )
            .into());
        }
        found.push(locate::locate(&manifest, place.as_deref(), &hub)?);
    }
    Ok(found)
}

fn tokenizer(given: Option<&str>, global: &Global) -> anyhow::Result<Subject> {
    if let Some(given) = given {
        return tokenizers::load(given, global);
    }
    tokenizers::load(QWEN, global).map_err(|e| {
        CliError::new(
            FailureClass::Usage,
            format!("lengths are measured by a tokenizer, and `{QWEN}` is not at hand: {e}"),
            Some(
                "give one with `--tokenizer`: a `tokenizer.json`, a model's folder or a hub id"
                    .into(),
            ),
        )
        .into()
    })
}
