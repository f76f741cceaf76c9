//! Comma and tab separated files with quotes and a header.

use std::io::BufReader;

use super::chunk::{BYTES, Rows, Sink, Wanted};
use super::locate::File;
use super::read::{failed, open};
use super::{Columns, Format, Row};
use crate::{MineError, Place};
use korfinsts_base::delimited::{self, Problem, RowError};

pub(super) fn stream(
    file: &File,
    columns: &Columns,
    wanted: Wanted<'_>,
    sink: Sink<'_>,
) -> Result<(), MineError> {
    let delimiter = match file.format {
        Format::Tsv => b'\t',
        _ => b',',
    };
    let input = BufReader::with_capacity(BYTES, open(file)?);
    let mut records = delimited::Rows::new(input, delimiter);
    let header = records.header().map_err(|e| wrong(file, e))?;
    let find = |name: &String| {
        header.position(name).ok_or_else(|| {
            let found: Vec<String> = header.iter().take(12).map(|n| format!("`{n}`")).collect();
            MineError::data(
                &file.path,
                Place::Line(1),
                format!("no column `{name}`, found {}", found.join(", ")),
                Some("name the column in `columns` of the corpus's TOML file"),
            )
        })
    };
    let text: Vec<usize> = columns.text.iter().map(find).collect::<Result<_, _>>()?;
    let licence = columns.licence.as_ref().map(find).transpose()?;
    let source = columns.source.as_ref().map(find).transpose()?;
    let mut rows = Rows::new(wanted, sink);
    for record in records {
        let record = record.map_err(|e| wrong(file, e))?;
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let parts: Vec<&str> = text
            .iter()
            .map(|at| cell(*at))
            .filter(|t| !t.trim().is_empty())
            .collect();
        let optional = |at: Option<usize>| {
            at.map(cell)
                .filter(|c| !c.trim().is_empty())
                .map(str::to_owned)
        };
        let more = rows.push(Row {
            number: record.line,
            text: parts.join("\n"),
            licence: optional(licence),
            source: optional(source),
        });
        if !more {
            return Ok(());
        }
    }
    rows.flush();
    Ok(())
}

fn wrong(file: &File, error: RowError) -> MineError {
    let (place, hint) = (Place::Line(error.line), error.problem.hint());
    match error.problem {
        Problem::Io(e) => failed(file, place, e),
        problem => MineError::data(&file.path, place, problem.to_string(), hint),
    }
}
