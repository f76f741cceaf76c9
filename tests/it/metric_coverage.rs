//! Whether a 95 % interval holds the population's value in 95 % of samples.

use korfinsts_metric::{BootstrapOptions, SpearmanSample, bootstrap};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

const SAMPLES: u64 = 600;
const PAIRS: usize = 200;

/// Two independent standard normal numbers (Box and Muller).
fn normals(rng: &mut Xoshiro256PlusPlus) -> (f64, f64) {
    let mut unit = || ((rng.next_u64() >> 11) as f64 + 0.5) * 2.0_f64.powi(-53);
    let (radius, angle) = ((-2.0 * unit().ln()).sqrt(), std::f64::consts::TAU * unit());
    (radius * angle.cos(), radius * angle.sin())
}

/// Share of samples whose interval holds `truth`.
fn coverage(truth: f64, mut pair: impl FnMut(&mut Xoshiro256PlusPlus) -> (f64, f64)) -> f64 {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(20_25);
    let mut held = 0;
    for seed in 0..SAMPLES {
        let (predicted, gold): (Vec<f64>, Vec<f64>) = (0..PAIRS).map(|_| pair(&mut rng)).unzip();
        let options = BootstrapOptions {
            resamples: 1_000,
            seed,
            ..BootstrapOptions::default()
        };
        let sample = SpearmanSample::new(&predicted, &gold).expect("scores vary");
        let interval = bootstrap(&sample, &options).expect("resamples vary");
        held += u64::from(interval.contains(truth));
    }
    held as f64 / SAMPLES as f64
}

fn holds(share: f64, what: &str) {
    // 95 % less what the percentile interval loses on 200 pairs, give or take three standard
    // errors of 600 samples (0.9 points each).
    assert!((0.925..=0.97).contains(&share), "{what}: {share}");
}

#[test]
fn intervals_of_normal_pairs_cover() {
    for r in [0.0, 0.3, 0.8] {
        let truth = 6.0 / std::f64::consts::PI * f64::asin(r / 2.0);
        let share = coverage(truth, |rng| {
            let (x, noise) = normals(rng);
            (r * x + f64::sqrt(1.0 - r * r) * noise, x)
        });
        holds(share, &format!("r {r}"));
    }
}

#[test]
fn intervals_of_binary_gold_cover() {
    // Predictions of the two classes are normal, `shift` apart: AUC = Φ(shift / √2).
    for (ones, shift, auc) in [(0.59, 0.0, 0.5), (0.44, 0.583_3, 0.660)] {
        let truth = f64::sqrt(3.0 * ones * (1.0 - ones)) * (2.0 * auc - 1.0);
        let share = coverage(truth, |rng| {
            let gold = (rng.next_u64() >> 11) as f64 * 2.0_f64.powi(-53) < ones;
            let gold = f64::from(u8::from(gold));
            (shift * gold + normals(rng).0, gold)
        });
        holds(share, &format!("share of ones {ones}, AUC {auc}"));
    }
}
