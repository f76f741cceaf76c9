//! Dropout in networks (Srivastava et al., 2014) and before low-rank adapters (Hu et al., 2022), whose
//! draws are a function of numbers alone.
//!
//! A value is dropped or not by a hash of the step's seed, the layer, the text's number in its
//! batch, the token's place in the text and the feature. So a layer that is computed again draws
//! the same, however a batch is cut into parts or shared among processes, and a run that continues
//! draws what an uninterrupted one does.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{D, Result, Tensor};

use crate::TokenBatch;

/// What is dropped in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Draw {
    /// Seed of the step.
    pub seed: u64,
    /// Share of the values that layers of the network drop, from 0 to below 1.
    pub share: f64,
}

/// What is drawn for the batch that is being computed; nothing is dropped where it is `None`.
#[derive(Debug, Default)]
pub struct Draws(Mutex<Option<Rows>>);

#[derive(Debug, Clone)]
struct Rows {
    draw: Draw,
    /// The number of a text in the whole batch, and the column of its first token.
    texts: Vec<(u64, u64)>,
}

impl Draws {
    /// Draws for a batch of the texts with these numbers, from now on.
    pub fn of(&self, draw: Draw, texts: &[usize], batch: &TokenBatch) {
        let starts = batch.mask.chunks(batch.width.max(1));
        let starts = starts.map(|mask| mask.iter().position(|&m| m != 0).unwrap_or(0) as u64);
        let texts = texts.iter().map(|&t| t as u64).zip(starts).collect();
        self.set(Some(Rows { draw, texts }));
    }

    /// Drops nothing from now on.
    pub fn end(&self) {
        self.set(None);
    }

    fn set(&self, rows: Option<Rows>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }
}

/// Dropout before one adapter, or behind one layer of a network.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// Share of values that are dropped, from 0 to below 1; the others are scaled by `1 / (1 - share)`.
    /// Absent = the share of the step.
    pub share: Option<f64>,
    /// Names the layer.
    pub layer: u64,
    /// What is drawn for.
    pub draws: Arc<Draws>,
}

impl Dropout {
    /// Applies it to `x [.., features]`, the states of the tokens or texts of the batch that is being computed.
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
        let Some(Rows { draw, texts }) = rows else {
            return Ok(x.clone());
        };
        let share = self.share.unwrap_or(draw.share);
        if share <= 0.0 {
            return Ok(x.clone());
        }
        let features = x.dim(D::Minus1)?;
        let tokens = x.elem_count() / features.max(1);
        let width = tokens / texts.len().max(1);
        if width * texts.len() != tokens {
            candle_core::bail!("dropout of {} texts meets {tokens} rows", texts.len());
        }
        let mut mask = Vec::with_capacity(tokens * features);
        for (text, start) in texts {
            let row = mix(draw.seed ^ mix(self.layer ^ mix(text)));
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
                    let dropped = (drawn as f64) / ((1_u64 << 53) as f64) < share;
                    f32::from(u8::from(!dropped))
                }));
            }
        }
        let mask = Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?;
        x * mask.affine(1.0 / (1.0 - share), 0.0)?
    }
}

/// `x` behind a layer that may have dropout.
///
/// # Errors
/// As [`Dropout::apply`].
pub fn dropped(x: Tensor, dropout: Option<&Dropout>) -> Result<Tensor> {
    match dropout {
        Some(dropout) => dropout.apply(&x),
        None => Ok(x),
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn the_share_of_the_step_is_dropped_and_the_mean_stays() {
        let (rows, width, features) = (4, 25, 400);
        let batch = TokenBatch {
            rows,
            width,
            ids: vec![0; rows * width],
            mask: vec![1; rows * width],
            pooling_mask: Vec::new(),
        };
        let draws = Arc::new(Draws::default());
        let dropout = |layer| Dropout {
            share: None,
            layer,
            draws: Arc::clone(&draws),
        };
        let ones = Tensor::ones((rows, width, features), DType::F64, &Device::Cpu).expect("ones");
        let dropped = |layer| -> Vec<f64> {
            let x = dropout(layer).apply(&ones).expect("it fits");
            x.flatten_all().and_then(|x| x.to_vec1()).expect("values")
        };
        // Outside of a step, and where the step drops nothing, values stay as they are.
        assert!(dropped(1).iter().all(|&x| x == 1.0));
        for share in [0.0, 0.1, 0.5] {
            let draw = Draw { seed: 3, share };
            draws.of(draw, &[0, 1, 2, 3], &batch);
            let (values, other) = (dropped(1), dropped(2));
            let zeros = values.iter().filter(|x| **x == 0.0).count() as f64;
            let found = zeros / values.len() as f64;
            // Five standard deviations of 40,000 draws.
            let bound = 5.0 * (share * (1.0 - share) / values.len() as f64).sqrt();
            assert!((found - share).abs() <= bound, "{share}: {found}");
            let kept = 1.0 / (1.0 - share);
            assert!(values.iter().all(|&x| x == 0.0 || (x - kept).abs() < 1e-12));
            // Layers draw independently of each other: both drop a value as often as that says.
            let both = values.iter().zip(&other).filter(|(a, b)| **a + **b == 0.0);
            let both = both.count() as f64 / values.len() as f64;
            assert!((both - share * share).abs() <= bound, "{share}: {both}");
        }
        draws.end();
        assert!(dropped(1).iter().all(|&x| x == 1.0));
    }
}
