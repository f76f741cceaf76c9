//! What `tokenizer_class` and the flags of `tokenizer_config.json` mean for a tokenizer's files, as
//! transformers reads them (4.57 and 5.17 agree on everything that is followed here).
//!
//! To add a class: its name in the list of what it does.

use std::path::Path;

use serde_json::{Value, json};

use super::document::Document;
use crate::EncoderError;
use crate::family::{self, Kind};

/// Classes that build BERT's normaliser out of the flags, whatever `tokenizer.json` says.
const BERT: &str = "BertTokenizer DistilBertTokenizer ElectraTokenizer MPNetTokenizer \
    LayoutLMTokenizer SqueezeBertTokenizer MobileBertTokenizer LxmertTokenizer FunnelTokenizer \
    SplinterTokenizer";
/// Other classes for which a `vocab.txt` is WordPiece. Versions of transformers differ over whether
/// they follow the flags.
const WORDPIECE: &str = "ConvBertTokenizer RetriBertTokenizer RealmTokenizer \
    DPRQuestionEncoderTokenizer DPRContextEncoderTokenizer DPRReaderTokenizer";
/// Classes that build a byte-level splitter out of `add_prefix_space`.
const BYTE_LEVEL: &str = "GPT2Tokenizer RobertaTokenizer LongformerTokenizer BartTokenizer \
    LEDTokenizer Qwen2Tokenizer";
/// Other classes whose `vocab.json` and `merges.txt` are byte-level BPE.
const BYTE_LEVEL_FILES: &str = "BlenderbotTokenizer CodeGenTokenizer DebertaTokenizer \
    GPTNeoXTokenizer MvpTokenizer WhisperTokenizer";
/// Classes of SentencePiece models that are read here.
const SENTENCEPIECE: &str = "XLMRobertaTokenizer T5Tokenizer MT5Tokenizer LlamaTokenizer \
    CodeLlamaTokenizer GemmaTokenizer";
/// Classes that add nothing to `tokenizer.json`.
const PLAIN: &str = "PreTrainedTokenizer TokenizersBackend";
/// Values of `model_type` whose class is BERT's where none is named.
const BERT_TYPES: &str = "bert convbert distilbert electra ernie funnel layoutlm megatron-bert \
    mobilebert mpnet nezha qdqbert splinter squeezebert lxmert nomic_bert";
/// Values of `model_type` for which transformers takes `tokenizer.json` as it is, whatever the class.
const AS_IS: &str = "modernbert mistral mixtral phi3";

/// How a vocabulary is kept without a `tokenizer.json`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Files {
    WordPiece,
    ByteLevel,
    SentencePiece,
}

/// What a user should know of a class.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// What was done as the class does it.
    pub notes: Vec<String>,
    /// What may make ids wrong.
    pub doubts: Vec<String>,
}

fn holds(list: &str, name: &str) -> bool {
    list.split_whitespace().any(|known| known == name)
}

/// The class of a tokenizer, without the `Fast` at its end; `None` where nothing names one.
fn class(settings: &Value, config: &Value) -> Option<String> {
    let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    let model_type = text(config, "model_type").unwrap_or_default();
    text(settings, "tokenizer_class")
        .or_else(|| text(config, "tokenizer_class"))
        .or_else(|| holds(BERT_TYPES, &model_type).then(|| "BertTokenizer".to_owned()))
        .map(|class| class.strip_suffix("Fast").unwrap_or(&class).to_owned())
}

/// Whether the settings name a class that reads a `vocab.txt` as BERT does.
pub(super) fn is_bert(settings: &Value) -> bool {
    class(settings, &Value::Null).is_some_and(|class| holds(BERT, &class))
}

/// The tokenizer class in the model's own code, where the settings name one.
fn own_code(settings: &Value) -> Option<String> {
    let named = settings.pointer("/auto_map/AutoTokenizer")?;
    let class = match named {
        Value::Array(classes) => classes.iter().rev().find_map(Value::as_str)?,
        named => named.as_str()?,
    };
    Some(class.to_owned())
}

