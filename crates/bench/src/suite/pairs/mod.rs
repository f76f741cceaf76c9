//! A file of pairs of one's own as a suite. Its format, encoding, columns and scale are guessed, and what
//! was guessed is said. To add a usual name of a column: its place in `names.rs`.

mod columns;
mod folder;
mod names;
mod rows;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::error::{Finding, Level, Place, Problem};
use super::format::{Cell, Record};
use super::load::{Located, release_id};
use super::{Pair, Scale, ScaleKind, Suite, SuiteError};
use columns::Columns;
use korfinsts_base::text::is_hangul;

/// How the version of a suite begins that is a file; the first digits of its release id follow.
pub const OF_FILE: &str = "file-";
/// Name of the rows in the folder of a suite.
pub(super) const ROWS: &str = "pairs.jsonl";
/// Name of the only split.
const SPLIT: &str = "test";
/// Fewest pairs of which a correlation exists.
const FEWEST: usize = 3;

/// What a column of a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// First text.
    Sentence1,
    /// Second text.
    Sentence2,
    /// Gold score.
    Score,
    /// Domain; no file needs one.
    Domain,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Sentence1, Self::Sentence2, Self::Score, Self::Domain];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sentence1 => "sentence1",
            Self::Sentence2 => "sentence2",
            Self::Score => "score",
            Self::Domain => "domain",
        }
    }

    /// The role and the column of `sentence1=NAME`.
    ///
    /// # Errors
    /// What was found and what is allowed.
    pub fn parse(text: &str) -> Result<(Self, String), String> {
        let roles = Self::ALL.map(Self::name).join(", ");
        let (name, column) = text.split_once('=').ok_or_else(|| {
            format!("found no `=`; a column is named as in `score=NAME` (of {roles})")
        })?;
        let role = Self::ALL.into_iter().find(|r| r.name() == name.trim());
        let role = role.ok_or_else(|| format!("found `{name}`; columns are {roles}"))?;
        Ok((role, column.to_owned()))
    }
}

/// What is known of a file and need not be guessed.
#[derive(Debug, Clone, Default)]
pub struct PairsOptions {
    /// Names of columns; those without a name are guessed.
    pub columns: BTreeMap<Role, String>,
    /// Languages with script, as `kor-Hang`; none: guessed.
    pub languages: Vec<String>,
}

/// A file of pairs that was read.
#[derive(Debug, Clone)]
pub struct OwnPairs {
    /// Its pairs, under the name of the file.
    pub suite: Suite,
    /// What was guessed, in lines for whoever asked.
    pub said: Vec<String>,
    rows: Vec<u8>,
}

/// A row as the folder of a suite holds it.
#[derive(Serialize)]
struct Row<'a> {
    sentence1: &'a str,
    sentence2: &'a str,
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
}

impl OwnPairs {
    /// Reads the bytes of a file. `path` names the suite and is shown in errors.
    ///
    /// # Errors
    /// When the file is not of a known format or encoding, a column is not found, a text is empty, a gold
    /// score is no number, or there are too few pairs or only one gold score.
    pub fn read(path: &Path, bytes: &[u8], options: &PairsOptions) -> Result<Self, SuiteError> {
        let read = rows::read(path, bytes)?;
        if read.table.records.is_empty() {
            return Err(refused(path, Vec::new()));
        }
        let columns = Columns::find(&read.table, &options.columns)
            .map_err(|problem| refused(path, vec![(Place::File, problem)]))?;
        let pairs = pairs(path, &read.table.records, &columns)?;
        let rows = to_jsonl(&pairs);
        let release_id = release_id(&[Located {
            path: path.to_owned(),
            name: ROWS.to_owned(),
            bytes: rows.clone(),
            domain: None,
            gold: None,
        }]);
        let scale = scale(&pairs);
        let languages = if options.languages.is_empty() {
            languages(&pairs)
        } else {
            options.languages.clone()
        };
        let id = pairs_id(path);
        let gold = match scale.kind {
            ScaleKind::Binary => "gold binary".to_owned(),
            _ => format!("gold {} to {}", scale.min, scale.max),
        };
        let said = vec![
            format!(
                "{id}: {} pairs, {}, {gold}, {}",
                pairs.len(),
                read.form,
                languages.join(" and ")
            ),
            format!("  {}", columns.said()),
        ];
        let suite = Suite {
            id,
            version: format!("{OF_FILE}{}", &release_id[..8]),
            split: SPLIT.to_owned(),
            languages,
            scale,
            pairs,
            release_id,
            redistributable: false,
            triplets: None,
            cluster: None,
            mteb_task: None,
            hub_revision: None,
            warnings: Vec::new(),
        };
        Ok(Self { suite, said, rows })
    }
}

