//! Which files of a folder are the model.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::file_name;
use super::foreign::{refuse_foreign, refuse_name};
use crate::adapter::{self, AdapterFiles, Level};
use crate::family::{self, Kind};
use crate::spec::WeightsFormat;
use crate::tokenizer::is_tokenizer;
use crate::{EncoderError, json};
use korfinsts_base::fs;

/// Names of ONNX files that were made smaller or faster at the price of other numbers.
const ALTERED: [&str; 16] = [
    "quantized",
    "qint8",
    "quint8",
    "int8",
    "uint8",
    "int4",
    "q4",
    "q4f16",
    "q8",
    "bnb4",
    "fp16",
    "float16",
    "bf16",
    "o1",
    "o2",
    "o3",
];

/// Files that say how token states become a sentence embedding.
const MODULES: [&str; 3] = [
    "modules.json",
    "1_Pooling/config.json",
    "config_sentence_transformers.json",
];

/// The files of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// The model's folder.
    pub root: PathBuf,
    /// Folder with `modules.json` and the sentence-transformers configuration.
    pub modules: PathBuf,
    /// Folder with `config.json`: the root, or the folder of the first module.
    pub base: PathBuf,
    /// Folder with the configuration of the transformer module.
    pub module: PathBuf,
    /// Folders in which the tokenizer is looked for, in order.
    pub tokenizer: Vec<PathBuf>,
    /// Roots of the base models below, where an adapter changes one.
    pub below: Vec<PathBuf>,
    /// Adapters, in the order in which they are applied.
    pub adapters: Vec<AdapterFiles>,
    /// One ONNX file, or safetensors shards in the order of their index.
    pub weights: Vec<PathBuf>,
    /// The index of shards, where there is one.
    pub index: Option<PathBuf>,
    /// Safetensors in the same folder, where a graph was chosen over them.
    pub rival: Vec<PathBuf>,
    /// How the weights are stored.
    pub format: WeightsFormat,
    /// Whether the user named the weights file.
    pub explicit: bool,
    /// What was chosen among others, or what a user should know.
    pub warnings: Vec<String>,
}

impl ModelFiles {
    fn at(root: PathBuf, base: PathBuf) -> Self {
        Self {
            modules: root.clone(),
            module: base.clone(),
            tokenizer: vec![base.clone(), root.clone()],
            root,
            base,
            below: Vec::new(),
            adapters: Vec::new(),
            weights: Vec::new(),
            index: None,
            rival: Vec::new(),
            format: WeightsFormat::Onnx,
            explicit: false,
            warnings: Vec::new(),
        }
    }

    /// The files of a model that is the base of these adapters: its weights, and the rest from the
    /// last adapter's folder that has it.
    fn adapted(mut self, levels: &[Level]) -> Result<Self, EncoderError> {
        for level in levels.iter().rev() {
            let root = level.folder.clone();
            let base = transformer_folder(&root)?;
            let holds = |folder: &Path, name: &str| fs::exists(&folder.join(name));
            if holds(&base, "config.json") {
                self.base.clone_from(&base);
            }
            if [&base, &root].iter().any(|folder| is_tokenizer(folder)) {
                self.tokenizer = vec![base.clone(), root.clone()];
            }
            if MODULES.iter().any(|name| holds(&root, name)) {
                self.module = base;
                self.modules.clone_from(&root);
            }
            if root != self.root {
                self.below
                    .insert(0, std::mem::replace(&mut self.root, root));
            }
            self.adapters.push(level.files.clone());
        }
        self.explicit = false;
        Ok(self)
    }
}

/// Finds the files of the model that adapters make of a base.
///
/// # Errors
/// As [`find`], for the base.
pub(crate) fn find_adapted(levels: &[Level]) -> Result<Option<ModelFiles>, EncoderError> {
    let Some(last) = levels.last() else {
        return Ok(None);
    };
    find(&last.base.path, Some(WeightsFormat::Safetensors))?
        .adapted(levels)
        .map(Some)
}

