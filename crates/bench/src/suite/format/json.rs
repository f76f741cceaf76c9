//! Objects: a JSON array, or one object per line.

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::suite::error::{Place, Problem};
use korfinsts_base::json::Unique;
use korfinsts_base::records::objects::{array, reason};

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
    match array(text) {
        Ok(elements) => elements.for_each(|(line, element)| {
            push(&mut table, line, serde_json::from_str(element), findings);
        }),
        Err((line, reason)) => refuse(line, &reason, findings),
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
}
