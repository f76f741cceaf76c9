//! Objects: a JSON array, or one object per line.

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::suite::error::{Place, Problem};
use korfinsts_base::json::Unique;

use super::{Cells, Findings, Record, Table};

/// Reads objects: the elements of an array, one a line, or written over several lines one after
/// another.
pub(super) fn read(text: &str, findings: &mut Findings<'_>) -> Table {
    let first = text.split('\n').find(|line| !line.trim().is_empty());
    let begins = |line: &str| serde_json::from_str::<IgnoredAny>(line).is_err_and(|e| e.is_eof());
    match first {
        Some(line) if line.trim_start().starts_with('[') => read_array(text, findings),
        Some(line) if begins(line) => read_documents(text, findings),
        _ => read_lines(text, findings),
    }
}

fn read_lines(text: &str, findings: &mut Findings<'_>) -> Table {
    let mut table = Table::default();
    for (i, line) in text.split('\n').enumerate() {
        if !line.trim().is_empty() {
            push(&mut table, i + 1, serde_json::from_str(line), findings);
        }
    }
    table
}

fn read_array(text: &str, findings: &mut Findings<'_>) -> Table {
    let mut table = Table::default();
    if let Err(e) = serde_json::from_str::<Vec<IgnoredAny>>(text) {
        refuse(e.line().max(1), &reason(&e), findings);
        return table;
    }
    let (mut line, mut seen) = (1, 0);
    for (offset, element) in elements(text) {
        line += text[seen..offset].matches('\n').count();
        seen = offset;
        push(&mut table, line, serde_json::from_str(element), findings);
    }
    table
}

/// Documents over several lines; what follows a damaged one cannot be told apart.
fn read_documents(text: &str, findings: &mut Findings<'_>) -> Table {
    let mut table = Table::default();
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Unique>();
    let (mut line, mut seen) = (1, 0);
    loop {
        let start = text.len() - text[documents.byte_offset()..].trim_start().len();
        line += text[seen..start].matches('\n').count();
        seen = start;
        match documents.next() {
            None => return table,
            Some(Err(e)) => {
                refuse(e.line().max(1), &reason(&e), findings);
                return table;
            }
            Some(document) => push(&mut table, line, document, findings),
        }
    }
}

fn push(
    table: &mut Table,
    line: usize,
    read: serde_json::Result<Unique>,
    findings: &mut Findings<'_>,
) {
    table.total += 1;
    match read {
        Ok(Unique(object @ Value::Object(_))) => table.records.push(Record {
            place: Place::Line(line),
            number: table.total,
            cells: Cells::Object(object),
        }),
        Ok(_) => refuse(line, "a record is not an object", findings),
        Err(e) => refuse(line, &reason(&e), findings),
    }
}

fn refuse(line: usize, reason: &str, findings: &mut Findings<'_>) {
    let hint = if reason.starts_with("the key") {
        "leave one of the two out: readers disagree on which counts"
    } else {
        "was the file cut short, or written by hand? Objects are read, in an array or one a line"
    };
    let problem = Problem::Unread {
        reason: format!("not valid JSON: {reason}"),
        hint: hint.to_owned(),
    };
    findings.add(Place::Line(line), problem);
}

/// What the only record of a file is where it is no row: a document around rows, or columns of
/// values. What to type, behind it.
pub(super) fn document(object: &Value) -> Option<(String, String)> {
    let entries = object.as_object()?;
    let rows = entries.iter().find_map(|(key, value)| {
        let items = value.as_array()?;
        let objects = items.first().is_some_and(Value::is_object);
        objects.then_some((key, items.len()))
    });
    if let Some((key, count)) = rows {
        return Some((
            format!("one JSON document whose key `{key}` holds {count} objects"),
            format!("write its rows alone: `jq -c '.[\"{key}\"][]' FILE > FILE.jsonl`"),
        ));
    }
    let columns = entries
        .values()
        .filter(|v| v.is_array() || v.is_object())
        .count();
    (columns > 1).then(|| {
        (
            format!("one JSON document of {columns} lists or objects"),
            "write rows instead of columns: `DataFrame.to_json(FILE, orient=\"records\", \
             lines=True, force_ascii=False)`"
                .to_owned(),
        )
    })
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

    fn found(text: &str) -> (Table, Vec<String>) {
        let mut found = Vec::new();
        let table = read(text, &mut Findings::new(Path::new("f"), &mut found));
        (table, found.iter().map(ToString::to_string).collect())
    }

    fn lines(text: &str) -> Vec<Place> {
        let (table, errors) = found(text);
        assert!(errors.is_empty(), "{errors:?}");
        table.records.iter().map(|r| r.place).collect()
    }

    #[test]
    fn objects_keep_their_lines_however_they_are_written() {
        for (text, places) in [
            (
                "[\n {\"a\": \"],{\\\"\"},\n\n {\"a\": [1, {}]}\n]",
                vec![2, 4],
            ),
            ("[]", vec![]),
            ("", vec![]),
            ("{\"a\": 1}\n\n{\"a\": 2}", vec![1, 3]),
            ("\n{\n \"a\": 1\n}\n\n{\n \"a\": 2\n}\n", vec![2, 6]),
            ("{\n \"a\": 1}{\"a\": 2}\n", vec![1, 2]),
        ] {
            let places: Vec<Place> = places.into_iter().map(Place::Line).collect();
            assert_eq!(lines(text), places, "{text}");
        }
    }

    #[test]
    fn broken_json_is_named_once_with_its_line() {
        for (text, message) in [
            ("[\n{\"a\": }\n]", "f:2: not valid JSON: expected value"),
            ("[1]", "f:1: not valid JSON: a record is not an object"),
            (
                "{\"a\": 1}\n{\"a\": NaN}\n",
                "f:2: not valid JSON: expected value",
            ),
            (
                "{\n \"a\": 1\n}\n{\n \"a\": 2,\n}\n{\n}\n",
                "f:6: not valid JSON: trailing comma",
            ),
            (
                "{\n \"data\": [\n  {\"a\": 1},\n",
                "f:4: not valid JSON: EOF while parsing a value",
            ),
            (
                "[\"a\", 1]\n[\"b\", 2]\n[\"c\", 3]\n",
                "f:2: not valid JSON: trailing characters",
            ),
            (
                "{\"a\": 1, \"b\": {\"c\": 1, \"\\u0063\": 2}}",
                "f:1: not valid JSON: the key `c` occurs twice, at positions 1 and 2",
            ),
        ] {
            assert_eq!(found(text).1, [message]);
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
