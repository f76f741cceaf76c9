//! Comma and tab separated files with quotes and a header.

use std::io::{BufRead as _, BufReader, Read};

use super::chunk::{BYTES, Rows, Sink, Wanted};
use super::locate::File;
use super::read::{failed, open};
use super::{Columns, Row};
use crate::{MineError, Place};
use korfinsts_bench::coverage::{Limited, csv_hint};

type Reader = csv::Reader<BufReader<Limited<Box<dyn Read + Send>>>>;

pub(super) fn stream(
    file: &File,
    delimiter: u8,
    columns: &Columns,
    wanted: Wanted<'_>,
    sink: Sink<'_>,
) -> Result<(), MineError> {
    let mut buffered = BufReader::with_capacity(BYTES, Limited::new(open(file)?));
    let start = buffered
        .fill_buf()
        .map_err(|e| failed(file, Place::Line(1), e))?;
    if start.starts_with(b"\xef\xbb\xbf") {
        buffered.consume(3);
    }
    let mut reader: Reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(buffered);
    let header = reader.headers().map_err(|e| wrong(file, e))?.clone();
    let find = |name: &String| {
        header.iter().position(|h| h.trim() == name).ok_or_else(|| {
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
    let mut record = csv::StringRecord::new();
    while reader
        .read_record(&mut record)
        .map_err(|e| wrong(file, e))?
    {
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
            number: record.position().map_or(0, csv::Position::line),
            text: parts.join("\n"),
            licence: optional(licence),
            source: optional(source),
        });
        if !more {
            return Ok(());
        }
        reader.get_mut().get_mut().record_read();
    }
    rows.flush();
    Ok(())
}

fn wrong(file: &File, error: csv::Error) -> MineError {
    let place = error
        .position()
        .map_or(Place::Whole, |p| Place::Line(p.line()));
    let hint = csv_hint(&error);
    let reason = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(e) => failed(file, place, e),
        _ => MineError::data(&file.path, place, reason, hint),
    }
}
