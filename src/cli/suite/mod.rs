//! `korfinsts suite`: which suites there are, how their rows get here, and what they look like.

mod annotate;
mod new;
mod probe;
mod stats;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{Format, OutputArgs, Table};
use super::texts::texts;
use super::{CliError, Global};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::hub::{Hub, Progress};
use korfinsts_bench::suite::{
    Availability, CheckReport, Finding, ImportReport, Level, Manifest, Registry, Scale, ScaleKind,
    SuiteError,
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
    /// Write what three blind raters need to score pairs, or read back what they scored
    ///
    /// Writes a sheet (CSV) for each rater, a form (form.html) that works from the disk without a network, and key.json. The order of the
    /// pairs and of the two texts is drawn for each rater; nothing in a sheet or in the form says which pair it is. Give the raters the form
    /// or their sheet, and keep key.json. When the sheets are back in the folder, `--read` says how far the raters agree with each other
    /// and with the gold scores.
    #[command(after_help = "Examples:
  korfinsts suite annotate korfin-shift-2:dev -o kit --sample 20
  korfinsts suite annotate --read kit")]
    Annotate(annotate::AnnotateArgs),
    /// Write the folder of a suite from a file of pairs
    New(new::NewArgs),
    /// Parse all rows and report each kind of problem with its lines; exit code 1 when there is one
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
    /// Measure how well positives and negatives are told apart without reading
    ///
    /// Trains cheap probes on the suite itself, cross-validated by document: features of the pair (length,
    /// overlap, edits, numbers, negation) by logistic regression and boosted stumps, and the second text
    /// alone by TF-IDF of characters and of words. An AUC near 0.5 says that the suite has no shortcut.
    Probe {
        /// Ids of suites (`id` or `id:split`), or folders, with binary gold
        #[arg(value_name = "NAME", required = true)]
        suites: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show lengths, vocabulary, gold scores and repeats, and warn where scale and data disagree
    Stats {
        /// Ids of suites (`id` or `id:split`), or folders [default: every suite that is here]
        #[arg(value_name = "NAME")]
        suites: Vec<String>,
        /// Count in the tokens of a tokenizer too: its file, a model's folder, or a hub id
        #[arg(long, value_name = "TOKENIZER")]
        tokenizer: Option<String>,
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
        } => {
            output.check()?;
            import(&registry, suite, path, global)?.show(output)
        }
        SuiteCommand::Fetch { suites, output } => {
            output.check()?;
            fetch(&registry, suites, global)?.show(output)
        }
        SuiteCommand::Annotate(args) => annotate::run(args, &registry, global),
        SuiteCommand::New(args) => new::run(args, &registry, global),
        SuiteCommand::Check {
            suites,
            strict,
            output,
        } => {
            output.check()?;
            check(&registry, suites, global)?.finish(output, *strict)
        }
        SuiteCommand::Probe { suites, output } => probe::show(&registry, suites, output),
        SuiteCommand::Stats {
            suites,
            tokenizer,
            output,
        } => {
            output.check()?;
            let loaded: Result<Vec<_>, _> = selected(&registry, suites)?
                .iter()
                .map(|(manifest, split)| registry.load(manifest, Some(split)))
                .collect();
            stats::show(&loaded?, tokenizer.as_deref(), output, global)
        }
    }
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
            Availability::Missing { command, .. } => Some(command.clone()),
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
    output.show(&document, &[table])
}

