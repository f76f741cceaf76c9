//! An input file of pairs and a gold file of scores, side by side, as the early `SemEval` tasks
//! publish them.

use crate::suite::error::{Place, Problem};
use korfinsts_base::sniff;

use super::{Cells, Findings, Record, Table, decode};

/// Reads both files into records of the fields of the input line followed by the gold score.
/// A blank gold line drops its pair.
pub(crate) fn read(
    input: &[u8],
    gold: &[u8],
    gold_name: &str,
    findings: &mut Findings<'_>,
) -> Table {
    let mut table = Table::default();
    let (Some(input), Some(gold)) = (lines(input, findings), lines(gold, findings)) else {
        return table;
    };
    if input.len() != gold.len() {
        findings.add(
            Place::File,
            Problem::LineCounts {
                gold: gold_name.to_owned(),
                found: input.len(),
                expected: gold.len(),
            },
        );
        return table;
    }
    table.total = input.len();
    for (i, (line, score)) in input.iter().zip(&gold).enumerate() {
        if score.trim().is_empty() {
            table.dropped.push(i + 1);
            continue;
        }
        let mut fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        if fields.len() < 2 {
            findings.add(
                Place::Line(i + 1),
                Problem::FieldCount {
                    expected: vec![2],
                    found: fields.len(),
                    quoting: false,
                    delimiter: '\t',
                },
            );
            continue;
        }
        // Later input files carry attributions behind the two texts: the score replaces them.
        fields.truncate(2);
        fields.push(score.trim().to_owned());
        table.records.push(Record {
            place: Place::Line(i + 1),
            number: i + 1,
            cells: Cells::Fields(fields),
        });
    }
    table
}

fn lines(bytes: &[u8], findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let unpacked = match decode::unpack(bytes) {
        Ok(unpacked) => unpacked,
        Err(reason) => {
            findings.add(
                Place::File,
                Problem::Format {
                    format: "gzip",
                    reason,
                },
            );
            return None;
        }
    };
    if let Some(kind) = sniff::kind(&unpacked) {
        findings.add(Place::File, Problem::Foreign(kind));
        return None;
    }
    let text = decode::text(&unpacked, findings)?;
    // Only the last line end is no line: a blank last gold line still belongs to a pair.
    let text = text.strip_suffix('\n').unwrap_or(text);
    Some(
        text.split('\n')
            .map(|l| l.strip_suffix('\r').unwrap_or(l).to_owned())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn both(input: &str, gold: &str) -> (Table, Vec<String>) {
        let mut found = Vec::new();
        let table = read(
            input.as_bytes(),
            gold.as_bytes(),
            "gs.txt",
            &mut Findings::new(Path::new("input.txt"), &mut found),
        );
        (table, found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_blank_gold_line_drops_its_pair() {
        let (table, found) = both("a\tb\nc\td\turl\te\ne\tf\n", "1\n\n5.0\r\n");
        assert!(found.is_empty());
        assert_eq!((table.total, table.dropped), (3, vec![2]));
        assert_eq!(table.records[1].number, 3);
        assert_eq!(
            table.records[1].cells,
            Cells::Fields(vec!["e".into(), "f".into(), "5.0".into()])
        );
        let (table, _) = both("a\tb\nc\td\n", "1\n\n");
        assert_eq!(table.dropped, [2]);
    }

    #[test]
    fn files_that_are_not_side_by_side_are_refused() {
        for (input, gold, message) in [
            (
                "a\tb\nc\td\n",
                "1\n",
                "input.txt: 2 lines, but the gold file `gs.txt` has 1",
            ),
            ("a b\n", "1\n", "input.txt:1: expected 2 fields, found 1"),
        ] {
            assert_eq!(both(input, gold).1, [message]);
        }
    }
}
