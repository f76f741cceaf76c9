//! What was answered and paid for: one `SQLite` file, so that a killed run goes on and nothing is
//! paid twice.
//!
//! `calls` holds only answers that were understood. `spend` has a line for every reply, those
//! that were not understood too: they cost as well. The file is in WAL mode and every answer is its
//! own transaction, written through to the disk before the next question.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use crate::MineError;
use korfinsts_base::fs;

/// Version of the file's schema.
const SCHEMA: i64 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, verdict TEXT NOT NULL, reason TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, role TEXT NOT NULL, step TEXT NOT NULL, model TEXT NOT NULL,
    prompt TEXT NOT NULL, schema TEXT NOT NULL, parameters TEXT NOT NULL, document TEXT NOT NULL,
    input TEXT NOT NULL, sample INTEGER NOT NULL, answer TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spend (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, role TEXT NOT NULL, understood INTEGER NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL
);
CREATE TABLE IF NOT EXISTS triplets (
    id TEXT PRIMARY KEY, document TEXT NOT NULL, row TEXT NOT NULL
) WITHOUT ROWID;
";

/// The state of a run folder. Used from several threads.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Key of the call.
    pub key: String,
    /// `generator` or `judge`.
    pub role: String,
    /// Step.
    pub step: String,
    /// Model.
    pub model: String,
    /// Version of the prompt.
    pub prompt: String,
    /// blake3 of the schema, 12 digits.
    pub schema: String,
    /// Parameters as JSON.
    pub parameters: String,
    /// Document.
    pub document: String,
    /// blake3 of the input, 32 digits.
    pub input: String,
    /// Repetition.
    pub sample: u32,
    /// The answer as JSON.
    pub answer: String,
    /// Tokens of the prompt, where counted.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, where counted.
    pub completion_tokens: Option<u64>,
    /// US dollars, where known.
    pub cost: Option<f64>,
}

/// What was spent so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Replies.
    pub replies: u64,
    /// Replies that were not understood.
    pub wasted: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// US dollars; `None` where no reply has a cost.
    pub dollars: Option<f64>,
}

impl State {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When it cannot be opened, is no such file, or is of a newer version.
    pub fn open(path: &Path) -> Result<Self, MineError> {
        if let Some(folder) = path.parent() {
            fs::create_dir(folder)?;
        }
        let connection = Connection::open(path).map_err(at(path))?;
        connection
            .busy_timeout(std::time::Duration::from_secs(30))
            .map_err(at(path))?;
        let version: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(at(path))?;
        if version > SCHEMA {
            return Err(MineError::data(
                path,
                crate::Place::Whole,
                format!("its version is {version}, this program knows {SCHEMA}"),
                Some("use the newer korfinsts that wrote it, or another folder"),
            ));
        }
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {TABLES} PRAGMA user_version = {SCHEMA};"
            ))
            .map_err(at(path))?;
        Ok(Self {
            path: path.to_owned(),
            connection: Mutex::new(connection),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held leaves a transaction rolled back.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer of a key.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn answer(&self, key: &str) -> Result<Option<String>, MineError> {
        self.lock()
            .query_row("SELECT answer FROM calls WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .optional()
            .map_err(at(&self.path))
    }

    /// Keeps an answer and what it cost, both or neither.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, kept: &Kept) -> Result<(), MineError> {
        let mut connection = self.lock();
        let wrong = at(&self.path);
        let transaction = connection.transaction().map_err(&wrong)?;
        transaction
            .execute(
                "INSERT OR REPLACE INTO calls VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
                params![
                    kept.key,
                    kept.role,
                    kept.step,
                    kept.model,
                    kept.prompt,
                    kept.schema,
                    kept.parameters,
                    kept.document,
                    kept.input,
                    kept.sample,
                    kept.answer,
                    kept.prompt_tokens.map(|n| n as i64),
                    kept.completion_tokens.map(|n| n as i64),
                    kept.cost
                ],
            )
            .map_err(&wrong)?;
        let tokens = [kept.prompt_tokens, kept.completion_tokens];
        let spending = Spending {
            key: &kept.key,
            role: &kept.role,
            understood: true,
            tokens,
            cost: kept.cost,
        };
        spend(&transaction, &spending).map_err(&wrong)?;
        transaction.commit().map_err(&wrong)
    }

    /// Notes the cost of a reply that was not understood.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn waste(
        &self,
        key: &str,
        role: &str,
        tokens: [Option<u64>; 2],
        cost: Option<f64>,
    ) -> Result<(), MineError> {
        let spending = Spending {
            key,
            role,
            understood: false,
            tokens,
            cost,
        };
        spend(&self.lock(), &spending).map_err(at(&self.path))
    }

    /// What was spent so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn spent(&self) -> Result<Spent, MineError> {
        self.lock()
            .query_row(
                "SELECT COUNT(*), COALESCE(SUM(1 - understood), 0), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0), SUM(cost) FROM spend",
                [],
                |row| {
                    let count = |n: i64| n.max(0) as u64;
                    Ok(Spent {
                        replies: count(row.get(0)?),
                        wasted: count(row.get(1)?),
                        prompt_tokens: count(row.get(2)?),
                        completion_tokens: count(row.get(3)?),
                        dollars: row.get(4)?,
                    })
                },
            )
            .map_err(at(&self.path))
    }

    /// Every answer, by key.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn calls(&self) -> Result<Vec<Kept>, MineError> {
        let connection = self.lock();
        let wrong = at(&self.path);
        let mut statement = connection
            .prepare("SELECT * FROM calls ORDER BY key")
            .map_err(&wrong)?;
        let rows = statement
            .query_map([], |row| {
                let tokens = |n: Option<i64>| n.map(|n| n.max(0) as u64);
                Ok(Kept {
                    key: row.get(0)?,
                    role: row.get(1)?,
                    step: row.get(2)?,
                    model: row.get(3)?,
                    prompt: row.get(4)?,
                    schema: row.get(5)?,
                    parameters: row.get(6)?,
                    document: row.get(7)?,
                    input: row.get(8)?,
                    sample: row.get(9)?,
                    answer: row.get(10)?,
                    prompt_tokens: tokens(row.get(11)?),
                    completion_tokens: tokens(row.get(12)?),
                    cost: row.get(13)?,
                })
            })
            .map_err(&wrong)?;
        rows.collect::<Result<_, _>>().map_err(&wrong)
    }

    /// Writes the verdicts of documents and the triplets, in one transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(
        &self,
        verdicts: &BTreeMap<String, (String, String)>,
        triplets: &[(String, String, String)],
    ) -> Result<(), MineError> {
        let mut connection = self.lock();
        let wrong = at(&self.path);
        let transaction = connection.transaction().map_err(&wrong)?;
        transaction
            .execute_batch("DELETE FROM documents; DELETE FROM triplets;")
            .map_err(&wrong)?;
        for (id, (verdict, reason)) in verdicts {
            transaction
                .execute(
                    "INSERT INTO documents VALUES (?1,?2,?3)",
                    params![id, verdict, reason],
                )
                .map_err(&wrong)?;
        }
        for (id, document, row) in triplets {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO triplets VALUES (?1,?2,?3)",
                    params![id, document, row],
                )
                .map_err(&wrong)?;
        }
        transaction.commit().map_err(&wrong)
    }
}

