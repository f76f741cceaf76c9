//! Where a model keeps its tokenizer, and which of its files are read.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::build::{Source, build, from_json};
use super::class::{self, Files};
use super::document::AddedTokenEntry;
use super::special::{added_tokens, merge_added_tokens, names};
use super::{SpecialNames, Tokenizer, sentencepiece};
use crate::{EncoderError, json as read_json};
use korfinsts_base::fs;

/// Names under which SentencePiece models are kept.
const SENTENCEPIECE: [&str; 5] = [
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "sentencepiece.model",
];

/// Whether a folder holds a tokenizer, or a part of one.
pub(crate) fn is_tokenizer(folder: &Path) -> bool {
    let names = ["tokenizer.json", "vocab.json", "vocab.txt"];
    let mut names = names.iter().chain(&SENTENCEPIECE);
    names.any(|name| fs::exists(&folder.join(name)))
}

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
        return from_json(&path, &settings, config, &names).map(Some);
    }
    let mut others: Vec<PathBuf> = ["tokenizer_config.json", "special_tokens_map.json"]
        .iter()
        .filter_map(|name| here(name))
        .collect();
    let mut added = added_tokens(&settings, &settings_path)?;
    if let Some(path) = here("added_tokens.json") {
        merge_added_tokens(&path, &names, &settings, &mut added)?;
        others.push(path);
    }
    let model_type = config.get("model_type").and_then(Value::as_str);
    let folder_files = Folder {
        settings: &settings,
        names,
        others,
        added,
        config,
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
pub(super) struct Folder<'a> {
    pub(super) settings: &'a Value,
    pub(super) config: &'a Value,
    pub(super) names: SpecialNames,
    others: Vec<PathBuf>,
    pub(super) added: Vec<AddedTokenEntry>,
    pub(super) model_type: &'a str,
}

impl Folder<'_> {
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.settings.get(name).and_then(Value::as_bool)
    }

    pub(super) fn source<'a>(
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
                .chain(self.others.iter().cloned())
                .collect(),
            config: self.settings,
            names,
        }
    }

    fn sentencepiece(mut self, path: &Path) -> Result<Tokenizer, EncoderError> {
        class::refuse(Files::SentencePiece, path, self.settings, self.config)?;
        let plan = sentencepiece::ConversionPlan {
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

/// A text file, which must be UTF-8.
pub(super) fn utf8(path: &Path) -> Result<String, EncoderError> {
    String::from_utf8(fs::read_up_to(path, super::check::LONGEST_FILE)?).map_err(|e| {
        EncoderError::Invalid {
            path: path.to_owned(),
            reason: format!("byte {} is not UTF-8", e.utf8_error().valid_up_to()),
            hint: None,
        }
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

/// Loads the tokenizer that one file names, whatever else is in its folder: `tokenizer.json` under
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
        return from_json(path, &settings, config, &names);
    }
    let mut added = added_tokens(&settings, &settings_path)?;
    let added_path = folder.join("added_tokens.json");
    let mut others = Vec::new();
    if fs::exists(&added_path) {
        merge_added_tokens(&added_path, &names, &settings, &mut added)?;
        others.push(added_path);
    }
    let files = Folder {
        settings: &settings,
        names,
        others,
        added,
        config,
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
