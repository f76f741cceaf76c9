//! From what was typed to a model that is read: a path, a hub id, a built-in name, or the address
//! of a server.
//!
//! [`read`] finds the model, applies the table of `korfinsts.toml` and the rules of a protocol,
//! and gives an [`EncoderSpec`], which [`EncoderSpec::open`] opens. Nothing is printed: what a user
//! may want to know on the way goes to [`ModelOptions::notes`].

mod notes;
mod source;

use std::path::PathBuf;
use std::sync::Arc;

pub use self::notes::{Note, Notes};
pub use self::source::{Found, find, find_tokenizer};
use crate::backend::{self, OpenOptions};
use crate::endpoint::{Endpoint, Wishes};
use crate::locate::{ModelSource, locate};
use crate::modules::Module;
use crate::pooling::Pooling;
use crate::protocol::{self, Prompting, Rules};
use crate::spec::{
    self, Attention, Decision, ModelTable, Overrides, Setting, WeightsFormat, model_tables,
};
use crate::{EncoderError, EncoderSpec};
use korfinsts_base::endpoint::Settings;
use korfinsts_base::fs;

/// How a model is found and read. The default leaves everything to the model.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    /// Name of the backend; `None` and `auto` take the first that runs the model.
    pub backend: Option<String>,
    /// `cpu`, `cuda` or `cuda:N`.
    pub device: Option<String>,
    /// Number type of the computation: `float32`, `float16`, `bfloat16`.
    pub dtype: Option<String>,
    /// Pooling modes, concatenated in order.
    pub pooling: Option<Vec<Pooling>>,
    /// Maximum length in tokens, special tokens included.
    pub max_tokens: Option<usize>,
    /// Direction of attention, where the architecture leaves it open.
    pub attention: Option<Attention>,
    /// Name of the ONNX output to read.
    pub onnx_output: Option<String>,
    /// Values of ONNX inputs that no text gives, each as `NAME=VALUE`.
    pub onnx_inputs: Option<Vec<String>>,
    /// Name of the protocol, from [`protocol::all`]; `None` is [`protocol::DEFAULT`].
    pub protocol: Option<String>,
    /// Prompt before every text, in place of the protocol's.
    pub prompt: Option<String>,
    /// Name of one of the model's own prompts; `prompt` wins over it.
    pub prompt_name: Option<String>,
    /// Prompt before the second text of a pair, where it differs from `prompt`.
    pub prompt2: Option<String>,
    /// Makes every guess about the model an error.
    pub strict: bool,
    /// File whose `[models."<name>"]` tables name models and their settings; one that does not
    /// exist is empty.
    pub configuration: Option<PathBuf>,
    /// Requests at once, for endpoints.
    pub concurrency: Option<usize>,
    /// Whether the network must not be used.
    pub offline: bool,
    /// How the network will be opened. A built-in encoder is unpacked below its data home.
    pub open: OpenOptions,
    /// Who is told what happens while the model is found.
    pub notes: Notes,
}

/// A model that was read, not yet opened.
#[derive(Debug, Clone)]
pub struct ReadModel {
    /// What is known of it.
    pub spec: EncoderSpec,
    /// The prompts, and how the cosine is computed.
    pub prompting: Prompting,
}

/// Reads a model: a path, a hub id, a built-in name, or an address.
///
/// # Errors
/// When the model cannot be found or read, has no prompt of the name asked for, or is behind a
/// server that cannot be told what was asked for.
pub fn read(source: &str, options: &ModelOptions) -> Result<ReadModel, EncoderError> {
    let table = options.table(source)?;
    let source = table.source.clone().unwrap_or_else(|| source.to_owned());
    if let ModelSource::Endpoint(address) = locate(&source) {
        return options.read_endpoint(&address, table);
    }
    let backend = options.backend.as_ref().or(table.backend.as_ref());
    let backend = backend.and_then(|name| backend::find(name));
    let weights = backend.map_or(WeightsFormat::Onnx, |backend| backend.reads[0]);
    let found = find(&source, weights, options)?;
    let name = found
        .identity
        .as_ref()
        .map_or(source.trim_end_matches('/'), |(id, _)| id);
    let rules = protocol::rules(options.protocol(), name)?;
    let pooling = match (&options.pooling, &rules.pooling) {
        (Some(modes), _) => Some(modes.clone()),
        (None, Some(names)) => Some(Pooling::list(names)?),
        (None, None) => None,
    };
    let overrides = Overrides {
        backend: options.backend.clone().filter(|b| b != "auto"),
        device: options.device.clone(),
        dtype: options.dtype.clone(),
        pooling,
        max_tokens: options.max_tokens.or(rules.max_tokens),
        attention: options.attention,
        onnx_output: options.onnx_output.clone(),
        onnx_inputs: options.onnx_inputs.clone(),
        strict: options.strict,
        table,
        ..options.overrides(&found)
    };
    let mut spec = spec::read(&found.path, &overrides)?;
    options.apply(&rules, &mut spec);
    options.finish(spec, &rules)
}

