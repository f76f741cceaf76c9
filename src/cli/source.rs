//! From what the user typed to a model on disk.

use std::path::{Path, PathBuf};

use indicatif::HumanBytes;

use super::{CliError, Global};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_base::hub::{Hub, Progress, RepoId, RepoKind};
use korfinsts_encoder::built_in;
use korfinsts_encoder::locate::{ModelSource, locate};
use korfinsts_encoder::onnx;

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
        return Err(no_weights(id, &snapshot.files, onnx).into());
    }
    let mut folder = None;
    for file in &wanted {
        let path = hub.file(&repo, &snapshot.commit, file)?;
        if file.ends_with(".onnx") {
            // Which files hold the rest of its tensors, the graph itself knows.
            let beside = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            for name in onnx::external_names(&path)? {
                let data = format!("{beside}/{name}");
                let data = data.trim_start_matches('/');
                if snapshot.files.iter().any(|f| f == data) {
                    hub.file(&repo, &snapshot.commit, data)?;
                }
            }
        }
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

/// The ONNX files of a repository's root and of its folder `onnx`.
fn graphs(files: &[String]) -> Vec<&str> {
    let at_hand = |file: &&str| {
        let name = file.strip_prefix("onnx/").unwrap_or(file);
        name.ends_with(".onnx") && !name.contains('/')
    };
    files.iter().map(String::as_str).filter(at_hand).collect()
}

/// Why nothing of a repository can be evaluated, with what it holds instead.
fn no_weights(id: &str, files: &[String], onnx: bool) -> CliError {
    let graphs = graphs(files);
    let (found, hint) = if !onnx && !graphs.is_empty() {
        (
            format!("no `model.safetensors`; found `{}`", graphs.join("`, `")),
            "leave `--backend` out, or choose one that runs ONNX files".to_owned(),
        )
    } else if !graphs.is_empty() {
        (
            format!(
                "neither `model.onnx` nor `model.safetensors`, and several other ONNX files: `{}`",
                graphs.join("`, `")
            ),
            format!(
                "download the one you mean (`hf download {id} --local-dir DIR`) and name its path"
            ),
        )
    } else if let Some(file) = files.iter().find(|f| is_pickle(f)) {
        (
            format!(
                "neither `model.onnx` nor `model.safetensors`; `{file}` is a pickle, which runs \
                 code, and is not read"
            ),
            "convert the model where you trust it: `SentenceTransformer(...)\
             .save_pretrained(DIR, safe_serialization=True)`, and name the folder"
                .to_owned(),
        )
    } else {
        (
            "neither `model.onnx` nor `model.safetensors`".to_owned(),
            "is this a repository of a model, and the revision the right one?".to_owned(),
        )
    };
    CliError::new(
        FailureClass::Model,
        format!("the hub's `{id}` holds {found}"),
        Some(hint),
    )
}

fn is_pickle(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.starts_with("pytorch_model") && name.ends_with(".bin")
        || name.ends_with(".pt")
        || name.ends_with(".pth")
}

/// The files of a repository that an evaluation needs, but for external data of a graph.
fn wanted(files: &[String], onnx: bool) -> Vec<&str> {
    let has = |name: &str| files.iter().any(|f| f == name);
    let plain = ["model.onnx", "onnx/model.onnx"]
        .into_iter()
        .find(|f| onnx && has(f));
    let safetensors = |file: &str| file == "model.safetensors" || is_shard(file);
    // The only weights, where they are an ONNX file of another name.
    let only = match graphs(files)[..] {
        [only] if onnx && !files.iter().any(|f| f.ends_with(".safetensors")) => Some(only),
        _ => None,
    };
    let weights = |file: &str| match plain.or(only) {
        Some(graph) => file == graph,
        None => safetensors(file),
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
            "onnx/config.json",
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
        let onnx = [&both[..], &["modules.json", "onnx/model.onnx"], &end];
        assert_eq!(wanted(&files, true), onnx.concat());
        let safetensors = [&both[..], &["model.safetensors", "modules.json"], &end];
        assert_eq!(wanted(&files, false), safetensors.concat());
    }

    #[test]
    fn the_only_graph_is_taken_and_nothing_else_is_guessed() {
        let list =
            |names: &[&str]| -> Vec<String> { names.iter().map(|n| (*n).to_owned()).collect() };
        let one = list(&["config.json", "onnx/encoder.onnx", "pytorch_model.bin"]);
        assert_eq!(wanted(&one, true), ["config.json", "onnx/encoder.onnx"]);
        for (files, onnx, says, hint) in [
            (
                &one,
                false,
                "found `onnx/encoder.onnx`",
                "leave `--backend` out",
            ),
            (
                &list(&["onnx/a.onnx", "onnx/b.onnx"]),
                true,
                "several other ONNX files: `onnx/a.onnx`, `onnx/b.onnx`",
                "hf download org/m",
            ),
            (
                &list(&["config.json", "pytorch_model-00001-of-00002.bin"]),
                true,
                "`pytorch_model-00001-of-00002.bin` is a pickle",
                "safe_serialization=True",
            ),
            (&list(&["README.md"]), true, "neither", "revision"),
        ] {
            assert!(!wanted(files, onnx).iter().any(|f| is_weights(f)), "{says}");
            let error = no_weights("org/m", files, onnx);
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.hint().is_some_and(|h| h.contains(hint)), "{error}");
        }
    }
}
