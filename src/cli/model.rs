//! Flags that say which model is read and how: shared by `eval` and `encode`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::{CliError, Global, source};
use korfinsts_base::endpoint::Settings;
use korfinsts_base::fs;
use korfinsts_bench::run::evaluate::Prompting;
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::endpoint::{Endpoint, Wishes};
use korfinsts_encoder::locate::{ModelSource, locate};
use korfinsts_encoder::modules::Module;
use korfinsts_encoder::pooling::Pooling;
use korfinsts_encoder::protocol::{self, Rules};
use korfinsts_encoder::spec::{
    Attention, Decision, EncoderSpec, ModelTable, Overrides, model_tables, read,
};

/// File in the working folder whose `[models."<name>"]` tables name models and their settings.
const CONFIGURATION: &str = "korfinsts.toml";

/// How a model is read and run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "How the model is read")]
pub struct ModelArgs {
    /// What runs the model; `auto` takes ONNX Runtime where its library is found, else rten
    #[arg(long, value_name = "NAME", value_parser = backends())]
    backend: Option<String>,
    /// `cpu` or `cuda` [default: cpu]
    #[arg(long, value_parser = ["cpu", "cuda"])]
    device: Option<String>,
    /// Number type of the computation, for safetensors
    #[arg(long, value_parser = ["float32", "float16", "bfloat16"])]
    dtype: Option<String>,
    /// cls, max, mean, `mean_sqrt_len_tokens`, weightedmean, lasttoken
    #[arg(long, value_name = "MODE")]
    pooling: Option<String>,
    /// Maximum length in tokens, special tokens included
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// causal or bidirectional, where the architecture leaves it open
    #[arg(long, value_parser = ["causal", "bidirectional"])]
    attention: Option<String>,
    /// ONNX output to read
    #[arg(long, value_name = "NAME")]
    onnx_output: Option<String>,
    /// Prompts, lengths and pooling as a named set of rules
    #[arg(long, default_value = protocol::DEFAULT, value_parser = protocols())]
    protocol: String,
    /// Prompt before every text
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_name")]
    prompt: Option<String>,
    /// One of the model's own prompts, by name
    #[arg(long, value_name = "NAME")]
    prompt_name: Option<String>,
    /// Prompt before `sentence2`, where it differs from that before `sentence1`
    #[arg(long, value_name = "TEXT", requires = "prompt")]
    prompt2: Option<String>,
    /// Make every guess about the model an error
    #[arg(long)]
    strict: bool,
    /// ONNX Runtime library to load
    #[arg(long, value_name = "PATH", env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
    /// Requests at once, for endpoints
    #[arg(long, value_name = "N", default_value_t = 8)]
    concurrency: usize,
    /// Threads in all [default: one per core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

fn backends() -> Vec<&'static str> {
    let mut names = vec!["auto"];
    names.extend(korfinsts_encoder::backend::BACKENDS.iter().map(|b| b.name));
    names
}

fn protocols() -> Vec<&'static str> {
    protocol::all().iter().map(|p| p.name.as_str()).collect()
}

impl ModelArgs {
    /// How a network is opened.
    ///
    /// # Errors
    /// When the platform names no home folder and no flag was given.
    pub fn open_options(&self, global: &Global) -> anyhow::Result<OpenOptions> {
        Ok(OpenOptions {
            threads: self.threads,
            onnxruntime: self.onnxruntime.clone(),
            data_home: Some(global.data_home()?),
        })
    }

    /// Whether `sentence2` was given a prompt of its own.
    #[must_use]
    pub fn has_second_prompt(&self) -> bool {
        self.prompt2.is_some()
    }

