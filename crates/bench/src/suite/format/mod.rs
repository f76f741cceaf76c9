//! Formats: bytes become records of named or numbered cells, each with its place.
//!
//! To add a format: a variant of [`super::manifest::Format`], one file here, and one line in
//! [`read`].

mod decode;
mod delimited;
mod json;
mod parallel;
mod parquet;

use std::path::Path;

use korfinsts_base::records::objects;
use serde_json::Value;

use super::error::{Finding, Level, Place, Problem};
use super::manifest::{Column, Format};
use korfinsts_base::sniff::{self, Kind};

pub use decode::Encoding;
pub(super) use decode::unpack;
use decode::{MOST_FIELDS, MOST_ROWS};
pub(super) use parallel::read as read_parallel;

/// The cells of one record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cells {
    /// Fields in order.
    Fields(Vec<String>),
    /// An object, which may be nested.
    Object(Value),
}

/// One record of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// Its place.
    pub place: Place,
    /// Its number among the records of the file, from 1; dropped records count.
    pub number: usize,
    /// Its cells.
    pub cells: Cells,
}

/// The records of one file.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Names of the columns, where the format has a header.
    pub header: Option<Vec<String>>,
    /// Records in order.
    pub records: Vec<Record>,
    /// Records in the file, dropped ones included.
    pub total: usize,
    /// Records that were dropped, by their number.
    pub dropped: Vec<usize>,
}

/// What is wrong with a file, collected rather than stopped at.
pub(super) struct Findings<'a> {
    path: &'a Path,
    pub found: &'a mut Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub fn new(path: &'a Path, found: &'a mut Vec<Finding>) -> Self {
        Self { path, found }
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        let error = |f: &&Finding| f.problem.level() == Level::Error;
        self.found.iter().filter(error).count()
    }

    pub fn add(&mut self, place: Place, problem: Problem) {
        self.found.push(Finding {
            path: self.path.to_owned(),
            place,
            problem,
        });
    }
}

/// Reads the bytes of one file, except those of [`Format::Parallel`], which is two files.
pub(super) fn read(bytes: &[u8], format: &Format, findings: &mut Findings<'_>) -> Table {
    let unpacked = match unpack(bytes) {
        Ok(unpacked) => unpacked,
        Err(reason) => {
            findings.add(
                Place::File,
                Problem::Format {
                    format: if bytes.starts_with(&[0x1F, 0x8B]) {
                        "gzip"
                    } else {
                        "file"
                    },
                    reason,
                },
            );
            return Table::default();
        }
    };
    let bytes = &unpacked;
    let detected;
    let format = if *format == Format::Auto {
        detected = detect(bytes);
        &detected
    } else {
        format
    };
    match sniff::kind(bytes) {
        // Text in another encoding is named with its place.
        None | Some(Kind::Utf16LittleEndian | Kind::Utf16BigEndian) => {}
        Some(Kind::Parquet) if *format == Format::Parquet => {}
        Some(kind) => {
            findings.add(Place::File, Problem::Foreign(kind));
            return Table::default();
        }
    }
    if *format == Format::Parquet {
        return parquet::read(bytes, findings);
    }
    let Some(text) = decode::text(bytes, findings) else {
        return Table::default();
    };
    let parts = match format {
        Format::Delimited { delimiter, .. } => [
            ('\n', MOST_ROWS, "lines"),
            (*delimiter, MOST_FIELDS, "fields"),
        ],
        _ => [('}', MOST_ROWS, "objects"), (',', MOST_FIELDS, "values")],
    };
    let many = |(ends, most, _): &(char, usize, _)| text.matches(*ends).count() > *most;
    if let Some((_, most, parts)) = parts.into_iter().find(many) {
        let reason = format!("it has more than {most} {parts}, the most that is read of one file");
        let format = "suite";
        findings.add(Place::File, Problem::Format { format, reason });
        return Table::default();
    }
    match format {
        Format::Delimited { .. } => delimited::read(text, format, findings),
        Format::Json | Format::Jsonl => json::read(text, findings),
        Format::Parquet | Format::Parallel | Format::Auto => Table::default(),
    }
}

