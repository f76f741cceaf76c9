//! `korfinsts verify`: a bundle through every check, and encoded again where asked.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::model::ModelArgs;
use super::output::OutputArgs;
use super::progress::Bar;
use super::{CliError, Global, interrupt, submissions};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_bench::run::engine::{BATCH_TOKENS, EncodeOptions};
use korfinsts_bench::run::evaluate::{EvaluateOptions, EvaluatedEncoder};
use korfinsts_bench::run::form::Forms;
use korfinsts_bench::suite::Registry;
use korfinsts_encoder::protocol::{CUSTOM, Prompting};
use korfinsts_metric::BootstrapOptions;
use korfinsts_publish::submission::{self, BundleContext, CheckResult, Examined, Level};

/// Verify a submission: every hash, id and number, and encode pairs again where asked
///
/// Nothing that was submitted is run; without `--rerun` no model is opened. The verdict's level is
/// `recomputed`, or with `--rerun` `re-run on N of M pairs` (from 256 pairs of each suite) or `re-run in
/// full`: docs/SUBMITTING.md says what each of them proves. Exit code 1 when a check fails.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts verify my-model.kfsub.zip
  korfinsts verify my-model.kfsub.zip --entries submissions/ --format json
  korfinsts verify my-model.kfsub.zip --rerun 256 --model ./my-model --seed \"drand round 5123456: 9f2c...\"")]
pub struct VerifyArgs {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Folder of bundles that were taken in before, to find copies
    #[arg(long, value_name = "DIR")]
    entries: Option<PathBuf>,
    /// Encode N pairs of each suite again, or `full` for all
    #[arg(long, value_name = "N|full", value_parser = rerun)]
    rerun: Option<Pairs>,
    /// The model to encode with: file, folder or hub id [default: the bundle's, from the hub]
    #[arg(long, value_name = "MODEL", requires = "rerun")]
    model: Option<String>,
    /// Public seed that was not known when the bundle was handed in [default: a random one, printed]
    #[arg(long, value_name = "TEXT", requires = "rerun")]
    seed: Option<String>,
    #[command(flatten)]
    read: ModelArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How many pairs of each suite are encoded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// So many.
    Some(usize),
    /// All.
    Full,
}

fn rerun(text: &str) -> Result<Pairs, String> {
    match text.parse() {
        _ if text == "full" => Ok(Pairs::Full),
        Ok(n) if n > 0 => Ok(Pairs::Some(n)),
        _ => Err("allowed are a number of pairs above 0, and `full`".to_owned()),
    }
}

/// Runs the subcommand.
///
/// # Errors
/// When the bundle cannot be read or a check fails; when the model for a re-run cannot be read.
pub fn run(args: &VerifyArgs, global: &Global) -> anyhow::Result<()> {
    args.output.check()?;
    let length = fs::metadata(&args.bundle)?.len();
    if length > korfinsts_base::archive::MAX_TOTAL {
        return Err(CliError::new(
            FailureClass::Check,
            format!(
                "the bundle has {length} bytes, allowed are {}",
                korfinsts_base::archive::MAX_TOTAL
            ),
            None,
        )
        .into());
    }
    let bytes = fs::read(&args.bundle)?;
    let registry = Registry::open(&global.data_home()?)?;
    let entries = match &args.entries {
        Some(folder) => submission::entries(folder)?,
        None => Vec::new(),
    };
    let context = BundleContext {
        registry: &registry,
        entries: &entries,
        revoked: &submission::revoked(),
    };
    let (mut verdict, bundle) = submission::verify(&bytes, context);
    if let (Some(pairs), Some(bundle), true) = (args.rerun, &bundle, verdict.passed) {
        let examined = Examined::new(bundle, context);
        let rerun = encode_again(args, pairs, &examined, global)?;
        verdict.passed &= rerun.result.passed;
        verdict.level = rerun.level;
        verdict.checks.push(rerun.result);
    }
    let document = json!({
        "bundle": args.bundle.display().to_string(),
        "sha256": fs::sha256(&bytes),
        "model": bundle.as_ref().map(|b| &b.manifest.model.id),
        "level": verdict.level,
        "passed": verdict.passed,
        "checks": verdict.checks,
    });
    let table = submissions::verdict_table(&verdict);
    args.output.show(&document, &[table])?;
    match verdict.first_failure() {
        None => {
            global.note(&format!("accepted: {}", verdict.level));
            Ok(())
        }
        Some(CheckResult { id, message, .. }) => Err(CliError::new(
            FailureClass::Check,
            format!("refused: {id}: {message}"),
            Some(
                "mend what is named, pack it again with `korfinsts submit`, and hand it in again"
                    .into(),
            ),
        )
        .into()),
    }
}

