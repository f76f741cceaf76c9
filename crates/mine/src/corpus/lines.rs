//! Files of lines, and files that are one text.

use std::io::Read;

use super::Row;
use super::chunk::{BYTES, Chunk, LONGEST, Sink, Wanted};
use super::locate::File;
use super::read::{failed, open};
use crate::{MineError, Place};
use korfinsts_base::text;

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
    let lines = text::numbered_lines(bytes, first).map_err(|line| not_utf8(file, line))?;
    for (number, line) in lines {
        visit(number, line)?;
    }
    Ok(())
}

fn not_utf8(file: &File, line: u64) -> MineError {
    MineError::data(
        &file.path,
        Place::Line(line),
        "the line is not UTF-8",
        Some(text::CONVERT),
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
    let text = text::utf8(&bytes).map_err(|line| not_utf8(file, line))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let row = Row {
        number: 1,
        text: text.replace("\r\n", "\n"),
        licence: None,
        source: None,
    };
    sink(0, Chunk::Rows(vec![row]));
    Ok(())
}
