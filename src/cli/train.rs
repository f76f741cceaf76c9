//! `korfinsts train`: a recipe to a checkpoint.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{self, Format, Table};
use super::progress::Bar;
use super::{CliError, Global, interrupt, model, ranks};
use korfinsts_base::fs::FolderLock;
use korfinsts_bench::run::engine::{Amount, Progress};
use korfinsts_bench::suite::Registry;
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::backend::candle::device;
use korfinsts_encoder::open::{ModelOptions, read_files, read_trainable};
use korfinsts_encoder::pooling::Pooling;
use korfinsts_train::memory::{Memory, Parts};
use korfinsts_train::metrics::StepMetrics;
use korfinsts_train::outline::Outline;
use korfinsts_train::ranks::tcp::{PATIENCE, Tcp};
use korfinsts_train::ranks::{Alone, Ranks};
use korfinsts_train::recipe::Recipe;
use korfinsts_train::report::Report;
use korfinsts_train::session::{BESIDE, Session, TrainPlan, Watch};

/// Train an encoder by a recipe
///
/// A recipe is a TOML file: base model, stages with their data, objective, optimiser and schedule,
/// what is evaluated. The checkpoint is a sentence-transformers folder with a model card. Its folder
/// `training/` holds the log of every step, the curve, and the scores before and after. To continue
/// a run that was stopped, run the same command again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts train training/recipes/nmixx-all-minilm-l12-v2.toml --root ~/triplets --dry-run
  korfinsts train training/recipes/authors/authors-bge-m3.toml --hub-revision nmixx-fin/NMIXX_train=COMMIT
  korfinsts train recipe.toml --output checkpoints/mine
  korfinsts eval checkpoints/mine --suite finsts,korsts")]
pub struct TrainArgs {
    /// The recipe
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,
    /// Folder of the checkpoint [default: the recipe's name]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Folder that data files are named relative to [default: the recipe's]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Start from this model folder or hub id instead of the recipe's
    #[arg(long, value_name = "MODEL")]
    base: Option<String>,
    /// Imitate this model folder or hub id instead of the recipe's; repeated, in its order, where it
    /// has several teachers
    #[arg(long, value_name = "MODEL")]
    teacher: Vec<String>,
    /// Read this dataset of the hub at this commit, where the recipe names none; may be repeated
    #[arg(long, value_name = "DATASET=COMMIT")]
    hub_revision: Vec<String>,
    /// Read and check everything, say what would be trained, and stop
    #[arg(long)]
    dry_run: bool,
    /// Start over instead of going on where an earlier run stopped
    #[arg(long)]
    restart: bool,
    /// Where it trains
    #[arg(long, default_value = "cpu", value_parser = model::device)]
    device: String,
    /// Processes that train together; the recipe's `batch` is that of all of them. Without
    /// `--rank`, all are started on this machine: with a share of its cores each, or a GPU each
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    ranks: u32,
    /// This process, from 0, where ranks are started one by one. Every rank is given the same
    /// recipe and output folder, on a disk that they share
    #[arg(long, value_name = "I", requires = "meet")]
    rank: Option<u32>,
    /// Where rank 0 listens and the others call
    #[arg(long, value_name = "HOST:PORT", requires = "rank")]
    meet: Option<String>,
    /// Format of what is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the subcommand.
///
/// # Errors
/// When the recipe, its data, a model or the disk fails, or training does.
pub fn run(args: &TrainArgs, global: &Global) -> anyhow::Result<()> {
    let mut recipe = Recipe::read(&args.recipe)?;
    pin(args, &mut recipe)?;
    let count = args.ranks as usize;
    let rank = args.rank.unwrap_or(0) as usize;
    if rank >= count {
        return Err(CliError::usage(
            format!("found `--rank {rank}` of {count} ranks"),
            format!(
                "ranks count from 0 to {}; `--ranks` says how many there are",
                count - 1
            ),
        )
        .into());
    }
    if count > 1 && args.rank.is_none() && !args.dry_run {
        return ranks::launch(count, one_gpu_each(&args.device)?, global);
    }
    let home = global.data_home()?;
    let registry = Registry::open(&home)?;
    let open = OpenOptions {
        data_home: Some(home.clone()),
        ..OpenOptions::default()
    };
    let base = base(args, &recipe, global)?;
    let teachers = teachers(args, &recipe, global)?;
    let guides = guides(&recipe, global)?;
    let named = recipe.base.model.clone();
    // What the card says of the recipe's own models is not so of those that were given.
    recipe.replace(
        base.as_ref()
            .filter(|_| args.base.is_some() && args.base != named),
        if args.teacher.is_empty() {
            &[]
        } else {
            &teachers
        },
    );
    let folder = args.recipe.parent().unwrap_or(Path::new("."));
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(&recipe.name));
    let plan = TrainPlan {
        root: args.root.clone().unwrap_or_else(|| folder.to_owned()),
        path: args.recipe.clone(),
        output,
        base,
        teachers,
        guides,
        registry: &registry,
        hub: super::suite::hub(global),
        cache: home.join("embeddings"),
        device: device(&args.device)?,
        open,
        restart: args.restart,
        dry: args.dry_run,
        stop: interrupt::flag(),
        recipe,
    };
    train(args, plan, global)
}

