//! A tokenizer made ready to be counted: every entry decoded, every id classified.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::CoverageError;
use super::bytes::{ByteAlphabet, fallback_byte};
use korfinsts_base::fs;
use korfinsts_base::text::{is_jamo, nfd};
use korfinsts_encoder::tokenizer::Tokenizer;

/// One vocabulary entry with what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VocabularyEntry {
    /// Its id.
    pub id: u32,
    /// The token as stored.
    pub raw: String,
    /// The text it stands for, word marker included; `None` when its bytes alone are not valid
    /// UTF-8.
    pub text: Option<String>,
    /// What kind of entry it is.
    pub kind: EntryKind,
}

/// Kinds of entries; each entry is of exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A token that stands for text.
    Text,
    /// One byte of byte fallback (`<0xEA>`).
    FallbackByte,
    /// A control token: `[CLS]`, `</s>`, `<|endoftext|>`, sentinels.
    Special,
    /// A reserved entry that no text gives: `[unused12]`, `<unk12>`, `<reserved_3>`.
    Unused,
}

impl VocabularyEntry {
    /// The text without its word marker (`▁`, `Ġ`, `##`, `</w>`, spaces around it).
    #[must_use]
    pub fn bare(&self) -> Option<&str> {
        self.text.as_deref().map(strip_marker)
    }
}

/// Where the maximum length comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MaxTokens {
    /// Maximum length in tokens, special tokens included.
    pub tokens: usize,
    /// The file or flag that says so.
    pub source: String,
}

/// What a tokenizer's normaliser does to Hangul.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HangulForm {
    /// Syllables become conjoining jamo (NFD).
    Decomposes,
    /// Conjoining jamo become syllables (NFC).
    Composes,
    /// Both stay what they are.
    Keeps,
}

impl HangulForm {
    /// As printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Decomposes => "decomposes",
            Self::Composes => "composes",
            Self::Keeps => "keeps",
        }
    }
}

/// A tokenizer with its entries.
#[derive(Debug)]
pub struct Subject {
    name: String,
    tokenizer: Tokenizer,
    entries: Vec<VocabularyEntry>,
    flags: Flags,
    max_tokens: Option<MaxTokens>,
    hangul_form: HangulForm,
}

impl Subject {
    /// Loads a tokenizer from a file (`tokenizer.json`, `*.model`, `vocab.txt`, `vocab.json`,
    /// `merges.txt`, `*.onnx`) or a folder of such files (a model's folder).
    ///
    /// For a model whose files are in a subfolder (`onnx/model.onnx`), the folder above is
    /// looked at as well.
    ///
    /// # Errors
    /// When nothing is there, or the tokenizer is wrong.
    pub fn load(path: &Path) -> Result<Self, CoverageError> {
        let tokenizer = Tokenizer::from_path(path)?;
        let folder = if fs::metadata(path)?.is_dir() {
            path
        } else {
            path.parent().unwrap_or(Path::new("."))
        };
        let max_tokens = max_tokens(folder, &tokenizer)?;
        Self::new(name_of(path), tokenizer, max_tokens)
    }

    /// A loaded tokenizer under a name.
    ///
    /// # Errors
    /// When it fails on a Hangul syllable.
    pub fn new(
        name: String,
        tokenizer: Tokenizer,
        max_tokens: Option<MaxTokens>,
    ) -> Result<Self, CoverageError> {
        let entries = entries(&tokenizer);
        let flags = Flags::new(&entries, tokenizer.unk_id());
        let hangul_form = hangul_form(&tokenizer)?;
        Ok(Self {
            name,
            tokenizer,
            entries,
            flags,
            max_tokens,
            hangul_form,
        })
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The same with the maximum length that a flag gives.
    #[must_use]
    pub fn with_max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(MaxTokens {
            tokens,
            source: "--max-tokens".into(),
        });
        self
    }

    /// Name in the output.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Every entry, in the order of ids.
    #[must_use]
    pub fn entries(&self) -> &[VocabularyEntry] {
        &self.entries
    }

    /// Maximum length, where one is known.
    #[must_use]
    pub fn max_tokens(&self) -> Option<&MaxTokens> {
        self.max_tokens.as_ref()
    }

    /// What the normaliser does to Hangul.
    #[must_use]
    pub fn hangul_form(&self) -> HangulForm {
        self.hangul_form
    }

