//! The embedding store: journal of a run and cache between runs in one.
//!
//! A store is a folder of segments, one per process that wrote to it, so that writers never meet.
//! A segment is a sequence of entries; an entry is one whole batch with its checksum:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | magic `KFE1` |
//! | 4 | number of texts `n`, little endian |
//! | 4 | dimension `d`, little endian |
//! | 32 n | BLAKE3 of each text |
//! | 8 n | tokens kept and tokens lost of each text, two u32 |
//! | 4 n d | embeddings, float32, little endian |
//! | 32 | BLAKE3 of all bytes before it |
//!
//! A process killed while writing leaves a torn last entry, which no reader accepts; everything
//! before it counts.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RunError;
use super::record::to_json;
use korfinsts_base::fs;
pub use korfinsts_encoder::TokenCount;

const MAGIC: [u8; 4] = *b"KFE1";
const ABOUT: &str = "encoder.json";
const HEADER: usize = 12;
const CHECKSUM: usize = 32;
/// An entry above this size is damage, not data.
const LARGEST_ENTRY: u64 = 1 << 32;

/// BLAKE3 of a text: its name in a store.
pub type TextKey = [u8; 32];

/// The key of a text.
#[must_use]
pub fn text_key(text: &str) -> TextKey {
    *blake3::hash(text.as_bytes()).as_bytes()
}

/// The encoder that a store belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its name.
    pub encoder: String,
    /// Whether each text was a batch of its own.
    pub one_text_each: bool,
    /// What was found when it was opened and a user should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Embeddings by text, all of one encoder and prompt. Row-major float32.
#[derive(Debug, Default)]
pub struct EmbeddingSet {
    dimension: usize,
    rows: HashMap<TextKey, usize>,
    tokens: Vec<TokenCount>,
    values: Vec<f32>,
}

impl EmbeddingSet {
    /// Number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no text is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Width of an embedding; 0 while the set is empty.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Whether the text is there.
    #[must_use]
    pub fn contains(&self, key: &TextKey) -> bool {
        self.rows.contains_key(key)
    }

    /// The embedding of a text, of length [`Self::dimension`], and its token counts.
    #[must_use]
    pub fn get(&self, key: &TextKey) -> Option<(&[f32], TokenCount)> {
        let &row = self.rows.get(key)?;
        Some((
            &self.values[row * self.dimension..][..self.dimension],
            self.tokens[row],
        ))
    }

    /// Adds a batch; a text that is there already keeps its first embedding.
    ///
    /// # Errors
    /// When the width differs from what is there.
    fn insert(&mut self, batch: &StoreEntry<'_>) -> Result<(), RunError> {
        if self.dimension == 0 {
            self.dimension = batch.dimension;
        }
        if self.dimension != batch.dimension {
            return Err(RunError::Width {
                expected: self.dimension,
                found: batch.dimension,
            });
        }
        for (i, key) in batch.keys.iter().enumerate() {
            if !self.rows.contains_key(key) {
                self.rows.insert(*key, self.tokens.len());
                self.tokens.push(batch.tokens[i]);
                self.values
                    .extend_from_slice(&batch.values[i * batch.dimension..][..batch.dimension]);
            }
        }
        Ok(())
    }
}

/// One batch on its way into a store.
#[derive(Debug, Clone, Copy)]
pub struct StoreEntry<'a> {
    /// Keys of the texts.
    pub keys: &'a [TextKey],
    /// Token counts of the texts.
    pub tokens: &'a [TokenCount],
    /// Embeddings, row-major, `keys.len() * dimension`.
    pub values: &'a [f32],
    /// Width of an embedding.
    pub dimension: usize,
}

impl StoreEntry<'_> {
    fn to_bytes(self) -> Vec<u8> {
        let n = self.keys.len();
        let mut bytes = Vec::with_capacity(entry_size(n as u64, self.dimension as u64) as usize);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&(n as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.dimension as u32).to_le_bytes());
        for key in self.keys {
            bytes.extend_from_slice(key);
        }
        for t in self.tokens {
            bytes.extend_from_slice(&t.kept.to_le_bytes());
            bytes.extend_from_slice(&t.lost.to_le_bytes());
        }
        for value in self.values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }
}

fn entry_size(n: u64, dimension: u64) -> u64 {
    HEADER as u64 + n * (32 + 8 + 4 * dimension) + CHECKSUM as u64
}

