//! `korfinsts eval`: encoders on suites.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::Args;

use super::model::ModelArgs;
use super::output::OutputArgs;
use super::progress::Bar;
use super::{CliError, Global, failure, interrupt, report};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_bench::run::engine::{BATCH_TOKENS, EncodeOptions};
use korfinsts_bench::run::evaluate::{self, EvaluateOptions, Evaluation};
use korfinsts_bench::run::lock::FolderLock;
use korfinsts_bench::run::record::{Record, RecordFiles, write_tokens};
use korfinsts_bench::run::shard::{self, Plan, Shard, Unit};
use korfinsts_bench::run::{RunError, mteb};
use korfinsts_bench::suite::{Availability, Registry, Suite};
use korfinsts_encoder::lexical::BASELINES;
use korfinsts_encoder::protocol::Prompting;
use korfinsts_encoder::{EncoderSpec, built_in};
use korfinsts_metric::BootstrapOptions;

/// The suite that ships in the binary.
const BUILT_IN: &str = "korfin-shift";

/// Evaluate encoders on suites
///
/// Without MODEL the built-in encoder `nmixx-mini` and the lexical baselines are evaluated on
/// `korfin-shift`: both ship in the binary. With MODEL every suite on disk is evaluated, and those
/// that are not are named with the command that gets them. What is encoded is kept, so a run that
/// was stopped goes on, and a second one costs nothing. Where one of several models fails, the
/// others are evaluated all the same, and the exit code is that of the first failure.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  korfinsts eval
  korfinsts eval model.onnx --suite finsts,korsts
  korfinsts eval ./all-MiniLM-L6-v2 --suite stsb --protocol mteb --format json -o stsb.json
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
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "How it is run and kept")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
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
    /// Show what would be run and how each model is read, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave the lexical baselines out
    #[arg(long)]
    no_baselines: bool,
    /// Do only the I-th of N parts of the work, model by suite; `korfinsts merge` joins them
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Folder for records and per-pair scores; a shard has a folder of its own in it
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
    let mut args = args.clone();
    let nothing_asked = args.models.is_empty();
    if nothing_asked {
        args.models.push(built_in::DEFAULT.to_owned());
    }
    let args = &args;
    let mut work = Work::new(args, &suites);
    let mut broken = Broken::among(args.models.len());
    let mut models = Vec::new();
    for (i, source) in args.models.iter().enumerate() {
        if suites.iter().enumerate().any(|(j, _)| work.is_own(i, j)) {
            match args.model.read(source, global) {
                Ok(model) => models.push((i, model)),
                Err(error) => broken.note(source, error)?,
            }
        }
    }
    if args.run.dry_run {
        super::output::print(&work.shown(args, &models, &suites))?;
        return broken.end();
    }
    if models.is_empty() && !broken.is_empty() {
        return broken.end();
    }
    let _lock = FolderLock::acquire(&work.results)?;
    work.begin()?;
    let stop = interrupt::flag();
    let cache = home.join("embeddings");
    let options = options(&args.run, &cache, stop);
    let mut kept = Kept {
        args,
        results: work.results.clone(),
        records: Vec::new(),
        places: Vec::new(),
    };
    for (i, (spec, prompting)) in &models {
        let mut bar = Bar::new(global.quiet);
        let open = args.model.open_options(global)?;
        let own: Vec<usize> = (0..suites.len()).filter(|j| work.is_own(*i, *j)).collect();
        let some: Vec<Suite>;
        let of = if own.len() == suites.len() {
            &suites
        } else {
            some = own.iter().map(|j| suites[*j].clone()).collect();
            &some
        };
        let mut sink = |evaluation| kept.keep(evaluation);
        match evaluate::encoder(spec, prompting, of, &open, options, &mut bar, &mut sink) {
            Ok(()) => {}
            Err(error) if is_of_the_model(&error) => {
                broken.note(&args.models[*i], error.into())?;
                kept.places.clear();
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        for (j, names) in own.into_iter().zip(kept.places(1)) {
            work.done(*i, j, names);
        }
    }
    if work.baselines {
        for (j, suite) in suites.iter().enumerate() {
            if work.is_own(args.models.len(), j) {
                for baseline in BASELINES {
                    kept.keep(evaluate::baseline(baseline, suite, options))?;
                }
                let names = kept.places(BASELINES.len()).concat();
                work.done(args.models.len(), j, names);
            }
        }
    }
    if broken.is_empty() {
        work.write(global)?;
    }
    args.output
        .emit(&report::render(&kept.records, args.output.format))?;
    global.note(&format!("records: {}", work.results.display()));
    broken.end()?;
    if nothing_asked {
        global.note("next: `korfinsts eval MODEL` with a model file or folder; `korfinsts suite list` shows the suites");
    }
    Ok(())
}

/// Whether a failure is of one model alone, so that the next one may do better: not that of the
/// disk, of another process, or a wish of the user.
fn is_of_the_model(error: &RunError) -> bool {
    matches!(error, RunError::Encoder(_) | RunError::Width { .. })
}

/// The models of a call that could not be evaluated. Where there are several, each is said when it
/// fails, the others go on, and the call ends with the class of the first failure.
struct Broken {
    /// Models of the call.
    among: usize,
    models: Vec<String>,
    class: FailureClass,
}

impl Broken {
    fn among(models: usize) -> Self {
        Self {
            among: models,
            models: Vec::new(),
            class: FailureClass::Model,
        }
    }

    fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Says why a model fails. The only model's failure is that of the call.
    fn note(&mut self, source: &str, error: anyhow::Error) -> anyhow::Result<()> {
        if self.among == 1 {
            return Err(error);
        }
        let class = failure::say(&error.context(format!("`{source}` is left out")));
        if self.models.is_empty() {
            self.class = class;
        }
        self.models.push(format!("`{source}`"));
        Ok(())
    }

    fn end(&self) -> anyhow::Result<()> {
        if self.models.is_empty() {
            return Ok(());
        }
        let names = self.models.join(", ");
        let what = format!(
            "{} of {} models could not be evaluated: {names}",
            self.models.len(),
            self.among
        );
        let hint = "what the others gave is kept; mend these and run the same command again";
        let hint = (self.models.len() < self.among).then(|| hint.to_owned());
        Err(CliError::new(self.class, what, hint).into())
    }
}

fn own(suites: &[Suite], is: impl Fn(usize) -> bool) -> impl Iterator<Item = (usize, &Suite)> {
    suites.iter().enumerate().filter(move |(j, _)| is(*j))
}

/// What is to be done here: everything, or the units of one shard.
struct Work {
    /// Folder of this process.
    results: PathBuf,
    /// Whether the lexical baselines are among the work.
    baselines: bool,
    suites: usize,
    plan: Option<Plan>,
}

impl Work {
    fn new(args: &EvalArgs, suites: &[Suite]) -> Self {
        let baselines = !args.run.no_baselines;
        let results = args.run.results.clone();
        let Some(shard) = args.run.shard else {
            return Self {
                results,
                baselines,
                suites: suites.len(),
                plan: None,
            };
        };
        let mut names = args.models.clone();
        if baselines {
            names.push(shard::BASELINES.to_owned());
        }
        let units = names
            .iter()
            .flat_map(|encoder| {
                suites.iter().map(move |suite| Unit {
                    encoder: encoder.clone(),
                    suite: suite.id.clone(),
                    split: suite.split.clone(),
                    pairs: suite.pairs.len().min(args.run.limit.unwrap_or(usize::MAX)),
                    shard: 0,
                })
            })
            .collect();
        Self {
            results: results.join(shard.folder()),
            baselines,
            suites: suites.len(),
            plan: Some(Plan::new(shard, units)),
        }
    }

    /// Whether this process does a model (the baselines stand behind the last one) on a suite.
    fn is_own(&self, model: usize, suite: usize) -> bool {
        self.plan
            .as_ref()
            .is_none_or(|plan| plan.is_own(model * self.suites + suite))
    }

    fn done(&mut self, model: usize, suite: usize, records: Vec<String>) {
        if let Some(plan) = &mut self.plan {
            plan.records.push((model * self.suites + suite, records));
        }
    }

    /// One line per unit of this process, for `--dry-run`.
    fn shown(
        &self,
        args: &EvalArgs,
        models: &[(usize, (EncoderSpec, Prompting))],
        suites: &[Suite],
    ) -> String {
        let mut out = String::new();
        let mut line = |encoder: &str, protocol: &str, suite: &Suite| {
            let pairs = suite.pairs.len().min(args.run.limit.unwrap_or(usize::MAX));
            out.push_str(&format!(
                "{encoder} (protocol `{protocol}`) on {} {}: {pairs} pairs\n",
                suite.id, suite.split
            ));
        };
        for (i, (spec, prompting)) in models {
            for (_, suite) in own(suites, |j| self.is_own(*i, j)) {
                line(&spec.name, &prompting.protocol, suite);
            }
        }
        if self.baselines {
            for (_, suite) in own(suites, |j| self.is_own(args.models.len(), j)) {
                line(shard::BASELINES, "raw", suite);
            }
        }
        out
    }

    /// Takes back what an earlier run said in the shard's folder.
    fn begin(&self) -> anyhow::Result<()> {
        if self.plan.is_some() {
            fs::remove_file(&self.results.join(shard::PLAN))?;
        }
        Ok(())
    }

    /// Says in the shard's folder that all of it is done.
    fn write(&self, global: &Global) -> anyhow::Result<()> {
        let Some(plan) = &self.plan else {
            return Ok(());
        };
        plan.write(&self.results)?;
        global.note(&format!(
            "shard {}: {} of {} units; `korfinsts merge` joins the shards",
            plan.shard,
            plan.records.len(),
            plan.units.len()
        ));
        Ok(())
    }
}

/// What was evaluated so far: written at once, shown at the end.
struct Kept<'a> {
    args: &'a EvalArgs,
    results: PathBuf,
    records: Vec<Record>,
    /// Where each record lies below the results, with `/`, since [`Kept::places`] was asked.
    places: Vec<String>,
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
        let files = RecordFiles::new(&self.results, &record, &key);
        let place = files.record.strip_prefix(&self.results);
        let place = place.unwrap_or(&files.record).components();
        let place: Vec<_> = place.map(|c| c.as_os_str().to_string_lossy()).collect();
        self.places.push(place.join("/"));
        write_tokens(&files, &tokens)?;
        record.write(&files, &pairs, &timing)?;
        if let Some(folder) = &self.args.run.mteb {
            mteb::write(folder, &record, &timing)?;
        }
        self.records.push(record);
        Ok(())
    }

    /// The places of the records since the last call, so many at a time.
    fn places(&mut self, at_a_time: usize) -> Vec<Vec<String>> {
        let places = std::mem::take(&mut self.places);
        places.chunks(at_a_time).map(<[String]>::to_vec).collect()
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