/// Finds the files of the model at `path`, a file or folder.
///
/// `only` restricts a folder's weights to one format, for a backend that reads no other.
///
/// # Errors
/// When nothing is there, several files could be meant, or the only weights are of a kind that
/// runs code (pickle) or that is not read.
pub fn find(path: &Path, only: Option<WeightsFormat>) -> Result<ModelFiles, EncoderError> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() {
        return from_file(path);
    }
    let root = path.to_owned();
    let base = transformer_folder(&root)?;
    let mut found = ModelFiles::at(root.clone(), base.clone());
    let folders: Vec<&Path> = if base == root {
        vec![&root]
    } else {
        vec![&base, &root]
    };
    let safetensors = first_safetensors(&folders)?;
    if only != Some(WeightsFormat::Safetensors)
        && let Some(file) = choose_onnx(&folders, safetensors.is_some(), &mut found.warnings)?
    {
        refuse_foreign(&file)?;
        found.weights = vec![file];
        if only.is_none() {
            found.rival = safetensors.map(|(files, _)| files).unwrap_or_default();
        }
        return Ok(found);
    }
    if only != Some(WeightsFormat::Onnx)
        && let Some((weights, index)) = safetensors
    {
        for file in &weights {
            refuse_foreign(file)?;
        }
        found.weights = weights;
        found.index = index;
        found.format = WeightsFormat::Safetensors;
        return Ok(found);
    }
    Err(no_weights(&folders, only))
}

/// Whether a folder says that its model is a table of static embeddings: those are read from
/// safetensors, even where the folder has an ONNX graph.
///
/// # Errors
/// When `modules.json` or `config.json` is malformed.
pub(crate) fn names_static_embeddings(folder: &Path) -> Result<bool, EncoderError> {
    let modules = json::load(&folder.join("modules.json"))?.unwrap_or(Value::Null);
    let by_module = modules.as_array().into_iter().flatten().any(|module| {
        let kind = module.get("type").and_then(Value::as_str);
        kind.is_some_and(|k| k.rsplit('.').next() == Some("StaticEmbedding"))
    });
    let config = json::load(&folder.join("config.json"))?.unwrap_or(Value::Null);
    let model_type = config.get("model_type").and_then(Value::as_str);
    Ok(by_module || model_type.is_some_and(|name| family::of(name).kind == Kind::Static))
}

fn from_file(path: &Path) -> Result<ModelFiles, EncoderError> {
    refuse_name(path)?;
    refuse_foreign(path)?;
    let name = file_name(path);
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    };
    let extension = path.extension().unwrap_or_default();
    let (format, weights, index) = if extension == "onnx" {
        (WeightsFormat::Onnx, vec![path.to_owned()], None)
    } else if extension == "safetensors" {
        (WeightsFormat::Safetensors, vec![path.to_owned()], None)
    } else if name.ends_with(".safetensors.index.json") {
        let shards = shards(path)?;
        (WeightsFormat::Safetensors, shards, Some(path.to_owned()))
    } else {
        return Err(EncoderError::Invalid {
            path: path.to_owned(),
            reason: "a model file ends in `.onnx` or `.safetensors`".into(),
            hint: Some("name the model's folder, or one of these files".into()),
        });
    };
    // `onnx/model.onnx`: the tokenizer and the configuration are one folder up. Exporters leave a
    // `config.json` next to the graph as well, and then the folder that knows the pooling counts.
    let above = match parent.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ if parent == Path::new(".") => parent.join(".."),
        _ => PathBuf::from("."),
    };
    let own = fs::exists(&parent.join("modules.json"))
        || fs::exists(&parent.join("config.json")) && !fs::exists(&above.join("modules.json"));
    let root = if (file_name(&parent) == "onnx" || is_name(&parent, "onnx")) && !own {
        above
    } else {
        parent.clone()
    };
    // A weights file of a `0_Transformer` folder belongs to the model above it.
    let root = match root.parent() {
        Some(above)
            if !fs::exists(&root.join("modules.json"))
                && fs::exists(&above.join("modules.json"))
                && transformer_folder(above)? == root =>
        {
            above.to_owned()
        }
        _ => root,
    };
    let base = transformer_folder(&root)?;
    Ok(ModelFiles {
        weights,
        index,
        format,
        explicit: true,
        ..ModelFiles::at(root, base)
    })
}

/// Whether a relative folder such as `.` really is one of that name.
fn is_name(folder: &Path, name: &str) -> bool {
    folder == Path::new(".") && std::env::current_dir().is_ok_and(|d| file_name(&d) == name)
}

