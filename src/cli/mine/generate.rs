//! `korfinsts mine generate`: passages to triplets.

use crate::cli::runtime::Format;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::super::output::{self, Table};
use super::super::{CliError, Global, model};
use super::FolderArgs;
use super::server::{Opening, ServerArgs, interrupted, price, progress};
use korfinsts_bench::suite::{Availability, Registry, Suite};
use korfinsts_encoder::Encoder;
use korfinsts_encoder::open::read_files;
use korfinsts_mine::generate::ask::Role;
use korfinsts_mine::generate::backend::BACKENDS;
use korfinsts_mine::generate::estimate::{Estimate, Models, estimate};
use korfinsts_mine::generate::flow::{MiningOptions, Mix};
use korfinsts_mine::generate::prompt::Prompts;
use korfinsts_mine::generate::session::{GenerationPlan, RunOutcome, passages};
use korfinsts_mine::generation::{Generation, Status};
use korfinsts_mine::{MineError, Transforms, Typology};

/// Write triplets from passages: axis, hard negative, judge, positives, judge, assemble
///
/// Reads `passages.jsonl` of the run folder; writes `triplets.jsonl`, `generation.json` and
/// `state.sqlite`, which holds every answer: a run that was stopped or killed goes on, and nothing
/// is paid for twice. Keys of servers come from the environment alone.
#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub struct GenerateArgs {
    #[command(flatten)]
    pub(super) folder: FolderArgs,
    /// Backend that writes the triplets
    #[arg(long, value_name = "BACKEND", default_value = "rules")]
    generator: String,
    /// Backend that judges them; it must not be the generator's model
    #[arg(long, value_name = "BACKEND", default_value = "rules")]
    judge: String,
    /// Rules: a name that is built in, or a file [default: the typology's name]
    #[arg(long, value_name = "NAME|FILE")]
    transforms: Option<String>,
    /// Wordings: `balanced` passes the shortcut check, `naive` shows why it is needed
    #[arg(long, value_enum, default_value_t)]
    mix: MixArg,
    /// Maximum number of variants per document
    #[arg(long, value_name = "N", default_value = "2")]
    variants: NonZeroUsize,
    /// Sentences of a passage that its triplets are about, at most; 0: the whole passage [default: 1
    /// where rules write a balanced mix, else 0]
    #[arg(long, value_name = "N")]
    sentences: Option<usize>,
    /// Judgements per order; the least total counts
    #[arg(long, value_name = "N", default_value = "1")]
    judge_samples: u32,
    /// Also ask for exact translations
    #[arg(long)]
    translate: bool,
    /// Triplets from slot templates for every hundred from documents, where rules write
    #[arg(long, value_name = "PERCENT", default_value = "5")]
    slot_templates: usize,
    /// Triples of the typology that the judge is calibrated on before the run; 0: none
    #[arg(long, value_name = "N", default_value = "24")]
    calibration: usize,
    /// Least accuracy of the calibration, from 0 to 1 [default: .8, and .5 for the judge of `rules`]
    #[arg(long, value_name = "SHARE")]
    min_calibration: Option<f64>,
    #[command(flatten)]
    server: ServerArgs,
    /// Dollars per million tokens of the judge, prompt and answer
    #[arg(long, value_name = "IN,OUT", value_parser = price)]
    price_judge: Option<[f64; 2]>,
    /// Estimate calls, tokens and cost from above, and stop
    #[arg(long)]
    dry_run: bool,
    /// Write every answer of the folder to this file, for `replay:FILE`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Encoder whose margins are measured; `none` for none
    #[arg(long, value_name = "MODEL", default_value = "none")]
    margin: String,
    /// Format of what is printed: a summary, or `generation.json` (the estimate with `--dry-run`)
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The old spelling of `--format json`
    #[arg(long, hide = true)]
    json: bool,
}

