//! `modules.json` and the folders it names, as data.

use std::path::{Path, PathBuf};

use korfinsts_nn::safetensors::Checkpoint;
use serde_json::Value;

use super::transformer::EXPORT;
use crate::locate::{inside, refuse_foreign};
use crate::modules::{Activation, Module};
use crate::pooling::Pooling;
use crate::{EncoderError, json};
use korfinsts_base::fs;

/// Most modules of a model; real ones have up to six.
const MOST_MODULES: usize = 64;

/// What `modules.json` describes.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// Whether the first module is a table of static embeddings.
    pub is_static: bool,
    /// What follows the network.
    pub modules: Vec<Module>,
    /// Width of a token state, where the pooling says.
    pub dimension: Option<usize>,
    /// Width of the embedding behind the last module, where a file says it, and the file.
    pub width: Option<(usize, PathBuf)>,
    /// Where the pooling was read.
    pub pooling_source: Option<PathBuf>,
    /// Every file that was read, with its role.
    pub files: Vec<(&'static str, PathBuf)>,
}

/// Reads `modules.json` of a model; `None` when there is none.
pub(super) fn read(root: &Path) -> Result<Option<Described>, EncoderError> {
    let path = root.join("modules.json");
    let Some(value) = json::load(&path)? else {
        return Ok(None);
    };
    let invalid = |reason: String| EncoderError::Invalid {
        path: path.clone(),
        reason,
        hint: None,
    };
    let mut entries = Vec::new();
    let listed = value.as_array();
    let listed = listed.ok_or_else(|| invalid("expected a list of modules".into()))?;
    if listed.len() > MOST_MODULES {
        let found = listed.len();
        return Err(invalid(format!(
            "it lists {found} modules, allowed are {MOST_MODULES}"
        )));
    }
    for (i, entry) in listed.iter().enumerate() {
        let kind = json::text(&path, entry, "type")?
            .ok_or_else(|| invalid(format!("module {i} has no `type`")))?;
        let idx = match entry.get("idx") {
            None | Some(Value::Null) => i as u64,
            Some(idx) => idx
                .as_u64()
                .ok_or_else(|| json::wrong_field(&path, "idx", idx, "a whole number"))?,
        };
        let sub = json::text(&path, entry, "path")?.unwrap_or("");
        entries.push((idx, kind.to_owned(), inside(root, sub, &path)?));
    }
    entries.sort_by_key(|(idx, ..)| *idx);
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(invalid(format!("two modules have `idx` {}", pair[0].0)));
    }
    let mut described = Described {
        files: vec![("config", path.clone())],
        ..Described::default()
    };
    let mut width = None;
    for (position, (idx, kind, folder)) in entries.iter().enumerate() {
        let class = class(kind);
        let first = position == 0;
        match class {
            "Transformer" | "StaticEmbedding" if first => {
                described.is_static = class == "StaticEmbedding";
            }
            "Pooling" if !first => {
                if !described.modules.is_empty() {
                    return Err(invalid(format!(
                        "the pooling at `idx` {idx} must follow the network directly"
                    )));
                }
                let instructor = kind.to_lowercase().contains("instructor");
                width = described.pooling(folder, instructor)?;
            }
            "Dense" if !first => {
                width = Some(described.dense(folder, width)?);
                described.width = width.map(|width| (width, folder.join("config.json")));
            }
            "LayerNorm" if !first => described.layer_norm(folder)?,
            "Normalize" if !first => {
                let path = folder.join("config.json");
                let config = json::load(&path)?.unwrap_or(Value::Null);
                sentence_to_sentence(&path, &config)?;
                described.modules.push(Module::Normalize);
            }
            "Dropout" if !first => {}
            _ => {
                return Err(EncoderError::Invalid {
                    path: path.clone(),
                    reason: format!(
                        "the module `{kind}` at `idx` {idx} is not supported; supported are \
                         Transformer or StaticEmbedding, first, and then Pooling, Dense, \
                         LayerNorm, Normalize, Dropout"
                    ),
                    hint: Some(if class.is_empty() {
                        format!(
                            "it is code of the model's own, which is not run: {EXPORT}; where it does what a class of sentence-transformers does, write that one's name there"
                        )
                    } else {
                        EXPORT.into()
                    }),
                });
            }
        }
    }
    if entries.is_empty() {
        return Err(invalid("it names no module".into()));
    }
    Ok(Some(described))
}

