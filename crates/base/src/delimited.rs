//! Rows of fields between delimiters, with quotes: CSV and TSV, as RFC 4180 describes them.
//!
//! A misplaced quote changes texts or swallows rows, so each is an error with line and column: one that
//! is not closed, one within a field that does not begin with one, text behind a closing one, and
//! two around whole rows. A row ends with `\n`, `\r\n` or `\r`; blank lines between rows are no
//! rows.

use std::io::{self, BufRead, Read as _};

use crate::names::{Twice, twice};
use crate::text;

/// Most bytes of a row.
pub const LONGEST_ROW: usize = 64 << 20;

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is longer than [`LONGEST_ROW`].
    #[error("a record is longer than {LONGEST_ROW} bytes: is a quote left open?")]
    TooLong,
    /// A field is not UTF-8.
    #[error("field {0} is not UTF-8")]
    NotUtf8(usize),
    /// The file ends within a quoted field, which begins at this column.
    #[error("a quote is opened here and never closed (column {0})")]
    Unclosed(usize),
    /// A closing quote is followed by something else than the end of the field, at this column.
    #[error("field {0} goes on after its closing quote (column {1})")]
    Stray(usize, usize),
    /// A field that does not begin with a quote holds one, at this column.
    #[error("field {0} holds a quote but does not begin with one (column {1})")]
    Inner(usize, usize),
    /// Quotes enclose line breaks, and yet each line has as many fields as the row.
    #[error(
        "quotes join {lines} lines to one row, and each of these lines is a row of {fields} fields \
         by itself"
    )]
    Joined {
        /// Lines of the row.
        lines: usize,
        /// Fields of the row, and of each line.
        fields: usize,
    },
    /// Two columns have one name.
    #[error("the column {0}")]
    Twice(Twice),
    /// It has another number of fields than the first row.
    #[error("expected {expected} fields, found {found}")]
    Width {
        /// Fields of the first row.
        expected: usize,
        /// Fields of this row.
        found: usize,
    },
}

const QUOTES: &str = "a field that holds a quote is enclosed in quotes, and the quote within is \
                      written twice (`\"say \"\"no\"\"\"`); JSONL needs no such care";

/// A row that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RowError {
    /// Line of the row, or of the quote, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Problem {
    /// What to do about it, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotUtf8(_) => Some(text::CONVERT),
            Self::Width { .. } => Some("quote fields that hold the delimiter or a line break"),
            Self::Stray(..) | Self::Unclosed(_) | Self::Inner(..) | Self::Joined { .. } => {
                Some(QUOTES)
            }
            Self::Twice(_) => Some("rename one of the two columns, or leave it out"),
            Self::Io(_) | Self::TooLong => None,
        }
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// Line on which it begins, from 1.
    pub line: u64,
    text: String,
    ends: Vec<usize>,
}

impl Row {
    /// Field `i`, from 0.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&str> {
        let start = i.checked_sub(1).map_or(Some(&0), |i| self.ends.get(i))?;
        Some(&self.text[*start..*self.ends.get(i)?])
    }

    /// The first field that is `name`, white space around it aside: a column of a header.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.iter().position(|field| field.trim() == name)
    }

    /// Fields in order; at least one, save in a row that was not read.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|i| self.get(i))
    }
}

/// Reads rows one after another; a byte order mark at the beginning is skipped.
#[derive(Debug)]
pub struct Rows<R> {
    input: R,
    delimiter: u8,
    width: Option<usize>,
    same_width: bool,
    lenient: bool,
    /// Line of the byte at `at`.
    line: u64,
    bytes: u64,
    /// Whole lines that are not used up, from `at` on.
    buffer: Vec<u8>,
    at: usize,
}

impl<R: BufRead> Rows<R> {
    /// Rows that all have as many fields as the first.
    pub fn new(input: R, delimiter: u8) -> Self {
        Self {
            same_width: true,
            ..Self::of_any_width(input, delimiter)
        }
    }

