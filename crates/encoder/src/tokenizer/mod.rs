//! Tokenizers: any format to one, hardened against broken files.
//!
//! [`Tokenizer::from_folder`] finds `tokenizer.json`, a SentencePiece `.model`, `vocab.json` with
//! `merges.txt`, or `vocab.txt`, in this order. A file is read into plain data, checked against
//! structural limits (`check`), and only then built; loading and encoding run under a guard that
//! turns a panic of the tokenizers crate into an error.
//!
//! To add a format: one file with a function that gives a `Document`, and one line in
//! `files::from_folder`.

mod build;
mod check;
mod class;
mod document;
mod files;
mod guard;
mod inspect;
mod sentencepiece;
mod special;
mod vocabulary;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) use files::is_tokenizer;
pub use inspect::EojeolContext;

use self::guard::quietly;
use super::{EncoderError, PreparedText};

/// Texts on which a tokenizer is tried when it is loaded: what breaks on these is refused before
/// any work is done.
const PROBES: [&str; 4] = [
    "",
    "Rates 금리 0.25%",
    " \t각각 ㅋㅋ \u{1100}\u{1161}\u{11a8} ÀÉ ①ﷺ\n",
    "漢字 🚀\u{200d} aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
];

/// How a text is encoded.
#[derive(Debug, Clone, Copy)]
pub struct EncodeOptions<'a> {
    /// Put before the text.
    pub prompt: &'a str,
    /// Maximum length in tokens, special tokens included; `usize::MAX` for none.
    pub max_tokens: usize,
    /// Whether the tokenizer's own special tokens are added.
    pub add_special_tokens: bool,
    /// A token put at the very end, kept under truncation.
    pub append: Option<u32>,
    /// Whether unknown tokens are left out, after truncation.
    pub drop_unknown: bool,
    /// Unicode characters that the text with its prompt is cut to before it is tokenised.
    pub max_characters: Option<usize>,
}

impl Default for EncodeOptions<'_> {
    fn default() -> Self {
        Self {
            prompt: "",
            max_tokens: usize::MAX,
            add_special_tokens: true,
            append: None,
            drop_unknown: false,
            max_characters: None,
        }
    }
}

/// One entry of a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VocabularyEntry {
    /// The token as stored: byte-level tokenizers store stand-in letters for bytes.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// Whether it is a special token.
    pub special: bool,
}

/// One piece of a tokenised text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Id of the token.
    pub id: u32,
    /// The token as stored in the vocabulary (the text itself for an unknown one).
    pub token: String,
    /// Byte offsets of the piece in the text it came from.
    pub offsets: (usize, usize),
}

/// Names that `tokenizer_config.json` or `special_tokens_map.json` give to special tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialNames {
    /// Beginning of a text.
    pub bos: Option<String>,
    /// End of a text.
    pub eos: Option<String>,
    /// Padding.
    pub pad: Option<String>,
    /// Unknown.
    pub unk: Option<String>,
    /// Classification.
    pub cls: Option<String>,
    /// Separator.
    pub sep: Option<String>,
}

