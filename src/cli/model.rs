//! Flags that say which model is read and how: shared by `eval`, `encode` and `verify`.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;

use super::Global;
use korfinsts_encoder::backend::device::Device;
use korfinsts_encoder::backend::{BACKENDS, OpenOptions};
use korfinsts_encoder::open::{self, ModelOptions, Note, Notes, ReadModel};
use korfinsts_encoder::pooling::Pooling;
use korfinsts_encoder::protocol::{self, Prompting};
use korfinsts_encoder::spec::{Attention, WeightsFormat};
use korfinsts_encoder::{EncoderError, EncoderSpec};

/// File in the working folder whose `[models."<name>"]` tables name models and their settings.
const CONFIGURATION: &str = "korfinsts.toml";

/// How a model is read and run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Runtime of the model; `auto` takes ONNX Runtime where its library is found, else rten
    #[arg(long, value_name = "NAME", value_parser = backends())]
    backend: Option<String>,
    /// Device: `cpu`, `cuda` or `cuda:N` [default: cpu]
    #[arg(long, value_parser = device)]
    device: Option<String>,
    /// Number type of the computation, for safetensors
    #[arg(long, value_parser = ["float32", "float16", "bfloat16"])]
    dtype: Option<String>,
    /// How token states become one embedding: cls, max, mean, `mean_sqrt_len_tokens`,
    /// weightedmean, lasttoken
    #[arg(long, value_name = "MODE")]
    pooling: Option<String>,
    /// Maximum length in tokens, special tokens included
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Attention, where the architecture does not fix it
    #[arg(long, value_parser = ["causal", "bidirectional"])]
    attention: Option<String>,
    /// ONNX output to read
    #[arg(long, value_name = "NAME")]
    onnx_output: Option<String>,
    /// Value of an ONNX input that no text gives, such as `task_id=3`; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    onnx_input: Option<Vec<String>>,
    /// Rules for prompts, lengths and pooling: those of the model (native), none (raw), or those of
    /// a benchmark
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
    /// Stop with an error where a setting of the model has to be guessed
    #[arg(long)]
    strict: bool,
    #[arg(
        long,
        value_name = "PATH",
        help = "ONNX Runtime library to load [env: ORT_DYLIB_PATH]"
    )]
    onnxruntime: Option<PathBuf>,
    /// Number of requests at the same time, for endpoints
    #[arg(long, value_name = "N", default_value_t = 8)]
    concurrency: usize,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

fn backends() -> Vec<&'static str> {
    let mut names = vec!["auto"];
    names.extend(BACKENDS.iter().map(|b| b.name));
    names
}

fn protocols() -> Vec<&'static str> {
    protocol::all().iter().map(|p| p.name.as_str()).collect()
}

/// A name of a device, as it was typed.
///
/// # Errors
/// When there is no such device.
pub fn device(name: &str) -> Result<String, EncoderError> {
    Device::parse(name).map(|_| name.to_owned())
}

/// What the flags of every subcommand say about models: where they are looked for, and that what
/// happens on the way is noted on stderr.
///
/// # Errors
/// When the platform names no home folder and no flag was given.
pub fn options(global: &Global) -> anyhow::Result<ModelOptions> {
    let told = global.clone();
    Ok(ModelOptions {
        offline: global.offline,
        open: OpenOptions {
            data_home: Some(global.data_home()?),
            ..OpenOptions::default()
        },
        notes: Notes::new(move |note| match note {
            Note::Text(line) => told.note(line),
            Note::Download { file, bytes } => {
                let size = bytes.map_or_else(String::new, |n| HumanBytes(n).to_string());
                told.note(&format!("downloading {file} {size}"));
            }
        }),
        ..ModelOptions::default()
    })
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

    /// Reads a model and its prompts, and notes on stderr how it was read.
    ///
    /// # Errors
    /// When the model cannot be found or read, or has no prompt of the name asked for.
    pub fn read(&self, source: &str, global: &Global) -> anyhow::Result<(EncoderSpec, Prompting)> {
        let ReadModel { spec, prompting } = open::read(source, &self.options(global)?)?;
        if spec.format == WeightsFormat::Onnx && spec.device == "cpu" {
            crate::guard::no_more_memory_than_is_free();
        }
        global.note(&settings(&spec, &prompting, global.verbose));
        Ok((spec, prompting))
    }

    fn options(&self, global: &Global) -> anyhow::Result<ModelOptions> {
        Ok(ModelOptions {
            backend: self.backend.clone(),
            device: self.device.clone(),
            dtype: self.dtype.clone(),
            pooling: self.pooling.as_deref().map(Pooling::list).transpose()?,
            max_tokens: self.max_tokens,
            attention: self.attention.as_deref().and_then(Attention::parse),
            onnx_output: self.onnx_output.clone(),
            onnx_inputs: self.onnx_input.clone(),
            protocol: Some(self.protocol.clone()),
            prompt: self.prompt.clone(),
            prompt_name: self.prompt_name.clone(),
            prompt2: self.prompt2.clone(),
            strict: self.strict,
            configuration: Some(CONFIGURATION.into()),
            concurrency: Some(self.concurrency),
            open: self.open_options(global)?,
            ..options(global)?
        })
    }
}

/// Settings that the line of a model names.
const MAIN: [&str; 4] = ["backend", "pooling", "max tokens", "prompt"];

/// How a model is read: a line with the main settings or, where `all` are asked for, a block of
/// each setting with its value and source; and the warnings.
fn settings(spec: &EncoderSpec, prompting: &Prompting, all: bool) -> String {
    let decided = spec.decisions.iter();
    let mut rows: Vec<(&str, &str, &str)> = decided
        .map(|d| (d.what.name(), d.value.as_str(), d.source.as_str()))
        .collect();
    let prompt = match &prompting.prompts {
        [a, b] if a == b && a.is_empty() => "none".to_owned(),
        [a, b] if a == b => format!("{a:?} before both texts"),
        [a, b] => format!("{a:?} before sentence1, {b:?} before sentence2"),
    };
    let source = format!("protocol `{}`", prompting.protocol);
    rows.push(("prompt", &prompt, &source));
    let width = rows.iter().map(|r| r.0.len()).max().unwrap_or(0);
    let values = rows
        .iter()
        .map(|r| r.1.chars().count())
        .max()
        .unwrap_or(0)
        .min(44);
    let mut out = spec.name.clone();
    if all {
        for (what, value, source) in rows {
            out.push_str(&format!("\n  {what:width$}  {value:values$}  ({source})"));
        }
    } else {
        let main = rows.iter().filter(|row| MAIN.contains(&row.0));
        let main: Vec<String> = main
            .map(|(what, value, _)| match *what {
                "backend" | "pooling" => (*value).to_owned(),
                _ => format!("{what} {value}"),
            })
            .collect();
        out.push_str(&format!(": {}", main.join(", ")));
    }
    out.push('\n');
    for warning in &spec.warnings {
        out.push_str(&format!("  warning: {warning}\n"));
    }
    out.trim_end().to_owned()
}
