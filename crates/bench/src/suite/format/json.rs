//! Objects: a JSON array, or one object per line.

use korfinsts_base::records::objects::{array, object};

use crate::suite::error::{Place, Problem};

use super::{Cells, Findings, Record, Table};

pub(super) fn read_lines(text: &str, findings: &mut Findings<'_>) -> Table {
    let mut table = Table::default();
    for (i, line) in text.split('\n').enumerate() {
        if !line.trim().is_empty() {
            push(&mut table, i + 1, line, findings);
        }
    }
    table
}

pub(super) fn read_array(text: &str, findings: &mut Findings<'_>) -> Table {
    let mut table = Table::default();
    match array(text) {
        Ok(elements) => elements.for_each(|(line, e)| push(&mut table, line, e, findings)),
        Err((line, reason)) => refuse(line, reason, findings),
    }
    table
}

fn push(table: &mut Table, line: usize, text: &str, findings: &mut Findings<'_>) {
    table.total += 1;
    match object(text) {
        Ok(object) => table.records.push(Record {
            place: Place::Line(line),
            number: table.total,
            cells: Cells::Object(object),
        }),
        Err(reason) => refuse(line, reason, findings),
    }
}

fn refuse(line: usize, reason: String, findings: &mut Findings<'_>) {
    let format = "JSON";
    findings.add(Place::Line(line), Problem::Format { format, reason });
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
}
