//! `korfinsts release diff` and `bump`.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::ContextArgs;
use crate::cli::output::{self, OutputArgs, Table};
use crate::cli::{CliError, Global, submissions};
use korfinsts_base::fs;
use korfinsts_publish::release::{
    self, Bump, Context, Difference, MANIFEST, StoredScores, Subject,
};

/// Compare two releases row by row, and score stored submissions again without running a model
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Folder or zip file of the earlier release
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// Folder or zip file of the later release
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// Folder of submission bundles to score again
    #[arg(long, value_name = "DIR")]
    submissions: Option<PathBuf>,
    /// Folder of records with their scores by pair, as `eval` writes it, to score again
    #[arg(long, value_name = "DIR")]
    records: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn diff(args: &DiffArgs) -> anyhow::Result<()> {
    args.output.check()?;
    let today = jiff::Zoned::now().date();
    let before = Subject::open(&args.before, Context::on(today))?;
    let after = Subject::open(&args.after, Context::on(today))?;
    if before.id != after.id {
        return Err(CliError::usage(
            format!(
                "`{}` and `{}` are releases of different suites",
                before.id, after.id
            ),
            "give two releases of one suite",
        )
        .into());
    }
    let difference = release::difference(&before.splits, &after.splits);
    let mut stored = match &args.submissions {
        Some(folder) => submissions::stored(folder, &after)?,
        None => Vec::new(),
    };
    if let Some(folder) = &args.records {
        stored.extend(submissions::of_records(folder, &after)?);
    }
    let scores = release::rescore(&stored, &before.splits, &after.splits);
    let mut changes = Table::new(
        &format!(
            "{} {} to {}: {}",
            before.id,
            before.version,
            after.version,
            difference.bump()
        ),
        &["change", "id"],
    );
    for (id, change) in difference.ids() {
        changes.push(vec![change.to_string(), id.to_owned()]);
    }
    if changes.rows.is_empty() {
        changes.push(vec!["none".into(), String::new()]);
    }
    let mut rescored = Table::new(
        "submissions scored again",
        &[
            "submission",
            "split",
            "#pairs before",
            "#ρ before",
            "#pairs shared",
            "#ρ shared before",
            "#ρ shared after",
        ],
    );
    for s in &scores {
        rescored.push(vec![
            s.name.clone(),
            s.split.clone(),
            s.before.0.to_string(),
            show(s.before.1),
            s.shared.0.to_string(),
            show(s.shared.1),
            show(s.after.1),
        ]);
    }
    let (whole, wholes) = wholes(&stored, [&before, &after]);
    let counts = counts(&difference, [&before, &after]);
    let document = json!({
        "suite": before.id,
        "before": before.version,
        "after": after.version,
        "bump": difference.bump(),
        "changes": difference.changes,
        "submissions": scores,
        "whole": wholes,
    });
    let tables: Vec<Table> = [counts, rescored, whole, changes]
        .map(Table::without_empty_columns)
        .into_iter()
        .filter(|t| !t.rows.is_empty())
        .collect();
    args.output.show(&document, &tables)
}

fn show(rho: Option<f64>) -> String {
    rho.map_or("none".to_owned(), |r| format!("{r:.4}"))
}

/// The scores on each of two releases as a whole, as a table and as JSON.
fn wholes(stored: &[StoredScores], releases: [&Subject; 2]) -> (Table, Vec<Value>) {
    let head = [
        "submission",
        "split",
        "#pairs before",
        "#ρ before",
        "#pairs after",
        "#ρ after",
    ];
    let mut table = Table::new("each release as a whole", &head);
    let mut documents = Vec::new();
    for s in stored {
        let sides = releases.map(|release| release::scored(s, &release.splits));
        if sides.iter().all(Option::is_none) {
            continue;
        }
        let mut row = vec![s.name.clone(), s.split.clone()];
        for side in sides {
            row.push(side.map_or_else(String::new, |(n, _)| n.to_string()));
            row.push(side.map_or_else(String::new, |(_, rho)| show(rho)));
        }
        table.push(row);
        let [before, after] = sides;
        documents
            .push(json!({ "name": s.name, "split": s.split, "before": before, "after": after }));
    }
    (table, documents)
}

/// Rows of each kind of change, and the documents that they are of.
fn counts(difference: &Difference, releases: [&Subject; 2]) -> Table {
    let mut table = Table::new("what changed", &["change", "#rows", "#documents"]);
    let cluster_of = clusters(releases);
    for (change, ids) in &difference.changes {
        let of = ids.iter().filter_map(|id| cluster_of.get(id));
        let documents = match of.collect::<BTreeSet<_>>().len() {
            0 => String::new(),
            n => n.to_string(),
        };
        table.push(vec![change.to_string(), ids.len().to_string(), documents]);
    }
    table
}

/// The cluster of each row of two releases, where one of them declares clusters.
fn clusters(releases: [&Subject; 2]) -> HashMap<&String, &String> {
    let mut found = HashMap::new();
    for release in releases {
        let Some(name) = &release.cluster else {
            continue;
        };
        for split in &release.splits {
            for row in &split.rows {
                if let Some(cluster) = row.labels.get(name) {
                    found.insert(&row.id, cluster);
                }
            }
        }
    }
    found
}

