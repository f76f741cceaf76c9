//! The rows of a file whatever its encoding, format, separator and quotes are.

use std::path::Path;

use super::super::error::{Place, Problem};
use super::super::format::{Cells, Findings, Record, Table, read as read_format, unpack};
use super::super::manifest::Format;
use super::{columns, refuse, refused};
use crate::suite::SuiteError;
use korfinsts_base::encoding;
use korfinsts_base::sniff::{self, Kind};

/// Separators of fields, in the order in which equals are decided.
const SEPARATORS: [char; 4] = [',', '\t', ';', '|'];

/// The rows of a file, and how they were read.
pub(super) struct Read {
    pub table: Table,
    /// As ``CSV with `;`, CP949``.
    pub form: String,
}

/// Reads a file.
///
/// # Errors
/// When it is of another kind or encoding, or damaged.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Read, SuiteError> {
    let mut findings = Vec::new();
    let mut found = Findings::new(path, &mut findings);
    let bytes = match unpack(bytes) {
        Ok(bytes) => bytes,
        Err(reason) => {
            let format = "gzip";
            let problem = Problem::Format { format, reason };
            return Err(refused(path, vec![(Place::File, problem)]));
        }
    };
    let decoded = match sniff::kind(&bytes) {
        None | Some(Kind::Utf16LittleEndian | Kind::Utf16BigEndian) => encoding::decode(&bytes),
        Some(_) => None,
    };
    let Some((text, encoding)) = decoded else {
        // Parquet, or what is none of the known formats or encodings, which is then said.
        let table = read_format(&bytes, &Format::Auto, &mut found);
        refuse(findings)?;
        let form = "Parquet".to_owned();
        return Ok(Read { table, form });
    };
    let name = path.extension().map(|e| e.to_ascii_lowercase());
    let delimited = name.is_some_and(|e| e == "csv" || e == "tsv");
    let (table, form) = if text.trim_start().starts_with(['{', '[']) && !delimited {
        let table = read_format(text.as_bytes(), &Format::Json, &mut found);
        (table, "JSON".to_owned())
    } else {
        fields(&text, path, &mut found)
    };
    if let [only] = &table.records[..]
        && let Some((what, hint)) = only.document()
    {
        found.add(Place::File, Problem::Document { what, hint });
    }
    refuse(findings)?;
    let form = if encoding == "UTF-8" {
        form
    } else {
        format!("{form}, {encoding}")
    };
    Ok(Read { table, form })
}

/// Lines of fields. Where quotes do not enclose fields as they should, those of a file with tabs are
/// characters.
fn fields(text: &str, path: &Path, found: &mut Findings<'_>) -> (Table, String) {
    let delimiter = separator(
        text.lines()
            .find(|l| !l.trim().is_empty())
            .unwrap_or_default(),
    );
    let read = |quoting: bool| {
        let mut own = Vec::new();
        let format = Format::Delimited {
            delimiter,
            quoting,
            header: true,
            fields: Vec::new(),
            drop_other_rows: false,
        };
        let table = read_format(text.as_bytes(), &format, &mut Findings::new(path, &mut own));
        (table, own)
    };
    let (mut table, mut own) = read(true);
    let mut form = match delimiter {
        '\t' => "TSV".to_owned(),
        ',' => "CSV".to_owned(),
        other => format!("CSV with `{other}`"),
    };
    if !own.is_empty() && delimiter == '\t' {
        let (other, problems) = read(false);
        if problems.is_empty() {
            (table, own) = (other, problems);
            form.push_str(", quotes as text");
        }
    }
    found.found.append(&mut own);
    let names = table.header.clone().unwrap_or_default();
    if !columns::known(&names) && names.iter().any(|n| super::number(n).is_some()) {
        header_is_row(&mut table);
        form.push_str(", no header");
    }
    (table, form)
}

/// The first row holds a number: it is no header. Columns are then called by their position, from 1.
fn header_is_row(table: &mut Table) {
    let Some(first) = table.header.take() else {
        return;
    };
    table.header = Some((1..=first.len()).map(|n| n.to_string()).collect());
    for record in &mut table.records {
        record.number += 1;
    }
    let record = Record {
        place: Place::Line(1),
        number: 1,
        cells: Cells::Fields(first),
    };
    table.records.insert(0, record);
    table.total += 1;
}

/// The separator that a line holds most often, outside quotes.
fn separator(line: &str) -> char {
    let bare: String = line.split('"').step_by(2).collect();
    let count = |c: &char| bare.matches(*c).count();
    let most = SEPARATORS.iter().map(count).max().unwrap_or(0);
    let first = SEPARATORS.iter().find(|c| count(c) == most);
    *first.unwrap_or(&',')
}
