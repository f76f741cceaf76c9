//! Cut and quantised embeddings against sentence-transformers, and what records, tables, `compare`, bundles and the
//! board make of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::support::{Home, repository, shared};

fn reference(name: &str) -> Value {
    let path = repository("tests/reference/forms").join(name);
    let bytes = korfinsts_base::fs::read(&path).expect("the reference");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// The flags of a run of the reference.
fn flags(run: &Value) -> Vec<String> {
    let list = |key: &str| -> String {
        let values: Vec<String> = match &run[key] {
            Value::Array(values) => values.iter().map(ToString::to_string).collect(),
            other => vec![other.to_string()],
        };
        values.join(",").replace('"', "")
    };
    let mut flags = vec![
        format!("--truncate-dim={}", list("truncate_dim")),
        format!("--embedding-dtype={}", list("embedding_dtype")),
        "--rescore".into(),
    ];
    if run["normalize"] == true {
        flags.push("--normalize-embeddings".into());
    }
    if let Some(by) = run["calibrate"].as_str() {
        flags.push(format!("--calibrate={by}"));
    }
    flags
}

/// Records of `eval` with JSON, by the form; the whole embedding is that of the empty name.
fn evaluated(home: &Home, arguments: &[&str]) -> BTreeMap<String, Value> {
    let always = ["--no-baselines", "--resamples", "100", "--format", "json"];
    let output = home
        .long_command(&[&["eval"], arguments, &always].concat())
        .assert()
        .success();
    let records: Vec<Value> = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    let form = |record: &Value| {
        let facts: Option<korfinsts_bench::run::form::FormFacts> =
            serde_json::from_value(record["encoder"]["form"].clone()).expect("a form");
        facts.map_or_else(String::new, |facts| facts.to_string())
    };
    let by_form: BTreeMap<String, Value> = records.iter().map(|r| (form(r), r.clone())).collect();
    assert_eq!(by_form.len(), records.len(), "each form once");
    by_form
}

/// Files of the results whose names end so.
fn files_under(home: &Home, ending: &str) -> Vec<std::path::PathBuf> {
    let mut files = korfinsts_base::fs::walk(&home.results(), 1000).expect("results");
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files
}

/// The per-pair scores of a record.
fn pairs(home: &Home, record: &Value) -> Vec<Value> {
    let name = record["pairs"]["name"].as_str().expect("a file");
    let files = files_under(home, name);
    let text = std::fs::read_to_string(&files[0]).expect("pairs");
    let lines = text.lines();
    lines
        .map(|l| serde_json::from_str(l).expect("a pair"))
        .collect()
}

#[test]
fn scores_of_every_form_are_those_of_sentence_transformers() {
    let golden = reference("golden.json");
    let limit = golden["pairs"].to_string();
    let mut compared = 0;
    for run in golden["runs"].as_array().expect("runs") {
        let encoder = run["encoder"].as_str().expect("a name");
        if encoder != "static" && cfg!(not(feature = "candle")) {
            continue;
        }
        let home = Home::new();
        let folder = repository("tests/reference/encoders").join(encoder);
        let flags = flags(run);
        let mut arguments = vec![folder.to_str().expect("a path"), "--suite", "korfin-shift"];
        arguments.extend(["--limit", &limit]);
        arguments.extend(flags.iter().map(String::as_str));
        let records = evaluated(&home, &arguments);
        let forms = run["forms"].as_object().expect("forms");
        assert_eq!(records.len(), forms.len() + 1, "{:?}", records.keys());
        for (form, expected) in forms {
            let record = &records[form];
            let found = pairs(&home, record);
            for key in ["score", "dot", "manhattan", "euclidean"] {
                let Some(expected) = expected.get(key).and_then(Value::as_array) else {
                    assert!(found.iter().all(|pair| pair[key].is_null()), "{form} {key}");
                    continue;
                };
                for (pair, expected) in found.iter().zip(expected) {
                    let (pair, expected) = (pair[key].as_f64(), expected.as_f64());
                    let (pair, expected) = (pair.expect("a number"), expected.expect("a number"));
                    // A number in float32 is weighed with codes of up to 255 each.
                    let weighed =
                        key == "dot" && form.contains("int8") && form.contains("rescored");
                    let scale = expected.abs().max(if weighed { 100.0 } else { 1.0 });
                    let difference = (pair - expected).abs() / scale;
                    assert!(
                        difference < 2e-6,
                        "{encoder} {form} {key}: {pair} is not {expected}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 600, "{compared}");
}

/// A record's file below the results, by the end of its name.
fn record(home: &Home, ending: &str) -> std::path::PathBuf {
    let files = files_under(home, ending);
    assert_eq!(files.len(), 1, "{ending}: {files:?}");
    files[0].clone()
}

#[test]
fn forms_come_from_the_same_embeddings_and_leave_the_whole_record_as_it_was() {
    let home = Home::new();
    let plain = [
        "--suite",
        "korfin-shift",
        "--limit",
        "40",
        "--resamples",
        "100",
    ];
    let run = |more: &[&str]| {
        let arguments = [&["eval", "nmixx-mini"], &plain[..], more].concat();
        home.command(&arguments).assert().success()
    };
    run(&[]);
    let ending = "korfin-shift.test.native.first-40.resamples-100";
    let whole = format!("{ending}.json");
    let before = std::fs::read(record(&home, &whole)).expect("a record");
    assert!(!String::from_utf8_lossy(&before).contains("\"form\""));
    let forms = [
        "--truncate-dim",
        "64,32",
        "--embedding-dtype",
        "float32,int8,binary",
    ];
    let output = run(&forms);
    let table = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    for row in [
        "nmixx-mini · 64",
        "nmixx-mini · 64 · int8",
        "nmixx-mini · 32 · binary",
    ] {
        assert!(table.contains(row), "{table}");
    }
    // Sentences are as wide as the terminal is.
    let drawn = |line: &&str| line.starts_with([' ', '─', '═']);
    let widths = table.lines().filter(drawn).map(|line| line.chars().count());
    assert!(widths.max().is_some_and(|width| width <= 80), "{table}");
    assert_eq!(
        std::fs::read(record(&home, &whole)).expect("a record"),
        before
    );
    let int8 = record(&home, &format!("{ending}.dim-64.int8.json"));
    let timing = std::fs::read(int8.with_extension("timing.json")).expect("a timing");
    let timing: Value = serde_json::from_slice(&timing).expect("JSON");
    assert_eq!(timing["texts_encoded"], 0);
    let of: Value = serde_json::from_slice(&std::fs::read(&int8).expect("read")).expect("JSON");
    assert_eq!(of["encoder"]["dimension"], 64);
    let form = &of["encoder"]["form"];
    assert_eq!(form["truncate_dim"], 64);
    assert_eq!(form["embedding_dtype"], "int8");
    assert_eq!(form["bytes_per_embedding"], 64);
    let by = &form["calibration"];
    assert_eq!(
        (&by["suite"], &by["split"]),
        (&"korfin-shift".into(), &"test".into())
    );
    assert_eq!(by["of_scored_texts"], true);
    assert_eq!(by["release_id"], of["suite"]["release_id"]);
    assert!(by["embeddings"].as_u64().is_some_and(|n| n > 30), "{by}");
    // Every number follows from the pairs of the record, whatever the form.
    let results = home.results().display().to_string();
    home.command(&["record", "recompute", &results])
        .assert()
        .success();
    for (format, says) in [
        ("csv", "64 · int8,64"),
        ("markdown", "nmixx-mini · 64 · int8"),
        ("latex", "nmixx-mini"),
    ] {
        let shown = home.command(&["record", "show", &results, "--format", format]);
        let shown = { shown }.assert().success();
        let shown = String::from_utf8_lossy(&shown.get_output().stdout).into_owned();
        assert!(shown.contains(says), "{shown}");
    }
    // The name alone is the whole embedding; a form has its own name.
    let compare = |a: &str, b: &str| {
        let arguments = ["compare", a, b, "--resamples", "200", "--format", "json"];
        let output = home.command(&arguments).assert().success();
        serde_json::from_slice::<Value>(&output.get_output().stdout).expect("JSON")
    };
    let report = compare("nmixx-mini · 32 · binary", "nmixx-mini");
    assert_eq!(
        (&report["a"], &report["b"]),
        (&"nmixx-mini · 32 · binary".into(), &"nmixx-mini".into())
    );
    let [_, whole_scores] = ["a", "b"].map(|side| {
        let suites = report["suites"].as_object().expect("suites");
        suites.values().next().expect("one")[format!("spearman_{side}")].clone()
    });
    let whole: Value = serde_json::from_slice(&before).expect("JSON");
    let others = &whole["trained_on"]["cosine_spearman_of_others"];
    assert_eq!(whole_scores, *others, "of the pairs it was not trained on");
    // The board tests forms, says what they are, and ranks the whole embeddings alone.
    home.command(&[
        "leaderboard",
        "build",
        "--records",
        &results,
        "--no-reported",
        "--resamples",
        "200",
        "-o",
        "site",
    ])
    .assert()
    .success();
    let board = std::fs::read(home.path("site").join("board.json")).expect("a board");
    let board: Value = serde_json::from_slice(&board).expect("JSON");
    let rows = board["rows"].as_array().expect("rows");
    let row = |name: &str| rows.iter().find(|r| r["name"] == name).expect(name);
    let suite = |row: &Value| {
        row["cells"]
            .as_array()
            .expect("cells")
            .iter()
            .find(|c| !c.is_null())
            .cloned()
            .expect("a cell")
    };
    let (whole, form) = (row("nmixx-mini"), row("nmixx-mini · 64 · int8"));
    assert_eq!(form["facts"]["bytes_per_embedding"], 64);
    assert_eq!(
        whole["facts"]["bytes_per_embedding"],
        4 * whole["facts"]["dimensions"].as_u64().expect("a width")
    );
    assert!(suite(form)["score"].is_number());
    let page = std::fs::read_to_string(home.path("site").join("index.html")).expect("a page");
    assert!(
        page.contains("nmixx-mini · 64 · int8") && page.contains("has no rank"),
        "page"
    );
}

#[test]
fn flags_without_a_meaning_and_widths_that_are_not_there_are_refused() {
    let home = Home::new();
    let folder = repository("tests/reference/encoders/bert-mean");
    let model = folder.to_str().expect("a path");
    let usual = [
        "eval",
        model,
        "--suite",
        "korfin-shift",
        "--limit",
        "20",
        "--resamples",
        "100",
    ];
    let cases: [(&[&str], &[&str]); 8] = [
        (
            &["--truncate-dim", "64,16"],
            &[
                "found `--truncate-dim 64`: the embeddings of `bert-mean` have 32 dimensions",
                "`--truncate-dim 16`",
            ],
        ),
        (
            &["--truncate-dim", "0"],
            &["found `--truncate-dim 0`", "`--truncate-dim 256,128`"],
        ),
        (
            &["--embedding-dtype", "int4"],
            &["int4", "a number type is one of float32, int8"],
        ),
        (
            &["--rescore"],
            &[
                "found `--rescore` without a quantised type",
                "`--embedding-dtype int8,binary`",
            ],
        ),
        (
            &["--rescore", "--truncate-dim", "8"],
            &["found `--rescore` without a quantised type"],
        ),
        (
            &[
                "--calibrate",
                "korfin-shift:dev",
                "--embedding-dtype",
                "binary",
            ],
            &[
                "found `--calibrate` without a type that has ranges",
                "`--embedding-dtype int8`",
            ],
        ),
        (
            &["--normalize-embeddings"],
            &["without a form to normalise", "`--truncate-dim`"],
        ),
        (
            &[
                "--embedding-dtype",
                "int8",
                "--calibrate",
                "korfin-shift:nowhere",
            ],
            &["nowhere"],
        ),
    ];
    for (flags, says) in cases {
        let output = home
            .command(&[&usual[..], flags].concat())
            .assert()
            .failure();
        let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        let one_line = error.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in says {
            assert!(one_line.contains(part), "{flags:?}: {error}");
        }
        let kept = home.data().join("embeddings");
        assert!(!kept.exists(), "{flags:?}: nothing was encoded");
    }
    // A width that no file tells is found out by the first embeddings.
    let table = repository("tests/reference/encoders/static");
    let table = table.to_str().expect("a path");
    let arguments = [
        "eval",
        table,
        "--suite",
        "korfin-shift",
        "--limit",
        "20",
        "--truncate-dim",
        "999",
    ];
    let output = home.command(&arguments).assert().code(2);
    let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(error.contains("--truncate-dim 999"), "{error}");
}

#[test]
fn another_calibration_is_named_and_never_replaces_a_record() {
    let home = Home::new();
    let folder = repository("tests/reference/encoders/static");
    let model = folder.to_str().expect("a path");
    let usual = [
        model,
        "--suite",
        "korfin-shift",
        "--limit",
        "20",
        "--embedding-dtype",
        "int8",
    ];
    let own = evaluated(&home, &usual);
    let other = evaluated(
        &home,
        &[&usual[..], &["--calibrate", "korfin-shift:dev"]].concat(),
    );
    assert!(own.contains_key("int8") && other.contains_key("int8 by korfin-shift:dev"));
    let by = &other["int8 by korfin-shift:dev"]["encoder"]["form"]["calibration"];
    assert_eq!(
        (&by["of_scored_texts"], &by["split"]),
        (&false.into(), &"dev".into())
    );
    let few = own["int8"]["warnings"].to_string();
    assert!(few.contains("the ranges of int8 are of"), "{few}");
    assert!(
        !other["int8 by korfin-shift:dev"]["warnings"]
            .to_string()
            .contains("the ranges")
    );
    record(&home, ".int8.json");
    record(&home, ".int8.by-korfin-shift-dev.json");
    // On the board the whole embedding is ranked, and no form takes a rank from it.
    home.command(&[
        "leaderboard",
        "build",
        "--no-reported",
        "--resamples",
        "200",
        "-o",
        "site",
    ])
    .assert()
    .success();
    let board = std::fs::read(home.path("site").join("board.json")).expect("a board");
    let board: Value = serde_json::from_slice(&board).expect("JSON");
    let rows = board["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    for row in rows {
        let cell = &row["cells"][0];
        if row["form"].is_null() {
            assert_eq!(
                (&cell["rank"], &cell["ranked"]),
                (&serde_json::json!([1, 1]), &1.into())
            );
        } else {
            assert!(cell["rank"].is_null(), "{row}");
            let why = cell["unranked"].as_str().expect("a reason");
            assert!(why.contains("have no rank among whole ones"), "{why}");
        }
    }
}

#[test]
fn a_bundle_holds_whole_embeddings() {
    let home = Home::new();
    home.command(&[
        "eval",
        "nmixx-mini",
        "--suite",
        "korfin-shift",
        "--resamples",
        "100",
        "--embedding-dtype",
        "int8",
    ])
    .assert()
    .success();
    std::fs::write(home.path("overlap.md"), "Nothing was looked for.").expect("written");
    let submit = |records: &str| {
        let arguments = [
            "submit",
            records,
            "--licence",
            "mit",
            "--statement",
            "random weights",
            "--overlap-report",
            "overlap.md",
        ];
        home.command(&arguments).assert()
    };
    let output = submit(record(&home, ".int8.json").to_str().expect("a path")).failure();
    let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        error.contains("it is of embeddings that are cut or quantised (`int8`)"),
        "{error}"
    );
    assert!(
        error.contains("pack the record of the whole embedding"),
        "{error}"
    );
    // Of a folder, the other records are taken.
    submit(home.results().to_str().expect("a path")).success();
}

#[test]
fn minilm_on_stsbenchmark_has_the_figures_of_sentence_transformers() {
    let (Some(data), Ok(model)) = (shared("data"), std::env::var("KORFINSTS_MINILM")) else {
        eprintln!("SKIPPED: KORFINSTS_MINILM is not set");
        return;
    };
    if cfg!(not(feature = "candle")) {
        return;
    }
    let home = Home::new();
    home.command(&["suite", "import", "stsb", &data.display().to_string()])
        .assert()
        .success();
    let golden = reference("minilm.json");
    let mut compared = 0;
    for run in golden["runs"].as_array().expect("runs") {
        let flags = flags(run);
        let mut arguments = vec![model.as_str(), "--backend", "candle", "--suite", "stsb"];
        arguments.extend(flags.iter().map(String::as_str));
        let records = evaluated(&home, &arguments);
        for (form, figures) in run["forms"].as_object().expect("forms") {
            for (key, expected) in figures.as_object().expect("figures") {
                let expected = expected.as_f64().expect("a number");
                let found = records[form]["scores"][key].as_f64().expect("a number");
                let difference = (found - expected).abs();
                // Of embeddings that differ in their last bit, some codes of int8 differ by one; of the same embeddings
                // they differ by at most 3.3e-6 (`make.py --same`).
                let most = match () {
                    () if form.contains("int8") => 2e-5,
                    // Normalised in float32, neighbours change places.
                    () if form.contains("normalized") => 5e-6,
                    () => 2e-6,
                };
                assert!(difference < most, "{form} {key}: {found} is not {expected}");
                compared += 1;
            }
        }
    }
    assert!(compared > 150, "{compared}");
}
