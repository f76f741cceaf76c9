//! Files of a corpus, streamed in chunks: bounded memory whatever their size.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::chunk::{Chunk, Sink, Wanted};
use super::locate::File;
use super::{Columns, Format, Row, columns, delimited, json, lines};
use crate::fs;
use crate::mine::{MineError, Place};

pub use super::chunk::Chunk as Part;

/// Calls `sink` with the chunks of a file that are wanted, in order. Chunks are numbered from 0,
/// the same way in every run.
///
/// # Errors
/// When the file cannot be read or is not of its format.
pub fn stream(
    file: &File,
    columns: &Columns,
    wanted: Wanted<'_>,
    sink: Sink<'_>,
) -> Result<(), MineError> {
    match file.format {
        Format::Jsonl | Format::Lines => lines::stream(file, wanted, sink),
        Format::Csv => delimited::stream(file, b',', columns, wanted, sink),
        Format::Tsv => delimited::stream(file, b'\t', columns, wanted, sink),
        Format::Parquet => self::columns::stream(file, columns, wanted, sink),
        Format::Document => lines::document(file, wanted, sink),
    }
}

/// Calls `visit` with the rows of a chunk in order.
///
/// # Errors
/// When a line is not UTF-8 or not of its format, and what `visit` returns.
pub fn rows(
    file: &File,
    columns: &Columns,
    chunk: Chunk,
    visit: &mut dyn FnMut(Row) -> Result<(), MineError>,
) -> Result<(), MineError> {
    match chunk {
        Chunk::Rows(rows) => rows.into_iter().try_for_each(visit),
        Chunk::Lines { bytes, first } => lines::each(file, &bytes, first, &mut |number, line| {
            visit(match file.format {
                Format::Jsonl => json::row(file, columns, number, line)?,
                _ => Row {
                    number,
                    text: line.to_owned(),
                    licence: None,
                    source: None,
                },
            })
        }),
    }
}

/// Opens a file, unpacking it where it is gzip.
pub(super) fn open(file: &File) -> Result<Box<dyn Read + Send>, MineError> {
    let mut opened = fs::open(&file.path)?;
    let mut start = [0; 2];
    let mut held = 0;
    while held < 2 {
        match opened.read(&mut start[held..]) {
            Ok(0) => break,
            Ok(n) => held += n,
            Err(e) => return Err(fs::at("read", &file.path)(e).into()),
        }
    }
    let whole = std::io::Cursor::new(start[..held].to_vec()).chain(opened);
    Ok(if start == [0x1F, 0x8B] {
        Box::new(MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    })
}

/// The error of a read that failed at a place.
pub(super) fn failed(file: &File, place: Place, error: std::io::Error) -> MineError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        UnexpectedEof => MineError::data(
            &file.path,
            place,
            "the compressed file ends early",
            Some("it was cut off: copy or download it again"),
        ),
        InvalidData | InvalidInput => {
            MineError::data(&file.path, place, format!("cannot be read: {error}"), None)
        }
        _ => fs::at("read", &file.path)(error).into(),
    }
}