/// Changes a `tokenizer.json` as its class does when transformers opens it.
pub(super) fn follow(document: &mut Document, settings: &Value, config: &Value) -> Remarks {
    let mut remarks = Remarks::default();
    let model_type = config.get("model_type").and_then(Value::as_str);
    let model_type = model_type.unwrap_or_default();
    if family::of(model_type).kind == Kind::Static {
        return remarks;
    }
    if let Some(class) = own_code(settings) {
        remarks.doubts.push(format!(
            "tokenizer_config.json names code of the model's own (`auto_map`: `{class}`), which is \
             not run: `tokenizer.json` is used as it is"
        ));
    }
    let Some(class) = class(settings, config) else {
        return remarks;
    };
    if holds(AS_IS, model_type) || holds(PLAIN, &class) {
        return remarks;
    }
    if holds(BYTE_LEVEL, &class) {
        prefix_space(&mut document.pre_tokenizer, settings, &class, &mut remarks);
    } else {
        normalizer(&mut document.normalizer, settings, &class, &mut remarks);
    }
    remarks
}

/// `do_lower_case`, `strip_accents` and `tokenize_chinese_chars`.
fn normalizer(normalizer: &mut Value, settings: &Value, class: &str, remarks: &mut Remarks) {
    let follows = holds(BERT, class);
    if normalizer["type"] != "BertNormalizer" {
        if follows {
            remarks.doubts.push(format!(
                "`tokenizer_class` is `{class}`, and the normalizer of `tokenizer.json` is not \
                 BERT's: it is used, as in transformers 4; transformers 5 puts BERT's in its place"
            ));
        }
        return;
    }
    for (flag, field, default) in [
        ("do_lower_case", "lowercase", json!(true)),
        ("strip_accents", "strip_accents", Value::Null),
        (
            "tokenize_chinese_chars",
            "handle_chinese_chars",
            json!(true),
        ),
    ] {
        let said = settings.get(flag).filter(|v| !v.is_null());
        let wanted = said.cloned().unwrap_or(default);
        let found = &mut normalizer[field];
        if *found == wanted || !follows && said.is_none() {
            continue;
        }
        let file = format!("`{field}` of `tokenizer.json` is `{found}`");
        if follows {
            remarks.notes.push(format!(
                "{file}, and `{flag}` {} `{wanted}`: the flag is followed, as `{class}` does",
                if said.is_some() {
                    "is"
                } else {
                    "is by default"
                }
            ));
            *found = wanted;
        } else {
            remarks.doubts.push(format!(
                "{file}, and `{flag}` is `{wanted}`: the file is followed, and versions of \
                 transformers differ over what `{class}` does"
            ));
        }
    }
}

/// `add_prefix_space` of a byte-level splitter.
fn prefix_space(part: &mut Value, settings: &Value, class: &str, remarks: &mut Remarks) {
    if let Some(parts) = part["pretokenizers"].as_array_mut() {
        for part in parts {
            prefix_space(part, settings, class, remarks);
        }
        return;
    }
    let said = settings.get("add_prefix_space").and_then(Value::as_bool);
    let wanted = json!(said.unwrap_or(false));
    let found = &mut part["add_prefix_space"];
    if found.is_boolean() && *found != wanted {
        remarks.notes.push(format!(
            "`add_prefix_space` of `tokenizer.json` is `{found}`, and that of \
             `tokenizer_config.json` {} `{wanted}`: the latter is followed, as `{class}` does",
            if said.is_some() {
                "is"
            } else {
                "is by default"
            }
        ));
        *found = wanted;
    }
}

/// Refuses vocabulary files of a class that does more with a text than they say.
///
/// # Errors
/// When the class is of the model's own code, or not one of those that read files of this kind.
pub(super) fn refuse(
    files: Files,
    path: &Path,
    settings: &Value,
    config: &Value,
) -> Result<(), EncoderError> {
    let lists: &[&str] = match files {
        Files::WordPiece => &[PLAIN, BERT, WORDPIECE],
        Files::ByteLevel => &[PLAIN, BYTE_LEVEL, BYTE_LEVEL_FILES],
        Files::SentencePiece => &[PLAIN, SENTENCEPIECE],
    };
    let class = match (own_code(settings), class(settings, config)) {
        (Some(own), _) => own,
        (None, Some(class)) if !lists.iter().any(|list| holds(list, &class)) => class,
        _ => return Ok(()),
    };
    Err(EncoderError::Invalid {
        path: path.to_owned(),
        reason: format!(
            "the tokenizer's class is `{class}`, which does more with a text than this file says"
        ),
        hint: Some(
            "write a `tokenizer.json` with `AutoTokenizer.from_pretrained(...)\
             .save_pretrained(...)`; where the class cannot write one, serve the model and name \
             the server's address"
                .into(),
        ),
    })
}
