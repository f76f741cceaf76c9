//! A checkpoint as a sentence-transformers folder, in the layout that every version of it opens.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::TrainError;
use super::error::computing;
use super::model::{Model, module_tensor};
use super::recipe::Number;
use korfinsts_base::fs;
use korfinsts_bench::run::record::to_json;
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::modules::Module;
use korfinsts_encoder::pooling::Pooling;
use korfinsts_nn::safetensors::Checkpoint;
use korfinsts_nn::weights::{LORA_DOWN, LORA_UP};

/// A tensor as float32.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// Name.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f32>,
}

/// What of a model is not tensors.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// Class of the first module: `Transformer` or `StaticEmbedding`.
    pub fixed: &'static str,
    /// What follows it.
    pub modules: &'a [Module],
    /// Width of a token state.
    pub width: usize,
    /// Maximum length in tokens.
    pub max_tokens: Option<usize>,
    /// Named prompts.
    pub prompts: &'a BTreeMap<String, String>,
    /// Prompt used when none is asked for.
    pub default_prompt: Option<&'a str>,
    /// Name of the similarity.
    pub similarity: &'a str,
}

/// The bytes of a safetensors file.
///
/// # Errors
/// When the tensors cannot be serialised.
pub fn safetensors(tensors: &[Values], number: Number) -> Result<Vec<u8>, TrainError> {
    let dtype = match number {
        Number::Float32 => Dtype::F32,
        Number::Float16 => Dtype::F16,
        Number::Bfloat16 => Dtype::BF16,
    };
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|t| {
            let values = t.values.iter();
            match number {
                Number::Float32 => values.flat_map(|v| v.to_le_bytes()).collect(),
                Number::Float16 => values
                    .flat_map(|v| half::f16::from_f32(*v).to_le_bytes())
                    .collect(),
                Number::Bfloat16 => values
                    .flat_map(|v| half::bf16::from_f32(*v).to_le_bytes())
                    .collect(),
            }
        })
        .collect();
    let failed = |e: safetensors::SafeTensorError| TrainError::Compute {
        what: "writing tensors",
        reason: e.to_string(),
    };
    let views: Result<Vec<(&str, TensorView<'_>)>, _> = tensors
        .iter()
        .zip(&bytes)
        .map(|(t, bytes)| {
            let view = TensorView::new(dtype, t.shape.clone(), bytes)?;
            Ok((t.name.as_str(), view))
        })
        .collect();
    // Other tools look for this word before they open the file.
    let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views.map_err(failed)?, Some(about)).map_err(failed)
}

/// Writes JSON, readable, with a line end.
pub(super) fn write_json(path: &Path, value: &Value) -> Result<(), TrainError> {
    Ok(fs::write_atomic(path, &to_json(value))?)
}

/// Writes everything but the tokenizer and the network's configuration. `modules.json` comes last:
/// a folder without it is not finished.
///
/// # Errors
/// When a file cannot be written.
pub fn folder(
    folder: &Path,
    layout: &Layout<'_>,
    network: &[Values],
    number: Number,
) -> Result<(), TrainError> {
    let bytes = safetensors(network, number)?;
    fs::write_atomic(&folder.join("model.safetensors"), &bytes)?;
    let class = |name: &str| format!("sentence_transformers.models.{name}");
    let mut entries = vec![json!({"idx": 0, "name": "0", "path": "", "type": class(layout.fixed)})];
    for (i, module) in layout.modules.iter().enumerate() {
        let idx = i + 1;
        let kind = match module {
            Module::Pooling { .. } => "Pooling",
            Module::Dense { .. } => "Dense",
            Module::LayerNorm { .. } => "LayerNorm",
            Module::Normalize => "Normalize",
        };
        let path = format!("{idx}_{kind}");
        write_module(&folder.join(&path), module, layout.width, number)?;
        entries
            .push(json!({"idx": idx, "name": idx.to_string(), "path": path, "type": class(kind)}));
    }
    if let Some(max_tokens) = layout.max_tokens {
        write_json(
            &folder.join("sentence_bert_config.json"),
            &json!({"max_seq_length": max_tokens, "do_lower_case": false}),
        )?;
    }
    write_json(
        &folder.join("config_sentence_transformers.json"),
        &json!({
            "__version__": {"korfinsts": korfinsts_base::VERSION},
            "model_type": "SentenceTransformer",
            "prompts": layout.prompts,
            "default_prompt_name": layout.default_prompt,
            "similarity_fn_name": layout.similarity,
        }),
    )?;
    write_json(&folder.join("modules.json"), &Value::Array(entries))
}

