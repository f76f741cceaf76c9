//! What is planted is found, what is clean stays, and shards leave what one run leaves.

use std::collections::BTreeMap;

use super::{TEXT, corpus, lines, manifest, seeds, suite, tokenizer};
use crate::support::{Home, repository};

/// A home with a corpus of planted flaws, cut into two files.
fn planted(rows: u64) -> Home {
    let home = Home::new();
    std::fs::create_dir_all(home.path("corpus")).expect("made");
    for (seed, name) in [(1, "a.jsonl"), (2, "b.jsonl")] {
        let mut bytes = Vec::new();
        let options = corpus::Options {
            rows: rows / 2,
            seed,
            seeds: &seeds(),
            suite: &suite(),
            korean: true,
        };
        corpus::write(&options, &mut bytes).expect("written");
        std::fs::write(home.path("corpus").join(name), bytes).expect("written");
    }
    manifest(
        &home,
        "planted",
        "kor-Hang",
        "legal",
        "corpus/*.jsonl",
        TEXT,
    );
    tokenizer(&home);
    home
}

fn filter(home: &Home, more: &[&str]) -> assert_cmd::Command {
    let mut arguments = vec![
        "mine",
        "filter",
        "--corpus",
        "planted.toml",
        "--tokenizer",
        "tokenizer.json",
        "--min-tokens",
        "300",
        "--max-tokens",
        "9000",
    ];
    arguments.extend(more);
    home.long_command(&arguments)
}

