//! What no score may depend on, for any pairs.

use korfinsts_metric::{
    AucSample, BootstrapOptions, Domains, PairedStatistic, PearsonSample, SpearmanSample,
    Statistic, Undefined, Workspace, auc, average_precision, bootstrap, bootstrap_with, compare,
    mid_ranks, pearson, spearman, spearman_ceiling, spearman_from_auc, within_domain_spearman,
};
use proptest::prelude::*;

/// Scores with many ties and with few, and gold scores that are graded or binary.
fn pairs() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let predicted = prop_oneof![
        (-4_i32..5).prop_map(f64::from),
        (-1.0..1.0_f64),
        (-1_000_000_i32..1_000_000).prop_map(|v| f64::from(v) / 1e6),
    ];
    let graded = (0_i32..26).prop_map(|v| f64::from(v) / 5.0);
    let binary = (0_i32..2).prop_map(f64::from);
    prop_oneof![
        proptest::collection::vec((predicted.clone(), graded), 0..60),
        proptest::collection::vec((predicted, binary), 0..60),
    ]
}

type Score = fn(&[f64], &[f64]) -> Result<f64, Undefined>;

fn same(a: &Result<f64, Undefined>, b: &Result<f64, Undefined>, tolerance: f64) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => (a - b).abs() <= tolerance,
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

fn options(seed: u64) -> BootstrapOptions {
    BootstrapOptions {
        resamples: 200,
        seed,
        ..BootstrapOptions::default()
    }
}

