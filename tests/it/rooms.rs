//! The house: imports between rooms flow down only.

use std::path::Path;

use super::support::repository;

/// Rooms by floor, the ground floor first.
const FLOORS: [&[&str]; 5] = [
    &[
        "metric", "fs", "table", "text", "http", "hub", "failure", "archive", "json", "sums",
        "template",
    ],
    &["suite", "encoder"],
    &["run", "coverage"],
    &["leaderboard", "submission", "release", "train", "mine"],
    &["cli"],
];

/// What a ground-floor room may import of its own floor.
const GROUND: [(&str, &[&str]); 11] = [
    ("metric", &[]),
    ("table", &[]),
    ("fs", &[]),
    ("text", &[]),
    ("failure", &[]),
    ("http", &[]),
    ("hub", &["fs", "http", "failure"]),
    ("archive", &["fs", "sums"]),
    ("json", &[]),
    ("sums", &["fs"]),
    ("template", &["fs"]),
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn allowed(from: &str, to: &str) -> bool {
    let (Some(a), Some(b)) = (floor(from), floor(to)) else {
        return false;
    };
    if from == to || b < a {
        return true;
    }
    a == 0
        && GROUND
            .iter()
            .any(|(room, may)| *room == from && may.contains(&to))
}

/// Every `crate::x` path of a source text outside comments.
fn imports(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code: String = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let names = group.split('}').next().unwrap_or_default();
            found.extend(names.split(',').map(|n| {
                n.trim()
                    .split("::")
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_owned()
            }));
        } else {
            found.push(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    found.retain(|n| !n.is_empty());
    found
}

fn violations(room: &str, source: &str) -> Vec<String> {
    imports(source)
        .into_iter()
        .filter(|to| !allowed(room, to))
        .map(|to| format!("`{room}` imports `{to}`"))
        .collect()
}

fn walk(folder: &Path, room: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        if path.is_dir() {
            walk(&path, room, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let source = std::fs::read_to_string(&path).expect("a source file is UTF-8");
            for violation in violations(room, &source) {
                found.push(format!("{}: {violation}", path.display()));
            }
        }
    }
}

#[test]
fn imports_flow_down_only() {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repository("src")).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if ["lib", "main", "error"].contains(&name.as_str()) {
            continue;
        }
        assert!(
            floor(&name).is_some(),
            "room `{name}` stands on no floor of this test"
        );
        if path.is_dir() {
            walk(&path, &name, &mut found);
        } else {
            let source = std::fs::read_to_string(&path).expect("a source file is UTF-8");
            found.extend(violations(&name, &source));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_import_that_goes_up_or_sideways_is_found() {
    for (room, source, count) in [
        ("suite", "use crate::encoder::Encoder;", 1),
        ("encoder", "use crate::{fs, run};", 1),
        ("metric", "let x = crate::fs::read(p);", 1),
        ("run", "use crate::{suite::Suite, encoder::Encoder};", 0),
        ("suite", "// crate::run is above", 0),
        ("hub", "use crate::fs::FsError;", 0),
    ] {
        assert_eq!(violations(room, source).len(), count, "{room}: {source}");
    }
}
