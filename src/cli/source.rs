//! From what the user typed to a model on disk.

use std::path::{Path, PathBuf};

use indicatif::HumanBytes;

use super::{CliError, Global};
use crate::encoder::built_in;
use crate::encoder::locate::{ModelSource, locate};
use crate::failure::FailureClass;
use crate::fs;
use crate::hub::{Hub, Progress, RepoId, RepoKind};

/// A model on disk.
#[derive(Debug, Clone)]
pub struct Found {
    /// File or folder.
    pub path: PathBuf,
    /// Hub id and 40-digit revision, where it came from the hub.
    pub identity: Option<(String, String)>,
}

/// Finds a model: a path as it is, a hub id through the hub's cache.
///
/// # Errors
/// When it is an endpoint, or must be downloaded and cannot be.
pub fn find(source: &str, onnx: bool, global: &Global) -> anyhow::Result<Found> {
    match locate(source) {
        ModelSource::Path { path, .. } if built_in::is_known(source) && !fs::exists(&path) => {
            let path = built_in::unpack(source, &global.data_home()?)?;
            Ok(Found {
                path,
                identity: None,
            })
        }
        ModelSource::Path { path, note } => {
            if let Some(note) = note {
                global.note(&format!("note: {note}"));
            }
            Ok(Found {
                path,
                identity: None,
            })
        }
        ModelSource::Hub { id, revision } => from_hub(&id, revision.as_deref(), onnx, global),
        ModelSource::Endpoint(url) => Err(CliError::usage(
            format!("`{url}` is an endpoint, and its files are needed here"),
            "give a model file or folder, or a hub id",
        )
        .into()),
    }
}

/// Downloads what an evaluation needs of a model: configuration, tokenizer and one set of
/// weights. With `onnx` an ONNX file is preferred to safetensors.
fn from_hub(
    id: &str,
    revision: Option<&str>,
    onnx: bool,
    global: &Global,
) -> anyhow::Result<Found> {
    let quiet = global.quiet;
    let hub = Hub::from_env(global.offline).with_progress(move |progress| {
        if let Progress::Start { file, total, .. } = progress
            && !quiet
        {
            let size = total.map_or_else(String::new, |n| HumanBytes(n).to_string());
            eprintln!("downloading {file} {size}");
        }
    });
    let repo = RepoId::new(RepoKind::Model, id)?;
    let snapshot = hub.resolve(&repo, revision.unwrap_or("main"))?;
    let wanted = wanted(&snapshot.files, onnx);
    if !wanted.iter().any(|f| is_weights(f)) {
        return Err(CliError::new(
            FailureClass::Model,
            format!("the hub's `{id}` holds neither `model.onnx` nor `model.safetensors`"),
            Some("weights in pickle files are not read; convert them to safetensors".into()),
        )
        .into());
    }
    let mut folder = None;
    for file in &wanted {
        let path = hub.file(&repo, &snapshot.commit, file)?;
        let depth = Path::new(file).components().count();
        folder = path.ancestors().nth(depth).map(Path::to_owned);
    }
    let path = folder.ok_or_else(|| {
        CliError::new(
            FailureClass::Model,
            format!("the hub's `{id}` holds no file"),
            None,
        )
    })?;
    Ok(Found {
        path,
        identity: Some((id.to_owned(), snapshot.commit)),
    })
}

fn is_weights(file: &str) -> bool {
    file.ends_with(".onnx") || file.ends_with(".safetensors")
}

/// The files of a repository that an evaluation needs.
fn wanted(files: &[String], onnx: bool) -> Vec<&str> {
    let has = |name: &str| files.iter().any(|f| f == name);
    let graph = ["model.onnx", "onnx/model.onnx"]
        .into_iter()
        .find(|f| onnx && has(f));
    let weights = |file: &str| match graph {
        // External data lies beside its graph, under a name that begins with the graph's.
        Some(graph) => file == graph || file.starts_with(&format!("{graph}_data")),
        None => file == "model.safetensors" || is_shard(file),
    };
    let small = |file: &str| {
        let name = file.rsplit('/').next().unwrap_or(file);
        let depth = file.matches('/').count();
        let module = file
            .split_once('/')
            .is_some_and(|(folder, _)| folder.starts_with(|c: char| c.is_ascii_digit()));
        match depth {
            0 => {
                name.ends_with(".json") && name != "data_config.json"
                    || name.ends_with(".model")
                    || matches!(name, "vocab.txt" | "merges.txt")
            }
            1 if module => !matches!(name, "pytorch_model.bin"),
            _ => false,
        }
    };
    files
        .iter()
        .map(String::as_str)
        .filter(|f| weights(f) || small(f))
        .collect()
}

/// `model-00001-of-00004.safetensors`
fn is_shard(file: &str) -> bool {
    file.strip_prefix("model-")
        .is_some_and(|rest| rest.ends_with(".safetensors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_evaluation_needs_is_downloaded() {
        let files: Vec<String> = [
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "2_Dense/pytorch_model.bin",
            "README.md",
            "config.json",
            "data_config.json",
            "model.safetensors",
            "modules.json",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "onnx/model_quantized.onnx",
            "openvino/openvino_model.bin",
            "pytorch_model.bin",
            "sentencepiece.bpe.model",
            "tokenizer.json",
        ]
        .map(str::to_owned)
        .to_vec();
        let both = [
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "config.json",
        ];
        let end = ["sentencepiece.bpe.model", "tokenizer.json"];
        let onnx = [
            &both[..],
            &["modules.json", "onnx/model.onnx", "onnx/model.onnx_data"],
            &end,
        ];
        assert_eq!(wanted(&files, true), onnx.concat());
        let safetensors = [&both[..], &["model.safetensors", "modules.json"], &end];
        assert_eq!(wanted(&files, false), safetensors.concat());
    }
}