/// A store opened for reading, and for writing once [`Store::append`] is called.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    segment: Option<(PathBuf, File, u64)>,
    set: EmbeddingSet,
}

impl Store {
    /// Opens the store in `folder` (which need not exist) and reads every valid entry, in the
    /// order of the segments' names. With `resume = false` what is there is not read.
    ///
    /// # Errors
    /// When a segment cannot be read, or entries disagree on the width.
    pub fn open(folder: &Path, resume: bool) -> Result<Self, RunError> {
        let mut store = Self {
            folder: folder.to_owned(),
            segment: None,
            set: EmbeddingSet::default(),
        };
        if resume {
            for path in segments(folder)? {
                store.read_segment(&path)?;
            }
        }
        Ok(store)
    }

    /// What the store holds.
    #[must_use]
    pub fn set(&self) -> &EmbeddingSet {
        &self.set
    }

    /// Says in the store's folder which encoder it belongs to.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_about(&self, about: &About) -> Result<(), RunError> {
        Ok(fs::write_atomic(&self.folder.join(ABOUT), &to_json(about))?)
    }

    /// What [`Store::set_about`] said; `None` where nothing was said.
    #[must_use]
    pub fn about(&self) -> Option<About> {
        serde_json::from_slice(&fs::read(&self.folder.join(ABOUT)).ok()?).ok()
    }

    /// Writes one whole batch and adds it to the set.
    ///
    /// # Errors
    /// When it cannot be written (a full disk included): then the segment is cut back to its
    /// last whole entry and the set is unchanged.
    pub fn append(&mut self, entry: StoreEntry<'_>) -> Result<(), RunError> {
        let bytes = entry.to_bytes();
        let (path, file, length) = match &mut self.segment {
            Some(segment) => segment,
            None => self.segment.insert(new_segment(&self.folder)?),
        };
        if let Err(source) = file.write_all(&bytes) {
            // The torn entry would be ignored anyway; cutting it gives the space back.
            let _ = file.set_len(*length);
            return Err(fs::at("write", path)(source).into());
        }
        *length += bytes.len() as u64;
        self.set.insert(&entry)
    }

    fn read_segment(&mut self, path: &Path) -> Result<(), RunError> {
        let mut file = std::io::BufReader::with_capacity(1 << 20, fs::open(path)?);
        let mut bytes = Vec::new();
        while let Some((n, dimension)) =
            read_entry(&mut file, &mut bytes).map_err(fs::at("read", path))?
        {
            let body = &bytes[HEADER..bytes.len() - CHECKSUM];
            let (keys, rest) = body.split_at(n * 32);
            let (tokens, values) = rest.split_at(n * 8);
            let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            let keys: Vec<TextKey> = keys
                .chunks_exact(32)
                .map(|k| k.try_into().expect("32 bytes"))
                .collect();
            let tokens: Vec<TokenCount> = tokens
                .chunks_exact(8)
                .map(|t| TokenCount {
                    kept: word(t),
                    lost: word(&t[4..]),
                })
                .collect();
            let values: Vec<f32> = values
                .chunks_exact(4)
                .map(|v| f32::from_bits(word(v)))
                .collect();
            self.set.insert(&StoreEntry {
                keys: &keys,
                tokens: &tokens,
                values: &values,
                dimension,
            })?;
        }
        Ok(())
    }
}

/// Reads one entry into `bytes`; `None` at the end, or where the rest is torn or damaged.
fn read_entry(
    file: &mut impl Read,
    bytes: &mut Vec<u8>,
) -> Result<Option<(usize, usize)>, std::io::Error> {
    bytes.resize(HEADER, 0);
    if !fill(file, bytes)? || bytes[..4] != MAGIC {
        return Ok(None);
    }
    let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
    let (n, dimension) = (word(4), word(8));
    let size = entry_size(u64::from(n), u64::from(dimension));
    if n == 0 || dimension == 0 || size > LARGEST_ENTRY {
        return Ok(None);
    }
    // Read by length found, not by length claimed: a damaged count allocates nothing.
    let rest = size - HEADER as u64;
    if file.take(rest).read_to_end(bytes)? as u64 != rest {
        return Ok(None);
    }
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM);
    Ok((blake3::hash(content).as_bytes() == checksum).then_some((n as usize, dimension as usize)))
}

