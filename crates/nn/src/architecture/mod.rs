//! Transformer architectures: one file each, its `mod` line here, and its line in
//! [`ARCHITECTURES`].

mod bert;
mod deberta_v2;
mod decoder;
mod distilbert;
mod electra;
mod eurobert;
mod gemma3_text;
mod gte;
mod llama;
mod mistral;
pub mod modernbert;
mod mpnet;
mod nomic_bert;
mod qwen2;
mod qwen3;
mod roberta;
pub mod t5;

use std::cell::RefCell;
use std::collections::BTreeSet;

use candle_core::{Result, Tensor};

use super::config::Config;
use super::mask::Mask;
use super::ops::{Bias, Rotation, select};
use super::weights::Weights;
use crate::safetensors::Checkpoint;
use crate::{NnError, TokenBatch};

/// Builds a network from its configuration and weights.
pub type Build =
    fn(&BuildInput<'_>, &mut Weights<'_>) -> std::result::Result<Box<dyn Transformer>, NnError>;

/// What a network is built from, besides its weights.
#[derive(Debug, Clone, Copy)]
pub struct BuildInput<'a> {
    /// `config.json`.
    pub config: Config<'a>,
    /// Whether attention is causal, where the user or the model's folder decided it.
    pub causal: Option<bool>,
}

/// An architecture: its `model_type` names and how it is built.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// `model_type` in `config.json`.
    pub names: &'static [&'static str],
    /// Whether attention may be causal; where it may, it is unless told otherwise.
    pub causal: bool,
    /// Builds it.
    pub build: Build,
}

/// Every architecture.
pub static ARCHITECTURES: &[Architecture] = &[
    bert::ARCHITECTURE,
    roberta::ARCHITECTURE,
    mpnet::ARCHITECTURE,
    distilbert::ARCHITECTURE,
    modernbert::ARCHITECTURE,
    t5::ARCHITECTURE,
    mistral::ARCHITECTURE,
    qwen2::ARCHITECTURE,
    qwen3::ARCHITECTURE,
    llama::ARCHITECTURE,
    llama::BIDIRECTIONAL,
    gemma3_text::ARCHITECTURE,
    electra::ARCHITECTURE,
    deberta_v2::ARCHITECTURE,
    eurobert::ARCHITECTURE,
    gte::ARCHITECTURE,
    nomic_bert::ARCHITECTURE,
];

/// The architecture of that `model_type`.
///
/// # Errors
/// When there is none; the error lists those there are.
pub fn find(model_type: &str) -> std::result::Result<&'static Architecture, NnError> {
    ARCHITECTURES
        .iter()
        .find(|a| a.names.contains(&model_type))
        .ok_or_else(|| {
            let known: Vec<String> = ARCHITECTURES
                .iter()
                .flat_map(|a| a.names)
                .map(|n| format!("`{n}`"))
                .collect();
            NnError::Unsupported {
                what: format!(
                    "architecture `{model_type}` is not supported by backend `candle`, which \
                     knows {}",
                    known.join(", ")
                ),
                hint: Some("export the model to ONNX and evaluate its `model.onnx`".into()),
            }
        })
}

/// What one batch needs at every layer, computed once.
#[derive(Debug)]
pub struct Prepared {
    /// Token ids `[rows, width]`, u32.
    pub ids: Tensor,
    /// Positions `[rows, width]`, u32, for learned positions.
    pub positions: Option<Tensor>,
    /// The mask of layers with full attention.
    pub mask: Mask,
    /// The mask of layers with local attention.
    pub local_mask: Option<Mask>,
    /// The rotation of layers with full attention.
    pub rotation: Option<Rotation>,
    /// The rotation of layers with local attention.
    pub local_rotation: Option<Rotation>,
    /// Relative position bias, shared by the layers.
    pub bias: Option<Bias>,
}

