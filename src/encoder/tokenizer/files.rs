//! Where a model keeps its tokenizer, and the formats older than `tokenizer.json`.

use std::path::{Path, PathBuf};

use ahash::AHashMap;
use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::build::{Source, build, from_json, numbered};
use super::document::{AddedTokenEntry, Document, Merge, Model, Vocab};
use super::{SpecialNames, Tokenizer, sentencepiece};
use crate::encoder::{EncoderError, json as read_json};
use crate::fs;

/// Names under which SentencePiece models are kept.
const SENTENCEPIECE: [&str; 5] = [
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "sentencepiece.model",
];

/// Splits text as Qwen2 does, before byte-level BPE.
const QWEN2_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

pub(super) fn from_folder(folders: &[&Path], config: &Value) -> Result<Tokenizer, EncoderError> {
    for folder in folders {
        if let Some(tokenizer) = try_folder(folder, config)? {
            return Ok(tokenizer);
        }
    }
    Err(EncoderError::Missing {
        folder: folders.first().map(|f| (*f).to_owned()).unwrap_or_default(),
        what: "the tokenizer (`tokenizer.json`, a SentencePiece `.model`, `vocab.json` with \
               `merges.txt`, or `vocab.txt`)"
            .into(),
        hint: Some(
            "copy `tokenizer.json` and `tokenizer_config.json` of the model beside its weights"
                .into(),
        ),
    })
}

fn try_folder(folder: &Path, config: &Value) -> Result<Option<Tokenizer>, EncoderError> {
    let here = |name: &str| Some(folder.join(name)).filter(|p| fs::exists(p));
    let settings_path = folder.join("tokenizer_config.json");
    let settings = read_json::load(&settings_path)?.unwrap_or(Value::Null);
    let map_path = folder.join("special_tokens_map.json");
    let map = read_json::load(&map_path)?.unwrap_or(Value::Null);
    let names = names(&settings, &map);

    if let Some(path) = here("tokenizer.json") {
        return from_json(&path, &settings, &names).map(Some);
    }
    let mut beside: Vec<PathBuf> = ["tokenizer_config.json", "special_tokens_map.json"]
        .iter()
        .filter_map(|name| here(name))
        .collect();
    let mut added = added_tokens(&settings, &settings_path)?;
    if let Some(path) = here("added_tokens.json") {
        merge_added_tokens(&path, &names, &settings, &mut added)?;
        beside.push(path);
    }
    let model_type = config.get("model_type").and_then(Value::as_str);
    let folder_files = Folder {
        settings: &settings,
        names,
        beside,
        added,
        model_type: model_type.unwrap_or(""),
    };
    if let Some(path) = SENTENCEPIECE.iter().find_map(|name| here(name)) {
        return folder_files.sentencepiece(&path).map(Some);
    }
    if let Some(vocab) = here("vocab.json") {
        let merges = here("merges.txt").ok_or_else(|| EncoderError::Missing {
            folder: folder.to_owned(),
            what: "`merges.txt`, which belongs to `vocab.json`,".into(),
            hint: None,
        })?;
        return folder_files.byte_level(&vocab, &merges).map(Some);
    }
    if let Some(path) = here("vocab.txt") {
        return folder_files.wordpiece(&path).map(Some);
    }
    Ok(None)
}

/// A folder without `tokenizer.json`.
struct Folder<'a> {
    settings: &'a Value,
    names: SpecialNames,
    beside: Vec<PathBuf>,
    added: Vec<AddedTokenEntry>,
    model_type: &'a str,
}