/// The folder of the first module of `modules.json`, which is the root unless it names one.
pub(crate) fn transformer_folder(root: &Path) -> Result<PathBuf, EncoderError> {
    let path = root.join("modules.json");
    let Some(modules) = json::load(&path)? else {
        return Ok(root.to_owned());
    };
    let first = modules
        .as_array()
        .into_iter()
        .flatten()
        .min_by_key(|m| m.get("idx").and_then(Value::as_u64).unwrap_or(0));
    match first.and_then(|m| m.get("path")).and_then(Value::as_str) {
        Some(sub) if !sub.is_empty() && fs::exists(&inside(root, sub, &path)?) => {
            inside(root, sub, &path)
        }
        _ => Ok(root.to_owned()),
    }
}

/// `root/sub`, where `sub` is a relative path that stays inside.
///
/// # Errors
/// When it does not.
pub(crate) fn inside(root: &Path, sub: &str, named_by: &Path) -> Result<PathBuf, EncoderError> {
    let safe = Path::new(sub).components().all(|c| {
        matches!(
            c,
            std::path::Component::Normal(_) | std::path::Component::CurDir
        )
    });
    if safe && !sub.contains('\\') {
        return Ok(root.join(sub));
    }
    Err(EncoderError::Invalid {
        path: named_by.to_owned(),
        reason: format!("it names `{sub}`, which is not inside the model's folder"),
        hint: None,
    })
}

fn choose_onnx(
    folders: &[&Path],
    other_weights: bool,
    warnings: &mut Vec<String>,
) -> Result<Option<PathBuf>, EncoderError> {
    for folder in folders {
        for name in ["model.onnx", "onnx/model.onnx"] {
            let file = folder.join(name);
            if fs::exists(&file) {
                return Ok(Some(file));
            }
        }
    }
    let mut all = Vec::new();
    for folder in folders {
        for place in [folder.to_path_buf(), folder.join("onnx")] {
            if fs::exists(&place) {
                all.extend(
                    fs::list(&place)?
                        .into_iter()
                        .filter(|f| f.extension().is_some_and(|e| e == "onnx")),
                );
            }
        }
    }
    match all.as_slice() {
        [only] => {
            if is_altered(only) {
                if other_weights {
                    return Ok(None);
                }
                warnings.push(format!(
                    "`{}` is the only weights file here, and its name says that it was altered: \
                     its scores are not those of the original model",
                    file_name(only)
                ));
            }
            Ok(Some(only.clone()))
        }
        [] => Ok(None),
        _ if other_weights => Ok(None),
        several => Err(EncoderError::Invalid {
            path: folders[0].to_owned(),
            reason: format!(
                "it holds several ONNX files and no `model.onnx`: {}",
                names(several)
            ),
            hint: Some(format!("name one of them: `{}`", several[0].display())),
        }),
    }
}

fn is_altered(file: &Path) -> bool {
    let name = file_name(file).to_lowercase();
    let stem = name.strip_suffix(".onnx").unwrap_or(&name);
    stem.split(['_', '-', '.'])
        .any(|part| ALTERED.contains(&part) || part == "o4")
}

/// Weights files and the index that names them, where they are shards.
type Safetensors = (Vec<PathBuf>, Option<PathBuf>);

fn first_safetensors(folders: &[&Path]) -> Result<Option<Safetensors>, EncoderError> {
    for folder in folders {
        let file = folder.join("model.safetensors");
        if fs::exists(&file) {
            return Ok(Some((vec![file], None)));
        }
        let index = folder.join("model.safetensors.index.json");
        if fs::exists(&index) {
            return Ok(Some((shards(&index)?, Some(index))));
        }
    }
    Ok(None)
}

