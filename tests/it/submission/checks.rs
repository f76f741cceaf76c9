//! Every check of an opened bundle: what it must refuse, one change at a time, with every hash right.

use korfinsts_publish::submission::{Bundle, BundleEntry, Level, Revoked};
use serde_json::{Value, json};

use super::fixture::{Parts, SCORES, good, verify};

/// Asserts that a check, and no earlier one that hides it, refuses the bundle.
fn refused(what: &str, parts: &Parts, check: &str, message: &str) {
    let verdict = verify(&parts.bytes(), &[], &[]);
    assert!(
        !verdict.passed && verdict.level == Level::Claimed,
        "{what} passed"
    );
    let found = verdict
        .checks
        .iter()
        .find(|c| c.id == check)
        .unwrap_or_else(|| panic!("{what}: {verdict:#?}"));
    assert!(
        !found.passed && found.message.contains(message),
        "{what}: {verdict:#?}"
    );
}

#[test]
fn the_good_bundle_passes_and_is_deterministic() {
    let verdict = verify(good(), &[], &[]);
    assert!(verdict.passed, "{verdict:#?}");
    assert_eq!(verdict.level, Level::Recomputed);
    assert_eq!(
        verdict.checks.len(),
        4 + korfinsts_publish::submission::CHECKS.len()
    );
    assert_eq!(Parts::good().bytes(), good());
}

#[test]
fn edited_numbers_are_found_to_the_last_digit() {
    let names = [
        "cosine_spearman",
        "cosine_pearson",
        "auc",
        "average_precision",
        "ceiling",
        "macro_spearman",
        "within_domain_spearman",
    ];
    for name in names {
        for delta in [1e-11, -1e-6, 1e-4, 0.05] {
            let mut parts = Parts::good();
            let metric = &mut parts.manifest["suites"][0]["metrics"][name];
            *metric = json!(metric.as_f64().expect(name) + delta);
            refused(name, &parts, "metrics", name);
        }
        let mut parts = Parts::good();
        parts.manifest["suites"][0]["metrics"][name] = Value::Null;
        refused(name, &parts, "metrics", "claimed no number");
    }
    let mut parts = Parts::good();
    parts.manifest["suites"][0]["metrics"]["domains"]["news"]["cosine_spearman"] = json!(0.5);
    refused("a domain", &parts, "metrics", "domains `news`");
    let mut parts = Parts::good();
    parts.manifest["suites"][0]["metrics"]["triplet_accuracy"]["news.framing"] = json!(1.0);
    refused(
        "a group",
        &parts,
        "metrics",
        "triplet_accuracy `news.framing`",
    );
    // A single score edited: the numbers no longer follow.
    let mut parts = Parts::good();
    let mut rows = parts.rows(SCORES);
    rows[17]["score"] = json!(rows[17]["score"].as_f64().expect("a score") - 0.4);
    parts.set_rows(SCORES, &rows);
    refused("one edited score", &parts, "metrics", "claimed");
}

#[test]
fn numbers_that_contradict_each_other_are_found() {
    let mut parts = Parts::good();
    parts.manifest["suites"][0]["metrics"]["auc"] = json!(0.9);
    refused("auc", &parts, "auc", "makes Spearman");
    let mut parts = Parts::good();
    parts.manifest["suites"][0]["metrics"]["cosine_spearman"] = json!(0.87);
    refused(
        "above the ceiling",
        &parts,
        "ceiling",
        "the ceiling is 0.866",
    );
    let mut parts = Parts::good();
    parts.manifest["suites"][0]["metrics"]["macro_spearman"] = json!(0.9);
    refused(
        "the mean of domains",
        &parts,
        "domains",
        "the mean over domains is",
    );
    for (n, message) in [
        (191, "hold 887 pairs"),
        (193, "hold 889 pairs"),
        (0, "hold 696 pairs"),
    ] {
        let mut parts = Parts::good();
        parts.manifest["suites"][0]["metrics"]["domains"]["news"]["n_pairs"] = json!(n);
        refused("pairs of domains", &parts, "domains", message);
    }
    let mut parts = Parts::good();
    let domains = parts.manifest["suites"][0]["metrics"]["domains"]
        .as_object_mut()
        .expect("domains");
    let news = domains.remove("news").expect("news");
    domains.insert("nieuws".into(), news);
    refused(
        "another domain",
        &parts,
        "domains",
        "`nieuws` is claimed with 192 pairs, the suite has 0",
    );
}

