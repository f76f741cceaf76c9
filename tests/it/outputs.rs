//! What a run leaves: no output replaces that of another run, nothing that was asked for is missing
//! without a word, and no provenance is said that was not seen.

use std::path::{Path, PathBuf};

use predicates::prelude::*;
use serde_json::Value;

use super::support::{Home, repository, shared};

/// A home with a suite of 40 Korean pairs at `./k40`.
fn home() -> Home {
    let home = Home::new();
    home.copy(&repository("tests/reference/suites/k40"), &home.path("k40"));
    home
}

fn eval(home: &Home, more: &[&str]) -> assert_cmd::Command {
    let arguments = ["eval", "nmixx-mini", "--quiet", "--no-baselines"];
    home.command(&[&arguments[..], more].concat())
}

/// Files below a folder that end so, by path below it.
fn files(folder: &Path, ending: &str) -> Vec<String> {
    let mut found: Vec<String> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|e| e.expect("listed").into_path())
        .filter(|p| p.to_string_lossy().ends_with(ending))
        .map(|p| p.strip_prefix(folder).expect("below").display().to_string())
        .collect();
    found.sort();
    found
}

fn records(home: &Home) -> Vec<String> {
    let names = files(&home.results(), ".pairs.jsonl").into_iter();
    let names = names.filter_map(|n| Some(n.rsplit_once('/')?.1.to_owned()));
    names.map(|n| n.replace(".pairs.jsonl", "")).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON")
}

/// The suite with a task of mteb, so that its results can be written as mteb's.
fn with_task(home: &Home) {
    let path = home.path("k40/suite.toml");
    let text = std::fs::read_to_string(&path).expect("read");
    let text = text.replace("[splits.test]\n", "[splits.test]\nmteb_task = \"K40\"\n");
    std::fs::write(path, text).expect("written");
}

