//! Records of data files, one reader for each format: objects of JSON lines or of a JSON array,
//! rows of CSV and TSV below a header, rows of Parquet. A file may be packed with gzip.

pub mod columnar;
pub mod objects;
pub mod parquet;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::budget;
use crate::delimited::{LONGEST_ROW, RowError, Rows};
use crate::fs::{self, FsError};
use crate::sniff::{self, Kind};
use crate::text::{CONVERT, utf8};

/// Formats of data files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// One JSON object a line, or one array of objects.
    Json,
    /// Comma separated with quotes and a header.
    Csv,
    /// Tab separated with quotes and a header.
    Tsv,
    /// Apache Parquet.
    Parquet,
}

/// How the names of data files end.
pub const ENDINGS: &str = ".jsonl, .json, .csv, .tsv or .parquet";

impl Format {
    /// The format that the end of a name tells, `.gz` aside.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        Some(match name.rsplit_once('.')?.1 {
            "jsonl" | "ndjson" | "json" => Self::Json,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "parquet" => Self::Parquet,
            _ => return None,
        })
    }
}

/// One record of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Line on which it begins, or row of a Parquet file, from 1.
    pub number: u64,
    /// Its fields: an object. Fields of CSV and TSV are texts.
    pub fields: Value,
}

/// A file that cannot be read as records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The file is not of its format.
    #[error("{}{}: {reason}", path.display(), number.map_or(String::new(), |n| format!(":{n}")))]
    Broken {
        /// The file.
        path: PathBuf,
        /// Line or row, from 1, where one is known.
        number: Option<u64>,
        /// What was found and what is allowed.
        reason: String,
        /// What to type next.
        hint: Option<&'static str>,
    },
}

/// What takes the records of a file.
type Visit<'v, E> = &'v mut dyn FnMut(Record) -> Result<(), E>;

/// Calls `visit` with the records of a file in order. But for a JSON array, which is read whole,
/// one record is in memory at a time.
///
/// # Errors
/// When the file cannot be read or is not of its format, and what `visit` returns.
pub fn each<E: From<RecordsError>>(
    path: &Path,
    format: Format,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    match format {
        Format::Parquet => each_of_parquet(path, visit),
        Format::Csv => each_of_table(path, b',', visit),
        Format::Tsv => each_of_table(path, b'\t', visit),
        Format::Json => {
            let mut input = open(path)?;
            let start = input.fill_buf().map_err(at(path))?;
            if is_array(start) {
                each_of_array(path, input, visit)
            } else {
                each_of_lines(path, input, visit)
            }
        }
    }
}

fn each_of_parquet<E: From<RecordsError>>(path: &Path, visit: Visit<'_, E>) -> Result<(), E> {
    let refuse = |number, e: String| {
        let reason = format!("not valid Parquet: {e}");
        broken(path, number, reason, Some(columnar::AGAIN))
    };
    let file = fs::open(path).map_err(RecordsError::from)?;
    let rows =
        parquet::rows(file, None).map_err(|e| broken(path, None, e.to_string(), e.hint()))?;
    for (number, row) in (1..).zip(rows) {
        let fields = row.map_err(|e| refuse(Some(number), e))?;
        visit(Record { number, fields })?;
    }
    Ok(())
}

fn each_of_table<E: From<RecordsError>>(
    path: &Path,
    delimiter: u8,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    let wrong = |e: RowError| {
        let (number, hint) = (Some(e.line), e.problem.hint());
        broken(path, number, e.problem.to_string(), hint)
    };
    let mut rows = Rows::new(open(path)?, delimiter);
    let header = rows.header().map_err(wrong)?;
    let names: Vec<&str> = header.iter().map(str::trim).collect();
    for row in rows {
        let row = row.map_err(wrong)?;
        let fields = names.iter().zip(row.iter());
        let fields = fields.map(|(name, text)| ((*name).to_owned(), text.into()));
        visit(Record {
            number: row.line,
            fields: Value::Object(fields.collect()),
        })?;
    }
    Ok(())
}

fn each_of_array<E: From<RecordsError>>(
    path: &Path,
    input: Box<dyn BufRead>,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    let bytes = budget::read_to_end(input, budget::WHOLE_FILE).map_err(at(path))?;
    let text =
        utf8(&bytes).map_err(|line| broken(path, Some(line), "not UTF-8".into(), Some(CONVERT)))?;
    let elements = objects::array(text.trim_start_matches('\u{feff}'))
        .map_err(|(line, reason)| broken(path, Some(line as u64), reason, None))?;
    for (line, element) in elements {
        let number = line as u64;
        let fields = objects::object(element)
            .map_err(|e| broken(path, Some(number), format!("no JSON object: {e}"), None))?;
        visit(Record { number, fields })?;
    }
    Ok(())
}

