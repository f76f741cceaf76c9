//! `korfinsts tokenizer gains`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::tables::{number, percent};
use super::{Page, ReportFormat, ReportOutput, source};
use crate::cli::output::Table;
use crate::cli::{CliError, Global};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_bench::coverage::gains::{self, GainGroup, Measure, ModelGain};
use korfinsts_bench::coverage::{chart, vocabulary};
use korfinsts_bench::run::record::Record;

/// Ask whether coverage goes with gain
///
/// Correlates how much Korean a vocabulary holds, as stored and as decoded, with what adaptation
/// gained: on the paper's own figures, or on records of your models before and after training.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts tokenizer gains
  korfinsts tokenizer gains --models models.toml --format json

models.toml holds, for each model:
  [[model]]
  name = \"mine\"
  tokenizer = \"path/to/model\"
  before = [\"results/base/korsts.test.native.json\"]
  after = [\"results/mine/korsts.test.native.json\"]
`before` and `after` may also be tables of scores: { korsts = 0.74 }")]
pub struct GainsArgs {
    /// Models with their tokenizers and their records before and after [default: the paper's
    /// figures]
    #[arg(long, value_name = "FILE")]
    models: Option<PathBuf>,
    /// Suites whose mean gain is correlated [default: all that every model has]
    #[arg(long, value_name = "SUITE", value_delimiter = ',', requires = "models")]
    suite: Vec<String>,
    #[command(flatten)]
    output: ReportOutput,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelsFile {
    model: Vec<ModelEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    name: String,
    tokenizer: String,
    before: Scores,
    after: Scores,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scores {
    Records(Vec<PathBuf>),
    Table(BTreeMap<String, f64>),
}

/// Runs the subcommand.
///
/// # Errors
/// When the list of models, a record, a tokenizer or the output fails.
pub fn run(args: &GainsArgs, global: &Global) -> anyhow::Result<()> {
    args.output.check()?;
    let groups = match &args.models {
        None => gains::paper(),
        Some(path) => vec![read(path, &args.suite, global)?],
    };
    let text = match args.output.format {
        ReportFormat::Json => serde_json::to_string_pretty(&groups)? + "\n",
        ReportFormat::Csv => tidy(&groups).to_csv(),
        ReportFormat::Svg => match groups.as_slice() {
            // One picture; the paper's table of four is the claim.
            [first, ..] => chart::gains(first),
            [] => String::new(),
        },
        format => page(&groups).render(format),
    };
    args.output.emit(&text)
}

fn read(path: &Path, suites: &[String], global: &Global) -> anyhow::Result<GainGroup> {
    let bad = |reason: String| {
        CliError::new(
            FailureClass::Data,
            format!("{}: {reason}", path.display()),
            Some("see `korfinsts tokenizer gains --help` for what the file holds".into()),
        )
    };
    let text = String::from_utf8(fs::read(path)?).map_err(|e| bad(e.to_string()))?;
    let file: ModelsFile = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let here = path.parent().unwrap_or(Path::new("."));
    // Records first: they are read in no time, tokenizers are not.
    let mut scored = Vec::new();
    for model in file.model {
        let before = scores(&model.before, here)?;
        let after = scores(&model.after, here)?;
        let gains: BTreeMap<String, f64> = before
            .iter()
            .filter_map(|(suite, b)| Some((suite.clone(), after.get(suite)? - b)))
            .collect();
        if gains.is_empty() {
            let found =
                |s: &BTreeMap<String, f64>| s.keys().cloned().collect::<Vec<_>>().join(", ");
            let reason = format!(
                "`{}` has no suite both before ({}) and after ({})",
                model.name,
                found(&before),
                found(&after)
            );
            return Err(bad(reason).into());
        }
        scored.push((model.name, model.tokenizer, gains));
    }
    if scored.is_empty() {
        return Err(bad("the list holds no models".into()).into());
    }
    let suites = if suites.is_empty() {
        let first: Vec<String> = scored[0].2.keys().cloned().collect();
        first
            .into_iter()
            .filter(|suite| scored.iter().all(|(.., gains)| gains.contains_key(suite)))
            .collect()
    } else {
        suites.to_vec()
    };
    if suites.is_empty() {
        return Err(bad("no suite is common to all models; name one with `--suite`".into()).into());
    }
    let mut models = Vec::new();
    for (name, tokenizer, gains) in scored {
        let next_to_it = here.join(&tokenizer);
        let typed = if fs::exists(&next_to_it) {
            next_to_it.display().to_string()
        } else {
            tokenizer
        };
        let subject = source::load(&typed, global)?;
        let counts = vocabulary::count(&subject, &[]);
        // Two folders with the same files hold one vocabulary.
        let hashes = subject
            .tokenizer()
            .vocabulary()
            .iter()
            .flat_map(|e| [e.token.as_bytes(), b"\n"].concat())
            .collect::<Vec<u8>>();
        models.push(ModelGain {
            name,
            vocabulary: fs::sha256(&hashes)[..12].to_owned(),
            vocab_size: counts.vocab_size,
            raw_any: counts.hangul.raw_any,
            decoded_any: counts.hangul.decoded_any,
            gains,
        });
    }
    Ok(GainGroup::new(
        &path.display().to_string(),
        "recomputed",
        &suites,
        models,
    ))
}

fn scores(scores: &Scores, here: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let paths = match scores {
        Scores::Table(table) => return Ok(table.clone()),
        Scores::Records(paths) => paths,
    };
    let mut found = BTreeMap::new();
    for path in paths {
        let record = Record::read(&here.join(path))?;
        if let Some(score) = record.scores.cosine_spearman {
            found.insert(record.suite.id, score);
        }
    }
    Ok(found)
}

fn page(groups: &[GainGroup]) -> Page {
    let mut page = Page::default();
    for group in groups {
        let title = format!("{} ({})", group.title, group.badge);
        let mut head: Vec<String> = [
            "model",
            "vocabulary",
            "#size",
            "#raw",
            "#raw %",
            "#decoded",
            "#decoded %",
        ]
        .map(str::to_owned)
        .to_vec();
        head.extend(group.suites.iter().map(|s| format!("#Δ {s}")));
        head.push("#mean Δ".into());
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let mut table = Table::new(&title, &head);
        for model in &group.models {
            let mut row = vec![
                model.name.clone(),
                model.vocabulary.clone(),
                model.vocab_size.to_string(),
                model.raw_any.to_string(),
                percent(Some(Measure::RawShare.of(model)), 2),
                model.decoded_any.to_string(),
                percent(Some(Measure::DecodedShare.of(model)), 2),
            ];
            let signed = |gain: Option<f64>| gain.map(|g| format!("{g:+.4}")).unwrap_or_default();
            row.extend(
                group
                    .suites
                    .iter()
                    .map(|s| signed(model.gains.get(s).copied())),
            );
            row.push(signed(model.mean(&group.suites)));
            table.push(row);
        }
        page.table(table);
        let mut table = Table::new(
            &format!("Coverage against gain: {}", group.title),
            &[
                "coverage",
                "gain",
                "#n",
                "#ρ",
                "#p",
                "#smallest p",
                "interval (rough)",
                "chance alone",
            ],
        );
        let range = |r: Option<[f64; 2]>| {
            r.map(|[low, high]| format!("{low:.2} to {high:.2}"))
                .unwrap_or_default()
        };
        for c in &group.correlations {
            table.push(vec![
                c.measure.name().to_owned(),
                c.gain.clone(),
                c.correlation.n.to_string(),
                number(c.correlation.rho, 2),
                number(c.correlation.p_value, 3),
                number(c.correlation.smallest_p, 3),
                range(c.correlation.interval),
                range(c.correlation.chance),
            ]);
        }
        page.table(table);
        page.notes(
            &format!("What these figures support: {}", group.title),
            group.findings.clone(),
        );
    }
    page.notes("Definitions", definitions());
    page
}

fn definitions() -> Vec<String> {
    [
        "raw: entries whose stored token has a Hangul code point, the paper's count",
        "decoded: entries with a Hangul code point in the text they stand for",
        "shares are rounded to the two decimals of a percentage that the paper prints",
        "ρ: Spearman's, ties share mid-ranks; p: two-sided, over all pairings of the same values",
        "smallest p: the least that any pairing of these values could give",
        "interval: 95 %, Fisher's z with Bonett and Wright's error; rough at small n, absent at ±1",
        "chance alone: the central 95 % of ρ over all pairings",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn tidy(groups: &[GainGroup]) -> Table {
    let mut table = Table::new(
        "",
        &[
            "group",
            "coverage",
            "gain",
            "#n",
            "#rho",
            "#p_value",
            "#smallest_p",
            "#low",
            "#high",
        ],
    );
    for group in groups {
        for c in &group.correlations {
            let raw = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
            let correlation = &c.correlation;
            table.push(vec![
                group.title.clone(),
                c.measure.name().to_owned(),
                c.gain.clone(),
                correlation.n.to_string(),
                raw(correlation.rho),
                raw(correlation.p_value),
                raw(correlation.smallest_p),
                raw(correlation.interval.map(|i| i[0])),
                raw(correlation.interval.map(|i| i[1])),
            ]);
        }
    }
    table
}
