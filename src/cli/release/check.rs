//! `korfinsts release check`: every gate on a release or a suite.

use std::path::{Path, PathBuf};

use clap::Args;

use super::ContextArgs;
use crate::cli::output::{Format, OutputArgs, Table};
use crate::cli::{CliError, Global, submissions};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_base::json;
use korfinsts_bench::suite::{Availability, Registry};
use korfinsts_publish::release::{
    self, Context, Level, OtherTexts, ReleaseError, Report, Status, Subject,
};

/// Put a release, or a suite on disk, through every gate
///
/// Exit code 1 when a gate finds an error that no waiver accepts.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Folder or zip file of a release, or the id of a suite on disk
    #[arg(value_name = "RELEASE")]
    subject: String,
    /// Suites (`id`, or `all` on disk), releases, or JSONL files of training triplets whose texts
    /// must not be in it
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    against: Vec<String>,
    /// Folder of submission bundles whose scores the changelog must speak of
    #[arg(long, value_name = "DIR")]
    submissions: Option<PathBuf>,
    /// File with the minisign public key that must have signed it [default: the manifest's]
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Write check.json and check.md into this folder
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Most findings of one gate that a table lists.
const MOST: usize = 20;

pub(super) fn run(args: &CheckArgs, global: &Global) -> anyhow::Result<()> {
    args.output.check()?;
    let subject = subject(args, global)?;
    let report = release::check(&subject);
    if let Some(folder) = &args.report {
        fs::write_atomic(&folder.join("check.json"), report.to_json().as_bytes())?;
        fs::write_atomic(
            &folder.join("check.md"),
            report.to_markdown(1000).as_bytes(),
        )?;
    }
    if args.output.format == Format::Json {
        args.output.emit(&report.to_json())?;
    } else {
        args.output.show(&(), &tables(&report))?;
    }
    let errors: usize = report.gates.iter().map(|g| g.errors).sum();
    let warnings: usize = report.gates.iter().map(|g| g.warnings).sum();
    if !report.passed || (args.strict && warnings > 0) {
        return Err(CliError::new(
            FailureClass::Check,
            format!("{} {} does not pass: {errors} errors, {warnings} warnings", report.id, report.version),
            Some("each finding names its remedy; a waiver in korfinsts.toml accepts one with a reason and a day".into()),
        )
        .into());
    }
    global.note(&format!(
        "{} {} passes: {warnings} warnings, {} waived",
        report.id,
        report.version,
        report.waived.len()
    ));
    Ok(())
}

fn subject(args: &CheckArgs, global: &Global) -> anyhow::Result<Subject> {
    let path = Path::new(&args.subject);
    let is_release = path.is_file() && path.extension().is_some_and(|e| e == "zip")
        || fs::exists(&path.join(release::MANIFEST));
    let mut context = if is_release {
        args.context.of(path)?
    } else {
        Context::on(jiff::Zoned::now().date())
    };
    let registry = Registry::open(&global.data_home()?)?;
    context.others = others(&args.against, &args.subject, &registry)?;
    if let Some(path) = &args.public_key {
        context.public_key = Some(String::from_utf8_lossy(&fs::read(path)?).into_owned());
    }
    if !is_release {
        let manifest = registry.find(&args.subject)?;
        return Ok(Subject::from_suite(&registry, &manifest, context)?);
    }
    let mut subject = Subject::open(path, context)?;
    if let Some(folder) = &args.submissions {
        subject.context.submissions = submissions::stored(folder, &subject)?;
    }
    Ok(subject)
}

