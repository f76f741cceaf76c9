//! Objects: a JSON array, or one object per line.

use serde_json::Value;

use crate::suite::error::{Place, Problem};

use super::{Cells, Findings, Record, Table};

pub(super) fn read_lines(text: &str, findings: &mut Findings<'_>) -> Table {
    let mut table = Table::default();
    for (i, line) in text.split('\n').enumerate() {
        if !line.trim().is_empty() {
            push(&mut table, Place::Line(i + 1), line, "JSON", findings);
        }
    }
    table
}

pub(super) fn read_array(text: &str, findings: &mut Findings<'_>) -> Table {
    let mut table = Table::default();
    if let Err(e) = serde_json::from_str::<Vec<serde::de::IgnoredAny>>(text) {
        findings.add(
            Place::Line(e.line().max(1)),
            Problem::Format {
                format: "JSON",
                reason: reason(&e),
            },
        );
        return table;
    }
    let (mut line, mut seen) = (1, 0);
    for (offset, element) in elements(text) {
        line += text[seen..offset].bytes().filter(|b| *b == b'\n').count();
        seen = offset;
        push(&mut table, Place::Line(line), element, "JSON", findings);
    }
    table
}

fn push(
    table: &mut Table,
    place: Place,
    text: &str,
    format: &'static str,
    findings: &mut Findings<'_>,
) {
    table.total += 1;
    match serde_json::from_str::<Value>(text) {
        Ok(object @ Value::Object(_)) => table.records.push(Record {
            place,
            number: table.total,
            cells: Cells::Object(object),
        }),
        Ok(_) => findings.add(
            place,
            Problem::Format {
                format,
                reason: "a record is not an object".into(),
            },
        ),
        Err(e) => findings.add(
            place,
            Problem::Format {
                format,
                reason: reason(&e),
            },
        ),
    }
}

/// What the reader says, without the position, which is that of the record.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.find(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// The elements of a valid array, with their offsets.
fn elements(text: &str) -> Vec<(usize, &str)> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut start = None;
    let mut found = Vec::new();
    for (i, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        let ends = depth == 1 && matches!(byte, b',' | b']');
        if ends {
            found.extend(start.take().map(|s| (s, text[s..i].trim_end())));
        } else if depth == 1 && !byte.is_ascii_whitespace() && start.is_none() {
            start = Some(i);
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}

/// The value at a key, or at a dotted path of keys; a key that holds dots wins over a path.
pub(super) fn at_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    path.match_indices('.')
        .find_map(|(at, _)| at_path(object.get(&path[..at])?, &path[at + 1..]))
}

/// All keys of an object, nested ones as dotted paths.
pub(super) fn paths(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(object, "", &mut found);
    found
}

fn collect(value: &Value, prefix: &str, found: &mut Vec<String>) {
    let Value::Object(entries) = value else {
        found.push(prefix.trim_end_matches('.').to_owned());
        return;
    };
    for (key, value) in entries {
        collect(value, &format!("{prefix}{key}."), found);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str, lines: bool) -> (Table, Vec<String>) {
        let mut found = Vec::new();
        let mut findings = Findings::new(Path::new("f"), &mut found);
        let table = if lines {
            read_lines(text, &mut findings)
        } else {
            read_array(text, &mut findings)
        };
        (table, found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_array_keeps_the_line_of_each_element() {
        let (table, found) = read("[\n {\"a\": \"],{\\\"\"},\n\n {\"a\": [1, {}]}\n]", false);
        assert!(found.is_empty());
        let places: Vec<Place> = table.records.iter().map(|r| r.place).collect();
        assert_eq!(places, [Place::Line(2), Place::Line(4)]);
        assert_eq!(read("[]", false).0.total, 0);
    }

    #[test]
    fn broken_json_is_named_with_its_line() {
        for (text, lines, message) in [
            (
                "[\n{\"a\": }\n]",
                false,
                "f:2: not valid JSON: expected value",
            ),
            (
                "{\"a\": 1}",
                false,
                "f:1: not valid JSON: invalid type: map, expected a sequence",
            ),
            (
                "[1]",
                false,
                "f:1: not valid JSON: a record is not an object",
            ),
            (
                "{\"a\": 1}\n{\"a\": NaN}\n",
                true,
                "f:2: not valid JSON: expected value",
            ),
        ] {
            assert_eq!(read(text, lines).1, [message]);
        }
    }

    #[test]
    fn nested_values_are_found_by_path() {
        let object: Value =
            serde_json::from_str(r#"{"labels": {"real-label": 1.5, "x.y": 2}, "a.b": 3}"#)
                .expect("JSON");
        for (path, value) in [
            ("labels.real-label", 1.5),
            ("labels.x.y", 2.0),
            ("a.b", 3.0),
        ] {
            assert_eq!(
                at_path(&object, path).and_then(Value::as_f64),
                Some(value),
                "{path}"
            );
        }
        assert_eq!(at_path(&object, "labels.label"), None);
        assert_eq!(paths(&object), ["labels.real-label", "labels.x.y", "a.b"]);
    }
}
