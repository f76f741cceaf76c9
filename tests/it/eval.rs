//! `korfinsts eval` from outside: what it prints, keeps and refuses.

use std::path::{Path, PathBuf};

use predicates::prelude::*;
use serde_json::Value;

use super::support::{Home, full, repository, shared};

fn tiny() -> String {
    repository("tests/reference/encoders/bert-mean")
        .display()
        .to_string()
}

fn json(output: &[u8]) -> Vec<Value> {
    serde_json::from_slice(output).expect("stdout is one JSON array")
}

fn files_under(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|e| e.expect("results can be listed").into_path())
        .filter(|p| p.to_string_lossy().ends_with(suffix))
        .collect();
    found.sort();
    found
}

#[test]
fn without_a_model_the_built_in_ones_are_shown_on_the_built_in_suite() {
    let home = Home::new();
    let names = ["nmixx-mini", "length", "2-grams", "3-grams", "words"];
    home.command(&["eval"])
        .assert()
        .success()
        .stdout(predicate::str::contains("nmixx-mini"))
        .stdout(predicate::str::contains("best baseline"))
        .stdout(predicate::str::contains("korfin-shift"));
    let mut assert = home
        .command(&["eval", "--wide", "--detail"])
        .assert()
        .success();
    for name in names {
        assert = assert.stdout(predicate::str::contains(name));
    }
    assert
        .stdout(predicate::str::contains("korfin-shift"))
        .stdout(predicate::str::contains("legal"))
        .stderr(predicate::str::contains("next: `korfinsts eval MODEL`"));
    assert_eq!(
        files_under(&home.results(), ".pairs.jsonl").len(),
        names.len()
    );
}

#[test]
fn json_holds_the_keys_that_scripts_rely_on() {
    let home = Home::new();
    let output = home
        .command(&[
            "eval",
            &tiny(),
            "--suite",
            "korfin-shift",
            "--format",
            "json",
            "--resamples",
            "500",
        ])
        .assert()
        .success();
    let records = json(&output.get_output().stdout);
    assert_eq!(records.len(), 5, "one encoder and four baselines");
    let record = &records[0];
    for key in [
        "/schema_version",
        "/encoder/name",
        "/encoder/backend",
        "/encoder/sha256",
        "/encoder/pooling",
        "/encoder/max_tokens",
        "/encoder/dtype",
        "/encoder/protocol",
        "/suite/id",
        "/suite/version",
        "/suite/split",
        "/suite/release_id",
        "/n_pairs",
        "/scores/cosine_spearman",
        "/scores/cosine_pearson",
        "/scores/dot_spearman",
        "/scores/manhattan_spearman",
        "/scores/euclidean_spearman",
        "/scores/auc",
        "/scores/average_precision",
        "/scores/ceiling",
        "/interval/cosine_spearman/1",
        "/domains/news/n_pairs",
        "/domains/news/cosine_spearman",
        "/macro_spearman",
        "/within_domain_spearman",
        "/triplet_accuracy/news.temporal",
        "/truncated_share",
        "/warnings",
    ] {
        let found = record.pointer(key);
        assert!(found.is_some_and(|v| !v.is_null()), "`{key}` is {found:?}");
    }
    assert_eq!(record["n_pairs"], 888);
    let rho = record["scores"]["cosine_spearman"]
        .as_f64()
        .expect("a number");
    let low = record["interval"]["cosine_spearman"][0]
        .as_f64()
        .expect("a number");
    let high = record["interval"]["cosine_spearman"][1]
        .as_f64()
        .expect("a number");
    assert!(low < rho && rho < high, "{low} {rho} {high}");
}

#[test]
fn a_second_run_encodes_nothing_and_keeps_the_same_bytes() {
    let home = Home::new();
    let run = || {
        let arguments = [
            "eval",
            &tiny(),
            "--suite",
            "korfin-shift",
            "--resamples",
            "200",
        ];
        home.command(&arguments).assert().success();
        files_under(&home.results(), ".json")
            .into_iter()
            .filter(|p| !p.to_string_lossy().ends_with(".timing.json"))
            .map(|p| std::fs::read(p).expect("a record"))
            .collect::<Vec<_>>()
    };
    let first = run();
    let segments = files_under(&home.data(), ".kfe").len();
    assert_eq!(segments, 1);
    assert_eq!(first, run());
    assert_eq!(
        files_under(&home.data(), ".kfe").len(),
        segments,
        "nothing was encoded again"
    );
}

