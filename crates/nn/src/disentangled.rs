//! Disentangled attention of `DeBERTa`: a score has a part of the query and the relative position of its
//! key, and one of the key and the relative position of its query. Both positions are of the same
//! bucket of the distance.

use candle_core::{Device, Result, Tensor};

use super::kernels;
use super::ops::{LayerNorm, Mode};

/// Embeddings of relative positions, and how distances fall into them.
#[derive(Debug)]
pub struct Disentangled {
    /// `[2 * span, hidden]`.
    pub table: Tensor,
    /// Normalises the table.
    pub norm: Option<LayerNorm>,
    /// Distances up to half of the buckets have one each, those up to the maximum share the rest;
    /// `None` = each has one.
    pub buckets: Option<Buckets>,
    /// Whether there are the part of the query and the part of the key.
    pub parts: [bool; 2],
    /// Which form runs.
    pub mode: Mode,
}

/// Number of buckets in each direction, and the distance from which on all share the last.
#[derive(Debug, Clone, Copy)]
pub struct Buckets {
    /// Number.
    pub count: usize,
    /// Distance.
    pub max_distance: usize,
}

impl Buckets {
    /// As the reference code counts, in float32 and in this order.
    fn of(self, distance: i64) -> i64 {
        let middle = (self.count / 2) as i64;
        if distance.abs() <= middle {
            return distance;
        }
        let ratio = distance.unsigned_abs() as f32 / middle as f32;
        let whole = ((self.max_distance - 1) as f64 / middle as f64) as f32;
        let grown = (ratio.ln() / whole.ln() * (middle - 1) as f32).ceil() + middle as f32;
        grown as i64 * distance.signum()
    }
}

impl Disentangled {
    /// By what a sum of the parts and the plain score is divided, squared and over the width of a
    /// head.
    #[must_use]
    pub fn summands(&self) -> usize {
        1 + self.parts.iter().filter(|part| **part).count()
    }

    /// The embeddings as the layers read them.
    ///
    /// # Errors
    /// When the device fails.
    pub fn positions(&self) -> Result<Tensor> {
        match &self.norm {
            Some(norm) => norm.forward(&self.table),
            None => Ok(self.table.clone()),
        }
    }

    /// Row of the embeddings of each distance (query less key) from `1 - width` to `width - 1`.
    fn rows(&self, width: usize) -> Result<Vec<u32>> {
        let span = (self.table.dim(0)? / 2) as i64;
        let far = width as i64 - 1;
        Ok((-far..=far)
            .map(|distance| self.buckets.map_or(distance, |b| b.of(distance)) + span)
            .map(|row| row.clamp(0, 2 * span - 1) as u32)
            .collect())
    }

    /// What is added to the scores, `[rows, heads, width, width]`, from `qkv [rows, width, 3 heads,
    /// head]` and the same of the positions `[2 span, 3 heads, head]`; both parts times `scale`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn scores(&self, qkv: &Tensor, positions: &Tensor, scale: f64) -> Result<Tensor> {
        let (rows, width, all, head) = qkv.dims4()?;
        let heads = all / 3;
        let numbers = self.rows(width)?;
        let content = |i: usize| qkv.narrow(2, i * heads, heads);
        let place = |i: usize| positions.narrow(1, i * heads, heads);
        if self.mode.on_cpu(qkv.device()) {
            let [by_query, by_key] = self.parts;
            return kernels::disentangled(
                [&content(0)?, &content(1)?],
                [
                    by_query.then(|| place(1)).transpose()?.as_ref(),
                    by_key.then(|| place(0)).transpose()?.as_ref(),
                ],
                &numbers,
                scale as f32,
            );
        }
        // Row `a`, column `b`: the embedding of `a - b` for queries, of `b - a` for keys.
        let index = |of: &dyn Fn(usize, usize) -> usize| {
            let all: Vec<u32> = (0..width)
                .flat_map(|a| (0..width).map(move |b| (a, b)))
                .map(|(a, b)| numbers[of(a, b)])
                .collect();
            Tensor::from_vec(all, (1, 1, width, width), &Device::Cpu)?
                .to_device(qkv.device())?
                .broadcast_as((rows, heads, width, width))?
                .contiguous()
        };
        let part = |content: Tensor, place: Tensor, index: &Tensor| {
            let content = content.transpose(1, 2)?.contiguous()?;
            let place = place.transpose(0, 1)?.t()?.contiguous()?.unsqueeze(0)?;
            let place = place
                .broadcast_as((rows, heads, head, place.dim(3)?))?
                .contiguous()?;
            content.matmul(&place)?.gather(index, 3)
        };
        let mut sum = None;
        if self.parts[0] {
            let index = index(&|a, b| width - 1 + a - b)?;
            sum = Some(part(content(0)?, place(1)?, &index)?);
        }
        if self.parts[1] {
            let index = index(&|a, b| width - 1 + b - a)?;
            let of_keys = part(content(1)?, place(0)?, &index)?.transpose(2, 3)?;
            sum = Some(match sum {
                Some(sum) => (sum + of_keys)?,
                None => of_keys.contiguous()?,
            });
        }
        match sum {
            Some(sum) => sum * scale,
            None => Tensor::zeros((rows, heads, width, width), qkv.dtype(), qkv.device()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of buckets, maximum, distance, bucket.
    const CASES: [(usize, usize, i64, i64); 13] = [
        (256, 512, 0, 0),
        (256, 512, 128, 128),
        (256, 512, 129, 129),
        (256, 512, 130, 130),
        (256, 512, 200, 169),
        (256, 512, 300, 207),
        (256, 512, 511, 255),
        (256, 512, 512, 256),
        (16, 64, 8, 8),
        (16, 64, 12, 10),
        (16, 64, 20, 12),
        (16, 64, 63, 15),
        (16, 64, 80, 16),
    ];

    #[test]
    fn buckets_are_those_of_the_reference_code() {
        // transformers' `make_log_bucket_position`.
        for (count, max_distance, distance, expected) in CASES {
            let buckets = Buckets {
                count,
                max_distance,
            };
            assert_eq!(buckets.of(distance), expected, "{distance} of {count}");
            assert_eq!(buckets.of(-distance), -expected, "-{distance} of {count}");
        }
    }
}