/// Reads a model whose files are needed, with the defaults for everything but where it is found.
///
/// # Errors
/// As [`find`], and when a file of the model is wrong.
pub fn read_files(source: &str, options: &ModelOptions) -> Result<EncoderSpec, EncoderError> {
    let found = find(source, WeightsFormat::Onnx, options)?;
    spec::read(&found.path, &options.overrides(&found))
}

/// Reads a model that can be trained: safetensors, even where an ONNX graph is in the same
/// folder. Of the options only the pooling and where it is found are used.
///
/// # Errors
/// As [`read_files`], and when the model has no safetensors.
pub fn read_trainable(source: &str, options: &ModelOptions) -> Result<EncoderSpec, EncoderError> {
    let found = find(source, WeightsFormat::Safetensors, options)?;
    let overrides = |backend: Option<&str>| Overrides {
        backend: backend.map(str::to_owned),
        pooling: options.pooling.clone(),
        ..options.overrides(&found)
    };
    if let Ok(spec) = spec::read(&found.path, &overrides(None))
        && ["candle", "static"].contains(&spec.backend)
    {
        return Ok(spec);
    }
    spec::read(&found.path, &overrides(Some("candle")))
}

impl ModelOptions {
    fn protocol(&self) -> &str {
        self.protocol.as_deref().unwrap_or(protocol::DEFAULT)
    }

    /// The folder for built-in encoders that are unpacked: the one named, or the platform's.
    fn data_home(&self) -> Result<PathBuf, EncoderError> {
        let named = self.open.data_home.clone();
        named
            .or_else(fs::data_home)
            .ok_or_else(|| EncoderError::Unsupported {
                what: "no home folder found".into(),
                hint: Some("name one with `--data DIR`".into()),
            })
    }

    /// The table of a model in the configuration, where there is one.
    fn table(&self, name: &str) -> Result<ModelTable, EncoderError> {
        match &self.configuration {
            Some(path) if fs::exists(path) => {
                Ok(model_tables(path)?.remove(name).unwrap_or_default())
            }
            _ => Ok(ModelTable::default()),
        }
    }

    fn overrides(&self, found: &Found) -> Overrides {
        Overrides {
            identity: found.identity.clone(),
            adapters: Some(found.adapters.clone()),
            open: self.open.clone(),
            ..Overrides::default()
        }
    }

    /// Asks a server what it is.
    fn read_endpoint(&self, address: &str, table: ModelTable) -> Result<ReadModel, EncoderError> {
        if self.offline {
            return Err(EncoderError::Unsupported {
                what: "an endpoint needs the network".into(),
                hint: Some("leave `--offline` out, or evaluate a model on disk".into()),
            });
        }
        self.refuse_what_a_server_decides(&table)?;
        let mut settings = Settings::default();
        settings.concurrency = self.concurrency.unwrap_or(settings.concurrency);
        let environment = |name: &str| std::env::var(name).ok();
        let endpoint = Arc::new(Endpoint::open(address, settings, environment)?);
        let rules = protocol::rules(self.protocol(), &endpoint.model)?;
        let wishes = Wishes {
            strict: self.strict,
            similarity: table.similarity,
            prompts: table.prompts,
            default_prompt_name: table.default_prompt_name,
        };
        self.finish(endpoint.spec(&rules, wishes)?, &rules)
    }

