//! Prepared texts, and batches of them: what a network reads.

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
    /// Number of tokens the encoder will see, estimated from the text where it is not tokenised
    /// here; at least 1, so that it can weigh a batch.
    #[must_use]
    pub fn cost(&self) -> usize {
        match self.ids.len() {
            0 => self.text.len() / 3 + 1,
            n => n,
        }
    }

    /// What is known of its tokens before it is encoded.
    #[must_use]
    pub fn tokens(&self) -> TokenCount {
        TokenCount {
            kept: self.ids.len() as u32,
            lost: self.lost_tokens as u32,
        }
    }
}

/// What is known about an encoded text, apart from its embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenCount {
    /// Tokens that the encoder saw; 0 where nobody counted.
    pub kept: u32,
    /// Tokens that truncation removed; [`TokenCount::UNKNOWN`] where it is known that some were
    /// and not how many.
    pub lost: u32,
}

impl TokenCount {
    /// In [`TokenCount::lost`]: some were lost, nobody knows how many.
    pub const UNKNOWN: u32 = u32::MAX;
}

/// On which side a batch is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaddingSide {
    /// Padding before the text.
    Left,
    /// Padding after the text.
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

    /// The first `rows` texts, as wide as they are.
    #[must_use]
    pub fn first(mut self, rows: usize) -> Self {
        self.rows = self.rows.min(rows);
        for values in [&mut self.mask, &mut self.pooling_mask] {
            values.truncate(self.rows * self.width);
        }
        self.ids.truncate(self.rows * self.width);
        self
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
