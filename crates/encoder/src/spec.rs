//! The settings of a model: decided once, printed once, stored with every record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::adapter::{self, AdapterFiles};
use super::backend::{self, OpenOptions};
use super::endpoint::Endpoint;
use super::llm2vec::Llm2Vec;
use super::modules::Module;
use super::network::PaddingSide;
use super::text_encoder::TextEncoder;
use super::tokenizer::Tokenizer;
use super::width::Widths;
use super::{Encoder, EncoderError, modules};
use korfinsts_base::fs;
use korfinsts_metric::Similarity;
use korfinsts_nn::safetensors::Checkpoint;

pub use super::read::{Attention, ModelTable, Overrides, model_tables, read};
pub use super::setting::Setting;

/// A setting of a model, with the value that was decided and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided.
    pub what: Setting,
    /// The value, as printed.
    pub value: String,
    /// Where it came from: a flag, a file, or `guessed`.
    pub source: String,
    /// Whether it was guessed; `--strict` makes a guess an error.
    pub guessed: bool,
}

impl Decision {
    /// A decision that is no guess.
    #[must_use]
    pub fn new(what: Setting, value: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            what,
            value: value.into(),
            source: source.into(),
            guessed: false,
        }
    }

    /// Whether it says that an L2 normalisation follows the pooling.
    #[must_use]
    pub fn normalizes(&self) -> bool {
        let normalize = Module::Normalize.describe();
        self.what == Setting::Then && self.value.split(", ").any(|module| module == normalize)
    }
}

/// One file of a model, identified by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// What it is: `weights`, `weights-external`, `tokenizer`, `config`, ...
    pub role: String,
    /// Path relative to the model's folder, with `/`.
    pub name: String,
    /// Where it is now; not stored.
    #[serde(skip)]
    pub path: PathBuf,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// How a model's weights are stored, which decides the backends that can run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsFormat {
    /// An ONNX graph.
    #[default]
    Onnx,
    /// safetensors, one file or shards.
    Safetensors,
}

/// File of a checkpoint that lists the variants of triplets it was trained on: a JSON list of their
/// ids.
pub const TRAINED_VARIANTS: &str = "trained_variants.json";

/// Everything that is known of a model before it is opened. Its [`EncoderSpec::key`]
/// names it in caches. The default is an empty specification, for tests to fill in.
#[derive(Debug, Clone, Default)]
pub struct EncoderSpec {
    /// Display name: `org/name` from the hub, else the folder's or file's name.
    pub name: String,
    /// Hub revision (40 hexadecimal digits), where it came from the hub.
    pub revision: Option<String>,
    /// The model's folder.
    pub folder: PathBuf,
    /// Where `config.json` is, or would be.
    pub config_path: PathBuf,
    /// How the weights are stored.
    pub format: WeightsFormat,
    /// Weights in order: one ONNX file, or the safetensors shards.
    pub weights: Vec<PathBuf>,
    /// Adapters that are merged into the weights, in order.
    pub adapters: Vec<AdapterFiles>,
    /// Every file that shapes a result, by content.
    pub files: Vec<ModelFile>,
    /// `model_type` of `config.json`; empty where there is none.
    pub architecture: String,
    /// `config.json` as it is; `Null` where there is none.
    pub config: serde_json::Value,
    /// Name of the backend that will run it, from [`super::backend::BACKENDS`].
    pub backend: &'static str,
    /// Version of the library behind the backend, as it was when the model was read.
    pub backend_version: String,
    /// `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Number type of the computation: `float32`, `float16`, `bfloat16`, `int8`.
    pub dtype: String,
    /// What follows the network, in order. Empty for a sentence output of the graph itself.
    pub modules: Vec<Module>,
    /// Name of the ONNX output that is read; `None` off ONNX.
    pub onnx_output: Option<String>,
    /// What the network's output must be wide, checked against every batch.
    pub widths: Widths,
    /// Values of the ONNX inputs that no text gives, by name.
    pub onnx_inputs: BTreeMap<String, Vec<f64>>,
    /// Maximum length in tokens, special tokens included: `usize::MAX` where there is none, 0 where a
    /// server does not say it. [`EncoderSpec::token_limit`] is what may be shown.
    pub max_tokens: usize,
    /// Id that fills padding.
    pub pad_id: u32,
    /// Side of the padding.
    pub padding_side: PaddingSide,
    /// Token that the model wants at the end and its tokenizer does not add.
    pub append_token: Option<u32>,
    /// Whether the tokenizer's special tokens are added; static embeddings go without.
    pub add_special_tokens: bool,
    /// Whether unknown tokens are left out, as model2vec does.
    pub drop_unknown: bool,
    /// Unicode characters that a text is cut to before it is tokenised, as model2vec does.
    pub max_characters: Option<usize>,
    /// How texts are prepared, where the folder is one of llm2vec.
    pub llm2vec: Option<Llm2Vec>,
    /// Whether attention is causal, where the architecture leaves it open.
    pub causal: Option<bool>,
    /// Named prompts of the model.
    pub prompts: BTreeMap<String, String>,
    /// Prompt used when none is asked for.
    pub default_prompt_name: Option<String>,
    /// The model's own similarity.
    pub similarity: Similarity,
    /// The tokenizer, loaded and tried; `None` only where a specification was made by hand.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// The server that runs it; `None` for a model on disk.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Variants of triplets that it was trained on, as the checkpoint says.
    pub trained_variants: Vec<String>,
    /// Whether what may be wrong is an error.
    pub strict: bool,
    /// Every decision with its source, in the order they were made.
    pub decisions: Vec<Decision>,
    /// What a user should know: printed and stored.
    pub warnings: Vec<String>,
}