/// The texts that `--against` names.
fn others(names: &[String], own: &str, registry: &Registry) -> anyhow::Result<Vec<OtherTexts>> {
    let mut found = Vec::new();
    for name in names {
        let path = Path::new(name);
        if name == "all" {
            for manifest in registry.all().iter().filter(|m| m.id != own) {
                if registry.availability(manifest, None)? == Availability::Available {
                    let today = jiff::Zoned::now().date();
                    found.push(
                        Subject::from_suite(registry, manifest, Context::on(today))?.as_other(),
                    );
                }
            }
        } else if path.extension().is_some_and(|e| e == "jsonl") {
            found.push(triplets(path)?);
        } else {
            let today = jiff::Zoned::now().date();
            let context = Context::on(today);
            let subject = if path.extension().is_some_and(|e| e == "zip")
                || fs::exists(&path.join(release::MANIFEST))
            {
                Subject::open(path, context)?
            } else {
                Subject::from_suite(registry, &registry.find(name)?, context)?
            };
            found.push(subject.as_other());
        }
    }
    Ok(found)
}

/// Training triplets (or pairs): the texts of each line under the names that training data use.
fn triplets(path: &Path) -> Result<OtherTexts, ReleaseError> {
    const NAMES: [&str; 7] = [
        "anchor",
        "positive",
        "negative",
        "hard_negative",
        "sentence1",
        "sentence2",
        "text",
    ];
    let invalid = |line: usize, reason: String| ReleaseError::Invalid {
        path: path.to_owned(),
        reason: format!("line {line}: {reason}"),
        hint: Some("one JSON object per line with `anchor`, `positive` and `negative`".into()),
    };
    let lines =
        json::parse_lines(&fs::read(path)?).map_err(|(line, reason)| invalid(line, reason))?;
    let mut groups = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let group: Vec<String> = NAMES
            .iter()
            .filter_map(|n| Some(line.get(n)?.as_str()?.to_owned()))
            .collect();
        if group.is_empty() {
            return Err(invalid(
                i + 1,
                format!("found none of `{}`", NAMES.join("`, `")),
            ));
        }
        groups.push(group);
    }
    Ok(OtherTexts {
        name: path.display().to_string(),
        groups,
    })
}

fn tables(report: &Report) -> Vec<Table> {
    let mut gates = Table::new(
        &format!("{} {}", report.id, report.version),
        &["gate", "what", "result", "#errors", "#warnings", "note"],
    );
    for gate in &report.gates {
        let status = match gate.status {
            Status::Passed => "passed",
            Status::Warned => "warnings",
            Status::Waived => "waived",
            Status::Failed => "FAILED",
            Status::Skipped => "skipped",
        };
        gates.push(vec![
            gate.gate.into(),
            gate.title.into(),
            status.into(),
            gate.errors.to_string(),
            gate.warnings.to_string(),
            gate.note.clone().unwrap_or_default(),
        ]);
    }
    let mut facts = Table::new("measured", &["gate", "what"]);
    for fact in &report.facts {
        facts.push(vec![fact.gate.into(), fact.text.clone()]);
    }
    let mut findings = Table::new("findings", &["gate", "level", "row", "what", "remedy"]);
    for gate in &report.gates {
        let found: Vec<_> = report.of(gate.gate).collect();
        for finding in found.iter().take(MOST) {
            let level = match finding.level {
                Level::Error => "error",
                Level::Warning => "warning",
            };
            findings.push(vec![
                finding.gate.into(),
                level.into(),
                finding.row.clone().unwrap_or_default(),
                finding.message.clone(),
                finding.remedy.clone(),
            ]);
        }
        if found.len() > MOST {
            let more = format!("and {} more: see `--format json`", found.len() - MOST);
            findings.push(vec![
                gate.gate.into(),
                String::new(),
                String::new(),
                more,
                String::new(),
            ]);
        }
    }
    let mut waived = Table::new("waived", &["gate", "row", "what", "reason", "until"]);
    for w in &report.waived {
        waived.push(vec![
            w.finding.gate.into(),
            w.finding.row.clone().unwrap_or_default(),
            w.finding.message.clone(),
            w.reason.clone(),
            w.expires.clone(),
        ]);
    }
    [gates.without_empty_columns(), facts, findings, waived]
        .into_iter()
        .filter(|t| !t.rows.is_empty())
        .collect()
}
