//! `korfinsts tokenizer coverage`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{ReportFormat, ReportOutput, source, tables};
use crate::cli::{CliError, Global};
use korfinsts_base::fs;
use korfinsts_bench::coverage::corpus::{self, Corpus, CorpusOptions};
use korfinsts_bench::coverage::terms::{self, Term};
use korfinsts_bench::coverage::{self, CoveragePlan, ScriptQuery, Subject, TokenizerReport, chart};
use korfinsts_bench::suite::{Availability, Registry, Suite};

/// Report what tokenizers cover and how they split text
///
/// Counts the entries of each vocabulary, as stored and as decoded; splits the texts of suites and
/// corpora; and splits a list of financial terms, worst first. Without `--suite` and `--corpus`,
/// every suite on disk is split. Prints a summary; `--detail` adds the rest. JSON and CSV hold
/// everything.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts tokenizer coverage ./bge-m3 --suite korsts,finsts
  korfinsts tokenizer coverage tokenizer.model vocab.txt --corpus news.txt --format json
  korfinsts tokenizer coverage BAAI/bge-m3 --script Thai --script Vietnamese --no-terms
  korfinsts tokenizer coverage ./a ./b --corpus notes.csv --field title,body --format svg -o c.svg")]
pub struct CoverageArgs {
    /// Tokenizers: `tokenizer.json`, `*.model`, `vocab.txt`, `vocab.json`, a model's folder, an
    /// ONNX file, or a hub id
    #[arg(value_name = "TOKENIZER", required = true)]
    tokenizers: Vec<String>,
    /// Suites, by id, `id:split`, or the path of a folder with a `suite.toml`
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    suite: Vec<String>,
    /// Text files: lines, `.jsonl`, `.csv` or `.tsv`; `-` for stdin
    #[arg(long, value_name = "FILE")]
    corpus: Vec<PathBuf>,
    /// Field or column that holds the text of a `.jsonl`, `.csv` or `.tsv` corpus; several with
    /// commas [default: text]
    #[arg(long, value_name = "NAME", requires = "corpus")]
    field: Option<String>,
    /// Count the entries of this script as well: `Thai`, `Vietnamese`, `Deva`, ...
    #[arg(long, value_name = "NAME")]
    script: Vec<String>,
    /// List of terms, TOML or tab separated, instead of the built-in financial one
    #[arg(long, value_name = "FILE", conflicts_with = "no_terms")]
    terms: Option<PathBuf>,
    /// Split no terms
    #[arg(long)]
    no_terms: bool,
    /// Terms shown in tables, worst first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 12)]
    worst: usize,
    /// Maximum length in tokens, instead of what the model's files say
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Threads that read corpora [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Tokenise every text of a corpus whole, even where eojeol seen before could be looked up
    #[arg(long)]
    no_memo: bool,
    /// Also show the counts, the domains, the terms, the text of warnings and the definitions
    #[arg(long)]
    detail: bool,
    #[command(flatten)]
    output: ReportOutput,
}

/// Runs the subcommand.
///
/// # Errors
/// When a tokenizer, a suite, a corpus, the list of terms or the output fails.
pub fn run(args: &CoverageArgs, global: &Global) -> anyhow::Result<()> {
    if args.max_tokens == Some(0) || args.threads == Some(0) {
        return Err(CliError::usage(
            "`--max-tokens` and `--threads` are at least 1",
            "leave the flag out for the default",
        )
        .into());
    }
    args.output.check()?;
    let scripts = args
        .script
        .iter()
        .map(|name| ScriptQuery::parse(name))
        .collect::<Result<Vec<_>, _>>()?;
    let terms: Vec<Term> = match &args.terms {
        _ if args.no_terms => Vec::new(),
        Some(path) => terms::read(path)?,
        None => terms::built_in(),
    };
    let corpora = args
        .corpus
        .iter()
        .map(|path| Corpus::new(path, args.field.as_deref()))
        .collect::<Result<Vec<_>, _>>()?;
    for corpus in &corpora {
        corpus.check()?;
    }
    let suites = suites(args, global)?;
    let subjects = subjects(args, global)?;
    let plan = CoveragePlan {
        scripts: &scripts,
        suites: &suites,
        terms: &terms,
    };
    let mut reports = subjects
        .iter()
        .map(|subject| coverage::measure(subject, plan))
        .collect::<Result<Vec<TokenizerReport>, _>>()?;
    let mut options = CorpusOptions {
        memo: !args.no_memo,
        ..CorpusOptions::default()
    };
    if let Some(threads) = args.threads {
        options.workers = threads;
    }
    for corpus in &corpora {
        let started = std::time::Instant::now();
        let bar = bar(corpus, global);
        let found = corpus::count(&subjects, corpus, options, &|bytes| bar.set_position(bytes))?;
        bar.finish_and_clear();
        let seconds = started.elapsed().as_secs_f64();
        let name = corpus.path.display().to_string();
        global.note(&format!(
            "{name}: {}",
            pace(found.bytes, seconds, found.busy, subjects.len())
        ));
        for (report, text) in reports.iter_mut().zip(found.reports) {
            report.corpora.insert(name.clone(), text);
        }
    }
    let text = match args.output.format {
        ReportFormat::Json => serde_json::to_string_pretty(&reports)? + "\n",
        ReportFormat::Csv => tables::tidy(&reports).to_csv(),
        ReportFormat::Svg => chart::coverage(&reports),
        format => tables::page(&reports, args.detail.then_some(args.worst)).render(format),
    };
    args.output.emit(&text)
}

/// How much was counted and what it took: on the clock, which runs while a pipe or another program
/// is waited for as well, and on the processor.
fn pace(bytes: u64, seconds: f64, busy: Option<Duration>, tokenizers: usize) -> String {
    let megabytes = bytes as f64 / 1e6;
    let tokenizers = match tokenizers {
        1 => "1 tokenizer".to_owned(),
        n => format!("{n} tokenizers together"),
    };
    let on_the_processor = busy.map_or_else(String::new, |busy| {
        let busy = busy.as_secs_f64();
        format!(
            "; {busy:.1} s on the processor, {:.1} MB for each of them",
            megabytes / busy.max(1e-9)
        )
    });
    format!(
        "{megabytes:.1} MB for {tokenizers} in {seconds:.1} s on the clock, {:.1} MB/s\
         {on_the_processor}",
        megabytes / seconds.max(1e-9)
    )
}

fn suites(args: &CoverageArgs, global: &Global) -> anyhow::Result<Vec<Suite>> {
    if args.suite.is_empty() && !args.corpus.is_empty() {
        return Ok(Vec::new());
    }
    let registry = Registry::open(&global.data_home()?)?;
    let mut suites = Vec::new();
    for spec in &args.suite {
        let (manifest, split) = registry.select(spec)?;
        suites.push(registry.load(&manifest, Some(&split))?);
    }
    if args.suite.is_empty() {
        for manifest in registry.all() {
            if matches!(
                registry.availability(manifest, None)?,
                Availability::Available
            ) {
                suites.push(registry.load(manifest, None)?);
            }
        }
    }
    Ok(suites)
}

fn subjects(args: &CoverageArgs, global: &Global) -> anyhow::Result<Vec<Subject>> {
    let mut subjects: Vec<Subject> = Vec::new();
    for source in &args.tokenizers {
        let mut subject = source::load(source, global)?;
        if subjects.iter().any(|s| s.name() == subject.name()) {
            subject = subject.named(source.as_str());
        }
        if let Some(tokens) = args.max_tokens {
            subject = subject.with_max_tokens(tokens);
        }
        subjects.push(subject);
    }
    Ok(subjects)
}

fn bar(corpus: &Corpus, global: &Global) -> ProgressBar {
    if global.quiet {
        return ProgressBar::hidden();
    }
    let size = fs::metadata(&corpus.path).map_or(0, |m| m.len());
    let style = ProgressStyle::with_template(
        "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr_with_hz(5))
        .with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_told_from_counting() {
        let busy = Duration::from_millis(500);
        assert_eq!(
            pace(700_000, 28.0, Some(busy), 2),
            "0.7 MB for 2 tokenizers together in 28.0 s on the clock, 0.0 MB/s; 0.5 s on the \
             processor, 1.4 MB for each of them"
        );
        assert_eq!(
            pace(2_000_000, 1.0, None, 1),
            "2.0 MB for 1 tokenizer in 1.0 s on the clock, 2.0 MB/s"
        );
    }
}