impl Folder<'_> {
    fn flag(&self, name: &str) -> Option<bool> {
        self.settings.get(name).and_then(Value::as_bool)
    }

    fn source<'a>(
        &'a self,
        format: &'static str,
        files: &[&Path],
        names: &'a SpecialNames,
    ) -> Source<'a> {
        Source {
            format,
            files: files
                .iter()
                .map(|p| (*p).to_owned())
                .chain(self.beside.iter().cloned())
                .collect(),
            config: self.settings,
            names,
        }
    }

    fn wordpiece(mut self, path: &Path) -> Result<Tokenizer, EncoderError> {
        if matches!(self.model_type, "roberta" | "xlm-roberta" | "mpnet") {
            return Err(unsupported(path, self.model_type));
        }
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

    fn byte_level(
        mut self,
        vocab_path: &Path,
        merges_path: &Path,
    ) -> Result<Tokenizer, EncoderError> {
        let bytes = fs::read(vocab_path)?;
        let vocab: AHashMap<String, u32> =
            serde_json::from_slice(&bytes).map_err(|e| read_json::malformed(vocab_path, &e))?;
        let merges = merges(merges_path)?;
        let prefix_space = self.flag("add_prefix_space").unwrap_or(false);
        let roberta = matches!(self.model_type, "roberta" | "longformer" | "mpnet");
        let qwen = self.model_type.starts_with("qwen")
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

    fn sentencepiece(mut self, path: &Path) -> Result<Tokenizer, EncoderError> {
        let plan = sentencepiece::Plan {
            model_type: self.model_type,
            add_bos: self.flag("add_bos_token"),
            add_eos: self.flag("add_eos_token"),
            extra_ids: self
                .settings
                .get("extra_ids")
                .and_then(Value::as_u64)
                .unwrap_or(100)
                .min(1000) as u32,
        };
        let (document, names) =
            sentencepiece::read(path, &plan, &self.names, std::mem::take(&mut self.added))?;
        build(document, &self.source("SentencePiece", &[path], &names))
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

/// A special token as the tokenizers crate wants it.
pub(super) fn special(token: &str, id: u32) -> AddedTokenEntry {
    AddedTokenEntry {
        id,
        token: AddedToken::from(token, true),
    }
}

/// A post-processor that puts one token before and one behind a text.
pub(super) fn around(before: Option<(&str, u32)>, behind: Option<(&str, u32)>) -> Value {
    if before.is_none() && behind.is_none() {
        return Value::Null;
    }
    let piece = |token: Option<(&str, u32)>, type_id: u32| {
        token.map(|(t, _)| json!({"SpecialToken": {"id": t, "type_id": type_id}}))
    };
    let sequence =
        |id: &str, type_id: u32| Some(json!({"Sequence": {"id": id, "type_id": type_id}}));
    let single: Vec<Value> = [piece(before, 0), sequence("A", 0), piece(behind, 0)]
        .into_iter()
        .flatten()
        .collect();
    let pair: Vec<Value> = [
        piece(before, 0),
        sequence("A", 0),
        piece(behind, 0),
        sequence("B", 1),
        piece(behind, 1),
    ]
    .into_iter()
    .flatten()
    .collect();
    let special_tokens: serde_json::Map<String, Value> = [before, behind]
        .into_iter()
        .flatten()
        .map(|(t, id)| (t.to_owned(), json!({"id": t, "ids": [id], "tokens": [t]})))
        .collect();
    json!({"type": "TemplateProcessing", "single": single, "pair": pair,
           "special_tokens": special_tokens})
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

fn names(settings: &Value, map: &Value) -> SpecialNames {
    let name = |field: &str| {
        [settings, map]
            .into_iter()
            .filter_map(|v| v.get(field))
            .find_map(read_json::token_content)
            .map(str::to_owned)
    };
    SpecialNames {
        bos: name("bos_token"),
        eos: name("eos_token"),
        pad: name("pad_token"),
        unk: name("unk_token"),
        cls: name("cls_token"),
        sep: name("sep_token"),
    }
}

/// `added_tokens_decoder` of `tokenizer_config.json`, by id.
fn added_tokens(settings: &Value, path: &Path) -> Result<Vec<AddedTokenEntry>, EncoderError> {
    let mut entries = Vec::new();
    let table = settings
        .get("added_tokens_decoder")
        .and_then(Value::as_object);
    for (id, token) in table.into_iter().flatten() {
        let wrong = || {
            read_json::wrong_field(
                path,
                "added_tokens_decoder",
                &json!({id: token}),
                "a map of ids to tokens",
            )
        };
        let id: u32 = id.parse().map_err(|_| wrong())?;
        let content = read_json::token_content(token).ok_or_else(wrong)?;
        let flag = |name: &str| token.get(name).and_then(Value::as_bool).unwrap_or(false);
        entries.push(AddedTokenEntry {
            id,
            token: AddedToken::from(content, flag("special"))
                .single_word(flag("single_word"))
                .lstrip(flag("lstrip"))
                .rstrip(flag("rstrip"))
                .normalized(flag("normalized")),
        });
    }
    entries.sort_by_key(|e| e.id);
    Ok(entries)
}

/// `added_tokens.json`: tokens to ids; named ones are special.
fn merge_added_tokens(
    path: &Path,
    names: &SpecialNames,
    settings: &Value,
    entries: &mut Vec<AddedTokenEntry>,
) -> Result<(), EncoderError> {
    let bytes = fs::read(path)?;
    let table: std::collections::BTreeMap<String, u32> =
        serde_json::from_slice(&bytes).map_err(|e| read_json::malformed(path, &e))?;
    let more: Vec<&str> = settings
        .get("additional_special_tokens")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(read_json::token_content)
        .collect();
    for (token, id) in table {
        if entries.iter().any(|e| e.token.content == token) {
            continue;
        }
        let named = [
            &names.bos, &names.eos, &names.pad, &names.unk, &names.cls, &names.sep,
        ]
        .into_iter()
        .flatten()
        .any(|name| *name == token);
        let is_special = named || more.contains(&token.as_str());
        entries.push(AddedTokenEntry {
            id,
            token: AddedToken::from(token, is_special),
        });
    }
    entries.sort_by_key(|e| e.id);
    Ok(())
}

/// A text file, which must be UTF-8.
fn utf8(path: &Path) -> Result<String, EncoderError> {
    String::from_utf8(fs::read(path)?).map_err(|e| EncoderError::Invalid {
        path: path.to_owned(),
        reason: format!("byte {} is not UTF-8", e.utf8_error().valid_up_to()),
        hint: None,
    })
}

pub(super) fn unsupported(path: &Path, model_type: &str) -> EncoderError {
    EncoderError::Invalid {
        path: path.to_owned(),
        reason: format!(
            "how a model of type `{model_type}` uses this vocabulary is not known, and a guess \
             would change its scores"
        ),
        hint: Some(
            "write a `tokenizer.json` with \
             `AutoTokenizer.from_pretrained(...).save_pretrained(...)`"
                .into(),
        ),
    }
}

/// Loads the tokenizer that one file names, whatever else lies beside it: `tokenizer.json` under
/// any name, `*.model`, `vocab.txt`, or `vocab.json` and `merges.txt` (either names both).
pub(super) fn from_one(path: &Path, config: &Value) -> Result<Tokenizer, EncoderError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let settings_path = folder.join("tokenizer_config.json");
    let settings = read_json::load(&settings_path)?.unwrap_or(Value::Null);
    let map = read_json::load(&folder.join("special_tokens_map.json"))?.unwrap_or(Value::Null);
    let names = names(&settings, &map);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let pair = name == "vocab.json" || name == "merges.txt";
    if extension.as_deref() == Some("json") && !pair {
        return from_json(path, &settings, &names);
    }
    let mut added = added_tokens(&settings, &settings_path)?;
    let added_path = folder.join("added_tokens.json");
    let mut beside = Vec::new();
    if fs::exists(&added_path) {
        merge_added_tokens(&added_path, &names, &settings, &mut added)?;
        beside.push(added_path);
    }
    let files = Folder {
        settings: &settings,
        names,
        beside,
        added,
        model_type: config
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or(""),
    };
    match extension.as_deref() {
        _ if pair => files.byte_level(&folder.join("vocab.json"), &folder.join("merges.txt")),
        Some("model" | "spm") => files.sentencepiece(path),
        Some("txt") => files.wordpiece(path),
        _ => Err(EncoderError::Invalid {
            path: path.to_owned(),
            reason: "not a tokenizer: its name ends in none of `.json`, `.model`, `.txt`, `.onnx`"
                .into(),
            hint: Some("name the folder that holds the tokenizer, or its `tokenizer.json`".into()),
        }),
    }
}
