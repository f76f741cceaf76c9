//! The part of an encoder that a backend runs: token ids in, token states (or a finished
//! sentence embedding) out. Pooling, prompts and truncation are the same for every backend and
//! happen outside.

use super::EncoderError;

pub use korfinsts_nn::{PaddingSide, TokenBatch};

/// What a network gives back.
#[derive(Debug, Clone, PartialEq)]
pub enum NetworkOutput {
    /// Token states, row-major `[rows, width, dimension]`, float32.
    Tokens {
        /// Values, `rows * width * dimension`.
        values: Vec<f32>,
        /// Width of one state.
        dimension: usize,
    },
    /// Pooled states `[rows, dimension]`: the pooling of the model's first module is done, the
    /// modules after it are not.
    Pooled {
        /// Values, `rows * dimension`.
        values: Vec<f32>,
        /// Width of one pooled state.
        dimension: usize,
    },
    /// Finished sentence embeddings `[rows, dimension]`: pooling and dense layers are done.
    Sentence {
        /// Values, `rows * dimension`.
        values: Vec<f32>,
        /// Width of one embedding.
        dimension: usize,
    },
}

impl NetworkOutput {
    /// Width of a token state or of a finished embedding. `modes`: how many pooled states are side
    /// by side, where they are pooled.
    #[must_use]
    pub fn width(&self, modes: usize) -> usize {
        match self {
            Self::Tokens { dimension, .. } | Self::Sentence { dimension, .. } => *dimension,
            Self::Pooled { dimension, .. } => dimension / modes,
        }
    }
}

/// Sizes of a batch that a network takes no other than.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FixedShape {
    /// Texts.
    pub texts: Option<usize>,
    /// Tokens of each text, padding included.
    pub tokens: Option<usize>,
}

/// A network opened by a backend.
pub trait Network: Send + Sync {
    /// Runs a batch. A row should give the same states alone and padded; graphs of others are tried
    /// for it (`padding.rs`).
    ///
    /// # Errors
    /// When the runtime fails (out of memory included) or the output has an unexpected shape.
    fn forward(&self, batch: &TokenBatch) -> Result<NetworkOutput, EncoderError>;

    /// How many threads may usefully call [`Network::forward`] at once.
    fn lanes(&self) -> usize {
        1
    }

    /// Whether a row's result depends on the other rows of its batch (dynamic int8 does).
    fn depends_on_batch(&self) -> bool {
        false
    }

    /// Texts and tokens of a batch, where no other number is taken. Whoever makes batches pads them.
    fn fixed(&self) -> FixedShape {
        FixedShape::default()
    }

    /// Weights that each token is multiplied by, those of linear layers; `None` where that is not known.
    fn multiplied(&self) -> Option<u64> {
        None
    }

    /// Free memory in bytes of the device it computes on, where that is not this machine's own
    /// memory and the device says.
    fn free_on_device(&self) -> Option<u64> {
        None
    }
}