    /// Number of special tokens that are put around a text.
    #[must_use]
    pub fn special_tokens_around(&self) -> usize {
        let (before, behind) = self.tokenizer.template();
        before.len() + behind.len()
    }

    /// The entry of an id.
    #[must_use]
    pub fn entry(&self, id: u32) -> Option<&VocabularyEntry> {
        let at = self.entries.partition_point(|e| e.id < id);
        self.entries.get(at).filter(|e| e.id == id)
    }

    /// A piece as a reader would write it: the text without its word marker (`▁` where nothing
    /// else is left), the stored token where it has no text of its own.
    #[must_use]
    pub fn readable(&self, id: u32) -> String {
        match self.entry(id) {
            None => format!("#{id}"),
            Some(entry) if entry.kind == EntryKind::Text => match entry.bare() {
                Some("") => "▁".to_owned(),
                Some(text) => text.to_owned(),
                None => entry.raw.clone(),
            },
            Some(entry) => entry.raw.clone(),
        }
    }

    /// Properties of an id that text-side counts need.
    #[must_use]
    pub fn flags(&self, id: u32) -> PieceFlags {
        self.flags.of(id)
    }
}

/// Properties of one piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PieceFlags {
    /// The unknown token.
    pub unknown: bool,
    /// A byte-fallback piece, or one whose bytes alone are not valid UTF-8.
    pub partial: bool,
}

/// Flags by id: a table, and a map for ids far beyond the number of entries.
#[derive(Debug)]
struct Flags {
    dense: Vec<PieceFlags>,
    sparse: HashMap<u32, PieceFlags>,
}

impl Flags {
    fn new(entries: &[VocabularyEntry], unknown: Option<u32>) -> Self {
        let limit = entries.len().saturating_mul(4).saturating_add(1 << 16);
        let top = entries.last().map_or(0, |e| e.id as usize + 1).min(limit);
        let mut flags = Self {
            dense: vec![PieceFlags::default(); top],
            sparse: HashMap::new(),
        };
        for entry in entries {
            let flag = PieceFlags {
                unknown: unknown == Some(entry.id),
                partial: entry.kind == EntryKind::FallbackByte || entry.text.is_none(),
            };
            match flags.dense.get_mut(entry.id as usize) {
                Some(place) => *place = flag,
                None if flag != PieceFlags::default() => {
                    flags.sparse.insert(entry.id, flag);
                }
                None => {}
            }
        }
        flags
    }

    fn of(&self, id: u32) -> PieceFlags {
        match self.dense.get(id as usize) {
            Some(flag) => *flag,
            None => self.sparse.get(&id).copied().unwrap_or_default(),
        }
    }
}

fn entries(tokenizer: &Tokenizer) -> Vec<VocabularyEntry> {
    let alphabet = tokenizer.byte_level().then(ByteAlphabet::new);
    tokenizer
        .vocabulary()
        .into_iter()
        .map(|entry| {
            let (kind, text) = if is_unused(&entry.token) {
                (EntryKind::Unused, Some(entry.token.clone()))
            } else if entry.special || is_sentinel(&entry.token) {
                (EntryKind::Special, Some(entry.token.clone()))
            } else if let Some(alphabet) = &alphabet {
                (EntryKind::Text, alphabet.decode(&entry.token))
            } else if let Some(byte) = fallback_byte(&entry.token) {
                let text = byte.is_ascii().then(|| char::from(byte).to_string());
                (EntryKind::FallbackByte, text)
            } else {
                (EntryKind::Text, Some(entry.token.clone()))
            };
            VocabularyEntry {
                id: entry.id,
                raw: entry.token,
                text,
                kind,
            }
        })
        .collect()
}

/// Removes word markers: `▁` and spaces before, `##` before, `</w>` and spaces behind.
#[must_use]
pub fn strip_marker(text: &str) -> &str {
    let text = text.strip_prefix("##").unwrap_or(text);
    let text = text.strip_suffix("</w>").unwrap_or(text);
    text.trim_start_matches('▁').trim()
}

/// Whether a token is one of the reserved entries that no text gives.
fn is_unused(token: &str) -> bool {
    const SHAPES: [(&str, &str); 9] = [
        ("[unused", "]"),
        ("<unused", ">"),
        ("<unk", ">"),
        ("[unk", "]"),
        ("<reserved_", ">"),
        ("<reserved", ">"),
        ("<|reserved_special_token_", "|>"),
        ("<madeupword", ">"),
        ("<dummy", ">"),
    ];
    is_numbered(token, &SHAPES)
}