#[test]
fn another_run_has_another_name() {
    let home = home();
    for more in [
        &["--prompt", "query: "][..],
        &["--prompt", "passage: "],
        &["--prompt", "query: ", "--prompt2", "passage: "],
        &["--limit", "20"],
        &["--seed", "7"],
        &["--protocol", "raw"],
        &[],
    ] {
        let more = [&["--suite", "./k40", "--resamples", "10000"], more].concat();
        eval(&home, &more).assert().success();
    }
    eval(&home, &["--suite", "./k40", "--max-tokens", "8"])
        .assert()
        .success();
    let mut found = records(&home);
    found.sort();
    assert_eq!(
        found,
        [
            "k40.test.custom.prompt-1b19a605",
            "k40.test.custom.prompt-f1529947",
            "k40.test.custom.prompt-fe14478b",
            "k40.test.native",
            // Another length is another encoder, whose folder has another name.
            "k40.test.native",
            "k40.test.native.first-20",
            "k40.test.native.seed-7",
            "k40.test.raw",
        ]
    );
    // The same run again is no other run.
    eval(&home, &["--suite", "./k40", "--prompt", "query: "])
        .assert()
        .success();
    assert_eq!(records(&home).len(), 8);
    // Each is a row of its own on the board, with what tells it apart.
    home.command(&[
        "leaderboard",
        "build",
        "--no-reported",
        "--resamples",
        "100",
    ])
    .assert()
    .success();
    let board = json(&home.path("korfinsts-leaderboard/board.json"));
    let protocols: Vec<&str> = board["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["protocol"].as_str())
        .collect();
    for protocol in [
        "custom \"query: \"",
        "custom \"passage: \"",
        "native",
        "raw",
    ] {
        assert!(protocols.contains(&protocol), "{protocol}: {protocols:?}");
    }
}

#[test]
fn the_record_of_another_release_is_not_replaced() {
    let home = home();
    eval(&home, &["--suite", "./k40"]).assert().success();
    let record = home
        .results()
        .join(&files(&home.results(), ".native.json")[0]);
    let before = std::fs::read(&record).expect("a record");
    let rows = home.path("k40/t.tsv");
    let text = std::fs::read_to_string(&rows).expect("read");
    std::fs::write(&rows, text.replacen("2.500", "2.600", 1)).expect("written");
    for more in [&[][..], &["--dry-run"]] {
        eval(&home, &[&["--suite", "./k40"], more].concat())
            .assert()
            .code(3)
            .stderr(predicate::str::contains(
                "k40.test.native.json: it is the record of another run: release of the suite",
            ))
            .stderr(predicate::str::contains(
                "hint: `--results DIR` with another folder keeps both; to replace the file, remove it first",
            ));
    }
    assert_eq!(std::fs::read(&record).expect("still there"), before);
    eval(&home, &["--suite", "./k40", "--results", "other"])
        .assert()
        .success();
    std::fs::remove_file(&record).expect("removed");
    eval(&home, &["--suite", "./k40"]).assert().success();
}

#[test]
fn two_prompts_are_compared_each_with_its_like() {
    let home = home();
    for prompt in ["query: ", "passage: "] {
        for tokens in [&[][..], &["--max-tokens", "6", "--results", "short"]] {
            let more = [&["--suite", "./k40", "--prompt", prompt], tokens].concat();
            eval(&home, &more).assert().success();
        }
    }
    let folder = |results: &str| {
        let folder = files(&home.path(results), ".json")[0].clone();
        format!("{results}/{}", folder.rsplit_once('/').expect("a folder").0)
    };
    let output = home
        .command(&[
            "compare",
            &folder("korfinsts-results"),
            &folder("short"),
            "--resamples",
            "100",
            "--format",
            "json",
        ])
        .output()
        .expect("runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let suites: Vec<&String> = report["suites"]
        .as_object()
        .expect("suites")
        .keys()
        .collect();
    assert_eq!(
        suites,
        ["k40 (custom \"passage: \")", "k40 (custom \"query: \")"]
    );
}

#[test]
fn a_file_of_mteb_that_is_not_written_has_its_reason() {
    let home = home();
    let asked = [
        "eval",
        "nmixx-mini",
        "--suite",
        "./k40",
        "--resamples",
        "100",
        "--mteb",
        "out",
    ];
    home.command(&asked)
        .assert()
        .success()
        .stderr(predicate::str::contains(
            "no mteb file of `k40` (test): mteb has no task of this split (`mteb_task` in suite.toml names one)",
        ));
    with_task(&home);
    home.command(&[&asked[..], &["--limit", "20"]].concat())
        .assert()
        .success()
        .stderr(predicate::str::contains(
            "no mteb file of `k40` (test): only the first 20 pairs were scored",
        ));
    assert!(!home.path("out").exists());
}

#[test]
fn a_run_with_other_settings_is_an_experiment_of_mteb() {
    let home = home();
    with_task(&home);
    let run = |more: &[&str]| {
        let asked = ["--suite", "./k40", "--results", "r", "--mteb", "out"];
        eval(&home, &[&asked[..], more].concat())
    };
    run(&[]).assert().success();
    let folder = home.path("out/results/local__nmixx-mini/no_revision_available");
    let plain = std::fs::read(folder.join("K40.json")).expect("the plain run's file");
    for more in [
        &["--prompt", "query: "][..],
        &["--prompt", "passage: "],
        &["--max-tokens", "5"],
        &["--protocol", "raw"],
        &["--max-tokens", "5", "--prompt", "query: "],
    ] {
        run(more).assert().success();
    }
    let spearman = |path: &Path| json(path)["scores"]["test"][0]["main_score"].clone();
    assert_eq!(
        std::fs::read(folder.join("K40.json")).expect("still there"),
        plain
    );
    let found = files(&folder.join("experiments"), "K40.json");
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(found[0], "max_tokens_5/K40.json");
    let meta = json(&folder.join("experiments/max_tokens_5/model_meta.json"));
    assert_eq!(meta["experiment_kwargs"]["max_tokens"], "5");
    assert_ne!(
        spearman(&folder.join("experiments/max_tokens_5/K40.json")),
        spearman(&folder.join("K40.json"))
    );
    assert!(json(&folder.join("model_meta.json"))["experiment_kwargs"].is_null());
    // What was written is read, each run under its own name.
    home.command(&["record", "show", "out"])
        .assert()
        .success()
        .stdout(predicate::str::contains(
            "local/nmixx-mini (prompt=query: )",
        ))
        .stdout(predicate::str::contains("local/nmixx-mini (max_tokens=5)"));
    // Other rows under the name of the same task.
    let rows = home.path("k40/t.tsv");
    let text = std::fs::read_to_string(&rows).expect("read");
    let text: String = text
        .lines()
        .enumerate()
        .filter(|(i, _)| i % 3 != 1)
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    std::fs::write(&rows, text).expect("written");
    eval(
        &home,
        &["--suite", "./k40", "--results", "r2", "--mteb", "out"],
    )
    .assert()
    .code(3)
    .stderr(predicate::str::contains("K40.json: it holds `"))
    .stderr(predicate::str::contains(
        "hint: `--mteb DIR` with another folder keeps both",
    ));
    assert_eq!(
        std::fs::read(folder.join("K40.json")).expect("still there"),
        plain
    );
}

#[test]
fn a_revision_is_exported_where_the_bytes_are_known() {
    let (Some(fifth), Some(authors)) = (
        shared("cases/data/claimed-revision/stsb01"),
        shared("data/stsbenchmark"),
    ) else {
        return;
    };
    for (data, revision, warnings) in [
        (
            fifth,
            Value::Null,
            &[
                "which revision of the dataset they are of is not known",
                "the scale is declared from 0 to 5, but scores run from 0 to 1 (20 % of it)",
            ][..],
        ),
        (
            authors,
            "b0fddb56ed78048fa8b90373c8a3cfc37b684831".into(),
            &[],
        ),
    ] {
        let home = Home::new();
        let mut import = home.command(&["suite", "import", "stsb", &data.display().to_string()]);
        let mut assert = import.assert().success();
        for warning in warnings {
            assert = assert.stderr(predicate::str::contains(*warning));
        }
        drop(assert);
        let output = eval(
            &home,
            &[
                "--suite",
                "stsb",
                "--resamples",
                "100",
                "--mteb",
                "out",
                "--format",
                "json",
            ],
        )
        .output()
        .expect("runs");
        let records: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(records[0]["suite"]["hub_revision"], revision);
        let said = records[0]["warnings"].to_string();
        assert!(warnings.iter().all(|w| said.contains(w)), "{said}");
        let file =
            home.path("out/results/local__nmixx-mini/no_revision_available/STSBenchmark.json");
        assert_eq!(json(&file)["dataset_revision"], revision);
    }
}

#[test]
fn no_limit_is_no_number_anywhere() {
    let home = home();
    with_task(&home);
    eval(&home, &["--suite", "./k40", "--mteb", "out"])
        .assert()
        .success();
    let record: PathBuf = home
        .results()
        .join(&files(&home.results(), ".native.json")[0]);
    assert!(json(&record)["encoder"]["max_tokens"].is_null());
    home.command(&[
        "leaderboard",
        "build",
        "--no-reported",
        "--resamples",
        "100",
        "-o",
        "page",
    ])
    .assert()
    .success();
    let mut read = 0;
    for folder in ["korfinsts-results", "out", "page"] {
        for file in files(&home.path(folder), "") {
            let path = home.path(folder).join(file);
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            read += usize::from(!text.is_empty());
            assert!(!text.contains("18446744073709551615"), "{}", path.display());
            assert!(
                !text.contains("1.8446744073709552e+19"),
                "{}",
                path.display()
            );
        }
    }
    assert!(read > 8, "{read}");
    // A record as version 0.1.0 wrote it.
    let text = std::fs::read_to_string(&record).expect("read");
    let old = text.replace(
        "\"max_tokens\": null",
        "\"max_tokens\": 18446744073709551615",
    );
    assert_ne!(old, text);
    std::fs::write(&record, old).expect("written");
    home.command(&[
        "record",
        "show",
        &record.display().to_string(),
        "--format",
        "json",
    ])
    .assert()
    .success()
    .stdout(predicate::str::contains("\"max_tokens\": null"));
}

#[test]
fn a_score_that_does_not_exist_has_its_reason() {
    let home = Home::new();
    home.copy(
        &repository("tests/reference/suites/offset"),
        &home.path("offset"),
    );
    let output = eval(
        &home,
        &[
            "--suite",
            "./offset",
            "--resamples",
            "100",
            "--format",
            "json",
        ],
    )
    .output()
    .expect("runs");
    let record = &serde_json::from_slice::<Value>(&output.stdout).expect("JSON")[0];
    let scores = record["scores"].as_object().expect("scores");
    let warnings = record["warnings"].to_string();
    assert!(scores["cosine_spearman"].is_number(), "{record}");
    for (key, name) in [
        (
            "cosine_pearson",
            "no Pearson: every gold score is 10000000000000",
        ),
        ("dot_pearson", "no dot Pearson: every gold score"),
        (
            "manhattan_pearson",
            "no Manhattan Pearson: every gold score",
        ),
        (
            "euclidean_pearson",
            "no Euclidean Pearson: every gold score",
        ),
    ] {
        assert!(scores[key].is_null(), "{key}");
        assert!(warnings.contains(name), "{name}: {warnings}");
    }
}

#[test]
fn gold_scores_that_run_the_other_way_get_a_remark() {
    let home = home();
    let remark = "the gold scores may be inverted";
    let warnings = |home: &Home| {
        let output = eval(
            home,
            &[
                "--suite",
                "./k40",
                "--resamples",
                "1000",
                "--format",
                "json",
            ],
        )
        .output()
        .expect("runs");
        let record = &serde_json::from_slice::<Value>(&output.stdout).expect("JSON")[0];
        record["warnings"].to_string()
    };
    assert!(!warnings(&home).contains(remark));
    let rows = home.path("k40/t.tsv");
    let text = std::fs::read_to_string(&rows).expect("read");
    let inverted: String = text
        .lines()
        .map(|line| {
            let mut cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
            if let Ok(score) = cells[4].parse::<f64>() {
                cells[4] = format!("{:.3}", 5.0 - score);
            }
            cells.join("\t") + "\n"
        })
        .collect();
    let other = Home::new();
    other.copy(&home.path("k40"), &other.path("k40"));
    std::fs::write(other.path("k40/t.tsv"), inverted).expect("written");
    let said = warnings(&other);
    assert!(
        said.contains(remark) && said.contains("of 4 lexical baselines"),
        "{said}"
    );
}
