//! Parts of scores of content and relative position; see [`crate::disentangled`].

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rten_tensor::Matrix;

use super::attention::Heads;
use super::{Product, failed, values};

struct Disentangled<'a> {
    /// Keys and queries of the positions, `[positions, heads, head]`.
    places: [Option<&'a [f32]>; 2],
    /// Position of each distance (query less key), from `1 - width` on.
    numbers: &'a [u32],
    scale: f32,
}

impl CustomOp2 for Disentangled<'_> {
    fn name(&self) -> &'static str {
        "disentangled"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let contents = [Heads::new(q, q_layout)?, Heads::new(k, k_layout)?];
        let (rows, width, heads, head) = q_layout.shape().dims4()?;
        let mut out = vec![0.0; rows * heads * width * width];
        let mut products = Vec::new();
        for (i, out) in out.chunks_exact_mut(width * width).enumerate() {
            let (row, at) = (i / heads, i % heads);
            for (part, (content, places)) in contents.iter().zip(self.places).enumerate() {
                let Some(places) = places else { continue };
                let count = places.len() / (heads * head);
                let table = Matrix::from_slice_with_strides(
                    [count, head],
                    &places[at * head..],
                    [heads * head, 1],
                )
                .map_err(|e| failed(format!("a head does not fit its positions: {e:?}")))?;
                let content = content.matrix(row, 0..width, at)?;
                let mut product = Product::new(content, table.transposed());
                product.scale = self.scale;
                product.write(&mut products)?;
                for (query, scores) in out.chunks_exact_mut(width).enumerate() {
                    for (key, score) in scores.iter_mut().enumerate() {
                        let token = if part == 0 { query } else { key };
                        let number = self.numbers[width - 1 + query - key] as usize;
                        *score += products[token * count + number];
                    }
                }
            }
        }
        let shape = Shape::from((rows, heads, width, width));
        Ok((CpuStorage::F32(out), shape))
    }
}

/// What positions add to the scores of queries and keys `[rows, width, heads, head]`, `[rows, heads,
/// width, width]`: keys of positions with the queries, queries of positions with the keys, each
/// `[positions, heads, head]`.
pub fn disentangled(
    [q, k]: [&Tensor; 2],
    places: [Option<&Tensor>; 2],
    numbers: &[u32],
    scale: f32,
) -> Result<Tensor> {
    let [of_queries, of_keys] = places.map(|place| place.map(values).transpose());
    let (of_queries, of_keys) = (of_queries?, of_keys?);
    let op = Disentangled {
        places: [of_queries.as_deref(), of_keys.as_deref()],
        numbers,
        scale,
    };
    q.apply_op2_no_bwd(k, &op)
}
