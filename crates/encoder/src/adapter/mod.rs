//! Low-rank adapters as PEFT writes them (0.21): found, read, and merged into their base.
//!
//! A folder with `adapter_config.json` is its base model, which the file names, with the adapter's
//! change of the weights. Keys that are not known here must be off; what is not known whole is
//! refused. To add a setting: its key in `settings.rs`, its change in `merge.rs`.

mod merge;
mod settings;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) use self::merge::{Merged, merge};
use crate::locate::{file_name, refuse_foreign, transformer_folder};
use crate::{EncoderError, json};
use korfinsts_base::fs;

/// The file that makes a folder one of an adapter.
pub(crate) const CONFIG: &str = "adapter_config.json";
/// Its tensors.
pub(crate) const WEIGHTS: &str = "adapter_model.safetensors";
/// Its tensors in a format that runs code.
pub(crate) const PICKLE: &str = "adapter_model.bin";
/// Most adapters on top of each other.
const MOST: usize = 4;
/// Files that make a complete model of a folder, which an adapter next to them changes.
const COMPLETE: [&str; 2] = ["model.safetensors", "model.safetensors.index.json"];

/// How to merge an adapter into its base.
pub(crate) const MERGE: &str = "merge it where its base model is: \
     `PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(new_folder)`, and \
     name the new folder";

/// The files of one adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterFiles {
    /// `adapter_config.json`.
    pub config: PathBuf,
    /// `adapter_model.safetensors`.
    pub weights: PathBuf,
}

/// A base model on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its folder or file.
    pub path: PathBuf,
    /// Hub id and 40-digit revision, where it came from the hub.
    pub identity: Option<(String, String)>,
}

/// An adapter and what it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// Folder of the model that the adapter makes.
    pub folder: PathBuf,
    /// The adapter.
    pub files: AdapterFiles,
    /// Its base, which may be of an adapter too.
    pub base: Base,
}

/// Which base an adapter names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseName {
    /// A path or hub id.
    pub source: String,
    /// Branch, tag or commit of a hub id.
    pub revision: Option<String>,
}

/// The adapters of the model at `path`, the one that is applied last first; `find` finds a base.
///
/// # Errors
/// When a file is wrong, the tensors of an adapter are missing, or `find` fails.
pub fn levels(
    path: &Path,
    find: &mut dyn FnMut(&Path, &BaseName) -> Result<Base, EncoderError>,
) -> Result<Vec<Level>, EncoderError> {
    let mut at = match path.parent() {
        Some(parent) if file_name(path) == WEIGHTS => parent.to_owned(),
        _ => path.to_owned(),
    };
    let mut levels: Vec<Level> = Vec::new();
    while let Some(files) = at_folder(&at)? {
        if levels.len() == MOST {
            return Err(EncoderError::Invalid {
                path: files.config,
                reason: format!("more than {MOST} adapters are on top of each other"),
                hint: Some(MERGE.to_owned()),
            });
        }
        let own = files.config.parent().unwrap_or(&at);
        let complete = COMPLETE.iter().any(|name| fs::exists(&own.join(name)));
        let base = if complete {
            Base {
                path: at.clone(),
                identity: None,
            }
        } else {
            find(&files.config, &named(&files.config)?)?
        };
        let next = base.path.clone();
        levels.push(Level {
            folder: at,
            files,
            base,
        });
        if complete {
            break;
        }
        at = next;
    }
    Ok(levels)
}

/// Finds a base on disk; one of the hub must be found before.
///
/// # Errors
/// When nothing is at the path.
pub(crate) fn local(config: &Path, name: &BaseName) -> Result<Base, EncoderError> {
    let path = PathBuf::from(&name.source);
    if fs::exists(&path) {
        return Ok(Base {
            path,
            identity: None,
        });
    }
    Err(missing_base(config, name, "no such path is here"))
}

/// The error of a base that is not found.
pub(crate) fn missing_base(config: &Path, name: &BaseName, why: &str) -> EncoderError {
    EncoderError::Invalid {
        path: config.to_owned(),
        reason: format!(
            "`{BASE}` is `{}`, the model that the adapter changes: {why}",
            name.source
        ),
        hint: Some(format!(
            "write the path or the hub id of that model as `{BASE}`, or {MERGE}"
        )),
    }
}

const BASE: &str = "base_model_name_or_path";

/// The base that a configuration names.
fn named(config: &Path) -> Result<BaseName, EncoderError> {
    let value = json::load(config)?.unwrap_or(Value::Null);
    let source = json::text(config, &value, BASE)?.filter(|source| !source.is_empty());
    let Some(source) = source else {
        return Err(EncoderError::Invalid {
            path: config.to_owned(),
            reason: format!("`{BASE}` is missing: the model that the adapter changes is not known"),
            hint: Some(format!(
                "write the path or the hub id of that model as `{BASE}`"
            )),
        });
    };
    Ok(BaseName {
        source: source.to_owned(),
        revision: json::text(config, &value, "revision")?.map(str::to_owned),
    })
}

/// The adapter of a model's folder, in the folder itself or in that of its first module.
fn at_folder(path: &Path) -> Result<Option<AdapterFiles>, EncoderError> {
    if !fs::exists(path) || !fs::metadata(path)?.is_dir() {
        return Ok(None);
    }
    let folders = [transformer_folder(path)?, path.to_owned()];
    let here = |name: &str| {
        let mut paths = folders.iter().map(|folder| folder.join(name));
        paths.find(|path| fs::exists(path))
    };
    let missing = |name: &str, hint: &str| EncoderError::Missing {
        folder: path.to_owned(),
        what: format!("`{name}`, a part of the adapter,"),
        hint: Some(hint.to_owned()),
    };
    match (here(CONFIG), here(WEIGHTS)) {
        (Some(config), Some(weights)) => {
            refuse_foreign(&weights)?;
            Ok(Some(AdapterFiles { config, weights }))
        }
        (None, Some(_)) => Err(missing(CONFIG, "was the adapter downloaded whole?")),
        (Some(_), None) if here(PICKLE).is_none() => {
            Err(missing(WEIGHTS, "was the adapter downloaded whole?"))
        }
        _ => match here(PICKLE) {
            None => Ok(None),
            Some(path) => Err(EncoderError::Invalid {
                path,
                reason: "the tensors of this adapter are a pickle, which runs code, and are not \
                         opened"
                    .into(),
                hint: Some(
                    "save it as safetensors where you trust it: \
                     `PeftModel.from_pretrained(base, folder).save_pretrained(new_folder)`"
                        .into(),
                ),
            }),
        },
    }
}