fn each_of_lines<E: From<RecordsError>>(
    path: &Path,
    mut input: Box<dyn BufRead>,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut one = (&mut input).take(LONGEST_ROW as u64 + 1);
        if one.read_until(b'\n', &mut line).map_err(at(path))? == 0 {
            break;
        }
        let fault = |reason: String, hint| broken(path, Some(number), reason, hint);
        if line.len() > LONGEST_ROW {
            let reason = format!("the line is longer than {LONGEST_ROW} bytes");
            return Err(fault(reason, None).into());
        }
        let text = utf8(&line).map_err(|_| fault("not UTF-8".into(), Some(CONVERT)))?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if !text.is_empty() {
            let fields = objects::object(text).map_err(|reason| {
                let hint = "a JSON file has one object a line, or is one array of objects";
                fault(format!("no JSON object: {reason}"), Some(hint))
            })?;
            visit(Record { number, fields })?;
        }
    }
    Ok(())
}

fn broken(
    path: &Path,
    number: Option<u64>,
    reason: String,
    hint: Option<&'static str>,
) -> RecordsError {
    RecordsError::Broken {
        path: path.to_owned(),
        number,
        reason,
        hint,
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> RecordsError + '_ {
    |e| fs::at("read", path)(e).into()
}

/// Whether the first bytes of a JSON file open an array.
fn is_array(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start);
    start.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[')
}

/// Opens a file, unpacking it where its first bytes are those of gzip.
fn open(path: &Path) -> Result<Box<dyn BufRead>, RecordsError> {
    let mut file = BufReader::new(fs::open(path)?);
    let head = file.fill_buf().map_err(fs::at("read", path))?;
    match sniff::kind(head) {
        None => Ok(Box::new(file)),
        Some(Kind::Gzip) => {
            let mut unpacked = BufReader::new(MultiGzDecoder::new(file));
            let head = unpacked.fill_buf().map_err(fs::at("read", path))?;
            match sniff::kind(head) {
                None => Ok(Box::new(unpacked)),
                Some(kind) => Err(foreign(path, kind)),
            }
        }
        Some(kind) => Err(foreign(path, kind)),
    }
}

/// The error of a file that is of another kind than its name says.
fn foreign(path: &Path, kind: Kind) -> RecordsError {
    broken(path, None, format!("this is {kind}"), Some(kind.hint()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(name: &str, bytes: &[u8]) -> Result<Vec<(u64, String)>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write_atomic(&path, bytes).expect("written");
        let mut found = Vec::new();
        let format = Format::of(name).expect("a known ending");
        each::<RecordsError>(&path, format, &mut |record| {
            found.push((record.number, record.fields.to_string()));
            Ok(())
        })
        .map_err(|e| e.to_string().rsplit('/').next().expect("a part").to_owned())?;
        Ok(found)
    }

    #[test]
    fn records_of_every_format_are_the_same_with_the_places_of_theirs() {
        let first = r#"{"a":"금리, 인상","b":"x"}"#;
        let second = r#"{"a":"줄\n둘","b":""}"#;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(format!("{first}\n{second}").as_bytes())
            .expect("packed");
        let packed = gzip.finish().expect("packed");
        for (name, bytes, lines) in [
            (
                "a.jsonl",
                format!("{first}\n\n{second}\n").into_bytes(),
                [1, 3],
            ),
            ("a.jsonl.gz", packed, [1, 2]),
            (
                "a.json",
                format!("\u{feff}[\n{first},\n\n{second}]").into_bytes(),
                [2, 4],
            ),
            (
                "a.csv",
                "a,b\r\n\"금리, 인상\",x\r\n\"줄\n둘\",\r\n".into(),
                [2, 3],
            ),
            (
                "a.tsv",
                "\u{feff}a\tb\n금리, 인상\tx\n\"줄\n둘\"\t\n".into(),
                [2, 3],
            ),
        ] {
            let expected = [(lines[0], first.to_owned()), (lines[1], second.to_owned())];
            assert_eq!(read(name, &bytes).expect(name), expected, "{name}");
        }
        for empty in ["a.jsonl", "a.csv", "b.json"] {
            assert_eq!(read(empty, b"").expect(empty), []);
        }
    }

    #[test]
    fn what_is_no_record_is_named_with_its_place() {
        for (name, bytes, expected) in [
            (
                "a.jsonl",
                &b"{\"a\": 1}\nno"[..],
                "a.jsonl:2: no JSON object: expected ident",
            ),
            (
                "a.json",
                b"[{\"a\": 1},\n 3]",
                "a.json:2: no JSON object: a record is not an object",
            ),
            (
                "a.json",
                b"{\n\"data\": []}",
                "a.json:1: no JSON object: EOF while parsing an object",
            ),
            (
                "a.json",
                b"[{\"a\": 1}",
                "a.json:1: EOF while parsing a list",
            ),
            ("a.jsonl", b"\n\xc7\xd1", "a.jsonl:2: not UTF-8"),
            ("a.csv", b"a,b\n1\n", "a.csv:2: expected 2 fields, found 1"),
            (
                "a.csv",
                b"a,b,a \n",
                "a.csv:1: the column `a` occurs twice, at positions 1 and 3",
            ),
            ("a.parquet", b"PAR1", "a.parquet: not valid Parquet: "),
        ] {
            let error = read(name, bytes).expect_err(expected);
            assert!(error.starts_with(expected), "{error} / {expected}");
        }
        assert_eq!(Format::of("data/A.CSV.gz"), Some(Format::Csv));
        for other in ["a.arrow", "README", "a.txt", ".gz"] {
            assert_eq!(Format::of(other), None, "{other}");
        }
    }
}