proptest! {
    #[test]
    fn scores_lie_in_their_range(pairs in pairs()) {
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        for (score, low) in [
            (spearman as Score, -1.0),
            (pearson, -1.0),
            (auc, 0.0),
            (average_precision, 0.0),
        ] {
            if let Ok(value) = score(&x, &y) {
                prop_assert!((low..=1.0).contains(&value), "{}", value);
            }
        }
    }

    #[test]
    fn order_of_pairs_does_not_matter(pairs in pairs(), shift in 0_usize..60) {
        let mut turned = pairs.clone();
        turned.reverse();
        let middle = shift % turned.len().max(1);
        turned.rotate_left(middle);
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let (a, b): (Vec<f64>, Vec<f64>) = turned.into_iter().unzip();
        for (score, tolerance) in [
            (spearman as Score, 0.0),
            (pearson, 1e-12),
            (auc, 0.0),
            (average_precision, 0.0),
        ] {
            prop_assert!(same(&score(&x, &y), &score(&a, &b), tolerance));
        }
    }

    #[test]
    fn monotone_images_keep_what_ranks_decide(pairs in pairs()) {
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        // Ranks as scores: strictly monotone whatever the rounding.
        let image: Vec<f64> = mid_ranks(&x).unwrap().iter().map(|r| r * r * r - 7.0).collect();
        for score in [spearman as Score, auc, average_precision] {
            prop_assert!(same(&score(&x, &y), &score(&image, &y), 0.0));
        }
        let line: Vec<f64> = x.iter().map(|v| 8.0 * v).collect();
        prop_assert!(same(&pearson(&x, &y), &pearson(&line, &y), 1e-12));
    }

    #[test]
    fn correlations_are_symmetric_and_turn_with_the_sign(pairs in pairs()) {
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let minus: Vec<f64> = x.iter().map(|v| -v).collect();
        for score in [spearman as Score, pearson] {
            prop_assert!(same(&score(&x, &y), &score(&y, &x), 0.0));
            prop_assert!(same(&score(&x, &y), &score(&minus, &y).map(|v| -v), 0.0));
        }
        prop_assert!(same(&auc(&x, &y), &auc(&minus, &y).map(|v| 1.0 - v), 1e-12));
    }

    #[test]
    fn no_untied_predictions_pass_the_ceiling(pairs in pairs()) {
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let untied = mid_ranks(&x).unwrap();
        let untied: Vec<f64> = untied.iter().enumerate().map(|(i, r)| r + 1e-3 * i as f64).collect();
        if let (Ok(rho), Ok(ceiling)) = (spearman(&untied, &y), spearman_ceiling(&y)) {
            prop_assert!(rho.abs() <= ceiling + 1e-12, "{} {}", rho, ceiling);
            if let Ok(area) = auc(&untied, &y) {
                let classes = korfinsts_metric::classes(&y).unwrap();
                prop_assert!((spearman_from_auc(area, classes) - rho).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn within_domains_a_shift_of_a_domain_does_not_matter(pairs in pairs(), shift in -9.0..9.0_f64) {
        let names: Vec<&str> = (0..pairs.len()).map(|i| ["news", "legal"][i % 2]).collect();
        let domains = Domains::new(&names);
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        // Whole shifts of ranks, so that rounding makes no new ties.
        let ranks = mid_ranks(&x).unwrap();
        let moved: Vec<f64> = ranks
            .iter()
            .enumerate()
            .map(|(i, r)| r + if i % 2 == 0 { shift.round() } else { 0.0 })
            .collect();
        let found = within_domain_spearman(&moved, &y, &domains);
        prop_assert!(same(&within_domain_spearman(&x, &y, &domains), &found, 0.0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bootstraps_repeat_and_agree_with_the_plain_way(pairs in pairs(), seed: u64) {
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let plain = |score: Score| {
            let score = |drawn: &[u32]| {
                let take = |v: &[f64]| drawn.iter().map(|&i| v[i as usize]).collect::<Vec<_>>();
                score(&take(&x), &take(&y)).ok()
            };
            bootstrap_with(x.len(), score, &options(seed))
        };
        if let Ok(sample) = SpearmanSample::new(&x, &y) {
            let fast = bootstrap(&sample, &options(seed));
            prop_assert_eq!(&fast, &bootstrap(&sample, &options(seed)));
            prop_assert_eq!(fast, plain(spearman));
        }
        if let Ok(sample) = AucSample::new(&x, &y) {
            prop_assert_eq!(bootstrap(&sample, &options(seed)), plain(auc));
        }
        if let Ok(sample) = PearsonSample::new(&x, &y) {
            match (bootstrap(&sample, &options(seed)), plain(pearson)) {
                (Ok(a), Ok(b)) => {
                    prop_assert!((a.low - b.low).abs() < 1e-9 && (a.high - b.high).abs() < 1e-9);
                    prop_assert_eq!(a.skipped, b.skipped);
                }
                (a, b) => prop_assert!(a.is_err() && b.is_err()),
            }
        }
    }

    #[test]
    fn samples_of_counts_one_are_the_pairs(pairs in pairs()) {
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        if let Ok(sample) = SpearmanSample::new(&x, &y) {
            let found = sample.of_counts(&vec![1; x.len()], &mut Workspace::default());
            prop_assert_eq!(found, spearman(&x, &y).ok());
        }
    }

    #[test]
    fn swapping_two_models_turns_the_difference(
        triples in proptest::collection::vec((-1.0..1.0_f64, -1.0..1.0_f64, 0_i32..6), 3..40),
        seed: u64,
    ) {
        let a: Vec<f64> = triples.iter().map(|t| t.0).collect();
        let b: Vec<f64> = triples.iter().map(|t| t.1).collect();
        let gold: Vec<f64> = triples.iter().map(|t| f64::from(t.2)).collect();
        let one = compare(PairedStatistic::Spearman, [&a, &b], &gold, &options(seed));
        let other = compare(PairedStatistic::Spearman, [&b, &a], &gold, &options(seed));
        if let (Ok(one), Ok(other)) = (one, other) {
            prop_assert_eq!(one.delta, -other.delta);
            prop_assert_eq!(one.p_bootstrap, other.p_bootstrap);
            prop_assert_eq!(one.permutation, other.permutation);
            prop_assert!((one.interval.low + other.interval.high).abs() < 1e-12);
            prop_assert!(one.permutation.p_value > 0.0 && one.permutation.p_value <= 1.0);
        }
    }
}
