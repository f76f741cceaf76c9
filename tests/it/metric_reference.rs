//! Correlations, areas, permutation tests and cosines against `SciPy`, scikit-learn and `NumPy`.
//!
//! The expected values are made by `tests/reference/metric/make.py`; the inputs are made here and
//! there from the same whole-number generator.

use korfinsts_metric::{
    BootstrapOptions, PairedStatistic, Undefined, auc, average_precision, cosine_f32, pearson,
    permutation_test, spearman,
};

use super::support::repository;

type Score = fn(&[f64], &[f64]) -> Result<f64, Undefined>;

/// Largest difference allowed.
const TOLERANCE: f64 = 1e-12;

/// The first `count` numbers of `SplitMix64` from `seed`.
fn split_mix(seed: u64, count: usize) -> Vec<u64> {
    (1..=count as u64)
        .map(|at| {
            let z = seed.wrapping_add(at.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        })
        .collect()
}

fn unit(z: u64) -> f64 {
    (z >> 11) as f64 * 2.0_f64.powi(-53)
}

fn below(z: u64, bound: u64) -> f64 {
    (z % bound) as f64
}

/// Predicted and gold scores of one case, as `pairs` of `make.py`.
fn pairs(case: u64) -> (Vec<f64>, Vec<f64>) {
    let n = 3 + (split_mix(case, 1)[0] % 198) as usize;
    let z = split_mix(case, 1 + 2 * n);
    z[1..]
        .chunks(2)
        .map(|z| {
            let (a, b) = (z[0], z[1]);
            let binary = f64::from(u8::from(a % 10 < 1 + case % 9));
            match case % 6 {
                0 => (0.5 * unit(a) + unit(b), unit(a)),
                1 => (below(a, 5) + below(b, 4), below(a, 5)),
                2 => (0.25 * binary + unit(b), binary),
                3 => (binary - below(b, 3), binary),
                4 => (unit(b) - 0.125 * below(a, 6), below(a, 6)),
                _ => (below(b, 64) / 64.0, below(a, 26) / 5.0),
            }
        })
        .unzip()
}

fn rows(name: &str) -> Vec<Vec<String>> {
    let path = repository("tests/reference/metric").join(name);
    let bytes = korfinsts_base::fs::read(&path).expect("the reference file is there");
    let text = String::from_utf8(bytes).expect("the reference file is UTF-8");
    text.lines()
        .skip(1)
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

#[test]
fn ten_thousand_cases_agree_with_scipy_and_scikit_learn() {
    let rows = rows("correlation.tsv");
    assert_eq!(rows.len(), 10_000);
    let statistics: [(&str, Score); 4] = [
        ("spearman", spearman),
        ("pearson", pearson),
        ("auc", auc),
        ("average precision", average_precision),
    ];
    let (mut numbers, mut undefined) = ([0; 4], [0; 4]);
    for row in rows {
        let case: u64 = row[0].parse().unwrap();
        let (predicted, gold) = pairs(case);
        assert_eq!(gold.len().to_string(), row[1], "case {case}");
        for (at, (name, statistic)) in statistics.iter().enumerate() {
            match (statistic(&predicted, &gold), row[2 + at].as_str()) {
                (Err(_), "") => undefined[at] += 1,
                (Ok(found), expected) if !expected.is_empty() => {
                    let expected: f64 = expected.parse().unwrap();
                    assert!(
                        (found - expected).abs() <= TOLERANCE,
                        "case {case}, {name}: found {found}, expected {expected}"
                    );
                    numbers[at] += 1;
                }
                (found, expected) => {
                    panic!("case {case}, {name}: found {found:?}, expected `{expected}`")
                }
            }
        }
    }
    assert!(numbers[0] > 9_800 && numbers[1] > 9_800, "{numbers:?}");
    assert!(numbers[2] > 3_000 && numbers[3] > 3_000, "{numbers:?}");
    assert!(undefined[0] > 10 && undefined[2] > 6_000, "{undefined:?}");
}

#[test]
fn permutation_tests_agree_with_scipy() {
    let (mut exact, mut random) = (0, 0);
    for row in rows("permutation.tsv") {
        let case: u64 = row[0].parse().unwrap();
        let n: usize = row[1].parse().unwrap();
        let expected: f64 = row[3].parse().unwrap();
        let z = split_mix(1_000_000 + case, 3 * n);
        let steps = if case.is_multiple_of(3) { 7 } else { 1_000_000 };
        let noise = if case >= 60 { 4.0 } else { 1.0 };
        let (statistic, gold): (_, Vec<f64>) = if case % 2 == 1 {
            assert_eq!(row[2], "auc");
            (
                PairedStatistic::Auc,
                (0..n).map(|i| (i % 2) as f64).collect(),
            )
        } else {
            assert_eq!(row[2], "spearman");
            (
                PairedStatistic::Spearman,
                z[..n].iter().map(|&z| below(z, 5)).collect(),
            )
        };
        let noises = |z: &[u64]| -> Vec<f64> {
            z.iter()
                .map(|&z| noise * below(z, steps) / steps as f64)
                .collect()
        };
        let a: Vec<f64> = noises(&z[n..2 * n])
            .iter()
            .zip(&gold)
            .map(|(noise, gold)| gold * 0.125 + noise)
            .collect();
        let b = noises(&z[2 * n..]);
        let options = BootstrapOptions::default();
        let found = permutation_test(statistic, [&a, &b], &gold, &options).unwrap();
        let allowed = if found.exact {
            exact += 1;
            assert_eq!(found.permutations, 1 << n);
            TOLERANCE
        } else {
            random += 1;
            // Four standard errors of the difference of two Monte-Carlo shares.
            4.0 * (expected * (1.0 - expected) * (1.0 / 10_000.0 + 1.0 / 20_000.0)).sqrt() + 1e-4
        };
        assert!(
            (found.p_value - expected).abs() <= allowed,
            "case {case}: found {found:?}, expected {expected}"
        );
    }
    assert!(exact > 50 && random == 4, "{exact} {random}");
}

#[test]
fn float32_cosine_has_the_bits_of_scikit_learn() {
    let rows = rows("cosine.tsv");
    assert_eq!(rows.len(), 600);
    for row in rows {
        let case: u64 = row[0].parse().unwrap();
        let dimensions: usize = row[1].parse().unwrap();
        let values: Vec<f32> = split_mix(2_000_000 + case, 2 * dimensions)
            .into_iter()
            .map(|z| (z >> 40) as f32 * 2.0_f32.powi(-24) - 0.5)
            .collect();
        let (first, second) = values.split_at(dimensions);
        let second: Vec<f32> = if case.is_multiple_of(3) {
            first
                .iter()
                .zip(second)
                .map(|(x, y)| x + y * 2.0_f32.powi(-7))
                .collect()
        } else {
            second.to_vec()
        };
        let found = cosine_f32(first, &second).unwrap();
        assert_eq!(
            format!("{:08x}", found.to_bits()),
            row[2],
            "case {case}, {dimensions} dimensions: {found}"
        );
    }
}