#[test]
fn ids_must_be_exactly_those_of_the_suite() {
    for (what, change) in [
        ("one missing", 0),
        ("one too many", 1),
        ("one renamed", 2),
        ("one twice", 3),
        ("half of them", 4),
        ("in upper case", 5),
        ("with a blank", 6),
        ("of another suite", 7),
    ] {
        let mut parts = Parts::good();
        let mut rows = parts.rows(SCORES);
        match change {
            0 => drop(rows.pop()),
            1 => rows.push(json!({"id": "extra", "score": 0.1})),
            2 => rows[3]["id"] = json!("renamed"),
            3 => rows[3]["id"] = rows[4]["id"].clone(),
            4 => rows.truncate(111),
            5 => rows[3]["id"] = json!(rows[3]["id"].as_str().expect("an id").to_uppercase()),
            6 => rows[3]["id"] = json!(format!("{} ", rows[3]["id"].as_str().expect("an id"))),
            _ => rows
                .iter_mut()
                .enumerate()
                .for_each(|(i, r)| r["id"] = json!(format!("test-{i}"))),
        }
        parts.set_rows(SCORES, &rows);
        refused(what, &parts, "ids", "korfin-shift:test: ");
    }
    let mut parts = Parts::good();
    parts.manifest["suites"][0]["n_pairs"] = json!(887);
    refused(
        "a wrong count",
        &parts,
        "ids",
        "888 scores, claimed are 887",
    );
}

#[test]
fn scores_outside_the_range_and_constant_ones_are_found() {
    for score in [1.01, -1.5, 1e9, -1e300, 2.0] {
        let mut parts = Parts::good();
        let mut rows = parts.rows(SCORES);
        rows[9]["score"] = json!(score);
        parts.set_rows(SCORES, &rows);
        refused("out of range", &parts, "scores", "allowed are -1 to 1");
    }
    for (distinct, message) in [(1, "every score is"), (2, "are tied"), (60, "are tied")] {
        let mut parts = Parts::good();
        let mut rows = parts.rows(SCORES);
        for (i, row) in rows.iter_mut().enumerate() {
            row["score"] = json!((i % distinct) as f64 / 100.0);
        }
        parts.set_rows(SCORES, &rows);
        refused("tied", &parts, "ties", message);
    }
}

#[test]
fn releases_must_be_known_here_and_not_revoked() {
    for (key, value, message) in [
        ("release_id", json!("0".repeat(64)), "the bundle names 0000"),
        ("version", json!("9.9.9"), "the bundle names 9.9.9"),
        ("id", json!("no-such-suite"), "knows no suite"),
        ("id", json!("korfinsts"), "not on this machine"),
        ("split", json!("train"), "split"),
    ] {
        let mut parts = Parts::good();
        let suite = &mut parts.manifest["suites"][0];
        suite[key] = value;
        let file = format!(
            "scores/{}.{}.jsonl",
            suite["id"].as_str().expect("an id"),
            suite["split"].as_str().expect("a split")
        );
        suite["scores"]["file"] = file.as_str().into();
        let scores = parts.files.remove(SCORES).expect("scores");
        let hash = korfinsts_base::fs::sha256(&scores);
        parts.files.insert(file, scores);
        parts.manifest["suites"][0]["scores"]["sha256"] = hash.into();
        let verdict = verify(&parts.bytes(), &[], &[]);
        let found = verdict
            .checks
            .iter()
            .find(|c| c.id == "release")
            .unwrap_or_else(|| panic!("{key}: {verdict:#?}"));
        assert!(!found.passed, "{key}: {found:?}");
        assert!(
            found.message.contains(message) || key == "id" || key == "split",
            "{key}: {found:?}"
        );
    }
    let bundle = Bundle::open(good()).expect("a good bundle");
    let revoked = [Revoked {
        suite: "korfin-shift".into(),
        release_id: bundle.manifest.suites[0].release_id.clone(),
        reason: "labels were wrong".into(),
    }];
    let verdict = verify(good(), &[], &revoked);
    let found = verdict.first_failure().expect("a failure");
    assert!(
        found.id == "release" && found.message.contains("labels were wrong"),
        "{found:?}"
    );
}

