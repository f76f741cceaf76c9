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
    let folder = home.path().join("empty");
    std::fs::create_dir(&folder).expect("made");
    let empty = folder.to_str().expect("UTF-8");
    for command in [
        ["suite", "check"],
        ["suite", "probe"],
        ["suite", "stats"],
        ["eval", "--suite"],
    ] {
        for (path, error, hint) in [
            (
                "./nope",
                "error: `./nope` does not exist",
                "name a folder with suite.toml",
            ),
            (
                "nope/suite.toml",
                "error: `nope/suite.toml` does not exist",
                "suite list",
            ),
            (
                "/nope:test",
                "error: `/nope` does not exist",
                "name a folder",
            ),
            (
                empty,
                "holds no `suite.toml`",
                "hint: `korfinsts suite new NAME FILE`",
            ),
        ] {
            korfinsts(home.path())
                .args(command)
                .arg(path)
                .assert()
                .code(2)
                .stderr(contains(error))
                .stderr(contains(hint));
        }
    }
    for arguments in [
        &["eval", "length", "--pairs", "nope.csv"][..],
        &["suite", "new", "x", "nope.csv"],
        &["encode", "nmixx-mini", "-i", "nope.csv", "-o", "x.npy"],
    ] {
        korfinsts(home.path())
            .args(arguments)
            .assert()
            .failure()
            .stderr(contains(
                "error: cannot read `nope.csv`: No such file or directory",
            ));
    }
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
        .stderr(contains("error: 0 errors and 4 warnings"));
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

/// A suite of 24 documents in two languages, each with two positives and two negatives.
fn crossed(folder: &Path, cluster: &str, leak: bool) {
    std::fs::create_dir_all(folder).expect("a folder");
    let words = [
        "매출", "이익", "부채", "환율", "금리", "수출", "배당", "자산", "규제", "물가",
    ];
    let mut lines = String::new();
    for document in 0..24 {
        for language in ["ko", "en"] {
            for (at, cell) in ["pos.light", "pos.free", "neg.close", "neg.free"]
                .into_iter()
                .enumerate()
            {
                let word = |step: usize| words[(document * 3 + step * 7 + at * step) % words.len()];
                let mark = if leak && at < 2 {
                    "사실이다"
                } else {
                    "소문이다"
                };
                let row = serde_json::json!({
                    "id": format!("{document}.{language}.{cell}"),
                    "sentence1": format!("{} {document}호 공시: {} {} 전망", language, words[document % 10], words[document % 7]),
                    "sentence2": format!("{} {document}호 공시: {} {} {} {mark}", language, word(1), word(2), word(3)),
                    "score": i32::from(at < 2),
                    "pattern": format!("p{}", document % 3),
                    "triplet": format!("{document}.{language}"),
                    "document": document.to_string(), "language": language, "cell": cell,
                });
                lines.push_str(&format!("{row}\n"));
            }
        }
    }
    std::fs::write(folder.join("pairs.jsonl"), lines).expect("written");
    let manifest = format!(
        r#"schema = 1
id = "crossed"
version = "1.0.0"
title = "Crossed"
description = "Made for a test."
languages = ["kor-Hang", "eng-Latn"]
licence = "CC0-1.0"
redistributable = true
default_split = "test"
cluster = "{cluster}"

[scale]
kind = "binary"
min = 0
max = 1

[triplets]
id = "triplet"
group = "pattern"
cell = "cell"
language = "language"

[splits.test]

[[source]]
name = "own"
format = {{ kind = "jsonl" }}

[source.columns]
id = ["id"]
sentence1 = "sentence1"
sentence2 = "sentence2"
score = "score"
labels = ["pattern", "triplet", "document", "language", "cell"]

[source.files]
test = [{{ name = "pairs.jsonl" }}]
"#
    );
    std::fs::write(folder.join("suite.toml"), manifest).expect("written");
}

#[test]
fn a_probe_finds_a_word_that_gives_the_label_away() {
    let home = tempfile::tempdir().expect("a data home");
    let folder = home.path().join("crossed");
    let folder_name = folder.display().to_string();
    let arguments = ["suite", "probe", &folder_name, "--format", "json"];
    crossed(&folder, "document", true);
    let found = json(korfinsts(home.path()).args(arguments));
    assert_eq!(found[0]["split"], "test");
    for language in ["ko", "en"] {
        let probes = &found[0]["languages"][language];
        assert_eq!(
            (&probes["pairs"], &probes["clusters"]),
            (&96.into(), &24.into())
        );
        assert_eq!(probes["words"]["auc"], 1.0);
        assert_eq!(probes["words"]["interval"], serde_json::json!([1.0, 1.0]));
    }
    korfinsts(home.path())
        .args(["suite", "probe", &folder_name])
        .assert()
        .success()
        .stdout(contains("1.000 [1.000, 1.000]"));
    korfinsts(home.path())
        .args(["suite", "check", &folder_name])
        .assert()
        .success();
}

#[test]
fn a_suite_says_which_pairs_are_of_one_document() {
    let home = tempfile::tempdir().expect("a data home");
    let folder = home.path().join("crossed");
    let folder_name = folder.display().to_string();
    crossed(&folder, "documents", false);
    korfinsts(home.path())
        .args(["suite", "check", &folder_name])
        .assert()
        .code(3)
        .stderr(contains(
            "`cluster` names the column `documents`, which is not in `labels` of every source",
        ));
    crossed(&folder, "document", false);
    let results = home.path().join("results");
    korfinsts(home.path())
        .args(["eval", "--suite", &folder_name, "--detail", "--results"])
        .arg(&results)
        .assert()
        .success()
        .stdout(contains("24 clusters; design effect"))
        .stdout(contains("worst cell"))
        .stdout(contains("crossed triplets"));
    let record = std::fs::read(results.join("words/crossed.test.raw.json")).expect("a record");
    let record: Value = serde_json::from_slice(&record).expect("JSON");
    assert_eq!(record["clusters"]["n"], 24);
    assert!(record["clusters"]["design_effect"].is_f64());
    let triplets = &record["triplets"];
    assert_eq!(triplets["n"], 48);
    assert_eq!(triplets["languages"]["ko"]["n"], 24);
    let cells: Vec<&String> = triplets["cells"]
        .as_object()
        .expect("cells")
        .keys()
        .collect();
    assert_eq!(
        cells,
        ["free/close", "free/free", "light/close", "light/free"]
    );
    let accuracy = |part: &Value| part["accuracy"].as_f64().expect("a number");
    let worst = &triplets["cells"][triplets["worst_cell"].as_str().expect("a cell")];
    for cell in cells {
        assert!(accuracy(worst) <= accuracy(&triplets["cells"][cell]));
        assert!(accuracy(triplets) <= accuracy(&triplets["cells"][cell]));
    }
    let groups: Vec<f64> = record["triplet_accuracy"]
        .as_object()
        .expect("groups")
        .values()
        .filter_map(Value::as_f64)
        .collect();
    let mean = groups.iter().sum::<f64>() / groups.len() as f64;
    assert!((accuracy(triplets) - mean).abs() < 1e-12);
    korfinsts(home.path())
        .args(["record", "recompute"])
        .arg(&results)
        .assert()
        .success()
        .stderr(contains("all equal"));
}