impl EncoderSpec {
    /// Opens the model: tokenizer, network, and what follows it.
    ///
    /// # Errors
    /// When the backend cannot open the weights.
    pub fn open(&self, options: &OpenOptions) -> Result<Box<dyn Encoder>, EncoderError> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(endpoint.encoder());
        }
        let backend = backend::find(self.backend).ok_or_else(|| EncoderError::Unsupported {
            what: format!("backend `{}` is not known", self.backend),
            hint: None,
        })?;
        let network = (backend.open)(self, options)?;
        Ok(Box::new(TextEncoder::new(self, network)?))
    }

    /// The safetensors of the model, adapters merged.
    ///
    /// # Errors
    /// When a file is damaged, or an adapter does not fit its base.
    pub fn checkpoint(&self) -> Result<Checkpoint, EncoderError> {
        let mut checkpoint = Checkpoint::open(&self.weights)?;
        for adapter in &self.adapters {
            adapter::merge(adapter, &mut checkpoint)?;
        }
        Ok(checkpoint)
    }

    /// Folder of the tokenizer.
    #[must_use]
    pub fn tokenizer_folder(&self) -> &Path {
        let tokenizer = self.tokenizer.as_ref();
        tokenizer
            .and_then(|t| t.files()[0].parent())
            .unwrap_or(&self.folder)
    }

    /// Where a file of that name is that goes with the network or the tokenizer, or would be.
    #[must_use]
    pub fn companion(&self, name: &str) -> PathBuf {
        match name {
            "config.json" => self.config_path.clone(),
            name if name.contains("token") => self.tokenizer_folder().join(name),
            name => self.folder.join(name),
        }
    }

    /// Names everything that shapes an embedding: the files by content, the backend and its
    /// version, the device, the number type, and every decision about tokens, pooling and prompt.
    /// The similarity is not among them. 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn key(&self, prompt: &str) -> String {
        let mut hasher = Sha256::new();
        let mut put = |name: &str, value: &str| {
            // Lengths keep two fields from running into each other.
            hasher.update(format!("{name}:{}:", value.len()));
            hasher.update(value);
        };
        put("korfinsts-embedding", "1");
        for file in &self.files {
            put(&file.role, &file.name);
            put("sha256", &file.sha256);
        }
        put("backend", self.backend);
        put("version", &self.backend_version);
        put("device", &self.device);
        put("dtype", &self.dtype);
        for module in &self.modules {
            put("module", &module.describe());
        }
        put("output", self.onnx_output.as_deref().unwrap_or(""));
        for (name, values) in &self.onnx_inputs {
            put("input", &format!("{name} {values:?}"));
        }
        if self.format == WeightsFormat::Onnx && self.endpoint.is_none() {
            // Embeddings of before graphs were tried for padding are not those of today.
            put("padding", "tried");
        }
        put("max_tokens", &self.max_tokens.to_string());
        put("pad", &format!("{} {:?}", self.pad_id, self.padding_side));
        put("append", &format!("{:?}", self.append_token));
        put(
            "special",
            &format!("{} {}", self.add_special_tokens, self.drop_unknown),
        );
        if let Some(max) = self.max_characters {
            put("max_characters", &max.to_string());
        }
        if let Some(llm2vec) = &self.llm2vec {
            put("llm2vec", &format!("{llm2vec:?}"));
        }
        put("causal", &format!("{:?}", self.causal));
        put("prompt", prompt);
        if let Some(endpoint) = &self.endpoint {
            put("endpoint", &endpoint.url);
            put("model", &endpoint.model);
            put("revision", endpoint.revision.as_deref().unwrap_or(""));
            // Another model behind the same address gives other embeddings.
            put("fingerprint", &endpoint.fingerprint);
        }
        fs::hex(&hasher.finalize())
    }

    /// The value of a setting, as it was decided last.
    #[must_use]
    pub fn decided(&self, what: &Setting) -> Option<&str> {
        let mut decisions = self.decisions.iter().rev();
        decisions
            .find(|d| d.what == *what)
            .map(|d| d.value.as_str())
    }

    /// Maximum length in tokens; `None` where there is none, or a server does not say it.
    #[must_use]
    pub fn token_limit(&self) -> Option<usize> {
        Some(self.max_tokens).filter(|n| !matches!(*n, 0 | usize::MAX))
    }

    /// What a text that was truncated was longer than.
    #[must_use]
    pub fn longest_text(&self) -> String {
        match self.token_limit() {
            Some(n) => format!("{n} tokens"),
            None => "the server takes".to_owned(),
        }
    }

    /// Width of an embedding, where the files say it.
    #[must_use]
    pub fn dimension(&self) -> Option<usize> {
        let width = self.modules.iter().rev().find_map(|module| match module {
            Module::Dense { out_features, .. } => Some(*out_features),
            Module::LayerNorm { weight, .. } => Some(weight.len()),
            Module::Pooling { .. } | Module::Normalize => None,
        });
        width.or_else(|| {
            let modes = match self.modules.first() {
                Some(Module::Pooling { modes, .. }) => modes.len(),
                _ => 1,
            };
            Some(modes * self.widths.declared.as_ref()?.0)
        })
    }

    /// Whether embeddings are L2-normalised behind the network.
    #[must_use]
    pub fn normalizes(&self) -> bool {
        self.modules.contains(&Module::Normalize)
    }

    /// Whether the pooling leaves the prompt's tokens out.
    #[must_use]
    pub fn leaves_prompt_out(&self) -> bool {
        matches!(
            self.modules.first(),
            Some(modules::Module::Pooling {
                include_prompt: false,
                ..
            })
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pooling::Pooling;

    #[test]
    fn a_key_tells_everything_that_shapes_an_embedding_and_nothing_else() {
        type Change = fn(&mut EncoderSpec);
        let spec = EncoderSpec::default();
        let key = spec.key("");
        assert_eq!(key.len(), 64);
        assert_ne!(spec.key("query: "), key);
        let changes: [(&str, Change); 11] = [
            ("max tokens", |s| s.max_tokens = 5),
            ("backend", |s| s.backend = "rten"),
            ("version", |s| s.backend_version = "2".into()),
            ("dtype", |s| s.dtype = "float16".into()),
            ("device", |s| s.device = "cuda".into()),
            ("append", |s| s.append_token = Some(1)),
            ("unknown", |s| s.drop_unknown = true),
            ("characters", |s| s.max_characters = Some(9)),
            ("causal", |s| s.causal = Some(false)),
            ("input", |s| {
                s.onnx_inputs.insert("task_id".into(), vec![3.0]);
            }),
            ("modules", |s| {
                s.modules = vec![Module::Pooling {
                    modes: vec![Pooling::Cls],
                    include_prompt: true,
                }];
            }),
        ];
        for (what, change) in changes {
            let mut changed = EncoderSpec::default();
            change(&mut changed);
            assert_ne!(changed.key(""), key, "{what}");
        }
        let same = EncoderSpec {
            similarity: Similarity::Dot,
            name: "other".into(),
            ..EncoderSpec::default()
        };
        assert_eq!(same.key(""), key);
    }

    #[test]
    fn settings_keep_their_names_in_records() {
        for setting in Setting::KNOWN {
            let text = serde_json::to_string(&setting).expect("a text");
            assert_eq!(text, format!("\"{setting}\""));
            let again: Setting = serde_json::from_str(&text).expect("a setting");
            assert_eq!(&again, setting);
        }
        let other: Setting = serde_json::from_str("\"of another version\"").expect("a setting");
        assert_eq!(other.to_string(), "of another version");
    }

    #[test]
    fn a_normalisation_is_known_from_the_modules_and_from_their_decision() {
        for (what, value, normalizes) in [
            (Setting::Then, "dense 3 to 2, tanh, normalize", true),
            (Setting::Then, "dense 3 to 2, tanh", false),
            (Setting::Normalize, "yes", false),
        ] {
            let decision = Decision::new(what, value, "modules.json");
            assert_eq!(decision.normalizes(), normalizes, "{value}");
        }
        let mut spec = EncoderSpec::default();
        assert!(!spec.normalizes());
        spec.modules.push(Module::Normalize);
        assert!(spec.normalizes());
    }
}
