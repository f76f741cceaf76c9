//! Text files of any size, streamed: bounded memory, all cores.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::CoverageError;
use super::delimited::{open_csv, read_csv};
use super::memo::Counter;
use super::subject::Subject;
use super::text::{TextCounts, TextReport};
use korfinsts_base::json::{ONE_A_LINE, Unique};
use korfinsts_base::{fs, sniff, text};

/// Bytes of a block that one worker takes at a time.
pub(super) const BLOCK: usize = 1 << 20;
/// A line of plain text is cut, at white space, when it grows beyond this.
const LONGEST_LINE: usize = 1 << 20;
/// A JSON line beyond this is an error.
const LONGEST_RECORD: usize = 64 << 20;
/// One text in so many is also tokenised in NFC and NFD.
pub const FORMS_EVERY: u64 = 64;

/// How texts are stored in a corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorpusFormat {
    /// One text per line; empty lines are skipped.
    Lines,
    /// One JSON object per line; each of these fields is a text (`a.b` for a field in a field).
    Jsonl(Vec<String>),
    /// Delimited with quotes and a header; each of these columns is a text (a name, or a number
    /// from 1).
    Csv {
        /// `,` or a tab.
        delimiter: u8,
        /// Columns of the texts.
        columns: Vec<String>,
    },
}

/// A corpus on disk, or standard input (`-`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// Its file; `-` for standard input.
    pub path: PathBuf,
    /// How texts are stored in it.
    pub format: CorpusFormat,
}

impl Corpus {
    /// A corpus whose format is told by the end of its name: `.jsonl` and `.ndjson`, `.csv`,
    /// `.tsv`, and lines for anything else but `.json`. `field` names the JSON field or column, or several with
    /// commas between; `text` where none is given, and a plain file has none.
    ///
    /// # Errors
    /// When a `.json` file is named, or a field is asked of a plain file.
    pub fn new(path: &Path, field: Option<&str>) -> Result<Self, CoverageError> {
        let extension = path
            .extension()
            .map(|e| e.to_string_lossy().to_ascii_lowercase())
            .unwrap_or_default();
        let names: Vec<String> = field
            .unwrap_or("text")
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect();
        let format = match extension.as_str() {
            "jsonl" | "ndjson" => CorpusFormat::Jsonl(names),
            "csv" => CorpusFormat::Csv {
                delimiter: b',',
                columns: names,
            },
            "tsv" => CorpusFormat::Csv {
                delimiter: b'\t',
                columns: names,
            },
            "json" => {
                return Err(CoverageError::Invalid {
                    path: path.to_owned(),
                    line: 0,
                    reason: "a `.json` file is not read as a corpus".into(),
                    hint: Some(ONE_A_LINE.into()),
                });
            }
            _ if field.is_some() => {
                return Err(CoverageError::Usage {
                    what: format!(
                        "`{}` is read as lines of text, which have no fields",
                        path.display()
                    ),
                    hint: Some("name the file `.jsonl`, `.csv` or `.tsv`".into()),
                });
            }
            _ => CorpusFormat::Lines,
        };
        Ok(Self {
            path: path.to_owned(),
            format,
        })
    }

    /// Looks whether the file opens, is no archive or other kind of file and, where it has a header, holds the columns asked for:
    /// before anything slow is done. Standard input is left alone.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self) -> Result<(), CoverageError> {
        if self.path.as_os_str() == "-" {
            return Ok(());
        }
        let reader = self.open()?;
        if let CorpusFormat::Csv { delimiter, columns } = &self.format {
            open_csv(reader, self, *delimiter, columns)?;
        }
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Read + Send>, CoverageError> {
        let source: Box<dyn Read + Send> = if self.path.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            Box::new(fs::open(&self.path)?)
        };
        let (head, whole) = sniff::peek(source).map_err(fs::at("read", &self.path))?;
        match sniff::kind(&head) {
            None => Ok(Box::new(whole)),
            Some(kind) => Err(self.invalid(0, format!("this is {kind}"), Some(kind.hint()))),
        }
    }

    fn without_text(&self) -> CoverageError {
        let hint = "is the file empty, or are its texts in another field (`--field NAME`)?";
        self.invalid(0, "the corpus holds no text", Some(hint))
    }

    pub(super) fn invalid(
        &self,
        line: u64,
        reason: impl Into<String>,
        hint: Option<&str>,
    ) -> CoverageError {
        CoverageError::Invalid {
            path: self.path.clone(),
            line,
            reason: reason.into(),
            hint: hint.map(str::to_owned),
        }
    }
}