    /// Rows that may differ in their number of fields.
    pub fn of_any_width(input: R, delimiter: u8) -> Self {
        Self {
            input,
            delimiter,
            width: None,
            same_width: false,
            lenient: false,
            line: 1,
            bytes: 0,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// Reads misplaced quotes as pandas and most tools do: text after a closing quote belongs to the
    /// field, and the end of the file closes a quote. Only to repeat how others read a file.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first row, which names the columns; without fields where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or two columns have one name, white space around names aside.
    pub fn header(&mut self) -> Result<Row, RowError> {
        let header = self.row()?.unwrap_or_default();
        match twice(header.iter().map(str::trim)) {
            Some(twice) => Err(at(header.line, Problem::Twice(twice))),
            None => Ok(header),
        }
    }

    fn row(&mut self) -> Result<Option<Row>, RowError> {
        loop {
            match self.buffer.get(self.at) {
                Some(b'\n') => self.line += 1,
                Some(b'\r') => {}
                Some(_) => break,
                None => {
                    self.buffer.clear();
                    self.at = 0;
                    if !self.fill()? {
                        return Ok(None);
                    }
                    continue;
                }
            }
            self.at += 1;
        }
        let mut row = Row {
            line: self.line,
            text: String::new(),
            ends: Vec::new(),
        };
        let start = self.at;
        while self.field(&mut row)? {}
        let found = row.ends.len();
        if self.line > row.line && !self.lenient && self.joins_rows(start, found) {
            let lines = (self.line - row.line) as usize + 1;
            let fields = found;
            return Err(at(row.line, Problem::Joined { lines, fields }));
        }
        let expected = *self.width.get_or_insert(found);
        if self.same_width && found != expected {
            let problem = Problem::Width { expected, found };
            return Err(at(row.line, problem));
        }
        Ok(Some(row))
    }

    /// Whether each line of the row that begins at `start` has as many fields as the row, and it is
    /// no chance: tabs hardly occur in text, and of other rows one column is a number in every line.
    fn joins_rows(&self, start: usize, fields: usize) -> bool {
        let number = |field: &[u8]| {
            let text = std::str::from_utf8(field).unwrap_or_default();
            text.trim_matches(['"', '\r']).parse::<f64>().is_ok()
        };
        if fields < 2 {
            return false;
        }
        let mut numbers = vec![true; fields];
        for line in self.buffer[start..self.at].split(|b| *b == b'\n') {
            let mut found = 0;
            for field in line.split(|b| *b == self.delimiter) {
                match numbers.get_mut(found) {
                    Some(all) => *all = *all && number(field),
                    None => return false,
                }
                found += 1;
            }
            if found != fields {
                return false;
            }
        }
        self.delimiter == b'\t' || numbers.contains(&true)
    }

    /// Column of a byte of the buffer in its line, in characters from 1.
    fn column(&self, at: usize) -> usize {
        let before = &self.buffer[..at];
        let start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |i| i + 1);
        let text = String::from_utf8_lossy(&before[start..]);
        1 + text.trim_start_matches('\u{feff}').chars().count()
    }

    /// Reads one field; whether another follows in this row.
    fn field(&mut self, row: &mut Row) -> Result<bool, RowError> {
        let number = row.ends.len() + 1;
        let quoted = self.buffer.get(self.at) == Some(&b'"');
        if quoted {
            let opened = (self.line, self.at);
            loop {
                self.at += 1;
                let end = self.closing(opened)?;
                self.take(end, row)?;
                self.at = (self.at + 1).min(self.buffer.len());
                if self.buffer.get(self.at) != Some(&b'"') {
                    break;
                }
                row.text.push('"');
            }
        }
        let delimiter = self.delimiter;
        let rest = &self.buffer[self.at..];
        let length = rest
            .iter()
            .position(|b| *b == delimiter || matches!(b, b'\n' | b'\r'))
            .unwrap_or(rest.len());
        if quoted && length > 0 && !self.lenient {
            let problem = Problem::Stray(number, self.column(self.at));
            return Err(at(self.line, problem));
        }
        if let Some(inner) = rest[..length].iter().position(|b| *b == b'"')
            && !self.lenient
        {
            let problem = Problem::Inner(number, self.column(self.at + inner));
            return Err(at(self.line, problem));
        }
        self.take(self.at + length, row)?;
        row.ends.push(row.text.len());
        let follows = self.buffer.get(self.at) == Some(&delimiter);
        self.at += usize::from(follows);
        Ok(follows)
    }

    /// Position of the next quote, in this line or a later one; `opened` is line and position of
    /// the quote that it closes.
    fn closing(&mut self, opened: (u64, usize)) -> Result<usize, RowError> {
        let mut from = self.at;
        loop {
            if let Some(i) = self.buffer[from..].iter().position(|b| *b == b'"') {
                return Ok(from + i);
            }
            from = self.buffer.len();
            if !self.fill()? {
                if self.lenient {
                    return Ok(self.buffer.len());
                }
                let column = self.column(opened.1);
                return Err(at(opened.0, Problem::Unclosed(column)));
            }
        }
    }

    /// Moves the bytes before `end` into the row.
    fn take(&mut self, end: usize, row: &mut Row) -> Result<(), RowError> {
        let bytes = &self.buffer[self.at..end];
        let text = std::str::from_utf8(bytes)
            .map_err(|_| at(self.line, Problem::NotUtf8(row.ends.len() + 1)))?;
        row.text.push_str(text);
        self.line += bytes.iter().filter(|b| **b == b'\n').count() as u64;
        self.at = end;
        Ok(())
    }

    /// Adds one line to the buffer; whether there was one.
    fn fill(&mut self) -> Result<bool, RowError> {
        let room = (LONGEST_ROW - self.buffer.len()) as u64 + 1;
        let read = (&mut self.input)
            .take(room)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|e| at(self.line, e.into()))?;
        if self.buffer.len() > LONGEST_ROW {
            return Err(at(self.line, Problem::TooLong));
        }
        if self.bytes == 0 && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.at = 3;
        }
        self.bytes += read as u64;
        Ok(read > 0)
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.row().transpose()
    }
}

