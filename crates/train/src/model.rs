//! A model whose tensors train: the same networks as inference, built of operations with a
//! gradient, and the modules behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::error::computing;
use super::head::{self, HeadModule};
use super::optim::Parameter;
use super::{TrainError, bag};
use korfinsts_encoder::modules::Module;
use korfinsts_encoder::tokenizer::{EncodeOptions, Tokenizer};
use korfinsts_encoder::{EncoderError, EncoderSpec, PreparedText, TokenBatch, family};
use korfinsts_nn::architecture::{self, BuildInput, Prepared, Transformer};
use korfinsts_nn::config::Config;
use korfinsts_nn::dropout::Draws;
use korfinsts_nn::ops::Mode;
use korfinsts_nn::safetensors::Checkpoint;
use korfinsts_nn::weights::{Lora, Weights};

/// What of a model trains, and in which numbers.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// Number type of the parameters.
    pub dtype: DType,
    /// Number type of the matrix multiplications, where it differs.
    pub matmul: Option<DType>,
    /// Where it trains.
    pub device: Device,
    /// Longest text in tokens, where it is shorter than the model's.
    pub max_tokens: Option<usize>,
    /// Parameters whose names begin with one of these stay as they are.
    pub freeze: Vec<String>,
    /// Whether weight decay acts on every parameter, not on matrices alone.
    pub decay_all: bool,
    /// Low-rank adapters in place of the weights of linear layers.
    pub lora: Option<Lora>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            dtype: DType::F32,
            matmul: None,
            device: Device::Cpu,
            max_tokens: None,
            freeze: Vec::new(),
            decay_all: false,
            lora: None,
        }
    }
}

/// What turns tokens into states, or into sentence vectors at once.
enum Body {
    Transformer(Box<dyn Transformer>),
    /// A table `[tokens, dimension]` whose rows are averaged.
    Table(Tensor),
}

/// A model that trains.
pub struct Model {
    spec: EncoderSpec,
    tokenizer: Arc<Tokenizer>,
    body: Body,
    head: Vec<HeadModule>,
    parameters: Vec<Parameter>,
    options: ModelOptions,
    draws: Arc<Draws>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.spec.name)
            .field("parameters", &self.parameters.len())
            .finish_non_exhaustive()
    }
}

/// A text for the model, and the layers' inputs of one batch, for recomputing.
pub(super) struct Layers<'a> {
    pub transformer: &'a dyn Transformer,
    pub prepared: Prepared,
}

impl Model {
    /// Opens the model that `spec` describes, with its tensors as variables.
    ///
    /// # Errors
    /// When the weights are ONNX, damaged, or do not fit their configuration.
    pub fn open(spec: &EncoderSpec, options: ModelOptions) -> Result<Self, TrainError> {
        let tokenizer = spec
            .tokenizer
            .clone()
            .ok_or_else(|| EncoderError::Missing {
                folder: spec.folder.clone(),
                what: "the tokenizer".into(),
                hint: None,
            })?;
        if spec.llm2vec.is_some() {
            return Err(EncoderError::Unsupported {
                what: format!(
                    "`{}` prepares and pools texts as llm2vec does, which neither a checkpoint nor a \
                     graph can say",
                    spec.name
                ),
                hint: Some(
                    "`korfinsts eval` runs it as it is; to train it, give it a `modules.json` with \
                     the pooling that the new model is to have"
                        .into(),
                ),
            }
            .into());
        }
        let mut draws = Arc::default();
        let (body, mut variables) = match spec.backend {
            "static" => table(spec, &options)?,
            "candle" => transformer(spec, &options, &mut draws)?,
            other => {
                return Err(EncoderError::Unsupported {
                    what: format!(
                        "`{}` would run on backend `{other}`, which does not train",
                        spec.name
                    ),
                    hint: Some("training starts from `model.safetensors`".into()),
                }
                .into());
            }
        };
        let mut head = Vec::new();
        for (i, module) in spec.modules.iter().enumerate() {
            head.push(head_module(module, i + 1, &options, &mut variables)?);
        }
        let frozen = |name: &str| {
            options
                .freeze
                .iter()
                .any(|prefix| name.starts_with(prefix.as_str()))
        };
        let parameters = variables
            .into_iter()
            .filter(|(name, _)| !frozen(name))
            .map(|(name, variable)| Parameter {
                decays: options.decay_all || decays(&name, &variable),
                name,
                variable,
            })
            .collect();
        Ok(Self {
            spec: spec.clone(),
            tokenizer,
            body,
            head,
            parameters,
            options,
            draws,
        })
    }