/// Gives the recipe's datasets the commits of the command line.
fn pin(args: &TrainArgs, recipe: &mut Recipe) -> anyhow::Result<()> {
    for given in &args.hub_revision {
        let wrong = |reason: String| {
            let found = format!("`--hub-revision {given}`: {reason}");
            CliError::usage(found, "write `--hub-revision ORGANISATION/NAME=COMMIT`")
        };
        let (dataset, commit) = given
            .split_once('=')
            .ok_or_else(|| wrong("there is no `=`".into()))?;
        if !recipe.pin(dataset, commit).map_err(&wrong)? {
            return Err(wrong(format!("the recipe reads no dataset `{dataset}`")).into());
        }
    }
    Ok(())
}

/// Trains by the plan, or prints the outline of a dry run.
fn train(args: &TrainArgs, plan: TrainPlan<'_>, global: &Global) -> anyhow::Result<()> {
    let output = plan.output.clone();
    let mut watch = Screen::new(global.quiet);
    if args.dry_run {
        let scratch = korfinsts_base::fs::temporary_dir_in(&std::env::temp_dir())?;
        let plan = TrainPlan {
            output: scratch.path().to_owned(),
            ..plan
        };
        let session = Session::open(plan, &mut watch)?;
        let outline = Outline {
            memory: session
                .memory()
                .inspect_err(|error| {
                    let why = error.to_string();
                    let why = why.lines().next().unwrap_or_default();
                    global.note(&format!("memory was not estimated: {why}"));
                })
                .ok(),
            ..session.outline()?
        };
        return output::print(&outlined(&outline, args.format));
    }
    let mut ranks = meet(args, &plan.device)?;
    // What rank 0 writes for a run that begins is there before others look.
    let first = ranks.rank() == 0;
    let _lock = if first {
        let lock = FolderLock::acquire(&output.join(BESIDE))?;
        korfinsts_base::fs::remove_leftovers(&output)?;
        Some(lock)
    } else {
        ranks.wait()?;
        None
    };
    let session = Session::open(plan, &mut watch).inspect_err(|e| ranks.fail(&e.to_string()))?;
    if first {
        ranks.wait()?;
    }
    let Some(report) = session.train(&mut watch, ranks.as_mut())? else {
        return Ok(());
    };
    output::print(&reported(&report, args.format))?;
    global.note(&format!(
        "checkpoint: {}\nnext: `korfinsts eval {}`",
        output.display(),
        output.display()
    ));
    Ok(())
}

/// Meets the other ranks, where there are some.
fn meet(args: &TrainArgs, device: &korfinsts_train::Device) -> anyhow::Result<Box<dyn Ranks>> {
    let (Some(rank), Some(meet)) = (args.rank, &args.meet) else {
        return Ok(Box::new(Alone));
    };
    let (rank, count) = (rank as usize, args.ranks as usize);
    if count == 1 {
        return Ok(Box::new(Alone));
    }
    #[cfg(feature = "nccl")]
    if device.is_cuda() {
        use korfinsts_train::ranks::nccl::Nccl;
        return Ok(Box::new(Nccl::new(
            Tcp::meet(rank, count, meet, PATIENCE)?,
            device,
        )?));
    }
    if device.is_cuda() {
        return Err(CliError::usage(
            "this build trains on one GPU",
            "build with `--features nccl` for several",
        )
        .into());
    }
    Ok(Box::new(Tcp::meet(rank, count, meet, PATIENCE)?))
}

/// Whether ranks that are started here take a GPU each.
fn one_gpu_each(device: &str) -> anyhow::Result<bool> {
    match device {
        "cpu" => Ok(false),
        "cuda" => Ok(true),
        one => Err(CliError::usage(
            format!("`--device {one}` is one GPU, and each rank takes its own"),
            "say `--device cuda`; `CUDA_VISIBLE_DEVICES` chooses the GPUs",
        )
        .into()),
    }
}

/// The model that training starts from, where the recipe does not make one.
fn base(args: &TrainArgs, recipe: &Recipe, global: &Global) -> anyhow::Result<Option<EncoderSpec>> {
    let pooling = recipe.base.pooling.as_deref();
    match args.base.as_ref().or(recipe.base.model.as_ref()) {
        Some(name) if recipe.base.fresh.is_none() => Ok(Some(trainable(name, pooling, global)?)),
        Some(_) if args.base.is_some() => Err(CliError::usage(
            "the recipe makes a new model, so `--base` has no place",
            "leave `--base` out",
        )
        .into()),
        _ => Ok(None),
    }
}

