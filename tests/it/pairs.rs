//! A file of pairs of one's own: as many programs save it, wrong in many ways, and as a suite.

use std::collections::BTreeSet;
use std::path::Path;

use predicates::prelude::*;
use serde_json::Value;

use super::support::{Home, repository};

fn tiny() -> String {
    repository("tests/reference/encoders/bert-mean")
        .display()
        .to_string()
}

fn file(name: &str) -> String {
    repository(&format!("tests/reference/pairs/{name}"))
        .display()
        .to_string()
}

fn eval(home: &Home, more: &[&str]) -> assert_cmd::assert::Assert {
    let tiny = tiny();
    let arguments = [&["eval", &tiny, "--resamples", "200"], more].concat();
    home.command(&arguments).assert()
}

/// The records that a call prints.
fn records(assert: &assert_cmd::assert::Assert) -> Vec<Value> {
    serde_json::from_slice(&assert.get_output().stdout).expect("one JSON array")
}

fn error(assert: assert_cmd::assert::Assert, code: i32) -> String {
    let assert = assert.failure().code(code);
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

#[test]
fn the_same_pairs_have_the_same_scores_whatever_program_saved_them() {
    let home = Home::new();
    let mut plain = None;
    for (name, said) in [
        ("plain.csv", "12 pairs, CSV, gold 0 to 5, kor-Hang"),
        (
            "pandas.csv",
            "sentence1 = `text1`, sentence2 = `text2`, score = `label`",
        ),
        ("excel.csv", "12 pairs, CSV with `;`, gold"),
        ("cp949.csv", "12 pairs, CSV, CP949, gold"),
        ("unicode.txt", "12 pairs, TSV, UTF-16, gold"),
        ("bare.tsv", "12 pairs, TSV, quotes as text, no header, gold"),
        ("lines.jsonl", "12 pairs, JSON, gold"),
        ("nested.json", "score = `labels.real-label`"),
        ("pairs.parquet", "12 pairs, Parquet, gold"),
    ] {
        let assert = eval(&home, &["--pairs", &file(name), "--format", "json"])
            .success()
            .stderr(predicate::str::contains(said));
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        for line in stderr.lines().take(2) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let records = records(&assert);
        assert_eq!(records.len(), 5, "the encoder and four baselines");
        for record in &records {
            assert_eq!(record["suite"]["id"], name);
            assert_eq!(record["n_pairs"], 12);
        }
        let scores = |key: &str| -> Vec<Value> { records.iter().map(|r| r[key].clone()).collect() };
        let release = records[0]["suite"]["release_id"].clone();
        let found = (scores("scores"), scores("interval"), release);
        assert_eq!(found, *plain.get_or_insert_with(|| found.clone()), "{name}");
    }
    home.command(&["record", "show", "korfinsts-results"])
        .assert()
        .success()
        .stdout(predicate::str::contains("cp949.csv@"));
    home.command(&["record", "recompute", "korfinsts-results"])
        .assert()
        .success()
        .stderr(predicate::str::contains(
            "45 records computed again, all equal",
        ));
}

#[test]
fn stdin_columns_and_binary_scores_are_read() {
    let home = Home::new();
    let cp949 = std::fs::read(file("cp949.csv")).expect("a file");
    let tiny = tiny();
    home.command(&["eval", &tiny, "--pairs", "-", "--dry-run"])
        .write_stdin(cp949)
        .assert()
        .success()
        .stderr(predicate::str::contains("stdin: 12 pairs, CSV, CP949"))
        .stdout(predicate::str::contains("on stdin test: 12 pairs"));
    let alike = "id,s1,s2,same meaning,genre\n\
                 7,the bank lends,the bank gives loans,True,a\n\
                 8,it rains,profit rose,False,b\n\
                 9,shares fell,shares dropped,True,a\n";
    std::fs::write(home.path("alike.csv"), alike).expect("written");
    let columns = "score=same meaning";
    let more = [
        "--pairs",
        "alike.csv",
        "--columns",
        columns,
        "--format",
        "json",
    ];
    let assert = eval(&home, &more)
        .success()
        .stderr(predicate::str::contains("gold binary, eng-Latn\n"));
    let records = records(&assert);
    assert_eq!(records[0]["suite"]["scale"], "binary");
    assert_eq!(records[0]["suite"]["languages"][0], "eng-Latn");
    // Decimal commas, and a language that was told.
    std::fs::write(
        home.path("de.csv"),
        "q1;q2;sim\na b;a c;0,5\nd;e;1,25\nf;g;0,125\n",
    )
    .expect("written");
    let more = ["--pairs", "de.csv", "--language", "de", "--format", "json"];
    let assert = eval(&home, &more)
        .success()
        .stderr(predicate::str::contains("gold 0.125 to 1.25, deu-Latn\n"));
    assert_eq!(self::records(&assert)[0]["suite"]["scale"], "interval");
}

#[test]
fn two_files_of_one_name_are_two_suites_and_a_second_run_is_none() {
    let home = Home::new();
    let rows = |last: &str| format!("s1,s2,score\na b,a c,1\nd,e,0.5\n{last}\n");
    let run = |folder: &str, last: &str| {
        let path = home.path(folder).join("my.csv");
        std::fs::create_dir_all(home.path(folder)).expect("made");
        std::fs::write(&path, rows(last)).expect("written");
        eval(&home, &["--pairs", &format!("{folder}/my.csv")]).success();
    };
    let count = || {
        let paths = walkdir::WalkDir::new(home.results()).into_iter();
        let paths = paths.map(|e| e.expect("listed").into_path());
        paths
            .filter(|p| p.to_string_lossy().ends_with(".pairs.jsonl"))
            .count()
    };
    run("a", "f,g,0");
    assert_eq!(count(), 5);
    run("b", "f,g,0");
    assert_eq!(count(), 5, "the same content is the same suite");
    run("a", "f,g,0.25");
    assert_eq!(count(), 10, "other content replaces nothing");
    let shown = home
        .command(&["record", "show", "korfinsts-results"])
        .assert()
        .success();
    let shown = String::from_utf8_lossy(&shown.get_output().stdout).into_owned();
    let names = shown.split(|c: char| c.is_whitespace() || c == ',');
    let names: BTreeSet<&str> = names.filter(|n| n.starts_with("my.csv@")).collect();
    assert_eq!(names.len(), 2, "{shown}");
    let merge = ["merge", "korfinsts-results", "--into", "all"];
    home.command(&merge)
        .assert()
        .success()
        .stderr(predicate::str::contains("(10 joined)"));
    eval(&home, &["--pairs", &file("plain.csv")]).success();
    let path = file("plain.csv");
    let compare = [
        "compare",
        "bert-mean",
        "words",
        "--suite",
        &path,
        "--across-protocols",
    ];
    home.command(&compare)
        .assert()
        .success()
        .stdout(predicate::str::contains("plain.csv@"));
}

#[test]
fn each_flaw_is_said_with_place_and_remedy() {
    let home = Home::new();
    for (content, more, code, expected) in [
        (
            "a,b,c\nx,y,1\n",
            "",
            3,
            "f.csv: no column was recognised as sentence1, sentence2, score; the columns are `a`, `b`, `c`\n\
             hint: name the columns, for instance `--columns sentence1=a,sentence2=b,score=c`",
        ),
        (
            "text1,text2\nx,y\n",
            "",
            3,
            "hint: a pair is two texts and a gold score, each in a column: \
             `--columns sentence1=text1,sentence2=text2,score=NAME`",
        ),
        (
            "s1,s2,score\nx,y,1\nz,,0\nq, ,1\n",
            "",
            3,
            "f.csv:3: the text in `s2` is empty (1 more row is refused)\nhint: remove such rows",
        ),
        (
            "s1,s2,label\nx,y,high\nz,w,low\nq,r,1\n",
            "",
            3,
            "f.csv:2: the score `high` in `label` is no number (1 more row is refused)\nhint: a score is",
        ),
        (
            "s1,s2,score\nx,y,\n",
            "",
            3,
            "f.csv:2: there is no score in `score`",
        ),
        (
            "s1,s2,score\nx,y,nan\n",
            "",
            3,
            "the score `nan` in `score` is no number",
        ),
        (
            "s1,s2,score\nx,y,\"1,000\"\n",
            "",
            3,
            "the score `1,000` in `score` is no number",
        ),
        (
            "s1,s2,score\nx,y,1\nz,w,1\nq,r,1\n",
            "",
            3,
            "f.csv: the score of every pair is 1: two different ones are needed",
        ),
        (
            "s1,s2,score\nx,y,1\n",
            "",
            3,
            "f.csv: the number of pairs is 1, at least 3 are needed",
        ),
        (
            "s1,s2,score\n",
            "",
            3,
            "f.csv: there is no pair: 0 rows were found",
        ),
        ("", "", 3, "f.csv: there is no pair: 0 rows were found"),
        (
            "s1,s2,score\nx,y,z,1\n",
            "",
            3,
            "f.csv:2: expected 3 fields, found 4",
        ),
        (
            "s1,s2,score\n\"x,y,1\n",
            "",
            3,
            "f.csv:2: a quote is opened here and never closed (column 1)",
        ),
        (
            "s1,s1,score\nx,y,1\n",
            "",
            3,
            "f.csv:1: the column `s1` occurs twice",
        ),
        (
            "s1,s2,score\nx,y,1\n",
            "score=points",
            3,
            "f.csv: no column `points` for score; the columns are `s1`, `s2`, `score`\nhint: name",
        ),
        (
            "s1,s2,score\nx,y,1\n",
            "sentence2=s1",
            3,
            "no column was recognised",
        ),
        (
            "s1,s2,score\nx,y,1\n",
            "scor=a",
            2,
            "found `scor`; columns are sentence1, sentence2, score",
        ),
        (
            "s1,s2,score\nx,y,1\n",
            "score",
            2,
            "found no `=`; a column is named as in `score=NAME`",
        ),
    ] {
        std::fs::write(home.path("f.csv"), content).expect("written");
        let columns = ["--pairs", "f.csv", "--columns", more];
        let found = error(
            eval(&home, &columns[..if more.is_empty() { 2 } else { 4 }]),
            code,
        );
        assert!(found.contains(expected), "{content:?} {more}\n{found}");
        assert!(!found.contains("suite.toml"), "{found}");
    }
    for (name, content, expected) in [
        (
            "f.jsonl",
            &b"{\"s1\":\"a\",\"s2\":\"b\",\"score\":1}\n{\"s1\":\"a\"}\n"[..],
            "f.jsonl:2: no column `s2`",
        ),
        (
            "f.json",
            b"{\"data\":[{\"s1\":\"a\"}]}",
            "f.json: this is one JSON document whose key `data` holds 1 objects",
        ),
        (
            "f.csv",
            b"caf\xe9,b\xe8e,1\n",
            "f.csv:1: not UTF-8 at byte 3 (0xE9)",
        ),
        ("f.csv", b"PK\x03\x04rest", "f.csv: this is a zip archive"),
        ("f.csv.gz", b"\x1f\x8bno", "f.csv.gz: not valid gzip"),
    ] {
        std::fs::write(home.path(name), content).expect("written");
        let found = error(eval(&home, &["--pairs", name]), 3);
        assert!(found.contains(expected), "{found}");
        assert!(found.contains("hint: ") || name.ends_with("gz"), "{found}");
    }
    let plain = file("plain.csv");
    for (more, code, expected) in [
        (
            &["--pairs", "nosuch.csv"][..],
            3,
            "cannot read `nosuch.csv`",
        ),
        (
            &["--columns", "score=a"],
            2,
            "found `--columns` without `--pairs FILE`",
        ),
        (
            &["--suite", &plain],
            2,
            "hint: a file of pairs is given with `--pairs ",
        ),
        (
            &["--pairs", &plain, "--area", "finance"],
            2,
            "hint: a file of pairs is one split of no area",
        ),
        (
            &["--pairs", &plain, "--language", "zz"],
            2,
            "the language `zz` is not known",
        ),
    ] {
        let found = error(eval(&home, more), code);
        assert!(found.contains(expected), "{more:?}\n{found}");
    }
}

#[test]
fn a_new_suite_passes_its_check_and_has_the_scores_of_its_file() {
    let home = Home::new();
    let new = ["suite", "new", "mine", &file("cp949.csv")];
    home.command(&new)
        .assert()
        .success()
        .stdout("./mine/suite.toml\n")
        .stderr(predicate::str::contains("marked DECIDE"))
        .stderr(predicate::str::contains("set `licence` there"))
        .stderr(predicate::str::contains(
            "korfinsts eval MODEL --suite ./mine",
        ));
    home.command(&["suite", "check", "./mine", "--strict"])
        .assert()
        .success()
        .stderr(predicate::str::contains("12 pairs, 0 findings"));
    let more = [
        "--suite",
        "./mine",
        "--pairs",
        &file("excel.csv"),
        "--format",
        "json",
    ];
    let records = records(&eval(&home, &more).success());
    let of = |suite: &str| {
        let record = records.iter().find(|r| r["suite"]["id"] == suite);
        record.expect("a record").clone()
    };
    let (mine, excel) = (of("mine"), of("excel.csv"));
    assert_eq!(mine["scores"], excel["scores"]);
    assert_eq!(mine["suite"]["release_id"], excel["suite"]["release_id"]);
    let text = std::fs::read_to_string(home.path("mine/suite.toml")).expect("a manifest");
    assert!(text.contains("licence = \"NOASSERTION\""), "{text}");

    // Domains, a licence, another folder.
    let rows = "s1,s2,score,domain\na,b,1,x\nc,\"d\ne\",0,y\nf,g,1,x\nh,i,0,y\nj,k,0,x\n";
    std::fs::write(home.path("d.csv"), rows).expect("written");
    let new = [
        "suite",
        "new",
        "with-domains",
        "d.csv",
        "-o",
        "deep/d",
        "--licence",
        "MIT",
    ];
    home.command(&new)
        .assert()
        .success()
        .stderr(predicate::str::contains("domain = `domain`"))
        .stderr(predicate::str::contains("set `licence`").not());
    home.command(&["suite", "check", "deep/d"])
        .assert()
        .success();
    let records = self::records(&eval(&home, &["--suite", "deep/d", "--format", "json"]).success());
    assert_eq!(records[0]["domains"]["x"]["n_pairs"], 3);

    for (name, expected) in [
        (
            "mine",
            "cannot make the suite `mine`: `./mine` is there and holds files",
        ),
        (
            "korsts",
            "cannot make the suite `korsts`: a suite of this name is there",
        ),
        (
            "My Pairs",
            "allowed are small letters, digits, `.`, `_` and `-`, at most 64",
        ),
        ("../up", "allowed are small letters"),
    ] {
        let found = error(home.command(&["suite", "new", name, "d.csv"]).assert(), 2);
        assert!(found.contains(expected), "{found}");
        assert!(found.contains("hint: choose another name"), "{found}");
    }
}

#[test]
fn splits_languages_and_areas_choose_suites() {
    let home = Home::new();
    let assert = eval(
        &home,
        &[
            "--suite",
            "korfin-shift",
            "--split",
            "dev,test",
            "--limit",
            "40",
        ],
    );
    assert
        .success()
        .stdout(predicate::str::contains("korfin-shift (first 40)"))
        .stdout(predicate::str::contains("korfin-shift:dev (first 40)"));
    for more in [
        &["--language", "kor"][..],
        &["--language", "ko"],
        &["--area", "finance"],
    ] {
        let dry = [more, &["--dry-run"]].concat();
        eval(&home, &dry)
            .success()
            .stdout(predicate::str::contains("on korfin-shift test"));
    }
    for (more, expected) in [
        (
            &["--split", "test,foo"][..],
            "no suite has the split `foo`; there are `dev`, `sealed`, `test`, `train`",
        ),
        (
            &["--split", "foo", "--suite", "korfin-shift"],
            "`korfin-shift` has no split `foo`; its splits are `dev`, `test`",
        ),
        (
            &["--language", "ja"],
            "no suite has the language `ja`; there are `eng`, `kor`",
        ),
        (
            &["--language", "Korean"],
            "no suite has the language `Korean`; there are `eng`, `kor`",
        ),
        (&["--area", "money"], "[possible values: finance, general]"),
        (
            &["--suite", "korfin-shift", "--area", "general"],
            "no suite is left: none is of `--suite korfin-shift` and `--area general`",
        ),
    ] {
        let found = error(eval(&home, more), 2);
        assert!(found.contains(expected), "{more:?}\n{found}");
    }
    // Languages that are known and not on disk are named.
    let found = error(eval(&home, &["--language", "en", "--area", "general"]), 3);
    assert!(
        found.contains("`stsb`") && !found.contains("`korsts`"),
        "{found}"
    );
}

#[test]
fn two_prompts_are_two_records_everywhere() {
    let home = Home::new();
    let new = ["suite", "new", "own", &file("plain.csv")];
    home.command(&new).assert().success();
    let path = home.path("own/suite.toml");
    let text = std::fs::read_to_string(&path).expect("a manifest");
    let text = text.replace("rows = 12", "rows = 12\nmteb_task = \"OwnSTS\"");
    std::fs::write(&path, text).expect("written");
    let suite = ["--suite", "./own", "--mteb", "mteb"];
    for prompt in ["query: ", "passage: "] {
        eval(&home, &[&suite[..], &["--prompt", prompt]].concat()).success();
    }
    let found = |folder: &str, part: &str, ending: &str| {
        let files = walkdir::WalkDir::new(home.path(folder)).into_iter();
        let files = files.map(|e| e.expect("listed").into_path());
        let files = files.map(|p| p.display().to_string());
        let mut files: Vec<String> = files
            .filter(|p| p.contains(part) && p.ends_with(ending))
            .collect();
        files.sort();
        files.len()
    };
    assert_eq!(found("mteb", "experiments", "OwnSTS.json"), 2);
    home.command(&["merge", "korfinsts-results", "--into", "all"])
        .assert()
        .success();
    assert_eq!(found("all", ".prompt-", ".pairs.jsonl"), 2);
    let build = [
        "leaderboard",
        "build",
        "--records",
        "all",
        "--output",
        "site",
        "--no-reported",
        "--resamples",
        "100",
    ];
    home.command(&build).assert().success();
    let board = std::fs::read(home.path("site/board.json")).expect("a board");
    let board: Value = serde_json::from_slice(&board).expect("JSON");
    let rows = board["rows"].as_array().expect("rows").iter();
    let mut prompts: Vec<&str> = rows
        .filter_map(|row| row["protocol"].as_str())
        .filter(|protocol| protocol.starts_with("custom"))
        .collect();
    prompts.sort_unstable();
    assert_eq!(prompts, ["custom \"passage: \"", "custom \"query: \""]);
}

#[test]
fn a_part_of_a_run_is_shown_and_what_it_lacks_is_said() {
    let home = Home::new();
    let rows = "s1,s2,score\na b,a c,1\nd,e,0.5\nf,g,0\n";
    std::fs::write(home.path("my.csv"), rows).expect("written");
    eval(&home, &["--pairs", "my.csv", "--shard", "1/2"]).success();
    let lacks = "korfinsts-results: `--shard 2/2` of the run is missing or not finished";
    let remedy = "`korfinsts merge korfinsts-results --results DIR`";
    for command in ["show", "recompute"] {
        home.command(&["record", command, "korfinsts-results"])
            .assert()
            .success()
            .stderr(predicate::str::contains(lacks))
            .stderr(predicate::str::contains(remedy));
    }
    std::fs::write(home.path("overlap.md"), "none").expect("written");
    let submit = [
        "--licence",
        "MIT",
        "--statement",
        "nothing",
        "--overlap-report",
        "overlap.md",
    ];
    let submit = [&["submit", "korfinsts-results"][..], &submit].concat();
    home.command(&submit)
        .assert()
        .code(3)
        .stderr(predicate::str::contains(lacks))
        .stderr(predicate::str::contains("edited by hand").not());
    eval(&home, &["--pairs", "my.csv", "--shard", "2/2"]).success();
    home.command(&["record", "show", "korfinsts-results"])
        .assert()
        .success()
        .stderr(predicate::str::contains("missing").not());
}

#[test]
fn the_speed_is_that_of_the_run_that_encoded() {
    let home = Home::new();
    let rows = "s1,s2,score\na b,a c,1\nd,e,0.5\nf,g,0\n";
    std::fs::write(home.path("my.csv"), rows).expect("written");
    let timing = || {
        let files = walkdir::WalkDir::new(home.results()).into_iter();
        let mut files = files.map(|e| e.expect("listed").into_path());
        let path = files.find(|p| {
            p.to_string_lossy().contains("native") && p.to_string_lossy().ends_with(".timing.json")
        });
        let path = path.expect("a timing");
        let text = std::fs::read(&path).expect("read");
        (path, serde_json::from_slice::<Value>(&text).expect("JSON"))
    };
    eval(&home, &["--pairs", "my.csv"]).success();
    let (path, mut first) = timing();
    assert_eq!(first["texts_encoded"], 6);
    assert_eq!(first.get("encoded_by"), None);
    // As if it had taken long enough to say something.
    first["encode_s"] = 2.0.into();
    first["texts_encoded"] = 600.into();
    std::fs::write(&path, first.to_string()).expect("written");
    for _ in 0..2 {
        eval(&home, &["--pairs", "my.csv"])
            .success()
            .stdout(predicate::str::contains("texts/s"))
            .stdout(predicate::str::contains(" 300 "))
            .stdout(predicate::str::contains("texts/s: of the run that encoded"));
        let second = timing().1;
        assert_eq!(second["texts_encoded"], 0);
        assert_eq!(second["encoded_by"]["texts_encoded"], 600);
        assert_eq!(second["encoded_by"]["finished_at"], first["finished_at"]);
    }
}

/// A manifest with every table, each marked by a key that is not known.
const MARKED: &str = r#"
schema = 1
id = "m"
version = "1.0.0"
title = "M"
description = "."
languages = ["kor-Hang"]
licence = "MIT"
redistributable = true
default_split = "test"
#top
triplets = { id = "t", group = "g" #triplets }
scale = { kind = "interval", min = 0, max = 5 #scale }
[splits.test]
#split
[[source]]
name = "own"
format = { kind = "delimited", delimiter = ",", quoting = true, header = true #format }
columns = { sentence1 = "a", sentence2 = "b", score = "s" #columns }
hub = { repo = "a/b" #hub }
domains = { optional = true #domains }
#source
[source.files]
test = [{ name = "f.csv" #file , gold = { name = "g" #gold } }]
"#;

/// What serde lists as expected in place of `found`.
fn expected(manifest: &str, found: &str) -> Vec<String> {
    use korfinsts_bench::suite::{Manifest, Origin};
    // An inline table has no lines.
    let marks: Vec<String> = MARKED
        .split('#')
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next())
        .map(|mark| format!("#{mark}"))
        .collect();
    let mut text = manifest.to_owned();
    for mark in marks {
        text = text.replace(&mark, "");
    }
    let parsed = Manifest::parse(&text, Path::new("suite.toml"), Origin::BuiltIn);
    let error = parsed.expect_err(found).to_string();
    let list = error.split(" expected ").nth(1);
    let list = list.unwrap_or_else(|| panic!("{error}"));
    let names = list.split('`').skip(1).step_by(2).map(str::to_owned);
    names.collect()
}

#[test]
fn every_key_of_a_manifest_is_explained() {
    let page = std::fs::read_to_string(repository("docs/suites.md")).expect("a page");
    let mut keys = Vec::new();
    for mark in [
        "top", "triplets", "scale", "split", "format", "columns", "hub", "domains", "source",
        "file", "gold",
    ] {
        let inline = !["top", "split", "source"].contains(&mark);
        let key = if inline { ", zzz = 1" } else { "zzz = 1" };
        let manifest = MARKED.replacen(&format!("#{mark}\n"), &format!("{key}\n"), 1);
        let manifest = manifest.replacen(&format!("#{mark} "), &format!("{key} "), 1);
        let found = expected(&manifest, mark);
        assert!(found.len() > 1, "{mark}: {found:?}");
        keys.extend(found);
    }
    // Words that a key may have as its value.
    for (from, to) in [
        ("kind = \"interval\"", "kind = \"zzz\""),
        ("kind = \"delimited\"", "kind = \"zzz\""),
        ("#columns", ", empty = \"zzz\""),
        ("#top", "area = \"zzz\""),
    ] {
        keys.extend(expected(&MARKED.replacen(from, to, 1), to));
    }
    assert!(keys.len() > 60, "{keys:?}");
    for key in keys {
        assert!(
            page.contains(&format!("`{key}`")),
            "docs/suites.md does not name `{key}`"
        );
    }
}