/// A seed that nobody knew before: the standard library keys each of its hashers at random.
fn random_seed() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

/// Draws pairs, encodes them with a model of the same files, and compares.
fn encode_again(
    args: &VerifyArgs,
    pairs: Pairs,
    examined: &Examined<'_>,
    global: &Global,
) -> anyhow::Result<submission::Rerun> {
    let bundle = examined.bundle;
    let failed = |message: String| submission::Rerun {
        result: CheckResult {
            id: "re-run",
            passed: false,
            message,
        },
        level: Level::Claimed,
    };
    let n = match pairs {
        Pairs::Some(n) => Some(n),
        Pairs::Full => None,
    };
    let seed = match &args.seed {
        Some(seed) => seed.clone(),
        None => random_seed(),
    };
    global.note(&format!("seed of the drawn pairs: {seed}"));
    let drawn = match submission::draw(examined, n, &seed) {
        Ok(drawn) => drawn,
        Err(reason) => return Ok(failed(reason)),
    };
    let (model, run) = (&bundle.manifest.model, &bundle.manifest.run);
    let source = args.model.clone().unwrap_or_else(|| match &model.revision {
        Some(revision) => format!("{}@{revision}", model.id),
        None => model.id.clone(),
    });
    let read = |max_tokens| {
        let flags = args
            .read
            .as_submitted(&run.protocol, run.dtype.as_deref(), max_tokens);
        flags.read(&source, global)
    };
    let (mut spec, here) = read(None)?;
    if let Some(most) = model.max_tokens.filter(|n| *n != spec.max_tokens) {
        spec = read(Some(most))?.0;
    }
    for file in &model.files {
        let found = spec.files.iter().find(|f| f.name == file.name);
        // A setting that the bundle overrides is not read from its file.
        let same = found.map_or(file.role == "config", |f| f.sha256 == file.sha256);
        if !same {
            return Ok(failed(format!(
                "the model at `{source}` has no `{}` of sha256 {}, with which the scores were made",
                file.name.escape_debug(),
                file.sha256
            )));
        }
    }
    // Of a protocol by name, prompts and similarity are what it says here; those given by hand are claims.
    let prompting = if run.protocol == CUSTOM {
        Prompting {
            protocol: run.protocol.clone(),
            prompts: model.prompts.clone(),
            float32_cosine: run.similarity.contains("float32"),
        }
    } else {
        here
    };
    let cache = tempfile::tempdir()?;
    let options = EvaluateOptions {
        encode: EncodeOptions {
            batch_tokens: BATCH_TOKENS,
            resume: false,
            label: "",
            stop: interrupt::flag(),
        },
        bootstrap: BootstrapOptions {
            resamples: 100,
            ..BootstrapOptions::default()
        },
        limit: None,
        cache: cache.path(),
        forms: Forms::default(),
        speed: false,
    };
    let mut again = Vec::new();
    let encoder = EvaluatedEncoder {
        spec: &spec,
        prompting: &prompting,
        open: &args.read.open_options(global)?,
    };
    let mut bar = Bar::new(global.quiet);
    encoder.evaluate(&drawn.suites, options, &mut bar, &mut |evaluation| {
        again.push(evaluation);
        Ok(())
    })?;
    Ok(submission::compare_rerun(bundle, &drawn, &again))
}
