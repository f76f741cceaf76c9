//! `korfinsts tokenizer augment`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::tables::{number, percent};
use super::{Page, ReportFormat, ReportOutput, source};
use crate::cli::output::Table;
use crate::cli::{CliError, Global};
use korfinsts_base::fs;
use korfinsts_bench::coverage::augment::{self, AugmentOptions, BeforeAfter, RowMap, Texts, Words};
use korfinsts_bench::coverage::corpus::Corpus;
use korfinsts_bench::coverage::{ScriptQuery, Subject};

/// Propose new tokens from a corpus and write the new tokenizer
///
/// Writes `tokenizer.json` and `row_map.json`: for each new row of the embedding matrix, the old
/// rows whose mean it starts from. Tokenises training and held-out texts before and after.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  korfinsts tokenizer augment ./bge-m3 --corpus news.txt --tokens 2000 --results bge-m3-finance")]
pub struct AugmentArgs {
    /// Tokenizer: a file, a model's folder, or a hub id
    #[arg(value_name = "TOKENIZER")]
    tokenizer: String,
    /// Text file: lines, `.jsonl`, `.csv` or `.tsv`
    #[arg(long, value_name = "FILE")]
    corpus: PathBuf,
    /// Field or column that holds the text; several with commas [default: text]
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
    /// New tokens at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    tokens: usize,
    /// Occurrences that a new token needs
    #[arg(long, value_name = "N", default_value_t = 5)]
    min_count: u64,
    /// Script of the new tokens
    #[arg(long, value_name = "NAME", default_value = "Hangul")]
    script: String,
    /// Longest new token in characters
    #[arg(long, value_name = "N", default_value_t = 8)]
    max_characters: usize,
    /// Folder for the new tokenizer and its row map
    #[arg(long, alias = "into", value_name = "DIR")]
    results: PathBuf,
    #[command(flatten)]
    output: ReportOutput,
}

#[derive(Serialize)]
struct Report {
    tokenizer: String,
    model: &'static str,
    old_rows: u32,
    new_rows: u32,
    added: usize,
    used_in_training_texts: usize,
    used_in_held_out_texts: usize,
    from_unknown: usize,
    texts: Vec<BeforeAfter>,
    warnings: Vec<String>,
}

/// Runs the subcommand.
///
/// # Errors
/// When the tokenizer, the corpus or the output fails, or no token is worth adding.
pub fn run(args: &AugmentArgs, global: &Global) -> anyhow::Result<()> {
    if args.tokens == 0 || args.min_count == 0 || args.max_characters == 0 {
        return Err(CliError::usage(
            "`--tokens`, `--min-count` and `--max-characters` are at least 1",
            "leave the flag out for the default",
        )
        .into());
    }
    if args.corpus.as_os_str() == "-" {
        return Err(CliError::usage(
            "the corpus is read twice, which standard input cannot be",
            "write it to a file first",
        )
        .into());
    }
    args.output.check()?;
    fs::check_writable(&args.results.join("tokenizer.json"))?;
    let options = AugmentOptions {
        tokens: args.tokens,
        min_count: args.min_count,
        script: ScriptQuery::parse(&args.script)?,
        max_characters: args.max_characters,
    };
    let corpus = Corpus::new(&args.corpus, args.field.as_deref())?;
    let before = source::load(&args.tokenizer, global)?;
    refuse_overwriting(args, &before)?;
    let words = Texts::Corpus(&corpus).words(&before, &options.script)?;
    let (tokenizer, map) = augment::propose(&before, &words, &options)?;
    let after = augment::write(&args.results, &before, &tokenizer, &map)?;
    let texts = Texts::Corpus(&corpus).compare(&before, &after, &map)?;
    let report = report(&before, &map, texts, &words);
    let text = match args.output.format {
        ReportFormat::Json => serde_json::to_string_pretty(&report)? + "\n",
        ReportFormat::Svg => {
            return Err(CliError::usage(
                "there is no chart of an augmentation",
                "use `--format table`, `json`, `csv`, `markdown` or `latex`",
            )
            .into());
        }
        ReportFormat::Csv => table(&report, true).to_csv(),
        format => page(&report, &map).render(format),
    };
    args.output.emit(&text)?;
    global.note(&format!("written: {}", args.results.display()));
    Ok(())
}

