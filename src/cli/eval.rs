//! `korfinsts eval`: encoders on suites.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::Args;

use super::model::ModelArgs;
use super::output::OutputArgs;
use super::progress::Bar;
use super::{CliError, Global, interrupt, report};
use crate::encoder::lexical::BASELINES;
use crate::failure::FailureClass;
use crate::metric::BootstrapOptions;
use crate::run::engine::{BATCH_TOKENS, EncodeOptions};
use crate::run::evaluate::{self, EvaluateOptions, Evaluation};
use crate::run::lock::FolderLock;
use crate::run::record::{Record, RecordFiles, write_tokens};
use crate::run::{RunError, mteb};
use crate::suite::{Availability, Registry, Suite};

/// The suite that ships in the binary.
const BUILT_IN: &str = "korfin-shift";

/// Evaluate encoders on suites
///
/// Without MODEL the lexical baselines are evaluated on `korfin-shift`, which ships in the
/// binary. With MODEL every suite on disk is evaluated, and those that are not are named with the
/// command that gets them. What is encoded is kept, so a run that was stopped goes on, and a
/// second one costs nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts eval
  korfinsts eval model.onnx --suite finsts,korsts
  korfinsts eval ./all-MiniLM-L6-v2 --suite stsb --protocol mteb --format json -o stsb.json
  korfinsts eval http://gpu-host:8000/v1 --protocol mteb --concurrency 16")]
pub struct EvalArgs {
    /// Model files or folders, hub ids (`org/name[@revision]`), or endpoints: `http(s)://…`,
    /// `openai:MODEL`, `vllm:MODEL[@URL]`, `tei:URL`, with a key from the environment
    /// (`OPENAI_API_KEY`, `VLLM_API_KEY`, `TEI_API_KEY`, `KORFINSTS_API_KEY`)
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// Suites, by id or by the path of a folder with a `suite.toml` [default: all on disk]
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    suite: Vec<String>,
    /// Split [default: each suite's own]
    #[arg(long)]
    split: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How the run goes and what it keeps.
#[derive(Debug, Args)]
#[command(next_help_heading = "How it is run and kept")]
struct RunArgs {
    /// Padded tokens per batch
    #[arg(long, value_name = "N", default_value_t = BATCH_TOKENS)]
    batch_tokens: usize,
    /// Score only the first N pairs of each suite
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Seed of the resampling
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Resamples behind each interval
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    resamples: usize,
    /// Use embeddings of earlier runs (the default)
    #[arg(long, overrides_with = "no_resume")]
    resume: bool,
    /// Encode everything again
    #[arg(long)]
    no_resume: bool,
    /// Leave the lexical baselines out
    #[arg(long)]
    no_baselines: bool,
    /// Folder for records and per-pair scores
    #[arg(long, value_name = "DIR", default_value = "korfinsts-results")]
    results: PathBuf,
    /// Write mteb's result files under this folder as well
    #[arg(long, value_name = "DIR")]
    mteb: Option<PathBuf>,
}

/// Runs the subcommand.
///
/// # Errors
/// When a suite, a model, a backend, the disk or the output fails.
pub fn run(args: &EvalArgs, global: &Global) -> anyhow::Result<()> {
    check_numbers(&args.run)?;
    args.output.check()?;
    let home = global.data_home()?;
    let suites = suites(args, global, &home)?;
    let mut models = Vec::new();
    for source in &args.models {
        models.push(args.model.read(source, global)?);
    }
    let _lock = FolderLock::acquire(&args.run.results)?;
    let stop = interrupt::flag();
    let cache = home.join("embeddings");
    let options = options(&args.run, &cache, stop);
    let mut kept = Kept {
        args,
        records: Vec::new(),
    };
    for (spec, prompting) in &models {
        let mut bar = Bar::new(global.quiet);
        let open = args.model.open_options(global)?;
        let mut sink = |evaluation| kept.keep(evaluation);
        evaluate::encoder(
            spec, prompting, &suites, &open, options, &mut bar, &mut sink,
        )?;
    }
    if !args.run.no_baselines || models.is_empty() {
        for suite in &suites {
            for baseline in BASELINES {
                kept.keep(evaluate::baseline(baseline, suite, options))?;
            }
        }
    }
    args.output
        .emit(&report::render(&kept.records, args.output.format))?;
    global.note(&format!("records: {}", args.run.results.display()));
    if models.is_empty() {
        global.note("next: `korfinsts eval MODEL` with a model file or folder; `korfinsts suite list` shows the suites");
    }
    Ok(())
}

/// What was evaluated so far: written at once, shown at the end.
struct Kept<'a> {
    args: &'a EvalArgs,
    records: Vec<Record>,
}

