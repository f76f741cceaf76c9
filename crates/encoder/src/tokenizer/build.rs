//! From a checked document to a tokenizer.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ahash::AHashMap;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{
    ModelWrapper, NormalizerWrapper, PostProcessor, PostProcessorWrapper, PreTokenizerWrapper,
    Token,
};

use super::document::{AddedTokenEntry, Document, Model, Vocab};
use super::guard::quietly;
use super::{PROBES, SpecialNames, Tokenizer, check, class};
use crate::EncoderError;
use crate::json;
use korfinsts_base::fs;

/// How `tokenizer.json` is loaded.
pub(super) fn from_json(
    path: &Path,
    settings: &Value,
    config: &Value,
    names: &SpecialNames,
) -> Result<Tokenizer, EncoderError> {
    let bytes = fs::read_up_to(path, check::LONGEST_FILE)?;
    // Serde would take a list for a struct.
    if bytes.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(EncoderError::Invalid {
            path: path.to_owned(),
            reason: "expected a JSON object".into(),
            hint: None,
        });
    }
    let mut document: Document =
        serde_json::from_slice(&bytes).map_err(|e| json::malformed(path, &e))?;
    drop(bytes);
    let remarks = class::follow(&mut document, settings, config);
    let source = Source {
        format: "tokenizer.json",
        files: vec![path.to_owned()],
        config: settings,
        names,
    };
    let mut tokenizer = build(document, &source)?;
    tokenizer.warnings.extend(remarks.notes);
    tokenizer.doubts = remarks.doubts;
    Ok(tokenizer)
}

/// Where a document came from and what goes with it.
pub(super) struct Source<'a> {
    pub format: &'static str,
    /// The files; errors name the first.
    pub files: Vec<PathBuf>,
    /// `tokenizer_config.json`, or `Null`.
    pub config: &'a Value,
    pub names: &'a SpecialNames,
}

/// Checks and builds a document.
pub(super) fn build(document: Document, source: &Source<'_>) -> Result<Tokenizer, EncoderError> {
    let invalid = |reason: String| {
        EncoderError::Invalid {
        path: source.files[0].clone(),
        reason,
        hint: Some(
            "save the tokenizer again with `AutoTokenizer.from_pretrained(...).save_pretrained(...)`"
                .into(),
        ),
    }
    };
    check::check(&document).map_err(invalid)?;
    match quietly(|| assemble(document, source)) {
        Ok(result) => result.map_err(invalid),
        Err(panic) => Err(invalid(format!("the tokenizer cannot be built: {panic}"))),
    }
}

fn assemble(document: Document, source: &Source<'_>) -> Result<Tokenizer, String> {
    let mut warnings = Vec::new();
    if document.model.dropout.is_some_and(|p| p > 0.0) {
        warnings.push("the tokenizer's BPE dropout is switched off, so that ids repeat".to_owned());
    }
    let baked_max_tokens = document.truncation.map(|t| t.max_length);
    let unk_token = document.model.unk_token.clone();
    let unk_id = document.model.unk_id;
    let byte_level = is_byte_level(&document.normalizer) || is_byte_level(&document.pre_tokenizer);

    let mut inner = tokenizers::Tokenizer::new(model(document.model)?);
    inner
        .with_normalizer(component::<NormalizerWrapper>(
            "normalizer",
            document.normalizer,
        )?)
        .map_err(|e| e.to_string())?;
    inner.with_pre_tokenizer(component::<PreTokenizerWrapper>(
        "pre_tokenizer",
        document.pre_tokenizer,
    )?);
    inner.with_post_processor(component::<PostProcessorWrapper>(
        "post_processor",
        document.post_processor,
    )?);
    add_tokens(&mut inner, document.added_tokens, &mut warnings)?;

    let (prefix, suffix) = template(&inner)?;
    for probe in PROBES {
        inner
            .encode_fast(probe, false)
            .and_then(|_| inner.encode(probe, false))
            .map_err(|e| format!("the tokenizer fails on {probe:?}: {e}"))?;
    }
    let names = source.names.clone();
    let special = special_ids(&inner, &names, source.config);
    let unk = unk_token
        .or_else(|| names.unk.clone())
        .and_then(|t| inner.token_to_id(&t))
        .or(unk_id.map(|id| id as u32));
    Ok(Tokenizer {
        prefix,
        suffix,
        special,
        unk,
        truncate_left: source.config.get("truncation_side").and_then(Value::as_str) == Some("left"),
        byte_level,
        baked_max_tokens,
        names,
        format: source.format,
        files: source.files.clone(),
        warnings,
        doubts: Vec::new(),
        inner,
    })
}

fn component<T: DeserializeOwned>(part: &str, value: Value) -> Result<Option<T>, String> {
    serde_json::from_value(value).map_err(|e| format!("{part}: {e}"))
}

