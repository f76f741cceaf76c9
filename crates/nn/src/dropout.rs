//! Dropout before low-rank adapters (Hu et al., 2022), whose draws are a function of numbers alone.
//!
//! A value is dropped or not by a hash of the step's seed, the layer, the text's number in its
//! batch, the token's place in the text and the feature. So a layer that is computed again draws
//! the same, however a batch is cut into parts or shared among processes, and a run that continues
//! draws what an uninterrupted one does.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{D, Result, Tensor};

use crate::TokenBatch;

/// What is drawn for the batch that is being computed; nothing is dropped where it is `None`.
#[derive(Debug, Default)]
pub struct Draws(Mutex<Option<Rows>>);

#[derive(Debug, Clone)]
struct Rows {
    seed: u64,
    /// The number of a text in the whole batch, and the column of its first token.
    texts: Vec<(u64, u64)>,
}

impl Draws {
    /// Draws for a batch of the texts with these numbers, from now on.
    pub fn of(&self, seed: u64, texts: &[usize], batch: &TokenBatch) {
        let starts = batch.mask.chunks(batch.width.max(1));
        let starts = starts.map(|mask| mask.iter().position(|&m| m != 0).unwrap_or(0) as u64);
        let texts = texts.iter().map(|&t| t as u64).zip(starts).collect();
        self.set(Some(Rows { seed, texts }));
    }

    /// Drops nothing from now on.
    pub fn end(&self) {
        self.set(None);
    }

    fn set(&self, rows: Option<Rows>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }
}

/// Dropout before one adapter.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// Share of values that are dropped, from 0 to 1; the others are scaled by `1 / (1 - share)`.
    pub share: f64,
    /// Names the layer.
    pub layer: u64,
    /// What is drawn for.
    pub draws: Arc<Draws>,
}

impl Dropout {
    /// Applies it to `x [rows * width, features]` of the batch that is being computed.
    ///
    /// # Errors
    /// When `x` is not of that batch or the device fails.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let rows = self
            .draws
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(Rows { seed, texts }) = rows else {
            return Ok(x.clone());
        };
        let features = x.dim(D::Minus1)?;
        let tokens = x.elem_count() / features.max(1);
        let width = tokens / texts.len().max(1);
        if width * texts.len() != tokens {
            candle_core::bail!("dropout of {} texts meets {tokens} rows", texts.len());
        }
        let mut mask = Vec::with_capacity(tokens * features);
        for (text, start) in texts {
            let row = mix(seed ^ mix(self.layer ^ mix(text)));
            for column in 0..width as u64 {
                // One row per text is a state of the text, not of a token.
                let token = if width == 1 {
                    0
                } else {
                    column.wrapping_sub(start)
                };
                let first = row.wrapping_add(token.wrapping_mul(features as u64));
                mask.extend((0..features as u64).map(|feature| {
                    let drawn = mix(first.wrapping_add(feature)) >> 11;
                    let dropped = (drawn as f64) / ((1_u64 << 53) as f64) < self.share;
                    f32::from(u8::from(!dropped))
                }));
            }
        }
        let mask = Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?;
        (x * mask)?.affine(1.0 / (1.0 - self.share), 0.0)
    }
}

/// What [`mix`] adds; odd, so that its multiples are all numbers.
pub(crate) const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A number whose bits all depend on those of `z` (Steele et al., 2014).
pub(crate) fn mix(z: u64) -> u64 {
    let mut z = z.wrapping_add(STRIDE);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