/// A tokenizer, ready to use from any number of threads.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    special: HashSet<u32>,
    unk: Option<u32>,
    truncate_left: bool,
    byte_level: bool,
    baked_max_tokens: Option<usize>,
    names: SpecialNames,
    format: &'static str,
    files: Vec<PathBuf>,
    warnings: Vec<String>,
    doubts: Vec<String>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("format", &self.format)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Loads the tokenizer of a model from the first of `folders` that holds one.
    ///
    /// `config` is the model's `config.json` (or `Null`): its `model_type` says how a
    /// SentencePiece model or a plain vocabulary is to be used.
    ///
    /// # Errors
    /// When there is none, or its files are wrong, or it fails on short probe texts.
    pub fn from_folder(folders: &[&Path], config: &Value) -> Result<Self, EncoderError> {
        files::from_folder(folders, config)
    }

    /// Loads one `tokenizer.json`.
    ///
    /// # Errors
    /// When the file is wrong, or the tokenizer fails on short probe texts.
    pub fn from_file(path: &Path) -> Result<Self, EncoderError> {
        build::from_json(path, &Value::Null, &Value::Null, &SpecialNames::default())
    }

    /// Which kind of file it came from: `tokenizer.json`, `vocab.txt`, ...
    #[must_use]
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// The files that shape its token ids.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What a user should know about it.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What may make its token ids other than those of the model's own library.
    #[must_use]
    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }

    /// Named special tokens.
    #[must_use]
    pub fn names(&self) -> &SpecialNames {
        &self.names
    }

    /// Maximum length baked into `tokenizer.json`; not applied by [`Self::encode`].
    #[must_use]
    pub fn baked_max_tokens(&self) -> Option<usize> {
        self.baked_max_tokens
    }

    /// Whether tokens are stored as stand-in letters for bytes (GPT-2's alphabet).
    #[must_use]
    pub fn byte_level(&self) -> bool {
        self.byte_level
    }

    /// Special tokens put before and behind every text.
    #[must_use]
    pub fn template(&self) -> (&[u32], &[u32]) {
        (&self.prefix, &self.suffix)
    }

    /// Id of a token, special or not.
    #[must_use]
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Token of an id.
    #[must_use]
    pub fn token_of(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Id of the unknown token, where there is one.
    #[must_use]
    pub fn unk_id(&self) -> Option<u32> {
        self.unk
    }

    /// Whether an id is that of a special token.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// Number of entries, special tokens included.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Every entry, in the order of ids; where two tokens share an id, in the order of tokens.
    #[must_use]
    pub fn vocabulary(&self) -> Vec<VocabularyEntry> {
        let mut entries: Vec<_> = self
            .inner
            .get_vocab(true)
            .into_iter()
            .map(|(token, id)| VocabularyEntry {
                special: self.special.contains(&id),
                token,
                id,
            })
            .collect();
        entries.sort_by(|a, b| (a.id, &a.token).cmp(&(b.id, &b.token)));
        entries
    }

    /// Encodes one text: prompt, tokens, truncation, special tokens.
    ///
    /// Truncation removes content until the special tokens (and the appended one) fit, from the
    /// end unless `tokenizer_config.json` says `"truncation_side": "left"`. `prompt_tokens` of
    /// the result is left 0: see [`Self::prompt_tokens`].
    ///
    /// # Errors
    /// [`EncoderError::Tokenize`] when the tokenizer fails on the text.
    pub fn encode(
        &self,
        text: &str,
        options: &EncodeOptions<'_>,
    ) -> Result<PreparedText, EncoderError> {
        let text = if options.prompt.is_empty() {
            text.to_owned()
        } else {
            [options.prompt, text].concat()
        };
        let cut = options
            .max_characters
            .and_then(|max| text.char_indices().nth(max))
            .map(|(at, _)| at);
        let content = self.content(cut.map_or(text.as_str(), |at| &text[..at]))?;
        let content = content.get_ids();
        let whole = match cut {
            Some(_) => self.content(&text)?.len(),
            None => content.len(),
        };
        let (prefix, suffix): (&[u32], &[u32]) = if options.add_special_tokens {
            (&self.prefix, &self.suffix)
        } else {
            (&[], &[])
        };
        let around = prefix.len() + suffix.len() + usize::from(options.append.is_some());
        let kept = content.len().min(options.max_tokens.saturating_sub(around));
        let lost_tokens = whole.saturating_sub(kept);
        let kept = if self.truncate_left {
            &content[content.len() - kept..]
        } else {
            &content[..kept]
        };
        let mut ids = Vec::with_capacity(kept.len() + around);
        ids.extend_from_slice(prefix);
        match self.unk {
            Some(unk) if options.drop_unknown => {
                ids.extend(kept.iter().copied().filter(|&id| id != unk));
            }
            _ => ids.extend_from_slice(kept),
        }
        ids.extend_from_slice(suffix);
        ids.extend(options.append);
        Ok(PreparedText {
            text,
            ids,
            prompt_tokens: 0,
            lost_tokens,
        })
    }

    /// How many leading tokens belong to a prompt, counted as sentence-transformers counts them:
    /// the length of the prompt encoded alone, less one if its last token is special.
    ///
    /// # Errors
    /// [`EncoderError::Tokenize`] when the tokenizer fails on the prompt.
    pub fn prompt_tokens(&self, options: &EncodeOptions<'_>) -> Result<usize, EncoderError> {
        if options.prompt.is_empty() {
            return Ok(0);
        }
        let alone = self.encode("", options)?.ids;
        let end = alone.last().is_some_and(|id| self.is_special(*id));
        Ok(alone.len() - usize::from(end))
    }

    /// Number of tokens of a text, without special tokens and truncation.
    ///
    /// # Errors
    /// [`EncoderError::Tokenize`] when the tokenizer fails on the text.
    pub fn count(&self, text: &str) -> Result<usize, EncoderError> {
        Ok(self.content(text)?.len())
    }

    /// The pieces of a text, without special tokens and truncation.
    ///
    /// # Errors
    /// [`EncoderError::Tokenize`] when the tokenizer fails on the text.
    pub fn pieces(&self, text: &str) -> Result<Vec<Piece>, EncoderError> {
        let encoding = guarded(text, || self.inner.encode(text, false))?;
        Ok(encoding
            .get_ids()
            .iter()
            .zip(encoding.get_tokens())
            .zip(encoding.get_offsets())
            .map(|((&id, token), &offsets)| Piece {
                id,
                token: token.clone(),
                offsets,
            })
            .collect())
    }

    fn content(&self, text: &str) -> Result<tokenizers::Encoding, EncoderError> {
        guarded(text, || self.inner.encode_fast(text, false))
    }
}

fn guarded(
    text: &str,
    encode: impl FnOnce() -> tokenizers::Result<tokenizers::Encoding>,
) -> Result<tokenizers::Encoding, EncoderError> {
    let reason = match quietly(encode) {
        Ok(Ok(encoding)) => return Ok(encoding),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic,
    };
    Err(EncoderError::Tokenize {
        characters: text.chars().count(),
        reason,
    })
}