#[test]
fn every_number_can_be_computed_again_and_an_edited_one_is_found() {
    let home = Home::new();
    home.command(&[
        "eval",
        &tiny(),
        "--suite",
        "korfin-shift",
        "--resamples",
        "200",
    ])
    .assert()
    .success();
    let results = home.results().display().to_string();
    home.command(&["record", "recompute", &results])
        .assert()
        .success()
        .stderr(predicate::str::contains(
            "5 records computed again, all equal",
        ));
    home.command(&["record", "show", &results])
        .assert()
        .success()
        .stdout(predicate::str::contains("bert-mean"));
    let pairs = &files_under(&home.results(), ".pairs.jsonl")[0];
    let text = std::fs::read_to_string(pairs).expect("pairs");
    std::fs::write(pairs, text.replacen("\"gold\":1.0", "\"gold\":0.0", 1)).expect("edited");
    home.command(&["record", "recompute", &results])
        .assert()
        .code(1)
        .stdout(predicate::str::contains("sha256 is"))
        .stdout(predicate::str::contains("scores: recorded"));
}

#[test]
fn a_limit_is_said_and_recorded() {
    let home = Home::new();
    let output = home
        .command(&[
            "eval",
            "--limit",
            "40",
            "--format",
            "json",
            "--resamples",
            "200",
        ])
        .assert()
        .success();
    let record = &json(&output.get_output().stdout)[0];
    assert_eq!(
        (&record["n_pairs"], &record["suite"]["limit"]),
        (&40.into(), &40.into())
    );
    let warnings = record["warnings"].to_string();
    assert!(
        warnings.contains("only the first 40 of 888 pairs were scored"),
        "{warnings}"
    );
}

#[test]
fn every_format_is_printed_and_written() {
    let home = Home::new();
    for (format, mark) in [
        ("table", "korfin-shift"),
        ("json", "\"schema_version\": 1"),
        ("csv", "encoder,revision,backend"),
        ("md", "| --- |"),
        ("latex", "\\begin{tabular}"),
    ] {
        let arguments = ["eval", "--resamples", "200", "--format", format];
        home.command(&arguments)
            .assert()
            .success()
            .stdout(predicate::str::contains(mark));
        let path = home.path("report");
        let path = path.to_str().expect("UTF-8");
        home.command(&[&arguments[..], &["-o", path]].concat())
            .assert()
            .success()
            .stdout(predicate::str::is_empty());
        let written = std::fs::read_to_string(path).expect("written");
        assert!(written.contains(mark), "{format}");
    }
}

