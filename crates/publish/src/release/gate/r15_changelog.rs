//! R15: the changelog says which rows changed and what that does to the scores of stored submissions.

use super::super::Subject;
use super::super::diff::{difference, rescore, section};
use super::super::report::Notes;
use super::{Gate, gate};

pub(super) const GATE: Gate = gate("R15", "changelog", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let Some(manifest) = &subject.manifest else {
        return;
    };
    let Some(text) = subject
        .files
        .get("CHANGELOG.md")
        .map(|b| String::from_utf8_lossy(b))
    else {
        notes.error(
            None,
            "there is no `CHANGELOG.md`",
            "write one, with a heading `## VERSION` per release",
        );
        return;
    };
    let Some(body) = entry(&text, &manifest.version) else {
        notes.error(
            None,
            format!("CHANGELOG.md has no heading `## {}`", manifest.version),
            "say there what changed",
        );
        return;
    };
    if body.trim().is_empty() {
        notes.error(
            None,
            format!("CHANGELOG.md says nothing under `## {}`", manifest.version),
            "say there what changed",
        );
    }
    for earlier in &manifest.previous {
        if entry(&text, &earlier.version).is_none() {
            notes.error(
                None,
                format!("CHANGELOG.md has no heading `## {}`", earlier.version),
                "keep what it said of that release",
            );
        }
    }
    let Some(earlier) = subject.context.earlier.iter().max_by_key(|e| e.version) else {
        return;
    };
    let difference = difference(&earlier.splits, &subject.splits);
    let named: std::collections::HashSet<&str> = body.split('`').collect();
    for (id, change) in difference.ids() {
        if !named.contains(id) {
            notes.error(
                Some(id),
                format!(
                    "{change} since {}, but the changelog does not name it",
                    earlier.version
                ),
                "run `korfinsts release bump --write`",
            );
        }
    }
    let scores = rescore(
        &subject.context.submissions,
        &earlier.splits,
        &subject.splits,
    );
    if !scores.is_empty() {
        let generated = section(&difference, &scores);
        let table: Vec<&str> = generated.lines().filter(|l| l.starts_with('|')).collect();
        let missing = table
            .iter()
            .filter(|l| !body.lines().any(|b| b.trim() == l.trim()))
            .count();
        if missing > 0 {
            notes.error(
                None,
                format!("the changelog lacks {missing} of {} lines on what the change does to the scores of stored submissions", table.len()),
                "run `korfinsts release bump --write`",
            );
        }
    }
}

/// The text under the heading of a version.
fn entry<'a>(text: &'a str, version: &str) -> Option<&'a str> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let heading = line.strip_prefix("## ").map(|h| h.trim_start_matches('['));
        let names = heading.is_some_and(|h| {
            h.strip_prefix(version).is_some_and(|rest| {
                !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.')
            })
        });
        if names {
            let rest = &text[at..];
            let end = rest.find("\n## ").map_or(rest.len(), |i| i + 1);
            return Some(if rest.starts_with("## ") {
                ""
            } else {
                &rest[..end]
            });
        }
    }
    None
}