impl Described {
    /// Reads the pooling of `folder`; gives the width behind it, where it is said.
    pub(super) fn pooling(
        &mut self,
        folder: &Path,
        instructor: bool,
    ) -> Result<Option<usize>, EncoderError> {
        let path = folder.join("config.json");
        let config = require(&path, "the configuration of the pooling")?;
        let modes = pooling_modes(&path, &config)?;
        let include_prompt = json::boolean(&path, &config, "include_prompt")?.unwrap_or(true);
        self.dimension = json::size(&path, &config, "embedding_dimension")?.or(json::size(
            &path,
            &config,
            "word_embedding_dimension",
        )?);
        let width = self.dimension.map(|d| d * modes.len());
        self.width = width.map(|width| (width, path.clone()));
        self.modules.push(Module::Pooling {
            modes,
            include_prompt: include_prompt && !instructor,
        });
        self.files.push(("config", path.clone()));
        self.pooling_source = Some(path);
        Ok(width)
    }

    fn dense(&mut self, folder: &Path, width: Option<usize>) -> Result<usize, EncoderError> {
        let path = folder.join("config.json");
        let config = require(&path, "the configuration of the dense layer")?;
        let feature = |name: &str| {
            json::size(&path, &config, name)?.ok_or_else(|| EncoderError::Invalid {
                path: path.clone(),
                reason: format!("`{name}` is missing"),
                hint: None,
            })
        };
        let (in_features, out_features) = (feature("in_features")?, feature("out_features")?);
        if let Some(width) = width
            && width != in_features
        {
            return Err(EncoderError::Invalid {
                path,
                reason: format!(
                    "`in_features` is {in_features}, what comes before gives {width} dimensions"
                ),
                hint: None,
            });
        }
        let activation = match json::text(&path, &config, "activation_function")? {
            None => Activation::Tanh,
            Some(class) => Activation::parse(class).ok_or_else(|| {
                let allowed: Vec<_> = Activation::ALL.iter().map(|(_, n)| *n).collect();
                EncoderError::Invalid {
                    path: path.clone(),
                    reason: format!(
                        "`activation_function` is `{class}`, supported are {} of `torch.nn`",
                        allowed.join(", ")
                    ),
                    hint: None,
                }
            })?,
        };
        sentence_to_sentence(&path, &config)?;
        if json::boolean(&path, &config, "use_residual")? == Some(true) {
            let found = Value::Bool(true);
            return Err(json::wrong_field(&path, "use_residual", &found, "false"));
        }
        let weights = Tensors::open(folder)?;
        let has_bias = json::boolean(&path, &config, "bias")?.unwrap_or(true);
        let bias = has_bias
            .then(|| weights.get("linear.bias", &[out_features]))
            .transpose()?;
        self.modules.push(Module::Dense {
            weight: weights.get("linear.weight", &[out_features, in_features])?,
            bias,
            in_features,
            out_features,
            activation,
        });
        self.files.push(("config", path));
        self.files.push(("weights", weights.path));
        Ok(out_features)
    }

    fn layer_norm(&mut self, folder: &Path) -> Result<(), EncoderError> {
        let path = folder.join("config.json");
        let config = require(&path, "the configuration of the layer norm")?;
        let dimension =
            json::size(&path, &config, "dimension")?.ok_or_else(|| EncoderError::Invalid {
                path: path.clone(),
                reason: "`dimension` is missing".into(),
                hint: None,
            })?;
        let weights = Tensors::open(folder)?;
        self.modules.push(Module::LayerNorm {
            weight: weights.get("norm.weight", &[dimension])?,
            bias: weights.get("norm.bias", &[dimension])?,
            epsilon: 1e-5,
        });
        self.files.push(("config", path));
        self.files.push(("weights", weights.path));
        Ok(())
    }
}

/// The name of a class of sentence-transformers or `InstructorEmbedding`; empty for code of a model's own.
fn class(kind: &str) -> &str {
    let known = [
        "sentence_transformers.",
        "InstructorEmbedding.",
        "INSTRUCTOR_",
    ];
    match kind.rsplit_once('.') {
        Some((_, class)) if known.iter().any(|start| kind.starts_with(start)) => class,
        _ => "",
    }
}

