//! How far an encoder tells positive from negative before it is trained.

use crate::Triplet;
use crate::generation::{Distribution, EmbeddingMargin};
use korfinsts_encoder::{Encoder, EncoderError};

/// Texts per batch.
const BATCH: usize = 32;

/// Margins of the cosines over triplets; `None` where there are none.
///
/// # Errors
/// When the encoder fails.
pub fn margin(
    name: &str,
    encoder: &dyn Encoder,
    triplets: &[Triplet],
) -> Result<Option<EmbeddingMargin>, EncoderError> {
    let mut margins = Vec::with_capacity(triplets.len());
    for chunk in triplets.chunks(BATCH) {
        let texts = chunk
            .iter()
            .flat_map(|t| [&t.anchor, &t.positive, &t.negative])
            .map(|t| encoder.prepare(t, ""))
            .collect::<Result<Vec<_>, _>>()?;
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(texts.len());
        let step = if encoder.depends_on_batch() {
            1
        } else {
            texts.len()
        };
        for part in texts.chunks(step.max(1)) {
            let batch: Vec<_> = part.iter().collect();
            let embeddings = encoder.encode(&batch)?;
            for i in 0..part.len() {
                rows.push(embeddings.row(i).iter().map(|v| f64::from(*v)).collect());
            }
        }
        for three in rows.chunks(3) {
            if let [anchor, positive, negative] = three {
                margins.push(cosine(anchor, positive) - cosine(anchor, negative));
            }
        }
    }
    margins.retain(|m| m.is_finite());
    Ok(Distribution::of(&margins).map(|found| EmbeddingMargin {
        encoder: name.to_owned(),
        margin: found,
        right: margins.iter().filter(|m| **m > 0.0).count() as f64 / margins.len() as f64,
    }))
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
