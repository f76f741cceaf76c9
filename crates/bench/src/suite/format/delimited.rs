//! Lines of fields, with quoting (CSV, TSV) or without.
//!
//! The difference changes data: KorSTS read with quoting loses three of its test pairs, because
//! three texts begin with a quote that nothing closes.

use crate::suite::error::{Place, Problem};
use crate::suite::manifest::Format;
use korfinsts_base::delimited::{self, Rows};
use korfinsts_base::names::twice;

use super::{Cells, Findings, Record, Table};

pub(super) fn read(text: &str, format: &Format, findings: &mut Findings<'_>) -> Table {
    let Format::Delimited {
        delimiter,
        quoting,
        header,
        fields,
        drop_other_rows,
    } = format
    else {
        return Table::default();
    };
    let mut rows = if *quoting {
        quoted(text, *delimiter, *drop_other_rows, findings)
    } else {
        unquoted(text, *delimiter)
    };
    let mut table = Table::default();
    if *header && !rows.is_empty() {
        let (line, header) = rows.remove(0);
        if let Some(twice) = twice(header.iter().map(|name| name.trim())) {
            let problem = delimited::Problem::Twice(twice);
            findings.add(Place::Line(line), unread(&problem));
            return Table::default();
        }
        table.header = Some(header);
    }
    let width = table.header.as_ref().map(Vec::len);
    let expected = match (
        fields.is_empty(),
        width.or_else(|| rows.first().map(|r| r.1.len())),
    ) {
        (true, Some(width)) => vec![width],
        _ => fields.clone(),
    };
    table.total = rows.len();
    for (i, (line, row)) in rows.into_iter().enumerate() {
        if expected.contains(&row.len()) {
            table.records.push(Record {
                place: Place::Line(line),
                number: i + 1,
                cells: Cells::Fields(row),
            });
        } else if *drop_other_rows {
            table.dropped.push(i + 1);
        } else {
            findings.add(
                Place::Line(line),
                Problem::FieldCount {
                    expected: expected.clone(),
                    found: row.len(),
                    quoting: *quoting,
                    delimiter: *delimiter,
                },
            );
        }
    }
    table
}

/// Each line is a row; `\n` or `\r\n` ends a line, and the last may lack it. Blank lines at the
/// end are no rows.
fn unquoted(text: &str, delimiter: char) -> Vec<(usize, Vec<String>)> {
    text.trim_end_matches(['\r', '\n'])
        .split('\n')
        .enumerate()
        .filter(|_| !text.is_empty())
        .map(|(i, line)| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            (i + 1, line.split(delimiter).map(str::to_owned).collect())
        })
        .collect()
}

/// `lenient` is for suites that are read wrongly on purpose, as another tool reads them.
fn quoted(
    text: &str,
    delimiter: char,
    lenient: bool,
    findings: &mut Findings<'_>,
) -> Vec<(usize, Vec<String>)> {
    let Ok(delimiter) = u8::try_from(delimiter) else {
        findings.add(
            Place::File,
            Problem::Format {
                format: "CSV",
                reason: format!("the separator {delimiter:?} is not one byte"),
            },
        );
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut rows = Rows::of_any_width(text.as_bytes(), delimiter);
    if lenient {
        rows = rows.lenient();
    }
    for row in rows {
        match row {
            Ok(row) => found.push((row.line as usize, row.iter().map(str::to_owned).collect())),
            Err(e) => {
                findings.add(Place::Line(e.line as usize), unread(&e.problem));
                break;
            }
        }
    }
    found
}

fn unread(problem: &delimited::Problem) -> Problem {
    let hint = problem.hint().unwrap_or_default();
    Problem::Unread {
        reason: problem.to_string(),
        hint: match problem {
            delimited::Problem::Twice(_) => hint.to_owned(),
            _ => {
                format!("{hint}; where quotes are characters, set `quoting = false` in suite.toml")
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn rows(text: &str, quoting: bool, drop_other_rows: bool) -> (Table, Vec<String>) {
        let format = Format::Delimited {
            delimiter: '\t',
            quoting,
            header: true,
            fields: Vec::new(),
            drop_other_rows,
        };
        let mut found = Vec::new();
        let table = read(
            text,
            &format,
            &mut Findings::new(Path::new("f.tsv"), &mut found),
        );
        (table, found.iter().map(ToString::to_string).collect())
    }

    fn cells(table: &Table) -> Vec<Vec<&str>> {
        let fields = |r: &Record| match &r.cells {
            Cells::Fields(f) => f.clone(),
            Cells::Object(_) => Vec::new(),
        };
        let all: Vec<Vec<String>> = table.records.iter().map(fields).collect();
        all.into_iter()
            .map(|r| r.into_iter().map(|f| &*f.leak()).collect())
            .collect()
    }

    #[test]
    fn without_quoting_a_quote_is_a_character() {
        let (table, found) = rows("a\tb\n\"x\ty\n1\t\"2\"", false, false);
        assert_eq!(cells(&table), [["\"x", "y"], ["1", "\"2\""]]);
        assert_eq!(table.records[1].place, Place::Line(3));
        assert!(found.is_empty());
    }

    #[test]
    fn with_quoting_newlines_stay_in_the_field_and_lines_are_those_of_the_file() {
        let (table, found) = rows("a\tb\r\n\"x\ny\"\tz\r\n1\t2\r\n", true, false);
        assert_eq!(cells(&table), [["x\ny", "z"], ["1", "2"]]);
        assert_eq!(table.records[0].place, Place::Line(2));
        assert_eq!(table.records[1].place, Place::Line(4));
        assert!(found.is_empty());
    }

    #[test]
    fn a_row_of_another_width_is_refused_or_dropped() {
        let text = "a\tb\n1\t2\n3\n4\t5\n";
        let (table, found) = rows(text, false, false);
        assert_eq!(table.records.len(), 2);
        assert_eq!(found, ["f.tsv:3: expected 2 fields, found 1"]);
        let (table, found) = rows(text, false, true);
        assert_eq!((table.total, table.dropped), (3, vec![2]));
        assert_eq!(table.records[1].number, 3);
        assert!(found.is_empty());
    }

    #[test]
    fn line_ends_differ_and_only_line_feeds_split() {
        let (table, _) = rows("a\tb\r\n1\u{2028}\t2\u{85}\r\n3\t4\n\n", false, false);
        assert_eq!(cells(&table), [["1\u{2028}", "2\u{85}"], ["3", "4"]]);
        assert!(rows("", false, false).0.records.is_empty());
    }
}
