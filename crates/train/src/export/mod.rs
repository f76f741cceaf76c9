//! A model as ONNX: one graph from token ids to `sentence_embedding`, pooling and normalisation
//! inside.
//!
//! To export another architecture: its layers here, from the tensors that its file under
//! `encoder/backend/candle/architecture/` reads.

mod graph;
mod precision;
mod proto;

use std::path::Path;

use serde_json::Value;

use self::graph::Graph;
pub use self::precision::Precision;
use self::proto::Attribute;
use super::TrainError;
use super::model::{Model, ModelOptions};
use super::save;
use korfinsts_base::fs;
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::family::{self, FAMILIES};
use korfinsts_encoder::modules::{Activation, Module};
use korfinsts_encoder::pooling::Pooling;

/// Version of ONNX's operators.
const OPSET: i64 = 17;
/// Largest graph with its tensors inside: protobuf ends at 2 GiB.
const INSIDE: usize = 2_000_000_000;
/// Name of the graph's file, and the suffix for the file of its tensors.
const FILE: &str = "model.onnx";

fn refused(reason: String, hint: Option<&str>) -> TrainError {
    TrainError::Export {
        reason,
        hint: hint.map(Into::into),
    }
}

/// How a graph is written.
#[derive(Debug, Clone, Copy)]
pub struct GraphOptions {
    /// Type of the matrices.
    pub precision: Precision,
    /// Tensors of more than this many bytes in all go to `model.onnx_data`.
    pub inside: usize,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self {
            precision: Precision::Float32,
            inside: INSIDE,
        }
    }
}

/// Writes `model.onnx` into `folder`, with tokenizer and configuration in the same folder.
///
/// # Errors
/// When the model is of another architecture, has a module without a counterpart, or a file
/// cannot be written.
pub fn onnx(spec: &EncoderSpec, folder: &Path, options: GraphOptions) -> Result<(), TrainError> {
    if !family::of(&spec.architecture).exports_onnx {
        let exported = FAMILIES.iter().filter(|family| family.exports_onnx);
        let names: Vec<String> = exported
            .map(|family| format!("`{}`", family.name))
            .collect();
        return Err(refused(
            format!(
                "`{}` is of the architecture `{}`; exported are {}",
                spec.name,
                if spec.architecture.is_empty() {
                    "static"
                } else {
                    &spec.architecture
                },
                names.join(", ")
            ),
            Some("`korfinsts eval` runs it from its safetensors as it is"),
        ));
    }
    let model = Model::open(spec, ModelOptions::default())?;
    let mut graph = Graph::new(save::network(&model)?, options.precision);
    transformer(&mut graph, spec)?;
    let dimension = behind(&mut graph, spec)?;
    let (bytes, data) = graph.finish(OPSET, dimension, options.inside, &format!("{FILE}_data"));
    for name in [
        "config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    ] {
        let from = spec.folder.join(name);
        if fs::exists(&from) {
            fs::write_atomic(&folder.join(name), &fs::read(&from)?)?;
        }
    }
    if let Some(tokenizer) = &spec.tokenizer {
        for file in tokenizer.files() {
            if let Some(name) = file.file_name() {
                fs::write_atomic(&folder.join(name), &fs::read(file)?)?;
            }
        }
    }
    if let Some(data) = data {
        fs::write_atomic_with(&folder.join(format!("{FILE}_data")), |file| {
            data.iter().try_for_each(|part| file.write_all(part))
        })?;
    }
    Ok(fs::write_atomic(&folder.join(FILE), &bytes)?)
}