fn model(model: Model) -> Result<ModelWrapper, String> {
    let kind = model.kind().to_owned();
    let built = match (kind.as_str(), model.vocab) {
        ("BPE", Vocab::Map(vocab)) => {
            let merges = model.merges.unwrap_or_default();
            let mut builder = BPE::builder()
                .vocab_and_merges(vocab, merges.into_iter().map(|m| (m.0, m.1)).collect())
                .fuse_unk(model.fuse_unk.unwrap_or(false))
                .byte_fallback(model.byte_fallback.unwrap_or(false))
                .ignore_merges(model.ignore_merges.unwrap_or(false));
            if let Some(unk) = model.unk_token {
                builder = builder.unk_token(unk);
            }
            if let Some(prefix) = model.continuing_subword_prefix {
                builder = builder.continuing_subword_prefix(prefix);
            }
            if let Some(suffix) = model.end_of_word_suffix {
                builder = builder.end_of_word_suffix(suffix);
            }
            builder.build().map(ModelWrapper::BPE)
        }
        ("WordPiece", Vocab::Map(vocab)) => {
            let mut builder = WordPiece::builder().vocab(vocab);
            if let Some(unk) = model.unk_token {
                builder = builder.unk_token(unk);
            }
            if let Some(prefix) = model.continuing_subword_prefix {
                builder = builder.continuing_subword_prefix(prefix);
            }
            if let Some(words) = model.max_input_chars_per_word {
                builder = builder.max_input_chars_per_word(words);
            }
            builder.build().map(ModelWrapper::WordPiece)
        }
        ("WordLevel", Vocab::Map(vocab)) => {
            let mut builder = WordLevel::builder().vocab(vocab);
            if let Some(unk) = model.unk_token {
                builder = builder.unk_token(unk);
            }
            builder.build().map(ModelWrapper::WordLevel)
        }
        (_, Vocab::List(vocab)) => {
            Unigram::from(vocab, model.unk_id, model.byte_fallback.unwrap_or(false))
                .map(ModelWrapper::Unigram)
        }
        (kind, Vocab::Map(_)) => return Err(format!("a model of type `{kind}` is not known")),
    };
    built.map_err(|e| format!("model: {e}"))
}

fn add_tokens(
    inner: &mut tokenizers::Tokenizer,
    entries: Vec<AddedTokenEntry>,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    let wanted: Vec<(String, u32)> = entries
        .iter()
        .map(|e| (e.token.content.clone(), e.id))
        .collect();
    inner
        .add_tokens(entries.into_iter().map(|e| e.token))
        .map_err(|e| format!("added_tokens: {e}"))?;
    let mut others = wanted.into_iter().filter_map(|(token, id)| {
        let given = inner.token_to_id(&token).filter(|given| *given != id)?;
        Some((token, id, given))
    });
    // One warning, whether one token is concerned or a hundred thousand.
    if let Some((token, id, given)) = others.next() {
        let more = match others.count() {
            0 => String::new(),
            more => format!("; so it is with {more} more tokens"),
        };
        warnings.push(format!(
            "token {token:?} is declared with id {id} but its place in the vocabulary gives \
             it {given}, as in the tokenizers library{more}"
        ));
    }
    Ok(())
}

/// The special tokens that the post-processor puts around a text, learned from a sentinel.
fn template(inner: &tokenizers::Tokenizer) -> Result<(Vec<u32>, Vec<u32>), String> {
    const SENTINEL: u32 = u32::MAX - 7;
    let Some(processor) = inner.get_post_processor() else {
        return Ok((Vec::new(), Vec::new()));
    };
    let text =
        tokenizers::Encoding::from_tokens(vec![Token::new(SENTINEL, "a".to_owned(), (0, 1))], 0);
    let ids = processor
        .process(text, None, true)
        .map_err(|e| format!("post_processor: {e}"))?
        .get_ids()
        .to_vec();
    let mut places = ids.iter().enumerate().filter(|(_, id)| **id == SENTINEL);
    match (places.next(), places.next()) {
        (Some((at, _)), None) => Ok((ids[..at].to_vec(), ids[at + 1..].to_vec())),
        _ => Err("the post-processor must hold the text exactly once".into()),
    }
}

fn is_byte_level(value: &Value) -> bool {
    value.get("type").and_then(Value::as_str) == Some("ByteLevel")
        || ["normalizers", "pretokenizers"].iter().any(|field| {
            value
                .get(field)
                .and_then(Value::as_array)
                .is_some_and(|parts| parts.iter().any(is_byte_level))
        })
}

fn special_ids(
    inner: &tokenizers::Tokenizer,
    names: &SpecialNames,
    config: &Value,
) -> HashSet<u32> {
    let mut special: HashSet<u32> = inner
        .get_added_tokens_decoder()
        .into_iter()
        .filter(|(_, token)| token.special)
        .map(|(id, _)| id)
        .collect();
    let named = [
        &names.bos, &names.eos, &names.pad, &names.unk, &names.cls, &names.sep,
    ];
    special.extend(
        named
            .into_iter()
            .flatten()
            .filter_map(|token| inner.token_to_id(token)),
    );
    for field in ["additional_special_tokens", "extra_special_tokens"] {
        let tokens = config.get(field).and_then(Value::as_array);
        special.extend(
            tokens
                .into_iter()
                .flatten()
                .filter_map(json::token_content)
                .filter_map(|token| inner.token_to_id(token)),
        );
    }
    special
}

/// A vocabulary given as lines: id = line number.
pub(super) fn numbered<'a>(lines: impl Iterator<Item = &'a str>) -> AHashMap<String, u32> {
    lines
        .enumerate()
        .map(|(id, token)| (token.to_owned(), id as u32))
        .collect()
}
