//! `korfinsts suite` as a user types it.

use std::path::Path;

use assert_cmd::Command;
use predicates::str::contains;
use serde_json::Value;

use super::support::shared;

fn korfinsts(home: &Path) -> Command {
    let mut command = Command::cargo_bin("korfinsts").expect("the binary is built");
    command.env("KORFINSTS_LANG", "en");
    command
        .env("KORFINSTS_DATA", home)
        .env("HF_HOME", home.join("hub"))
        .env_remove("HF_HUB_CACHE")
        .env_remove("HUGGINGFACE_HUB_CACHE")
        .env("NO_COLOR", "1");
    command
}

fn json(command: &mut Command) -> Value {
    let output = command.assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).expect("stdout is one JSON document")
}

#[test]
fn list_shows_what_is_here_and_how_to_get_the_rest() {
    let home = tempfile::tempdir().expect("a data home");
    let list = json(korfinsts(home.path()).args(["suite", "list", "--format", "json"]));
    let find = |id: &str| {
        let suites = list.as_array().expect("a list");
        suites
            .iter()
            .find(|s| s["id"] == id)
            .expect("listed")
            .clone()
    };
    assert_eq!(find("korfin-shift")["available"], true);
    assert_eq!(
        find("korfinsts")["command"],
        "korfinsts suite fetch korfinsts"
    );
    assert_eq!(
        find("korsts")["command"],
        "korfinsts suite import korsts PATH"
    );
    assert_eq!(find("korfinsts")["rows"], 1991);
    korfinsts(home.path())
        .args(["suite", "list"])
        .assert()
        .success()
        .stdout(contains("KorFin-Shift"));
}

#[test]
fn info_names_sources_hashes_and_splits() {
    let home = tempfile::tempdir().expect("a data home");
    korfinsts(home.path())
        .args(["suite", "info", "korsts"])
        .assert()
        .success()
        .stdout(contains("CC-BY-SA-4.0"))
        .stdout(contains("test (default)"))
        .stdout(contains("0df0fe7d496eb61b092e022e238c2230b29f1cbc"));
    korfinsts(home.path())
        .args(["suite", "info", "korst"])
        .assert()
        .code(2)
        .stderr(contains("error: no suite is called `korst`; there are"))
        .stderr(contains("hint: did you mean `korsts`?"));
}

#[test]
fn the_built_in_suite_passes_its_check_and_has_statistics() {
    let home = tempfile::tempdir().expect("a data home");
    let report = json(korfinsts(home.path()).args(["suite", "check", "--format", "json"]));
    assert_eq!(report[0]["suite"], "korfin-shift");
    assert_eq!(report[0]["passed"], true);
    korfinsts(home.path())
        .args(["suite", "check", "--strict"])
        .assert()
        .code(1)
        .stdout(contains("cap Spearman's correlation at 0.866"))
        .stderr(contains("error: 0 errors and 2 warnings"));
    let stats = json(korfinsts(home.path()).args(["suite", "stats", "--format", "json"]));
    for (at, split, pairs) in [(0, "dev", 444), (1, "test", 888)] {
        assert_eq!(stats[at]["split"], split);
        assert_eq!(stats[at]["pairs"], pairs);
        assert_eq!(stats[at]["gold"]["mean"], 0.5);
        assert_eq!(stats[at]["repeats"]["duplicate_pairs"], 0);
    }
    korfinsts(home.path())
        .args(["suite", "stats", "korfin-shift", "--format", "csv"])
        .assert()
        .success()
        .stdout(contains("suite,split,of,measure,value"))
        .stdout(contains("korfin-shift,test,domain legal,pairs,240"))
        .stdout(contains("korfin-shift,test,gold,mean,0.5"));
    for format in ["table", "latex", "md"] {
        korfinsts(home.path())
            .args(["suite", "stats", "korfin-shift", "--format", format])
            .assert()
            .success()
            .stdout(contains("disclosure"));
    }
}

#[test]
fn stats_count_in_the_tokens_of_any_tokenizer() {
    let home = tempfile::tempdir().expect("a data home");
    let tokenizer = home.path().join("eojeol/tokenizer.json");
    std::fs::create_dir_all(tokenizer.parent().expect("a folder")).expect("made");
    // One unknown token per eojeol: its counts must be those of eojeol.
    std::fs::write(
        &tokenizer,
        r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}}"#,
    )
    .expect("written");
    let stats = json(korfinsts(home.path()).args([
        "suite",
        "stats",
        "korfin-shift",
        "--format",
        "json",
        "--tokenizer",
        tokenizer.to_str().expect("UTF-8"),
    ]));
    assert_eq!(stats[0]["tokens"]["lengths"], stats[0]["eojeol"]);
    assert_eq!(stats[0]["tokens"]["total"], stats[0]["eojeol_total"]);
    assert_eq!(stats[0]["tokens"]["vocabulary"], 1);
    for domain in stats[0]["domains"].as_array().expect("domains") {
        assert_eq!(domain["tokens"], domain["eojeol"]);
    }
    for (format, expected) in [
        ("table", "Tokens of `eojeol`"),
        ("csv", "korfin-shift,test,split,different tokens,1"),
    ] {
        korfinsts(home.path())
            .args(["suite", "stats", "korfin-shift", "--format", format])
            .arg("--tokenizer")
            .arg(&tokenizer)
            .assert()
            .success()
            .stdout(contains(expected));
    }
    korfinsts(home.path())
        .args([
            "suite",
            "stats",
            "korfin-shift",
            "--tokenizer",
            "./nothing-here/tokenizer.json",
        ])
        .assert()
        .code(4);
}

