//! Who may attend to whom: padding, causal order and sliding windows.

use candle_core::{DType, Device, Result, Tensor};

use super::ops::Mode;
use crate::TokenBatch;

/// Added to a score that must not count; finite, so that a row of nothing but padding gives a
/// uniform distribution and not NaN.
const MASKED: f32 = f32::MIN / 2.0;

/// How far a token sees, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Largest distance to an earlier token.
    pub behind: usize,
    /// Largest distance to a later token.
    pub ahead: usize,
}

impl Reach {
    /// Every token sees every token.
    pub const FULL: Self = Self {
        behind: usize::MAX,
        ahead: usize::MAX,
    };
    /// A token sees itself and the tokens before it.
    pub const CAUSAL: Self = Self {
        behind: usize::MAX,
        ahead: 0,
    };

    /// Keys that the query at `query` may see, of `0..width`.
    #[must_use]
    pub fn keys(self, query: usize, width: usize) -> std::ops::Range<usize> {
        let start = query.saturating_sub(self.behind);
        let end = query
            .saturating_add(self.ahead)
            .saturating_add(1)
            .min(width);
        start..end
    }
}

/// The mask of one batch.
#[derive(Debug, Clone)]
pub struct Mask {
    /// How far a token sees.
    pub reach: Reach,
    rows: Vec<Keys>,
    additive: Option<Tensor>,
    on_device: Option<OnDevice>,
}

/// The real tokens of a batch, on a GPU.
#[derive(Debug, Clone)]
pub struct OnDevice {
    /// `[rows, 2]`: from the first real token to the one after the last.
    pub spans: Tensor,
    /// `[rows, width]`, 1 for a real token, where a span has padding inside.
    pub seen: Option<Tensor>,
}

/// The real tokens of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// From the first real token to the one after the last.
    pub span: std::ops::Range<usize>,
    /// Padding inside the span.
    pub holes: Vec<usize>,
}

impl Mask {
    /// The mask of `batch` where tokens see as far as `reach`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(batch: &TokenBatch, reach: Reach, device: &Device, mode: Mode) -> Result<Self> {
        let rows: Vec<Keys> = batch.mask.chunks(batch.width).map(Keys::of).collect();
        let (mut on_device, mut matrix) = (None, None);
        if device.is_cuda() {
            on_device = Some(OnDevice::new(batch, &rows, device)?);
        } else if !mode.on_cpu(device) {
            matrix = additive(batch, reach, device)?;
        }
        Ok(Self {
            reach,
            rows,
            additive: matrix,
            on_device,
        })
    }

    /// The real tokens of each row.
    #[must_use]
    pub fn rows(&self) -> &[Keys] {
        &self.rows
    }

    /// The same on a GPU, where the mask is for one.
    #[must_use]
    pub fn on_device(&self) -> Option<&OnDevice> {
        self.on_device.as_ref()
    }

    /// What is added to the scores, `[rows, 1, 1 or width, width]`, float32; `None` where nothing
    /// is masked, the fused CPU kernel runs, or on a GPU.
    #[must_use]
    pub fn additive(&self) -> Option<&Tensor> {
        self.additive.as_ref()
    }
}

impl OnDevice {
    fn new(batch: &TokenBatch, rows: &[Keys], device: &Device) -> Result<Self> {
        let spans: Vec<u32> = rows
            .iter()
            .flat_map(|keys| [keys.span.start as u32, keys.span.end as u32])
            .collect();
        let seen = if rows.iter().all(|keys| keys.holes.is_empty()) {
            None
        } else {
            let shape = (batch.rows, batch.width);
            Some(Tensor::from_slice(&batch.mask, shape, device)?)
        };
        Ok(Self {
            spans: Tensor::from_vec(spans, (rows.len(), 2), device)?,
            seen,
        })
    }
}

impl Keys {
    fn of(mask: &[u8]) -> Self {
        let first = mask.iter().position(|&m| m == 1);
        let last = mask.iter().rposition(|&m| m == 1);
        let span = match (first, last) {
            (Some(first), Some(last)) => first..last + 1,
            _ => 0..0,
        };
        let holes = span.clone().filter(|&i| mask[i] != 1).collect();
        Self { span, holes }
    }
}

fn additive(batch: &TokenBatch, reach: Reach, device: &Device) -> Result<Option<Tensor>> {
    let (rows, width) = (batch.rows, batch.width);
    let unlimited = reach.behind >= width && reach.ahead >= width;
    if unlimited && batch.mask.iter().all(|&m| m == 1) {
        return Ok(None);
    }
    let queries = if unlimited { 1 } else { width };
    let mut values = vec![MASKED; rows * queries * width];
    for (row, mask) in batch.mask.chunks(width).enumerate() {
        for query in 0..queries {
            let seen = if unlimited {
                0..width
            } else {
                reach.keys(query, width)
            };
            let start = (row * queries + query) * width;
            for key in seen.filter(|&key| mask[key] == 1) {
                values[start + key] = 0.0;
            }
        }
    }
    Tensor::from_vec(values, (rows, 1, queries, width), device)?
        .to_dtype(DType::F32)
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(mask: &[u8], width: usize) -> TokenBatch {
        TokenBatch {
            rows: mask.len() / width,
            width,
            ids: vec![0; mask.len()],
            mask: mask.to_vec(),
            pooling_mask: mask.to_vec(),
        }
    }

    #[test]
    fn the_span_of_a_row_is_its_real_tokens() {
        for (mask, span, holes) in [
            (vec![1, 1, 0, 0], 0..2, vec![]),
            (vec![0, 0, 1, 1], 2..4, vec![]),
            (vec![0, 1, 0, 1], 1..4, vec![2]),
            (vec![0, 0, 0, 0], 0..0, vec![]),
        ] {
            assert_eq!(Keys::of(&mask), Keys { span, holes }, "{mask:?}");
        }
    }

    #[test]
    fn the_additive_mask_is_zero_where_a_key_is_seen() {
        let b = batch(&[0, 1, 1], 3);
        let seen = |reach| -> Vec<u8> {
            additive(&b, reach, &Device::Cpu)
                .expect("a mask")
                .expect("something is masked")
                .flatten_all()
                .and_then(|t| t.to_vec1::<f32>())
                .expect("values")
                .iter()
                .map(|&v| u8::from(v == 0.0))
                .collect()
        };
        assert_eq!(seen(Reach::FULL), [0, 1, 1]);
        assert_eq!(seen(Reach::CAUSAL), [0, 0, 0, 0, 1, 0, 0, 1, 1]);
        let window = Reach {
            behind: 0,
            ahead: 1,
        };
        assert_eq!(seen(window), [0, 1, 0, 0, 1, 1, 0, 0, 1]);
        assert!(
            additive(&batch(&[1, 1], 2), Reach::FULL, &Device::Cpu)
                .expect("a mask")
                .is_none()
        );
    }
}
