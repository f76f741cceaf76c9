//! `korfinsts eval`: encoders on suites.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::forms::FormArgs;
use super::model::ModelArgs;
use super::output::OutputArgs;
use super::pairs::ColumnArgs;
use super::progress::Bar;
use super::{CliError, Global, failure, interrupt, report};
use korfinsts_base::failure::FailureClass;
use korfinsts_bench::run::RunError;
use korfinsts_bench::run::engine::{BATCH_TOKENS, EncodeOptions, Progress};
use korfinsts_bench::run::evaluate::EvaluateOptions;
use korfinsts_bench::run::form::Forms;
use korfinsts_bench::run::session::{Model, Session, SessionPlan, Watch};
use korfinsts_bench::run::shard::Shard;
use korfinsts_bench::suite::manifest::Area;
use korfinsts_bench::suite::{BUILT_IN, Chosen, Registry, Selection, Suite};
use korfinsts_encoder::built_in;
use korfinsts_metric::{BootstrapOptions, LEAST_PAIRS};
use korfinsts_publish::leaderboard::entry::Entry;

/// Evaluate encoders on suites
///
/// Without MODEL, evaluates the built-in encoder `nmixx-mini` and the lexical baselines on
/// `korfin-shift`. Nothing has to be downloaded for this. With MODEL, evaluates it on every suite on
/// disk, and prints the command that gets each of the other suites. Embeddings are kept: a run that
/// was stopped continues, and a second run needs no encoding. If one of several models fails, the
/// others are still evaluated, and the exit code is that of the first failure.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  korfinsts eval
  korfinsts eval model.onnx --suite finsts,korsts
  korfinsts eval ./all-MiniLM-L6-v2 --suite stsb --protocol mteb --format json -o stsb.json
  korfinsts eval model.onnx --truncate-dim 256,128 --embedding-dtype float32,int8,binary
  korfinsts eval model.onnx --pairs my.csv --columns sentence1=a,sentence2=b,score=c
  korfinsts eval ./all-MiniLM-L6-v2 --suite korfin-shift --speed
  korfinsts eval http://gpu-host:8000/v1 --protocol mteb --concurrency 16
  korfinsts eval org/a org/b --shard 2/8 --results shared/run")]
pub struct EvalArgs {
    /// Model files or folders, hub ids (`org/name[@revision]`), or endpoints: `http(s)://…`,
    /// `openai:MODEL`, `vllm:MODEL[@URL]`, `tei:URL`, with a key from the environment
    /// (`OPENAI_API_KEY`, `VLLM_API_KEY`, `TEI_API_KEY`, `KORFINSTS_API_KEY`)
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// Suites, by id or by the path of a folder with a `suite.toml` [default: all on disk]
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    suite: Vec<String>,
    /// File of pairs of your own: CSV, TSV, JSON, JSONL or Parquet, `-` for stdin; may be repeated
    #[arg(long, value_name = "FILE")]
    pairs: Vec<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// Splits [default: each suite's own]
    #[arg(long, value_name = "SPLIT", value_delimiter = ',')]
    split: Vec<String>,
    /// Only suites of this language (`ko`, `kor`, `en`, `eng`); the language of `--pairs`
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    language: Vec<String>,
    /// Only suites of this area
    #[arg(long, value_name = "AREA", value_parser = area())]
    area: Option<Area>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    forms: FormArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    shown: report::ShownArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How the run goes and what it keeps.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Run and results")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct RunArgs {
    /// Number of tokens per batch, padding included
    #[arg(long, value_name = "N", default_value_t = BATCH_TOKENS)]
    batch_tokens: usize,
    /// Score only the first N pairs of each suite
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Seed of the resamples
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Number of bootstrap resamples for each interval
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    resamples: usize,
    /// Use embeddings of earlier runs (the default)
    #[arg(long, overrides_with = "no_resume")]
    resume: bool,
    /// Encode everything again
    #[arg(long)]
    no_resume: bool,
    /// Show what would be run and how each model is read, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave the lexical baselines out
    #[arg(long)]
    no_baselines: bool,
    /// Run shard I of N; `korfinsts merge` joins the shards
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Measure also how fast each model is on this machine, and how much memory it takes
    #[arg(long)]
    speed: bool,
    /// Folder for records and per-pair scores; each shard gets its own subfolder
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
    let forms = args.forms.forms()?;
    let home = global.data_home()?;
    let chosen = suites(args, global, &home)?;
    let nothing_asked = args.models.is_empty();
    let encoders = if nothing_asked {
        vec![built_in::DEFAULT.to_owned()]
    } else {
        distinct(&args.models)
    };
    let cache = home.join("embeddings");
    let calibrate = args.forms.calibration(&home, global)?;
    let forms = Forms {
        others: &forms,
        calibrate: calibrate.as_ref(),
    };
    let mut session = Session::new(SessionPlan {
        encoders: encoders.clone(),
        suites: chosen.suites,
        baselines: !args.run.no_baselines,
        shard: args.run.shard,
        results: Some(args.run.results.clone()),
        mteb: args.run.mteb.clone(),
        open: args.model.open_options(global)?,
        options: EvaluateOptions {
            forms,
            ..options(&args.run, &cache, interrupt::flag())
        },
    });
    let mut shown = Shown {
        bar: Bar::new(global.quiet),
        models: encoders.len(),
        left_out: Vec::new(),
    };
    let mut models = Vec::new();
    // Before anything is run, the whole of how each model is read is of interest.
    let told = Global {
        verbose: global.verbose || args.run.dry_run,
        ..global.clone()
    };
    for index in session.needed() {
        match args.model.read(&encoders[index], &told) {
            Ok((spec, prompting)) => models.push(Model {
                index,
                spec,
                prompting,
            }),
            Err(error) if encoders.len() == 1 => return Err(error),
            Err(error) => {
                let say = |out| failure::say(&error.context(out));
                shown.leave_out(&encoders[index], say);
            }
        }
    }
    if !chosen.absent.is_empty() {
        global.note("not on disk, so not evaluated:");
        for absent in &chosen.absent {
            global.note(&format!("  {:14} {}", absent.id, absent.command));
        }
    }
    if args.run.dry_run {
        session.refuse_other_records(&models)?;
        super::output::print(&session.summary(&models))?;
        return shown.end();
    }
    if models.is_empty() && !shown.left_out.is_empty() {
        return shown.end();
    }
    let outcome = session.run(&models, &mut shown)?;
    if let Some(plan) = session.shards().filter(|_| shown.left_out.is_empty()) {
        global.note(&format!(
            "shard {}: {} of {} units; `korfinsts merge` joins the shards",
            plan.shard,
            plan.records.len(),
            plan.units.len()
        ));
    }
    let entries = outcome.records.into_iter().zip(outcome.paths);
    let entries: Vec<Entry> = entries
        .map(|(record, path)| Entry { record, path })
        .collect();
    report::emit(&entries, args.shown, &args.output, global)?;
    for note in &outcome.notes {
        global.note(note);
    }
    if let Some(results) = session.results() {
        global.note(&format!("records: {}", results.display()));
    }
    shown.end()?;
    if nothing_asked {
        global.note("next: `korfinsts eval MODEL` with a model file or folder; `korfinsts suite list` shows the suites");
    }
    Ok(())
}

