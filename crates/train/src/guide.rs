//! An encoder that tells which texts of a batch are no negatives (Solatorio, 2024: `GISTEmbed`): a
//! candidate that the guide finds nearer to an anchor than the anchor's positive is.

use super::loss::SameText;
use super::recipe::Guide;

impl Guide {
    /// The highest similarity of a negative next to a positive of this one, as the strategies
    /// `absolute` and `relative` of sentence-transformers' `GISTEmbedLoss` have it.
    fn limit(&self, positive: f64) -> f64 {
        let margin = if self.relative {
            self.margin * positive.abs()
        } else {
            self.margin
        };
        positive - margin
    }

    /// Marks candidates of a batch that the guide finds above the limit of a row, and counts them.
    /// `embeddings` are the guide's, of length 1: those of the `rows` anchors, then those of the
    /// candidates in their order. The own positive is never marked, the own negative may be.
    pub fn mark(&self, same: &mut SameText, rows: usize, embeddings: &[f32]) {
        let candidates = same.same.len() / rows.max(1);
        let width = embeddings.len() / (rows + candidates).max(1);
        let row = |i: usize| &embeddings[i * width..(i + 1) * width];
        let similarity = |anchor: usize, candidate: usize| -> f64 {
            let products = row(anchor).iter().zip(row(rows + candidate));
            products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        for anchor in 0..rows {
            let limit = self.limit(similarity(anchor, anchor));
            for candidate in (0..candidates).filter(|&c| c != anchor) {
                let marked = &mut same.same[anchor * candidates + candidate];
                if !*marked && similarity(anchor, candidate) > limit {
                    *marked = true;
                    same.by_guide += 1;
                }
            }
        }
    }
}
