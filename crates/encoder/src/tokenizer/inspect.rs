//! What is asked of a tokenizer beyond token ids: pieces without copies, normal forms, its parts
//! as JSON, and whether it treats eojeol one by one.

use std::path::Path;

use serde_json::Value;
use tokenizers::tokenizer::{
    Model as _, NormalizedString, Normalizer as _, OffsetReferential, OffsetType,
    PreTokenizedString, PreTokenizer as _,
};

use super::files::{from_folder, from_one};
use super::guard::quietly;
use super::{Tokenizer, guarded};
use crate::{EncoderError, json};
use korfinsts_base::fs;

/// Split patterns no match of which holds white space behind another character: GPT-2's, that of
/// `cl100k` and Llama 3, and Qwen2's.
const SPLITS_AT_SPACES: [&str; 4] = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
];

/// How a tokenizer that treats the eojeol of a text one by one sees them.
///
/// In a text of ordinary characters whose eojeol are parted by single spaces, the pieces of the
/// text are those of its first eojeol tokenised alone, then those of each other eojeol tokenised
/// alone: with a space before it where `lead` says so, else without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EojeolContext {
    /// Whether an inner eojeol is tokenised with a space before it.
    pub lead: bool,
    /// Whether the text is split at all white space after it was normalised; if not, an eojeol
    /// whose normal form holds white space (or nothing) is not independent of the others.
    pub splits_white_space: bool,
    /// Added tokens: an eojeol with one is not independent of the others.
    pub added: Vec<String>,
}

impl Tokenizer {
    /// Loads a tokenizer from a folder, from an ONNX file's folder (and the one above it), or
    /// from one file: `tokenizer.json` under any name, `*.model`, `vocab.txt`, or `vocab.json`
    /// and `merges.txt`.
    ///
    /// # Errors
    /// When nothing is there, the files are wrong, or the tokenizer fails on short probe texts.
    pub fn from_path(path: &Path) -> Result<Self, EncoderError> {
        let is_folder = fs::metadata(path)
            .map_err(|_| EncoderError::Missing {
                folder: path.to_owned(),
                what: "the tokenizer".into(),
                hint: Some(
                    "name a model's folder, `tokenizer.json`, a SentencePiece `.model`, \
                     `vocab.txt`, or `vocab.json` with `merges.txt` beside it"
                        .into(),
                ),
            })?
            .is_dir();
        let is_onnx = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
        let here = match path.parent() {
            _ if is_folder => path,
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut folders = vec![here.to_owned()];
        // A graph in `onnx/` has its tokenizer in its folder or in the model's folder above.
        if is_onnx || here.file_name().is_some_and(|n| n == "onnx") {
            folders.extend(
                here.parent()
                    .filter(|p| !p.as_os_str().is_empty())
                    .map(Path::to_owned),
            );
        }
        let mut config = Value::Null;
        for folder in &folders {
            if let Some(found) = json::load(&folder.join("config.json"))? {
                config = found;
                break;
            }
        }
        if is_folder || is_onnx {
            let folders: Vec<&Path> = folders.iter().map(AsRef::as_ref).collect();
            from_folder(&folders, &config)
        } else {
            from_one(path, &config)
        }
    }

    /// Calls `visit` with the id of every piece of a text and the byte at which it begins in the
    /// text, without special tokens and truncation.
    ///
    /// # Errors
    /// [`EncoderError::Tokenize`] when the tokenizer fails on the text.
    pub fn scan(&self, text: &str, mut visit: impl FnMut(u32, usize)) -> Result<(), EncoderError> {
        let encoding = guarded(text, || self.inner.encode(text, false))?;
        for (id, (start, _)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            visit(*id, *start);
        }
        Ok(())
    }

    /// A text as the strings that the model splits one by one: normalised, cut by the
    /// pre-tokenizer. Added tokens are not looked for. Without a pre-tokenizer the text is cut
    /// before every `▁`.
    ///
    /// # Errors
    /// [`EncoderError::Tokenize`] when the tokenizer fails on the text.
    pub fn pre_tokens(&self, text: &str) -> Result<Vec<String>, EncoderError> {
        let normal = self.normalized(text)?;
        let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() else {
            let mut cuts: Vec<usize> = normal.match_indices('▁').map(|(at, _)| at).collect();
            cuts.retain(|at| *at > 0);
            cuts.push(normal.len());
            let mut from = 0;
            return Ok(cuts
                .into_iter()
                .map(|to| normal[std::mem::replace(&mut from, to)..to].to_owned())
                .filter(|word| !word.is_empty())
                .collect());
        };
        let failed = |reason: String| EncoderError::Tokenize {
            characters: text.chars().count(),
            reason,
        };
        let mut split = PreTokenizedString::from(normal);
        quietly(|| pre_tokenizer.pre_tokenize(&mut split))
            .map_err(failed)?
            .map_err(|e| failed(e.to_string()))?;
        Ok(split
            .get_splits(OffsetReferential::Normalized, OffsetType::None)
            .into_iter()
            .map(|(word, ..)| word.to_owned())
            .collect())
    }

    /// Ids of the pieces of one string that [`Self::pre_tokens`] gives, by the model alone.
    ///
    /// # Errors
    /// [`EncoderError::Tokenize`] when the model fails on it.
    pub fn model_pieces(&self, pre_token: &str) -> Result<Vec<u32>, EncoderError> {
        let failed = |reason: String| EncoderError::Tokenize {
            characters: pre_token.chars().count(),
            reason,
        };
        let tokens = quietly(|| self.inner.get_model().tokenize(pre_token))
            .map_err(failed)?
            .map_err(|e| failed(e.to_string()))?;
        Ok(tokens.into_iter().map(|t| t.id).collect())
    }

    /// Kind of the model: `BPE`, `Unigram`, `WordPiece` or `WordLevel`.
    #[must_use]
    pub fn model_kind(&self) -> &'static str {
        match self.inner.get_model() {
            tokenizers::ModelWrapper::BPE(_) => "BPE",
            tokenizers::ModelWrapper::Unigram(_) => "Unigram",
            tokenizers::ModelWrapper::WordPiece(_) => "WordPiece",
            tokenizers::ModelWrapper::WordLevel(_) => "WordLevel",
        }
    }

