//! A sample of the passages for two raters, and how far they agree.
//!
//! The sample is `max(share, least)` passages of each source; `overlap` of it is rated by both, the
//! rest by one or the other. To add a question: a line in [`QUESTIONS`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::document::{draw, passages};
use super::{MineError, Place, RunFolder};
use korfinsts_base::delimited::{RowError, Rows};
use korfinsts_base::table::Table;
use korfinsts_base::{fs, json};
use korfinsts_metric::{Measurement, krippendorff};

/// What a rater answers with 1 (yes) or 0 (no): the column and the question.
pub const QUESTIONS: [(&str, &str); 3] = [
    (
        "whole",
        "Is the text whole and readable, without noise that gets in the way?",
    ),
    (
        "financial",
        "Is it about finance, and of the source it is said to be of?",
    ),
    (
        "factual",
        "Is there nothing in it that you know to be wrong?",
    ),
];

/// How much is sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    /// Share of each source's passages, 0 to 1.
    pub share: f64,
    /// Least passages of each source; all where it has fewer.
    pub least: usize,
    /// Share of the sample that both raters see, 0 to 1.
    pub overlap: f64,
    /// Seed of the draw.
    pub seed: u64,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            share: 0.05,
            least: 457,
            overlap: 0.2,
            seed: 0,
        }
    }
}

/// What was sampled of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sampled {
    /// Kind of text.
    pub source: String,
    /// Its passages.
    pub passages: usize,
    /// Those in the sample.
    pub sampled: usize,
    /// Those that both raters see.
    pub both: usize,
}

/// The path of a rater's sheet, 1 or 2.
#[must_use]
pub fn sheet(folder: &RunFolder, rater: usize) -> PathBuf {
    folder.audit().join(format!("rater-{rater}.csv"))
}

/// Draws the sample and writes a sheet for each rater: CSV in which no cell begins a formula.
///
/// # Errors
/// When there are no passages, a sheet is there already, or a file cannot be read or written.
pub fn sample(folder: &RunFolder, options: SampleOptions) -> Result<Vec<Sampled>, MineError> {
    for rater in [1, 2] {
        let path = sheet(folder, rater);
        if fs::exists(&path) {
            return Err(MineError::data(
                &path,
                Place::Whole,
                "the sheet is there already, and may hold answers",
                Some("move it away to draw again"),
            ));
        }
    }
    let mut sources: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    passages(folder, &mut |number, document| {
        let lot = lot(&document.id, options.seed);
        sources
            .entry(document.source)
            .or_default()
            .push((lot, number));
        Ok(true)
    })?;
    // Line of a passage to the raters who see it.
    let mut chosen: BTreeMap<u64, [bool; 2]> = BTreeMap::new();
    let mut sampled = Vec::new();
    for (source, mut drawn) in sources {
        drawn.sort_unstable();
        let share = (options.share * drawn.len() as f64).ceil() as usize;
        let count = share.max(options.least).min(drawn.len());
        let both = (options.overlap * count as f64).ceil() as usize;
        sampled.push(Sampled {
            source,
            passages: drawn.len(),
            sampled: count,
            both: both.min(count),
        });
        for (i, (_, number)) in drawn.into_iter().take(count).enumerate() {
            let raters = if i < both {
                [true, true]
            } else {
                [i % 2 == 0, i % 2 == 1]
            };
            chosen.insert(number, raters);
        }
    }
    let mut head = vec!["id", "source", "language", "corpus", "origin", "text"];
    head.extend(QUESTIONS.iter().map(|(name, _)| *name));
    head.push("comment");
    let mut sheets = [Table::new("", &head), Table::new("", &head)];
    passages(folder, &mut |number, document| {
        let Some(raters) = chosen.get(&number) else {
            return Ok(true);
        };
        for (sheet, rates) in sheets.iter_mut().zip(raters) {
            if *rates {
                let mut row = vec![
                    document.id.clone(),
                    document.source.clone(),
                    document.language.clone(),
                    document.corpus.clone(),
                    document.origin.clone(),
                    document.text.clone(),
                ];
                row.resize(head.len(), String::new());
                sheet.push(row);
            }
        }
        Ok(true)
    })?;
    for (i, table) in sheets.iter().enumerate() {
        fs::write_atomic(&sheet(folder, i + 1), table.to_csv().as_bytes())?;
    }
    let guide: String = QUESTIONS
        .iter()
        .map(|(name, question)| format!("- `{name}`: {question} 1 for yes, 0 for no.\n"))
        .collect();
    let guide =
        format!("Fill in a column for each question; leave the others as they are.\n\n{guide}");
    fs::write_atomic(&folder.audit().join("guide.md"), guide.as_bytes())?;
    Ok(sampled)
}

/// The position of a passage in a draw.
pub(crate) fn lot(id: &str, seed: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(id.as_bytes());
    draw(&hasher.finalize())
}