/// Say which version the rows ask for since the latest earlier release, and write it down
#[derive(Debug, Args)]
pub struct BumpArgs {
    /// Folder with korfinsts.toml
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Write the version into korfinsts.toml and the change into CHANGELOG.md
    #[arg(long)]
    write: bool,
    /// Folder of submission bundles to score again
    #[arg(long, value_name = "DIR")]
    submissions: Option<PathBuf>,
    #[command(flatten)]
    context: ContextArgs,
}

pub(super) fn bump(args: &BumpArgs, global: &Global) -> anyhow::Result<()> {
    // Earlier are all releases but one of the same content: the manifest's version may not be
    // raised yet.
    let mut context = args.context.of(&args.folder)?;
    let subject = Subject::open(&args.folder, context.clone())?;
    for path in super::beside(&args.folder)? {
        if let Ok(other) = Subject::open(&path, Context::on(context.today))
            && other.id == subject.id
            && other.version == subject.version
        {
            context.earlier.push(super::earlier(&other, &path)?);
        }
    }
    let Some(earlier) = context.earlier.iter().max_by_key(|e| e.version) else {
        global
            .note("no earlier release was found: the first one has the version of korfinsts.toml");
        return output::print(&format!("{}\n", subject.version));
    };
    let difference = release::difference(&earlier.splits, &subject.splits);
    let asked = difference.bump().max(Bump::Patch);
    let declared = subject
        .manifest
        .as_ref()
        .and_then(|m| m.semver().declares(earlier.version));
    let next = match declared {
        Some(declared) if declared >= asked => subject.version.clone(),
        _ => earlier.version.bumped(asked).to_string(),
    };
    let stored = match &args.submissions {
        Some(folder) => submissions::stored(folder, &subject)?,
        None => Vec::new(),
    };
    let scores = release::rescore(&stored, &earlier.splits, &subject.splits);
    let section = release::section(&difference, &scores);
    output::print(&format!("{next}\n"))?;
    global.note(&format!(
        "since {}: a {asked} step\n{section}",
        earlier.version
    ));
    if !args.write {
        return Ok(());
    }
    let path = args.folder.join(MANIFEST);
    let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    let mut manifest = text.replacen(
        &format!("version = \"{}\"", subject.version),
        &format!("version = \"{next}\""),
        1,
    );
    let known = subject.manifest.as_ref().is_some_and(|m| {
        m.previous
            .iter()
            .any(|p| p.release_id == earlier.release_id)
    });
    if !known {
        manifest.push_str(&format!(
            "\n[[previous]]\nversion = \"{}\"\nrelease_id = \"{}\"\n",
            earlier.version, earlier.release_id
        ));
    }
    let path_of_log = args.folder.join("CHANGELOG.md");
    let log = if fs::exists(&path_of_log) {
        String::from_utf8_lossy(&fs::read(&path_of_log)?).into_owned()
    } else {
        "# Changelog\n".to_owned()
    };
    fs::write_atomic(&path, manifest.as_bytes())?;
    fs::write_atomic(&path_of_log, with_section(&log, &next, &section).as_bytes())?;
    global.note(&format!(
        "wrote {} and {}",
        path.display(),
        path_of_log.display()
    ));
    Ok(())
}

/// The changelog with the generated part of a version put in: between marks under its heading, which
/// is made above the others where it is missing.
fn with_section(log: &str, version: &str, section: &str) -> String {
    let begin = format!("<!-- changes of {version}: begin (generated) -->\n");
    let end = format!("<!-- changes of {version}: end -->\n");
    let block = format!("{begin}{section}{end}");
    if let (Some(from), Some(to)) = (log.find(&begin), log.find(&end)) {
        return format!("{}{block}{}", &log[..from], &log[to + end.len()..]);
    }
    let heading = format!("## {version}\n");
    if let Some(at) = log.find(&heading) {
        let after = at + heading.len();
        return format!("{}\n{block}{}", &log[..after], &log[after..]);
    }
    let at = log.find("\n## ").map_or(log.len(), |i| i + 1);
    format!("{}{heading}\n{block}\n{}", &log[..at], &log[at..])
}

#[cfg(test)]
mod tests {
    use super::with_section;

    #[test]
    fn a_section_is_put_in_once() {
        let log = "# Changelog\n\n## 1.0.0\n\nThe first.\n";
        let once = with_section(log, "1.1.0", "- added (1): `x`\n");
        let first = once.find("## 1.1.0").expect("the new heading");
        assert!(first < once.find("## 1.0.0").expect("the old heading"));
        let twice = with_section(&once, "1.1.0", "- added (1): `y`\n");
        assert!(twice.contains("`y`") && !twice.contains("`x`"), "{twice}");
        let own = with_section(log, "1.0.0", "- no row changed\n");
        assert!(own.contains("The first.") && own.contains("no row changed"));
    }
}