/// Documents of each planted kind, and how many of them each step dropped.
fn found(home: &Home, dir: &str) -> BTreeMap<String, (usize, BTreeMap<String, usize>)> {
    let mut labels = BTreeMap::new();
    let mut counts: BTreeMap<String, (usize, BTreeMap<String, usize>)> = BTreeMap::new();
    for name in ["a.jsonl", "b.jsonl"] {
        for (i, row) in lines(&home.path("corpus").join(name)).iter().enumerate() {
            let kind = row["planted"].as_str().expect("a label").to_owned();
            counts.entry(kind.clone()).or_default().0 += 1;
            labels.insert(format!("corpus/{name}:{}", i + 1), kind);
        }
    }
    for entry in std::fs::read_dir(home.path(dir).join("verdicts")).expect("verdicts") {
        let path = entry.expect("listed").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let step = name.split('.').next().expect("a step").to_owned();
        // A masked text goes on.
        for verdict in lines(&path).iter().filter(|v| v["verdict"] != "mask") {
            let origin = verdict["origin"].as_str().expect("an origin");
            let counts = counts.get_mut(&labels[origin]).expect("a kind");
            *counts.1.entry(step.clone()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn what_is_planted_is_found_and_what_is_clean_stays() {
    let home = planted(6000);
    filter(&home, &[]).assert().success();
    let found = found(&home, "korfinsts-mine");
    let share = |kind: &str, steps: &[&str]| {
        let (rows, dropped) = &found[kind];
        let n: usize = steps.iter().filter_map(|s| dropped.get(*s)).sum();
        n as f64 / *rows as f64
    };
    for (kind, step, least) in [
        ("short", "length", 0.95),
        ("long", "length", 1.0),
        ("replacement", "quality", 1.0),
        ("control", "quality", 1.0),
        ("mojibake", "quality", 1.0),
        ("code-page", "quality", 1.0),
        ("escaped-markup", "quality", 1.0),
        ("spaced-out", "quality", 1.0),
        ("broken-letters", "quality", 1.0),
        ("typos", "quality", 1.0),
        ("repeated-lines", "quality", 1.0),
        ("repeated-phrase", "quality", 1.0),
        ("exact-duplicate", "exact-duplicate", 0.9),
        ("near-duplicate", "near-duplicate", 0.85),
    ] {
        let recall = share(kind, &[step]);
        assert!(
            recall >= least,
            "{kind}: {recall} by {step}: {:?}",
            found[kind]
        );
    }
    // A suite's sentence among these few words is often unlike its source, and goes for that.
    let touched = share("contaminated", &["contamination", "quality"]);
    assert!(touched > 0.95, "{touched}: {:?}", found["contaminated"]);
    let quality =
        std::fs::read_to_string(repository("training/quality/ko.toml")).expect("it is there");
    let without = quality.split("[entropy]").next().expect("a part");
    std::fs::write(home.path("ko.toml"), without).expect("written");
    filter(&home, &["--dir", "plain", "--quality", "ko.toml"])
        .assert()
        .success();
    let (rows, dropped) = &self::found(&home, "plain")["contaminated"];
    let touched = dropped.get("contamination").copied().unwrap_or_default();
    assert!(touched * 10 >= rows * 9, "{touched} of {rows}: {dropped:?}");
    // The limit of a source is a percentile of its own texts: about one in forty clean ones is above it.
    let clean = share(
        "clean",
        &["length", "quality", "near-duplicate", "contamination"],
    );
    assert!(clean < 0.05, "{clean}: {:?}", found["clean"]);
    let markup = share("markup", &["quality"]);
    assert!(markup < 0.06, "{markup}: {:?}", found["markup"]);

    // Every row is accounted for: dropped once, or a passage.
    let dropped: usize = found.values().map(|(_, d)| d.values().sum::<usize>()).sum();
    let passages = lines(&home.path("korfinsts-mine").join("passages.jsonl"));
    assert_eq!(dropped + passages.len(), 6000);
    assert!(
        passages
            .iter()
            .all(|p| !p["text"].as_str().expect("text").contains("<p>"))
    );
    let report: serde_json::Value = serde_json::from_slice(
        &std::fs::read(home.path("korfinsts-mine").join("report.json")).expect("a report"),
    )
    .expect("JSON");
    assert_eq!(report["filtered"]["passages"][0][1], passages.len());
    let html =
        std::fs::read_to_string(home.path("korfinsts-mine").join("report.html")).expect("a page");
    assert!(html.contains("near-duplicate") && html.contains("2460000"));
}

#[test]
fn shards_leave_what_one_run_leaves() {
    let home = planted(3000);
    filter(&home, &["--dir", "one"]).assert().success();
    let read =
        |dir: &str, name: &str| std::fs::read(home.path(dir).join(name)).expect("it is there");
    for n in [2, 4] {
        let dir = format!("of-{n}");
        // In any order.
        for i in (1..=n).rev() {
            let shard = format!("{i}/{n}");
            filter(&home, &["--dir", &dir, "--shard", &shard])
                .assert()
                .success();
        }
        home.long_command(&["mine", "filter", "--join", "--dir", &dir])
            .assert()
            .success();
        for name in [
            "passages.jsonl",
            "filter.json",
            "run.toml",
            "verdicts/near-duplicate.jsonl",
        ] {
            assert_eq!(read("one", name), read(&dir, name), "{name} of {n} shards");
        }
    }
    let missing = home.path("of-2");
    filter(&home, &["--dir", "lack", "--shard", "2/3"])
        .assert()
        .success();
    let output = home
        .command(&["mine", "filter", "--join", "--dir", "lack"])
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("lacks shard 1/3, 3/3"), "{stderr}");
    assert_eq!(output.status.code(), Some(2));
    assert!(missing.exists());
}

#[test]
fn an_audit_is_drawn_and_read_back() {
    let home = planted(2000);
    filter(&home, &[]).assert().success();
    let sheet = ["mine", "audit", "sheet", "--least", "50", "--share", "0.05"];
    home.command(&sheet).assert().success();
    let read = |rater: usize| {
        let path = home.path(&format!("korfinsts-mine/audit/rater-{rater}.csv"));
        (
            path.clone(),
            std::fs::read_to_string(path).expect("a sheet"),
        )
    };
    let ids = |text: &str| -> std::collections::BTreeSet<String> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        reader
            .records()
            .map(|r| r.expect("a row")[0].to_owned())
            .collect()
    };
    let (first, second) = (ids(&read(1).1), ids(&read(2).1));
    let passages = lines(&home.path("korfinsts-mine/passages.jsonl")).len();
    let sampled = (passages as f64 * 0.05).ceil().max(50.0) as usize;
    let both = (sampled as f64 * 0.2).ceil() as usize;
    assert_eq!(first.union(&second).count(), sampled);
    assert_eq!(first.intersection(&second).count(), both);
    // A sheet with answers is not drawn over.
    home.command(&sheet).assert().failure().code(3);

    // Both say yes, but for one passage that both saw.
    let odd = first.intersection(&second).next().expect("one").clone();
    for rater in [1, 2] {
        let (path, text) = read(rater);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let mut writer = csv::Writer::from_path(&path).expect("opened");
        writer
            .write_record(reader.headers().expect("a header"))
            .expect("written");
        for record in reader.records() {
            let record = record.expect("a row");
            let wrong = rater == 2 && record[0] == odd;
            let cells: Vec<&str> = record
                .iter()
                .enumerate()
                .map(|(i, cell)| match i {
                    6 if wrong => "0",
                    6..=8 => "1",
                    _ => cell,
                })
                .collect();
            writer.write_record(cells).expect("written");
        }
        writer.flush().expect("written");
    }
    let output = home
        .command(&["mine", "audit", "agreement", "--format", "json"])
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let whole = &found["questions"][0];
    assert_eq!(whole["units"], both);
    let same = whole["same"].as_f64().expect("a share");
    assert!(
        (same - (both - 1) as f64 / both as f64).abs() < 1e-9,
        "{whole}"
    );
    assert!(
        whole["alpha"].as_f64().expect("alpha") < 0.1,
        "one rare answer is chance"
    );
    assert_eq!(found["questions"][1]["alpha"], serde_json::Value::Null);
}