/// What a corpus gave one tokenizer, and how it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusReport {
    /// One report per tokenizer, in their order.
    pub reports: Vec<TextReport>,
    /// Bytes read.
    pub bytes: u64,
    /// Processor time of the threads that counted, summed; absent where the system does not say.
    /// Unlike time on a clock it holds neither waiting for the corpus (a pipe, a slow disk) nor
    /// for other programs.
    pub busy: Option<Duration>,
}

/// How a corpus is counted.
#[derive(Debug, Clone, Copy)]
pub struct CorpusOptions {
    /// Worker threads; at least 1.
    pub workers: usize,
    /// Whether the counts of eojeol already seen are looked up where the tokenizer provably
    /// splits at white space. The sums are the same either way.
    pub memo: bool,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            memo: true,
        }
    }
}

/// A part of a corpus with the number of its first line.
pub(super) enum Block {
    /// Whole lines.
    Lines { bytes: Vec<u8>, first_line: u64 },
    /// Texts with their lines.
    Texts(Vec<(u64, String)>),
}

/// Streams a corpus through every tokenizer.
///
/// `progress` is told the bytes read so far, from the reading thread. Memory is bounded by the
/// number of workers, not by the corpus.
///
/// # Errors
/// When the corpus cannot be read, holds a line that is not UTF-8 or not of its format, or a
/// tokenizer fails on a text.
pub fn count(
    subjects: &[Subject],
    corpus: &Corpus,
    options: CorpusOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<CorpusReport, CoverageError> {
    let workers = options.workers.max(1);
    let (sender, receiver) = sync_channel::<Block>(workers * 2);
    let receiver = Mutex::new(receiver);
    let reader = corpus.open()?;
    let mut sums = vec![TextCounts::default(); subjects.len()];
    let mut disagreed = vec![0_u64; subjects.len()];
    let mut failure: Option<CoverageError> = None;
    let (mut bytes, mut cut) = (0, 0);
    let mut busy = Some(Duration::ZERO);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    let parts = work(subjects, corpus, options.memo, &receiver)?;
                    Ok::<_, CoverageError>((parts, processor_time()))
                })
            })
            .collect();
        let blocks = Blocks {
            corpus,
            sender: &sender,
            progress,
        };
        let read = blocks.read(reader);
        drop(sender);
        match read {
            Ok((n, cuts)) => (bytes, cut) = (n, cuts),
            Err(e) => failure = Some(e),
        }
        for handle in handles {
            match handle.join() {
                Ok(Ok((parts, time))) => {
                    busy = busy.zip(time).map(|(sum, time)| sum + time);
                    for (i, (part, lines)) in parts.iter().enumerate() {
                        sums[i].merge(part);
                        disagreed[i] += lines;
                    }
                }
                // The first line that is wrong is the one to report.
                Ok(Err(e)) => failure = Some(earlier(failure.take(), e)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    if let Some(error) = failure {
        return Err(error);
    }
    if sums.first().is_some_and(|sum| sum.texts == 0) {
        return Err(corpus.without_text());
    }
    let reports = subjects
        .iter()
        .zip(sums.into_iter().zip(disagreed))
        .map(|(subject, (counts, disagreed))| {
            let mut report = TextReport::new(counts, subject.max_tokens().is_some());
            if cut > 0 {
                report.warnings.push(format!(
                    "{cut} lines longer than {LONGEST_LINE} bytes were cut at white space and \
                     counted as several texts"
                ));
            }
            if counts.texts > FORMS_EVERY {
                report.warnings.push(format!(
                    "NFC and NFD were compared on one text in {FORMS_EVERY}"
                ));
            }
            if disagreed > 0 {
                report.warnings.push(format!(
                    "looking up eojeol disagreed with the tokenizer on {disagreed} checked texts, \
                     so it was switched off for {}",
                    subject.name()
                ));
            }
            report
        })
        .collect();
    Ok(CorpusReport {
        reports,
        bytes,
        busy,
    })
}

/// Calls `visit` with every text of a corpus in order, on one thread.
///
/// # Errors
/// As [`count`], and what `visit` returns.
pub fn visit(
    corpus: &Corpus,
    mut visit: impl FnMut(&str) -> Result<(), CoverageError> + Send,
) -> Result<u64, CoverageError> {
    let (sender, receiver) = sync_channel::<Block>(2);
    let reader = corpus.open()?;
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || -> Result<u64, CoverageError> {
            let mut texts = 0;
            while let Ok(block) = receiver.recv() {
                each_text(&block, corpus, &mut |_, text| {
                    texts += 1;
                    visit(text)
                })?;
            }
            Ok(texts)
        });
        let blocks = Blocks {
            corpus,
            sender: &sender,
            progress: &|_| {},
        };
        let read = blocks.read(reader);
        drop(sender);
        let visited = match worker.join() {
            Ok(visited) => visited,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        match (read, visited) {
            (_, Err(e)) | (Err(e), _) => Err(e),
            (Ok(_), Ok(0)) => Err(corpus.without_text()),
            (Ok(_), Ok(texts)) => Ok(texts),
        }
    })
}