/// The format that the bytes look like.
fn detect(bytes: &[u8]) -> Format {
    if bytes.starts_with(b"PAR1") {
        return Format::Parquet;
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'[' | b'{') => Format::Json,
        _ => {
            let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
            Format::Delimited {
                delimiter: if first.contains(&b'\t') { '\t' } else { ',' },
                quoting: true,
                header: true,
                fields: Vec::new(),
                drop_other_rows: false,
            }
        }
    }
}

/// A column that was found in a table, or how it is looked for in each record.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    /// As the manifest writes it.
    pub name: String,
    index: Option<usize>,
}

impl Table {
    /// Finds a column, once for all records.
    ///
    /// # Errors
    /// When a table with a header or with fields does not have it.
    pub fn column(&self, column: &Column) -> Result<Lookup, Problem> {
        let width = match self.records.first().map(|r| &r.cells) {
            Some(Cells::Fields(fields)) => Some(fields.len()),
            _ => None,
        };
        let index = match (column, &self.header) {
            (Column::Name(name), Some(header)) => header.iter().position(|h| h == name),
            (Column::Index(i), header) => {
                let width = width.or(header.as_ref().map(Vec::len));
                Some(*i).filter(|i| width.is_none_or(|w| *i < w))
            }
            (Column::Name(_), None) => None,
        };
        let fields = self.header.is_some() || width.is_some();
        if fields && index.is_none() {
            return Err(Problem::MissingColumn {
                column: column.to_string(),
                available: match &self.header {
                    Some(header) => header.clone(),
                    None => (0..width.unwrap_or(0)).map(|i| i.to_string()).collect(),
                },
            });
        }
        Ok(Lookup {
            name: column.to_string(),
            index,
        })
    }
}

/// The content of a cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    Number(f64),
    /// Something that is neither, in words.
    Other(String),
}

impl Record {
    /// The cell of a column.
    ///
    /// # Errors
    /// When an object does not have the key.
    pub fn cell(&self, column: &Lookup) -> Result<Cell<'_>, Problem> {
        match &self.cells {
            Cells::Fields(fields) => {
                let field = column.index.and_then(|i| fields.get(i));
                Ok(Cell::Text(field.map_or("", String::as_str)))
            }
            Cells::Object(object) => {
                let value = objects::at_path(object, &column.name).ok_or_else(|| {
                    Problem::MissingColumn {
                        column: column.name.clone(),
                        available: objects::paths(object),
                    }
                })?;
                Ok(match value {
                    Value::String(s) => Cell::Text(s),
                    Value::Number(n) => Cell::Number(n.as_f64().unwrap_or(f64::NAN)),
                    Value::Null => Cell::Other("null".to_owned()),
                    Value::Bool(b) => Cell::Other(b.to_string()),
                    Value::Array(_) => Cell::Other("an array".to_owned()),
                    Value::Object(_) => Cell::Other("an object".to_owned()),
                })
            }
        }
    }

    /// What the record is where it is a document and no row, and what to type.
    pub fn document(&self) -> Option<(String, String)> {
        match &self.cells {
            Cells::Object(object) => json::document(object),
            Cells::Fields(_) => None,
        }
    }

    /// The text of a cell; numbers as they are written.
    ///
    /// # Errors
    /// When the cell is missing, or neither text nor number.
    pub fn text(&self, column: &Lookup) -> Result<String, Problem> {
        match self.cell(column)? {
            Cell::Text(text) => Ok(text.to_owned()),
            Cell::Number(number) => Ok(number.to_string()),
            Cell::Other(found) => Err(Problem::WrongType {
                column: column.name.clone(),
                found,
                wanted: "a text",
            }),
        }
    }
}