impl Kept<'_> {
    fn keep(&mut self, evaluation: Evaluation) -> Result<(), RunError> {
        let Evaluation {
            mut record,
            pairs,
            tokens,
            timing,
            key,
        } = evaluation;
        let files = RecordFiles::new(&self.args.run.results, &record, &key);
        write_tokens(&files, &tokens)?;
        record.write(&files, &pairs, &timing)?;
        if let Some(folder) = &self.args.run.mteb {
            mteb::write(folder, &record, &timing)?;
        }
        self.records.push(record);
        Ok(())
    }
}

fn check_numbers(run: &RunArgs) -> anyhow::Result<()> {
    if run.resamples < 100 {
        let found = format!(
            "found `--resamples {}`, at least 100 are allowed",
            run.resamples
        );
        return Err(CliError::usage(found, "10,000 is the default").into());
    }
    if run.limit.is_some_and(|n| n < 3) {
        return Err(CliError::usage(
            "found `--limit` below 3: no correlation has fewer pairs",
            "leave `--limit` out to score every pair",
        )
        .into());
    }
    if run.batch_tokens == 0 {
        let hint = format!("the default is {BATCH_TOKENS}");
        return Err(CliError::usage("found `--batch-tokens 0`", hint).into());
    }
    Ok(())
}

fn options<'a>(
    run: &RunArgs,
    cache: &'a std::path::Path,
    stop: &'a AtomicBool,
) -> EvaluateOptions<'a> {
    EvaluateOptions {
        encode: EncodeOptions {
            batch_tokens: run.batch_tokens,
            resume: !run.no_resume,
            label: "",
            stop,
        },
        bootstrap: BootstrapOptions {
            resamples: run.resamples,
            seed: run.seed,
            ..BootstrapOptions::default()
        },
        limit: run.limit,
        cache,
    }
}

/// The suites asked for, loaded and checked before any model is opened. Those that are not on
/// disk are named with the command that gets them; asked for by name and absent from disk alone
/// they are no error, so that the others are evaluated.
fn suites(args: &EvalArgs, global: &Global, home: &std::path::Path) -> anyhow::Result<Vec<Suite>> {
    let registry = Registry::open(home)?;
    let mut wanted = Vec::new();
    if args.suite.is_empty() && args.models.is_empty() {
        wanted.push(registry.select(BUILT_IN)?);
    } else if args.suite.is_empty() || args.suite == ["all"] {
        for manifest in registry.all() {
            let split = args
                .split
                .clone()
                .unwrap_or_else(|| manifest.default_split.clone());
            if manifest.splits.contains_key(&split) {
                wanted.push((manifest.clone(), split));
            }
        }
    } else {
        for name in &args.suite {
            let (manifest, split) = registry.select(name)?;
            let split = args.split.clone().unwrap_or(split);
            if !wanted
                .iter()
                .any(|(m, s)| (&m.id, s) == (&manifest.id, &split))
            {
                wanted.push((manifest, split));
            }
        }
    }
    let mut suites = Vec::new();
    let mut absent = Vec::new();
    for (manifest, split) in wanted {
        match registry.availability(&manifest, Some(&split))? {
            Availability::Available => suites.push(
                registry
                    .load(&manifest, Some(&split))
                    .with_context(|| format!("cannot evaluate on `{}`", manifest.id))?,
            ),
            Availability::Missing { command } => absent.push((manifest.id, command)),
        }
    }
    if suites.is_empty() {
        let names: Vec<String> = absent.iter().map(|(id, _)| format!("`{id}`")).collect();
        let commands: Vec<&str> = absent.iter().map(|(_, c)| c.as_str()).collect();
        return Err(CliError::new(
            FailureClass::Data,
            format!("no suite to evaluate on: {} not on disk", names.join(", ")),
            Some(format!("get it with {}", commands.join(" or "))),
        )
        .into());
    }
    if !absent.is_empty() {
        global.note("not on disk, so not evaluated:");
        for (id, command) in &absent {
            global.note(&format!("  {id:14} {command}"));
        }
    }
    Ok(suites)
}
