//! Speed of intervals and tests, on one core: `cargo bench --bench bootstrap`.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use korfinsts_metric::{
    AucSample, BootstrapOptions, PairedStatistic, PearsonSample, SpearmanSample, Statistic,
    bootstrap, permutation_test, rank_ranges,
};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// `KorFinSTS` has this many pairs.
const PAIRS: usize = 1_991;

fn units(seed: u64) -> Vec<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..PAIRS)
        .map(|_| (rng.next_u64() >> 11) as f64 * 2.0_f64.powi(-53))
        .collect()
}

fn intervals(criterion: &mut Criterion) {
    let one_core = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a thread can be started");
    let options = BootstrapOptions::default();
    let continuous = units(1);
    let binary: Vec<f64> = continuous
        .iter()
        .map(|v| f64::from(u8::from(*v < 0.59)))
        .collect();
    let ratings: Vec<f64> = continuous
        .iter()
        .map(|v| (v * 25.0).round() / 5.0)
        .collect();
    let predicted: Vec<f64> = units(2)
        .iter()
        .zip(&continuous)
        .map(|(e, v)| e + v)
        .collect();
    let coarse: Vec<f64> = predicted.iter().map(|v| (v * 200.0).round()).collect();
    let spearman = |x: &[f64], y: &[f64]| SpearmanSample::new(x, y).expect("scores vary");

    let mut group = criterion.benchmark_group("bootstrap, 10,000 resamples of 1,991 pairs");
    group.sample_size(20);
    let cases: [(&str, Box<dyn Statistic>); 6] = [
        (
            "Spearman, binary gold",
            Box::new(spearman(&predicted, &binary)),
        ),
        (
            "Spearman, gold of 26 values",
            Box::new(spearman(&predicted, &ratings)),
        ),
        (
            "Spearman, gold without ties",
            Box::new(spearman(&predicted, &continuous)),
        ),
        (
            "Spearman, tied predictions",
            Box::new(spearman(&coarse, &ratings)),
        ),
        (
            "Pearson",
            Box::new(PearsonSample::new(&predicted, &ratings).expect("scores vary")),
        ),
        (
            "AUC",
            Box::new(AucSample::new(&predicted, &binary).expect("two classes")),
        ),
    ];
    for (name, sample) in &cases {
        group.bench_function(*name, |b| {
            b.iter(|| one_core.install(|| bootstrap(black_box(&**sample), &options)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("two and many models, 1,991 pairs");
    group.sample_size(10);
    let other = units(3);
    group.bench_function("permutation test, 10,000 swaps", |b| {
        b.iter(|| {
            one_core.install(|| {
                permutation_test(
                    PairedStatistic::Spearman,
                    [&predicted, &other],
                    &binary,
                    &options,
                )
            })
        });
    });
    let models: Vec<Vec<f64>> = (10..30).map(units).collect();
    let models: Vec<&[f64]> = models.iter().map(Vec::as_slice).collect();
    group.bench_function("rank ranges of 20 models, 10,000 resamples", |b| {
        b.iter(|| {
            one_core.install(|| rank_ranges(PairedStatistic::Spearman, &models, &binary, &options))
        });
    });
    group.finish();
}

criterion_group!(benches, intervals);
criterion_main!(benches);