fn info(registry: &Registry, suite: &str, output: &OutputArgs) -> anyhow::Result<()> {
    let manifest = registry.find(suite)?;
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
            Availability::Missing { command, .. } => command.clone(),
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
    let imported = registry.imported(&manifest)?;
    let document = json!({
        "manifest": manifest,
        "splits": split_documents,
        "imported": imported,
    });
    let mut tables = vec![
        fact_table(&manifest),
        splits.without_empty_columns(),
        source_table(&manifest),
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
    output.show(&document, &tables)
}

/// What a manifest says of its suite as a whole.
fn fact_table(manifest: &Manifest) -> Table {
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
    facts
}

/// Where the rows of a suite come from.
fn source_table(manifest: &Manifest) -> Table {
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
    sources.without_empty_columns()
}

/// What was imported, for `import` and `fetch`.
struct Imports {
    table: Table,
    document: Vec<Value>,
}

impl Imports {
    fn new() -> Self {
        let head = ["suite", "split", "#pairs", "source", "commit", "release id"];
        Self {
            table: Table::new("", &head),
            document: Vec::new(),
        }
    }

    fn show(self, output: &OutputArgs) -> anyhow::Result<()> {
        output.show(&self.document, &[self.table.without_empty_columns()])
    }

    fn add(&mut self, suite: &str, reports: &[ImportReport], global: &Global) {
        for report in reports {
            self.table.push(vec![
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
            self.document.push(json!({
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
}

fn import(
    registry: &Registry,
    suite: &str,
    path: &Path,
    global: &Global,
) -> anyhow::Result<Imports> {
    let manifest = registry.find(suite)?;
    let reports = registry.import(&manifest, path)?;
    let mut imports = Imports::new();
    imports.add(&manifest.id, &reports, global);
    for split in manifest.splits.keys() {
        if !reports.iter().any(|r| r.split == *split) {
            global.note(&format!("note: nothing there for the split `{split}`"));
        }
    }
    Ok(imports)
}

fn fetch(registry: &Registry, suites: &[String], global: &Global) -> anyhow::Result<Imports> {
    let manifests: Vec<Manifest> = suites
        .iter()
        .map(|s| registry.find(s))
        .collect::<Result<_, _>>()?;
    let hub = hub(global);
    let mut imports = Imports::new();
    for manifest in &manifests {
        imports.add(&manifest.id, &registry.fetch(manifest, &hub)?, global);
    }
    Ok(imports)
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

/// What a check of suites found.
struct Checked {
    table: Table,
    document: Vec<Value>,
    /// The findings as a terminal shows them.
    lines: String,
    errors: usize,
    warnings: usize,
}

impl Checked {
    /// Prints it, and fails where there are errors; where `strict`, on warnings too.
    fn finish(self, output: &OutputArgs, strict: bool) -> anyhow::Result<()> {
        match output.format {
            Format::Table => output.emit(&self.lines)?,
            _ => output.show(&self.document, &[self.table])?,
        }
        if self.errors > 0 || strict && self.warnings > 0 {
            let found = format!(
                "{} and {}",
                counted(self.errors, "error"),
                counted(self.warnings, "warning")
            );
            return Err(CliError::new(FailureClass::Check, found, None).into());
        }
        Ok(())
    }
}

fn check(registry: &Registry, suites: &[String], global: &Global) -> anyhow::Result<Checked> {
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
            table.push(vec![
                word(level).to_owned(),
                finding.to_string(),
                remedy.clone().unwrap_or_default(),
            ]);
            findings.push(json!({
                "level": level,
                "path": finding.path,
                "place": finding.place.number(),
                "message": finding.problem.to_string(),
                "remedy": remedy,
            }));
        }
        lines += &grouped(&report.findings, &mut remedies);
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
    Ok(Checked {
        table,
        document,
        lines,
        errors,
        warnings,
    })
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
    }
}

/// Findings by kind and file: the first three of each, and how many more there are. A remedy is said
/// once.
fn grouped(findings: &[Finding], remedies: &mut BTreeSet<String>) -> String {
    const SHOWN: usize = 3;
    let kind = |f: &Finding| (std::mem::discriminant(&f.problem), f.path.clone());
    let mut groups: Vec<(_, Vec<&Finding>)> = Vec::new();
    for finding in findings {
        match groups.iter_mut().find(|(k, _)| *k == kind(finding)) {
            Some((_, group)) => group.push(finding),
            None => groups.push((kind(finding), vec![finding])),
        }
    }
    let mut lines = String::new();
    for (_, group) in groups {
        for finding in group.iter().take(SHOWN) {
            let line = format!("{}: {finding}", word(finding.problem.level()));
            let _ = writeln!(lines, "{}", texts().said(&line));
            if let Some(remedy) = finding
                .problem
                .hint()
                .filter(|r| remedies.insert(r.clone()))
            {
                let hint = texts().said(&remedy);
                let line = texts().fill("cli_hint", &[("hint", &hint)]);
                let _ = writeln!(lines, "  {line}");
            }
        }
        if let Some(more) = group.len().checked_sub(SHOWN + 1) {
            let _ = writeln!(
                lines,
                "  and {} more of this kind; `--format json` lists every one",
                more + 1
            );
        }
    }
    lines
}

/// `1 pair`, `2 pairs`.
fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