impl Prepared {
    /// Rows of `table [vocabulary, hidden]` for the tokens of the batch, `[rows, width, hidden]`.
    ///
    /// # Errors
    /// When an id has no row or the device fails.
    pub fn words(&self, table: &Tensor) -> Result<Tensor> {
        let (rows, width) = self.ids.dims2()?;
        select(table, &self.ids.flatten_all()?)?.reshape((rows, width, table.dim(1)?))
    }

    /// A batch with ids and a mask only.
    #[must_use]
    pub fn new(ids: Tensor, mask: Mask) -> Self {
        Self {
            ids,
            positions: None,
            mask,
            local_mask: None,
            rotation: None,
            local_rotation: None,
            bias: None,
        }
    }
}

/// A transformer that turns token ids into token states, layer by layer, so that training can
/// recompute a layer instead of keeping it.
pub trait Transformer: Send + Sync {
    /// Number of token ids.
    fn vocabulary(&self) -> usize;

    /// Longest text in tokens, where positions are learned.
    fn max_tokens(&self) -> Option<usize>;

    /// Number of layers.
    fn layers(&self) -> usize;

    /// Prepares a batch.
    ///
    /// # Errors
    /// When the device fails.
    fn prepare(&self, batch: &TokenBatch) -> Result<Prepared>;

    /// The input of the first layer, `[rows, width, hidden]`.
    ///
    /// # Errors
    /// When the device fails.
    fn embed(&self, prepared: &Prepared) -> Result<Tensor>;

    /// The output of layer `index` for its input.
    ///
    /// # Errors
    /// When the device fails.
    fn layer(&self, index: usize, hidden: &Tensor, prepared: &Prepared) -> Result<Tensor>;

    /// The token states from the output of the last layer.
    ///
    /// # Errors
    /// When the device fails.
    fn finish(&self, hidden: Tensor) -> Result<Tensor>;

    /// Token states `[rows, width, hidden]` of a batch.
    ///
    /// # Errors
    /// When the device fails.
    fn states(&self, batch: &TokenBatch) -> Result<Tensor> {
        let prepared = self.prepare(batch)?;
        let mut hidden = self.embed(&prepared)?;
        for index in 0..self.layers() {
            hidden = self.layer(index, &hidden, &prepared)?;
        }
        self.finish(hidden)
    }
}

/// Builds the network that `config.json` names.
///
/// # Errors
/// When the architecture is not supported, configuration and tensors do not belong together, or
/// [`isa::VARIABLE`](crate::isa::VARIABLE) names no instruction set.
pub fn open(
    input: &BuildInput<'_>,
    weights: &mut Weights<'_>,
) -> std::result::Result<Box<dyn Transformer>, NnError> {
    crate::isa::cap()?;
    let Some(model_type) = input.config.text("model_type")? else {
        return Err(input.config.error("`model_type` is missing".into()));
    };
    if let Some(found) = input.config.get("quantization_config") {
        return Err(input.config.invalid(
            "quantization_config",
            found,
            "weights that are not quantised",
        ));
    }
    let architecture = find(model_type)?;
    if input.causal == Some(true) && !architecture.causal {
        return Err(NnError::Unsupported {
            what: format!(
                "architecture `{model_type}` attends to both sides: attention cannot be causal"
            ),
            hint: Some("leave `--attention` out".into()),
        });
    }
    (architecture.build)(input, weights)
}

/// What a network takes from its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Keys of `config.json` that were asked for, those of nested objects among them.
    pub keys: BTreeSet<String>,
    /// Tensors of the checkpoint.
    pub tensors: BTreeSet<String>,
}

/// What the network that `config.json` names takes from its files; no value of a tensor is read.
///
/// # Errors
/// As [`open`].
pub fn taken(
    input: &BuildInput<'_>,
    checkpoint: &Checkpoint,
) -> std::result::Result<Taken, NnError> {
    let keys = RefCell::default();
    let mut weights = Weights::names_only(checkpoint);
    let input = BuildInput {
        config: input.config.watched(&keys),
        ..*input
    };
    drop(open(&input, &mut weights)?);
    Ok(Taken {
        tensors: weights.into_names(),
        keys: keys.into_inner(),
    })
}
