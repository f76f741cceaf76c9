//! From a path, a built-in name or a hub id to a model's files on disk.

use std::path::{Path, PathBuf};

use super::{ModelOptions, Note};
use crate::adapter::{self, Base, BaseName, Level};
use crate::locate::{ModelSource, instead, locate};
use crate::spec::WeightsFormat;
use crate::{EncoderError, built_in, lexical, onnx};
use korfinsts_base::fs;
use korfinsts_base::hub::{Hub, Progress, RepoId, RepoKind};

/// A model on disk.
#[derive(Debug, Clone)]
pub struct Found {
    /// File or folder.
    pub path: PathBuf,
    /// Hub id and 40-digit revision, where it came from the hub.
    pub identity: Option<(String, String)>,
    /// Adapters and their bases; the one that is applied last comes first.
    pub adapters: Vec<Level>,
}

impl Found {
    fn local(path: PathBuf) -> Self {
        Self {
            path,
            identity: None,
            adapters: Vec::new(),
        }
    }
}

/// Files of a hub repository that make a tokenizer and its maximum length.
const TOKENIZER_FILES: [&str; 14] = [
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

/// Finds a model: a path as it is, a built-in encoder unpacked, a hub id through the hub's cache.
/// With [`WeightsFormat::Onnx`] an ONNX file is preferred to safetensors, else none is taken.
///
/// # Errors
/// When it is an endpoint, or must be downloaded and cannot be.
pub fn find(
    source: &str,
    weights: WeightsFormat,
    options: &ModelOptions,
) -> Result<Found, EncoderError> {
    let mut found = find_one(source, weights, options)?;
    found.adapters = adapter::levels(&found.path, &mut |config, name| base(config, name, options))?;
    Ok(found)
}

/// Finds the base of an adapter.
fn base(config: &Path, name: &BaseName, options: &ModelOptions) -> Result<Base, EncoderError> {
    let path = match locate(&name.source) {
        ModelSource::Hub { id, revision } => {
            let revision = name.revision.as_deref().or(revision.as_deref());
            let found = from_hub(&id, revision, WeightsFormat::Safetensors, options)?;
            return Ok(Base {
                path: found.path,
                identity: found.identity,
            });
        }
        ModelSource::Path { path, .. } => path,
        ModelSource::Endpoint(_) => {
            return Err(adapter::missing_base(config, name, "it is a server"));
        }
    };
    if !fs::exists(&path) && built_in::is_known(&name.source) {
        let path = built_in::unpack(&name.source, &options.data_home()?)?;
        return Ok(Base {
            path,
            identity: None,
        });
    }
    adapter::local(config, name)
}

fn find_one(
    source: &str,
    weights: WeightsFormat,
    options: &ModelOptions,
) -> Result<Found, EncoderError> {
    match locate(source) {
        ModelSource::Path { path, .. } if built_in::is_known(source) && !fs::exists(&path) => {
            built_in::unpack(source, &options.data_home()?).map(Found::local)
        }
        ModelSource::Path { path, .. } if is_name(source) && !fs::exists(&path) => {
            Err(unknown(source))
        }
        ModelSource::Path { path, note } => Ok(at(path, note, options)),
        ModelSource::Hub { id, revision } => from_hub(&id, revision.as_deref(), weights, options),
        ModelSource::Endpoint(url) => Err(EncoderError::Unsupported {
            what: format!("`{url}` is an endpoint, and its files are needed here"),
            hint: Some("give a model file or folder, or a hub id".into()),
        }),
    }
}

/// Finds a tokenizer; of a hub repository only its tokenizer's files are downloaded.
///
/// # Errors
/// When it is an endpoint, or must be downloaded and cannot be.
pub fn find_tokenizer(source: &str, options: &ModelOptions) -> Result<Found, EncoderError> {
    let (id, revision) = match locate(source) {
        ModelSource::Path { path, note } => return Ok(at(path, note, options)),
        ModelSource::Hub { id, revision } => (id, revision),
        ModelSource::Endpoint(url) => {
            return Err(EncoderError::Unsupported {
                what: format!("`{url}` is an endpoint, which shows no vocabulary"),
                hint: Some("give a tokenizer's file, a model's folder, or a hub id".into()),
            });
        }
    };
    let hub = Hub::from_env(options.offline);
    let repo = RepoId::new(RepoKind::Model, &id)?;
    let snapshot = hub.resolve(&repo, revision.as_deref().unwrap_or("main"))?;
    let has = |name: &str| snapshot.files.iter().any(|f| f == name);
    let mut folder = None;
    for file in TOKENIZER_FILES {
        // Where there is a `tokenizer.json`, the older formats of the same are not needed.
        let older = TOKENIZER_FILES[6..].contains(&file);
        if !has(file) || (older && has("tokenizer.json")) {
            continue;
        }
        let path = hub.file(&repo, &snapshot.commit, file)?;
        folder = path.parent().map(Path::to_owned);
    }
    let path = folder.ok_or_else(|| EncoderError::Repository {
        id: id.clone(),
        found: "no tokenizer".into(),
        hint: Some("look at its list of files: is the tokenizer in a subfolder?".into()),
    })?;
    Ok(Found {
        path,
        identity: Some((id, snapshot.commit)),
        adapters: Vec::new(),
    })
}

/// Whether a source is a bare word: neither a path nor a file's name.
fn is_name(source: &str) -> bool {
    !source.is_empty() && !source.contains(['/', '\\', '.', '~'])
}

/// Why a bare word that is no file names no model.
fn unknown(name: &str) -> EncoderError {
    if lexical::find(name).is_some() {
        return EncoderError::Unsupported {
            what: format!("`{name}` is a lexical baseline, not a model"),
            hint: Some(
                "the baselines need no model and are part of every run: \
                 `korfinsts eval --suite korfin-shift`"
                    .into(),
            ),
        };
    }
    let wanted = name.to_lowercase();
    let alike = |known: &String| known.starts_with(&wanted) || wanted.starts_with(known.as_str());
    EncoderError::Unknown {
        name: name.to_owned(),
        alike: built_in::names().into_iter().find(alike),
    }
}

fn at(path: PathBuf, note: Option<String>, options: &ModelOptions) -> Found {
    if let Some(note) = note {
        options.notes.tell(Note::Text(&format!("note: {note}")));
    }
    Found::local(path)
}

/// Downloads what an evaluation needs of a model: configuration, tokenizer and one set of
/// weights.
fn from_hub(
    id: &str,
    revision: Option<&str>,
    weights: WeightsFormat,
    options: &ModelOptions,
) -> Result<Found, EncoderError> {
    let notes = options.notes.clone();
    let hub = Hub::from_env(options.offline).with_progress(move |progress| {
        if let Progress::Start { file, total, .. } = progress {
            notes.tell(Note::Download { file, bytes: total });
        }
    });
    let repo = RepoId::new(RepoKind::Model, id)?;
    let snapshot = hub.resolve(&repo, revision.unwrap_or("main"))?;
    let onnx = weights == WeightsFormat::Onnx;
    let wanted = wanted(&snapshot.files, onnx);
    if !wanted.iter().any(|f| is_weights(f)) {
        return Err(no_weights(id, &snapshot.files, onnx));
    }
    let mut folder = None;
    for file in &wanted {
        let path = hub.file(&repo, &snapshot.commit, file)?;
        if file.ends_with(".onnx") {
            // The graph names the files that hold the rest of its tensors.
            let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            for name in onnx::external_names(&path)? {
                let data = format!("{folder}/{name}");
                let data = data.trim_start_matches('/');
                if snapshot.files.iter().any(|f| f == data) {
                    hub.file(&repo, &snapshot.commit, data)?;
                }
            }
        }
        let depth = Path::new(file).components().count();
        folder = path.ancestors().nth(depth).map(Path::to_owned);
    }
    let path = folder.ok_or_else(|| EncoderError::Repository {
        id: id.to_owned(),
        found: "no file".into(),
        hint: None,
    })?;
    Ok(Found {
        path,
        identity: Some((id.to_owned(), snapshot.commit)),
        adapters: Vec::new(),
    })
}

fn is_weights(file: &str) -> bool {
    // The first module's folder may hold the network; those of later ones hold layers.
    let later = file.contains('/') && file.starts_with(|c: char| ('1'..='9').contains(&c));
    !later && (file.ends_with(".onnx") || file.ends_with(".safetensors"))
}

/// The ONNX files of a repository's root and of its folder `onnx`.
fn graphs(files: &[String]) -> Vec<&str> {
    let is_graph = |file: &&str| {
        let name = file.strip_prefix("onnx/").unwrap_or(file);
        name.ends_with(".onnx") && !name.contains('/')
    };
    files.iter().map(String::as_str).filter(is_graph).collect()
}

/// Why nothing of a repository can be evaluated, with what it holds instead.
fn no_weights(id: &str, files: &[String], onnx: bool) -> EncoderError {
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
        let of_model = |file: &&String| !file.contains('/') || file.starts_with("openvino/");
        let paths: Vec<PathBuf> = files.iter().filter(of_model).map(PathBuf::from).collect();
        let neither = "neither `model.onnx` nor `model.safetensors`".to_owned();
        match instead(&paths) {
            Some((held, hint)) => (
                format!("{neither}; found {held}"),
                format!("{hint} (`hf download {id} --local-dir DIR` fetches every file)"),
            ),
            None => (
                neither,
                "is this a repository of a model, and the revision the right one?".to_owned(),
            ),
        }
    };
    EncoderError::Repository {
        id: id.to_owned(),
        found,
        hint: Some(hint),
    }
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
    // An adapter is merged into safetensors, its own folder's where it has some.
    let is_adapter = |file: &&String| file.ends_with(adapter::WEIGHTS);
    let onnx = onnx && !files.iter().any(|file| is_adapter(&file));
    let plain = ["model.onnx", "onnx/model.onnx"]
        .into_iter()
        .find(|f| onnx && has(f));
    let safetensors =
        |file: &str| file == "model.safetensors" || is_shard(file) || file == adapter::WEIGHTS;
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
            (
                &list(&["2_Dense/model.safetensors", "adapter_config.json"]),
                true,
                "found `adapter_config.json`",
                "an adapter without its `adapter_model.safetensors`",
            ),
        ] {
            assert!(!wanted(files, onnx).iter().any(|f| is_weights(f)), "{says}");
            let error = no_weights("org/m", files, onnx);
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.hint().is_some_and(|h| h.contains(hint)), "{error}");
        }
    }
}