/// Writes the files of a module of the head into its folder; `width` is that of token states.
fn write_module(
    below: &Path,
    module: &Module,
    width: usize,
    number: Number,
) -> Result<(), TrainError> {
    let name = |tensor: &str| tensor.to_owned();
    match module {
        Module::Pooling {
            modes,
            include_prompt,
        } => {
            let mut config = serde_json::Map::new();
            config.insert("word_embedding_dimension".into(), width.into());
            for mode in Pooling::ALL {
                config.insert(mode.old_field().into(), modes.contains(&mode).into());
            }
            config.insert("include_prompt".into(), (*include_prompt).into());
            write_json(&below.join("config.json"), &config.into())?;
        }
        Module::Dense {
            weight,
            bias,
            in_features,
            out_features,
            activation,
        } => {
            let module = match activation.name() {
                "Identity" => "linear",
                _ => "activation",
            };
            let config = json!({
                "in_features": in_features, "out_features": out_features,
                "bias": bias.is_some(),
                "activation_function":
                    format!("torch.nn.modules.{module}.{}", activation.name()),
            });
            write_json(&below.join("config.json"), &config)?;
            let mut tensors = vec![Values {
                name: name("linear.weight"),
                shape: vec![*out_features, *in_features],
                values: weight.clone(),
            }];
            tensors.extend(bias.as_ref().map(|bias| Values {
                name: name("linear.bias"),
                shape: vec![*out_features],
                values: bias.clone(),
            }));
            let bytes = safetensors(&tensors, number)?;
            fs::write_atomic(&below.join("model.safetensors"), &bytes)?;
        }
        Module::LayerNorm { weight, bias, .. } => {
            write_json(
                &below.join("config.json"),
                &json!({"dimension": weight.len()}),
            )?;
            let tensors = [("norm.weight", weight), ("norm.bias", bias)].map(|(n, v)| Values {
                name: name(n),
                shape: vec![v.len()],
                values: v.clone(),
            });
            let bytes = safetensors(&tensors, number)?;
            fs::write_atomic(&below.join("model.safetensors"), &bytes)?;
        }
        Module::Normalize => fs::create_dir(below)?,
    }
    Ok(())
}

/// The values of a tensor as float32.
fn float32(tensor: &Tensor) -> Result<Vec<f32>, TrainError> {
    tensor
        .to_dtype(DType::F32)
        .and_then(|t| t.to_device(&Device::Cpu)?.flatten_all()?.to_vec1())
        .map_err(computing("reading a parameter"))
}

/// The values of a stored tensor; `None` for what is no parameter (position ids and the like).
fn read_stored(checkpoint: &Checkpoint, name: &str) -> Result<Option<Values>, TrainError> {
    let Some(found) = checkpoint.get(name) else {
        return Ok(None);
    };
    let dtype = match found.dtype {
        "F64" => DType::F64,
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        _ => return Ok(None),
    };
    let values = Tensor::from_raw_buffer(&found.bytes(), dtype, found.shape, &Device::Cpu)
        .map_err(computing("reading a tensor"))
        .and_then(|t| float32(&t))?;
    let shape = found.shape.to_vec();
    checkpoint.release(name);
    Ok(Some(Values {
        name: name.to_owned(),
        shape,
        values,
    }))
}

/// Every parameter of a checkpoint, and the number type that holds them all.
///
/// # Errors
/// When a file is damaged.
pub(super) fn stored(spec: &EncoderSpec) -> Result<(Vec<Values>, Number), TrainError> {
    let checkpoint = spec.checkpoint()?;
    let names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
    let kinds: BTreeSet<&str> = names
        .iter()
        .filter_map(|name| Some(checkpoint.get(name)?.dtype))
        .filter(|kind| ["F64", "F32", "F16", "BF16"].contains(kind))
        .collect();
    let number = match kinds.iter().copied().collect::<Vec<_>>()[..] {
        ["F16"] => Number::Float16,
        ["BF16"] => Number::Bfloat16,
        _ => Number::Float32,
    };
    let mut tensors = Vec::with_capacity(names.len());
    for name in &names {
        tensors.extend(read_stored(&checkpoint, name)?);
    }
    Ok((tensors, number))
}