/// From token ids to token states, under the name `states`.
fn transformer(graph: &mut Graph, spec: &EncoderSpec) -> Result<(), TrainError> {
    let config = &spec.config;
    let size = |key: &str| {
        config
            .get(key)
            .and_then(Value::as_u64)
            .map(|n| n as usize)
            .ok_or_else(|| refused(format!("`config.json` has no `{key}`"), None))
    };
    let (hidden, layers, heads) = (
        size("hidden_size")?,
        size("num_hidden_layers")?,
        size("num_attention_heads")?,
    );
    let head = hidden / heads.max(1);
    let epsilon = config
        .get("layer_norm_eps")
        .and_then(Value::as_f64)
        .unwrap_or(1e-12) as f32;
    let activation = config
        .get("hidden_act")
        .and_then(Value::as_str)
        .unwrap_or("gelu");
    let prefix = graph.prefix("embeddings.word_embeddings.weight")?;
    let name = |part: &str| format!("{prefix}{part}");
    positions(graph, spec, size("max_position_embeddings")?);
    let types = graph.first_row(&name("embeddings.token_type_embeddings.weight"))?;
    let x = graph.rows(&name("embeddings.word_embeddings.weight"), "input_ids")?;
    let p = graph.rows(&name("embeddings.position_embeddings.weight"), "positions")?;
    let x = graph.op("Add", &[&x, &p], &[]);
    let x = graph.op("Add", &[&x, &types], &[]);
    let mut x = graph.layer_norm(&x, &name("embeddings.LayerNorm"), epsilon)?;
    // 0 at a token, a large negative number at padding, for every head and query.
    let one = graph.float(1.0);
    let most = graph.float(f32::MIN / 2.0);
    let axes = graph.ints(&[1, 2]);
    let away = graph.op("Sub", &[&one, "mask"], &[]);
    let away = graph.op("Mul", &[&away, &most], &[]);
    let away = graph.op("Unsqueeze", &[&away, &axes], &[]);
    let split = graph.ints(&[0, 0, heads as i64, head as i64]);
    let join = graph.ints(&[0, 0, hidden as i64]);
    let scale = graph.float(1.0 / (head as f32).sqrt());
    for layer in 0..layers {
        let name = |part: &str| format!("{prefix}encoder.layer.{layer}.{part}");
        let mut part = |what: &str, order: [i64; 4]| -> Result<String, TrainError> {
            let y = graph.linear(&x, &name(&format!("attention.self.{what}")))?;
            let y = graph.op("Reshape", &[&y, &split], &[]);
            Ok(graph.op("Transpose", &[&y], &[("perm", Attribute::Ints(&order))]))
        };
        let q = part("query", [0, 2, 1, 3])?;
        let k = part("key", [0, 2, 3, 1])?;
        let v = part("value", [0, 2, 1, 3])?;
        let scores = graph.op("MatMul", &[&q, &k], &[]);
        let scores = graph.op("Mul", &[&scores, &scale], &[]);
        let scores = graph.op("Add", &[&scores, &away], &[]);
        let weights = graph.op("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
        let seen = graph.op("MatMul", &[&weights, &v], &[]);
        let order = ("perm", Attribute::Ints(&[0, 2, 1, 3]));
        let seen = graph.op("Transpose", &[&seen], &[order]);
        let seen = graph.op("Reshape", &[&seen, &join], &[]);
        let y = graph.linear(&seen, &name("attention.output.dense"))?;
        let y = graph.op("Add", &[&y, &x], &[]);
        let attended = graph.layer_norm(&y, &name("attention.output.LayerNorm"), epsilon)?;
        let y = graph.linear(&attended, &name("intermediate.dense"))?;
        let y = activated(graph, &y, activation)?;
        let y = graph.linear(&y, &name("output.dense"))?;
        let y = graph.op("Add", &[&y, &attended], &[]);
        x = graph.layer_norm(&y, &name("output.LayerNorm"), epsilon)?;
    }
    graph.rename(&x, "states");
    Ok(())
}

/// Positions of tokens, counted as the networks of inference count them, and the mask as floats.
fn positions(graph: &mut Graph, spec: &EncoderSpec, places: usize) {
    let to_float = ("to", Attribute::Int(proto::FLOAT));
    let mask = graph.op("Cast", &["attention_mask"], &[to_float]);
    graph.rename(&mask, "mask");
    let axis = graph.int(1);
    let found = if spec.architecture == "bert" {
        let one = graph.int(1);
        let count = graph.op("CumSum", &["attention_mask", &axis], &[]);
        let count = graph.op("Sub", &[&count, &one], &[]);
        graph.op("Mul", &[&count, "attention_mask"], &[])
    } else {
        let pad = spec
            .config
            .get("pad_token_id")
            .and_then(Value::as_i64)
            .unwrap_or(1);
        let pad = graph.int(pad);
        let padded = graph.op("Equal", &["input_ids", &pad], &[]);
        let real = graph.op("Not", &[&padded], &[]);
        let to_int = ("to", Attribute::Int(proto::INT64));
        let real = graph.op("Cast", &[&real], &[to_int]);
        let real = graph.op("Mul", &[&real, "attention_mask"], &[]);
        let count = graph.op("CumSum", &[&real, &axis], &[]);
        let count = graph.op("Mul", &[&count, &real], &[]);
        graph.op("Add", &[&count, &pad], &[])
    };
    debug_assert!(places > 0, "a model has positions");
    graph.rename(&found, "positions");
}

fn activated(graph: &mut Graph, x: &str, name: &str) -> Result<String, TrainError> {
    Ok(match name {
        "gelu" | "gelu_python" => {
            let (half, one) = (graph.float(0.5), graph.float(1.0));
            let root = graph.float(std::f32::consts::FRAC_1_SQRT_2);
            let y = graph.op("Mul", &[x, &root], &[]);
            let y = graph.op("Erf", &[&y], &[]);
            let y = graph.op("Add", &[&y, &one], &[]);
            let y = graph.op("Mul", &[&y, x], &[]);
            graph.op("Mul", &[&y, &half], &[])
        }
        "relu" => graph.op("Relu", &[x], &[]),
        "silu" | "swish" => {
            let y = graph.op("Sigmoid", &[x], &[]);
            graph.op("Mul", &[&y, x], &[])
        }
        "tanh" => graph.op("Tanh", &[x], &[]),
        "sigmoid" => graph.op("Sigmoid", &[x], &[]),
        other => {
            return Err(refused(
                format!("activation `{other}` is not exported; `gelu`, `relu`, `silu` are"),
                None,
            ));
        }
    })
}

/// From token states to `sentence_embedding`; gives its width.
fn behind(graph: &mut Graph, spec: &EncoderSpec) -> Result<usize, TrainError> {
    let hidden = spec
        .config
        .get("hidden_size")
        .and_then(Value::as_u64)
        .unwrap_or_default() as usize;
    let mut width = hidden;
    let mut x = "states".to_owned();
    for (i, module) in spec.modules.iter().enumerate() {
        x = match module {
            Module::Pooling {
                include_prompt: false,
                ..
            } => {
                return Err(refused(
                    "a pooling that leaves the prompt out cannot stand inside a graph".into(),
                    None,
                ));
            }
            Module::Pooling { modes, .. } => {
                let parts: Result<Vec<String>, TrainError> =
                    modes.iter().map(|mode| pooled(graph, &x, *mode)).collect();
                let parts = parts?;
                width = hidden * parts.len();
                let names: Vec<&str> = parts.iter().map(String::as_str).collect();
                match names[..] {
                    [one] => one.to_owned(),
                    _ => graph.op("Concat", &names, &[("axis", Attribute::Int(-1))]),
                }
            }
            Module::Normalize => {
                let axis = graph.ints(&[-1]);
                let least = graph.float(1e-12);
                let y = graph.op("Mul", &[&x, &x], &[]);
                let y = graph.op(
                    "ReduceSum",
                    &[&y, &axis],
                    &[("keepdims", Attribute::Int(1))],
                );
                let y = graph.op("Sqrt", &[&y], &[]);
                let y = graph.op("Max", &[&y, &least], &[]);
                graph.op("Div", &[&x, &y], &[])
            }
            Module::Dense {
                weight,
                bias,
                in_features,
                out_features,
                activation,
            } => {
                width = *out_features;
                let name = format!("dense.{i}");
                graph.add(
                    &format!("{name}.weight"),
                    &[*out_features, *in_features],
                    weight,
                );
                if let Some(bias) = bias {
                    graph.add(&format!("{name}.bias"), &[*out_features], bias);
                }
                let y = graph.linear(&x, &name)?;
                match activation {
                    Activation::Identity => y,
                    other => activated(graph, &y, &other.name().to_lowercase())?,
                }
            }
            Module::LayerNorm {
                weight,
                bias,
                epsilon,
            } => {
                let name = format!("norm.{i}");
                graph.add(&format!("{name}.weight"), &[weight.len()], weight);
                graph.add(&format!("{name}.bias"), &[bias.len()], bias);
                graph.layer_norm(&x, &name, *epsilon)?
            }
        };
    }
    graph.rename(&x, "sentence_embedding");
    Ok(width)
}

fn pooled(graph: &mut Graph, states: &str, mode: Pooling) -> Result<String, TrainError> {
    let once = ("keepdims", Attribute::Int(0));
    let (last, tokens) = (graph.ints(&[2]), graph.ints(&[1]));
    Ok(match mode {
        Pooling::Cls => {
            let first = graph.int(0);
            graph.op("Gather", &[states, &first], &[("axis", Attribute::Int(1))])
        }
        Pooling::Mean | Pooling::MeanSqrtLen => {
            let mask = graph.op("Unsqueeze", &["mask", &last], &[]);
            let kept = graph.op("Mul", &[states, &mask], &[]);
            let sum = graph.op("ReduceSum", &[&kept, &tokens], &[once]);
            let count = graph.op("ReduceSum", &[&mask, &tokens], &[once]);
            let least = graph.float(1e-9);
            let mut count = graph.op("Max", &[&count, &least], &[]);
            if mode == Pooling::MeanSqrtLen {
                count = graph.op("Sqrt", &[&count], &[]);
            }
            graph.op("Div", &[&sum, &count], &[])
        }
        other => {
            return Err(refused(
                format!(
                    "pooling `{other}` is not exported; `cls`, `mean` and `mean_sqrt_len_tokens` are"
                ),
                None,
            ));
        }
    })
}