    /// A text as the model sees it: normalised, not yet split.
    ///
    /// # Errors
    /// [`EncoderError::Tokenize`] when the normaliser fails on the text.
    pub fn normalized(&self, text: &str) -> Result<String, EncoderError> {
        let Some(normalizer) = self.inner.get_normalizer() else {
            return Ok(text.to_owned());
        };
        let failed = |reason: String| EncoderError::Tokenize {
            characters: text.chars().count(),
            reason,
        };
        let mut normalized = NormalizedString::from(text);
        quietly(|| normalizer.normalize(&mut normalized))
            .map_err(failed)?
            .map_err(|e| failed(e.to_string()))?;
        Ok(normalized.get().to_owned())
    }

    /// The whole tokenizer as the JSON of a `tokenizer.json`.
    ///
    /// # Errors
    /// When a part cannot be written as JSON.
    pub fn to_json(&self) -> Result<Value, EncoderError> {
        serde_json::to_value(&self.inner).map_err(|e| EncoderError::Unsupported {
            what: format!("the tokenizer cannot be written as JSON: {e}"),
            hint: None,
        })
    }

    /// Whether, and how, this tokenizer treats the eojeol of a text one by one; `None` where that
    /// does not follow from its parts.
    #[must_use]
    pub fn eojeol_context(&self) -> Option<EojeolContext> {
        let value = |part: Option<Value>| part.unwrap_or(Value::Null);
        let normalizer = value(
            self.inner
                .get_normalizer()
                .and_then(|n| serde_json::to_value(n).ok()),
        );
        let pre_tokenizer = value(
            self.inner
                .get_pre_tokenizer()
                .and_then(|p| serde_json::to_value(p).ok()),
        );
        let mut parts = Vec::new();
        flatten(&normalizer, "normalizers", &mut parts);
        let mut prepends = false;
        for part in parts {
            match kind(part) {
                "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "StripAccents"
                | "BertNormalizer" | "Nmt" | "Precompiled" => {}
                "Prepend" if part["prepend"] == "▁" => prepends = true,
                "Replace" if replaces_only_spaces(part) => {}
                _ => return None,
            }
        }
        let mut parts = Vec::new();
        flatten(&pre_tokenizer, "pretokenizers", &mut parts);
        let (lead, splits_white_space) = match parts.first().map(|p| kind(p)) {
            Some("BertPreTokenizer" | "Whitespace" | "WhitespaceSplit") => (true, true),
            Some("Metaspace") if parts.len() == 1 && parts[0]["split"] != false => (true, false),
            Some("ByteLevel") if parts.len() == 1 && parts[0]["use_regex"] != false => {
                (true, false)
            }
            Some("Split")
                if parts.len() == 2
                    && splits_at_spaces(parts[0])
                    && kind(parts[1]) == "ByteLevel"
                    && parts[1]["use_regex"] == false
                    && parts[1]["add_prefix_space"] == false =>
            {
                (true, false)
            }
            None if self.marks_only_begin_tokens() => (!prepends, false),
            _ => return None,
        };
        // A normaliser that puts a mark before the text would put one before the space, too.
        if prepends && lead {
            return None;
        }
        let added: Vec<String> = self
            .inner
            .get_added_tokens_decoder()
            .into_values()
            .map(|token| token.content)
            .collect();
        if added.iter().any(|t| t.contains(char::is_whitespace)) {
            return None;
        }
        Some(EojeolContext {
            lead,
            splits_white_space,
            added,
        })
    }

    /// Whether this is a BPE whose tokens hold `▁` at their beginning only, so that no merge
    /// reaches from one eojeol into the next.
    fn marks_only_begin_tokens(&self) -> bool {
        matches!(self.inner.get_model(), tokenizers::ModelWrapper::BPE(_))
            && self.inner.token_to_id("▁").is_some()
            && self
                .inner
                .get_vocab(false)
                .keys()
                .all(|token| !token.trim_start_matches('▁').contains('▁'))
    }
}

fn kind(part: &Value) -> &str {
    part.get("type").and_then(Value::as_str).unwrap_or("")
}

/// The parts of a sequence, and of sequences in it.
fn flatten<'a>(part: &'a Value, field: &str, out: &mut Vec<&'a Value>) {
    match part.get(field).and_then(Value::as_array) {
        Some(parts) => parts.iter().for_each(|p| flatten(p, field, out)),
        None if part.is_null() => {}
        None => out.push(part),
    }
}

/// ` ` to `▁`, or a run of two and more spaces to something: nothing else in a text changes.
fn replaces_only_spaces(part: &Value) -> bool {
    let pattern = &part["pattern"];
    (pattern["String"] == " " && part["content"] == "▁") || pattern["Regex"] == " {2,}"
}

fn splits_at_spaces(part: &Value) -> bool {
    part["behavior"] == "Isolated"
        && part["invert"] != true
        && part["pattern"]["Regex"]
            .as_str()
            .is_some_and(|p| SPLITS_AT_SPACES.contains(&p))
}
