//! `korfinsts mine negatives`: hard negatives for pairs, found by an encoder.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::encode::input::Input;
use crate::cli::model::ModelArgs;
use crate::cli::output::{Format, Table, print, rendered};
use crate::cli::progress::Bar;
use crate::cli::{CliError, Global, interrupt};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_bench::run::engine::{self, BATCH_TOKENS, EncodeOptions, EncodeTask};
use korfinsts_bench::run::store::{Store, text_key};
use korfinsts_encoder::EncoderSpec;
use korfinsts_mine::negatives::{self, Columns, Embedding, MinedTriplet, NegativesReport, Rules};

/// Find hard negatives for pairs among candidate texts, and write triplets
///
/// A candidate that is as close to the anchor as the positive often means the same: a false
/// negative. So a negative has at most 95 % of the positive's cosine, or what the other limits
/// allow (NV-Retriever, 2024). Copies of an anchor and of its positives are never negatives.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts mine negatives pairs.csv --encoder nmixx-mini --output triplets.jsonl
  korfinsts mine negatives pairs.jsonl --encoder intfloat/multilingual-e5-small --prompt 'query: ' \\
      --candidates passages.jsonl --negatives 4 --absolute 0.05 --output triplets.jsonl
  korfinsts mine negatives qa.csv --column anchor=question --column positive=answer \\
      --encoder nmixx-mini --skip 10 --pool 50 --output triplets.jsonl")]
pub struct NegativesArgs {
    /// Pairs or triplets: `.jsonl`, `.json`, `.csv`, `.tsv` or `.parquet` with `anchor` and
    /// `positive`, or `first` and `second`
    #[arg(value_name = "PAIRS")]
    pairs: PathBuf,
    /// Triplets: JSON lines
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Encoder that finds them: model file or folder, hub id, built-in name or endpoint
    #[arg(long, value_name = "MODEL")]
    encoder: String,
    /// Texts that may become negatives; may be repeated [default: the positives of all pairs, and
    /// the negatives that the file has]
    #[arg(long, value_name = "FILE")]
    candidates: Vec<PathBuf>,
    /// Key or column of the candidates [default: `text`, or the only column]
    #[arg(long, value_name = "NAME", requires = "candidates")]
    field: Option<String>,
    /// A column of the pairs that has another name: `anchor=question`; may be repeated
    #[arg(long, value_name = "ROLE=COLUMN")]
    column: Vec<String>,
    /// Negatives of a pair
    #[arg(long, value_name = "N", default_value = "1")]
    negatives: NonZeroUsize,
    /// Highest share of the positive's cosine that a negative has; `none` for any
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = share)]
    relative: Share,
    /// By how much a negative's cosine is below the positive's, at least
    #[arg(long, value_name = "MARGIN")]
    absolute: Option<f64>,
    /// Highest cosine of a negative
    #[arg(long, value_name = "COSINE", allow_negative_numbers = true)]
    max_similarity: Option<f64>,
    /// Nearest candidates that are left out in any case
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: usize,
    /// Draw the negatives at random from this many of the nearest [default: take the nearest]
    #[arg(long, value_name = "N")]
    pool: Option<usize>,
    /// Seed of the draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Format of the report
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    read: ModelArgs,
}

/// A share, or none.
#[derive(Debug, Clone, Copy)]
struct Share(Option<f64>);

fn share(text: &str) -> Result<Share, String> {
    match text {
        "none" => Ok(Share(None)),
        number => (number.parse().map(|n| Share(Some(n))))
            .map_err(|_| format!("`{number}` is no share; write `0.95`, or `none`")),
    }
}