/// Values of the model's tensors, adapters merged into the weights they change. Tensors that the
/// network does not use come as they are.
///
/// # Errors
/// When a tensor cannot be read.
pub fn network(model: &Model) -> Result<Vec<Values>, TrainError> {
    let checkpoint = model.spec().checkpoint()?;
    let names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
    let mut tensors = Vec::with_capacity(names.len());
    for name in names {
        let Some(mut tensor) = read_stored(&checkpoint, &name)? else {
            continue;
        };
        if let Some(parameter) = model.parameter(&name) {
            tensor.values = float32(parameter.variable.as_tensor())?;
        }
        if let Some(layer) = name.strip_suffix(".weight")
            && let Some(lora) = &model.options().lora
            && let (Some(down), Some(up)) = (
                model.parameter(&format!("{layer}.{LORA_DOWN}")),
                model.parameter(&format!("{layer}.{LORA_UP}")),
            )
        {
            let change = up
                .variable
                .matmul(down.variable.as_tensor())
                .and_then(|c| c * (lora.alpha / lora.rank as f64))
                .map_err(computing("merging an adapter"))?;
            for (value, change) in tensor.values.iter_mut().zip(float32(&change)?) {
                *value += change;
            }
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

/// The modules after the network, with their trained values.
fn modules(model: &Model) -> Result<Vec<Module>, TrainError> {
    let mut modules = model.spec().modules.clone();
    for (i, module) in modules.iter_mut().enumerate() {
        let trained = |kind: &str, tensor: &str| {
            model
                .parameter(&module_tensor(i + 1, kind, tensor))
                .map(|p| float32(p.variable.as_tensor()))
                .transpose()
        };
        match module {
            Module::Dense { weight, bias, .. } => {
                if let Some(values) = trained("Dense", "linear.weight")? {
                    *weight = values;
                }
                if let Some(values) = trained("Dense", "linear.bias")? {
                    *bias = Some(values);
                }
            }
            Module::LayerNorm { weight, bias, .. } => {
                if let Some(values) = trained("LayerNorm", "norm.weight")? {
                    *weight = values;
                }
                if let Some(values) = trained("LayerNorm", "norm.bias")? {
                    *bias = values;
                }
            }
            Module::Pooling { .. } | Module::Normalize => {}
        }
    }
    Ok(modules)
}

/// Files that are copied along with the tokenizer's own.
const COPIED: [&str; 4] = [
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// What of a model's folder is known from what it was read from; its maximum length aside.
pub(super) fn layout<'a>(spec: &'a EncoderSpec, modules: &'a [Module]) -> Layout<'a> {
    let field = |name: &str| spec.config.get(name).and_then(Value::as_u64);
    let width = ["hidden_size", "d_model", "dim"]
        .into_iter()
        .find_map(field)
        .unwrap_or_default() as usize;
    Layout {
        fixed: match spec.backend {
            "static" => "StaticEmbedding",
            _ => "Transformer",
        },
        modules,
        width,
        max_tokens: None,
        prompts: &spec.prompts,
        default_prompt: spec.default_prompt_name.as_deref(),
        similarity: spec.similarity.name(),
    }
}

/// Writes a model as it is now; `base_share` of its weights are those it started from.
///
/// # Errors
/// When a tensor cannot be read or a file not written.
pub fn model(
    model: &Model,
    target: &Path,
    number: Number,
    base_share: f64,
) -> Result<(), TrainError> {
    let spec = model.spec();
    let is_static = spec.backend == "static";
    let mut tensors = network(model)?;
    let mut modules = modules(model)?;
    if base_share > 0.0 {
        average(&mut tensors, &mut modules, model, base_share)?;
    }
    for name in COPIED {
        let from = spec.companion(name);
        if fs::exists(&from) {
            fs::write_atomic(&target.join(name), &fs::read(&from)?)?;
        }
    }
    if let Some(tokenizer) = &spec.tokenizer {
        for file in tokenizer.files() {
            if let Some(name) = file.file_name() {
                fs::write_atomic(&target.join(name), &fs::read(file)?)?;
            }
        }
    }
    folder(
        target,
        &Layout {
            max_tokens: (!is_static).then(|| model.max_tokens()),
            ..layout(spec, &modules)
        },
        &tensors,
        number,
    )
}

/// Moves weights back towards those of the base model (Wortsman et al., 2022).
fn average(
    tensors: &mut [Values],
    modules: &mut [Module],
    model: &Model,
    share: f64,
) -> Result<(), TrainError> {
    let mix = |now: &mut [f32], base: &[f32]| {
        for (now, base) in now.iter_mut().zip(base) {
            let mixed = (1.0 - share) * f64::from(*now) + share * f64::from(*base);
            *now = mixed as f32;
        }
    };
    let checkpoint = model.spec().checkpoint()?;
    for tensor in tensors {
        if let Some(base) = read_stored(&checkpoint, &tensor.name)? {
            mix(&mut tensor.values, &base.values);
        }
    }
    for (now, base) in modules.iter_mut().zip(&model.spec().modules) {
        match (now, base) {
            (
                Module::Dense { weight, bias, .. },
                Module::Dense {
                    weight: base_weight,
                    bias: base_bias,
                    ..
                },
            ) => {
                mix(weight, base_weight);
                if let (Some(bias), Some(base)) = (bias, base_bias) {
                    mix(bias, base);
                }
            }
            (
                Module::LayerNorm { weight, bias, .. },
                Module::LayerNorm {
                    weight: base_weight,
                    bias: base_bias,
                    ..
                },
            ) => {
                mix(weight, base_weight);
                mix(bias, base_bias);
            }
            _ => {}
        }
    }
    Ok(())
}
