//! Corpora with a header, columns and quotes: `.csv` and `.tsv`.

use std::io::{BufReader, Read};

use super::CoverageError;
use super::corpus::{BLOCK, Block, Blocks, Corpus};
use korfinsts_base::delimited::{Problem, RowError, Rows};
use korfinsts_base::fs;

pub(super) type Delimited = Rows<BufReader<Box<dyn Read + Send>>>;

/// A delimited file after its header, and the positions of the columns asked for.
pub(super) fn open_csv(
    reader: Box<dyn Read + Send>,
    corpus: &Corpus,
    delimiter: u8,
    columns: &[String],
) -> Result<(Delimited, Vec<usize>), CoverageError> {
    let mut rows = Rows::new(BufReader::with_capacity(BLOCK, reader), delimiter);
    let header = rows.header().map_err(|e| wrong(corpus, e))?;
    let positions = columns
        .iter()
        .map(|column| {
            let numbered = || {
                let number = column.parse::<usize>().ok()?.checked_sub(1)?;
                header.get(number).map(|_| number)
            };
            header.position(column).or_else(numbered).ok_or_else(|| {
                let names: Vec<String> = header.iter().map(|n| format!("`{n}`")).collect();
                corpus.invalid(
                    1,
                    format!("no column `{column}`, found {}", names.join(", ")),
                    Some("name the column that holds the text with `--field NAME`"),
                )
            })
        })
        .collect::<Result<Vec<usize>, _>>()?;
    Ok((rows, positions))
}

pub(super) fn read_csv(
    reader: Box<dyn Read + Send>,
    delimiter: u8,
    columns: &[String],
    to: &Blocks<'_>,
) -> Result<u64, CoverageError> {
    let corpus = to.corpus;
    let (mut rows, positions) = open_csv(reader, corpus, delimiter, columns)?;
    let mut texts = Vec::new();
    let mut held = 0;
    while let Some(row) = rows.next().transpose().map_err(|e| wrong(corpus, e))? {
        for position in &positions {
            let text = row.get(*position).unwrap_or_default();
            if !text.trim().is_empty() {
                held += text.len();
                texts.push((row.line, text.to_owned()));
            }
        }
        if held >= BLOCK {
            (to.progress)(rows.bytes());
            held = 0;
            if to
                .sender
                .send(Block::Texts(std::mem::take(&mut texts)))
                .is_err()
            {
                return Ok(rows.bytes());
            }
        }
    }
    let _ = to.sender.send(Block::Texts(texts));
    Ok(rows.bytes())
}

fn wrong(corpus: &Corpus, error: RowError) -> CoverageError {
    let hint = error.problem.hint();
    match error.problem {
        Problem::Io(e) => fs::at("read", &corpus.path)(e).into(),
        problem => corpus.invalid(error.line, problem.to_string(), hint),
    }
}