    /// Options and settings that a server cannot be told.
    fn refuse_what_a_server_decides(&self, table: &ModelTable) -> Result<(), EncoderError> {
        let given = [
            (
                "--backend",
                self.backend.is_some() || table.backend.is_some(),
            ),
            ("--device", self.device.is_some() || table.device.is_some()),
            ("--dtype", self.dtype.is_some() || table.dtype.is_some()),
            (
                "--pooling",
                self.pooling.is_some() || table.pooling.is_some(),
            ),
            (
                "--max-tokens",
                self.max_tokens.is_some() || table.max_tokens.is_some(),
            ),
            (
                "--attention",
                self.attention.is_some() || table.attention.is_some(),
            ),
            (
                "--onnx-output",
                self.onnx_output.is_some() || table.onnx_output.is_some(),
            ),
            (
                "--onnx-input",
                self.onnx_inputs.is_some() || table.onnx_inputs.is_some(),
            ),
            ("normalize", table.normalize.is_some()),
            ("end_token", table.end_token.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((name, _)) => Err(EncoderError::Unsupported {
                what: format!("`{name}` is decided by the server of an endpoint"),
                hint: Some(
                    "leave it out, or start the server with the setting it has for this".into(),
                ),
            }),
        }
    }

    /// Names the protocol as the source of what it decided, and applies what no override can say.
    fn apply(&self, rules: &Rules, spec: &mut EncoderSpec) {
        let source = format!("protocol `{}`", self.protocol());
        for (what, by_rule) in [
            (
                Setting::Pooling,
                self.pooling.is_none() && rules.pooling.is_some(),
            ),
            (
                Setting::MaxTokens,
                self.max_tokens.is_none() && rules.max_tokens.is_some(),
            ),
        ] {
            let decided = spec.decisions.iter_mut().find(|d| d.what == what);
            if let Some(decision) = decided.filter(|_| by_rule) {
                decision.source.clone_from(&source);
            }
        }
        for module in &mut spec.modules {
            if let Module::Pooling { include_prompt, .. } = module
                && let Some(include) = rules.include_prompt
                && *include_prompt != include
            {
                *include_prompt = include;
                let value = if include {
                    "pooled"
                } else {
                    "left out of the pooling"
                };
                spec.decisions
                    .push(Decision::new(Setting::PromptTokens, value, source.clone()));
            }
        }
    }

    /// Adds the protocol's note and the prompts.
    fn finish(&self, mut spec: EncoderSpec, rules: &Rules) -> Result<ReadModel, EncoderError> {
        spec.warnings.extend(rules.note.clone());
        let first = match (&self.prompt, &self.prompt_name) {
            (Some(prompt), _) => Some(prompt.clone()),
            (None, Some(name)) => Some(own_prompt(&spec, name)?),
            (None, None) => None,
        };
        let (protocol, prompts) = match first {
            Some(first) => {
                let second = self.prompt2.clone().unwrap_or_else(|| first.clone());
                (protocol::CUSTOM, [first, second])
            }
            None => {
                let default = spec.default_prompt_name.as_deref();
                let prompt = rules.resolve_prompt(&spec.prompts, default);
                (self.protocol(), [prompt.clone(), prompt])
            }
        };
        let prompting = Prompting {
            protocol: protocol.to_owned(),
            prompts,
            float32_cosine: rules.float32_cosine,
        };
        Ok(ReadModel { spec, prompting })
    }
}

/// The model's own prompt of that name.
fn own_prompt(spec: &EncoderSpec, name: &str) -> Result<String, EncoderError> {
    spec.prompts
        .get(name)
        .cloned()
        .ok_or_else(|| EncoderError::Unsupported {
            what: format!("`{}` has no prompt named `{name}`", spec.name),
            hint: Some(match spec.prompts.keys().collect::<Vec<_>>().as_slice() {
                [] => "the model names no prompts: give one with `--prompt TEXT`".into(),
                names => {
                    let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
                    format!("it has {}", names.join(", "))
                }
            }),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_encoder_is_read_with_the_defaults_and_opened() {
        let home = tempfile::tempdir().expect("a folder");
        let options = ModelOptions {
            offline: true,
            open: OpenOptions {
                data_home: Some(home.path().to_owned()),
                ..OpenOptions::default()
            },
            ..ModelOptions::default()
        };
        let model = read(crate::built_in::DEFAULT, &options).expect("it is built in");
        assert_eq!(model.prompting.protocol, protocol::DEFAULT);
        assert_eq!(model.prompting.prompts, ["", ""]);
        let encoder = model.spec.open(&options.open).expect("it opens");
        let text = encoder.prepare("금리가 올랐다", "").expect("a text");
        assert_eq!(encoder.encode(&[&text]).expect("encoded").rows(), 1);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_hint() {
        let offline = ModelOptions {
            offline: true,
            ..ModelOptions::default()
        };
        let device = ModelOptions {
            device: Some("cuda".into()),
            ..ModelOptions::default()
        };
        for (options, says) in [(&offline, "network"), (&device, "`--device`")] {
            let error = read("tei:http://127.0.0.1:1", options).expect_err("refused");
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.hint().is_some());
        }
        let error = read_files("tei:http://127.0.0.1:1", &offline).expect_err("an address");
        assert!(error.to_string().contains("is an endpoint"), "{error}");
    }
}