/// Name of the suite that is a file: that of the file.
#[must_use]
pub fn pairs_id(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let name: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    korfinsts_base::text::nfc(&name)
}

/// The error of a file: the first problem, and how many rows have one like it.
fn refused(path: &Path, problems: Vec<(Place, Problem)>) -> SuiteError {
    let more = problems.len().saturating_sub(1);
    let first = problems.into_iter().next();
    let (place, problem) = first.unwrap_or((Place::File, Problem::NoPair { rows: 0 }));
    SuiteError::Pairs {
        first: Box::new(Finding {
            path: path.to_owned(),
            place,
            problem,
        }),
        more,
    }
}

/// As [`refused`], of what the readers of formats found, where there is an error.
fn refuse(findings: Vec<Finding>) -> Result<(), SuiteError> {
    let is_error = |f: &Finding| f.problem.level() == Level::Error;
    let mut errors: Vec<Finding> = findings.into_iter().filter(is_error).collect();
    if errors.is_empty() {
        return Ok(());
    }
    let mut first = errors.swap_remove(0);
    if let Problem::Unread { hint, .. } = &mut first.problem {
        // There is no suite.toml to say so in.
        let own = hint.split("; where quotes are").next().map(str::to_owned);
        *hint = own.unwrap_or_default();
    }
    Err(SuiteError::Pairs {
        first: Box::new(first),
        more: errors.len(),
    })
}

fn pairs(path: &Path, records: &[Record], columns: &Columns) -> Result<Vec<Pair>, SuiteError> {
    let mut pairs = Vec::new();
    let mut problems = Vec::new();
    for record in records {
        match pair(record, columns) {
            Ok(pair) => pairs.push(pair),
            Err(problem) => problems.push((record.place, problem)),
        }
    }
    if !problems.is_empty() {
        return Err(refused(path, problems));
    }
    let wrong = |reason: String, hint: &str| {
        let hint = hint.to_owned();
        Err(refused(
            path,
            vec![(Place::File, Problem::Unread { reason, hint })],
        ))
    };
    if pairs.len() < FEWEST {
        return wrong(
            format!(
                "the number of pairs is {}, at least {FEWEST} are needed",
                pairs.len()
            ),
            "no correlation has fewer; is the file cut short?",
        );
    }
    let first = pairs[0].gold;
    if pairs.iter().all(|p| p.gold == first) {
        return wrong(
            format!("the score of every pair is {first}: two different ones are needed"),
            "is it the right column? `--columns score=NAME` names another",
        );
    }
    Ok(pairs)
}

fn pair(record: &Record, columns: &Columns) -> Result<Pair, Problem> {
    let text = |role: Role| {
        let column = &columns.lookup[&role];
        let missing = |problem| match problem {
            Problem::WrongType { found, .. } if found == "null" => Ok(String::new()),
            problem => Err(own(problem)),
        };
        let text = record.text(column).or_else(missing)?;
        if text.trim().is_empty() {
            return Err(Problem::Unread {
                reason: format!("the text in `{}` is empty", column.name),
                hint: format!(
                    "remove such rows, or name another column: `--columns {}=NAME`",
                    role.name()
                ),
            });
        }
        Ok(text)
    };
    let domain = columns.lookup.get(&Role::Domain).and_then(|column| {
        let text = record.text(column).ok()?;
        Some(text.trim().to_owned()).filter(|t| !t.is_empty())
    });
    Ok(Pair {
        id: format!("{SPLIT}-{}", record.number),
        sentence1: text(Role::Sentence1)?,
        sentence2: text(Role::Sentence2)?,
        gold: gold(record, columns)?,
        domain,
        labels: BTreeMap::new(),
    })
}

