//! Replicates of Spearman's ρ of many models on the same resamples, fast.
//!
//! A leaderboard of hundreds of models asks for millions of resampled correlations. What models
//! share is computed once per resample: how often each pair was drawn and the ranks of gold.
//! Eight resamples go side by side, so that the walk through a model's order works on vectors.
//! Every sum stays a whole number below 2⁵³, so the replicates are those of
//! [`SpearmanSample`](super::SpearmanSample), bit for bit.

use rayon::prelude::*;

use super::bootstrap::BootstrapOptions;
use super::correlation::{check, ratio};
use super::random::{CHUNK, Purpose, draw_below, stream};
use super::rank::Order;
use super::resampled::RankSums;
use super::undefined::Undefined;

/// Resamples side by side.
const LANES: usize = 8;

/// Most pairs: products of a count and a doubled rank must fit the 24 bits of `f32`.
pub(super) const MOST_PAIRS: usize = 100_000;

/// How often a pair was drawn and its doubled gold rank, in each of the resamples side by side.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Drawn {
    count: [f32; LANES],
    gold: [f32; LANES],
}

/// One column of replicates per model, NaN where a replicate does not exist.
///
/// The models' predicted scores have passed the checks of [`spearman`](super::spearman).
pub(super) fn spearman_replicates(
    models: &[&[f64]],
    gold: &[f64],
    options: &BootstrapOptions,
) -> Result<Vec<Vec<f64>>, Undefined> {
    let orders = models
        .iter()
        .map(|predicted| check(predicted, gold).map(|()| Order::new(predicted)))
        .collect::<Result<Vec<_>, _>>()?;
    let gold = Order::new(gold);
    let chunks: Vec<Vec<f64>> = (0..options.resamples.div_ceil(CHUNK))
        .into_par_iter()
        .map_init(
            || Walk::new(&gold),
            |walk, chunk| {
                let mut rng = stream(options.seed, Purpose::Bootstrap, chunk);
                let rows = CHUNK.min(options.resamples - chunk * CHUNK);
                let mut values = vec![0.0; rows * orders.len()];
                for start in (0..rows).step_by(LANES) {
                    let lanes = LANES.min(rows - start);
                    for lane in 0..lanes {
                        walk.draw(lane, |counts| {
                            let pairs = counts.len();
                            draw_below(&mut rng, pairs as u32, pairs, |i| counts[i as usize] += 1);
                        });
                    }
                    for (model, order) in orders.iter().enumerate() {
                        let found = walk.correlate(order);
                        for (lane, value) in found.iter().enumerate().take(lanes) {
                            values[model * rows + start + lane] = *value;
                        }
                    }
                }
                values
            },
        )
        .collect();
    let mut columns = vec![Vec::with_capacity(options.resamples); models.len()];
    for chunk in chunks {
        let rows = chunk.len() / models.len().max(1);
        for (column, values) in columns.iter_mut().zip(chunk.chunks(rows.max(1))) {
            column.extend_from_slice(values);
        }
    }
    Ok(columns)
}

/// The resamples of one group of lanes, and what all models share of them.
struct Walk<'a> {
    gold: &'a Order,
    drawn: Vec<Drawn>,
    counts: Vec<u32>,
    total: u64,
    /// Sum of cubes of the counts, and of the sizes of ties among gold scores.
    cubes: [u64; LANES],
    gold_cubes: [u64; LANES],
}

impl<'a> Walk<'a> {
    fn new(gold: &'a Order) -> Self {
        let nothing = Drawn {
            count: [0.0; LANES],
            gold: [0.0; LANES],
        };
        Self {
            gold,
            drawn: vec![nothing; gold.len()],
            counts: vec![0; gold.len()],
            total: gold.len() as u64,
            cubes: [0; LANES],
            gold_cubes: [0; LANES],
        }
    }

    /// Fills one lane with a resample.
    fn draw(&mut self, lane: usize, fill: impl FnOnce(&mut [u32])) {
        self.counts.fill(0);
        fill(&mut self.counts);
        let (mut below, mut cubes, mut gold_cubes) = (0_u32, 0_u64, 0_u64);
        for group in 0..self.gold.groups() {
            let members = self.gold.group(group);
            let tied: u32 = members.iter().map(|&i| self.counts[i as usize]).sum();
            let rank = (2 * below + tied + 1) as f32;
            for &i in members {
                let count = self.counts[i as usize];
                let drawn = &mut self.drawn[i as usize];
                drawn.count[lane] = count as f32;
                drawn.gold[lane] = rank;
                cubes += u64::from(count).pow(3);
            }
            below += tied;
            gold_cubes += u64::from(tied).pow(3);
        }
        self.cubes[lane] = cubes;
        self.gold_cubes[lane] = gold_cubes;
    }

