//! The part of an encoder that a backend runs: token ids in, token states (or a finished
//! sentence embedding) out. Pooling, prompts and truncation are the same for every backend and
//! happen outside.

use super::{EncoderError, PreparedText};

/// On which side a batch is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaddingSide {
    /// Padding before the text.
    Left,
    /// Padding behind the text.
    #[default]
    Right,
}

/// A rectangular batch of token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    /// Number of texts.
    pub rows: usize,
    /// Padded length in tokens.
    pub width: usize,
    /// Token ids, row-major, `rows * width`; padding holds the pad id.
    pub ids: Vec<u32>,
    /// 1 at a token, 0 at padding; row-major, `rows * width`.
    pub mask: Vec<u8>,
    /// 1 where a token takes part in the pooling; like `mask`, less the prompt where the
    /// model's pooling leaves it out.
    pub pooling_mask: Vec<u8>,
}

impl TokenBatch {
    /// Pads `texts` to the longest of them. With `leave_prompt_out`, prompt tokens are taken
    /// out of `pooling_mask`.
    ///
    /// A text without tokens becomes a row of padding.
    #[must_use]
    pub fn pad(
        texts: &[&PreparedText],
        pad_id: u32,
        side: PaddingSide,
        leave_prompt_out: bool,
    ) -> Self {
        let width = texts.iter().map(|t| t.ids.len()).max().unwrap_or(0).max(1);
        let rows = texts.len();
        let mut ids = vec![pad_id; rows * width];
        let mut mask = vec![0_u8; rows * width];
        let mut pooling_mask = vec![0_u8; rows * width];
        for (row, text) in texts.iter().enumerate() {
            let n = text.ids.len();
            let start = row * width
                + match side {
                    PaddingSide::Left => width - n,
                    PaddingSide::Right => 0,
                };
            ids[start..start + n].copy_from_slice(&text.ids);
            mask[start..start + n].fill(1);
            let skipped = if leave_prompt_out {
                text.prompt_tokens.min(n)
            } else {
                0
            };
            pooling_mask[start + skipped..start + n].fill(1);
        }
        Self {
            rows,
            width,
            ids,
            mask,
            pooling_mask,
        }
    }

    /// Position of each token counted over real tokens from `first`; padding gets `at_padding`.
    #[must_use]
    pub fn positions(&self, first: u32, at_padding: u32) -> Vec<u32> {
        let mut positions = vec![at_padding; self.rows * self.width];
        for (row, mask) in positions
            .chunks_mut(self.width)
            .zip(self.mask.chunks(self.width))
        {
            let mut next = first;
            for (position, &m) in row.iter_mut().zip(mask) {
                if m == 1 {
                    *position = next;
                    next += 1;
                }
            }
        }
        positions
    }
}

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
    /// Finished sentence embeddings `[rows, dimension]`: pooling and dense layers are done.
    Sentence {
        /// Values, `rows * dimension`.
        values: Vec<f32>,
        /// Width of one embedding.
        dimension: usize,
    },
}

/// A network opened by a backend.
pub trait Network: Send + Sync {
    /// Runs a batch. Must not depend on padding: a row gives the same states alone and padded.
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

    /// Free memory in bytes of the device it computes on, where that is not this machine's own
    /// memory and the device says.
    fn free_on_device(&self) -> Option<u64> {
        None
    }
}