fn gold(record: &Record, columns: &Columns) -> Result<f64, Problem> {
    let column = &columns.lookup[&Role::Score];
    let (number, written) = match record.cell(column).map_err(own)? {
        Cell::Number(number) => (Some(number), number.to_string()),
        Cell::Text(text) => (number(text), format!("`{text}`")),
        Cell::Other(found) => (number(&found), found),
    };
    number
        .filter(|n| n.is_finite())
        .ok_or_else(|| Problem::Unread {
            reason: match &*written {
                "``" | "null" => format!("there is no score in `{}`", column.name),
                _ => format!("the score {written} in `{}` is no number", column.name),
            },
            hint: "a score is a number, `true` or `false`; `--columns score=NAME` names another \
                   column"
                .to_owned(),
        })
}

/// A number, or the truth of two texts being alike. Spreadsheets write a comma before decimals; three
/// digits behind one are thousands, unless a zero is before it.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    match text {
        "true" | "True" | "TRUE" => return Some(1.0),
        "false" | "False" | "FALSE" => return Some(0.0),
        _ => {}
    }
    text.parse().ok().or_else(|| {
        let (whole, decimals) = text.split_once(',')?;
        let thousands = decimals.len() == 3 && whole.trim_start_matches('-') != "0";
        (!thousands).then(|| format!("{whole}.{decimals}").parse().ok())?
    })
}

/// A problem of a column as it is said of a file without a manifest.
fn own(problem: Problem) -> Problem {
    match problem {
        Problem::MissingColumn { .. } => Problem::Unread {
            reason: problem.to_string(),
            hint: "each row needs the same columns".to_owned(),
        },
        Problem::WrongType { .. } => Problem::Unread {
            reason: problem.to_string(),
            hint: "`--columns` names other columns, as in `--columns sentence1=NAME`".to_owned(),
        },
        problem => problem,
    }
}

/// Zeros and ones are a binary scale; anything else runs from the smallest to the largest score.
fn scale(pairs: &[Pair]) -> Scale {
    let gold = || pairs.iter().map(|p| p.gold);
    let binary = gold().all(|g| g == 0.0 || g == 1.0);
    Scale {
        kind: if binary {
            ScaleKind::Binary
        } else {
            ScaleKind::Interval
        },
        min: gold().fold(f64::INFINITY, f64::min),
        max: gold().fold(f64::NEG_INFINITY, f64::max),
    }
}

/// Korean where nine of ten texts hold Hangul, English where nine of ten hold none, else both.
fn languages(pairs: &[Pair]) -> Vec<String> {
    let texts = pairs.iter().flat_map(|p| [&p.sentence1, &p.sentence2]);
    let korean = texts.filter(|t| t.chars().any(is_hangul)).count();
    let share = korean as f64 / (2 * pairs.len()) as f64;
    let of = |language: &str| language.to_owned();
    match share {
        share if share >= 0.9 => vec![of("kor-Hang")],
        share if share <= 0.1 => vec![of("eng-Latn")],
        _ => vec![of("kor-Hang"), of("eng-Latn")],
    }
}

fn to_jsonl(pairs: &[Pair]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for pair in pairs {
        let row = Row {
            sentence1: &pair.sentence1,
            sentence2: &pair.sentence2,
            score: pair.gold,
            domain: pair.domain.as_deref(),
        };
        serde_json::to_writer(&mut bytes, &row).expect("texts and finite numbers serialise");
        bytes.push(b'\n');
    }
    bytes
}
