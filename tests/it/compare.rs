//! `korfinsts compare` from outside: against `SciPy`, on models whose truth is known, and on files
//! that do not belong together.

use std::path::{Path, PathBuf};

use korfinsts_bench::run::record::{Record, RecordFiles, ScoredPair, Timing};
use korfinsts_bench::run::score;
use korfinsts_metric::{BootstrapOptions, PairedStatistic, compare};
use predicates::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use super::support::{Home, full, repository};

/// A pair of a suite that no one else has.
pub fn pair(at: usize, gold: f64, score: f64) -> ScoredPair {
    ScoredPair {
        id: format!("p-{at}"),
        gold,
        score: Some(score),
        ..ScoredPair::default()
    }
}

/// A record of an encoder on a suite with the numbers that its pairs give.
pub fn record(encoder: &str, suite: &str, scale: &str, pairs: &[ScoredPair]) -> Record {
    use korfinsts_bench::run::score::{Asked, numbers};
    let options = BootstrapOptions {
        resamples: 200,
        ..BootstrapOptions::default()
    };
    let mut record = numbers(pairs, Asked::of(scale, "candle"), Some(&options)).record();
    record.schema_version = 1;
    record.n_pairs = pairs.len();
    record.encoder.name = encoder.into();
    record.encoder.backend = "candle".into();
    record.encoder.protocol = "mteb".into();
    record.encoder.sha256 = Some(format!("{encoder:0>64}"));
    record.suite.id = suite.into();
    record.suite.split = "test".into();
    record.suite.scale = scale.into();
    record.suite.release_id = "ab".repeat(32);
    record.bootstrap.resamples = 200;
    record.bootstrap.level = 0.95;
    record
}

/// Writes a record under `results` and returns its file.
pub fn keep(results: &Path, mut record: Record, pairs: &[ScoredPair]) -> PathBuf {
    let key = record.encoder.sha256.clone().unwrap_or_default();
    let files = RecordFiles::new(results, &record, &key);
    let timing = Timing {
        finished_at: 0.0,
        elapsed_s: 0.0,
        encode_s: 0.0,
        texts_encoded: 0,
        encoded_by: None,
        usage: None,
        notes: Vec::new(),
    };
    record.write(&files, pairs, &timing).expect("written");
    files.record
}

fn pairs(gold: &[f64], scores: &[f64]) -> Vec<ScoredPair> {
    let both = gold.iter().zip(scores).enumerate();
    both.map(|(i, (g, s))| pair(i, *g, *s)).collect()
}

fn report(home: &Home, arguments: &[&str]) -> Value {
    let output = home.command(arguments).assert().success();
    serde_json::from_slice(&output.get_output().stdout).expect("stdout is one JSON document")
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|v| v.as_f64().expect("a number")).collect()
}

#[test]
fn the_paired_tests_agree_with_scipy() {
    let text = std::fs::read(repository("tests/reference/leaderboard/compare.json"));
    let cases: Value = serde_json::from_slice(&text.expect("read")).expect("JSON");
    let cases = cases.as_array().expect("cases");
    let home = Home::new();
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let scale = case["scale"].as_str().expect("a scale");
        let gold = numbers(&case["gold"]);
        for model in ["a", "b"] {
            let pairs = pairs(&gold, &numbers(&case[model]));
            keep(&home.results(), record(model, name, scale, &pairs), &pairs);
        }
    }
    let found = report(&home, &["compare", "a", "b", "--format", "json"]);
    assert_eq!((&found["a"], &found["b"]), (&"a".into(), &"b".into()));
    let mut p_values = Vec::new();
    for case in cases {
        let suite = &found["suites"][case["name"].as_str().expect("a name")];
        for (key, ours) in [("spearman", suite), ("auc", &suite["auc"])] {
            let theirs = &case[key];
            if theirs.is_null() {
                continue;
            }
            let what = format!("{} {key}: {ours} {theirs}", case["name"]);
            let get = |v: &Value, k: &str| v[k].as_f64().unwrap_or_else(|| panic!("{k} of {what}"));
            let delta = get(theirs, "a") - get(theirs, "b");
            let ours_delta = get(ours, &format!("delta_{key}"));
            assert!((ours_delta - delta).abs() < 1e-12, "{what}");
            // Two Monte Carlo p-values of 10,000 and 20,000: five standard errors.
            let p = get(theirs, "p_value");
            let error = (p * (1.0 - p) * 1.5e-4).sqrt();
            assert!(
                (get(ours, "p_value") - p).abs() < 5.0 * error + 2e-4,
                "{what}"
            );
            // Ends of an interval: each has a standard error of about 0.027 of that of Δ at 10,000.
            let error = get(theirs, "standard_error");
            for (ours, theirs) in numbers(&ours["interval"])
                .iter()
                .zip(numbers(&theirs["interval"]))
            {
                assert!((ours - theirs).abs() < 0.15 * error, "{what}");
            }
        }
        let p = |k: &str| suite[k].as_f64().expect("a p-value");
        p_values.push((p("p_value"), p("p_holm")));
    }
    // Holm by hand: the smallest times 4, the next times 3, never falling.
    p_values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut largest = 0.0_f64;
    for (at, (p, holm)) in p_values.iter().enumerate() {
        largest = largest.max((p * (4 - at) as f64).min(1.0));
        assert!((holm - largest).abs() < 1e-12, "{p_values:?}");
    }
}