fn earlier(a: Option<CoverageError>, b: CoverageError) -> CoverageError {
    let line = |e: &CoverageError| match e {
        CoverageError::Invalid { line, .. } => *line,
        _ => 0,
    };
    match a {
        Some(a) if line(&a) <= line(&b) => a,
        _ => b,
    }
}

/// Time that this thread has been on a processor, where the system says so (Linux).
fn processor_time() -> Option<Duration> {
    let text = fs::read(Path::new("/proc/thread-self/schedstat")).ok()?;
    let text = String::from_utf8(text).ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    // A kernel that does not keep count says 0.
    (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
}

type Part = (TextCounts, u64);

fn work(
    subjects: &[Subject],
    corpus: &Corpus,
    memo: bool,
    receiver: &Mutex<Receiver<Block>>,
) -> Result<Vec<Part>, CoverageError> {
    let mut counters: Vec<Counter<'_>> = subjects.iter().map(|s| Counter::new(s, memo)).collect();
    loop {
        let block = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(block) = block else {
            break;
        };
        each_text(&block, corpus, &mut |line, text| {
            for counter in &mut counters {
                counter.add(text)?;
                if line % FORMS_EVERY == 1 {
                    counter.add_forms(text)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(counters.into_iter().map(Counter::finish).collect())
}

/// Calls `visit` with the line number and text of every text of a block.
fn each_text(
    block: &Block,
    corpus: &Corpus,
    visit: &mut dyn FnMut(u64, &str) -> Result<(), CoverageError>,
) -> Result<(), CoverageError> {
    let (bytes, first_line) = match block {
        Block::Texts(texts) => {
            return texts.iter().try_for_each(|(line, text)| visit(*line, text));
        }
        Block::Lines { bytes, first_line } => (bytes, *first_line),
    };
    let lines = text::numbered_lines(bytes, first_line)
        .map_err(|line| corpus.invalid(line, "the line is not UTF-8", Some(text::CONVERT)))?;
    for (number, line) in lines {
        match &corpus.format {
            CorpusFormat::Jsonl(fields) => {
                let Unique(value) = serde_json::from_str(line).map_err(|e| {
                    corpus.invalid(number, format!("not a JSON object: {e}"), Some(ONE_A_LINE))
                })?;
                for field in fields {
                    visit(number, json_text(corpus, number, &value, field)?)?;
                }
            }
            _ => visit(number, line)?,
        }
    }
    Ok(())
}

fn json_text<'a>(
    corpus: &Corpus,
    number: u64,
    value: &'a Value,
    field: &str,
) -> Result<&'a str, CoverageError> {
    const HINT: Option<&str> = Some("name the field that holds the text with `--field NAME`");
    let found = match value.get(field) {
        Some(found) => Some(found),
        None => field
            .split('.')
            .try_fold(value, |value, key| value.get(key)),
    };
    let reason = match (found, value) {
        (Some(Value::String(text)), _) => return Ok(text),
        (Some(other), _) => format!("expected text in `{field}`, found {}", kind(other)),
        (None, Value::Object(object)) => {
            let names: Vec<String> = object.keys().take(8).map(|k| format!("`{k}`")).collect();
            format!("no field `{field}`, found {}", names.join(", "))
        }
        (None, other) => format!("expected an object, found {}", kind(other)),
    };
    Err(corpus.invalid(number, reason, HINT))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// How a corpus is handed out in blocks.
pub(super) struct Blocks<'a> {
    pub(super) corpus: &'a Corpus,
    /// To the workers; closed when every one has failed.
    pub(super) sender: &'a SyncSender<Block>,
    /// Gets the bytes read so far.
    pub(super) progress: &'a dyn Fn(u64),
}

impl Blocks<'_> {
    /// Reads blocks and sends them; stops when every worker has failed. Returns the bytes read and
    /// the number of cuts in overlong lines.
    fn read(&self, reader: Box<dyn Read + Send>) -> Result<(u64, u64), CoverageError> {
        match &self.corpus.format {
            CorpusFormat::Csv { delimiter, columns } => {
                Ok((read_csv(reader, *delimiter, columns, self)?, 0))
            }
            CorpusFormat::Jsonl(_) => self.lines(reader, None),
            CorpusFormat::Lines => self.lines(reader, Some(LONGEST_LINE)),
        }
    }

    fn lines(
        &self,
        mut reader: Box<dyn Read + Send>,
        cut_at: Option<usize>,
    ) -> Result<(u64, u64), CoverageError> {
        let (mut total, mut line, mut cuts) = (0_u64, 1_u64, 0_u64);
        let mut buffer: Vec<u8> = Vec::with_capacity(2 * BLOCK);
        loop {
            let before = buffer.len();
            let read = (&mut reader)
                .take(BLOCK as u64)
                .read_to_end(&mut buffer)
                .map_err(fs::at("read", &self.corpus.path))?;
            total += read as u64;
            (self.progress)(total);
            let at_end = read == 0;
            let newline = buffer[before..].iter().rposition(|b| *b == b'\n');
            let end = match newline {
                _ if at_end => buffer.len(),
                Some(at) => before + at + 1,
                None => match cut_at {
                    Some(limit) if buffer.len() >= limit => {
                        cuts += 1;
                        cut_point(&buffer)
                    }
                    None if buffer.len() > LONGEST_RECORD => {
                        return Err(self.corpus.invalid(
                            line,
                            format!("the line is longer than {LONGEST_RECORD} bytes"),
                            None,
                        ));
                    }
                    _ => continue,
                },
            };
            let rest = buffer.split_off(end);
            let bytes = std::mem::replace(&mut buffer, rest);
            buffer.reserve(BLOCK);
            let lines = bytes.iter().filter(|b| **b == b'\n').count() as u64;
            let block = Block::Lines {
                bytes,
                first_line: line,
            };
            line += lines;
            if self.sender.send(block).is_err() || at_end {
                return Ok((total, cuts));
            }
        }
    }
}

/// Where an overlong line is cut: behind the last ASCII white space of its second half, else
/// before the last character.
fn cut_point(buffer: &[u8]) -> usize {
    let half = buffer.len() / 2;
    if let Some(at) = buffer[half..].iter().rposition(u8::is_ascii_whitespace) {
        return half + at + 1;
    }
    let mut end = buffer.len() - 1;
    while end > half && buffer[end] & 0b1100_0000 == 0b1000_0000 {
        end -= 1;
    }
    end
}

/// Keeps every text of a corpus whose number, from 0, `keep` accepts.
///
/// # Errors
/// As [`visit`].
pub fn sample(
    corpus: &Corpus,
    keep: impl Fn(u64) -> bool + Send,
    most: usize,
) -> Result<Vec<String>, CoverageError> {
    let mut kept: VecDeque<String> = VecDeque::new();
    let mut number = 0;
    let slot = &mut kept;
    visit(corpus, move |text| {
        if slot.len() < most && keep(number) {
            slot.push_back(text.to_owned());
        }
        number += 1;
        Ok(())
    })?;
    Ok(kept.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(name: &str, content: &[u8], field: Option<&str>) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(name);
        fs::write_atomic(&path, content).expect("written");
        let corpus = Corpus::new(&path, field).map_err(|e| e.to_string())?;
        let mut found = Vec::new();
        let slot = &mut found;
        visit(&corpus, move |text| {
            slot.push(text.to_owned());
            Ok(())
        })
        .map_err(|e| {
            let text = e.to_string();
            text.replace(&path.display().to_string(), name)
        })?;
        Ok(found)
    }

    #[test]
    fn every_format_gives_its_texts() {
        for (name, content, field, expected) in [
            (
                "a.txt",
                "금리\r\n\n환율 상승".as_bytes(),
                None,
                vec!["금리", "환율 상승"],
            ),
            ("a.txt", "\u{feff}금리\n".as_bytes(), None, vec!["금리"]),
            (
                "a.jsonl",
                "{\"text\": \"금\\n리\"}\n{\"text\": \"b\"}".as_bytes(),
                None,
                vec!["금\n리", "b"],
            ),
            (
                "a.ndjson",
                "{\"a\": {\"b\": \"x\"}}\n".as_bytes(),
                Some("a.b"),
                vec!["x"],
            ),
            (
                "a.csv",
                "\u{feff}id,body\n1,\"금\n리, 인상\"\n2,\n3,b\n".as_bytes(),
                Some("body"),
                vec!["금\n리, 인상", "b"],
            ),
            ("a.tsv", b"x\ty\n1\tz\n", Some("2"), vec!["z"]),
        ] {
            assert_eq!(
                texts(name, content, field),
                Ok(expected.iter().map(|s| (*s).to_owned()).collect()),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (name, content, field, says) in [
            (
                "a.txt",
                b"ok\n\xb1\xdd\xb8\xae\n".as_slice(),
                None,
                "a.txt:2: the line is not UTF-8",
            ),
            (
                "a.jsonl",
                b"{\"text\": 1}",
                None,
                "a.jsonl:1: expected text in `text`, found a number",
            ),
            (
                "a.jsonl",
                b"{\"text\": \"\"}\n{\"b\": 1}",
                None,
                "a.jsonl:2: no field `text`, found `b`",
            ),
            ("a.jsonl", b"x", None, "a.jsonl:1: not a JSON object"),
            (
                "a.csv",
                b"id,body\n1,x\n",
                None,
                "a.csv:1: no column `text`, found `id`, `body`",
            ),
            (
                "a.csv",
                b"text\n1,x\n",
                None,
                "a.csv:2: expected 1 fields, found 2",
            ),
            ("a.txt", b"\x1f\x8b\x08", None, "a.txt: this is a gzip file"),
            (
                "a.csv",
                b"<!DOCTYPE html>",
                None,
                "a.csv: this is a web page",
            ),
            (
                "a.txt",
                b"\xff\xfea\0",
                None,
                "a.txt: this is text in UTF-16",
            ),
            ("a.txt", b" \n\n", None, "a.txt: the corpus holds no text"),
            ("a.csv", b"text\n", None, "a.csv: the corpus holds no text"),
            ("a.json", b"[]", None, ""),
            (
                "a.jsonl",
                b"{\"text\": \"a\", \"text\": \"b\"}",
                None,
                "a.jsonl:1: not a JSON object: the key `text` occurs twice, at positions 1 and 2",
            ),
            (
                "a.csv",
                b"text,text\na,b\n",
                None,
                "a.csv:1: the column `text` occurs twice, at positions 1 and 2",
            ),
            (
                "a.csv",
                b"id,text\n1,\"a\n2,b\n3,c\n",
                None,
                "a.csv:2: a quote is opened here and never closed (column 3)",
            ),
            ("a.txt", b"x", Some("text"), ""),
        ] {
            let error = texts(name, content, field).expect_err(name);
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn a_line_without_end_is_cut_at_white_space_and_loses_nothing() {
        let word = "가나다라 ".repeat(LONGEST_LINE / 4);
        let found = texts("a.txt", word.as_bytes(), None).expect("texts");
        assert!(found.len() > 1);
        assert!(found.iter().all(|t| t.len() <= LONGEST_LINE + BLOCK));
        assert_eq!(found.concat().split_whitespace().count(), LONGEST_LINE / 4);
        let solid = "가".repeat(LONGEST_LINE);
        let found = texts("a.txt", solid.as_bytes(), None).expect("texts");
        assert_eq!(found.concat().chars().count(), LONGEST_LINE);
    }
}