/// Whether a token is a sentinel of span corruption.
fn is_sentinel(token: &str) -> bool {
    is_numbered(token, &[("<extra_id_", ">")])
}

fn is_numbered(token: &str, shapes: &[(&str, &str)]) -> bool {
    shapes.iter().any(|(before, behind)| {
        token
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(behind))
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn hangul_form(tokenizer: &Tokenizer) -> Result<HangulForm, CoverageError> {
    const SYLLABLE: &str = "각";
    if tokenizer.normalized(SYLLABLE)?.chars().any(is_jamo) {
        return Ok(HangulForm::Decomposes);
    }
    let from_jamo = tokenizer.normalized(&nfd(SYLLABLE))?;
    Ok(if from_jamo.contains(SYLLABLE) {
        HangulForm::Composes
    } else {
        HangulForm::Keeps
    })
}

/// The model's maximum length: what sentence-transformers is told, else the tokenizer's
/// configuration, else what is baked into the tokenizer.
fn max_tokens(folder: &Path, tokenizer: &Tokenizer) -> Result<Option<MaxTokens>, CoverageError> {
    const PLACES: [(&str, &str); 2] = [
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ];
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    if folder.file_name().is_some_and(|n| n == "onnx") {
        folders.extend(folder.parent().map(Path::to_owned));
    }
    for (file, key) in PLACES {
        for folder in &folders {
            let path = folder.join(file);
            if !fs::exists(&path) {
                continue;
            }
            let value: Value =
                serde_json::from_slice(&fs::read(&path)?).map_err(|e| CoverageError::Invalid {
                    path: path.clone(),
                    line: e.line() as u64,
                    reason: format!("not JSON: {e}"),
                    hint: None,
                })?;
            // transformers writes 1e30 where it knows no limit.
            let limit = value
                .get(key)
                .and_then(Value::as_f64)
                .filter(|n| (1.0..1e9).contains(n));
            if let Some(limit) = limit {
                return Ok(Some(MaxTokens {
                    tokens: limit as usize,
                    source: format!("{file}: {key}"),
                }));
            }
        }
    }
    Ok(tokenizer.baked_max_tokens().map(|tokens| MaxTokens {
        tokens,
        source: "tokenizer.json: truncation".into(),
    }))
}

/// Name of a tokenizer at a path: its folder, or the file's own name where that says more.
fn name_of(path: &Path) -> String {
    const COMMON: [&str; 8] = [
        "tokenizer.json",
        "tokenizer.model",
        "sentencepiece.bpe.model",
        "spiece.model",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "model.onnx",
    ];
    // Links are kept: the hub's cache links to files that are named by their hash.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned());
    let own = name(&absolute).unwrap_or_else(|| path.display().to_string());
    if !COMMON.contains(&own.as_str()) {
        return own;
    }
    let mut folder = absolute.parent();
    if folder.and_then(name).is_some_and(|n| n == "onnx") {
        folder = folder.and_then(Path::parent);
    }
    folder.and_then(name).unwrap_or(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_markers_are_stripped() {
        for (token, bare) in [
            ("▁금리", "금리"),
            ("▁", ""),
            ("▁▁가", "가"),
            ("##리", "리"),
            (" 금", "금"),
            ("금</w>", "금"),
            ("금리", "금리"),
            ("#", "#"),
        ] {
            assert_eq!(strip_marker(token), bare, "{token}");
        }
    }

    #[test]
    fn reserved_entries_are_told_from_words() {
        for (token, unused) in [
            ("[unused0]", true),
            ("<unused99>", true),
            ("<unk3>", true),
            ("<unk>", false),
            ("[UNK]", false),
            ("<reserved_7>", true),
            ("<|reserved_special_token_12|>", true),
            ("unused", false),
            ("[unusedx]", false),
        ] {
            assert_eq!(is_unused(token), unused, "{token}");
        }
        assert!(is_sentinel("<extra_id_99>"));
    }

    #[test]
    fn a_tokenizer_is_named_by_the_folder_of_its_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = folder.path();
        for (file, name) in [
            ("some/tokenizer.json", "some"),
            ("org/onnx/model.onnx", "org"),
            ("org/mine.json", "mine.json"),
            ("org", "org"),
        ] {
            assert_eq!(name_of(&at.join(file)), name, "{file}");
        }
    }
}