    /// What is known of the model it started from.
    #[must_use]
    pub fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    /// What trains.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameter of that name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name == name)
    }

    /// How it was opened.
    #[must_use]
    pub fn options(&self) -> &ModelOptions {
        &self.options
    }

    /// What dropout draws for; outside of a step, nothing is dropped.
    #[must_use]
    pub fn draws(&self) -> &Draws {
        &self.draws
    }

    /// Number of trainable values.
    #[must_use]
    pub fn size(&self) -> usize {
        self.parameters
            .iter()
            .map(|p| p.variable.elem_count())
            .sum()
    }

    /// The row of the word table that never has a gradient, with the table's name: that of the
    /// padding id, as `torch.nn.Embedding` with a `padding_idx` has it. It matters where the same id
    /// ends every text (Mistral, Qwen2).
    pub(super) fn still_row(&self) -> Option<(&str, u32)> {
        if family::of(&self.spec.architecture).trains_padding {
            return None;
        }
        let id = self.spec.config.get("pad_token_id")?.as_u64()?;
        let name = self.parameters.iter().map(|p| p.name.as_str()).find(|n| {
            ["embed_tokens", "word_embeddings", "tok_embeddings"]
                .iter()
                .any(|table| {
                    n.strip_suffix(".weight")
                        .is_some_and(|n| n.ends_with(table))
                })
        })?;
        Some((name, u32::try_from(id).ok()?))
    }

    /// Longest text in tokens, special tokens included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        let wanted = self.options.max_tokens.unwrap_or(usize::MAX);
        self.spec.max_tokens.min(wanted)
    }

    /// Prompts, tokenises and truncates a text, as evaluation does.
    ///
    /// # Errors
    /// When the tokenizer fails on the text.
    pub fn prepare(&self, text: &str, prompt: &str) -> Result<PreparedText, TrainError> {
        let options = EncodeOptions {
            prompt,
            max_tokens: self.max_tokens(),
            add_special_tokens: self.spec.add_special_tokens,
            append: self.spec.append_token,
            drop_unknown: self.spec.drop_unknown,
            max_characters: self.spec.max_characters,
        };
        let mut prepared = self.tokenizer.encode(text, &options)?;
        if !prompt.is_empty() {
            prepared.prompt_tokens = self.tokenizer.prompt_tokens(&options)?;
        }
        prepared.prompt_tokens = prepared.prompt_tokens.min(prepared.ids.len());
        Ok(prepared)
    }

    /// A batch of texts.
    #[must_use]
    pub fn batch(&self, texts: &[&PreparedText]) -> TokenBatch {
        let spec = &self.spec;
        let leave_prompt_out = spec.leaves_prompt_out();
        let mut batch = TokenBatch::pad(texts, spec.pad_id, spec.padding_side, leave_prompt_out);
        // The id of padding may have no row; it is masked anyway.
        for (id, &mask) in batch.ids.iter_mut().zip(&batch.mask) {
            *id *= u32::from(mask);
        }
        batch
    }

    /// Whether it has layers whose values dropout can drop.
    pub(super) fn has_layers(&self) -> bool {
        matches!(self.body, Body::Transformer(_))
    }

    /// Embeddings `[rows, dimension]` of a batch, with a gradient.
    ///
    /// # Errors
    /// When an id has no row, or the device fails.
    pub fn forward(&self, batch: &TokenBatch) -> candle_core::Result<Tensor> {
        match &self.body {
            Body::Transformer(transformer) => self.finish(&transformer.states(batch)?, batch),
            Body::Table(table) => behind(bag::mean(table, batch)?, &self.head),
        }
    }

    /// The layers of the network, where it has some, prepared for a batch.
    pub(super) fn layers(&self, batch: &TokenBatch) -> candle_core::Result<Option<Layers<'_>>> {
        match &self.body {
            Body::Transformer(transformer) => Ok(Some(Layers {
                transformer: transformer.as_ref(),
                prepared: transformer.prepare(batch)?,
            })),
            Body::Table(_) => Ok(None),
        }
    }

    /// From token states to embeddings.
    pub(super) fn finish(
        &self,
        states: &Tensor,
        batch: &TokenBatch,
    ) -> candle_core::Result<Tensor> {
        match self.head.split_first() {
            Some((HeadModule::Pooling(modes), rest)) => {
                behind(head::pool(modes, states, batch)?, rest)
            }
            _ => Err(candle_core::Error::Msg(
                "the network gives token states, and the model names no pooling".into(),
            )),
        }
    }
}