    /// Spearman's ρ of one model in every lane.
    fn correlate(&self, order: &Order) -> [f64; LANES] {
        let mut cubes = self.cubes;
        let products = if order.is_untied() {
            self.products_untied(order)
        } else {
            self.products_tied(order, &mut cubes)
        };
        let mut found = [f64::NAN; LANES];
        for lane in 0..LANES {
            let RankSums { xy, xx, yy, .. } = RankSums::new(
                self.total,
                products[lane] as u64,
                cubes[lane],
                self.gold_cubes[lane],
            );
            if xx > 0 && yy > 0 {
                found[lane] = ratio(xy as f64, xx as f64, yy as f64);
            }
        }
        found
    }

    /// Sums of products of doubled ranks, each pair as often as it was drawn.
    fn products_untied(&self, order: &Order) -> [f64; LANES] {
        let mut below = [1.0_f32; LANES];
        let mut products = [0.0_f64; LANES];
        for &i in &order.by_value {
            let Drawn { count, gold } = &self.drawn[i as usize];
            for lane in 0..LANES {
                // `below` is one more than twice the number of pairs below.
                let weight = count[lane] * (below[lane] + count[lane]);
                products[lane] += f64::from(weight) * f64::from(gold[lane]);
                below[lane] += 2.0 * count[lane];
            }
        }
        products
    }

    fn products_tied(&self, order: &Order, cubes: &mut [u64; LANES]) -> [f64; LANES] {
        let mut below = [1.0_f32; LANES];
        let mut products = [0.0_f64; LANES];
        for group in 0..order.groups() {
            let members = order.group(group);
            let (mut tied, mut golds) = ([0.0_f32; LANES], [0.0_f64; LANES]);
            for &i in members {
                let Drawn { count, gold } = &self.drawn[i as usize];
                for lane in 0..LANES {
                    tied[lane] += count[lane];
                    golds[lane] += f64::from(count[lane] * gold[lane]);
                }
            }
            for lane in 0..LANES {
                products[lane] += f64::from(below[lane] + tied[lane]) * golds[lane];
                below[lane] += 2.0 * tied[lane];
            }
            if members.len() > 1 {
                for lane in 0..LANES {
                    let single: u64 = members
                        .iter()
                        .map(|&i| (self.drawn[i as usize].count[lane] as u64).pow(3))
                        .sum();
                    cubes[lane] = cubes[lane] + (tied[lane] as u64).pow(3) - single;
                }
            }
        }
        products
    }
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::rand_core::Rng;

    use super::*;
    use crate::{SpearmanSample, Statistic, replicates};

    #[test]
    fn replicates_are_those_of_one_model_at_a_time() {
        let mut rng = stream(3, Purpose::Permutation, 0);
        let mut draw = |n: usize, steps: u32| -> Vec<f64> {
            (0..n).map(|_| f64::from(rng.next_u32() % steps)).collect()
        };
        for (n, gold_steps) in [(5, 2), (61, 2), (97, 26), (150, 1_000_000)] {
            let mut gold = draw(n, gold_steps);
            gold[0] = -1.0;
            let models: Vec<Vec<f64>> = [1_000_000, 9, 2, 40]
                .into_iter()
                .map(|steps| {
                    let mut model = draw(n, steps);
                    model[1] = -1.0;
                    model
                })
                .collect();
            let slices: Vec<&[f64]> = models.iter().map(Vec::as_slice).collect();
            // Neither a whole chunk nor a whole number of lanes.
            let options = BootstrapOptions {
                resamples: 301,
                seed: n as u64,
                ..BootstrapOptions::default()
            };
            let found = spearman_replicates(&slices, &gold, &options).unwrap();
            let samples: Vec<_> = slices
                .iter()
                .map(|m| SpearmanSample::new(m, &gold).unwrap())
                .collect();
            let samples: Vec<&dyn Statistic> =
                samples.iter().map(|s| s as &dyn Statistic).collect();
            let expected = replicates(&samples, None, &options).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.len(), 301);
                for (found, expected) in found.iter().zip(expected) {
                    match expected {
                        Some(value) => assert_eq!(found.to_bits(), value.to_bits()),
                        None => assert!(found.is_nan()),
                    }
                }
            }
        }
    }
}