/// Agreement on one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuestionAgreement {
    /// Column of the question.
    pub question: String,
    /// Passages that both answered.
    pub units: usize,
    /// Share of them with the same answer; absent without units.
    pub same: Option<f64>,
    /// Krippendorff's alpha, nominal; absent where it does not exist (all answers alike).
    pub alpha: Option<f64>,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub high: Option<f64>,
    /// Answers of both raters together, and those that say yes.
    pub answers: [usize; 2],
}

/// `audit/agreement.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditAgreement {
    /// The sheets that were read.
    pub sheets: [String; 2],
    /// By question.
    pub questions: Vec<QuestionAgreement>,
}

type Answers = BTreeMap<String, Vec<Option<bool>>>;

/// Reads two filled sheets, measures how far they agree, and keeps that in the run folder.
///
/// # Errors
/// When a sheet cannot be read, lacks a column, or holds an answer that is neither 1 nor 0; when no
/// passage has an answer of both.
pub fn agreement(folder: &RunFolder, sheets: [&Path; 2]) -> Result<AuditAgreement, MineError> {
    let [first, second] = [read(sheets[0])?, read(sheets[1])?];
    let mut questions = Vec::new();
    for (i, (question, _)) in QUESTIONS.iter().enumerate() {
        let mut units = Vec::new();
        for (id, answers) in &first {
            let other = second.get(id).and_then(|a| a[i]);
            if let (Some(a), Some(b)) = (answers[i], other) {
                units.push(vec![f64::from(u8::from(a)), f64::from(u8::from(b))]);
            }
        }
        let all = first.values().chain(second.values()).filter_map(|a| a[i]);
        let answers = all.fold([0, 0], |[n, yes], a| [n + 1, yes + usize::from(a)]);
        let same = units.iter().filter(|u| u[0] == u[1]).count();
        let alpha = krippendorff(&units, Measurement::Nominal, 1000, 0);
        questions.push(QuestionAgreement {
            question: (*question).to_owned(),
            units: units.len(),
            same: (!units.is_empty()).then(|| same as f64 / units.len() as f64),
            alpha: alpha.map(|a| a.alpha),
            low: alpha.map(|a| a.low),
            high: alpha.map(|a| a.high),
            answers,
        });
    }
    if questions.iter().all(|q| q.units == 0) {
        return Err(MineError::data(
            sheets[1],
            Place::Whole,
            format!(
                "no passage has an answer here and in `{}`",
                sheets[0].display()
            ),
            Some("are both sheets filled in, and of the same sample?"),
        ));
    }
    let found = AuditAgreement {
        sheets: sheets.map(|p| p.display().to_string()),
        questions,
    };
    let json = json::pretty(&found);
    fs::write_atomic(&folder.audit().join("agreement.json"), &json)?;
    Ok(found)
}

fn read(path: &Path) -> Result<Answers, MineError> {
    if !fs::exists(path) {
        return Err(MineError::data(
            path,
            Place::Whole,
            "there is no such sheet",
            Some("`korfinsts mine audit sheet` writes one for each of two raters"),
        ));
    }
    let bytes = fs::read(path)?;
    // Spreadsheets of some countries write semicolons.
    let head = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let delimiter = if head.contains(&b',') { b',' } else { b';' };
    let mut rows = Rows::new(bytes.as_slice(), delimiter);
    let wrong = |line: u64, reason: String, hint: &str| {
        MineError::data(path, Place::Line(line), reason, Some(hint))
    };
    let hint = "save the sheet as CSV in UTF-8, with its columns as they were";
    let unread = |e: RowError| wrong(e.line, e.problem.to_string(), hint);
    let header = rows.header().map_err(unread)?;
    let column = |name: &str| {
        header.position(name).ok_or_else(|| {
            let found: Vec<&str> = header.iter().collect();
            wrong(
                1,
                format!("no column `{name}`, found {}", found.join(", ")),
                hint,
            )
        })
    };
    let id = column("id")?;
    let columns: Vec<usize> = QUESTIONS
        .iter()
        .map(|(name, _)| column(name))
        .collect::<Result<_, _>>()?;
    let mut answers = Answers::new();
    for record in rows {
        let record = record.map_err(unread)?;
        let row = columns
            .iter()
            .zip(QUESTIONS)
            .map(
                |(at, (name, _))| match record.get(*at).unwrap_or_default().trim() {
                    "" => Ok(None),
                    "1" => Ok(Some(true)),
                    "0" => Ok(Some(false)),
                    other => Err(wrong(
                        record.line,
                        format!("found `{}` in `{name}`", other.escape_debug()),
                        "answer 1 for yes or 0 for no, or leave it empty",
                    )),
                },
            )
            .collect::<Result<_, _>>()?;
        answers.insert(record.get(id).unwrap_or_default().to_owned(), row);
    }
    Ok(answers)
}