/// Runs the subcommand.
///
/// # Errors
/// When pairs, candidates, the encoder or the output fails, or no negative is left.
pub fn run(args: &NegativesArgs, global: &Global) -> anyhow::Result<()> {
    let rules = Rules {
        negatives: args.negatives.get(),
        skip: args.skip,
        relative: args.relative.0,
        absolute: args.absolute,
        max_similarity: args.max_similarity,
        pool: args.pool,
        seed: args.seed,
    };
    rules.check()?;
    let pairs = negatives::read(&args.pairs, &Columns::parse(&args.column)?)?;
    let mut candidates: Vec<String> = Vec::new();
    for path in &args.candidates {
        let field = args.field.as_deref();
        let input = Input {
            path,
            format: None,
            field,
        };
        candidates.extend(input.texts()?);
    }
    if args.candidates.is_empty() {
        candidates.extend(pairs.iter().map(|p| p.positive.clone()));
        candidates.extend(pairs.iter().filter_map(|p| p.negative.clone()));
    }
    fs::check_writable(&args.output)?;
    let (spec, prompting) = args.read.read(&args.encoder, global)?;
    let anchors = pairs.iter().map(|p| p.anchor.as_str());
    let others = (pairs.iter().map(|p| &p.positive).chain(&candidates))
        .map(String::as_str)
        .filter(|text| !text.trim().is_empty());
    let [first, second] = &prompting.prompts;
    let encoder = Embedder { args, spec, global };
    let stores = if first == second {
        vec![encoder.embed(first, anchors.chain(others))?]
    } else {
        vec![
            encoder.embed(first, anchors)?,
            encoder.embed(second, others)?,
        ]
    };
    let row = |store: usize| {
        let set = stores[store.min(stores.len() - 1)].set();
        move |text: &str| set.get(&text_key(text)).expect("every text was encoded").0
    };
    let embeddings: [Embedding<'_>; 2] = [&row(0), &row(1)];
    let found = rules.mine(&pairs, &candidates, embeddings, interrupt::flag())?;
    let Some((triplets, mut report)) = found else {
        let hint = "run the same command again: embeddings are kept".to_owned();
        let failed = CliError::new(FailureClass::Interrupted, "stopped", Some(hint));
        return Err(failed.into());
    };
    report.encoder = encoder.spec.name;
    finish(args, &triplets, &report, global)
}

/// The encoder that finds negatives.
struct Embedder<'a> {
    args: &'a NegativesArgs,
    spec: EncoderSpec,
    global: &'a Global,
}

impl Embedder<'_> {
    /// Embeddings of texts, computed once and kept.
    fn embed<'t>(
        &self,
        prompt: &str,
        texts: impl Iterator<Item = &'t str>,
    ) -> anyhow::Result<Store> {
        let Self { args, spec, global } = self;
        let task = EncodeTask {
            texts: &texts.collect::<Vec<_>>(),
            prompt,
            folder: &global
                .data_home()?
                .join("embeddings")
                .join(spec.key(prompt)),
            options: EncodeOptions {
                batch_tokens: BATCH_TOKENS,
                resume: true,
                label: &spec.name,
                stop: interrupt::flag(),
            },
        };
        let open = args.read.open_options(global)?;
        let mut bar = Bar::new(global.quiet);
        let store = engine::embed(task, &mut bar, &mut || spec.open(&open))?;
        for warning in store.about().iter().flat_map(|about| &about.warnings) {
            global.note(&format!("warning: {warning}"));
        }
        Ok(store)
    }
}

/// Writes the triplets and prints the report.
fn finish(
    args: &NegativesArgs,
    triplets: &[MinedTriplet],
    report: &NegativesReport,
    global: &Global,
) -> anyhow::Result<()> {
    if triplets.is_empty() {
        return Err(CliError::new(
            FailureClass::Data,
            format!(
                "{}: none of {} candidates may be a negative of any of {} pairs",
                args.pairs.display(),
                report.candidates,
                report.pairs
            ),
            Some("give more texts with `--candidates FILE`, or wider limits (`--relative`, `--absolute`, `--max-similarity`, `--skip`)".into()),
        )
        .into());
    }
    write(&args.output, triplets)?;
    print(&match args.format {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(report)?),
        format => rendered(&[table(report)], format),
    })?;
    if report.short_pairs > 0 {
        global.note(&format!(
            "warning: {} of {} pairs have fewer than {} negatives, {} of them none",
            report.short_pairs, report.pairs, report.rules.negatives, report.empty_pairs
        ));
    }
    let file = args.output.display();
    global.note(&format!(
        "{file}: {} triplets; in a recipe: `data = [{{ triplets = \"{file}\" }}]`",
        report.triplets
    ));
    Ok(())
}

fn write(path: &Path, triplets: &[MinedTriplet]) -> anyhow::Result<()> {
    fs::write_atomic_with(path, |file| {
        for triplet in triplets {
            serde_json::to_writer(&mut *file, triplet)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })?;
    Ok(())
}

fn table(report: &NegativesReport) -> Table {
    let mut table = Table::new(
        &format!("Negatives by {}", report.encoder),
        &["what", "number"],
    );
    let mut row = |what: &str, number: String| table.push(vec![what.to_owned(), number]);
    row("pairs", report.pairs.to_string());
    row("candidates", report.candidates.to_string());
    row(
        "nearest candidates, by rank alone",
        report.by_rank.to_string(),
    );
    for (limit, count) in &report.dropped {
        let what = match *limit {
            "relative" => "of these above the share of the positive",
            "absolute" => "of these within the margin of the positive",
            _ => "of these above the highest similarity",
        };
        if *count > 0 {
            row(what, count.to_string());
        }
    }
    row("triplets", report.triplets.to_string());
    row("pairs without a negative", report.empty_pairs.to_string());
    let mean = |value: f64| format!("{value:.4}");
    row("mean cosine of positives", mean(report.positive_similarity));
    let negative = report.negative_similarity.map(mean).unwrap_or_default();
    row("mean cosine of negatives", negative);
    table
}
