//! The pairs that negatives are found for: rows of a file, whose columns may have any name.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::{MineError, Place};
use korfinsts_base::fs;
use korfinsts_base::records::objects::{at_path, paths};
use korfinsts_base::records::{self, ENDINGS, Format, Record};

/// A pair, with what its file says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PairRow {
    /// The first text.
    pub anchor: String,
    /// A text that means the same.
    pub positive: String,
    /// The negative that the file has; it is a candidate.
    #[serde(skip)]
    pub negative: Option<String>,
    /// `language`, `source`, `pattern`, `variant` and `origin`, where the file has them.
    #[serde(flatten)]
    pub labels: BTreeMap<&'static str, String>,
}

/// Labels that training reads.
const LABELS: [&str; 5] = ["language", "source", "pattern", "variant", "origin"];

/// Names of columns. A name that is absent is the first of those known that a row has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns(BTreeMap<String, String>);

/// What columns mean, and the names that are known.
const ROLES: [(&str, &[&str]); 3] = [
    ("anchor", &["anchor", "first"]),
    ("positive", &["positive", "second"]),
    ("negative", &["negative"]),
];

impl Columns {
    /// Parses `ROLE=COLUMN` for each column with a name of its own.
    ///
    /// # Errors
    /// When a role is none of `anchor`, `positive`, `negative`.
    pub fn parse(given: &[String]) -> Result<Self, MineError> {
        let mut columns = BTreeMap::new();
        for one in given {
            let role = one.split_once('=').filter(|(role, column)| {
                !column.is_empty() && ROLES.iter().any(|(known, _)| known == role)
            });
            let Some((role, column)) = role else {
                return Err(MineError::usage(
                    format!(
                        "found `--column {one}`, expected ROLE=COLUMN, where ROLE is `anchor`, \
                         `positive` or `negative`"
                    ),
                    "for instance `--column anchor=question --column positive=answer`",
                ));
            };
            columns.insert(role.to_owned(), column.to_owned());
        }
        Ok(Self(columns))
    }

    fn names(&self, role: usize) -> Vec<&str> {
        let (name, known) = ROLES[role];
        match self.0.get(name) {
            Some(column) => vec![column],
            None => known.to_vec(),
        }
    }
}

/// Pairs or triplets of a file in order; at least one.
///
/// # Errors
/// When the file cannot be read, is of no known format, or a row lacks a text.
pub fn read(path: &Path, columns: &Columns) -> Result<Vec<PairRow>, MineError> {
    let name = path.to_string_lossy();
    let format = Format::of(&name).ok_or_else(|| {
        let reason = format!("the end of the name tells no format, expected {ENDINGS}");
        MineError::data(path, Place::Whole, reason, Some("rename the file"))
    })?;
    if !fs::exists(path) {
        let hint = Some("is the path spelled right?");
        return Err(MineError::data(
            path,
            Place::Whole,
            "there is no such file",
            hint,
        ));
    }
    let mut pairs = Vec::new();
    records::each(path, format, &mut |record| {
        pairs.push(pair(path, &record, columns)?);
        Ok::<_, MineError>(())
    })?;
    if pairs.is_empty() {
        let hint = Some("is it empty, or cut short?");
        return Err(MineError::data(
            path,
            Place::Whole,
            "the file holds no row",
            hint,
        ));
    }
    Ok(pairs)
}

fn pair(path: &Path, record: &Record, columns: &Columns) -> Result<PairRow, MineError> {
    let place = Place::Line(record.number);
    let found = |role: usize| {
        let names = columns.names(role);
        names.iter().find_map(|name| at_path(&record.fields, name))
    };
    let text = |role: usize| -> Result<String, MineError> {
        let known = columns.names(role).join("` or `");
        match found(role) {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
            Some(other) => {
                let reason = format!("`{known}` is `{other}`, expected a text");
                Err(MineError::data(path, place, reason, None))
            }
            None => {
                let there = paths(&record.fields).join("`, `");
                let reason = format!("`{known}` is missing; there is `{there}`");
                let hint = format!("name the column with `--column {}=COLUMN`", ROLES[role].0);
                Err(MineError::data(path, place, reason, Some(&hint)))
            }
        }
    };
    let labels = LABELS.iter().filter_map(|&label| {
        let value = record.fields.get(label)?.as_str()?;
        (!value.is_empty()).then(|| (label, value.to_owned()))
    });
    let asked = columns.0.contains_key("negative");
    Ok(PairRow {
        anchor: text(0)?,
        positive: text(1)?,
        negative: (asked || found(2).is_some()).then(|| text(2)).transpose()?,
        labels: labels.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, content: &str, columns: &[&str]) -> Result<Vec<PairRow>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write_atomic(&path, content.as_bytes()).expect("written");
        let columns: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
        let read = Columns::parse(&columns).and_then(|columns| read(&path, &columns));
        read.map_err(|e| {
            let text = format!("{e} / {}", e.hint().unwrap_or_default());
            text.replace(&format!("{}/", folder.path().display()), "")
        })
    }

    #[test]
    fn pairs_and_triplets_are_read_with_their_labels() {
        let pair = |negative: Option<&str>, labels: &[(&'static str, &str)]| PairRow {
            anchor: "a".into(),
            positive: "p".into(),
            negative: negative.map(Into::into),
            labels: labels.iter().map(|(k, v)| (*k, (*v).into())).collect(),
        };
        for (name, content, columns, expected) in [
            ("a.csv", "first,second\na,p\n", &[][..], pair(None, &[])),
            (
                "a.jsonl",
                r#"{"anchor":"a","positive":"p","negative":"n","source":"news","x":1,"origin":""}"#,
                &[],
                pair(Some("n"), &[("source", "news")]),
            ),
            (
                "a.tsv",
                "q\td\th\na\tp\tn\n",
                &["anchor=q", "positive=d", "negative=h"],
                pair(Some("n"), &[]),
            ),
        ] {
            assert_eq!(of(name, content, columns).expect(name), [expected]);
        }
    }

    #[test]
    fn what_is_no_pair_is_named_with_its_place() {
        for (name, content, columns, expected) in [
            (
                "a.txt",
                "a",
                &[][..],
                "a.txt: the end of the name tells no format, expected .jsonl",
            ),
            ("a.jsonl", "\n", &[], "a.jsonl: the file holds no row"),
            (
                "a.csv",
                "question,answer\na,p\n",
                &[],
                "a.csv:2: `anchor` or `first` is missing; there is `question`, `answer` / name the \
                 column with `--column anchor=COLUMN`",
            ),
            (
                "a.csv",
                "first,second\na, \n",
                &[],
                "a.csv:2: `positive` or `second` is `\" \"`",
            ),
            (
                "a.jsonl",
                "{\"first\":\"a\",\"second\":3}",
                &[],
                "a.jsonl:1: `positive` or `second` is `3`",
            ),
            (
                "a.jsonl",
                "{\"first\":\"a\",\"second\":\"p\"}",
                &["negative=h"],
                "a.jsonl:1: `h` is missing",
            ),
            (
                "a.csv",
                "first,second\na,p\n",
                &["query=q"],
                "found `--column query=q`, expected ROLE",
            ),
            (
                "a.csv",
                "first,second\na\n",
                &[],
                "a.csv:2: expected 2 fields, found 1",
            ),
        ] {
            let error = of(name, content, columns).expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