fn behind(mut x: Tensor, modules: &[HeadModule]) -> candle_core::Result<Tensor> {
    for module in modules {
        x = module.apply(&x)?;
    }
    Ok(x)
}

/// Matrices decay; biases and the scales of normalisations do not.
fn decays(name: &str, variable: &Var) -> bool {
    variable.rank() > 1 && !name.ends_with(".bias")
}

type Opened = (Body, BTreeMap<String, Var>);

fn transformer(
    spec: &EncoderSpec,
    options: &ModelOptions,
    draws: &mut Arc<Draws>,
) -> Result<Opened, TrainError> {
    let path = &spec.config_path;
    let checkpoint = spec.checkpoint()?;
    let mut weights = Weights::new(
        &checkpoint,
        &options.device,
        options.dtype,
        Mode::Differentiable,
    );
    if let Some(matmul) = options.matmul {
        weights.multiply_in(matmul);
    }
    if let Some(lora) = &options.lora {
        weights.adapt(lora.clone());
    }
    *draws = weights.draws();
    let transformer = architecture::open(
        &BuildInput {
            config: Config::new(&spec.config, path),
            causal: spec.causal,
        },
        &mut weights,
    )?;
    Ok((Body::Transformer(transformer), weights.into_variables()))
}

/// Name of the table of a static embedding.
pub(super) const TABLE: &str = "embedding.weight";

fn table(spec: &EncoderSpec, options: &ModelOptions) -> Result<Opened, TrainError> {
    let checkpoint = Checkpoint::open(&spec.weights)?;
    let Some(found) = checkpoint.get(TABLE) else {
        return Err(EncoderError::Invalid {
            path: checkpoint.path(),
            reason: format!("the tensor `{TABLE}` is missing; a static model trains in the layout of sentence-transformers only"),
            hint: None,
        }
        .into());
    };
    let &[rows, dimension] = found.shape else {
        return Err(EncoderError::Invalid {
            path: checkpoint.path(),
            reason: format!("the tensor `{TABLE}` has the shape {:?}", found.shape),
            hint: None,
        }
        .into());
    };
    let weights = Weights::new(
        &checkpoint,
        &options.device,
        options.dtype,
        Mode::Differentiable,
    );
    let table = weights.tensor(TABLE, &[rows, dimension])?;
    Ok((Body::Table(table), weights.into_variables()))
}

/// Name of a tensor of the module at `idx`.
pub(super) fn module_tensor(idx: usize, kind: &str, tensor: &str) -> String {
    format!("{idx}_{kind}.{tensor}")
}

fn head_module(
    module: &Module,
    idx: usize,
    options: &ModelOptions,
    variables: &mut BTreeMap<String, Var>,
) -> Result<HeadModule, TrainError> {
    let mut variable = |name: String, values: &[f32], shape: &[usize]| {
        let tensor = Tensor::from_slice(values, shape, &Device::Cpu)
            .and_then(|t| t.to_dtype(options.dtype)?.to_device(&options.device))
            .and_then(|t| Var::from_tensor(&t))
            .map_err(computing("reading a module"))?;
        let inner = tensor.as_tensor().clone();
        variables.insert(name, tensor);
        Ok::<_, TrainError>(inner)
    };
    Ok(match module {
        Module::Pooling { modes, .. } => HeadModule::Pooling(modes.clone()),
        Module::Normalize => HeadModule::Normalize,
        Module::Dense {
            weight,
            bias,
            in_features,
            out_features,
            activation,
        } => HeadModule::Dense {
            weight: variable(
                module_tensor(idx, "Dense", "linear.weight"),
                weight,
                &[*out_features, *in_features],
            )?,
            bias: match bias {
                Some(bias) => Some(variable(
                    module_tensor(idx, "Dense", "linear.bias"),
                    bias,
                    &[*out_features],
                )?),
                None => None,
            },
            activation: *activation,
        },
        Module::LayerNorm {
            weight,
            bias,
            epsilon,
        } => head::layer_norm(
            variable(
                module_tensor(idx, "LayerNorm", "norm.weight"),
                weight,
                &[weight.len()],
            )?,
            variable(
                module_tensor(idx, "LayerNorm", "norm.bias"),
                bias,
                &[bias.len()],
            )?,
            *epsilon,
        ),
    })
}