/// The old tokenizer's own folder is not written into.
fn refuse_overwriting(args: &AugmentArgs, before: &Subject) -> anyhow::Result<()> {
    let folder_of_results = std::path::absolute(&args.results).ok();
    let own = before.tokenizer().files().iter().any(|file| {
        let folder = file.parent().and_then(|f| std::path::absolute(f).ok());
        folder == folder_of_results
    });
    if own {
        return Err(CliError::usage(
            format!("`{}` holds the tokenizer itself", args.results.display()),
            "name another folder with `--results`",
        )
        .into());
    }
    Ok(())
}

fn report(before: &Subject, map: &RowMap, texts: Vec<BeforeAfter>, words: &Words) -> Report {
    let mut warnings = Vec::new();
    if words.pruned() > 0 {
        warnings.push(format!(
            "{} words seen once were forgotten to bound memory",
            words.pruned()
        ));
    }
    let from_unknown = map.rows.iter().filter(|r| r.from_unknown).count();
    if from_unknown > 0 {
        warnings.push(format!(
            "{from_unknown} new tokens replace the unknown token: the mean of its row says nothing \
             of their meaning, so they need training from the start"
        ));
    }
    if texts[1].before.counts.texts == 0 {
        warnings.push("the corpus is too small to hold texts out".into());
    }
    Report {
        tokenizer: before.name().to_owned(),
        model: map.model,
        old_rows: map.old_rows,
        new_rows: map.new_rows,
        added: map.rows.len(),
        used_in_training_texts: texts[0].used,
        used_in_held_out_texts: texts[1].used,
        from_unknown,
        texts,
        warnings,
    }
}

fn table(report: &Report, raw: bool) -> Table {
    let mut table = Table::new(
        &format!("Before and after: {} + {}", report.tokenizer, report.added),
        &[
            "texts",
            "#n",
            "#tokens/eojeol before",
            "#after",
            "#unknown before %",
            "#unknown after %",
            "#byte or partial before %",
            "#byte or partial after %",
        ],
    );
    let fixed = |v: Option<f64>| {
        if raw {
            v.map(|v| v.to_string()).unwrap_or_default()
        } else {
            number(v, 3)
        }
    };
    let share = |v: Option<f64>| {
        if raw {
            fixed(v.map(|v| v * 100.0))
        } else {
            percent(v, 2)
        }
    };
    for part in &report.texts {
        table.push(vec![
            part.texts.to_owned(),
            part.before.counts.texts.to_string(),
            fixed(part.before.tokens_per_eojeol),
            fixed(part.after.tokens_per_eojeol),
            share(part.before.unknown_rate),
            share(part.after.unknown_rate),
            share(part.before.partial_utf8_share),
            share(part.after.partial_utf8_share),
        ]);
    }
    table
}

fn page(report: &Report, map: &RowMap) -> Page {
    let mut page = Page::default();
    page.table(table(report, false));
    let mut first = Table::new(
        "The first new tokens",
        &["#row", "token", "#old pieces", "old rows"],
    );
    for row in map.rows.iter().filter(|r| r.text.is_some()).take(15) {
        let pieces: Vec<String> = row.pieces.iter().map(ToString::to_string).collect();
        first.push(vec![
            row.id.to_string(),
            row.text.clone().unwrap_or_default(),
            row.pieces.len().to_string(),
            pieces.join(" "),
        ]);
    }
    page.table(first);
    let mut lines = vec![format!(
        "{} of {} new tokens are used in the training texts, {} in the held-out ones",
        report.used_in_training_texts, report.added, report.used_in_held_out_texts
    )];
    lines.push(format!(
        "rows {} to {} are new; each starts as the mean of the old rows that `row_map.json` names",
        report.old_rows,
        report.new_rows.saturating_sub(1)
    ));
    page.notes("Notes", lines);
    page.notes("Warnings", report.warnings.clone());
    page
}
