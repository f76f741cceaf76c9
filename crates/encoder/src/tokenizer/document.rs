//! `tokenizer.json` as data: read once, checked before the tokenizers crate sees any of it.

use std::fmt;

use ahash::AHashMap;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokenizers::AddedToken;

/// The parts of a `tokenizer.json` that shape token ids. Truncation and padding baked into the
/// file are read but never applied: lengths are the model's business, not the tokenizer's.
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub truncation: Option<Truncation>,
    #[serde(default)]
    pub added_tokens: Vec<AddedTokenEntry>,
    #[serde(default)]
    pub normalizer: Value,
    #[serde(default)]
    pub pre_tokenizer: Value,
    #[serde(default)]
    pub post_processor: Value,
    pub model: Model,
}

/// Truncation baked into the file.
#[derive(Debug, Deserialize)]
pub(super) struct Truncation {
    pub max_length: usize,
}

/// A token that is matched before the model sees the text.
#[derive(Debug, Deserialize)]
pub(super) struct AddedTokenEntry {
    pub id: u32,
    #[serde(flatten)]
    pub token: AddedToken,
}

/// The model: vocabulary, merges and settings of all four kinds.
#[derive(Debug, Deserialize)]
pub(super) struct Model {
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    pub vocab: Vocab,
    #[serde(default)]
    pub merges: Option<Vec<Merge>>,
    #[serde(default)]
    pub unk_token: Option<String>,
    #[serde(default)]
    pub unk_id: Option<usize>,
    #[serde(default)]
    pub dropout: Option<f32>,
    #[serde(default)]
    pub continuing_subword_prefix: Option<String>,
    #[serde(default)]
    pub end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub fuse_unk: Option<bool>,
    #[serde(default)]
    pub byte_fallback: Option<bool>,
    #[serde(default)]
    pub ignore_merges: Option<bool>,
    #[serde(default)]
    pub max_input_chars_per_word: Option<usize>,
}

/// A vocabulary: token to id, or (Unigram) tokens with scores in the order of their ids.
#[derive(Debug)]
pub(super) enum Vocab {
    Map(AHashMap<String, u32>),
    List(Vec<(String, f64)>),
}

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyVocab;
        impl<'de> Visitor<'de> for AnyVocab {
            type Value = Vocab;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tokens to ids, or a list of [token, score]")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut vocab = AHashMap::new();
                while let Some((token, id)) = map.next_entry::<String, u32>()? {
                    if let Some(before) = vocab.insert(token, id)
                        && before != id
                    {
                        return Err(A::Error::custom(format!(
                            "a token has two ids, {before} and {id}"
                        )));
                    }
                }
                Ok(Vocab::Map(vocab))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vocab, A::Error> {
                let mut vocab = Vec::new();
                while let Some(entry) = seq.next_element::<(String, f64)>()? {
                    vocab.push(entry);
                }
                Ok(Vocab::List(vocab))
            }
        }
        deserializer.deserialize_any(AnyVocab)
    }
}

/// A merge: `["a", "b"]`, or `"a b"` in older files.
#[derive(Debug)]
pub(super) struct Merge(pub String, pub String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyMerge;
        impl<'de> Visitor<'de> for AnyMerge {
            type Value = Merge;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge, `[\"a\", \"b\"]` or `\"a b\"`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Merge, E> {
                match text.split_once(' ') {
                    Some((a, b)) if !a.is_empty() && !b.is_empty() && !b.contains(' ') => {
                        Ok(Merge(a.to_owned(), b.to_owned()))
                    }
                    _ => Err(E::custom(format!(
                        "a merge has two tokens and one space, found {text:?}"
                    ))),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let missing = || A::Error::custom("a merge has two tokens");
                let a = seq.next_element()?.ok_or_else(missing)?;
                let b = seq.next_element()?.ok_or_else(missing)?;
                if seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
                    return Err(missing());
                }
                Ok(Merge(a, b))
            }
        }
        deserializer.deserialize_any(AnyMerge)
    }
}

impl Model {
    /// `BPE`, `WordPiece`, `WordLevel` or `Unigram`; files older than the `type` field are told
    /// apart by their fields, as the tokenizers crate does.
    pub fn kind(&self) -> &str {
        if let Some(kind) = &self.kind {
            return kind;
        }
        match (&self.vocab, &self.merges) {
            (Vocab::List(_), _) => "Unigram",
            (_, Some(_)) => "BPE",
            _ if self.continuing_subword_prefix.is_some() => "WordPiece",
            _ => "WordLevel",
        }
    }

    /// Tokens, in no order.
    pub fn tokens(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.vocab {
            Vocab::Map(map) => Box::new(map.keys().map(String::as_str)),
            Vocab::List(list) => Box::new(list.iter().map(|(t, _)| t.as_str())),
        }
    }
}

impl Model {
    /// A model with this vocabulary and no settings.
    pub(super) fn of(vocab: Vocab) -> Self {
        Self {
            kind: None,
            vocab,
            merges: None,
            unk_token: None,
            unk_id: None,
            dropout: None,
            continuing_subword_prefix: None,
            end_of_word_suffix: None,
            fuse_unk: None,
            byte_fallback: None,
            ignore_merges: None,
            max_input_chars_per_word: None,
        }
    }
}