#[test]
fn copies_are_found() {
    type Change = fn(usize, f64) -> f64;
    let bundle = Bundle::open(good()).expect("a good bundle");
    let entry = BundleEntry::of(&bundle);
    let found = |parts: &Parts, entry: &BundleEntry| {
        let verdict = verify(&parts.bytes(), std::slice::from_ref(entry), &[]);
        verdict
            .checks
            .into_iter()
            .find(|c| c.id == "copy")
            .expect("the check")
    };
    let same = verify(good(), std::slice::from_ref(&entry), &[]);
    assert!(
        same.first_failure()
            .is_some_and(|c| c.message.contains("was taken in before")),
        "{same:#?}"
    );
    // Somebody else's scores under other weights: as they are, nudged, and stretched.
    let other = |parts: &mut Parts| {
        for file in parts.manifest["model"]["files"]
            .as_array_mut()
            .expect("files")
        {
            if file["role"] == "weights" {
                file["sha256"] = json!("1".repeat(64));
            }
        }
        parts.manifest["model"]["id"] = json!("evil/model");
    };
    let mut parts = Parts::good();
    other(&mut parts);
    assert!(
        found(&parts, &entry)
            .message
            .contains("under other weights")
    );
    for nudge in [1e-9, 1e-7] {
        let mut parts = Parts::good();
        other(&mut parts);
        let mut rows = parts.rows(SCORES);
        for (i, row) in rows.iter_mut().enumerate() {
            let score = row["score"].as_f64().expect("a score");
            row["score"] = json!(0.9 * score + nudge * (i % 3) as f64);
        }
        parts.set_rows(SCORES, &rows);
        let copy = found(&parts, &entry);
        assert!(
            !copy.passed && copy.message.contains("rank correlation"),
            "{copy:?}"
        );
    }
    // The same weights again under their name are no copy; under another name they are.
    let mut parts = Parts::good();
    parts.manifest["disclosure"]["overlap_report"] =
        json!("Looked again, more closely: nothing was found.");
    assert!(found(&parts, &entry).passed);
    parts.manifest["model"]["id"] = json!("evil/model");
    let copy = found(&parts, &entry);
    assert!(
        !copy.passed
            && copy
                .message
                .contains("the weights are those of `example/bert-mean`"),
        "{copy:?}"
    );
    // Noise of a thousandth of the range, the reverse order, and a monotone form of it.
    let changes: [(&str, Change); 3] = [
        ("noise", |i, s| {
            s + 1e-5 * ((i * 7919) % 201) as f64 / 100.0 - 1e-5
        }),
        ("negated", |_, s| -s),
        ("cubed", |_, s| s.powi(3)),
    ];
    for (what, change) in changes {
        let mut parts = Parts::good();
        other(&mut parts);
        let mut rows = parts.rows(SCORES);
        for (i, row) in rows.iter_mut().enumerate() {
            row["score"] = json!(change(i, row["score"].as_f64().expect("a score")));
        }
        parts.set_rows(SCORES, &rows);
        let copy = found(&parts, &entry);
        assert!(!copy.passed, "{what}: {copy:?}");
        assert!(
            copy.message.contains("rank correlation"),
            "{what}: {copy:?}"
        );
    }
    let vouched = BundleEntry {
        vouched: true,
        ..entry.clone()
    };
    assert!(found(&parts, &vouched).passed, "a maintainer knows better");
    // A lexical baseline is no encoder.
    let registry =
        korfinsts_bench::suite::Registry::open(std::path::Path::new("nowhere")).expect("suites");
    let suite = registry
        .load(&registry.find("korfin-shift").expect("built in"), None)
        .expect("loaded");
    let baseline = korfinsts_encoder::lexical::find("3-grams").expect("a baseline");
    let mut parts = Parts::good();
    let rows: Vec<Value> = suite
        .pairs
        .iter()
        .map(|p| json!({"id": p.id, "score": baseline.score(&p.sentence1, &p.sentence2)}))
        .collect();
    parts.set_rows(SCORES, &rows);
    refused("a baseline", &parts, "copy", "lexical baseline `3-grams`");
}

