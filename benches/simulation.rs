//! Whether the interval of a difference holds the true difference as often as it says, and whether
//! the tests of two equal models reject as often as they say.
//!
//! `cargo bench --bench simulation [-- SAMPLES]`. Prints shares with their standard errors; no times.
#![allow(
    missing_docs,
    clippy::print_stdout,
    reason = "its output is what it is for"
)]

use korfinsts_metric::{BootstrapOptions, PairedStatistic, compare};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

const SAMPLES: usize = 5_000;
/// Pairs that represent the population.
const POPULATION: usize = 4_000_000;

/// Two models of one truth, whose errors go together: gold is the truth, or whether it exceeds 0.2.
struct World {
    name: &'static str,
    /// Size of each model's error.
    noise: [f64; 2],
    binary: bool,
    statistic: PairedStatistic,
}

const WORLDS: [World; 5] = [
    World {
        name: "ρ, graded gold, unequal models",
        noise: [0.6, 1.2],
        binary: false,
        statistic: PairedStatistic::Spearman,
    },
    World {
        name: "ρ, binary gold, unequal models",
        noise: [0.6, 1.2],
        binary: true,
        statistic: PairedStatistic::Spearman,
    },
    World {
        name: "ρ, graded gold, equal models",
        noise: [0.9, 0.9],
        binary: false,
        statistic: PairedStatistic::Spearman,
    },
    World {
        name: "ρ, binary gold, equal models",
        noise: [0.9, 0.9],
        binary: true,
        statistic: PairedStatistic::Spearman,
    },
    World {
        name: "AUC, equal models",
        noise: [0.9, 0.9],
        binary: true,
        statistic: PairedStatistic::Auc,
    },
];

impl World {
    /// Scores of both models, and gold.
    fn sample(&self, rng: &mut Xoshiro256PlusPlus, n: usize) -> [Vec<f64>; 3] {
        let mut unit = || ((rng.next_u64() >> 11) as f64 + 0.5) * 2.0_f64.powi(-53);
        let mut normal = || (-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos();
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let mut columns = [vec![], vec![], vec![]];
        for _ in 0..n {
            let (truth, shared) = (normal(), normal());
            for (scores, noise) in columns.iter_mut().zip(self.noise) {
                scores.push(truth + noise * half * (shared + normal()));
            }
            let gold = if self.binary {
                f64::from(truth > 0.2)
            } else {
                truth
            };
            columns[2].push(gold);
        }
        columns
    }

    fn run(&self, n: usize, resamples: usize, samples: usize) {
        let equal = self.noise[0] == self.noise[1];
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2_026);
        let truth = if equal {
            0.0
        } else {
            let [a, b, gold] = self.sample(&mut rng, POPULATION);
            let of = |x: &[f64]| korfinsts_metric::spearman(x, &gold).expect("scores vary");
            of(&a) - of(&b)
        };
        let mut held = 0;
        let mut rejected = [0; 2];
        for seed in 0..samples {
            let [a, b, gold] = self.sample(&mut rng, n);
            let options = BootstrapOptions {
                resamples,
                seed: seed as u64,
                ..BootstrapOptions::default()
            };
            let found = compare(self.statistic, [&a, &b], &gold, &options).expect("scores vary");
            held += usize::from(found.interval.contains(truth));
            rejected[0] += usize::from(found.permutation.p_value <= 0.05);
            rejected[1] += usize::from(found.p_bootstrap <= 0.05);
        }
        let share = |count: usize| {
            let share = count as f64 / samples as f64;
            let error = (share * (1.0 - share) / samples as f64).sqrt();
            format!("{share:.4} ± {error:.4}")
        };
        println!(
            "| {} | {n} | {} | {} | {} |",
            self.name,
            share(held),
            share(rejected[0]),
            share(rejected[1])
        );
    }
}

fn main() {
    let samples = std::env::args().find_map(|a| a.parse().ok());
    let samples = samples.unwrap_or(SAMPLES);
    println!("{samples} samples each, 999 resamples and permutations, nominal .95 and .05\n");
    println!("| what | pairs | covered | permutation test rejects | bootstrap rejects |");
    println!("|---|--:|--:|--:|--:|");
    for world in &WORLDS {
        for n in [50, 150, 370] {
            world.run(n, 999, samples);
        }
    }
}
