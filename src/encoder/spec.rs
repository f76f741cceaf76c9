//! What was understood of a model: decided once, printed once, stored with every record.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::modules::Module;
use super::network::PaddingSide;

/// Where a decision about a model came from, in order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided: `pooling`, `max_tokens`, `backend`, ...
    pub what: String,
    /// The value, as printed.
    pub value: String,
    /// Where it came from: a flag, a file, or `guessed`.
    pub source: String,
    /// Whether it was guessed; `--strict` makes a guess an error.
    pub guessed: bool,
}

/// One file of a model, identified by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// What it is: `weights`, `weights-external`, `tokenizer`, `config`, ...
    pub role: String,
    /// Path relative to the model's folder, with `/`.
    pub name: String,
    /// Where it lies now; not stored.
    #[serde(skip)]
    pub path: PathBuf,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// How a model's weights are stored, which decides the backends that can run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsFormat {
    /// An ONNX graph.
    Onnx,
    /// safetensors, one file or shards.
    Safetensors,
}

/// How two embeddings are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Similarity {
    /// Cosine; 0/0 is an error, not a number.
    #[default]
    Cosine,
    /// Inner product.
    Dot,
    /// Negated Manhattan distance.
    Manhattan,
    /// Negated Euclidean distance.
    Euclidean,
}

/// Everything that was understood of a model before it is opened. Its [`EncoderSpec::key`]
/// names it in caches.
#[derive(Debug, Clone)]
pub struct EncoderSpec {
    /// Display name: `org/name` from the hub, else the folder's or file's name.
    pub name: String,
    /// Hub revision (40 hexadecimal digits), where it came from the hub.
    pub revision: Option<String>,
    /// Folder that holds tokenizer and configuration.
    pub folder: PathBuf,
    /// How the weights are stored.
    pub format: WeightsFormat,
    /// Weights in order: one ONNX file, or the safetensors shards.
    pub weights: Vec<PathBuf>,
    /// Every file that shapes a result, by content.
    pub files: Vec<ModelFile>,
    /// `model_type` of `config.json`; empty where there is none.
    pub architecture: String,
    /// `config.json` as it is; `Null` where there is none.
    pub config: serde_json::Value,
    /// Name of the backend that will run it, from [`super::backend::BACKENDS`].
    pub backend: &'static str,
    /// `cpu` or `cuda`.
    pub device: String,
    /// Number type of the computation: `float32`, `float16`, `bfloat16`, `int8`.
    pub dtype: String,
    /// What follows the network, in order. Empty for a sentence output of the graph itself.
    pub modules: Vec<Module>,
    /// Name of the ONNX output that is read; `None` off ONNX.
    pub onnx_output: Option<String>,
    /// Maximum length in tokens, special tokens included.
    pub max_tokens: usize,
    /// Id that fills padding.
    pub pad_id: u32,
    /// Side of the padding.
    pub padding_side: PaddingSide,
    /// Token that the model wants at the end and its tokenizer does not add.
    pub append_token: Option<u32>,
    /// Whether attention is causal, where the architecture leaves it open.
    pub causal: Option<bool>,
    /// Named prompts of the model.
    pub prompts: BTreeMap<String, String>,
    /// Prompt used when none is asked for.
    pub default_prompt_name: Option<String>,
    /// The model's own similarity.
    pub similarity: Similarity,
    /// Every decision with its source, in the order they were made.
    pub decisions: Vec<Decision>,
    /// What a user should know: printed and stored.
    pub warnings: Vec<String>,
}
