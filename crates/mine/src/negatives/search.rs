//! The nearest candidates of many texts at once.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};

use rayon::prelude::*;

/// Candidates whose cosines are computed together: their vectors stay in the cache.
const BLOCK: usize = 256;
/// Partial sums of a product, for vector instructions. The order of additions is fixed.
const LANES: usize = 16;

/// Embeddings by number, and how many there are.
#[derive(Clone, Copy)]
pub(super) struct Rows<'r>(pub &'r (dyn Fn(usize) -> &'r [f32] + Sync), pub usize);

/// A text whose neighbours are wanted.
pub(super) struct Query<'q> {
    pub embedding: &'q [f32],
    /// The highest similarity of a neighbour within the limits.
    pub limit: f64,
    /// Candidates that are no neighbours, ascending.
    pub own: &'q [usize],
}

/// How many neighbours are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Depth {
    pub by_rank: usize,
    pub within: usize,
}

/// A candidate and its cosine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    pub similarity: f32,
    pub candidate: usize,
}

impl Ranked {
    /// The nearer first; of two that are as near, the one that comes first.
    fn order(&self, other: &Self) -> Ordering {
        (other.similarity.total_cmp(&self.similarity)).then(self.candidate.cmp(&other.candidate))
    }
}

/// Neighbours of a query, the nearest first.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    /// Of all candidates.
    pub by_rank: Vec<Ranked>,
    /// Of those within the limit.
    pub within: Vec<Ranked>,
    /// Candidates above the limit.
    pub above: usize,
}

/// Adds a candidate, where it is among the `depth` nearest.
fn add(nearest: &mut Vec<Ranked>, one: Ranked, depth: usize) {
    let last = nearest.last().filter(|_| nearest.len() >= depth);
    if depth == 0 || last.is_some_and(|last| last.order(&one).is_lt()) {
        return;
    }
    let at = nearest.partition_point(|kept| kept.order(&one).is_lt());
    nearest.insert(at, one);
    nearest.truncate(depth);
}

/// The neighbours of each query; `None` where `stop` was set.
pub(super) fn nearest(
    queries: &[Query<'_>],
    rows: Rows<'_>,
    depth: Depth,
    stop: &AtomicBool,
) -> Option<Vec<Nearest>> {
    let mut found: Vec<Nearest> = queries.iter().map(|_| Nearest::default()).collect();
    let scales: Vec<f32> = queries.iter().map(|q| inverse_norm(q.embedding)).collect();
    for start in (0..rows.1).step_by(BLOCK) {
        if stop.load(Atomic::Relaxed) {
            return None;
        }
        let block: Vec<(usize, &[f32], f32)> = (start..rows.1.min(start + BLOCK))
            .map(|candidate| {
                let row = rows.0(candidate);
                (candidate, row, inverse_norm(row))
            })
            .collect();
        found
            .par_iter_mut()
            .zip(queries)
            .zip(&scales)
            .for_each(|((found, query), scale)| {
                for &(candidate, row, norm) in &block {
                    if query.own.binary_search(&candidate).is_ok() {
                        continue;
                    }
                    let similarity = dot(query.embedding, row) * scale * norm;
                    let one = Ranked {
                        similarity,
                        candidate,
                    };
                    add(&mut found.by_rank, one, depth.by_rank);
                    if f64::from(similarity) > query.limit {
                        found.above += 1;
                    } else {
                        add(&mut found.within, one, depth.within);
                    }
                }
            });
    }
    Some(found)
}

/// The cosine of two embeddings; 0 where one has no length.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b) * inverse_norm(a) * inverse_norm(b)
}

fn inverse_norm(row: &[f32]) -> f32 {
    let norm = dot(row, row).sqrt();
    if norm > 0.0 { norm.recip() } else { 0.0 }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (blocks_a, blocks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = blocks_a.remainder().iter().zip(blocks_b.remainder());
    let rest: f32 = rest.map(|(x, y)| x * y).sum();
    for (x, y) in blocks_a.zip(blocks_b) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_of_a_full_sort_over_several_blocks() {
        let width = 19;
        let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.5 - 1.0;
        let vectors: Vec<Vec<f32>> = (0..600)
            .map(|row| (0..width).map(|i| value(row * width * 3 + i)).collect())
            .collect();
        let queries: Vec<Query<'_>> = vectors
            .iter()
            .step_by(97)
            .map(|embedding| Query {
                embedding,
                limit: 0.3,
                own: &[0, 97, 300],
            })
            .collect();
        let depth = Depth {
            by_rank: 5,
            within: 7,
        };
        let stop = AtomicBool::new(false);
        let rows = Rows(&|i| &vectors[i], vectors.len());
        let found = nearest(&queries, rows, depth, &stop).expect("not stopped");
        for (query, found) in queries.iter().zip(found) {
            let mut all: Vec<Ranked> = (0..vectors.len())
                .filter(|i| ![0, 97, 300].contains(i))
                .map(|candidate| Ranked {
                    similarity: cosine(query.embedding, &vectors[candidate]),
                    candidate,
                })
                .collect();
            all.sort_by(Ranked::order);
            let within = all.partition_point(|one| one.similarity > 0.3);
            assert!(within > 5, "{within}");
            assert_eq!(found.above, within);
            assert_eq!(found.by_rank, all[..5]);
            assert_eq!(found.within, all[within..within + 7]);
        }
        stop.store(true, Atomic::Relaxed);
        assert!(nearest(&queries, rows, depth, &stop).is_none());
    }
}
