//! A part of a file that one worker takes at a time.

use super::Row;

/// Bytes of a chunk of lines.
pub(super) const BYTES: usize = 1 << 20;
/// Rows of a chunk of rows.
pub(super) const ROWS: usize = 1024;
/// A line, record or document beyond this is an error.
pub(super) const LONGEST: usize = 64 << 20;

/// A part of a file.
#[derive(Debug)]
pub enum Chunk {
    /// Whole lines, not yet looked at.
    Lines {
        /// Their bytes.
        bytes: Vec<u8>,
        /// Number of the first line.
        first: u64,
    },
    /// Rows that are read.
    Rows(Vec<Row>),
}

/// Whether a chunk of this number is asked for; a chunk that is not need not be read.
pub type Wanted<'a> = &'a dyn Fn(u64) -> bool;
/// Takes a chunk and its number; `false` where no more are wanted.
pub type Sink<'a> = &'a mut dyn FnMut(u64, Chunk) -> bool;

/// Collects rows to chunks.
pub(super) struct Rows<'a, 'b> {
    held: Vec<Row>,
    number: u64,
    wanted: Wanted<'a>,
    sink: Sink<'b>,
}

impl<'a, 'b> Rows<'a, 'b> {
    pub fn new(wanted: Wanted<'a>, sink: Sink<'b>) -> Self {
        Self {
            held: Vec::new(),
            number: 0,
            wanted,
            sink,
        }
    }

    /// Adds a row; `false` where no more are wanted.
    pub fn push(&mut self, row: Row) -> bool {
        self.held.push(row);
        self.held.len() < ROWS || self.flush()
    }

    /// Gives the rows held.
    pub fn flush(&mut self) -> bool {
        if self.held.is_empty() {
            return true;
        }
        let rows = std::mem::take(&mut self.held);
        let number = self.number;
        self.number += 1;
        !(self.wanted)(number) || (self.sink)(number, Chunk::Rows(rows))
    }
}
