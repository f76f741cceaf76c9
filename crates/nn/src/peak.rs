//! How fast this machine multiplies matrices of float32: what no network can exceed.

use std::sync::Barrier;
use std::time::Instant;

use candle_core::Result;
use rayon::ThreadPoolBuilder;
use rten_tensor::NdTensorView;

use super::kernels::{Product, Right, Weights};
use crate::isa::capped;

/// Rows, inner size and columns of the products: the layers of small and base encoders, and a large square.
const SHAPES: [[usize; 3]; 4] = [
    [512, 384, 1536],
    [512, 768, 3072],
    [512, 3072, 768],
    [1536, 1536, 1536],
];
/// Operations of one timed run on each thread: 20 ms where a core does 100 GFLOP/s.
const RUN: f64 = 2e9;
/// Timed runs of a shape. The best counts: whatever disturbs a run only slows it down.
const RUNS: usize = 8;

/// Operations per second (a multiplication and an addition are two) of the fastest matrix product of float32 on
/// `threads` threads, each with a product of its own, as encoders work. Takes about a second. `None` where the
/// instruction set is capped, which leaves only plain loops.
#[must_use]
pub fn matrix_peak(threads: usize) -> Option<f64> {
    if capped().is_some() {
        return None;
    }
    let rates = SHAPES.map(|shape| rate(shape, threads.max(1)));
    let best = rates.into_iter().flatten().fold(0.0, f64::max);
    (best > 0.0).then_some(best)
}

/// Operations per second of the best run of a shape.
fn rate(shape: [usize; 3], threads: usize) -> Option<f64> {
    let [rows, inner, columns] = shape.map(|n| n as f64);
    let each = 2.0 * rows * inner * columns;
    let times = (RUN / each).ceil() as usize;
    let barrier = Barrier::new(threads);
    let seconds: Vec<Option<[f64; RUNS]>> = std::thread::scope(|scope| {
        let one = || {
            let pool = ThreadPoolBuilder::new().num_threads(1).build();
            // Every thread comes to every barrier, whatever failed.
            match pool {
                Ok(pool) => pool.install(|| runs(shape, times, &barrier)).ok(),
                Err(_) => {
                    (0..RUNS).for_each(|_| {
                        barrier.wait();
                    });
                    None
                }
            }
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|t| t.join().ok().flatten()).collect()
    });
    let seconds: Vec<[f64; RUNS]> = seconds.into_iter().collect::<Option<_>>()?;
    let slowest = |run: usize| seconds.iter().map(|s| s[run]).fold(0.0, f64::max);
    let best = (0..RUNS).map(slowest).fold(f64::INFINITY, f64::min);
    Some(each * times as f64 * threads as f64 / best)
}

/// Seconds of each run on one thread.
fn runs(shape: [usize; 3], times: usize, barrier: &Barrier) -> Result<[f64; RUNS]> {
    let [rows, inner, columns] = shape;
    let values = |n: usize| (0..n).map(|i| (i % 13) as f32 - 6.0).collect::<Vec<f32>>();
    let (a, b) = (values(rows * inner), values(inner * columns));
    let weights = Weights::new(NdTensorView::from_data([inner, columns], &b[..]));
    let product = Product::new(
        NdTensorView::from_data([rows, inner], &a[..]),
        Right::Weights(&weights),
    );
    let mut out = Vec::new();
    let mut outcome = product.write(&mut out);
    let seconds = std::array::from_fn(|_| {
        barrier.wait();
        let begun = Instant::now();
        for _ in 0..times {
            if let Err(error) = product.write(&mut out) {
                outcome = Err(error);
            }
        }
        begun.elapsed().as_secs_f64()
    });
    outcome.map(|()| seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_multiplies() {
        let found = rate([64, 64, 64], 1).expect("a product");
        assert!(found > 1e8 && found < 1e13, "{found}");
    }
}