/// Two models of one truth: gold is binary or not, the models' errors go together.
fn sample(rng: &mut Xoshiro256PlusPlus, n: usize, noise: [f64; 2], binary: bool) -> [Vec<f64>; 3] {
    let mut unit = || ((rng.next_u64() >> 11) as f64 + 0.5) * 2.0_f64.powi(-53);
    let mut normal = || (-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos();
    let mut columns = [vec![], vec![], vec![]];
    for _ in 0..n {
        let (truth, shared) = (normal(), normal());
        columns[0].push(truth + noise[0] * (0.7 * shared + 0.7 * normal()));
        columns[1].push(truth + noise[1] * (0.7 * shared + 0.7 * normal()));
        columns[2].push(if binary {
            f64::from(truth > 0.2)
        } else {
            truth
        });
    }
    columns
}

#[test]
fn intervals_of_a_difference_cover_and_tests_hold_their_level() {
    const SAMPLES: usize = 300;
    if !full("900 simulated comparisons") {
        return;
    }
    // Different models: the interval of Δ holds the true Δ, known from 400,000 pairs.
    for (noise, binary) in [([0.6, 1.2], false), ([0.6, 1.2], true), ([0.9, 0.9], true)] {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let [a, b, gold] = sample(&mut rng, 400_000, noise, binary);
        let rho = |x: &[f64]| korfinsts_metric::spearman(x, &gold).expect("a score");
        let truth = if noise[0] == noise[1] {
            0.0
        } else {
            rho(&a) - rho(&b)
        };
        let (mut held, mut rejected) = (0, [0, 0]);
        for seed in 0..SAMPLES {
            let [a, b, gold] = sample(&mut rng, 150, noise, binary);
            let options = BootstrapOptions {
                resamples: 499,
                seed: seed as u64,
                ..BootstrapOptions::default()
            };
            let found = compare(PairedStatistic::Spearman, [&a, &b], &gold, &options);
            let found = found.expect("scores vary");
            held += usize::from(found.interval.contains(truth));
            rejected[0] += usize::from(found.permutation.p_value <= 0.05);
            rejected[1] += usize::from(found.p_bootstrap <= 0.05);
        }
        let share = |n: usize| n as f64 / SAMPLES as f64;
        eprintln!(
            "noise {noise:?}: covered {}, rejected {:?}",
            share(held),
            rejected.map(share)
        );
        // Three standard errors of 300 samples are 3.8 points.
        assert!(
            (0.912..=0.988).contains(&share(held)),
            "{noise:?}: covered {}",
            share(held)
        );
        for rejected in rejected.map(share) {
            if noise[0] == noise[1] {
                assert!(rejected <= 0.088, "false positives: {rejected}");
                assert!(rejected >= 0.012, "the test never rejects: {rejected}");
            } else {
                assert!(rejected > 0.5, "no power: {rejected}");
            }
        }
    }
}

/// A home with models `good`, `poor` and `same` (as `good` but for one pair) on two suites.
fn models() -> Home {
    let home = Home::new();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for (suite, binary) in [("finsts", true), ("korsts", false)] {
        let [good, poor, gold] = sample(&mut rng, 120, [0.4, 3.0], binary);
        let mut same = good.clone();
        same.swap(0, 1);
        let scale = if binary { "binary" } else { "interval" };
        for (name, scores) in [("org/good", good), ("poor", poor), ("same", same)] {
            let mut pairs = pairs(&gold, &scores);
            for (at, pair) in pairs.iter_mut().enumerate() {
                pair.domain = Some(["news", "legal"][at % 2].into());
            }
            keep(&home.results(), record(name, suite, scale, &pairs), &pairs);
        }
    }
    home
}

#[test]
fn every_format_says_who_is_better() {
    let home = models();
    for (format, needles) in [
        (
            "table",
            &["A is better", "Δρ", "finance", "general", "gains"][..],
        ),
        ("md", &["| finsts | ", "**Finance and general text"]),
        (
            "csv",
            &[
                "org/good,poor,finsts,finance,,120,spearman,",
                ",auc,",
                ",mean,2,spearman",
            ][..1],
        ),
        ("latex", &["\\begin{tabular}", "$\\Delta$$\\rho$"]),
    ] {
        let mut assert = home
            .command(&[
                "compare",
                "good",
                "poor",
                "--format",
                format,
                "--resamples",
                "500",
            ])
            .assert()
            .success();
        for needle in needles {
            assert = assert.stdout(predicate::str::contains(*needle));
        }
    }
    let found = report(
        &home,
        &[
            "compare",
            "good",
            "poor",
            "--by",
            "domain",
            "--pairs",
            "4",
            "--format",
            "json",
            "--resamples",
            "500",
        ],
    );
    let suite = &found["suites"]["finsts"];
    assert!(
        suite["delta_spearman"].as_f64().expect("Δ") > 0.1,
        "{suite}"
    );
    assert!(
        suite["auc"]["delta_auc"].as_f64().expect("ΔAUC") > 0.1,
        "{suite}"
    );
    let parts = suite["parts"].as_array().expect("parts");
    assert_eq!((parts.len(), &parts[0]["name"]), (2, &"legal".into()));
    assert!(
        parts[0]["detectable"]
            .as_f64()
            .is_some_and(|d| d > 0.0 && d < 1.0)
    );
    assert_eq!(parts[0]["n"], 60);
    let pairs = suite["disagreements"].as_array().expect("pairs");
    assert_eq!(pairs.len(), 4);
    let apart =
        |p: &Value| (p["rank_a"].as_f64().expect("a") - p["rank_b"].as_f64().expect("b")).abs();
    assert!(apart(&pairs[0]) >= apart(&pairs[3]) && apart(&pairs[3]) > 0.3);
    assert!(
        pairs[0].get("texts").is_none(),
        "this licence does not let texts be shown"
    );
    assert!(
        suite["texts_withheld"]
            .as_str()
            .expect("a reason")
            .contains("licence")
    );
    assert_eq!(
        found["areas"]["finance"]["suites"],
        serde_json::json!(["finsts"])
    );
}

#[test]
fn a_worse_model_fails_the_check_and_a_near_one_does_not() {
    let home = models();
    let run = |a: &str, b: &str, flag: &str| {
        home.command(&["compare", a, b, "--resamples", "500", flag])
            .assert()
    };
    run("poor", "good", "--fail-if-worse")
        .code(1)
        .stdout(predicate::str::contains("B is better"))
        .stderr(predicate::str::contains(
            "error: `poor` is worse than `org/good` on finsts, korsts",
        ));
    run("good", "poor", "--fail-if-worse").success();
    run("same", "good", "--fail-if-worse").success();
    run("poor", "good", "--fail-if-worse=1.9").success();
    run("poor", "good", "--fail-if-worse=-1").code(2);
}

/// What makes two records that belong together no longer do so.
type Change = fn(&mut Record, &mut Vec<ScoredPair>);

#[test]
fn what_does_not_belong_together_is_refused() {
    let gold: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
    let scores: Vec<f64> = (0..40).map(|i| f64::from((i * 7) % 40)).collect();
    let base = pairs(&gold, &scores);
    let cases: [(&str, Change, i32, &str); 8] = [
        (
            "release",
            |r, _| r.suite.release_id = "cd".repeat(32),
            2,
            "the releases differ",
        ),
        (
            "ids",
            |_, p| p[3].id = "other".into(),
            2,
            "`p-3` was scored by the first only",
        ),
        (
            "gold",
            |_, p| p[3].gold = 0.0,
            2,
            "the gold scores of `p-3` differ: 1 and 0",
        ),
        (
            "protocol",
            |r, _| r.encoder.protocol = "finmteb".into(),
            2,
            "first was run under `mteb`, the second under `finmteb`",
        ),
        (
            "suite",
            |r, _| r.suite.id = "stsb".into(),
            2,
            "share no suite: the first has finsts, the second stsb",
        ),
        (
            "range",
            |r, _| r.scores.auc = Some(7.0),
            3,
            "`auc` is 7e0, outside [-1, 1]",
        ),
        (
            "nameless",
            |r, _| r.suite.id = " ".into(),
            3,
            "names no encoder or no suite",
        ),
        (
            "limit",
            |r, _| r.suite.limit = Some(10),
            2,
            "share no suite",
        ),
    ];
    for (name, change, code, reason) in cases {
        let home = Home::new();
        keep(
            &home.results(),
            record("base", "finsts", "binary", &base),
            &base,
        );
        let (mut other, mut pairs) = (record("other", "finsts", "binary", &base), base.clone());
        change(&mut other, &mut pairs);
        let file = keep(&home.results(), other, &pairs);
        home.command(&["compare", "base", &file.display().to_string()])
            .assert()
            .code(code)
            .stdout("")
            .stderr(predicate::str::contains(reason).and(predicate::str::contains("hint: ")));
        assert!(!name.is_empty());
    }
}

#[test]
fn per_pair_files_are_checked() {
    let gold: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
    let scores: Vec<f64> = (0..40).map(|i| f64::from((i * 7) % 40)).collect();
    let base = pairs(&gold, &scores);
    for (what, reason) in [
        ("other bytes", "sha256 is"),
        ("outside", "is not a bare file name"),
        ("absent", "pairs.jsonl"),
        ("none", "has no per-pair scores"),
    ] {
        let home = Home::new();
        keep(
            &home.results(),
            record("base", "finsts", "binary", &base),
            &base,
        );
        let file = keep(
            &home.results(),
            record("other", "finsts", "binary", &base),
            &base,
        );
        let beside = file.with_extension("pairs.jsonl");
        match what {
            "other bytes" => {
                let text = std::fs::read_to_string(&beside).expect("read");
                std::fs::write(&beside, text.replace("\"gold\":1.0", "\"gold\":0.0"))
                    .expect("written");
            }
            "absent" => std::fs::remove_file(&beside).expect("removed"),
            _ => {
                let text = std::fs::read_to_string(&file).expect("read");
                let mut record: Value = serde_json::from_str(&text).expect("JSON");
                if what == "outside" {
                    record["pairs"]["name"] = "../base/x.jsonl".into();
                } else {
                    record["pairs"] = Value::Null;
                }
                std::fs::write(&file, record.to_string()).expect("written");
            }
        }
        home.command(&["compare", "base", "other"])
            .assert()
            .failure()
            .stdout("")
            .stderr(predicate::str::contains(reason));
    }
}

#[test]
fn names_are_found_as_people_type_them() {
    let home = models();
    for name in ["org/good", "ORG/Good", "good"] {
        home.command(&[
            "compare",
            name,
            "poor",
            "--suite",
            "finsts",
            "--resamples",
            "200",
        ])
        .assert()
        .success()
        .stdout(predicate::str::contains("finsts").and(predicate::str::contains("korsts").not()));
    }
    // The model's own folder is next to the results, as after `eval ./good`.
    for folder in ["models/good", "poor", "other"] {
        std::fs::create_dir_all(home.path(folder)).expect("made");
        std::fs::write(home.path(folder).join("config.json"), "{}").expect("written");
    }
    for [a, b] in [["models/good", "poor"], ["./models/good/", "./poor"]] {
        home.command(&["compare", a, b, "--resamples", "200"])
            .assert()
            .success()
            .stdout(predicate::str::contains("org/good"));
    }
    home.command(&["compare", "other", "poor"])
        .assert()
        .code(3)
        .stderr(predicate::str::contains(
            "other/config.json:1: found no `schema_version`",
        ));
    home.command(&["compare", "gud", "poor"])
        .assert()
        .code(3)
        .stderr(predicate::str::contains("`org/good`, `poor`, `same`"));
    home.command(&["compare", "good", "poor", "--suite", "nope"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("both have finsts, korsts"));
}

#[test]
fn patterns_compare_triplets() {
    let home = Home::new();
    for (name, seen) in [("sees", 9), ("blind", 2)] {
        let mut pairs = Vec::new();
        for triplet in 0..10 {
            for (gold, score) in [(1.0, 0.5), (0.0, if triplet < seen { 0.1 } else { 0.9 })] {
                let mut pair = pair(pairs.len(), gold, score + f64::from(triplet) * 1e-3);
                pair.triplet = Some(triplet.to_string());
                pair.group = Some("polarity".into());
                pairs.push(pair);
            }
        }
        keep(
            &home.results(),
            record(name, "korfin-shift", "binary", &pairs),
            &pairs,
        );
    }
    let found = report(
        &home,
        &[
            "compare", "sees", "blind", "--by", "pattern", "--format", "json",
        ],
    );
    let part = &found["suites"]["korfin-shift"]["parts"][0];
    assert_eq!(
        (&part["name"], &part["n"]),
        (&"polarity".into(), &10.into())
    );
    assert_eq!((&part["a"], &part["b"]), (&0.9.into(), &0.2.into()));
    // Seven triplets seen by one only: 2 · 2⁻⁷.
    let p = part["p_value"].as_f64().expect("a p-value");
    assert!((p - 0.015_625).abs() < 1e-12, "{p}");
    // Connor's formula for 10 triplets of which 8 / 12 are taken to be discordant.
    let sees = part["detectable"].as_f64().expect("a difference");
    assert!((sees - 0.640_7).abs() < 1e-4, "{sees}");
    let all = &found["suites"]["korfin-shift"]["triplets"];
    assert_eq!((&all["a"], &all["n"]), (&0.9.into(), &10.into()));
    assert!(found["suites"]["korfin-shift"].get("clusters").is_none());
    home.command(&["compare", "sees", "blind", "--by", "pattern"])
        .assert()
        .success()
        .stdout(predicate::str::contains("sees Δ of").and(predicate::str::contains("0.64")));
}

/// Triplets of two languages of a suite that the first model was trained on half of: it sees those, and
/// of the others as many as the second model. Gives its record.
fn trained_on_half(home: &Home, marks: bool) -> PathBuf {
    let files = [("trained", true), ("clean", false)].map(|(name, trained)| {
        let mut pairs = Vec::new();
        for triplet in 0..40 {
            let known = triplet < 20;
            let sees = if known { trained } else { triplet % 4 < 3 };
            for (gold, score) in [(1.0, 0.5), (0.0, if sees { 0.1 } else { 0.9 })] {
                let mut pair = pair(pairs.len(), gold, score + f64::from(triplet) * 1e-3);
                pair.triplet = Some(triplet.to_string());
                pair.group = Some("polarity".into());
                pair.trained = trained && known;
                pairs.push(pair);
            }
        }
        let mut record = record(name, "korfin-shift", "binary", &pairs);
        let options = record.bootstrap.options();
        record.trained_on = score::trained_on(&pairs, 1, &options);
        for pair in &mut pairs {
            pair.trained &= marks;
        }
        keep(&home.results(), record, &pairs)
    });
    let [trained, _] = files;
    trained
}

#[test]
fn pairs_that_a_model_was_trained_on_are_left_out() {
    let home = Home::new();
    let file = trained_on_half(&home, true);
    let of = |home: &Home, a: &str, b: &str| {
        report(home, &["compare", a, b, "--format", "json"])["suites"]["korfin-shift"].clone()
    };
    let found = of(&home, "trained", "clean");
    assert_eq!(
        (&found["n_pairs"], &found["left_out"]),
        (&40.into(), &40.into())
    );
    assert_eq!(found["trained"], serde_json::json!([true, false]));
    assert_eq!(found["triplets"]["n"], 20);
    assert_eq!(
        (&found["triplets"]["delta"], &found["delta_spearman"]),
        (&0.0.into(), &0.0.into())
    );
    // Either order leaves the same pairs out.
    assert_eq!(of(&home, "clean", "trained")["left_out"], 40);
    // What `eval` shows of the model is what `compare` shows of it.
    let record = Record::read(&file).expect("a record");
    let shown = record.trained_on.expect("some were seen");
    assert_eq!(
        found["spearman_a"].as_f64(),
        shown.cosine_spearman_of_others
    );
    let accuracy = shown.triplets_of_others.expect("triplets").accuracy;
    assert_eq!(found["triplets"]["a"].as_f64(), Some(accuracy));
    home.command(&["compare", "trained", "clean"])
        .assert()
        .success()
        .stdout(
            predicate::str::contains("the score is of the 40 other pairs")
                .and(predicate::str::contains("not told apart"))
                .and(predicate::str::contains("is better").not()),
        );
    home.command(&["record", "recompute"])
        .arg(home.results())
        .assert()
        .success();
    // In the sentence of `record show` too.
    home.command(&["record", "show"])
        .arg(home.results())
        .assert()
        .success()
        .stdout(
            predicate::str::is_match("not told apart from (clean|trained) on korfin-shift\n")
                .expect("an expression"),
        );

    // Files of earlier versions do not say which pairs those were.
    let home = Home::new();
    trained_on_half(&home, false);
    let found = of(&home, "trained", "clean");
    assert_eq!(
        (&found["n_pairs"], found.get("left_out")),
        (&80.into(), None)
    );
    home.command(&["compare", "trained", "clean"])
        .assert()
        .success()
        .stdout(predicate::str::contains("those it was trained on included"))
        .stderr(predicate::str::contains(
            "do not say which pairs a model was trained on",
        ));
}

#[test]
fn triplet_accuracy_decides_on_a_suite_of_triplets() {
    let home = Home::new();
    // The first sees every triplet by a little; ρ of the second is higher, for its scores of different
    // sources are on one scale.
    for (name, near) in [("sees", true), ("ranks", false)] {
        let mut pairs = Vec::new();
        for triplet in 0..60 {
            let source = f64::from(triplet % 20);
            let (positive, negative) = match (near, triplet % 3) {
                (true, _) => (source + 0.1, source),
                (false, 0) => (0.4, 0.5),
                (false, _) => (0.9, 0.1),
            };
            for (gold, score) in [(1.0, positive), (0.0, negative)] {
                let mut pair = pair(pairs.len(), gold, score);
                pair.triplet = Some(triplet.to_string());
                pair.group = Some("polarity".into());
                pairs.push(pair);
            }
        }
        keep(
            &home.results(),
            record(name, "korfin-shift", "binary", &pairs),
            &pairs,
        );
    }
    let found = report(&home, &["compare", "sees", "ranks", "--format", "json"]);
    let found = &found["suites"]["korfin-shift"];
    assert!(
        found["delta_spearman"].as_f64().expect("Δρ") < -0.1,
        "{found}"
    );
    assert!(
        found["triplets"]["delta"].as_f64().expect("Δ") > 0.3,
        "{found}"
    );
    assert_eq!(found["p_holm"], Value::Null);
    assert_eq!(found["triplets"]["p_holm"], found["triplets"]["p_value"]);
    let table = home.command(&["compare", "sees", "ranks", "--fail-if-worse"]);
    let output = table_of(table);
    assert!(
        output.contains("korfin-shift triplets") && output.contains("A is better"),
        "{output}"
    );
    assert!(!output.contains("B is better"), "{output}");
    let shown = home.results().display().to_string();
    let output = table_of(home.command(&["record", "show", &shown]));
    assert!(
        output.contains("sees: better than ranks on korfin-shift")
            || output.contains("ranks: worse than sees on korfin-shift"),
        "{output}"
    );
    let csv = table_of(home.command(&[
        "compare", "sees", "ranks", "--by", "pattern", "--format", "csv",
    ]));
    let row = csv
        .lines()
        .find(|l| l.contains(",,60,triplet_accuracy,1,"))
        .expect("a row");
    assert!(
        row.split(',').count() == 15 && csv.starts_with("a,b,suite"),
        "{csv}"
    );
    let part = csv
        .lines()
        .find(|l| l.contains(",polarity,60,triplet_accuracy,"));
    let sees = part.expect("a part").rsplit(',').next().expect("a cell");
    assert!(
        (0.0..1.0).contains(&sees.parse::<f64>().expect("detectable")),
        "{csv}"
    );
}

fn table_of(mut command: assert_cmd::Command) -> String {
    let output = command.assert().success().get_output().stdout.clone();
    String::from_utf8(output).expect("UTF-8")
}

/// A document gives two triplets that go together: they are one piece of evidence, not two.
#[test]
fn documents_are_compared_whole() {
    let home = Home::new();
    let write = |name: &str, seen: usize, clustered: bool| {
        let mut pairs = Vec::new();
        for triplet in 0..20 {
            let document = triplet / 2;
            for (gold, score) in [(1.0, 0.5), (0.0, if document < seen { 0.1 } else { 0.9 })] {
                let mut pair = pair(pairs.len(), gold, score + f64::from(triplet as u8) * 1e-3);
                pair.triplet = Some(triplet.to_string());
                pair.group = Some("polarity".into());
                pair.cluster = clustered.then(|| document.to_string());
                pairs.push(pair);
            }
        }
        keep(
            &home.results(),
            record(name, "korfin-shift", "binary", &pairs),
            &pairs,
        );
    };
    let mut found = Vec::new();
    for clustered in [true, false] {
        write("sees", 9, clustered);
        write("blind", 2, clustered);
        let arguments = [
            "compare", "sees", "blind", "--by", "pattern", "--format", "json",
        ];
        found.push(report(&home, &arguments)["suites"]["korfin-shift"].clone());
        let shown = ["record", "show", "--detail"].map(Into::into).into_iter();
        let shown: Vec<String> = shown
            .chain([home.results().display().to_string()])
            .collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        let said = predicate::str::contains("10 clusters; design effect");
        let shown = home.command(&shown).assert().success();
        if clustered {
            shown.stdout(said);
        } else {
            shown.stdout(said.not());
        }
    }
    let number = |found: &Value, key: &str| found[key].as_f64().expect("a number");
    let [clustered, alone] = &found[..] else {
        unreachable!()
    };
    assert_eq!(clustered["clusters"], 10);
    assert_eq!(
        number(clustered, "delta_spearman"),
        number(alone, "delta_spearman")
    );
    let width = |found: &Value, of: &str| {
        let found = if of.is_empty() { found } else { &found[of] };
        let end = |i: usize| found["interval"][i].as_f64().expect("an end");
        end(1) - end(0)
    };
    assert!(width(clustered, "triplets") > 1.2 * width(alone, "triplets"));
    assert!(width(clustered, "") > width(alone, ""));
    // Seven documents, not fourteen triplets, that one model sees only.
    let p = |found: &Value| number(&found["parts"][0], "p_value");
    assert!(
        (p(clustered) - 2.0_f64.powi(-6)).abs() < 1e-12,
        "{}",
        p(clustered)
    );
    assert!((p(alone) - 2.0_f64.powi(-13)).abs() < 1e-12, "{}", p(alone));
    let detectable = |found: &Value| number(&found["parts"][0], "detectable");
    assert!(detectable(clustered) > 1.2 * detectable(alone));
    assert!(number(clustered, "p_value") > number(alone, "p_value"));
}