    /// These flags with what a submission says it was run with, wherever a flag says nothing else.
    #[must_use]
    pub fn as_submitted(
        &self,
        protocol: &str,
        dtype: Option<&str>,
        max_tokens: Option<usize>,
    ) -> Self {
        let mut flags = self.clone();
        if protocol::all().iter().any(|p| p.name == protocol) {
            protocol.clone_into(&mut flags.protocol);
        }
        let safetensors = matches!(dtype, Some("float32" | "float16" | "bfloat16"));
        if flags.dtype.is_none() && safetensors && flags.backend.as_deref() == Some("candle") {
            flags.dtype = dtype.map(ToOwned::to_owned);
        }
        flags.max_tokens = flags.max_tokens.or(max_tokens);
        flags
    }

    /// Reads a model and its prompts, and notes on stderr what was understood.
    ///
    /// # Errors
    /// When the model cannot be found or read, or has no prompt of the name asked for.
    pub fn read(&self, source: &str, global: &Global) -> anyhow::Result<(EncoderSpec, Prompting)> {
        let table = table(source)?;
        let source = table.source.clone().unwrap_or_else(|| source.to_owned());
        if let ModelSource::Endpoint(address) = locate(&source) {
            return self.read_endpoint(&address, table, global);
        }
        let backend = self.backend.clone().or_else(|| table.backend.clone());
        let onnx = !matches!(backend.as_deref(), Some("candle" | "static"));
        let found = source::find(&source, onnx, global)?;
        let name = found
            .identity
            .as_ref()
            .map_or(source.trim_end_matches('/'), |(id, _)| id);
        let rules = protocol::rules(&self.protocol, name)?;
        let overrides = self.overrides(&rules, table, found.identity.clone(), global)?;
        let mut spec = read(&found.path, &overrides)?;
        self.apply(&rules, &mut spec);
        spec.warnings.extend(rules.note.clone());
        let prompting = self.prompting(&spec, &rules)?;
        global.note(&understood(&spec, &prompting));
        Ok((spec, prompting))
    }

    /// Asks a server what it is, and notes on stderr what was understood.
    fn read_endpoint(
        &self,
        address: &str,
        table: ModelTable,
        global: &Global,
    ) -> anyhow::Result<(EncoderSpec, Prompting)> {
        if global.offline {
            let hint = "leave `--offline` out, or evaluate a model on disk";
            return Err(CliError::usage("an endpoint needs the network", hint).into());
        }
        self.refuse_what_a_server_decides(&table)?;
        let settings = Settings {
            concurrency: self.concurrency,
            ..Settings::default()
        };
        let endpoint = Arc::new(Endpoint::open(address, settings, |name| {
            std::env::var(name).ok()
        })?);
        let rules = protocol::rules(&self.protocol, &endpoint.model)?;
        let wishes = Wishes {
            strict: self.strict,
            similarity: table.similarity,
            prompts: table.prompts,
            default_prompt_name: table.default_prompt_name,
        };
        let mut spec = endpoint.spec(&rules, wishes)?;
        spec.warnings.extend(rules.note.clone());
        let prompting = self.prompting(&spec, &rules)?;
        global.note(&understood(&spec, &prompting));
        Ok((spec, prompting))
    }

    /// Flags and settings that a server cannot be told.
    fn refuse_what_a_server_decides(&self, table: &ModelTable) -> anyhow::Result<()> {
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
            ("normalize", table.normalize.is_some()),
            ("end_token", table.end_token.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((name, _)) => Err(CliError::usage(
                format!("`{name}` is decided by the server of an endpoint"),
                "leave it out, or start the server with the setting it has for this",
            )
            .into()),
        }
    }

    /// What a protocol decides beyond flags, and that it was the protocol.
    fn apply(&self, rules: &Rules, spec: &mut EncoderSpec) {
        let source = format!("protocol `{}`", self.protocol);
        for (what, by_rule) in [
            ("pooling", self.pooling.is_none() && rules.pooling.is_some()),
            (
                "max tokens",
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
                spec.decisions.push(Decision {
                    what: "prompt tokens".into(),
                    value: value.into(),
                    source: source.clone(),
                    guessed: false,
                });
            }
        }
    }

