//! Pooling: the states of a text's tokens to one vector.
//!
//! The formulas, and what happens to a text without tokens, are those of sentence-transformers
//! 6.2 (`sentence_transformer/modules/pooling.py`).

use super::EncoderError;
use super::network::TokenBatch;

/// How a mode joins the states of the tokens that take part.
#[derive(Clone, Copy)]
pub(crate) enum Join {
    /// The state of the first token, or of the first position where no token takes part.
    First,
    /// The state of the last token.
    Last,
    /// The largest value per dimension.
    Largest,
    /// A weighted sum.
    Sum {
        /// Weight of a token by its position in the text, from 1.
        weight: fn(usize) -> f64,
        /// What the sum is divided by, from the sum of the weights.
        divisor: fn(f64) -> f64,
    },
}

/// One entry a mode: its name in `pooling_mode`, the boolean of older configurations, its formula.
macro_rules! modes {
    ($($(#[$doc:meta])* $mode:ident: $name:literal, $old:literal, $join:expr;)*) => {
        /// A pooling mode, named as sentence-transformers names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Pooling {
            $($(#[$doc])* $mode,)*
        }

        impl Pooling {
            /// Every mode, in the order in which sentence-transformers concatenates them.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$mode),*];

            fn facts(self) -> (&'static str, &'static str, Join) {
                match self {
                    $(Self::$mode => ($name, $old, $join),)*
                }
            }
        }
    };
}

modes! {
    /// First token of the text.
    Cls: "cls", "pooling_mode_cls_token", Join::First;
    /// Largest value per dimension.
    Max: "max", "pooling_mode_max_tokens", Join::Largest;
    /// Mean over tokens.
    Mean: "mean", "pooling_mode_mean_tokens",
        Join::Sum { weight: |_| 1.0, divisor: |sum| sum };
    /// Sum over tokens divided by the square root of their number.
    MeanSqrtLen: "mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens",
        Join::Sum { weight: |_| 1.0, divisor: f64::sqrt };
    /// Mean weighted by position (1, 2, 3, ...).
    WeightedMean: "weightedmean", "pooling_mode_weightedmean_tokens",
        Join::Sum { weight: |position| position as f64, divisor: |sum| sum };
    /// Last token of the text.
    LastToken: "lasttoken", "pooling_mode_lasttoken", Join::Last;
}

impl Pooling {
    /// Its name in `pooling_mode`, on the command line and in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// The boolean of configurations written before `pooling_mode` was one field.
    #[must_use]
    pub fn old_field(self) -> &'static str {
        self.facts().1
    }

    /// Its formula.
    pub(crate) fn join(self) -> Join {
        self.facts().2
    }

    /// The mode of that name.
    ///
    /// # Errors
    /// When there is none; the hint lists those there are.
    pub fn named(name: &str) -> Result<Self, EncoderError> {
        Self::parse(name).ok_or_else(|| EncoderError::Unsupported {
            what: format!("found pooling `{name}`"),
            hint: Some(format!("allowed are {}", Self::names())),
        })
    }

    /// The modes of those names, which commas separate.
    ///
    /// # Errors
    /// As [`Pooling::named`].
    pub fn list(names: &str) -> Result<Vec<Self>, EncoderError> {
        names
            .split(',')
            .map(|name| Self::named(name.trim()))
            .collect()
    }

    /// The mode of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Every name, for messages.
    #[must_use]
    pub fn names() -> String {
        Self::ALL
            .map(|mode| format!("`{}`", mode.name()))
            .join(", ")
    }
}

impl std::fmt::Display for Pooling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Pools token states `[rows, width, dimension]` to `[rows, modes * dimension]`.
///
/// Tokens with `pooling_mask` 0 take no part, whatever their states hold. A row without any such
/// token gives zeros, except `cls`, which takes the first position, and `max`, which gives
/// −infinity: as sentence-transformers does.
///
/// # Panics
/// When `values` does not hold `rows * width * dimension` numbers.
#[must_use]
pub fn pool(modes: &[Pooling], values: &[f32], dimension: usize, batch: &TokenBatch) -> Vec<f32> {
    assert_eq!(
        values.len(),
        batch.rows * batch.width * dimension,
        "token states have the shape of the batch"
    );
    let mut pooled = vec![0.0; batch.rows * modes.len() * dimension];
    let mut sum = vec![0.0_f64; dimension];
    for row in 0..batch.rows {
        let states = Row {
            states: &values[row * batch.width * dimension..][..batch.width * dimension],
            mask: &batch.mask[row * batch.width..][..batch.width],
            pooling_mask: &batch.pooling_mask[row * batch.width..][..batch.width],
        };
        let out = &mut pooled[row * modes.len() * dimension..][..modes.len() * dimension];
        for (mode, out) in modes.iter().zip(out.chunks_mut(dimension)) {
            states.pool(*mode, &mut sum, out);
        }
    }
    pooled
}

/// Token states of one text, with the masks of its batch.
struct Row<'a> {
    states: &'a [f32],
    mask: &'a [u8],
    pooling_mask: &'a [u8],
}

impl Row<'_> {
    /// Pools it into `out`, of length `dimension`; `sum` is scratch of the same length.
    fn pool(&self, mode: Pooling, sum: &mut [f64], out: &mut [f32]) {
        let Self {
            states,
            mask,
            pooling_mask,
        } = *self;
        let dimension = out.len();
        let state = |at: usize| &states[at * dimension..(at + 1) * dimension];
        let mut taking_part = (0..pooling_mask.len()).filter(|&at| pooling_mask[at] == 1);
        match mode.join() {
            Join::First => out.copy_from_slice(state(taking_part.next().unwrap_or(0))),
            Join::Last => match taking_part.next_back() {
                Some(last) => out.copy_from_slice(state(last)),
                None => out.fill(0.0),
            },
            Join::Largest => {
                out.fill(f32::NEG_INFINITY);
                for at in taking_part {
                    for (largest, &value) in out.iter_mut().zip(state(at)) {
                        // A NaN must not be lost: it is reported behind the network.
                        if value > *largest || value.is_nan() {
                            *largest = value;
                        }
                    }
                }
            }
            Join::Sum { weight, divisor } => {
                let first = mask.iter().position(|&m| m == 1).unwrap_or(0);
                sum.fill(0.0);
                let mut weights = 0.0;
                for at in taking_part {
                    let weight = weight(at + 1 - first);
                    weights += weight;
                    for (sum, &value) in sum.iter_mut().zip(state(at)) {
                        *sum += weight * f64::from(value);
                    }
                }
                let divisor = divisor(weights.max(1e-9));
                for (out, &sum) in out.iter_mut().zip(sum.iter()) {
                    *out = (sum / divisor) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PreparedText;
    use crate::network::PaddingSide;

    fn batch(side: PaddingSide, lengths: &[(usize, usize)]) -> TokenBatch {
        let texts: Vec<PreparedText> = lengths
            .iter()
            .map(|&(n, prompt_tokens)| PreparedText {
                ids: vec![7; n],
                prompt_tokens,
                ..PreparedText::default()
            })
            .collect();
        TokenBatch::pad(&texts.iter().collect::<Vec<_>>(), 0, side, true)
    }

    #[test]
    fn each_mode_gives_what_sentence_transformers_gives() {
        // Rows: three tokens, the first of them the prompt; one token; no token. States count up
        // by position, padding holds NaN.
        for side in [PaddingSide::Left, PaddingSide::Right] {
            let batch = batch(side, &[(3, 1), (1, 0), (0, 0)]);
            let mut values = Vec::new();
            for row in batch.mask.chunks(batch.width) {
                let mut next = 1.0;
                for &m in row {
                    if m == 1 {
                        values.extend([next, -next]);
                        next += 1.0;
                    } else {
                        values.extend([f32::NAN, f32::NAN]);
                    }
                }
            }
            // The last row is all padding; its first state is taken by `cls`.
            let last = 2 * batch.width * 2;
            values[last..last + 2].copy_from_slice(&[9.0, 9.0]);
            let half = 5.0 / 2.0_f32.sqrt();
            let weighted = (2.0 * 2.0 + 3.0 * 3.0) / 5.0;
            for (mode, expected) in [
                (Pooling::Cls, [2.0, -2.0, 1.0, -1.0, 9.0, 9.0]),
                (Pooling::Mean, [2.5, -2.5, 1.0, -1.0, 0.0, 0.0]),
                (Pooling::MeanSqrtLen, [half, -half, 1.0, -1.0, 0.0, 0.0]),
                (
                    Pooling::WeightedMean,
                    [weighted, -weighted, 1.0, -1.0, 0.0, 0.0],
                ),
                (Pooling::LastToken, [3.0, -3.0, 1.0, -1.0, 0.0, 0.0]),
                (
                    Pooling::Max,
                    [3.0, -2.0, 1.0, -1.0, f32::NEG_INFINITY, f32::NEG_INFINITY],
                ),
            ] {
                let pooled = pool(&[mode], &values, 2, &batch);
                for (got, want) in pooled.iter().zip(expected) {
                    assert!(
                        got == &want || (got - want).abs() < 1e-6,
                        "{mode} {side:?}: {pooled:?} != {expected:?}"
                    );
                }
            }
            let two = pool(&[Pooling::Cls, Pooling::LastToken], &values, 2, &batch);
            assert_eq!(two[..4], [2.0, -2.0, 3.0, -3.0]);
        }
    }

    #[test]
    fn names_are_read_back() {
        for mode in Pooling::ALL {
            assert_eq!(Pooling::parse(mode.name()), Some(mode));
        }
        assert_eq!(Pooling::parse("average"), None);
    }
}