impl GenerateArgs {
    fn prints_json(&self) -> bool {
        self.json || self.format == Format::Json
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum MixArg {
    /// Close negatives with free positives, loose negatives with light ones
    #[default]
    Balanced,
    /// Close negatives with free positives, of whole passages
    Naive,
}

fn after_help() -> String {
    let mut text = "Backends:\n".to_owned();
    for kind in BACKENDS {
        let form = if kind.argument.is_empty() {
            kind.name.to_owned()
        } else {
            format!("{}:{}", kind.name, kind.argument)
        };
        text.push_str(&format!("  {form:<16} {}\n", kind.about));
    }
    text.push_str(
        "\nExamples:
  korfinsts mine generate --results run
  korfinsts mine generate --results run --generator chat:openai:gpt-4o --judge chat:openai:gpt-4.5 \\
      --price-generator 2.5,10 --price-judge 75,150 --max-cost 50 --dry-run
  korfinsts mine generate --results run --generator chat:vllm:Qwen/Qwen3-32B --judge chat:openai:gpt-4o",
    );
    text
}

/// Runs the subcommand.
///
/// # Errors
/// When a file, a backend or a check fails.
pub fn run(args: &GenerateArgs, global: &Global) -> anyhow::Result<()> {
    check(args)?;
    args.server.check()?;
    let folder = args.folder.folder();
    let typology = Arc::new(Typology::read(&args.server.typology)?);
    let rules = args.transforms.as_deref().unwrap_or(&typology.name);
    let transforms = Arc::new(Transforms::read(rules)?);
    let opening = Opening {
        folder: &folder,
        typology: &typology,
        transforms: &transforms,
        offline: global.offline,
    };
    let server = &args.server;
    let generator = server.open(
        Role::Generator,
        &args.generator,
        server.price_generator,
        &opening,
    )?;
    let judge = server.open(Role::Judge, &args.judge, args.price_judge, &opening)?;
    let options = options(args, generator.backend.is_free());
    if args.dry_run {
        let prompts = Prompts::new(args.server.templates.as_deref());
        let documents = passages(&folder, args.server.limit)?;
        let models = Models {
            prompts: &prompts,
            generator: &generator,
            judge: &judge,
        };
        let found = estimate(&documents, &typology, options, models)?;
        return if args.prints_json() {
            output::print(&format!("{}\n", serde_json::to_string_pretty(&found)?))
        } else {
            output::print(&describe_estimate(&found))
        };
    }
    let _lock = args.folder.locked()?;
    let local = [&generator, &judge].iter().all(|s| s.backend.is_free());
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let concurrency = if local { cores } else { 8 };
    let (suites, absent_suites) = suites(global)?;
    let least = if judge.backend.is_free() { 0.5 } else { 0.8 };
    let progress = progress(global);
    let plan = GenerationPlan {
        calls: args.server.calls(folder, generator, concurrency, &progress),
        typology,
        transforms,
        judge,
        options,
        calibration: args.calibration,
        least_accuracy: args.min_calibration.unwrap_or(least),
        template_percent: args.slot_templates,
        encoder: encoder(&args.margin, global)?,
        suites,
        absent_suites,
        record: args.record.clone(),
    };
    finish(args, global, plan.run()?)
}

fn options(args: &GenerateArgs, is_free: bool) -> MiningOptions {
    MiningOptions {
        mix: match args.mix {
            MixArg::Balanced => Mix::Balanced,
            MixArg::Naive => Mix::Naive,
        },
        variants: args.variants.get(),
        samples: args.judge_samples,
        translate: args.translate,
        // A rule cannot know what the rest of a passage says.
        sentences: args
            .sentences
            .unwrap_or_else(|| usize::from(is_free && args.mix == MixArg::Balanced)),
    }
}

fn check(args: &GenerateArgs) -> anyhow::Result<()> {
    let share = args.min_calibration.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&share) {
        return Err(CliError::usage(
            format!("`--min-calibration` is {share}"),
            "give a share from 0 to 1",
        )
        .into());
    }
    Ok(())
}

fn finish(args: &GenerateArgs, global: &Global, ended: RunOutcome) -> anyhow::Result<()> {
    for line in &ended.next {
        global.note(line);
    }
    if args.prints_json() {
        output::print(&format!(
            "{}\n",
            serde_json::to_string_pretty(&ended.generation)?
        ))?;
    } else {
        output::print(&describe(&ended.generation))?;
    }
    if let Some(error) = ended.error {
        return Err(error.into());
    }
    if ended.interrupted {
        return Err(interrupted());
    }
    let shortcut = &ended.generation.shortcut;
    if ended.generation.status == Status::Complete && shortcut.passed == Some(false) {
        let value = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
        return Err(MineError::Check {
            what: format!(
                "the triplets can be told apart without reading: overlap-only AUC {}, length-only AUC {}, allowed are {} to {}",
                value(shortcut.overlap_auc),
                value(shortcut.length_auc),
                shortcut.allowed[0],
                shortcut.allowed[1]
            ),
            hint: Some("use `--mix balanced`; the triplets are written, and a model would learn the shortcut".into()),
        }
        .into());
    }
    Ok(())
}

/// The suites that are here, and the names of those that are not.
fn suites(global: &Global) -> anyhow::Result<(Vec<Suite>, Vec<String>)> {
    let registry = Registry::open(&global.data_home()?)?;
    let (mut suites, mut absent) = (Vec::new(), Vec::new());
    for manifest in registry.all() {
        match registry.availability(manifest, None)? {
            Availability::Available => suites.push(registry.load(manifest, None)?),
            Availability::Missing { .. } => absent.push(manifest.id.clone()),
        }
    }
    Ok((suites, absent))
}

fn encoder(name: &str, global: &Global) -> anyhow::Result<Option<(String, Box<dyn Encoder>)>> {
    if name == "none" {
        return Ok(None);
    }
    let options = model::options(global)?;
    let spec = read_files(name, &options)?;
    Ok(Some((spec.name.clone(), spec.open(&options.open)?)))
}

fn describe_estimate(found: &Estimate) -> String {
    let mut table = Table::new(
        &format!("At most, for {} documents", found.documents),
        &["what", "#count"],
    );
    for (step, calls) in &found.calls {
        table.push(vec![format!("calls: {step}"), calls.to_string()]);
    }
    for (what, tokens) in [
        ("prompt tokens", &found.prompt_tokens),
        ("answer tokens", &found.completion_tokens),
    ] {
        for (role, count) in tokens {
            table.push(vec![format!("{what}: {role}"), count.to_string()]);
        }
    }
    let dollars = found
        .dollars
        .map_or_else(|| "no price given".to_owned(), |d| format!("{d:.2}"));
    table.push(vec!["dollars".into(), dollars]);
    table.to_terminal()
}

/// What became of the documents, by step and group.
fn step_table(found: &Generation) -> Table {
    let mut steps = Table::new(
        "Steps",
        &[
            "step", "source", "language", "corpus", "#entered", "#passed", "dropped",
        ],
    );
    for count in &found.steps {
        let dropped: Vec<String> = count
            .dropped
            .iter()
            .map(|(why, n)| format!("{why}: {n}"))
            .collect();
        steps.push(vec![
            count.step.clone(),
            count.source.clone(),
            count.language.clone(),
            count.corpus.clone(),
            count.entered.to_string(),
            count.passed.to_string(),
            dropped.join("; "),
        ]);
    }
    steps
}

/// What the judge said, by kind.
fn judge_table(found: &Generation) -> Table {
    let mut judges = Table::new(
        "Judge",
        &["kind", "#threshold", "totals 0 to 10", "#unscored", "#kept"],
    );
    for judge in &found.judges {
        let histogram: Vec<String> = judge.histogram.iter().map(usize::to_string).collect();
        judges.push(vec![
            judge.kind.clone(),
            judge.threshold.to_string(),
            histogram.join(" "),
            judge.unscored.to_string(),
            judge.accepted.to_string(),
        ]);
    }
    judges
}

fn describe(found: &Generation) -> String {
    let number = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
    let shortcut = &found.shortcut;
    let verdict = match shortcut.passed {
        Some(true) => "passed",
        Some(false) => "FAILED",
        None => "too few triplets",
    };
    let naive = shortcut
        .naive
        .map_or_else(String::new, |[overlap, length]| {
            format!(" (plain wordings alone: {overlap:.3}, {length:.3})")
        });
    let mut text = format!(
        "{}\n{}\n{} triplets of {} documents, {}{}\nshortcut check: {verdict}: overlap-only AUC {}, length-only AUC {}{naive}\n",
        step_table(found).to_terminal(),
        judge_table(found).to_terminal(),
        found.triplets,
        found.documents,
        match found.status {
            Status::Complete => "complete",
            Status::Waiting => "waiting",
            Status::Stopped => "stopped",
        },
        found
            .stopped_by
            .as_ref()
            .map_or_else(String::new, |why| format!(": {why}")),
        number(shortcut.overlap_auc),
        number(shortcut.length_auc),
    );
    for (language, probes) in &shortcut.probes {
        let (name, area) = probes.best();
        text.push_str(&format!(
            "probes on {} {language} pairs, by document: AUC {:.3} at most ({name})\n",
            probes.pairs, area.auc
        ));
    }
    for maker in ["slot templates", "a model"] {
        let ids: Vec<&str> = found
            .beyond_rules
            .iter()
            .filter(|(_, by)| *by == maker)
            .map(|(id, _)| id.as_str())
            .collect();
        if !ids.is_empty() {
            text.push_str(&format!(
                "no rule makes these of a document, only {maker}: {}\n",
                ids.join(", ")
            ));
        }
    }
    if let Some(calibration) = &found.calibration {
        text.push_str(&format!(
            "judge on {} known triples: {:.1} % right (negatives kept {:.0} %, positives kept {:.0} %, positives refused as negatives {:.0} %, negatives refused as positives {:.0} %)\n",
            calibration.triples,
            100.0 * calibration.accuracy,
            100.0 * calibration.negatives_kept,
            100.0 * calibration.positives_kept,
            100.0 * calibration.positives_refused_as_negatives,
            100.0 * calibration.negatives_refused_as_positives
        ));
    }
    if let Some(dollars) = found.cost.dollars {
        text.push_str(&format!(
            "${dollars:.4} spent on {} and {} tokens, ${} per triplet\n",
            found.cost.prompt_tokens,
            found.cost.completion_tokens,
            number(found.cost.dollars_per_triplet)
        ));
    }
    text
}
