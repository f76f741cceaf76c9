//! Encoders: texts to embeddings.
//!
//! Holds how a model is found and read ([`open`], [`locate`], [`spec`]), tokenised ([`tokenizer`]), run
//! ([`backend`]) and pooled ([`pooling`], [`modules`]); models behind a server ([`endpoint`]); and
//! the lexical baselines, which need no model ([`lexical`]). Imports the ground floor only (`fs`,
//! `text`, `http`, `hub`, `failure`), `metric` and `nn`: an encoder knows no suite.
//!
//! To add a backend: one file under `backend/` and one line in [`backend::BACKENDS`]. To add a
//! pooling mode: one entry of `modes!` in [`pooling`]. To add what servers
//! speak: one file under `endpoint/` and one line in [`endpoint::dialect::DIALECTS`]. To add what is
//! known of a `model_type`: one line in [`family::FAMILIES`].

pub mod adapter;
pub mod backend;
mod base64;
pub mod built_in;
pub mod cost;
pub mod endpoint;
mod error;
pub mod family;
mod json;
pub mod lexical;
pub mod llm2vec;
pub mod locate;
pub mod machine;
pub mod memory;
pub mod modules;
pub mod network;
pub mod onnx;
pub mod open;
mod padding;
pub mod pooling;
pub mod protocol;
mod read;
mod setting;
pub mod spec;
mod text_encoder;
pub mod tokenizer;
pub mod width;

pub use error::EncoderError;
pub use korfinsts_base::endpoint::Usage;
pub use korfinsts_nn::{PreparedText, TokenBatch, TokenCount};
pub use network::{Network, NetworkOutput};
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

/// Which text of a pair: some protocols prompt the two differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// `sentence1`.
    First,
    /// `sentence2`.
    Second,
}

/// What a batch may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Texts.
    pub texts: usize,
    /// Padded tokens, where the encoder knows better than the general default.
    pub preferred_tokens: Option<usize>,
    /// What a batch needs and what there is, where that is known.
    pub memory: Option<Memory>,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            texts: usize::MAX,
            preferred_tokens: None,
            memory: None,
        }
    }
}

/// Memory of one batch: an estimate from above of what it needs, and what it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that one batch may take.
    pub budget: u64,
    /// Bytes per padded token.
    pub per_token: u64,
    /// Bytes per pair of padded tokens of one text: what attention keeps.
    pub per_pair: u64,
}

impl Memory {
    /// Whether `rows` texts padded to `width` tokens need no more than the budget.
    #[must_use]
    pub fn fits(&self, rows: usize, width: usize) -> bool {
        self.need(rows, width) <= self.budget
    }

    /// Bytes that `rows` texts padded to `width` tokens need.
    #[must_use]
    pub fn need(&self, rows: usize, width: usize) -> u64 {
        let (rows, width) = (rows as u64, width as u64);
        let text = width
            .saturating_mul(self.per_token)
            .saturating_add(width.saturating_mul(width).saturating_mul(self.per_pair));
        rows.saturating_mul(text)
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

    /// Like [`Encoder::encode`], with the tokens of each text: those who tokenise elsewhere know
    /// them only now.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    fn encode_counted(
        &self,
        batch: &[&PreparedText],
    ) -> Result<(Embeddings, Vec<TokenCount>), EncoderError> {
        let embeddings = self.encode(batch)?;
        Ok((embeddings, batch.iter().map(|t| t.tokens()).collect()))
    }

    /// How many threads may usefully call [`Encoder::encode`] at once.
    fn lanes(&self) -> usize {
        1
    }

    /// Whether an embedding depends on the other texts of its batch (dynamic int8 does).
    fn depends_on_batch(&self) -> bool {
        false
    }

    /// What was found when it was opened and a user should know.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// What a batch may hold at most.
    fn limits(&self) -> BatchLimits {
        BatchLimits::default()
    }

    /// What a text costs in operations; `None` where that is not known.
    fn cost(&self) -> Option<cost::Cost> {
        None
    }

    /// What a server was asked so far; `None` where there is no server.
    fn usage(&self) -> Option<Usage> {
        None
    }
}