fn at(path: &Path) -> impl Fn(rusqlite::Error) -> MineError + '_ {
    move |source| MineError::State {
        path: path.to_owned(),
        source,
    }
}

/// What a reply cost.
struct Spending<'a> {
    key: &'a str,
    role: &'a str,
    understood: bool,
    /// Of its prompt and its answer.
    tokens: [Option<u64>; 2],
    cost: Option<f64>,
}

fn spend(database: &Connection, spending: &Spending<'_>) -> rusqlite::Result<()> {
    let Spending {
        key,
        role,
        understood,
        tokens,
        cost,
    } = *spending;
    let [prompt, completion] = tokens.map(|n| n.map(|n| n as i64));
    database
        .execute(
            "INSERT INTO spend (key, role, understood, prompt_tokens, completion_tokens, cost) VALUES (?1,?2,?3,?4,?5,?6)",
            params![key, role, understood, prompt, completion, cost],
        )
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(key: &str) -> Kept {
        Kept {
            key: key.into(),
            role: "generator".into(),
            step: "negative".into(),
            model: "m".into(),
            prompt: "p".into(),
            schema: "s".into(),
            parameters: "{}".into(),
            document: "d".into(),
            input: "i".into(),
            sample: 0,
            answer: "{}".into(),
            prompt_tokens: Some(10),
            completion_tokens: None,
            cost: Some(0.5),
        }
    }

    #[test]
    fn answers_and_their_costs_are_there_after_the_file_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/state.sqlite");
        {
            let state = State::open(&path).expect("opened");
            assert_eq!(state.answer("k").expect("read"), None);
            state.keep(&kept("k")).expect("kept");
            state
                .waste("k", "generator", [Some(7), Some(3)], None)
                .expect("noted");
        }
        let state = State::open(&path).expect("opened again");
        assert_eq!(state.answer("k").expect("read").as_deref(), Some("{}"));
        assert_eq!(state.calls().expect("read"), [kept("k")]);
        let spent = state.spent().expect("read");
        assert_eq!((spent.replies, spent.wasted), (2, 1));
        assert_eq!((spent.prompt_tokens, spent.completion_tokens), (17, 3));
        assert_eq!(spent.dollars, Some(0.5));
    }

    #[test]
    fn what_is_no_state_is_refused_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.sqlite");
        fs::write_atomic(&path, b"not a database, but long enough to be read as one")
            .expect("written");
        let error = State::open(&path).expect_err("refused").to_string();
        assert!(error.contains("state.sqlite"), "{error}");
        let newer = folder.path().join("newer.sqlite");
        Connection::open(&newer)
            .and_then(|c| c.execute_batch("PRAGMA user_version = 9"))
            .expect("made");
        let error = State::open(&newer).expect_err("refused").to_string();
        assert!(error.contains("its version is 9"), "{error}");
    }
}
