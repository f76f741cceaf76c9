//! Vocabularies without `tokenizer.json`: WordPiece from `vocab.txt`, byte-level BPE from `vocab.json` and
//! `merges.txt`.

use std::path::Path;

use ahash::AHashMap;
use serde_json::{Value, json};

use super::build::{build, numbered};
use super::class::{self, Files};
use super::document::{Document, Merge, Model, Vocab};
use super::files::{Folder, unsupported, utf8};
use super::special::{around, special};
use super::{SpecialNames, Tokenizer};
use crate::family::{self, Vocabulary};
use crate::{EncoderError, json as read_json};
use korfinsts_base::fs;

/// Splits text as Qwen2 does, before byte-level BPE.
const QWEN2_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl Folder<'_> {
    pub(super) fn wordpiece(mut self, path: &Path) -> Result<Tokenizer, EncoderError> {
        let vocabulary = family::of(self.model_type).vocabulary;
        if matches!(vocabulary, Vocabulary::Roberta | Vocabulary::XlmRoberta)
            && !class::is_bert(self.settings)
        {
            return Err(unsupported(path, self.model_type));
        }
        class::refuse(Files::WordPiece, path, self.settings, self.config)?;
        let text = utf8(path)?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let vocab = numbered(
            text.split('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line)),
        );
        let name = |given: &Option<String>, default: &str| {
            given.clone().unwrap_or_else(|| default.to_owned())
        };
        let cls = name(&self.names.cls, "[CLS]");
        let sep = name(&self.names.sep, "[SEP]");
        let unk = name(&self.names.unk, "[UNK]");
        let pad = name(&self.names.pad, "[PAD]");
        let id = |token: &str| {
            vocab
                .get(token)
                .copied()
                .ok_or_else(|| EncoderError::Invalid {
                    path: path.to_owned(),
                    reason: format!("the special token `{token}` is not in the vocabulary"),
                    hint: None,
                })
        };
        let (cls_id, sep_id) = (id(&cls)?, id(&sep)?);
        id(&unk)?;
        let mut added = Vec::new();
        for token in [&pad, &unk, &cls, &sep, &"[MASK]".to_owned()] {
            if let Some(&id) = vocab.get(token.as_str()) {
                added.push(special(token, id));
            }
        }
        added.append(&mut self.added);
        let document = Document {
            version: None,
            truncation: None,
            added_tokens: added,
            normalizer: json!({
                "type": "BertNormalizer",
                "clean_text": true,
                "handle_chinese_chars": self.flag("tokenize_chinese_chars").unwrap_or(true),
                "strip_accents": self.flag("strip_accents"),
                "lowercase": self.flag("do_lower_case").unwrap_or(true),
            }),
            pre_tokenizer: json!({"type": "BertPreTokenizer"}),
            post_processor: around(Some((&cls, cls_id)), Some((&sep, sep_id))),
            model: Model {
                kind: Some("WordPiece".into()),
                unk_token: Some(unk.clone()),
                continuing_subword_prefix: Some("##".into()),
                max_input_chars_per_word: Some(100),
                ..Model::of(Vocab::Map(vocab))
            },
        };
        let names = SpecialNames {
            pad: Some(pad),
            unk: Some(unk),
            cls: Some(cls),
            sep: Some(sep),
            ..self.names.clone()
        };
        build(document, &self.source("vocab.txt", &[path], &names))
    }

    pub(super) fn byte_level(
        mut self,
        vocab_path: &Path,
        merges_path: &Path,
    ) -> Result<Tokenizer, EncoderError> {
        class::refuse(Files::ByteLevel, vocab_path, self.settings, self.config)?;
        let bytes = fs::read_up_to(vocab_path, super::check::LONGEST_FILE)?;
        let vocab: AHashMap<String, u32> =
            serde_json::from_slice(&bytes).map_err(|e| read_json::malformed(vocab_path, &e))?;
        let merges = merges(merges_path)?;
        let prefix_space = self.flag("add_prefix_space").unwrap_or(false);
        let vocabulary = family::of(self.model_type).vocabulary;
        let roberta = vocabulary == Vocabulary::Roberta;
        let qwen = vocabulary == Vocabulary::Qwen
            || self
                .settings
                .get("tokenizer_class")
                .and_then(Value::as_str)
                .is_some_and(|class| class.starts_with("Qwen"));
        let (normalizer, pre_tokenizer) = if qwen {
            (
                json!({"type": "NFC"}),
                json!({"type": "Sequence", "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": QWEN2_SPLIT}, "behavior": "Isolated",
                     "invert": false},
                    {"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": false,
                     "use_regex": false},
                ]}),
            )
        } else {
            (
                Value::Null,
                json!({"type": "ByteLevel", "add_prefix_space": prefix_space,
                       "trim_offsets": true, "use_regex": true}),
            )
        };
        let find = |token: &Option<String>| {
            token
                .as_ref()
                .and_then(|t| vocab.get(t).map(|&id| (t.clone(), id)))
        };
        let (bos, eos) = if roberta {
            let cls = self.names.cls.clone().or(Some("<s>".into()));
            let sep = self.names.sep.clone().or(Some("</s>".into()));
            (find(&cls), find(&sep))
        } else {
            (
                find(&self.names.bos).filter(|_| self.flag("add_bos_token") == Some(true)),
                find(&self.names.eos).filter(|_| self.flag("add_eos_token") == Some(true)),
            )
        };
        let unk = self.names.unk.clone().filter(|t| vocab.contains_key(t));
        let document = Document {
            version: None,
            truncation: None,
            added_tokens: {
                let mut added = std::mem::take(&mut self.added);
                added.extend(
                    [&bos, &eos]
                        .into_iter()
                        .flatten()
                        .map(|(token, id)| special(token, *id)),
                );
                added
            },
            normalizer,
            pre_tokenizer,
            post_processor: around(
                bos.as_ref().map(|(t, id)| (t.as_str(), *id)),
                eos.as_ref().map(|(t, id)| (t.as_str(), *id)),
            ),
            model: Model {
                kind: Some("BPE".into()),
                merges: Some(merges),
                unk_token: unk,
                ..Model::of(Vocab::Map(vocab))
            },
        };
        let names = self.names.clone();
        build(
            document,
            &self.source(
                "vocab.json + merges.txt",
                &[vocab_path, merges_path],
                &names,
            ),
        )
    }
}

/// Merges of byte-level BPE, one per line; carriage returns, a `#version` line and empty lines
/// are tolerated.
fn merges(path: &Path) -> Result<Vec<Merge>, EncoderError> {
    let text = utf8(path)?;
    let mut merges = Vec::new();
    for (i, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || (i == 0 && line.starts_with("#version")) {
            continue;
        }
        match line.split_once(' ') {
            Some((a, b)) if !a.is_empty() && !b.is_empty() && !b.contains(' ') => {
                merges.push(Merge(a.to_owned(), b.to_owned()));
            }
            _ => {
                return Err(EncoderError::Invalid {
                    path: format!("{}:{}", path.display(), i + 1).into(),
                    reason: format!("a merge has two tokens and one space, found {line:?}"),
                    hint: None,
                });
            }
        }
    }
    Ok(merges)
}