fn at(line: u64, problem: Problem) -> RowError {
    RowError { line, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8]) -> Vec<(u64, Vec<String>)> {
        Rows::of_any_width(text, b',')
            .map(|row| {
                let row = row.expect("a row");
                (row.line, row.iter().map(str::to_owned).collect())
            })
            .collect()
    }

    #[test]
    fn fields_are_those_of_the_csv_crate_and_lines_those_of_the_file() {
        for text in [
            "a,b\n1,2\n",
            "a,b\r\n\r\n1,2\r\n",
            "a,b\r1,\r\r2,3",
            "\u{feff}a\n\n\n\"x\ny\",\"\"\n\"\"\n",
            "\"a\"\"b\",\"\"\"\",cd,\"\r\n\"\r\n,",
            "가,\"나,다\"",
            "",
            "\n\n",
        ] {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
            let expected: Vec<Vec<String>> = reader
                .records()
                .map(|r| r.expect("a record").iter().map(str::to_owned).collect())
                .collect();
            let found: Vec<Vec<String>> = rows(text.as_bytes()).into_iter().map(|r| r.1).collect();
            assert_eq!(found, expected, "{text:?}");
        }
        for text in [
            "a,\"b\"c,d\n1",
            "c\"d\",e\n",
            "\"a\nb,c\n",
            "\"a\"\"\nb",
            "\"",
            "x\n\"y\"\" z\"w,v\n",
        ] {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes());
            let expected: Vec<Vec<String>> = reader
                .records()
                .map(|r| r.expect("a record").iter().map(str::to_owned).collect())
                .collect();
            let found: Vec<Vec<String>> = Rows::of_any_width(text.as_bytes(), b',')
                .lenient()
                .map(|r| r.expect("a row").iter().map(str::to_owned).collect())
                .collect();
            assert_eq!(found, expected, "{text:?}");
        }
        let lines: Vec<u64> = rows(b"a\r\n\r\n\"x\r\ny\"\r\nb\r\n")
            .iter()
            .map(|r| r.0)
            .collect();
        assert_eq!(lines, [1, 3, 5]);
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said_with_its_line() {
        for (text, message) in [
            (&b"a,b\n1,2,3\n"[..], "line 2: expected 2 fields, found 3"),
            (
                b"a,b\n1,\"2\"\"\n3,4\n",
                "line 2: a quote is opened here and never closed (column 3)",
            ),
            (
                b"a,b\n\"x\ny\" z,1\n",
                "line 3: field 1 goes on after its closing quote (column 3)",
            ),
            (
                "\u{feff}a,b\n\"가\n나 다\",라 \"마\"\n".as_bytes(),
                "line 3: field 2 holds a quote but does not begin with one (column 8)",
            ),
            (b"a,b\n1,\xc7\xd1\n", "line 2: field 2 is not UTF-8"),
            (b"a,b\n\xea,\xb0\x80\n", "line 2: field 1 is not UTF-8"),
        ] {
            let error = Rows::new(text, b',').find_map(Result::err);
            assert_eq!(error.expect("an error").to_string(), message);
        }
    }

    #[test]
    fn quotes_around_whole_rows_are_told_from_texts_of_several_lines() {
        for (text, delimiter, lines) in [
            ("a\tb\n\"x\t1\ny\t2\nz\"\t3\n", b'\t', Some(3)),
            ("a\tb\n\"x\ty\nz\"\tw\n", b'\t', Some(2)),
            ("id,text\n1,\"x\r\n2,y\r\n3,\"z\"\r\n", b',', None),
            ("id,text\n1,\"x\r\n2,y\"\r\n", b',', Some(2)),
            ("id,text\n1,\"x\ny, z\"\n", b',', None),
            ("id,text\n1,\"x\ny\"\n", b',', None),
            ("a\tb\n\"x\ny\"\tz\n", b'\t', None),
            ("\"a\nb\"\n", b'\t', None),
        ] {
            let found = Rows::of_any_width(text.as_bytes(), delimiter).find_map(Result::err);
            let found = found.and_then(|e| match e.problem {
                Problem::Joined { lines, .. } => Some(lines),
                _ => None,
            });
            assert_eq!(found, lines, "{text:?}");
        }
    }

    #[test]
    fn two_columns_of_one_name_are_refused() {
        for (text, message) in [
            (
                "a, b ,,,b\n",
                Some("line 1: the column `b` occurs twice, at positions 2 and 5"),
            ),
            (
                "\na,a\n",
                Some("line 2: the column `a` occurs twice, at positions 1 and 2"),
            ),
            ("a,A,,\n", None),
            ("", None),
        ] {
            let found = Rows::new(text.as_bytes(), b',').header().err();
            assert_eq!(found.map(|e| e.to_string()).as_deref(), message, "{text:?}");
        }
    }

    #[test]
    fn a_row_without_an_end_is_refused() {
        let endless = io::BufReader::new(io::repeat(b'a'));
        let error = Rows::new(endless, b',')
            .next()
            .expect("one")
            .expect_err("too long");
        assert!(
            error.to_string().contains("is a quote left open?"),
            "{error}"
        );
    }
}