/// What is shown while a session runs: a bar, and each of several models that fails.
struct Shown {
    bar: Bar,
    /// Models of the call.
    models: usize,
    /// Those that could not be evaluated, with the class of the failure.
    left_out: Vec<(String, FailureClass)>,
}

impl Watch for Shown {
    fn progress(&mut self) -> &mut dyn Progress {
        &mut self.bar
    }

    fn failed(&mut self, encoder: &str, error: &RunError) {
        self.leave_out(encoder, |out| {
            let causes = anyhow::Chain::new(error).map(ToString::to_string);
            let causes: Vec<String> = std::iter::once(out).chain(causes).collect();
            failure::print(&causes, error.hint());
            error.class()
        });
    }
}

impl Shown {
    fn leave_out(&mut self, model: &str, say: impl FnOnce(String) -> FailureClass) {
        let class = say(format!("`{model}` is left out"));
        self.left_out.push((format!("`{model}`"), class));
    }

    /// Where a model failed, ends the call with the class of the first failure.
    fn end(&self) -> anyhow::Result<()> {
        let Some((_, class)) = self.left_out.first() else {
            return Ok(());
        };
        let names: Vec<&str> = self
            .left_out
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let what = format!(
            "{} of {} models could not be evaluated: {}",
            names.len(),
            self.models,
            names.join(", ")
        );
        let hint = "what the others gave is kept; fix these and run the same command again";
        let hint = (names.len() < self.models).then(|| hint.to_owned());
        Err(CliError::new(*class, what, hint).into())
    }
}

fn check_numbers(run: &RunArgs) -> anyhow::Result<()> {
    super::check_resamples(run.resamples)?;
    if run.limit.is_some_and(|n| n < LEAST_PAIRS) {
        return Err(CliError::usage(
            format!("found `--limit` below {LEAST_PAIRS}: no correlation has fewer pairs"),
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

fn options<'a>(run: &RunArgs, cache: &'a Path, stop: &'a AtomicBool) -> EvaluateOptions<'a> {
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
        speed: run.speed,
        cache,
        forms: Forms::default(),
    }
}

/// The models, each once.
fn distinct(models: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    models.iter().filter(|m| seen.insert(*m)).cloned().collect()
}

/// A value of `--area`.
fn area() -> impl TypedValueParser<Value = Area> {
    let names = Area::ALL.map(|area| PossibleValue::new(area.name()));
    let of = |name: String| Area::ALL.into_iter().find(|area| area.name() == name);
    PossibleValuesParser::new(names).map(move |name| of(name).unwrap_or_default())
}

/// The suites asked for, then the files of pairs; and the suites that are not on disk.
fn suites(args: &EvalArgs, global: &Global, home: &Path) -> anyhow::Result<Chosen> {
    if args.pairs.is_empty() && !args.columns.is_empty() {
        let hint = "the columns of a suite are those of its suite.toml";
        return Err(CliError::usage("found `--columns` without `--pairs FILE`", hint).into());
    }
    let mut asked = Selection {
        names: args.suite.clone(),
        splits: args.split.clone(),
        languages: args.language.clone(),
        area: args.area,
    };
    let only_pairs = !args.pairs.is_empty() && asked.names.is_empty();
    let filtered = !asked.languages.is_empty() || asked.area.is_some();
    if asked.names.is_empty() && args.models.is_empty() && !filtered {
        asked.names.push(BUILT_IN.to_owned());
    }
    let mut chosen = Chosen::default();
    if only_pairs && (args.area.is_some() || !args.split.is_empty()) {
        let found = "found `--split` or `--area` with `--pairs` alone";
        let hint =
            "a file of pairs is one split of no area; `korfinsts suite new` makes a suite of it";
        return Err(CliError::usage(found, hint).into());
    }
    if !only_pairs {
        chosen = Registry::open(home)?.choose(&asked)?;
    }
    for path in &args.pairs {
        let own = args.columns.read(path, &args.language, global)?.suite;
        let is_same = |s: &Suite| (&s.id, &s.version) == (&own.id, &own.version);
        if !chosen.suites.iter().any(is_same) {
            chosen.suites.push(own);
        }
    }
    Ok(chosen)
}