/// Fills `buffer`; `false` at the end of the file.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> Result<bool, std::io::Error> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn segments(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    if !fs::exists(folder) {
        return Ok(Vec::new());
    }
    let mut paths = fs::list(folder)?;
    paths.retain(|p| p.extension().is_some_and(|e| e == "kfe"));
    Ok(paths)
}

fn new_segment(folder: &Path) -> Result<(PathBuf, File, u64), RunError> {
    let next = segments(folder)?
        .iter()
        .filter_map(|p| {
            p.file_stem()?
                .to_str()?
                .split('-')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .max()
        .map_or(0, |n| n + 1);
    // Two processes, on two machines even, may pick the same number: process id and clock keep
    // their names apart.
    let clock = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos());
    let path = folder.join(format!("{next:06}-{}-{clock:x}.kfe", std::process::id()));
    let file = fs::open_append(&path)?;
    Ok((path, file, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(store: &mut Store, texts: &[&str], value: f32) {
        let keys: Vec<TextKey> = texts.iter().map(|t| text_key(t)).collect();
        let tokens = vec![TokenCount { kept: 3, lost: 1 }; texts.len()];
        let values = vec![value; texts.len() * 2];
        store
            .append(StoreEntry {
                keys: &keys,
                tokens: &tokens,
                values: &values,
                dimension: 2,
            })
            .expect("appended");
    }

    fn only_segment(folder: &Path) -> PathBuf {
        let paths = segments(folder).expect("listed");
        assert_eq!(paths.len(), 1);
        paths[0].clone()
    }

    #[test]
    fn what_was_written_is_read_back_bit_for_bit() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut store = Store::open(folder.path(), true).expect("opened");
        batch(&mut store, &["a", "b"], 0.1);
        batch(&mut store, &["", "금리"], f32::MIN_POSITIVE);
        let again = Store::open(folder.path(), true).expect("opened");
        assert_eq!(again.set().len(), 4);
        let (embedding, tokens) = again.set().get(&text_key("금리")).expect("there");
        assert_eq!(embedding, [f32::MIN_POSITIVE; 2]);
        assert_eq!(tokens, TokenCount { kept: 3, lost: 1 });
        assert!(
            Store::open(folder.path(), false)
                .expect("opened")
                .set()
                .is_empty()
        );
    }

    #[test]
    fn a_segment_cut_anywhere_keeps_its_whole_entries() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut store = Store::open(folder.path(), true).expect("opened");
        batch(&mut store, &["a", "b"], 0.5);
        batch(&mut store, &["c"], 0.25);
        let path = only_segment(folder.path());
        let whole = fs::read(&path).expect("read");
        let first = entry_size(2, 2) as usize;
        for cut in 0..=whole.len() {
            fs::write_atomic(&path, &whole[..cut]).expect("cut");
            let found = Store::open(folder.path(), true)
                .expect("opened")
                .set()
                .len();
            let expected = if cut < first {
                0
            } else if cut < whole.len() {
                2
            } else {
                3
            };
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_segment_at_the_entry_before_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut store = Store::open(folder.path(), true).expect("opened");
        batch(&mut store, &["a"], 0.5);
        batch(&mut store, &["b"], 0.25);
        let path = only_segment(folder.path());
        let whole = fs::read(&path).expect("read");
        let first = entry_size(1, 2) as usize;
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write_atomic(&path, &damaged).expect("damaged");
            let set = Store::open(folder.path(), true).expect("opened");
            assert_eq!(set.set().len(), usize::from(at >= first), "flipped at {at}");
        }
    }

    #[test]
    fn two_writers_do_not_meet() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut one = Store::open(folder.path(), true).expect("opened");
        batch(&mut one, &["a"], 0.5);
        let mut two = Store::open(folder.path(), true).expect("opened");
        batch(&mut two, &["b"], 0.5);
        batch(&mut one, &["c"], 0.5);
        assert_eq!(
            Store::open(folder.path(), true)
                .expect("opened")
                .set()
                .len(),
            3
        );
    }

    #[test]
    fn another_width_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut store = Store::open(folder.path(), true).expect("opened");
        batch(&mut store, &["a"], 0.5);
        let entry = StoreEntry {
            keys: &[text_key("b")],
            tokens: &[TokenCount::default()],
            values: &[1.0],
            dimension: 1,
        };
        assert!(matches!(
            store.append(entry),
            Err(RunError::Width {
                expected: 2,
                found: 1
            })
        ));
    }
}
