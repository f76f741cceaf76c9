//! Texts to encode: from a file whose ending, or `--input-format`, says how it is read.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use clap::ValueEnum;
use serde_json::Value;

use super::DASH;
use crate::cli::CliError;
use korfinsts_base::delimited::{LONGEST_ROW, Rows};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::json::{ONE_A_LINE, Unique};
use korfinsts_base::records::objects;
use korfinsts_base::{budget, fs, sniff, text};

/// Formats of a file of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum InputFormat {
    /// One text a line
    Txt,
    /// Comma separated, with a header and quotes
    Csv,
    /// Tab separated, with a header and quotes
    Tsv,
    /// One array of strings, or of objects
    Json,
    /// One string or object a line
    Jsonl,
}

/// Most texts that are held in memory.
const MOST_TEXTS: usize = 1 << 24;

/// The field or column of the texts where none is named.
const FIELD: &str = "text";

/// What is done with each text.
pub(in crate::cli) type Visit<'a> = &'a mut dyn FnMut(String) -> anyhow::Result<()>;

/// A file of texts.
pub(in crate::cli) struct Input<'a> {
    /// The file; `-` for stdin.
    pub path: &'a Path,
    /// How it is read; none: as its ending says, and stdin as lines.
    pub format: Option<InputFormat>,
    /// Field or column of the texts; none: `text`, or the only column.
    pub field: Option<&'a str>,
}

