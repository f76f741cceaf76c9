//! A model as ONNX: one graph from token ids to `sentence_embedding`, pooling and normalisation
//! inside.
//!
//! To export another architecture: its names or its layers here, from the tensors that its file under
//! `crates/nn/src/architecture/` reads, and its line in `encoder/family.rs`.

mod graph;
mod modernbert;
mod precision;
mod proto;
mod t5;

use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::Value;

use self::graph::Graph;
pub use self::precision::Precision;
use self::proto::Attribute;
use super::TrainError;
use super::error::computing;
use super::model::{Model, ModelOptions};
use super::save;
use korfinsts_base::fs;
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::family::{self, FAMILIES, Positions};
use korfinsts_encoder::modules::{Activation, Module};
use korfinsts_encoder::pooling::Pooling;
use korfinsts_nn::ops::Mode;
use korfinsts_nn::relative::RelativeBias;

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
    let hidden = transformer(&mut graph, spec)?;
    let dimension = behind(&mut graph, spec, hidden)?;
    let (bytes, data) = graph.finish(OPSET, dimension, options.inside, &format!("{FILE}_data"));
    for name in [
        "config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    ] {
        let from = spec.companion(name);
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

/// Names of the tensors and fields of one member of BERT's family.
struct Names {
    /// Hidden size, layers, heads, activation.
    fields: [&'static str; 4],
    /// Before the number of a layer.
    layer: &'static str,
    /// Query, key, value.
    qkv: [&'static str; 3],
    /// Output of the attention and its normalisation.
    attended: [&'static str; 2],
    /// First and second feed-forward layer, and the normalisation after them.
    forward: [&'static str; 3],
}

const BERT: Names = Names {
    fields: [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "hidden_act",
    ],
    layer: "encoder.layer",
    qkv: [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
    ],
    attended: ["attention.output.dense", "attention.output.LayerNorm"],
    forward: ["intermediate.dense", "output.dense", "output.LayerNorm"],
};
const MPNET: Names = Names {
    qkv: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
    attended: ["attention.attn.o", "attention.LayerNorm"],
    ..BERT
};
const DISTILBERT: Names = Names {
    fields: ["dim", "n_layers", "n_heads", "activation"],
    layer: "transformer.layer",
    qkv: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attended: ["attention.out_lin", "sa_layer_norm"],
    forward: ["ffn.lin1", "ffn.lin2", "output_layer_norm"],
};

/// From token ids to token states, under the name `states`; gives their width.
fn transformer(graph: &mut Graph, spec: &EncoderSpec) -> Result<usize, TrainError> {
    match spec.architecture.as_str() {
        "modernbert" => modernbert::transformer(graph, spec),
        "t5" | "mt5" => t5::transformer(graph, spec),
        _ => bert(graph, spec),
    }
}

fn bert(graph: &mut Graph, spec: &EncoderSpec) -> Result<usize, TrainError> {
    let config = &spec.config;
    let names = match spec.architecture.as_str() {
        "distilbert" => &DISTILBERT,
        "mpnet" => &MPNET,
        _ => &BERT,
    };
    let [hidden, layers, heads, activation] = names.fields;
    let (hidden, layers, heads) = (size(spec, hidden)?, size(spec, layers)?, size(spec, heads)?);
    let head = hidden / heads.max(1);
    let epsilon = number(spec, "layer_norm_eps", 1e-12);
    let activation = config
        .get(activation)
        .and_then(Value::as_str)
        .unwrap_or("gelu");
    let prefix = graph.prefix("embeddings.word_embeddings.weight")?;
    let name = |part: &str| format!("{prefix}{part}");
    let places = size(spec, "max_position_embeddings")?;
    positions(graph, spec, places);
    let x = graph.rows(&name("embeddings.word_embeddings.weight"), "input_ids")?;
    let p = graph.rows(&name("embeddings.position_embeddings.weight"), "positions")?;
    let mut x = graph.op("Add", &[&x, &p], &[]);
    let types = name("embeddings.token_type_embeddings.weight");
    if graph.has(&types) {
        let types = graph.first_row(&types)?;
        x = graph.op("Add", &[&x, &types], &[]);
    }
    x = graph.layer_norm(&x, &name("embeddings.LayerNorm"), epsilon)?;
    let widening = name("embeddings_project");
    if graph.has(&format!("{widening}.weight")) {
        x = graph.linear(&x, &widening)?;
    }
    let mut away = padding(graph);
    let buckets = name("encoder.relative_attention_bias.weight");
    if graph.has(&buckets) {
        let bias = relative(graph, &buckets, 128)?;
        away = graph.op("Add", &[&away, &bias], &[]);
    }
    let heads = Heads {
        count: heads,
        width: head,
        scale: Some(1.0 / (head as f32).sqrt()),
    };
    for layer in 0..layers {
        let name = |part: &str| format!("{prefix}{}.{layer}.{part}", names.layer);
        let mut part = |what: &str| -> Result<String, TrainError> {
            let y = graph.linear(&x, &name(what))?;
            Ok(heads.split(graph, &y))
        };
        let [q, k, v] = names.qkv;
        let qkv = [part(q)?, part(k)?, part(v)?];
        let seen = heads.attend(graph, &qkv, &away);
        let [output, norm] = names.attended;
        let y = graph.linear(&seen, &name(output))?;
        let y = graph.op("Add", &[&y, &x], &[]);
        let attended = graph.layer_norm(&y, &name(norm), epsilon)?;
        let [inner, outer, norm] = names.forward;
        let y = graph.linear(&attended, &name(inner))?;
        let y = activated(graph, &y, activation)?;
        let y = graph.linear(&y, &name(outer))?;
        let y = graph.op("Add", &[&y, &attended], &[]);
        x = graph.layer_norm(&y, &name(norm), epsilon)?;
    }
    graph.rename(&x, "states");
    Ok(hidden)
}

/// Attention of several heads.
struct Heads {
    count: usize,
    width: usize,
    /// What scores are multiplied by, where it is not 1.
    scale: Option<f32>,
}

impl Heads {
    /// `[batch, sequence, count * width]` as `[batch, count, sequence, width]`.
    fn split(&self, graph: &mut Graph, x: &str) -> String {
        let shape = graph.ints(&[0, 0, self.count as i64, self.width as i64]);
        let x = graph.op("Reshape", &[x, &shape], &[]);
        let order = ("perm", Attribute::Ints(&[0, 2, 1, 3]));
        graph.op("Transpose", &[&x], &[order])
    }

    /// What each token sees, `[batch, sequence, count * width]`; `away` is added to the scores.
    fn attend(&self, graph: &mut Graph, [q, k, v]: &[String; 3], away: &str) -> String {
        let order = ("perm", Attribute::Ints(&[0, 1, 3, 2]));
        let k = graph.op("Transpose", &[k], &[order]);
        let mut scores = graph.op("MatMul", &[q, &k], &[]);
        if let Some(scale) = self.scale {
            let scale = graph.float(scale);
            scores = graph.op("Mul", &[&scores, &scale], &[]);
        }
        let scores = graph.op("Add", &[&scores, away], &[]);
        let weights = graph.op("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
        let seen = graph.op("MatMul", &[&weights, v], &[]);
        let order = ("perm", Attribute::Ints(&[0, 2, 1, 3]));
        let seen = graph.op("Transpose", &[&seen], &[order]);
        let join = graph.ints(&[0, 0, (self.count * self.width) as i64]);
        graph.op("Reshape", &[&seen, &join], &[])
    }
}

/// A number that takes a score away: twice of it is still finite.
const AWAY: f32 = f32::MIN / 2.0;

/// 0 at a token, a large negative number at padding, for every head and query.
fn padding(graph: &mut Graph) -> String {
    let one = graph.float(1.0);
    let most = graph.float(AWAY);
    let axes = graph.ints(&[1, 2]);
    let away = graph.op("Sub", &[&one, "mask"], &[]);
    let away = graph.op("Mul", &[&away, &most], &[]);
    graph.op("Unsqueeze", &[&away, &axes], &[])
}

/// Numbers of the tokens, from 0.
fn numbers(graph: &mut Graph) -> String {
    let (zero, one) = (graph.int(0), graph.int(1));
    let shape = graph.op("Shape", &["input_ids"], &[]);
    let length = graph.op("Gather", &[&shape, &one], &[]);
    graph.op("Range", &[&zero, &length, &one], &[])
}

/// Key less query, `[sequence, sequence]`.
fn distances(graph: &mut Graph) -> String {
    let numbers = numbers(graph);
    let (rows, columns) = (graph.ints(&[0]), graph.ints(&[1]));
    let keys = graph.op("Unsqueeze", &[&numbers, &rows], &[]);
    let queries = graph.op("Unsqueeze", &[&numbers, &columns], &[]);
    graph.op("Sub", &[&keys, &queries], &[])
}

/// The bias of relative positions of MPNet and T5, `[1, heads, sequence, sequence]`: from the bias of
/// each distance up to `furthest`, from which on it is the same.
fn relative(graph: &mut Graph, buckets: &str, furthest: usize) -> Result<String, TrainError> {
    const DISTANCES: &str = "relative.distances";
    let found = graph.take(buckets)?;
    let shape = found.shape.clone();
    let table = Tensor::from_vec(found.values.clone(), shape, &Device::Cpu)
        .and_then(|table| {
            let bias = RelativeBias::new(table, furthest, &Device::Cpu, Mode::Fused);
            bias.of(furthest + 1)?.diagonals.t()?.contiguous()
        })
        .map_err(computing("a relative bias"))?;
    let values = table.flatten_all().and_then(|t| t.to_vec1::<f32>());
    let values = values.map_err(computing("a relative bias"))?;
    graph.add(DISTANCES, table.dims(), &values);
    let table = graph.weight(DISTANCES)?;
    let distances = distances(graph);
    let furthest = furthest as i64;
    let (least, most) = (graph.int(-furthest), graph.int(furthest));
    let distances = graph.op("Max", &[&distances, &least], &[]);
    let distances = graph.op("Min", &[&distances, &most], &[]);
    let distances = graph.op("Add", &[&distances, &most], &[]);
    let bias = graph.op("Gather", &[&table, &distances], &[]);
    let order = ("perm", Attribute::Ints(&[2, 0, 1]));
    let bias = graph.op("Transpose", &[&bias], &[order]);
    let rows = graph.ints(&[0]);
    Ok(graph.op("Unsqueeze", &[&bias, &rows], &[]))
}

/// The mask as floats, under the name `mask`.
fn mask(graph: &mut Graph) {
    let to_float = ("to", Attribute::Int(proto::FLOAT));
    let mask = graph.op("Cast", &["attention_mask"], &[to_float]);
    graph.rename(&mask, "mask");
}

/// A whole number of `config.json`.
fn size(spec: &EncoderSpec, key: &str) -> Result<usize, TrainError> {
    let found = spec.config.get(key).and_then(Value::as_u64);
    found
        .map(|n| n as usize)
        .ok_or_else(|| refused(format!("`config.json` has no `{key}`"), None))
}

/// A number of `config.json`, or `default`.
fn number(spec: &EncoderSpec, key: &str, default: f64) -> f32 {
    spec.config
        .get(key)
        .and_then(Value::as_f64)
        .unwrap_or(default) as f32
}

/// Positions of tokens, counted as the networks of inference count them, and the mask as floats.
fn positions(graph: &mut Graph, spec: &EncoderSpec, places: usize) {
    mask(graph);
    let axis = graph.int(1);
    let found = if family::of(&spec.architecture).positions == Positions::FromZero {
        let one = graph.int(1);
        let count = graph.op("CumSum", &["attention_mask", &axis], &[]);
        let count = graph.op("Sub", &[&count, &one], &[]);
        graph.op("Mul", &[&count, "attention_mask"], &[])
    } else {
        // MPNet's network takes it for 1 whatever its configuration says.
        let pad = spec.config.get("pad_token_id").and_then(Value::as_i64);
        let pad = pad.filter(|_| spec.architecture != "mpnet").unwrap_or(1);
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
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => {
            let (half, one, three) = (graph.float(0.5), graph.float(1.0), graph.float(0.044_715));
            let root = graph.float((2.0 / std::f32::consts::PI).sqrt());
            let y = graph.op("Mul", &[x, x], &[]);
            let y = graph.op("Mul", &[&y, x], &[]);
            let y = graph.op("Mul", &[&y, &three], &[]);
            let y = graph.op("Add", &[&y, x], &[]);
            let y = graph.op("Mul", &[&y, &root], &[]);
            let y = graph.op("Tanh", &[&y], &[]);
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
                format!(
                    "activation `{other}` is not exported; `gelu`, `gelu_new`, `relu`, `silu` are"
                ),
                None,
            ));
        }
    })
}

/// From token states of a width to `sentence_embedding`; gives its width.
fn behind(graph: &mut Graph, spec: &EncoderSpec, hidden: usize) -> Result<usize, TrainError> {
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
