//! Whether a 95 % interval holds the population's value in 95 % of samples.

use korfinsts_metric::{
    BootstrapOptions, Clusters, Domains, SpearmanSample, TripletSample, bootstrap,
};
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

/// Documents of four pairs whose predicted and gold scores share parts of the document: of correlation `r`
/// within documents and between them, so that the population's ρ is that of one normal pair.
fn documents(rng: &mut Xoshiro256PlusPlus, icc: f64, r: f64) -> [Vec<f64>; 2] {
    let mut columns = [vec![], vec![]];
    let pair = |rng: &mut Xoshiro256PlusPlus| {
        let (x, noise) = normals(rng);
        [r * x + f64::sqrt(1.0 - r * r) * noise, x]
    };
    for _ in 0..DOCUMENTS {
        let shared = pair(rng);
        for _ in 0..PER_DOCUMENT {
            let own = pair(rng);
            for side in 0..2 {
                let value = icc.sqrt() * shared[side] + (1.0 - icc).sqrt() * own[side];
                columns[side].push(value);
            }
        }
    }
    columns
}

/// Triplets of documents, four each, of which 70 % are seen: by a latent number that documents share.
fn seen(rng: &mut Xoshiro256PlusPlus, icc: f64) -> Vec<f64> {
    let mut values = Vec::new();
    for _ in 0..DOCUMENTS {
        let shared = normals(rng).0;
        for _ in 0..PER_DOCUMENT {
            let latent = icc.sqrt() * shared + (1.0 - icc).sqrt() * normals(rng).0;
            // Φ(0.524401) = 0.7.
            values.push(f64::from(u8::from(latent < 0.524_401)));
        }
    }
    values
}

const DOCUMENTS: usize = 148;
const PER_DOCUMENT: usize = 4;

/// Shares of samples whose interval holds the truth: ρ with documents drawn, ρ with pairs drawn, triplet
/// accuracy with documents drawn.
fn clustered_coverage(icc: f64, samples: u64) -> [f64; 3] {
    const R: f64 = 0.5;
    let truth = 6.0 / std::f64::consts::PI * f64::asin(R / 2.0);
    let names: Vec<String> = (0..DOCUMENTS * PER_DOCUMENT)
        .map(|i| (i / PER_DOCUMENT).to_string())
        .collect();
    let clusters = Clusters::new(names.iter().map(|n| Some(n.as_str()))).expect("names");
    let groups = vec!["one"; names.len()];
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(148);
    let mut held = [0_u64; 3];
    for seed in 0..samples {
        let options = BootstrapOptions {
            resamples: 1_000,
            seed,
            ..BootstrapOptions::default()
        };
        let [predicted, gold] = documents(&mut rng, icc, R);
        let rho = SpearmanSample::new(&predicted, &gold).expect("scores vary");
        let share = TripletSample::new(seen(&mut rng, icc), Domains::new(&groups)).expect("some");
        let found = [
            bootstrap(&rho, options.by(Some(&clusters))),
            bootstrap(&rho, &options),
            bootstrap(&share, options.by(Some(&clusters))),
        ];
        for ((held, found), truth) in held.iter_mut().zip(found).zip([truth, truth, 0.7]) {
            *held += u64::from(found.expect("resamples vary").contains(truth));
        }
    }
    held.map(|held| held as f64 / samples as f64)
}

#[test]
fn intervals_of_clusters_cover_and_those_of_their_pairs_do_not() {
    let [clustered, alone, triplets] = clustered_coverage(0.6, 200);
    // Three standard errors of 200 samples are 4.6 points.
    assert!((0.905..=0.99).contains(&clustered), "{clustered}");
    assert!((0.905..=0.99).contains(&triplets), "{triplets}");
    assert!(alone < 0.9, "{alone}");
}

/// `cargo nextest run --run-ignored only -E 'test(clusters_cover_at_length)' --no-capture`
#[test]
#[ignore = "a simulation of minutes"]
fn intervals_of_clusters_cover_at_length() {
    for icc in [0.0, 0.3, 0.6] {
        let found = clustered_coverage(icc, 3_000);
        let [clustered, alone, triplets] = found;
        eprintln!("correlation {icc}: ρ {clustered}, ρ by pairs {alone}, triplets {triplets}");
        for share in [clustered, triplets] {
            // 94 to 96 %, give or take a standard error of 3,000 samples.
            assert!((0.936..=0.964).contains(&share), "{icc}: {found:?}");
        }
    }
}
