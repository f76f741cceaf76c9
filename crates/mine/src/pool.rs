//! The documents that passed the row steps, as little of each as the later steps need.
//!
//! A shard leaves its documents (`survivors.jsonl`), one fixed-size entry for each
//! (`entries.bin`), and what it counted (`shard.json`).

use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::minhash::{BINS, Signature};
use super::{MineError, Place};
use korfinsts_base::fs;

/// Bytes of an entry on disk.
const ENTRY: usize = 16 + BINS + 2 + 4 + 8 + 4 + 4 + 4 + 4;
const MAGIC: &[u8; 8] = b"kfmine01";

/// How a document touches a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// It is a text of the suite.
    Exact,
    /// It holds most 13-character-grams of one.
    Grams,
    /// It is like one.
    MinHash,
}

impl Contact {
    const ALL: [Self; 3] = [Self::Exact, Self::Grams, Self::MinHash];

    /// The reason in verdicts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "suite-text",
            Self::Grams => "suite-13-grams",
            Self::MinHash => "suite-minhash",
        }
    }
}

/// One document.
#[derive(Debug, Clone, Copy)]
pub struct PooledPassage {
    /// Id of its text, as bytes.
    pub id: [u8; 16],
    /// Signature of its text.
    pub signature: Signature,
    /// Number of its corpus in the run.
    pub corpus: u16,
    /// Number of its file in the corpus.
    pub file: u32,
    /// Its number in the file.
    pub row: u64,
    /// Number of its group in [`Pool::groups`].
    pub group: u32,
    /// Most tokens it may have.
    pub tokens: u32,
    /// Bytes of its line in `survivors.jsonl`, the line end included.
    pub bytes: u32,
    /// How it touches which suite.
    pub contact: Option<(Contact, u16)>,
}

/// What documents are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Id of the corpus.
    pub corpus: String,
    /// Kind of text.
    pub source: String,
    /// Language and script.
    pub language: String,
    /// Licence of the rows.
    pub licence: String,
}

/// The documents of all shards in the order of the corpora.
#[derive(Debug, Default)]
pub struct Pool {
    /// The documents.
    pub entries: Vec<PooledPassage>,
    /// The groups they belong to.
    pub groups: Vec<Group>,
    /// Names of the suites that were looked for.
    pub suites: Vec<String>,
    /// Names of the files, by corpus.
    pub files: Vec<Vec<String>>,
}

impl Pool {
    /// Where a document comes from, with its corpus before it.
    #[must_use]
    pub fn origin(&self, at: usize) -> String {
        let entry = &self.entries[at];
        let corpus = &self.groups[entry.group as usize].corpus;
        format!("{corpus}/{}", self.place(at))
    }

    /// The position of a document in its corpus.
    #[must_use]
    pub fn place(&self, at: usize) -> String {
        let entry = &self.entries[at];
        let file = self
            .files
            .get(usize::from(entry.corpus))
            .and_then(|f| f.get(entry.file as usize))
            .map_or("?", String::as_str);
        format!("{file}:{}", entry.row)
    }
}

/// Writes the entries of a shard one after another.
pub struct Writer {
    path: PathBuf,
    file: BufWriter<std::fs::File>,
}

impl Writer {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> Result<Self, MineError> {
        let mut file = BufWriter::with_capacity(1 << 18, fs::create(path)?);
        file.write_all(MAGIC).map_err(fs::at("write", path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, entry: &PooledPassage) -> Result<(), MineError> {
        let contact = match entry.contact {
            Some((how, suite)) => (how as u32 + 1) << 16 | u32::from(suite),
            None => 0,
        };
        let mut bytes = [0; ENTRY];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(&entry.id);
        put(&entry.signature.0);
        put(&entry.corpus.to_le_bytes());
        put(&entry.file.to_le_bytes());
        put(&entry.row.to_le_bytes());
        put(&entry.group.to_le_bytes());
        put(&entry.tokens.to_le_bytes());
        put(&entry.bytes.to_le_bytes());
        put(&contact.to_le_bytes());
        self.file
            .write_all(&bytes)
            .map_err(fs::at("write", &self.path))?;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), MineError> {
        self.file.flush().map_err(fs::at("write", &self.path))?;
        Ok(())
    }
}

/// Reads the entries of a shard; `groups` gives the number of each of its groups in the pool.
///
/// # Errors
/// When the file cannot be read, or is not one that a shard left.
pub fn read(
    path: &Path,
    groups: &[u32],
    entries: &mut Vec<PooledPassage>,
) -> Result<(), MineError> {
    let damaged = |row: u64| {
        MineError::data(
            path,
            Place::Row(row),
            "the file is cut off or was not left by this program",
            Some("run the shard again"),
        )
    };
    let mut file = BufReader::with_capacity(1 << 18, fs::open(path)?);
    let mut magic = [0; 8];
    file.read_exact(&mut magic).map_err(|_| damaged(0))?;
    if magic != *MAGIC {
        return Err(damaged(0));
    }
    let mut bytes = [0; ENTRY];
    for row in 1.. {
        let mut held = 0;
        while held < ENTRY {
            match file.read(&mut bytes[held..]) {
                Ok(0) if held == 0 => return Ok(()),
                Ok(0) => return Err(damaged(row)),
                Ok(n) => held += n,
                Err(e) => return Err(fs::at("read", path)(e).into()),
            }
        }
        let mut rest = &bytes[..];
        let id = take::<16>(&mut rest);
        let signature = Signature(take::<BINS>(&mut rest));
        let corpus = u16::from_le_bytes(take(&mut rest));
        let in_corpus = u32::from_le_bytes(take(&mut rest));
        let number = u64::from_le_bytes(take(&mut rest));
        let group = u32::from_le_bytes(take(&mut rest));
        let tokens = u32::from_le_bytes(take(&mut rest));
        let length = u32::from_le_bytes(take(&mut rest));
        let contact = u32::from_le_bytes(take(&mut rest));
        let how = (contact >> 16) as usize;
        entries.push(PooledPassage {
            id,
            signature,
            corpus,
            file: in_corpus,
            row: number,
            group: *groups.get(group as usize).ok_or_else(|| damaged(row))?,
            tokens,
            bytes: length,
            contact: match how {
                0 => None,
                _ => Some((
                    *Contact::ALL.get(how - 1).ok_or_else(|| damaged(row))?,
                    contact as u16,
                )),
            },
        });
    }
    Ok(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let mut part = [0; N];
    let (head, tail) = rest.split_at(N);
    part.copy_from_slice(head);
    *rest = tail;
    part
}