/// The shards that an index names, each once, sorted by name.
fn shards(index: &Path) -> Result<Vec<PathBuf>, EncoderError> {
    let value = json::load(index)?.unwrap_or(Value::Null);
    let map = value
        .get("weight_map")
        .and_then(Value::as_object)
        .filter(|map| !map.is_empty())
        .ok_or_else(|| EncoderError::Invalid {
            path: index.to_owned(),
            reason: "`weight_map` is missing or empty".into(),
            hint: None,
        })?;
    let folder = index.parent().unwrap_or_else(|| Path::new("."));
    let mut files = Vec::new();
    for name in map.values() {
        let name = name
            .as_str()
            .ok_or_else(|| json::wrong_field(index, "weight_map", name, "a map to file names"))?;
        let file = inside(folder, name, index)?;
        if !files.contains(&file) {
            if !fs::exists(&file) {
                return Err(EncoderError::Missing {
                    folder: folder.to_owned(),
                    what: format!("the shard `{name}`, which the index names,"),
                    hint: Some("was the model downloaded whole?".into()),
                });
            }
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn no_weights(folders: &[&Path], only: Option<WeightsFormat>) -> EncoderError {
    let files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| [folder.to_path_buf(), folder.join("openvino")])
        .flat_map(|folder| fs::list(&folder).unwrap_or_default())
        .collect();
    let has_graph = |file: &PathBuf| files.contains(&file.with_extension("xml"));
    let mut weights = files.iter().filter(|file| !has_graph(file));
    if let Some(error) = weights.find_map(|file| refuse_name(file).err()) {
        return error;
    }
    let (what, hint) = match only {
        Some(WeightsFormat::Onnx) => (
            "an ONNX file (`model.onnx` or `onnx/model.onnx`)".to_owned(),
            "export one with `optimum-cli export onnx`, or choose `--backend candle`".to_owned(),
        ),
        Some(WeightsFormat::Safetensors) => (
            "`model.safetensors`".to_owned(),
            "choose a backend that runs ONNX files, or save the weights as safetensors".to_owned(),
        ),
        None => {
            let what = "the weights (`model.onnx`, `onnx/model.onnx` or `model.safetensors`)";
            match instead(&files) {
                Some((held, hint)) => (format!("it holds {held}, and {what}"), hint),
                None => (
                    what.to_owned(),
                    "is this the model's folder, downloaded whole?".to_owned(),
                ),
            }
        }
    };
    EncoderError::Missing {
        folder: folders[0].to_owned(),
        what,
        hint: Some(hint),
    }
}

/// What is there in place of weights that are read, and what to do; `None` where nothing is.
pub(crate) fn instead(files: &[PathBuf]) -> Option<(String, String)> {
    let which = |kind: &dyn Fn(&str) -> bool| -> Vec<PathBuf> {
        let of_kind = |file: &&PathBuf| kind(&file_name(file));
        files.iter().filter(of_kind).cloned().collect()
    };
    let adapters = which(&|name| [adapter::CONFIG, adapter::PICKLE].contains(&name));
    if !adapters.is_empty() {
        let hint = format!(
            "this is an adapter without its `{}`, the only format of its tensors that is read: save \
             it as safetensors where you trust it",
            adapter::WEIGHTS
        );
        return Some((names(&adapters), hint));
    }
    let tensors = which(&|name| name.ends_with(".safetensors"));
    if let Some(first) = tensors.first() {
        let hint = if tensors.iter().all(|file| file_name(file).contains("-of-")) {
            "these are shards: fetch `model.safetensors.index.json`, which names them".to_owned()
        } else {
            format!("name the file: `{}`", first.display())
        };
        return Some((names(&tensors), hint));
    }
    let openvino = which(&|name| name.starts_with("openvino") && name.ends_with(".xml"));
    let hint = "OpenVINO files are not read: fetch the model's `model.safetensors` or \
                `onnx/model.onnx` too, or export one with `optimum-cli export onnx`";
    (!openvino.is_empty()).then(|| (names(&openvino), hint.to_owned()))
}

fn names(files: &[PathBuf]) -> String {
    files
        .iter()
        .map(|f| format!("`{}`", file_name(f)))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn altered_files_are_told_from_their_names() {
        for (name, altered) in [
            ("model.onnx", false),
            ("model_quantized.onnx", true),
            ("model_qint8_avx512.onnx", true),
            ("model_O4.onnx", true),
            ("model_fp16.onnx", true),
            ("encoder.onnx", false),
        ] {
            assert_eq!(is_altered(Path::new(name)), altered, "{name}");
        }
    }

    #[test]
    fn paths_out_of_the_folder_are_refused() {
        let root = Path::new("/m");
        for sub in ["../x", "/etc/passwd", "a/../../b", "a\\b"] {
            assert!(inside(root, sub, root).is_err(), "{sub}");
        }
        assert!(inside(root, "1_Pooling", root).is_ok());
    }
}
