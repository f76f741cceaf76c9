//! Corpora with a header, columns and quotes: `.csv` and `.tsv`.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::SyncSender;

use super::CoverageError;
use super::corpus::{BLOCK, Block, Corpus, LONGEST_RECORD};
use korfinsts_base::fs;

pub(super) type Delimited = csv::Reader<BufReader<Limited<Box<dyn Read + Send>>>>;

/// A delimited file after its header, and where the columns asked for stand.
pub(super) fn open_csv(
    reader: Box<dyn Read + Send>,
    corpus: &Corpus,
    delimiter: u8,
    columns: &[String],
) -> Result<(Delimited, Vec<usize>), CoverageError> {
    let mut reader = BufReader::with_capacity(BLOCK, Limited::new(reader));
    // A byte order mark would become part of the first column's name.
    let start = reader.fill_buf().map_err(fs::at("read", &corpus.path))?;
    if start.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(reader);
    let header = reader.headers().map_err(|e| csv_error(corpus, &e))?.clone();
    let positions = columns
        .iter()
        .map(|column| {
            let named = header.iter().position(|name| name.trim() == column);
            named
                .or_else(|| {
                    let number = column.parse::<usize>().ok()?;
                    (1..=header.len()).contains(&number).then(|| number - 1)
                })
                .ok_or_else(|| {
                    let names: Vec<String> = header.iter().map(|n| format!("`{n}`")).collect();
                    corpus.invalid(
                        1,
                        format!("no column `{column}`, found {}", names.join(", ")),
                        Some("name the column that holds the text with `--field NAME`"),
                    )
                })
        })
        .collect::<Result<Vec<usize>, _>>()?;
    Ok((reader, positions))
}

pub(super) fn read_csv(
    reader: Box<dyn Read + Send>,
    corpus: &Corpus,
    delimiter: u8,
    columns: &[String],
    sender: &SyncSender<Block>,
    progress: &dyn Fn(u64),
) -> Result<u64, CoverageError> {
    let (mut reader, positions) = open_csv(reader, corpus, delimiter, columns)?;
    let mut texts = Vec::new();
    let mut held = 0;
    let mut record = csv::StringRecord::new();
    while reader
        .read_record(&mut record)
        .map_err(|e| csv_error(corpus, &e))?
    {
        let line = record.position().map_or(0, csv::Position::line);
        for position in &positions {
            let text = record.get(*position).unwrap_or_default();
            if !text.trim().is_empty() {
                held += text.len();
                texts.push((line, text.to_owned()));
            }
        }
        if held >= BLOCK {
            progress(reader.position().byte());
            held = 0;
            if sender
                .send(Block::Texts(std::mem::take(&mut texts)))
                .is_err()
            {
                return Ok(reader.position().byte());
            }
        }
        reader.get_mut().get_mut().record_read();
    }
    let _ = sender.send(Block::Texts(texts));
    Ok(reader.position().byte())
}

fn csv_error(corpus: &Corpus, error: &csv::Error) -> CoverageError {
    let line = error.position().map_or(0, csv::Position::line);
    corpus.invalid(line, error.to_string(), csv_hint(error))
}

/// What to do about a record that cannot be read.
#[must_use]
pub fn csv_hint(error: &csv::Error) -> Option<&'static str> {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => {
            Some("convert the file first, for instance `iconv -f cp949 -t utf-8`")
        }
        csv::ErrorKind::UnequalLengths { .. } => {
            Some("quote fields that hold the delimiter or a line break")
        }
        _ => None,
    }
}

/// A reader that ends a record which an open quote lets run through the whole file.
#[derive(Debug)]
pub struct Limited<R> {
    inner: R,
    since_record: usize,
}

impl<R> Limited<R> {
    /// A reader of records of at most 64 MiB.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            since_record: 0,
        }
    }

    /// Says that a record came to its end.
    pub fn record_read(&mut self) {
        self.since_record = 0;
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_record > LONGEST_RECORD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a record is longer than {LONGEST_RECORD} bytes: is a quote left open?"),
            ));
        }
        let n = self.inner.read(buffer)?;
        self.since_record += n;
        Ok(n)
    }
}