#[test]
fn mteb_files_are_written_as_mteb_writes_them() {
    let Some(data) = shared("data/klue_sts") else {
        return;
    };
    let home = Home::new();
    let data = data.display().to_string();
    home.command(&["suite", "import", "klue-sts", &data])
        .assert()
        .success();
    let folder = home.path("mteb");
    let arguments = [
        "eval",
        &tiny(),
        "--suite",
        "klue-sts",
        "--limit",
        "50",
        "--mteb",
    ];
    let folder_text = folder.display().to_string();
    home.command(&[&arguments[..], &[&folder_text]].concat())
        .assert()
        .success();
    assert!(!folder.exists(), "a part of a suite is no result of mteb's");
    let arguments = [
        "eval",
        &tiny(),
        "--suite",
        "klue-sts",
        "--resamples",
        "100",
        "--mteb",
    ];
    home.command(&[&arguments[..], &[&folder_text]].concat())
        .assert()
        .success();
    let file = folder.join("results/local__bert-mean/no_revision_available/KLUE-STS.json");
    let text = std::fs::read_to_string(&file).expect("mteb's file");
    assert!(text.starts_with("{\n  \"dataset_revision\": "), "{text}");
    assert!(!text.ends_with('\n') && text.is_ascii());
    let meta = |name: &str| {
        let path = folder.join(format!(
            "results/{name}/no_revision_available/model_meta.json"
        ));
        let text = std::fs::read_to_string(path).expect("mteb's description of the model");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    // mteb refuses a name without an organisation, and a similarity that it does not know.
    let (encoder, baseline) = (meta("local__bert-mean"), meta("korfinsts__length"));
    assert_eq!(encoder["name"], "local/bert-mean");
    assert_eq!(encoder["similarity_fn_name"], "cosine");
    assert_eq!(baseline["name"], "korfinsts/length");
    assert!(baseline["similarity_fn_name"].is_null());
    home.command(&["record", "show", &folder_text])
        .assert()
        .success()
        .stdout(predicate::str::contains("KLUE-STS"));
}

#[test]
fn what_cannot_be_done_is_said_before_any_work() {
    let home = Home::new();
    for (arguments, code, message) in [
        (vec!["eval", "no/such/model.onnx"], 4, "no/such/model.onnx"),
        (vec!["eval", "--suite", "nosuch"], 2, "nosuch"),
        (
            vec!["eval", "--suite", "korsts"],
            3,
            "korfinsts suite import korsts",
        ),
        (
            vec!["eval", "--resamples", "5"],
            2,
            "at least 100 are allowed",
        ),
        (vec!["eval", "--limit", "2"], 2, "`--limit` below 3"),
        (
            vec!["eval", "--format", "xml"],
            2,
            "table, json, csv, markdown, latex",
        ),
        (vec!["eval", "-o", "/"], 6, "cannot write `/`"),
    ] {
        home.command(&arguments)
            .assert()
            .code(code)
            .stderr(predicate::str::contains(message))
            .stdout(predicate::str::is_empty());
    }
    assert!(files_under(&home.path("."), ".kfe").is_empty());
}

#[test]
fn suites_that_are_absent_are_named_and_the_others_evaluated() {
    let home = Home::new();
    home.command(&["eval", &tiny(), "--resamples", "100"])
        .assert()
        .success()
        .stdout(predicate::str::contains("korfin-shift"))
        .stderr(predicate::str::contains("not on disk, so not evaluated:"))
        .stderr(predicate::str::contains("korfinsts suite fetch stsb"));
}

#[test]
fn where_one_of_several_models_is_broken_the_others_are_evaluated() {
    let home = Home::new();
    let unreadable = home.path("unreadable");
    home.copy(
        &repository("tests/reference/encoders/bert-mean"),
        &unreadable,
    );
    std::fs::remove_file(unreadable.join("1_Pooling/config.json")).expect("removed");
    // Read without a complaint, and found out when the network is opened.
    let unopened = home.path("unopened");
    home.copy(
        &repository("tests/reference/encoders/mpnet-mean"),
        &unopened,
    );
    let weights = std::fs::read(unopened.join("model.safetensors")).expect("weights");
    let needle = b"LayerNorm.weight";
    let mut broken = weights;
    let mut at = 0;
    while let Some(i) = broken[at..].windows(needle.len()).position(|w| w == needle) {
        broken[at + i..at + i + 9].copy_from_slice(b"LayerNerm");
        at += i + needle.len();
    }
    assert!(at > 0, "a tensor was renamed");
    std::fs::write(unopened.join("model.safetensors"), broken).expect("written");
    let (good, unreadable, unopened) = (
        tiny(),
        unreadable.display().to_string(),
        unopened.display().to_string(),
    );
    let several = |more: &[&str]| {
        let arguments = ["eval", &unreadable, &unopened, &good, "--no-baselines"];
        let rest = [
            "--suite",
            "korfin-shift",
            "--resamples",
            "100",
            "--format",
            "json",
        ];
        home.command(&[&arguments[..], &rest, more].concat())
            .assert()
    };
    let ran = several(&[])
        .code(4)
        .stderr(predicate::str::contains(format!(
            "error: `{unreadable}` is left out: "
        )))
        .stderr(predicate::str::contains(
            "the configuration of the pooling, is missing",
        ))
        .stderr(predicate::str::contains(format!(
            "error: `{unopened}` is left out: "
        )))
        .stderr(predicate::str::contains(
            "2 of 3 models could not be evaluated",
        ));
    let records = json(&ran.get_output().stdout);
    assert_eq!(records.len(), 1, "the good one is shown");
    assert_eq!(records[0]["encoder"]["name"], "bert-mean");
    assert_eq!(files_under(&home.results(), ".pairs.jsonl").len(), 1);

    // A shard with a broken model did not end.
    several(&["--shard", "1/1", "--results", "spread"]).code(4);
    home.command(&["merge", "spread", "--into", "joined"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains(
            "missing or not finished: `--shard 1/1`",
        ));

    // One model alone is the call's own failure.
    home.command(&["eval", &unreadable, "--suite", "korfin-shift"])
        .assert()
        .code(4)
        .stdout(predicate::str::is_empty())
        .stderr(predicate::str::contains("left out").not());
}

#[test]
fn a_flag_that_was_not_given_is_not_named_and_does_not_overrule_the_table() {
    let home = Home::new();
    let model = tiny();
    let dry = ["eval", &model, "--suite", "korfin-shift", "--dry-run"];
    home.command(&dry)
        .assert()
        .success()
        .stderr(predicate::str::is_match(r"device +cpu +\(default\)").expect("a pattern"));
    let table = format!("[models.{model:?}]\ndevice = \"cuda\"\n");
    std::fs::write(home.path("korfinsts.toml"), table).expect("written");
    home.command(&dry)
        .assert()
        .success()
        .stderr(predicate::str::is_match(r"device +cuda +\(korfinsts.toml\)").expect("a pattern"));
    home.command(&[&dry[..], &["--device", "cpu"]].concat())
        .assert()
        .success()
        .stderr(predicate::str::is_match(r"device +cpu +\(`--device`\)").expect("a pattern"));
}

#[test]
fn nan_weights_end_in_an_error_and_no_record() {
    let home = Home::new();
    let model = home.path("nan-model");
    home.copy(&repository("tests/reference/encoders/bert-mean"), &model);
    let path = model.join("model.safetensors");
    let mut bytes = std::fs::read(&path).expect("weights");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    bytes[header..]
        .chunks_exact_mut(4)
        .for_each(|v| v.copy_from_slice(&f32::NAN.to_le_bytes()));
    std::fs::write(&path, bytes).expect("weights");
    let model = model.display().to_string();
    home.command(&["eval", &model, "--suite", "korfin-shift"])
        .assert()
        .code(4)
        .stderr(predicate::str::contains("NaN"));
    assert!(files_under(&home.results(), ".json").is_empty());
}

/// mteb's published cosine Spearman of all-MiniLM-L6-v2.
const MINILM: &[(&str, f64)] = &[
    ("stsb", 0.820_324_728_3),
    ("sts12", 0.723_690),
    ("sts14", 0.755_891),
    ("sickr", 0.775_825),
    ("korsts-mteb", 0.423_011),
    ("klue-sts", 0.223_617),
    ("korsts", 0.421_836),
];

#[test]
fn minilm_scores_what_mteb_published_through_every_backend() {
    if !full("seven suites through three backends") {
        return;
    }
    let (Some(data), Some(model)) = (shared("data"), shared("models/all-MiniLM-L6-v2")) else {
        return;
    };
    let home = Home::new();
    let data = data.display().to_string();
    let ids: Vec<&str> = MINILM.iter().map(|(id, _)| *id).collect();
    for id in &ids {
        home.command(&["suite", "import", id, &data])
            .assert()
            .success();
    }
    let onnx = model.join("onnx/model.onnx").display().to_string();
    let mut runs = vec![("rten", onnx.clone())];
    if home.has_onnxruntime() {
        runs.push(("onnxruntime", onnx));
    } else {
        eprintln!("SKIPPED: no ONNX Runtime library is found, so `onnxruntime` is not run");
    }
    match std::env::var("KORFINSTS_MINILM") {
        Ok(folder) => runs.push(("candle", folder)),
        Err(_) => eprintln!("SKIPPED: KORFINSTS_MINILM is not set, so `candle` is not run"),
    }
    let suites = ids.join(",");
    let mut predicted: Vec<(String, Vec<f64>)> = Vec::new();
    for (backend, model) in runs {
        let arguments = [
            "eval",
            &model,
            "--backend",
            backend,
            "--suite",
            &suites,
            "--no-baselines",
            "--protocol",
            "mteb",
            "--resamples",
            "100",
            "--format",
            "json",
        ];
        let output = home.long_command(&arguments).assert().success();
        let records = json(&output.get_output().stdout);
        assert_eq!(records.len(), MINILM.len());
        for (record, (id, expected)) in records.iter().zip(MINILM) {
            assert_eq!(record["suite"]["id"], *id);
            assert_eq!(record["encoder"]["backend"], backend);
            let found = record["scores"]["cosine_spearman"]
                .as_f64()
                .expect("a number");
            assert!(
                (found - expected).abs() < 5e-5,
                "{backend} {id}: {found} is not {expected}"
            );
        }
        let mut scores = Vec::new();
        for path in files_under(&home.results(), ".pairs.jsonl") {
            for line in std::fs::read_to_string(path).expect("pairs").lines() {
                let pair: Value = serde_json::from_str(line).expect("a pair");
                scores.push(pair["score"].as_f64().expect("a number"));
            }
        }
        std::fs::remove_dir_all(home.results()).expect("results");
        predicted.push((backend.into(), scores));
    }
    for (a, first) in &predicted {
        for (b, second) in &predicted {
            assert_eq!(first.len(), second.len());
            let largest = first
                .iter()
                .zip(second)
                .map(|(x, y)| (x - y).abs())
                .fold(0.0, f64::max);
            assert!(largest <= 1e-5, "{a} and {b} differ by {largest}");
        }
    }
}

#[test]
fn the_int8_file_runs_on_both_backends_and_is_labelled() {
    if !full("a whole suite, one text at a time") {
        return;
    }
    let (Some(data), Some(model)) = (shared("data"), shared("models/all-MiniLM-L6-v2")) else {
        return;
    };
    let home = Home::new();
    home.command(&["suite", "import", "stsb", &data.display().to_string()])
        .assert()
        .success();
    let model = model
        .join("onnx/model_quantized.onnx")
        .display()
        .to_string();
    for backend in ["rten", "onnxruntime"] {
        if backend == "onnxruntime" && !home.has_onnxruntime() {
            eprintln!("SKIPPED: no ONNX Runtime library is found");
            continue;
        }
        let arguments = [
            "eval",
            &model,
            "--backend",
            backend,
            "--suite",
            "stsb",
            "--no-baselines",
            "--resamples",
            "100",
            "--format",
            "json",
        ];
        let output = home.long_command(&arguments).assert().success();
        let record = &json(&output.get_output().stdout)[0];
        assert_eq!(record["encoder"]["dtype"], "int8");
        assert_eq!(record["batch"]["one_text_each"], true);
        let found = record["scores"]["cosine_spearman"]
            .as_f64()
            .expect("a number");
        assert!((found - 0.819).abs() < 3e-3, "{backend}: {found}");
    }
}

/// The baselines' Spearman on four real suites, to the printed digits.
#[test]
fn the_baselines_score_what_is_known_of_them() {
    let Some(data) = shared("data") else { return };
    let home = Home::new();
    let data = data.display().to_string();
    let known: &[(&str, [&str; 4])] = &[
        ("finsts", ["0.4630", "0.2904", "0.3176", "0.2644"]),
        ("korsts", ["0.0451", "0.5591", "0.5467", "0.4499"]),
        ("stsb", ["-0.0089", "0.6241", "0.6276", "0.4937"]),
    ];
    for (id, expected) in known {
        home.command(&["suite", "import", id, &data])
            .assert()
            .success();
        let arguments = [
            "eval",
            "--suite",
            id,
            "--resamples",
            "100",
            "--format",
            "json",
        ];
        let output = home.long_command(&arguments).assert().success();
        let found: Vec<String> = json(&output.get_output().stdout)
            .iter()
            .filter(|r| r["encoder"]["backend"] == "lexical")
            .map(|r| {
                format!(
                    "{:.4}",
                    r["scores"]["cosine_spearman"].as_f64().expect("a number")
                )
            })
            .collect();
        assert_eq!(found, *expected, "{id}");
    }
}