#[test]
fn a_broken_suite_fails_its_check_with_every_line() {
    let home = tempfile::tempdir().expect("a data home");
    let folder = home.path().join("suites-local/mine");
    let manifest = r#"
        schema = 1
        id = "mine"
        version = "1.0.0"
        title = "Mine"
        description = "For a test."
        languages = ["kor-Hang"]
        licence = "CC-BY-4.0"
        redistributable = true
        default_split = "test"
        scale = { kind = "interval", min = 0, max = 5 }
        [splits.test]
        [[source]]
        name = "here"
        format = { kind = "jsonl" }
        columns = { sentence1 = "a", sentence2 = "b", score = "s" }
        [source.files]
        test = [{ name = "rows.jsonl" }]
    "#;
    let rows = "{\"a\": \"가\", \"b\": \"나\u{200B}\", \"s\": 6}\n\
                {\"a\": \"\u{1100}\u{1161}\", \"b\": \"나\u{200B}\", \"s\": 1}\n\
                {\"a\": \"\", \"b\": \"나\", \"s\": 1}\n";
    korfinsts_base::fs::write_atomic(&folder.join("suite.toml"), manifest.as_bytes())
        .expect("written");
    korfinsts_base::fs::write_atomic(&folder.join("rows.jsonl"), rows.as_bytes()).expect("written");
    korfinsts(home.path())
        .args(["suite", "check", "mine"])
        .assert()
        .code(1)
        .stdout(contains(
            "rows.jsonl:1: the gold score 6 is outside the declared scale 0 to 5",
        ))
        .stdout(contains(
            "rows.jsonl:2: `sentence1` is not in Unicode normalisation form C",
        ))
        .stdout(contains(
            "rows.jsonl:2: `sentence2` holds U+200B, an invisible character",
        ))
        .stdout(contains("rows.jsonl:3: `a` is empty"))
        .stderr(contains("error: 2 errors and 2 warnings"));
    korfinsts(home.path())
        .args(["suite", "stats", "mine"])
        .assert()
        .code(3)
        .stderr(contains("1 more: `korfinsts suite check mine`"));
}

#[test]
fn import_check_and_stats_of_korsts_give_its_known_numbers() {
    let Some(data) = shared("data") else { return };
    let home = tempfile::tempdir().expect("a data home");
    let reports = json(
        korfinsts(home.path())
            .args(["suite", "import", "korsts"])
            .arg(&data)
            .args(["--format", "json"]),
    );
    assert_eq!(reports.as_array().map(Vec::len), Some(3));
    let stats = json(korfinsts(home.path()).args(["suite", "stats", "korsts", "--format", "json"]));
    let test = stats
        .as_array()
        .and_then(|s| s.iter().find(|s| s["split"] == "test"))
        .expect("the test split")
        .clone();
    assert_eq!(test["pairs"], 1379);
    assert_eq!(test["overlaps"].as_array().map(Vec::len), Some(2));
    assert_eq!(test["overlaps"][1]["other"], "train");
    assert_eq!(test["overlaps"][1]["pairs_with_shared_text"], 166);
    let one =
        json(korfinsts(home.path()).args(["suite", "stats", "korsts:dev", "--format", "json"]));
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    korfinsts(home.path())
        .args(["suite", "check", "korsts", "--format", "csv"])
        .assert()
        .success();
}

#[test]
fn errors_have_their_exit_codes_and_hints() {
    let home = tempfile::tempdir().expect("a data home");
    korfinsts(home.path())
        .args(["suite", "stats", "stsb"])
        .assert()
        .code(3)
        .stderr(contains(
            "error: the rows of `stsb` (test) are not on this machine",
        ))
        .stderr(contains("hint: run `korfinsts suite fetch stsb`"));
    korfinsts(home.path())
        .args(["suite", "fetch", "stsb", "--offline"])
        .assert()
        .code(5)
        .stderr(contains("is not in the cache"))
        .stderr(contains("hint: leave out `--offline`"));
    korfinsts(home.path())
        .args(["suite", "fetch", "korsts"])
        .assert()
        .code(2)
        .stderr(contains("error: `korsts` has no copy on the hub"))
        .stderr(contains(
            "hint: download it from https://github.com/kakaobrain/kor-nlu-datasets",
        ));
    korfinsts(home.path())
        .args(["suite", "import", "korsts", "nowhere"])
        .assert()
        .code(2)
        .stderr(contains("error: `nowhere` does not exist"))
        .stderr(contains("hint: name a file, or a folder"));
}
