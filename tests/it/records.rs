//! Records of every schema version ever written, and what the command prints, byte for byte.
//!
//! A folder `tests/reference/records/vN/` holds records as version N was written; it is never
//! edited, only joined by the next one.

use std::path::PathBuf;

use insta::{assert_snapshot, with_settings};
use korfinsts_bench::run::record::{Record, read_pairs};
use predicates::prelude::*;

use super::support::{Home, repository};

/// `(schema version, record)` of every record kept.
fn kept() -> Vec<(u32, PathBuf)> {
    let root = repository("tests/reference/records");
    let mut records: Vec<(u32, PathBuf)> = walkdir::WalkDir::new(&root)
        .into_iter()
        .map(|e| e.expect("listed").into_path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .map(|p| {
            let version = p
                .strip_prefix(&root)
                .expect("below")
                .iter()
                .next()
                .expect("a version's folder");
            let version = version.to_string_lossy()[1..].parse().expect("a number");
            (version, p)
        })
        .collect();
    records.sort();
    records
}

#[test]
fn every_schema_ever_written_still_loads() {
    let records = kept();
    assert!(records.len() >= 2, "{records:?}");
    for (version, path) in records {
        let record = Record::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(record.schema_version, version, "{}", path.display());
        assert_eq!(record.n_pairs, 222);
        let named = record.pairs.expect("a per-pair file").name;
        let pairs = read_pairs(&path.with_file_name(named)).expect("pairs");
        assert_eq!(pairs.len(), 222);
    }
}

#[test]
fn numbers_of_old_records_can_be_computed_again() {
    let home = Home::new();
    let folder = repository("tests/reference/records");
    home.command(&["record", "recompute", &folder.display().to_string()])
        .assert()
        .success()
        .stderr(predicate::str::contains("all equal"));
}

/// Everything of a run that is not a function of its input alone is masked.
fn assert_printed(name: &str, arguments: &[&str]) {
    let home = Home::new();
    let run = || {
        let mut command = home.command(arguments);
        let command = command.env("NO_COLOR", "1").env("COLUMNS", "120");
        command.output().expect("runs")
    };
    // The second time embeddings come from the store. Without the timing of the first run, no speed is shown.
    run();
    if home.results().exists() {
        std::fs::remove_dir_all(home.results()).expect("removed");
    }
    let output = run();
    let text = format!(
        "$ korfinsts {}\nexit code {}\n--- stdout\n{}--- stderr\n{}",
        arguments.join(" "),
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let folder = home.path("").display().to_string();
    let masked = text
        .replace(folder.trim_end_matches('/'), "HOME")
        .replace(env!("CARGO_MANIFEST_DIR"), "REPOSITORY");
    with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        assert_snapshot!(name, masked);
    });
}

#[test]
fn what_is_printed_stays_what_it_is() {
    for format in ["table", "csv", "md", "latex"] {
        let arguments = ["eval", "--quiet", "--resamples", "500", "--format", format];
        assert_printed(&format!("baselines-{format}"), &arguments);
    }
    assert_printed("suite-list", &["suite", "list"]);
    assert_printed("suite-info", &["suite", "info", "korfinsts"]);
}

#[test]
fn errors_say_what_was_found_and_what_to_type() {
    for (name, arguments) in [
        ("unknown-suite", vec!["eval", "--suite", "korst"]),
        ("absent-suite", vec!["eval", "--suite", "korsts"]),
        ("no-model-there", vec!["eval", "./nothing.onnx"]),
        ("offline-hub-id", vec!["eval", "nobody/nothing"]),
        (
            "output-in-no-folder",
            vec!["eval", "-o", "nowhere/table.md"],
        ),
        ("not-a-record", vec!["record", "show", "nothing.json"]),
        (
            "import-nothing",
            vec!["suite", "import", "korsts", "nothing.tsv"],
        ),
    ] {
        assert_printed(&format!("error-{name}"), &arguments);
    }
}

#[test]
fn a_record_asks_for_nothing_that_harms() {
    type Change = fn(&mut serde_json::Value);
    let (_, kept) = kept().pop().expect("a record");
    let text = std::fs::read_to_string(&kept).expect("read");
    let good: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let name = "evil\u{1b}[31mred\u{1b}]0;t\u{7}\u{202e}";
    let cases: [(&str, Change); 5] = [
        ("the level 5", |r| r["bootstrap"]["level"] = 5.0.into()),
        ("the level 1e300", |r| {
            r["bootstrap"]["level"] = 1e300.into();
        }),
        ("with 1000000000000 resamples", |r| {
            r["bootstrap"]["resamples"] = 1_000_000_000_000_u64.into();
        }),
        ("`/etc/passwd` is not a bare file name", |r| {
            r["pairs"]["name"] = "/etc/passwd".into();
        }),
        ("`../x` is not a bare file name", |r| {
            r["pairs"]["name"] = "../x".into();
        }),
    ];
    let home = Home::new();
    for (reason, change) in cases {
        let mut record = good.clone();
        record["encoder"]["name"] = name.into();
        change(&mut record);
        std::fs::write(home.path("r.json"), record.to_string()).expect("written");
        home.command(&["record", "recompute", "r.json"])
            .assert()
            .code(3)
            .stderr(predicate::str::contains(reason).and(predicate::str::contains("\u{1b}").not()));
    }
    let mut record = good;
    record["encoder"]["name"] = name.into();
    record["warnings"] = serde_json::json!([name]);
    std::fs::write(home.path("r.json"), record.to_string()).expect("written");
    home.command(&["record", "show", "r.json"])
        .assert()
        .success()
        .stdout(predicate::str::contains("\u{1b}").not())
        .stderr(predicate::str::contains("\u{1b}").not());
}
