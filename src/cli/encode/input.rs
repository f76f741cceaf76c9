//! Texts to encode: from a file whose ending, or `--input-format`, says how it is read.

use std::path::Path;

use clap::ValueEnum;
use serde_json::Value;

use super::DASH;
use crate::cli::CliError;
use korfinsts_base::delimited::Rows;
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

/// Most lines of a file of texts.
const MOST_TEXTS: usize = 1 << 24;

/// The field or column of the texts where none is named.
const FIELD: &str = "text";

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
    /// Its texts in order; at least one.
    ///
    /// # Errors
    /// When the ending is not known, or the file cannot be read as its format or holds no text.
    pub fn texts(&self) -> anyhow::Result<Vec<String>> {
        let format = self.format()?;
        let bytes = self.bytes()?;
        if let Some(kind) = sniff::kind(&bytes) {
            return Err(self.wrong("", &format!("this is {kind}"), Some(kind.hint())));
        }
        let content = text::utf8(&bytes).map_err(|line| {
            let reason = "found bytes that are not UTF-8";
            self.wrong(&line.to_string(), reason, Some(text::CONVERT))
        })?;
        if content.matches('\n').count() > MOST_TEXTS {
            let reason =
                format!("it has more than {MOST_TEXTS} lines, the most that are encoded at once");
            return Err(self.wrong(
                "",
                &reason,
                Some("split the file: `split -l 10000000 FILE`"),
            ));
        }
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let texts = match format {
            InputFormat::Txt => content.lines().map(str::to_owned).collect(),
            InputFormat::Csv => self.rows(content, b',')?,
            InputFormat::Tsv => self.rows(content, b'\t')?,
            InputFormat::Json => self.array(content)?,
            InputFormat::Jsonl => self.lines(content)?,
        };
        if texts.is_empty() {
            let hint = match format {
                InputFormat::Txt => "one text a line is expected; an empty line is an empty text",
                _ => "is the file empty, or cut short?",
            };
            return Err(self.wrong("1", "found no text", Some(hint)));
        }
        Ok(texts)
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

    fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        if self.path.as_os_str() != DASH {
            return Ok(fs::read(self.path).map_err(|e| {
                CliError::new(FailureClass::Data, format!("{e}: {}", e.source), e.hint())
            })?);
        }
        let read = budget::read_to_end(std::io::stdin(), budget::WHOLE_FILE);
        Ok(read.map_err(fs::at("read", Path::new("stdin")))?)
    }

    fn rows(&self, content: &str, delimiter: u8) -> anyhow::Result<Vec<String>> {
        let mut rows = Rows::new(content.as_bytes(), delimiter);
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
        rows.map(|row| {
            let row = row.map_err(unread)?;
            Ok(row.get(column).unwrap_or_default().to_owned())
        })
        .collect()
    }

    fn array(&self, content: &str) -> anyhow::Result<Vec<String>> {
        let wrong = |line: usize, reason: &str| {
            let hint = "an array of strings or objects is read; name a file of one a line `.jsonl`";
            self.wrong(
                &line.to_string(),
                &format!("not one JSON array: {reason}"),
                Some(hint),
            )
        };
        let items = objects::array(content).map_err(|(line, reason)| wrong(line, &reason))?;
        let texts = items.enumerate().map(|(i, (line, element))| {
            let Unique(item) =
                serde_json::from_str(element).map_err(|e| wrong(line, &objects::reason(&e)))?;
            self.text(&item, &format!(" element {}", i + 1))
        });
        texts.collect()
    }

    fn lines(&self, content: &str) -> anyhow::Result<Vec<String>> {
        let lines = content
            .lines()
            .enumerate()
            .filter(|(_, l)| !l.trim().is_empty());
        lines
            .map(|(i, line)| {
                let place = (i + 1).to_string();
                let Unique(item) = serde_json::from_str(line)
                    .map_err(|e| self.wrong(&place, &e.to_string(), Some(ONE_A_LINE)))?;
                self.text(&item, &place)
            })
            .collect()
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
