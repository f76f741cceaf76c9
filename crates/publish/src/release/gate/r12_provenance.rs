//! R12: each row says which bytes it came from, and what generated it where nobody wrote it.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::super::Subject;
use super::super::manifest::{Source, is_sha256};
use super::super::report::Notes;
use super::{Gate, gate, objects};

const FILE: &str = "provenance/sources.jsonl";

/// Where one row comes from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    id: String,
    source: String,
    sha256: String,
    #[serde(default)]
    generator: Option<String>,
    /// The document that the row belongs to: splits are drawn by document.
    #[serde(default)]
    #[allow(
        dead_code,
        reason = "for people; known so that no other key is let through"
    )]
    document: Option<String>,
    #[serde(default)]
    #[allow(
        dead_code,
        reason = "checked by R13, known so that no other key is let through"
    )]
    canary: Option<String>,
}

pub(super) const GATE: Gate = gate("R12", "provenance per row", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let Some(manifest) = &subject.manifest else {
        return;
    };
    let said = [
        "",
        "add one line per row: {\"id\", \"source\", \"sha256\", \"generator\"}",
        "write {\"id\", \"source\", \"sha256\", \"generator\"}",
    ];
    let Some(origins) = objects::<Origin>(subject, FILE, said, notes) else {
        return;
    };
    let ids: HashSet<&str> = subject.rows().map(|(_, r)| r.id.as_str()).collect();
    let sources: HashMap<&str, &Source> = manifest
        .sources
        .iter()
        .map(|s| (s.name.as_str(), s))
        .collect();
    let mut seen = HashSet::new();
    let mut used = HashSet::new();
    for (place, origin) in &origins {
        let id = Some(origin.id.as_str());
        if !ids.contains(origin.id.as_str()) {
            notes.error(
                id,
                format!("{place}: no row has this id"),
                "remove the line, or add the row",
            );
        }
        if !seen.insert(origin.id.clone()) {
            notes.error(
                id,
                format!("{place}: this row has a line already"),
                "keep one of them",
            );
        }
        if !is_sha256(&origin.sha256) {
            notes.error(
                id,
                format!("{place}: `sha256` is not 64 lower-case hexadecimal digits"),
                "write the hash of the source file",
            );
        }
        let empty = origin
            .generator
            .as_deref()
            .is_none_or(|g| g.trim().is_empty());
        match sources.get(origin.source.as_str()) {
            None => notes.error(
                id,
                format!(
                    "{place}: the source `{}` is not in korfinsts.toml",
                    origin.source.escape_debug()
                ),
                "add a `[[source]]` of that name",
            ),
            Some(source) => {
                used.insert(source.name.as_str());
                if source.synthetic && empty {
                    notes.error(
                        id,
                        format!("{place}: the source is synthetic, but no generator is named"),
                        "say what generated the row, with its version",
                    );
                }
            }
        }
    }
    for (_, row) in subject.rows().filter(|(_, r)| !seen.contains(&r.id)) {
        notes.error(
            Some(&row.id),
            format!("{FILE} does not say where this row comes from"),
            "add its line",
        );
    }
    for source in manifest
        .sources
        .iter()
        .filter(|s| !used.contains(s.name.as_str()))
    {
        notes.warn(
            None,
            format!("no row comes from the source `{}`", source.name),
            "remove it from korfinsts.toml",
        );
    }
}