impl Input<'_> {
    /// Its texts in order, held in memory; at least one.
    ///
    /// # Errors
    /// As [`Self::each`], and when there are too many.
    pub fn texts(&self) -> anyhow::Result<Vec<String>> {
        let mut texts = Vec::new();
        self.read(budget::WHOLE_FILE, &mut |text| {
            if texts.len() == MOST_TEXTS {
                let reason = format!("it has more than {MOST_TEXTS} texts, the most that are held");
                let hint = "split the file: `split -l 10000000 FILE`";
                return Err(self.wrong("", &reason, Some(hint)));
            }
            texts.push(text);
            Ok(())
        })?;
        Ok(texts)
    }

    /// Calls `visit` with each text in order, of which there is at least one. Lines and rows are
    /// not held in memory; one array of JSON is.
    ///
    /// # Errors
    /// When the ending is not known, the file cannot be read as its format or holds no text, and
    /// what `visit` returns.
    pub fn each(&self, visit: Visit<'_>) -> anyhow::Result<()> {
        self.read(u64::MAX, visit)
    }

    fn read(&self, most: u64, visit: Visit<'_>) -> anyhow::Result<()> {
        let format = self.format()?;
        let mut count = 0_u64;
        let visit: Visit<'_> = &mut |text| {
            count += 1;
            visit(text)
        };
        let source = self.source(most)?;
        match format {
            InputFormat::Txt => self.lines(source, &mut |_, line| visit(line.to_owned()))?,
            InputFormat::Csv => self.rows(source, b',', visit)?,
            InputFormat::Tsv => self.rows(source, b'\t', visit)?,
            InputFormat::Json => self.array(source, visit)?,
            InputFormat::Jsonl => self.lines(source, &mut |number, line| {
                if line.trim().is_empty() {
                    return Ok(());
                }
                let place = number.to_string();
                let Unique(item) = serde_json::from_str(line)
                    .map_err(|e| self.wrong(&place, &e.to_string(), Some(ONE_A_LINE)))?;
                visit(self.text(&item, &place)?)
            })?,
        }
        if count == 0 {
            let hint = match format {
                InputFormat::Txt => "one text a line is expected; an empty line is an empty text",
                _ => "is the file empty, or cut short?",
            };
            return Err(self.wrong("1", "found no text", Some(hint)));
        }
        Ok(())
    }

    fn format(&self) -> anyhow::Result<InputFormat> {
        let ending = self
            .path
            .extension()
            .map(|e| e.to_string_lossy().to_lowercase());
        let format = match (self.format, ending.as_deref()) {
            (Some(format), _) => format,
            (None, _) if self.path.as_os_str() == DASH => InputFormat::Txt,
            (None, Some("ndjson")) => InputFormat::Jsonl,
            (None, ending) => InputFormat::from_str(ending.unwrap_or_default(), true).map_err(|_| {
                let found = format!(
                    "the ending of `{}` says no format; known are .txt, .csv, .tsv, .json and .jsonl",
                    self.path.display()
                );
                CliError::usage(found, "say how it is read, as in `--input-format txt`")
            })?,
        };
        if format == InputFormat::Txt && self.field.is_some() {
            let found = format!(
                "`{}` is read as lines of text, which have no fields",
                self.path.display()
            );
            return Err(CliError::usage(found, "leave `--field` out, or name the format").into());
        }
        Ok(format)
    }

    /// What is read, at most so many bytes.
    fn source(&self, most: u64) -> anyhow::Result<Box<dyn BufRead>> {
        let input: Box<dyn Read> = if self.path.as_os_str() == DASH {
            Box::new(std::io::stdin())
        } else {
            Box::new(fs::open(self.path).map_err(|e| self.unread(e.source))?)
        };
        let bounded = budget::Bounded::new(input, most);
        let (head, whole) = sniff::peek(bounded).map_err(|e| self.unread(e))?;
        match sniff::kind(&head) {
            Some(kind) => Err(self.wrong("", &format!("this is {kind}"), Some(kind.hint()))),
            None => Ok(Box::new(BufReader::with_capacity(1 << 16, whole))),
        }
    }

    fn unread(&self, error: std::io::Error) -> anyhow::Error {
        if self.path.as_os_str() == DASH {
            return fs::at("read", Path::new("stdin"))(error).into();
        }
        let e = fs::at("read", self.path)(error);
        CliError::new(FailureClass::Data, format!("{e}: {}", e.source), e.hint()).into()
    }

    /// Lines with their numbers, without the byte order mark and what ends them.
    fn lines(
        &self,
        mut source: Box<dyn BufRead>,
        visit: &mut dyn FnMut(u64, &str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let mut line = source.by_ref().take(LONGEST_ROW as u64 + 1);
            let read = line.read_until(b'\n', &mut bytes);
            if read.map_err(|e| self.unread(e))? == 0 {
                break;
            }
            let place = u64::to_string(&number);
            if bytes.len() > LONGEST_ROW {
                let reason = format!("the line has more than {LONGEST_ROW} bytes");
                let hint = "is it one text a line? name another format with `--input-format`";
                return Err(self.wrong(&place, &reason, Some(hint)));
            }
            let line = std::str::from_utf8(&bytes).map_err(|_| {
                let reason = "found bytes that are not UTF-8";
                self.wrong(&place, reason, Some(text::CONVERT))
            })?;
            let line = line.strip_suffix('\n').unwrap_or(line);
            let line = line.strip_suffix('\r').unwrap_or(line);
            let bare = line.strip_prefix('\u{feff}').filter(|_| number == 1);
            if bare.is_some_and(str::is_empty) && !bytes.ends_with(b"\n") {
                // The mark alone is no line.
                break;
            }
            visit(number, bare.unwrap_or(line))?;
        }
        Ok(())
    }

    fn rows(
        &self,
        source: Box<dyn BufRead>,
        delimiter: u8,
        visit: Visit<'_>,
    ) -> anyhow::Result<()> {
        let mut rows = Rows::new(source, delimiter);
        let unread = |e: korfinsts_base::delimited::RowError| {
            self.wrong(
                &e.line.to_string(),
                &e.problem.to_string(),
                e.problem.hint(),
            )
        };
        let header = rows.header().map_err(unread)?;
        let only = self.field.is_none() && header.iter().count() == 1;
        let column = header
            .position(self.field.unwrap_or(FIELD))
            .or(only.then_some(0));
        let column = column.ok_or_else(|| {
            let names: Vec<String> = header.iter().map(|n| format!("`{n}`")).collect();
            let name = self.field.unwrap_or(FIELD);
            let reason = format!("no column `{name}`, found {}", names.join(", "));
            self.wrong("1", &reason, Some("name the column with `--column NAME`"))
        })?;
        for row in rows {
            let row = row.map_err(unread)?;
            visit(row.get(column).unwrap_or_default().to_owned())?;
        }
        Ok(())
    }

    fn array(&self, source: Box<dyn BufRead>, visit: Visit<'_>) -> anyhow::Result<()> {
        let bytes = budget::read_to_end(source, budget::WHOLE_FILE).map_err(|e| self.unread(e))?;
        let content = text::utf8(&bytes).map_err(|line| {
            let reason = "found bytes that are not UTF-8";
            self.wrong(&line.to_string(), reason, Some(text::CONVERT))
        })?;
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let wrong = |line: usize, reason: &str| {
            let hint = "an array of strings or objects is read; name a file of one a line `.jsonl`";
            self.wrong(
                &line.to_string(),
                &format!("not one JSON array: {reason}"),
                Some(hint),
            )
        };
        let items = objects::array(content).map_err(|(line, reason)| wrong(line, &reason))?;
        for (i, (line, element)) in items.enumerate() {
            let Unique(item) =
                serde_json::from_str(element).map_err(|e| wrong(line, &objects::reason(&e)))?;
            visit(self.text(&item, &format!(" element {}", i + 1))?)?;
        }
        Ok(())
    }

    fn text(&self, item: &Value, place: &str) -> anyhow::Result<String> {
        let field = self.field.unwrap_or(FIELD);
        let found = item.as_str().or_else(|| item.get(field)?.as_str());
        found.map(str::to_owned).ok_or_else(|| {
            let reason = format!("found neither a string nor an object with a string `{field}`");
            self.wrong(place, &reason, Some("name the key with `--field KEY`"))
        })
    }

    /// An error of the file; `place` is a line, or nothing.
    fn wrong(&self, place: &str, reason: &str, hint: Option<&str>) -> anyhow::Error {
        let colon = if place.is_empty() { "" } else { ":" };
        let message = format!("{}{colon}{place}: {reason}", self.path.display());
        CliError::new(FailureClass::Data, message, hint.map(str::to_owned)).into()
    }
}
