//! Files of lines, and files that are one text.

use std::io::Read;

use super::Row;
use super::chunk::{BYTES, Chunk, LONGEST, Sink, Wanted};
use super::locate::File;
use super::read::{failed, open};
use crate::{MineError, Place};

const ICONV: &str = "convert the file first, for instance `iconv -f cp949 -t utf-8`";

pub(super) fn stream(file: &File, wanted: Wanted<'_>, sink: Sink<'_>) -> Result<(), MineError> {
    let mut reader = open(file)?;
    let mut carry = Vec::new();
    let (mut first, mut number) = (1, 0);
    loop {
        let mut bytes = std::mem::take(&mut carry);
        let ended =
            fill(&mut reader, &mut bytes).map_err(|e| failed(file, Place::Line(first), e))?;
        if !ended {
            match bytes.iter().rposition(|b| *b == b'\n') {
                Some(at) => carry = bytes.split_off(at + 1),
                None if bytes.len() > LONGEST => {
                    return Err(MineError::data(
                        &file.path,
                        Place::Line(first),
                        format!("the line is longer than {LONGEST} bytes"),
                        Some("is this a file of lines?"),
                    ));
                }
                None => {
                    carry = bytes;
                    continue;
                }
            }
        }
        let lines = bytes.iter().filter(|b| **b == b'\n').count() as u64;
        if !bytes.is_empty() {
            if wanted(number) && !sink(number, Chunk::Lines { bytes, first }) {
                return Ok(());
            }
            number += 1;
        }
        first += lines;
        if ended {
            return Ok(());
        }
    }
}

/// Adds [`BYTES`] to a buffer, fewer only at the end: where chunks end does not depend on how the
/// system hands out bytes. Whether the end was met.
fn fill(reader: &mut dyn Read, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    let wanted = bytes.len() + BYTES;
    reader.take(BYTES as u64).read_to_end(bytes)?;
    Ok(bytes.len() < wanted)
}

/// Calls `visit` with the number and text of every line that is not blank.
pub(super) fn each(
    file: &File,
    bytes: &[u8],
    first: u64,
    visit: &mut dyn FnMut(u64, &str) -> Result<(), MineError>,
) -> Result<(), MineError> {
    let text =
        std::str::from_utf8(bytes).map_err(|e| not_utf8(file, first, &bytes[..e.valid_up_to()]))?;
    let text = if first == 1 {
        text.strip_prefix('\u{feff}').unwrap_or(text)
    } else {
        text
    };
    for (number, line) in (first..).zip(text.split('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if !line.trim().is_empty() {
            visit(number, line)?;
        }
    }
    Ok(())
}

/// A line that is not UTF-8, behind the `valid` bytes from line `first` on.
fn not_utf8(file: &File, first: u64, valid: &[u8]) -> MineError {
    let line = first + valid.iter().filter(|b| **b == b'\n').count() as u64;
    MineError::data(
        &file.path,
        Place::Line(line),
        "the line is not UTF-8",
        Some(ICONV),
    )
}

/// A file that is one text.
pub(super) fn document(file: &File, wanted: Wanted<'_>, sink: Sink<'_>) -> Result<(), MineError> {
    if !wanted(0) {
        return Ok(());
    }
    let mut bytes = Vec::new();
    open(file)?
        .take(LONGEST as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| failed(file, Place::Whole, e))?;
    if bytes.len() > LONGEST {
        return Err(MineError::data(
            &file.path,
            Place::Whole,
            format!("the file is longer than {LONGEST} bytes"),
            Some("if each of its lines is a text, set `format = \"lines\"`"),
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| not_utf8(file, 1, &e.as_bytes()[..e.utf8_error().valid_up_to()]))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let row = Row {
        number: 1,
        text: text.replace("\r\n", "\n"),
        licence: None,
        source: None,
    };
    sink(0, Chunk::Rows(vec![row]));
    Ok(())
}