#[test]
fn truncation_follows_from_token_counts() {
    let claimed = |parts: &Parts| {
        parts.manifest["suites"][0]["truncated_pairs"]
            .as_u64()
            .expect("a count")
    };
    let base = Parts::good();
    for (what, message) in [
        ("one less is claimed", "claimed are"),
        ("one is hidden", "claimed are"),
        ("one is missing", "not of exactly the pairs"),
        ("one is twice", "not of exactly the pairs"),
        ("too many tokens", "the maximum is"),
        ("all lost", "lost all its tokens"),
        ("of another suite", "not of exactly the pairs"),
    ] {
        let mut parts = base.clone();
        let mut rows = parts.rows("tokens.jsonl");
        match what {
            "one less is claimed" => {
                parts.manifest["suites"][0]["truncated_pairs"] = json!(claimed(&base) + 1);
            }
            "one is hidden" => {
                let clean = rows.iter().position(|r| r["lost"] == json!([0, 0]));
                match clean {
                    Some(at) => rows[at]["lost"] = json!([0, 3]),
                    None => rows[0]["lost"] = json!([0, 0]),
                }
            }
            "one is missing" => drop(rows.pop()),
            "one is twice" => {
                let row = rows[0].clone();
                rows.push(row);
            }
            "too many tokens" => rows[5]["tokens"] = json!([100_000, 3]),
            "all lost" => {
                rows[5]["tokens"] = json!([0, 3]);
                rows[5]["lost"] = json!([9, 0]);
            }
            _ => rows.iter_mut().for_each(|r| r["suite"] = json!("korsts")),
        }
        parts.set_rows("tokens.jsonl", &rows);
        refused(what, &parts, "truncation", message);
    }
}

#[test]
fn disclosure_must_say_something_true() {
    for (what, change, message) in [
        (
            "no report",
            json!({"disclosure": {"overlap_report": ""}}),
            "says nothing",
        ),
        (
            "a short report",
            json!({"disclosure": {"overlap_report": "none"}}),
            "says nothing",
        ),
        (
            "an unknown id",
            json!({"disclosure": {"contaminated_ids": ["korfin-shift/none"]}}),
            "no `<suite>/<id>`",
        ),
        (
            "an id without its suite",
            json!({"disclosure": {"contaminated_ids": ["news.temporal.outlook_to_outturn.ko.pos"]}}),
            "no `<suite>/<id>`",
        ),
        (
            "a dataset that is not described",
            json!({"disclosure": {"trained_on": ["secret"]}}),
            "do not name the same",
        ),
    ] {
        let mut parts = Parts::good();
        for (key, value) in change["disclosure"].as_object().expect("an object") {
            parts.manifest["disclosure"][key] = value.clone();
        }
        refused(what, &parts, "disclosure", message);
    }
    for (data, message) in [
        (json!({"statement": "", "datasets": []}), "states nothing"),
        (
            json!({"statement": "", "datasets": [{"name": "x", "licence": "mit"}]}),
            "do not name the same",
        ),
    ] {
        let mut parts = Parts::good();
        parts
            .files
            .insert("train_data.json".into(), data.to_string().into_bytes());
        refused("train data", &parts, "disclosure", message);
    }
    let mut parts = Parts::good();
    parts.manifest["disclosure"]["contaminated_ids"] =
        json!(["korfin-shift/news.temporal.outlook_to_outturn.ko.pos"]);
    assert!(verify(&parts.bytes(), &[], &[]).passed);
    // What is disclosed is in the record, and counts against its rank.
    let home = crate::support::Home::new();
    let path = home.path("disclosed.zip");
    let registry = korfinsts_bench::suite::Registry::open(&home.data()).expect("suites");
    let options = korfinsts_metric::BootstrapOptions {
        resamples: 50,
        ..korfinsts_metric::BootstrapOptions::default()
    };
    let context = korfinsts_publish::submission::BundleContext {
        registry: &registry,
        entries: &[],
        revoked: &[],
    };
    let accepted =
        korfinsts_publish::submission::accepted(&path, &parts.bytes(), context, &options)
            .expect("accepted");
    let (record, pairs) = &accepted.records[0];
    let seen = record.trained_on.as_ref().expect("disclosed");
    assert_eq!(
        (seen.variants, seen.pairs, seen.other_pairs),
        (0, 1, pairs.len() - 1)
    );
    assert!(record.warnings.contains(&seen.sentence()));
}