/// The models that are imitated.
fn teachers(
    args: &TrainArgs,
    recipe: &Recipe,
    global: &Global,
) -> anyhow::Result<Vec<EncoderSpec>> {
    let named: Vec<&String> = recipe.teachers.iter().map(|t| &t.model).collect();
    let given: Vec<&String> = args.teacher.iter().collect();
    let used = match (given.len(), named.len()) {
        (0, _) => named,
        (given_count, count) if given_count == count => given,
        (_, 0) => {
            return Err(CliError::usage(
                "the recipe has no teacher, so `--teacher` has no place",
                "leave `--teacher` out",
            )
            .into());
        }
        (given_count, count) => {
            return Err(CliError::usage(
                format!(
                    "the recipe has {count} teachers, and `--teacher` is given {given_count} times"
                ),
                "repeat `--teacher MODEL` for each teacher, in the recipe's order",
            )
            .into());
        }
    };
    let options = model::options(global)?;
    used.into_iter()
        .map(|name| Ok(read_files(name, &options)?))
        .collect()
}

/// The guide of each stage, where it has one.
fn guides(recipe: &Recipe, global: &Global) -> anyhow::Result<Vec<Option<EncoderSpec>>> {
    let options = model::options(global)?;
    let guides = recipe.stages.iter().map(|stage| stage.guide.as_ref());
    guides
        .map(|guide| Ok(guide.map(|g| read_files(&g.model, &options)).transpose()?))
        .collect()
}

/// Reads a model that can be trained.
pub(super) fn trainable(
    name: &str,
    pooling: Option<&str>,
    global: &Global,
) -> anyhow::Result<EncoderSpec> {
    let options = model::options(global)?;
    let pooling = pooling.map(|mode| Pooling::named(mode).map(|mode| vec![mode]));
    Ok(read_trainable(
        name,
        &ModelOptions {
            pooling: pooling.transpose()?,
            ..options
        },
    )?)
}

fn outlined(outline: &Outline, format: Format) -> String {
    if format == Format::Json {
        return serde_json::to_string_pretty(outline).unwrap_or_default();
    }
    let mut table = Table::new(
        &format!("Plan of {}", outline.name),
        &["stage", "data", "examples", "steps"],
    );
    for stage in &outline.stages {
        for (i, (name, examples)) in stage.sources.iter().enumerate() {
            let first = |text: String| if i == 0 { text } else { String::new() };
            table.push(vec![
                first(stage.name.clone()),
                name.clone(),
                examples.to_string(),
                first(match stage.runs {
                    1 => stage.steps.to_string(),
                    n => format!("{} ({n} runs, averaged)", stage.steps),
                }),
            ]);
        }
    }
    let leaks = &outline.leakage;
    let mut text = rendered(&table, format);
    if format == Format::Table {
        text.push_str(&format!(
            "{} values in {} tensors train; the longest text has {} tokens, {} texts are truncated\n",
            outline.parameters, outline.tensors, outline.longest_text, outline.truncated_texts
        ));
        if let Some(vocabulary) = &outline.vocabulary {
            text.push_str(&format!(
                "{} new tokens of the {} tokenizer, learnt from {}",
                vocabulary.new_rows - vocabulary.old_rows,
                vocabulary.model,
                vocabulary.corpus
            ));
            for part in &vocabulary.texts {
                let [before, after] = part.tokens_per_eojeol.map(Option::unwrap_or_default);
                let [unknown_before, unknown_after] =
                    part.unknown_rate.map(|r| 100.0 * r.unwrap_or_default());
                text.push_str(&format!(
                    "; {}: {before:.3} to {after:.3} tokens per eojeol, {unknown_before:.2} to \
                     {unknown_after:.2} % unknown",
                    part.texts
                ));
            }
            text.push('\n');
        }
        if let Some(pruned) = &outline.pruned {
            text.push_str(&format!(
                "{} of {} rows of the embedding matrix stay: tokens that {} needs\n",
                pruned.new_rows, pruned.old_rows, pruned.corpus
            ));
        }
        text.extend(outline.memory.iter().map(needed));
        let found: usize = leaks.found.values().sum();
        text.push_str(&format!(
            "leakage: {found} of {} examples have a text of {} suites; {} are left out\n",
            leaks.examples,
            leaks.suites.len(),
            leaks.dropped
        ));
    }
    text
}

