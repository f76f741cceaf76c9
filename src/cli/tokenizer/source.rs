//! From what the user typed to a tokenizer.

use std::path::{Path, PathBuf};

use crate::cli::{CliError, Global};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::hub::{Hub, RepoId, RepoKind};
use korfinsts_bench::coverage::Subject;
use korfinsts_encoder::locate::{ModelSource, locate};

/// Files of a hub repository that make a tokenizer and its maximum length.
const FILES: [&str; 14] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
    "sentence_bert_config.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "sentencepiece.model",
];

/// Loads the tokenizer of a path or a hub id; of a hub repository only its tokenizer's files are
/// downloaded.
///
/// # Errors
/// When nothing is there, it cannot be fetched, or it is wrong.
pub fn load(source: &str, global: &Global) -> anyhow::Result<Subject> {
    match locate(source) {
        ModelSource::Path { path, note } => {
            if let Some(note) = note {
                global.note(&format!("note: {note}"));
            }
            Ok(Subject::load(&path)?)
        }
        ModelSource::Hub { id, revision } => {
            let folder = fetch(&id, revision.as_deref(), global)?;
            Ok(Subject::load(&folder)?.named(id))
        }
        ModelSource::Endpoint(url) => Err(CliError::usage(
            format!("`{url}` is an endpoint, which shows no vocabulary"),
            "give a tokenizer's file, a model's folder, or a hub id",
        )
        .into()),
    }
}

fn fetch(id: &str, revision: Option<&str>, global: &Global) -> anyhow::Result<PathBuf> {
    let hub = Hub::from_env(global.offline);
    let repo = RepoId::new(RepoKind::Model, id)?;
    let snapshot = hub.resolve(&repo, revision.unwrap_or("main"))?;
    let has = |name: &str| snapshot.files.iter().any(|f| f == name);
    let mut folder = None;
    for file in FILES {
        // Where there is a `tokenizer.json`, the older formats of the same are not needed.
        let older = FILES[6..].contains(&file);
        if !has(file) || (older && has("tokenizer.json")) {
            continue;
        }
        let path = hub.file(&repo, &snapshot.commit, file)?;
        folder = path.parent().map(Path::to_owned);
    }
    folder.ok_or_else(|| {
        CliError::new(
            FailureClass::Model,
            format!("the hub's `{id}` holds no tokenizer"),
            Some("look at its list of files: is the tokenizer in a subfolder?".into()),
        )
        .into()
    })
}