#[test]
fn names_that_mislead_are_found() {
    for bad in [
        "bge-m3\u{202E}",
        "bg\u{435}-m3",
        "a\u{200B}b",
        "e\u{301}",
        "a\nb",
        "",
        "\u{FEFF}x",
        &"x".repeat(201),
        "a\u{0}b",
        "\u{2066}x",
        // Not seen: fillers, joiners, selectors, tags, blanks.
        "org-a/bert-tiny\u{3164}",
        "org-a/bert-tiny\u{FFA0}",
        "org-a/bert-tiny\u{115F}",
        "org-a/bert-tiny\u{1160}",
        "org-a/bert-tiny\u{34F}",
        "org-a/bert-tiny\u{FE0F}",
        "org-a/bert-tiny\u{180B}",
        "org-a/bert-tiny\u{2065}",
        "org-a/bert-tiny\u{E0041}",
        "org-a/bert-tiny\u{E01F0}",
        "org-a/bert-tiny\u{1D173}",
        "org-a/bert\u{2028}-tiny",
        "org-a/bert-tiny\u{A0}",
        "org-a/bert-tiny\u{2009}",
        "org-a/bert-tiny ",
        " org-a/bert-tiny",
        "a\u{200D}b",
        "a\u{AD}b",
        "a\u{FFF9}b",
        "\u{2800}",
        // Looks like another character.
        "org\u{2010}a/bert\u{2010}tiny",
        "org\u{2011}a/bert\u{2011}tiny",
        "org-a\u{2044}bert-tiny",
        "org-a\u{2215}bert-tiny",
        "or\u{261}-a/bert-tiny",
        "ｂｅｒｔ-tiny",
        "\u{1D41B}\u{1D41E}\u{1D42B}\u{1D42D}-tiny",
        "\u{430}\u{441}\u{435}",
        "bge-\u{2173}",
        "org-a/b\u{336}ert",
        "a\u{301}\u{316}\u{301}\u{316}",
        // No character of anybody.
        "org-a/bert-tiny\u{E000}",
        "org-a/bert-tiny\u{FFFE}",
        "org-a/bert-tiny\u{378}",
    ] {
        let mut parts = Parts::good();
        parts.manifest["model"]["id"] = json!(bad);
        refused(bad, &parts, "display", "");
    }
    let mut parts = Parts::good();
    parts.manifest["model"]["id"] = json!("기관/한국어-model_v1.0");
    assert!(verify(&parts.bytes(), &[], &[]).passed);
    for place in ["licence", "pooling", "architecture"] {
        let mut parts = Parts::good();
        parts.manifest["model"][place] = json!("m\u{202E}it");
        refused(place, &parts, "display", "changes the direction");
    }
}

/// The check `owner` of a bundle whose manifest was changed, against the good one.
fn owner(entry: &BundleEntry, change: impl FnOnce(&mut Parts)) -> (bool, String) {
    let mut parts = Parts::good();
    change(&mut parts);
    let verdict = verify(&parts.bytes(), std::slice::from_ref(entry), &[]);
    let check = verdict.checks.into_iter().find(|c| c.id == "owner");
    let check = check.expect("the check");
    (check.passed, check.message)
}

#[test]
fn a_name_belongs_to_the_first_bundle_of_it() {
    let entry = BundleEntry::of(&Bundle::open(good()).expect("a good bundle"));
    let named =
        |name: &'static str| move |parts: &mut Parts| parts.manifest["model"]["id"] = json!(name);
    let again = |parts: &mut Parts| {
        parts.manifest["disclosure"]["overlap_report"] = json!("Looked again: nothing.");
    };
    let (passed, message) = owner(&entry, again);
    assert!(
        !passed && message.contains("that bundle is not signed"),
        "{message}"
    );
    let signed = BundleEntry {
        public_key: Some("RW".to_owned()),
        ..entry.clone()
    };
    let (passed, message) = owner(&signed, again);
    assert!(
        !passed && message.contains("this bundle is not signed"),
        "{message}"
    );
    let vouched = BundleEntry {
        vouched: true,
        ..entry.clone()
    };
    assert!(owner(&vouched, again).0);
    for alike in [
        "example__bert-mean",
        "Example/BERT-mean",
        "ex\u{430}mple/bert-mean",
        "example/bert-rnean",
    ] {
        let (passed, message) = owner(&entry, named(alike));
        assert!(
            !passed && message.contains("can be taken for `example/bert-mean`"),
            "{alike}: {message}"
        );
    }
    for other in ["example/bert-mean-v2", "other/bert-mean"] {
        assert!(owner(&entry, named(other)).0, "{other}");
    }
    // Nobody replaces the bundle of another model, with whatever proof.
    let (passed, message) = owner(&vouched, |parts| {
        parts.manifest["model"]["id"] = json!("example/other");
        parts.manifest["resubmission_of"] = json!(entry.sha256);
    });
    assert!(
        !passed && message.contains("it replaces the bundle of `example/bert-mean`"),
        "{message}"
    );
}