/// What a run needs at its highest, in lines.
fn needed(memory: &Memory) -> String {
    let listed = |parts: &Parts| {
        let there = parts.parts.iter().filter(|(_, bytes)| *bytes > 0);
        let each = there.map(|(what, bytes)| format!("{what} {}", HumanBytes(*bytes)));
        let each: Vec<String> = each.collect();
        format!("about {}: {}\n", HumanBytes(parts.total), each.join(", "))
    };
    let mut text = format!(
        "memory for {} texts of {} tokens at once\n",
        memory.texts, memory.tokens
    );
    if let Some(here) = &memory.here {
        text.push_str(&format!("  on this CPU, {}", listed(here)));
    }
    text.push_str(&format!("  on a GPU, {}", listed(&memory.gpu)));
    let (fit, not): (Vec<_>, Vec<_>) = memory.cards.iter().partition(|(_, fits)| *fits);
    for (cards, word) in [(fit, "fits"), (not, "does not fit")] {
        let names: Vec<&str> = cards.iter().map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            text.push_str(&format!("  {word}: {}\n", names.join("; ")));
        }
    }
    text
}

fn reported(report: &Report, format: Format) -> String {
    if format == Format::Json {
        return serde_json::to_string_pretty(report).unwrap_or_default();
    }
    let others: Vec<&String> = report
        .suites
        .first()
        .map(|s| s.beside.keys().collect())
        .unwrap_or_default();
    let mut head = vec![
        "suite",
        "pairs",
        "before",
        "after",
        "change",
        "95 % interval",
        "p (Holm)",
    ];
    head.extend(others.iter().map(|n| n.as_str()));
    let mut table = Table::new(&format!("{}, {} steps", report.name, report.steps), &head);
    let number = |x: Option<f64>| x.map(|x| format!("{x:.4}")).unwrap_or_default();
    for suite in &report.suites {
        let mut row = vec![
            format!("{}:{}", suite.suite, suite.split),
            suite.n_pairs.to_string(),
            number(suite.before),
            number(suite.after),
            suite.delta.map(|d| format!("{d:+.4}")).unwrap_or_default(),
            suite
                .interval
                .map(|[low, high]| format!("[{low:+.4}, {high:+.4}]"))
                .unwrap_or_default(),
            number(suite.p_holm),
        ];
        row.extend(others.iter().map(|n| number(suite.beside.get(*n).copied())));
        table.push(row);
    }
    rendered(&table.without_empty_columns(), format)
}

fn rendered(table: &Table, format: Format) -> String {
    match format {
        Format::Csv => table.to_csv(),
        Format::Md => table.to_markdown(),
        Format::Latex => table.to_latex(),
        _ => table.to_terminal(),
    }
}

/// Progress on stderr.
struct Screen {
    quiet: bool,
    encoding: Bar,
    drawn: ProgressBar,
}

impl Screen {
    fn new(quiet: bool) -> Self {
        Self {
            quiet,
            encoding: Bar::new(quiet),
            drawn: ProgressBar::hidden(),
        }
    }
}

impl Progress for Screen {
    fn start(&mut self, total: usize, missing: Amount) {
        self.encoding.start(total, missing);
    }
    fn advance(&mut self, done: Amount) {
        self.encoding.advance(done);
    }
    fn finish(&mut self) {
        self.encoding.finish();
    }
    fn note(&mut self, line: &str) {
        if !self.quiet {
            self.drawn.suspend(|| super::output::say(line));
        }
    }
}

impl Watch for Screen {
    fn training(&mut self, done: usize, total: usize) {
        if self.quiet {
            return;
        }
        let style = ProgressStyle::with_template(
            "training {wide_bar} {pos}/{len} steps  {msg}  {eta} left",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        self.drawn = ProgressBar::with_draw_target(
            Some(total as u64),
            ProgressDrawTarget::stderr_with_hz(5),
        )
        .with_style(style)
        .with_position(done as u64);
        self.drawn.enable_steady_tick(Duration::from_millis(200));
    }

    fn stepped(&mut self, metrics: &StepMetrics, total: usize) {
        let memory = metrics
            .memory_mib
            .map(|m| format!("  {m:.0} MiB"))
            .unwrap_or_default();
        let line = format!(
            "loss {:.4}  rate {:.1e}  {:.1} triplets/s{memory}",
            metrics.loss, metrics.learning_rate, metrics.triplets_per_second
        );
        self.drawn.set_message(line.clone());
        self.drawn.set_position(metrics.step as u64);
        let scores: Vec<String> = metrics
            .evaluation
            .iter()
            .map(|(suite, score)| format!("{suite} {score:.4}"))
            .collect();
        if !scores.is_empty() {
            self.note(&format!("step {}: {}", metrics.step, scores.join("  ")));
        } else if self.drawn.is_hidden()
            && (metrics.step.is_multiple_of(100) || metrics.step == total)
        {
            self.note(&format!("step {} of {total}: {line}", metrics.step));
        }
    }

    fn trained(&mut self) {
        self.drawn.finish_and_clear();
    }
}
