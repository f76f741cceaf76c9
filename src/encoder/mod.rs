//! Encoders: texts to embeddings.
//!
//! Holds how a model is found ([`locate`]), read ([`spec`]), tokenised ([`tokenizer`]), run
//! ([`backend`]) and pooled ([`pooling`], [`modules`]); and the lexical baselines, which need no
//! model ([`lexical`]). Imports the ground floor only (`fs`, `text`, `hub`, `failure`, `metric`): an
//! encoder knows no suite.
//!
//! To add a backend: one file under `backend/` and one line in [`backend::BACKENDS`]. To add a
//! pooling mode: one line in [`pooling::Pooling::ALL`] and its arm in `pool`. To add a candle
//! architecture: one file under `backend/candle/` and one line in its list.

pub mod backend;
mod error;
mod json;
pub mod lexical;
pub mod locate;
pub mod modules;
pub mod network;
pub mod onnx;
pub mod pooling;
pub mod protocol;
mod read;
pub mod safetensors;
pub mod spec;
mod tensors;
mod text_encoder;
pub mod tokenizer;

pub use error::EncoderError;
pub use network::{Network, NetworkOutput, TokenBatch};
pub use spec::EncoderSpec;
pub use text_encoder::TextEncoder;

/// Embeddings of `rows` texts, row-major, float32, shape `[rows, dimension]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Embeddings {
    /// Values, `rows * dimension` of them.
    pub values: Vec<f32>,
    /// Width of one embedding.
    pub dimension: usize,
}

impl Embeddings {
    /// Number of embeddings.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.dimension).unwrap_or(0)
    }

    /// Embedding `i`, of length `dimension`.
    ///
    /// # Panics
    /// When `i` is not below [`Self::rows`].
    #[must_use]
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dimension..(i + 1) * self.dimension]
    }
}

/// Which side of a pair a text stands on: some protocols prompt the two differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// `sentence1`.
    First,
    /// `sentence2`.
    Second,
}

/// One text made ready for an encoder: prompted, tokenised, truncated, with special tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PreparedText {
    /// The text with its prompt before it, for encoders that take text (endpoints).
    pub text: String,
    /// Token ids with special tokens, at most the maximum length. Empty for encoders that do
    /// not tokenise here.
    pub ids: Vec<u32>,
    /// How many leading tokens (special tokens included) belong to the prompt; these are
    /// masked out of the pooling when the model's pooling has `include_prompt = false`.
    pub prompt_tokens: usize,
    /// Tokens that truncation removed; 0 when the text was encoded whole.
    pub lost_tokens: usize,
}

impl PreparedText {
    /// Number of tokens the encoder will see; at least 1, so that it can weigh a batch.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.ids.len().max(1)
    }
}

/// Something that turns texts into embeddings.
///
/// Implementations are deterministic: the same text gives the same embedding, whatever other
/// texts are in the batch, unless [`Encoder::depends_on_batch`] says otherwise.
pub trait Encoder: Send + Sync {
    /// Prompts, tokenises and truncates one text. An empty text is allowed.
    ///
    /// # Errors
    /// When the tokenizer fails on the text.
    fn prepare(&self, text: &str, prompt: &str) -> Result<PreparedText, EncoderError>;

    /// Encodes a batch; row `i` of the result belongs to `batch[i]`.
    ///
    /// May be called from [`Encoder::lanes`] threads at once.
    ///
    /// # Errors
    /// When the backend fails, or gives values that are not finite numbers.
    fn encode(&self, batch: &[&PreparedText]) -> Result<Embeddings, EncoderError>;

    /// How many threads may usefully call [`Encoder::encode`] at once.
    fn lanes(&self) -> usize {
        1
    }

    /// Whether an embedding depends on the other texts of its batch (dynamic int8 does).
    fn depends_on_batch(&self) -> bool {
        false
    }
}