    fn overrides(
        &self,
        rules: &Rules,
        table: ModelTable,
        identity: Option<(String, String)>,
        global: &Global,
    ) -> anyhow::Result<Overrides> {
        let pooling = match self.pooling.as_ref().or(rules.pooling.as_ref()) {
            None => None,
            Some(names) => Some(
                names
                    .split(',')
                    .map(|name| {
                        Pooling::parse(name.trim()).ok_or_else(|| {
                            let found = format!("found pooling `{name}`");
                            CliError::usage(found, format!("allowed are {}", Pooling::names()))
                        })
                    })
                    .collect::<Result<Vec<_>, _>>()?,
            ),
        };
        Ok(Overrides {
            backend: self.backend.clone().filter(|b| b != "auto"),
            device: self.device.clone(),
            dtype: self.dtype.clone(),
            pooling,
            max_tokens: self.max_tokens.or(rules.max_tokens),
            attention: self.attention.as_deref().and_then(Attention::parse),
            onnx_output: self.onnx_output.clone(),
            strict: self.strict,
            identity,
            table,
            open: self.open_options(global)?,
            ..Overrides::default()
        })
    }

    fn prompting(&self, spec: &EncoderSpec, rules: &Rules) -> anyhow::Result<Prompting> {
        let by_hand = match (&self.prompt, &self.prompt_name) {
            (Some(prompt), _) => Some(prompt.clone()),
            (None, Some(name)) => Some(spec.prompts.get(name).cloned().ok_or_else(|| {
                let names: Vec<String> = spec.prompts.keys().map(|n| format!("`{n}`")).collect();
                CliError::usage(
                    format!("`{}` has no prompt named `{name}`", spec.name),
                    match names.as_slice() {
                        [] => "the model names no prompts: give one with `--prompt TEXT`".into(),
                        names => format!("it has {}", names.join(", ")),
                    },
                )
            })?),
            (None, None) => None,
        };
        let default = spec.default_prompt_name.as_deref();
        Ok(match by_hand {
            Some(first) => Prompting {
                protocol: protocol::CUSTOM.into(),
                prompts: [first.clone(), self.prompt2.clone().unwrap_or(first)],
                float32_cosine: rules.float32_cosine,
            },
            None => {
                let prompt = rules.resolve_prompt(&spec.prompts, default);
                Prompting {
                    protocol: self.protocol.clone(),
                    prompts: [prompt.clone(), prompt],
                    float32_cosine: rules.float32_cosine,
                }
            }
        })
    }
}

/// The table of a model in `korfinsts.toml`, where there is one.
fn table(name: &str) -> anyhow::Result<ModelTable> {
    let path = Path::new(CONFIGURATION);
    if !fs::exists(path) {
        return Ok(ModelTable::default());
    }
    Ok(model_tables(path)?.remove(name).unwrap_or_default())
}

/// The short block that says how a model was understood.
fn understood(spec: &EncoderSpec, prompting: &Prompting) -> String {
    let mut rows = spec.understood();
    let prompt = match &prompting.prompts {
        [a, b] if a == b && a.is_empty() => "none".to_owned(),
        [a, b] if a == b => format!("{a:?} before both texts"),
        [a, b] => format!("{a:?} before sentence1, {b:?} before sentence2"),
    };
    rows.push((
        "prompt".into(),
        prompt,
        format!("protocol `{}`", prompting.protocol),
    ));
    let width = rows.iter().map(|r| r.0.len()).max().unwrap_or(0);
    let values = rows
        .iter()
        .map(|r| r.1.chars().count())
        .max()
        .unwrap_or(0)
        .min(44);
    let mut out = format!("{}\n", spec.name);
    for (what, value, source) in rows {
        out.push_str(&format!("  {what:width$}  {value:values$}  ({source})\n"));
    }
    for warning in &spec.warnings {
        out.push_str(&format!("  warning: {warning}\n"));
    }
    out.trim_end().to_owned()
}