/// Refuses a module that reads or writes anything but the sentence embedding.
fn sentence_to_sentence(path: &Path, config: &Value) -> Result<(), EncoderError> {
    const ALLOWED: &str = "sentence_embedding";
    for field in ["module_input_name", "module_output_name"] {
        if let Some(name) = json::text(path, config, field)?
            && name != ALLOWED
        {
            return Err(json::wrong_field(path, field, &config[field], ALLOWED));
        }
    }
    Ok(())
}

fn require(path: &Path, what: &str) -> Result<Value, EncoderError> {
    json::load(path)?.ok_or_else(|| EncoderError::Missing {
        folder: path.parent().unwrap_or(path).to_owned(),
        what: format!("`config.json`, {what},"),
        hint: Some("was the model downloaded whole?".into()),
    })
}

/// The modes of a pooling configuration, new schema or old.
fn pooling_modes(path: &Path, config: &Value) -> Result<Vec<Pooling>, EncoderError> {
    let parse = |value: &Value| {
        value
            .as_str()
            .and_then(Pooling::parse)
            .ok_or_else(|| json::wrong_field(path, "pooling_mode", value, &Pooling::names()))
    };
    match config.get("pooling_mode") {
        None | Some(Value::Null) => {}
        Some(Value::Array(names)) if !names.is_empty() => {
            // Each mode once: the embedding is the results side by side.
            if names.len() > Pooling::ALL.len() {
                let found = names.len().into();
                let allowed = format!("a list of up to {}", Pooling::ALL.len());
                return Err(json::wrong_field(path, "pooling_mode", &found, &allowed));
            }
            return names.iter().map(parse).collect();
        }
        Some(name) => return Ok(vec![parse(name)?]),
    }
    for field in config.as_object().into_iter().flat_map(|o| o.keys()) {
        let known = Pooling::ALL.iter().any(|mode| mode.old_field() == field);
        if field.starts_with("pooling_mode_") && !known {
            let set = json::boolean(path, config, field)?;
            if set == Some(true) {
                return Err(json::wrong_field(
                    path,
                    field,
                    &Value::Bool(true),
                    &Pooling::names(),
                ));
            }
        }
    }
    let mut modes = Vec::new();
    for mode in Pooling::ALL {
        if json::boolean(path, config, mode.old_field())? == Some(true) {
            modes.push(mode);
        }
    }
    if modes.is_empty() {
        modes.push(Pooling::Mean);
    }
    Ok(modes)
}

/// The tensors of a small module.
struct Tensors {
    path: PathBuf,
    tensors: Checkpoint,
}

impl Tensors {
    fn open(folder: &Path) -> Result<Self, EncoderError> {
        let path = folder.join("model.safetensors");
        if !fs::exists(&path) {
            let pickle = folder.join("pytorch_model.bin");
            return Err(if fs::exists(&pickle) {
                EncoderError::Invalid {
                    path: pickle,
                    reason: "the weights of this layer are a pickle, which runs code, and are \
                             not opened"
                        .into(),
                    hint: Some(
                        "save the model where you trust it: `SentenceTransformer(...)\
                         .save_pretrained(..., safe_serialization=True)`"
                            .into(),
                    ),
                }
            } else {
                EncoderError::Missing {
                    folder: folder.to_owned(),
                    what: "`model.safetensors`, the weights of this layer,".into(),
                    hint: Some("was the model downloaded whole?".into()),
                }
            });
        }
        refuse_foreign(&path)?;
        let tensors = Checkpoint::open(std::slice::from_ref(&path))?;
        Ok(Self { path, tensors })
    }

    /// A tensor as float32.
    fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EncoderError> {
        let invalid = |reason: String| EncoderError::Invalid {
            path: self.path.clone(),
            reason,
            hint: None,
        };
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| invalid(format!("the tensor `{name}` is missing")))?;
        if tensor.shape != shape {
            return Err(invalid(format!(
                "the tensor `{name}` has the shape {:?}, expected {shape:?}",
                tensor.shape
            )));
        }
        tensor
            .to_f32()
            .ok_or_else(|| invalid(format!("the tensor `{name}` is {}", tensor.dtype)))
    }
}
