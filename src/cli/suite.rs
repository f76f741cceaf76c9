//! `korfinsts suite`: which suites there are, how their rows get here, and what they look like.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{Format, OutputArgs, Table};
use super::{CliError, Global};
use crate::failure::FailureClass;
use crate::hub::{Hub, Progress};
use crate::suite::{
    Availability, CheckReport, ImportReport, Lengths, Level, Manifest, Overlap, Registry, Scale,
    ScaleKind, Stats, SuiteError, overlap, stats,
};

/// Suites: pairs of sentences with gold scores.
#[derive(Debug, Args)]
pub struct SuiteArgs {
    #[command(subcommand)]
    command: SuiteCommand,
}

#[derive(Debug, Subcommand)]
enum SuiteCommand {
    /// List the suites and whether their rows are on this machine
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show what a suite is and where its rows come from
    Info {
        /// Id of a suite, or a folder with suite.toml
        #[arg(value_name = "NAME")]
        suite: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Verify and copy the rows of a suite from a file or folder
    Import {
        /// Id of a suite, or a folder with suite.toml
        #[arg(value_name = "NAME")]
        suite: String,
        /// File, or folder that is searched by file name and hash
        path: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Download the rows of a suite from the hub (or find them in its cache)
    Fetch {
        /// Ids of suites; a finished one is not downloaded again
        #[arg(value_name = "NAME", required = true)]
        suites: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Parse all rows and report every problem with its line; exit code 1 when there is one
    Check {
        /// Ids of suites (`id` or `id:split`), or folders [default: every suite that is here]
        #[arg(value_name = "NAME")]
        suites: Vec<String>,
        /// Fail on warnings too
        #[arg(long)]
        strict: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show lengths, vocabulary, gold scores and repeats, and warn where scale and data disagree
    Stats {
        /// Ids of suites (`id` or `id:split`), or folders [default: every suite that is here]
        #[arg(value_name = "NAME")]
        suites: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Runs `korfinsts suite`.
///
/// # Errors
/// What the suite room returns; a failed check.
pub fn run(args: &SuiteArgs, global: &Global) -> anyhow::Result<()> {
    let registry = Registry::open(&global.data_home()?)?;
    for (path, reason) in registry.broken() {
        global.note(&format!("warning: {}: {reason}", path.display()));
    }
    match &args.command {
        SuiteCommand::List { output } => list(&registry, output),
        SuiteCommand::Info { suite, output } => info(&registry, suite, output),
        SuiteCommand::Import {
            suite,
            path,
            output,
        } => import(&registry, suite, path, output, global),
        SuiteCommand::Fetch { suites, output } => fetch(&registry, suites, output, global),
        SuiteCommand::Check {
            suites,
            strict,
            output,
        } => check(&registry, suites, *strict, output, global),
        SuiteCommand::Stats { suites, output } => show_stats(&registry, suites, output, global),
    }
}

fn emit(output: &OutputArgs, document: &Value, tables: &[Table]) -> anyhow::Result<()> {
    let joined =
        |each: fn(&Table) -> String| tables.iter().map(each).collect::<Vec<_>>().join("\n");
    let text = match output.format {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(document)?),
        Format::Table => joined(Table::to_terminal),
        Format::Md => joined(Table::to_markdown),
        Format::Csv => joined(Table::to_csv),
        Format::Latex => joined(Table::to_latex),
    };
    output.emit(&text)
}

fn scale_text(scale: Scale) -> String {
    let kind = match scale.kind {
        ScaleKind::Binary => return "binary".to_owned(),
        ScaleKind::Ordinal => "ordinal",
        ScaleKind::Interval => "interval",
    };
    format!("{kind} {} to {}", scale.min, scale.max)
}

fn list(registry: &Registry, output: &OutputArgs) -> anyhow::Result<()> {
    let mut table = Table::new(
        "",
        &[
            "id",
            "title",
            "languages",
            "#pairs",
            "scale",
            "licence",
            "rows",
        ],
    );
    let mut document = Vec::new();
    for manifest in registry.all() {
        let (name, split) = manifest.split(None)?;
        let availability = registry.availability(manifest, None)?;
        let command = match &availability {
            Availability::Available => None,
            Availability::Missing { command } => Some(command.clone()),
        };
        table.push(vec![
            manifest.id.clone(),
            manifest.title.clone(),
            manifest.languages.join(", "),
            split.rows.map_or_else(String::new, |n| n.to_string()),
            scale_text(manifest.scale_of(split)),
            manifest.licence.clone(),
            command.clone().unwrap_or_else(|| "here".to_owned()),
        ]);
        document.push(json!({
            "id": manifest.id,
            "version": manifest.version,
            "title": manifest.title,
            "languages": manifest.languages,
            "default_split": name,
            "splits": manifest.splits.keys().collect::<Vec<_>>(),
            "rows": split.rows,
            "scale": manifest.scale_of(split),
            "licence": manifest.licence,
            "redistributable": manifest.redistributable,
            "available": command.is_none(),
            "command": command,
        }));
    }
    emit(output, &Value::Array(document), &[table])
}

fn info(registry: &Registry, suite: &str, output: &OutputArgs) -> anyhow::Result<()> {
    let manifest = registry.find(suite)?;
    let mut facts = Table::new(&manifest.title, &["", "value"]);
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            facts.push(vec![name.to_owned(), value]);
        }
    };
    fact("id", format!("{} {}", manifest.id, manifest.version));
    fact("what", manifest.description.clone());
    fact("area", manifest.area.to_string());
    fact("languages", manifest.languages.join(", "));
    fact("scale", scale_text(manifest.scale));
    let shown = if manifest.redistributable {
        "its texts may be shown"
    } else {
        "its texts are not shown"
    };
    fact("licence", format!("{} ({shown})", manifest.licence));
    fact("homepage", manifest.homepage.clone().unwrap_or_default());
    fact(
        "superseded by",
        manifest.superseded_by.clone().unwrap_or_default(),
    );
    for note in &manifest.notes {
        fact("note", note.clone());
    }
    let citation = manifest.citation.as_deref().unwrap_or_default().trim();
    fact("cite", citation.to_owned());
    let mut splits = Table::new(
        "Splits",
        &["split", "#pairs", "domains", "mteb task", "rows"],
    );
    let mut split_documents = Vec::new();
    for (name, split) in &manifest.splits {
        let availability = registry.availability(&manifest, Some(name))?;
        let domains: Vec<String> = split
            .domains
            .iter()
            .map(|(d, n)| format!("{d} {n}"))
            .collect();
        let command = match &availability {
            Availability::Available => "here".to_owned(),
            Availability::Missing { command } => command.clone(),
        };
        let marked = if *name == manifest.default_split {
            format!("{name} (default)")
        } else {
            name.clone()
        };
        splits.push(vec![
            marked,
            split.rows.map_or_else(String::new, |n| n.to_string()),
            domains.join(", "),
            split.mteb_task.clone().unwrap_or_default(),
            command,
        ]);
        split_documents.push(json!({
            "split": name,
            "available": availability == Availability::Available,
            "manifest": split,
        }));
    }
    let mut sources = Table::new("Sources", &["source", "where", "revision", "files"]);
    for source in &manifest.sources {
        let files: Vec<&str> = source
            .files
            .values()
            .flatten()
            .map(|f| f.name.as_str())
            .collect();
        let (place, revision) = match &source.hub {
            Some(hub) => (
                format!("hub: {}", hub.repo),
                hub.revision
                    .clone()
                    .unwrap_or_else(|| "recorded when fetched".to_owned()),
            ),
            None => (
                source
                    .homepage
                    .clone()
                    .unwrap_or_else(|| "beside suite.toml".to_owned()),
                source.revision.clone().unwrap_or_default(),
            ),
        };
        let shown = match files.as_slice() {
            [first, .., last] if files.len() > 4 => {
                format!("{first} … {last} ({} files)", files.len())
            }
            _ => files.join(", "),
        };
        sources.push(vec![source.name.clone(), place, revision, shown]);
    }
    let imported = registry.imported(&manifest)?;
    let document = json!({
        "manifest": manifest,
        "splits": split_documents,
        "imported": imported,
    });
    let mut tables = vec![
        facts,
        splits.without_empty_columns(),
        sources.without_empty_columns(),
    ];
    if let Some(imported) = imported {
        let mut table = Table::new("Imported", &["split", "source", "commit", "file", "sha256"]);
        for (split, record) in &imported.splits {
            for file in &record.files {
                table.push(vec![
                    split.clone(),
                    record.source.clone(),
                    record
                        .hub
                        .as_ref()
                        .map(|h| h.commit.clone())
                        .unwrap_or_default(),
                    file.name.clone(),
                    file.sha256.clone(),
                ]);
            }
        }
        tables.push(table.without_empty_columns());
    }
    emit(output, &document, &tables)
}

fn report_imports(
    suite: &str,
    reports: &[ImportReport],
    table: &mut Table,
    document: &mut Vec<Value>,
    global: &Global,
) {
    for report in reports {
        table.push(vec![
            suite.to_owned(),
            report.split.clone(),
            report.pairs.to_string(),
            report.source.clone(),
            report.hub_commit.clone().unwrap_or_default(),
            report.release_id.clone(),
        ]);
        for warning in &report.warnings {
            global.note(&format!("warning: {suite} ({}): {warning}", report.split));
        }
        document.push(json!({
            "suite": suite,
            "split": report.split,
            "pairs": report.pairs,
            "source": report.source,
            "hub_commit": report.hub_commit,
            "files": report.files,
            "release_id": report.release_id,
            "warnings": report.warnings,
        }));
    }
}

fn import_table() -> Table {
    Table::new(
        "",
        &["suite", "split", "#pairs", "source", "commit", "release id"],
    )
}

fn import(
    registry: &Registry,
    suite: &str,
    path: &Path,
    output: &OutputArgs,
    global: &Global,
) -> anyhow::Result<()> {
    output.check()?;
    let manifest = registry.find(suite)?;
    let reports = registry.import(&manifest, path)?;
    let (mut table, mut document) = (import_table(), Vec::new());
    report_imports(&manifest.id, &reports, &mut table, &mut document, global);
    for split in manifest.splits.keys() {
        if !reports.iter().any(|r| r.split == *split) {
            global.note(&format!("note: nothing there for the split `{split}`"));
        }
    }
    emit(
        output,
        &Value::Array(document),
        &[table.without_empty_columns()],
    )
}

fn fetch(
    registry: &Registry,
    suites: &[String],
    output: &OutputArgs,
    global: &Global,
) -> anyhow::Result<()> {
    output.check()?;
    let manifests: Vec<Manifest> = suites
        .iter()
        .map(|s| registry.find(s))
        .collect::<Result<_, _>>()?;
    let hub = hub(global);
    let (mut table, mut document) = (import_table(), Vec::new());
    for manifest in &manifests {
        let reports = registry.fetch(manifest, &hub)?;
        report_imports(&manifest.id, &reports, &mut table, &mut document, global);
    }
    emit(
        output,
        &Value::Array(document),
        &[table.without_empty_columns()],
    )
}

/// The hub as the environment and the flags say, with a progress bar per file on a terminal.
pub(super) fn hub(global: &Global) -> Hub {
    let hub = Hub::from_env(global.offline);
    if global.quiet {
        return hub;
    }
    let style = indicatif::ProgressStyle::with_template(
        "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    )
    .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar());
    let bar = std::sync::Mutex::new(indicatif::ProgressBar::hidden());
    hub.with_progress(move |progress| {
        let Ok(mut bar) = bar.lock() else { return };
        match progress {
            Progress::Start {
                file,
                total,
                already,
            } => {
                *bar = match total {
                    Some(total) => indicatif::ProgressBar::new(total).with_style(style.clone()),
                    None => indicatif::ProgressBar::new_spinner(),
                };
                bar.set_message(file.to_owned());
                bar.set_position(already);
            }
            Progress::Advance { bytes } => bar.inc(bytes),
            Progress::Finish => bar.finish_and_clear(),
        }
    })
}

/// The suites and splits that are meant: those named, or every split that is here.
fn selected(registry: &Registry, names: &[String]) -> anyhow::Result<Vec<(Manifest, String)>> {
    let mut chosen = Vec::new();
    for name in names {
        // A bare id means all its splits that are here, or the default one where none is.
        let (manifest, split) = registry.select(name)?;
        let bare = !name.ends_with(&format!(":{split}"));
        let here = here(registry, &manifest)?;
        if bare && !here.is_empty() {
            chosen.extend(here.into_iter().map(|s| (manifest.clone(), s)));
        } else {
            chosen.push((manifest, split));
        }
    }
    if names.is_empty() {
        for manifest in registry.all() {
            let splits = here(registry, manifest)?;
            chosen.extend(splits.into_iter().map(|s| (manifest.clone(), s)));
        }
    }
    Ok(chosen)
}

fn here(registry: &Registry, manifest: &Manifest) -> Result<Vec<String>, SuiteError> {
    let mut found = Vec::new();
    for split in manifest.splits.keys() {
        if registry.availability(manifest, Some(split))? == Availability::Available {
            found.push(split.clone());
        }
    }
    Ok(found)
}

fn check(
    registry: &Registry,
    suites: &[String],
    strict: bool,
    output: &OutputArgs,
    global: &Global,
) -> anyhow::Result<()> {
    output.check()?;
    let mut table = Table::new("", &["level", "finding", "remedy"]);
    let mut document = Vec::new();
    let mut lines = String::new();
    let mut remedies = BTreeSet::new();
    let (mut errors, mut warnings) = (0, 0);
    for (manifest, split) in selected(registry, suites)? {
        let report: CheckReport = registry.check(&manifest, Some(&split))?;
        let mut findings = Vec::new();
        for finding in &report.findings {
            let level = finding.problem.level();
            match level {
                Level::Error => errors += 1,
                Level::Warning => warnings += 1,
            }
            let remedy = finding.problem.hint();
            let word = match level {
                Level::Error => "error",
                Level::Warning => "warning",
            };
            table.push(vec![
                word.to_owned(),
                finding.to_string(),
                remedy.clone().unwrap_or_default(),
            ]);
            let _ = writeln!(lines, "{word}: {finding}");
            // The same remedy for a thousand rows is said once.
            if let Some(remedy) = remedy.clone().filter(|r| remedies.insert(r.clone())) {
                let _ = writeln!(lines, "  hint: {remedy}");
            }
            findings.push(json!({
                "level": level,
                "path": finding.path,
                "place": finding.place.number(),
                "message": finding.problem.to_string(),
                "remedy": remedy,
            }));
        }
        global.note(&format!(
            "{} ({split}): {}, {}",
            manifest.id,
            counted(report.pairs, "pair"),
            counted(report.findings.len(), "finding")
        ));
        document.push(json!({
            "suite": manifest.id,
            "split": split,
            "pairs": report.pairs,
            "passed": report.passed(),
            "findings": findings,
        }));
    }
    match output.format {
        Format::Table => output.emit(&lines)?,
        _ => emit(output, &Value::Array(document), &[table])?,
    }
    if errors > 0 || strict && warnings > 0 {
        let found = format!(
            "{} and {}",
            counted(errors, "error"),
            counted(warnings, "warning")
        );
        return Err(CliError::new(FailureClass::Check, found, None).into());
    }
    Ok(())
}

/// `1 pair`, `2 pairs`.
fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn show_stats(
    registry: &Registry,
    suites: &[String],
    output: &OutputArgs,
    global: &Global,
) -> anyhow::Result<()> {
    output.check()?;
    let mut all = Vec::new();
    let mut overlaps: Vec<(String, Overlap)> = Vec::new();
    let mut loaded = Vec::new();
    for (manifest, split) in selected(registry, suites)? {
        loaded.push(registry.load(&manifest, Some(&split))?);
    }
    for suite in &loaded {
        let stats = stats(suite);
        for warning in &stats.warnings {
            global.note(&format!(
                "warning: {} ({}): {warning}",
                suite.id, suite.split
            ));
        }
        all.push(stats);
        // Splits that read the same files in another way share everything by design.
        for other in loaded.iter().filter(|o| o.id == suite.id) {
            if other.split != suite.split && other.release_id != suite.release_id {
                overlaps.push((suite.id.clone(), overlap(suite, other)));
            }
        }
    }
    let document: Vec<Value> = all
        .iter()
        .map(|s| {
            let mut value = json!(s);
            let mine: Vec<&Overlap> = overlaps
                .iter()
                .filter(|(id, o)| *id == s.suite && o.split == s.split)
                .map(|(_, o)| o)
                .collect();
            value["overlaps"] = json!(mine);
            value
        })
        .collect();
    let tables = match output.format {
        Format::Csv => vec![stats_rows(&all, &overlaps)],
        _ => stats_tables(&all, &overlaps),
    };
    emit(output, &Value::Array(document), &tables)
}

/// All statistics, one row per number, unrounded.
fn stats_rows(all: &[Stats], overlaps: &[(String, Overlap)]) -> Table {
    let mut table = Table::new("", &["suite", "split", "of", "measure", "#value"]);
    for s in all {
        let mut push = |of: &str, measure: &str, value: String| {
            table.push(vec![
                s.suite.clone(),
                s.split.clone(),
                of.to_owned(),
                measure.to_owned(),
                value,
            ]);
        };
        push("split", "pairs", s.pairs.to_string());
        push("split", "vocabulary", s.vocabulary.to_string());
        push("split", "eojeol", s.eojeol_total.to_string());
        for d in &s.domains {
            let Some(name) = &d.domain else { continue };
            let of = format!("domain {name}");
            push(&of, "pairs", d.pairs.to_string());
            push(&of, "gold mean", d.gold_mean.to_string());
            push(&of, "vocabulary", d.vocabulary.to_string());
            for (unit, means) in [("characters", d.characters), ("eojeol", d.eojeol)] {
                for (i, mean) in means.iter().enumerate() {
                    push(&of, &format!("{unit} {} mean", i + 1), mean.to_string());
                }
            }
        }
        for (unit, sides) in [("characters", &s.characters), ("eojeol", &s.eojeol)] {
            for (i, l) in sides.iter().enumerate() {
                let of = format!("{unit} {}", i + 1);
                push(&of, "min", l.min.to_string());
                push(&of, "median", l.median.to_string());
                push(&of, "mean", l.mean.to_string());
                push(&of, "p95", l.p95.to_string());
                push(&of, "max", l.max.to_string());
            }
        }
        let ceiling = s.gold.ceiling.map_or_else(String::new, |c| c.to_string());
        for (measure, value) in [
            ("mean", s.gold.mean.to_string()),
            ("sd", s.gold.sd.to_string()),
            ("min", s.gold.min.to_string()),
            ("max", s.gold.max.to_string()),
            ("distinct", s.gold.distinct.to_string()),
            ("tied share", s.gold.tied_share.to_string()),
            ("ceiling", ceiling),
        ] {
            push("gold", measure, value);
        }
        for (i, (from, count)) in s.gold.histogram.iter().enumerate() {
            push("histogram", &bin(s, i, *from), count.to_string());
        }
        for (measure, value) in [
            ("unique texts", s.repeats.unique_texts),
            ("duplicate pairs", s.repeats.duplicate_pairs),
            ("conflicting pairs", s.repeats.conflicting_pairs),
            ("identical texts", s.repeats.identical_texts),
            ("identical below top", s.repeats.identical_below_top),
        ] {
            push("repeats", measure, value.to_string());
        }
        for (_, o) in overlaps
            .iter()
            .filter(|(id, o)| *id == s.suite && o.split == s.split)
        {
            let of = format!("overlap with {}", o.other);
            push(&of, "shared pairs", o.shared_pairs.to_string());
            push(
                &of,
                "pairs with a shared text",
                o.pairs_with_shared_text.to_string(),
            );
            push(&of, "share", o.share.to_string());
        }
    }
    table
}

fn stats_tables(all: &[Stats], overlaps: &[(String, Overlap)]) -> Vec<Table> {
    let mut domains = Table::new(
        "Pairs, and mean lengths of the first and second texts",
        &[
            "suite",
            "split",
            "domain",
            "#pairs",
            "#gold mean",
            "#characters 1",
            "#characters 2",
            "#eojeol 1",
            "#eojeol 2",
            "#vocabulary",
        ],
    );
    let mut lengths = Table::new(
        "Lengths",
        &[
            "suite", "split", "unit", "#text", "#min", "#median", "#mean", "#p95", "#max",
        ],
    );
    let mut gold = Table::new(
        "Gold scores",
        &[
            "suite",
            "split",
            "declared",
            "#mean",
            "#sd",
            "#min",
            "#max",
            "#distinct",
            "#tied",
            "#ceiling",
        ],
    );
    let mut histogram = Table::new(
        "Histogram",
        &["suite", "split", "#score", "#pairs", "share"],
    );
    let mut repeats = Table::new(
        "Repeats",
        &[
            "suite",
            "split",
            "#unique texts",
            "#duplicate pairs",
            "#conflicting pairs",
            "#identical texts",
            "#identical below top",
        ],
    );
    for s in all {
        let name = || vec![s.suite.clone(), s.split.clone()];
        let row = |cells: Vec<String>| [name(), cells].concat();
        if s.domains.len() > 1 || s.domains.iter().any(|d| d.domain.is_some()) {
            for d in &s.domains {
                domains.push(row(vec![
                    d.domain.clone().unwrap_or_else(|| "-".to_owned()),
                    d.pairs.to_string(),
                    format!("{:.3}", d.gold_mean),
                    format!("{:.1}", d.characters[0]),
                    format!("{:.1}", d.characters[1]),
                    format!("{:.1}", d.eojeol[0]),
                    format!("{:.1}", d.eojeol[1]),
                    d.vocabulary.to_string(),
                ]));
            }
        }
        domains.push(row(vec![
            "(all)".to_owned(),
            s.pairs.to_string(),
            format!("{:.3}", s.gold.mean),
            format!("{:.1}", s.characters[0].mean),
            format!("{:.1}", s.characters[1].mean),
            format!("{:.1}", s.eojeol[0].mean),
            format!("{:.1}", s.eojeol[1].mean),
            s.vocabulary.to_string(),
        ]));
        for (unit, sides) in [("characters", &s.characters), ("eojeol", &s.eojeol)] {
            for (i, l) in sides.iter().enumerate() {
                lengths.push(row(
                    [vec![unit.to_owned(), (i + 1).to_string()], length(l)].concat()
                ));
            }
        }
        gold.push(row(vec![
            scale_text(s.scale),
            format!("{:.3}", s.gold.mean),
            format!("{:.3}", s.gold.sd),
            s.gold.min.to_string(),
            s.gold.max.to_string(),
            s.gold.distinct.to_string(),
            format!("{:.3}", s.gold.tied_share),
            s.gold
                .ceiling
                .map_or_else(String::new, |c| format!("{c:.3}")),
        ]));
        for (i, (from, count)) in s.gold.histogram.iter().enumerate() {
            let label = bin(s, i, *from);
            histogram.push(row(vec![label, count.to_string(), bar(*count, s.pairs)]));
        }
        repeats.push(row(vec![
            s.repeats.unique_texts.to_string(),
            s.repeats.duplicate_pairs.to_string(),
            s.repeats.conflicting_pairs.to_string(),
            s.repeats.identical_texts.to_string(),
            s.repeats.identical_below_top.to_string(),
        ]));
    }
    let mut tables = vec![domains, lengths, gold, histogram, repeats];
    if !overlaps.is_empty() {
        let mut table = Table::new(
            "Overlaps",
            &[
                "suite",
                "split",
                "with",
                "#shared pairs",
                "#pairs with a shared text",
                "#share",
            ],
        );
        for (id, o) in overlaps {
            table.push(vec![
                id.clone(),
                o.split.clone(),
                o.other.clone(),
                o.shared_pairs.to_string(),
                o.pairs_with_shared_text.to_string(),
                format!("{:.3}", o.share),
            ]);
        }
        tables.push(table);
    }
    tables
}

fn length(l: &Lengths) -> Vec<String> {
    vec![
        l.min.to_string(),
        l.median.to_string(),
        format!("{:.1}", l.mean),
        l.p95.to_string(),
        l.max.to_string(),
    ]
}

/// A bin's label: its score, or its range where scores are binned.
fn bin(s: &Stats, index: usize, from: f64) -> String {
    if s.gold.distinct <= s.gold.histogram.len() {
        return from.to_string();
    }
    let to = s.gold.histogram.get(index + 1).map_or(s.scale.max, |b| b.0);
    format!("{from:.2}–{to:.2}")
}

/// A bar of at most 30 blocks.
fn bar(count: usize, pairs: usize) -> String {
    let share = count as f64 / pairs.max(1) as f64;
    let mut text = "█".repeat((share * 30.0).round() as usize);
    let _ = write!(text, " {:.1} %", 100.0 * share);
    text.trim_start().to_owned()
}
