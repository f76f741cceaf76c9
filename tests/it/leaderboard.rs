//! `korfinsts leaderboard` from outside: what is ranked and what is not, what the page holds, and
//! what hostile records cannot do. What it does in a browser is tested in `tests/browser/`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use korfinsts_bench::run::record::{Record, ScoredPair};
use korfinsts_publish::leaderboard::page::Templates;
use predicates::prelude::*;
use serde_json::Value;

use super::compare::{keep, pair, record};
use super::support::{Home, repository, shared};

/// Pairs of a model: gold 0 to 5 or binary, scores that follow it with noise of `step`.
fn pairs(n: usize, binary: bool, noise: f64, step: usize) -> Vec<ScoredPair> {
    (0..n)
        .map(|i| {
            let gold = if binary {
                (i % 2) as f64
            } else {
                (i % 26) as f64 / 5.0
            };
            let wobble = ((i * step) % 97) as f64 / 97.0;
            let mut pair = pair(i, gold, gold + noise * wobble);
            pair.domain = Some(["news", "legal"][i / 3 % 2].into());
            pair
        })
        .collect()
}

/// A home with two encoders, of which one was adapted from the other, on two suites, and one that
/// was submitted.
fn home() -> Home {
    let home = Home::new();
    for (suite, binary) in [("finsts", true), ("korsts", false)] {
        let scale = if binary { "binary" } else { "interval" };
        for (name, noise) in [("base", 9.0), ("base-fin", 4.0)] {
            let pairs = pairs(150, binary, noise, 31);
            keep(&home.results(), record(name, suite, scale, &pairs), &pairs);
        }
        let pairs = pairs(150, binary, 6.0, 53);
        keep(
            &home.path("submitted"),
            record("org/theirs", suite, scale, &pairs),
            &pairs,
        );
        let mut length = record("length", suite, scale, &pairs);
        length.encoder.backend = "lexical".into();
        length.encoder.protocol = "raw".into();
        let lengths: Vec<ScoredPair> = pairs
            .iter()
            .enumerate()
            .map(|(i, p)| ScoredPair {
                score: Some(p.gold / 5.0 + ((i * 17) % 89) as f64),
                ..p.clone()
            })
            .collect();
        let numbers = record("length", suite, scale, &lengths);
        length.scores = numbers.scores;
        keep(&home.results(), length, &lengths);
    }
    std::fs::write(
        home.path("models.toml"),
        "[[model]]\nname = \"base-fin\"\nadapted_from = \"base\"\nparameters = 1000000\nlicence = \"MIT\"\n",
    )
    .expect("written");
    home
}

fn build(home: &Home, more: &[&str]) -> PathBuf {
    let mut arguments = vec![
        "leaderboard",
        "build",
        "--submitted",
        "submitted",
        "--models",
        "models.toml",
        "-o",
        "page",
        "--resamples",
        "400",
    ];
    arguments.extend(more);
    home.command(&arguments)
        .assert()
        .success()
        .stdout(predicate::str::contains("index.html"))
        .stderr(predicate::str::contains("statistics in"));
    home.path("page")
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn board(folder: &Path) -> Value {
    serde_json::from_str(&read(folder, "board.json")).expect("board.json is JSON")
}

fn row<'a>(board: &'a Value, name: &str, badge: &str) -> &'a Value {
    let rows = board["rows"].as_array().expect("rows");
    rows.iter()
        .find(|r| r["name"] == name && r["badge"] == badge)
        .unwrap_or_else(|| panic!("no row {name} ({badge})"))
}

fn cell<'a>(board: &Value, row: &'a Value, suite: &str) -> &'a Value {
    let suites = board["suites"].as_array().expect("suites");
    let at = suites
        .iter()
        .position(|s| s["key"] == suite)
        .expect("the suite");
    &row["cells"][at]
}

#[test]
fn what_was_run_is_ranked_and_what_is_reported_is_not() {
    let home = home();
    let page = build(&home, &[]);
    let board = board(&page);
    for (name, badge) in [("base", "reproduced"), ("org/theirs", "recomputed")] {
        let row = row(&board, name, badge);
        assert!(cell(&board, row, "finsts")["rank"].is_array(), "{name}");
        assert_eq!(cell(&board, row, "finsts")["approximate"], false);
    }
    let paper = row(&board, "bge-m3", "reported");
    assert!(
        paper["source"]
            .as_str()
            .expect("a source")
            .contains("Table 5")
    );
    let reported = cell(&board, paper, "finsts");
    assert_eq!(
        (&reported["rank"], &reported["approximate"]),
        (&Value::Null, &true.into())
    );
    // The ranks are of the four that were run alone: no reported figure moves them.
    let alone = self::board(&build(&home, &["--no-reported"]));
    let ranks = |board: &Value, name: &str, badge: &str| {
        cell(board, row(board, name, badge), "korsts")["rank"].clone()
    };
    for (name, badge) in [
        ("base", "reproduced"),
        ("base-fin", "reproduced"),
        ("org/theirs", "recomputed"),
        ("length", "reproduced"),
    ] {
        assert_eq!(
            ranks(&board, name, badge),
            ranks(&alone, name, badge),
            "{name}"
        );
    }
    let fin = row(&board, "base-fin", "reproduced");
    assert_eq!(cell(&board, fin, "korsts")["ranked"], 4);
    assert_eq!(cell(&board, fin, "korsts")["rank"][0], 1);
    assert_eq!(cell(&board, fin, "korsts")["beats_baselines"], true);
}

#[test]
fn an_adapted_model_stands_beside_its_base_with_a_paired_interval() {
    let home = home();
    let board = board(&build(&home, &[]));
    let found = board["adaptations"].as_array().expect("adaptations");
    let own = found
        .iter()
        .find(|a| a["name"] == "base-fin")
        .expect("the adaptation");
    assert_eq!(own["badge"], "reproduced");
    let suites = board["suites"].as_array().expect("suites");
    let at = suites
        .iter()
        .position(|s| s["key"] == "korsts")
        .expect("the suite")
        .to_string();
    let change = &own["changes"][&at];
    assert_eq!(change["paired"], true);
    let [low, high] = [0, 1].map(|i| change["interval"][i].as_f64().expect("an end"));
    let delta =
        change["after"].as_f64().expect("after") - change["before"].as_f64().expect("before");
    assert!(low < delta && delta < high && low > 0.0, "{change}");
    // The paper's Figure 1: seven models, as if before and after were independent.
    let paper = found
        .iter()
        .filter(|a| a["source"].as_str().is_some_and(|s| s.contains("Table 5")));
    let paper: Vec<&Value> = paper.collect();
    assert_eq!(paper.len(), 7);
    assert!(
        paper
            .iter()
            .all(|a| a["changes"].as_object().expect("changes").len() == 4)
    );
    assert!(paper.iter().all(|a| {
        a["changes"]
            .as_object()
            .expect("changes")
            .values()
            .all(|c| c["paired"] == false)
    }));
}

#[test]
fn the_page_holds_its_promises_without_a_script() {
    let home = home();
    let page = build(&home, &[]);
    for (name, lang, title) in [
        ("index.html", "en", "leaderboard"),
        ("index.ko.html", "ko", "리더보드"),
    ] {
        let html = read(&page, name);
        assert!(html.starts_with(&format!("<!doctype html>\n<html lang={lang}>")));
        for needle in [
            title,
            "default-src 'none'",
            "org/theirs",
            "bge-m3",
            "0.2732",
            "0.852",
            "class=\"guide ceiling\"",
            "class=\"guide floor\"",
            "3567",
            "0.760",
            "role=img",
            "id=m-org-theirs",
            "class=source",
            "href=results.csv",
        ] {
            assert!(html.contains(needle), "{name} lacks {needle}");
        }
        // Nothing is fetched: every address is a link that a reader may follow.
        for needle in [
            " src=",
            "@import",
            "url(",
            "<link rel=\"stylesheet",
            "NaN",
            "undefined",
        ] {
            let shown = html
                .split("<script>")
                .next()
                .expect("the page before its script");
            assert!(!shown.contains(needle), "{name} holds {needle}");
        }
        assert!(
            !html.contains("/tmp/") && !html.contains(env!("CARGO_MANIFEST_DIR")),
            "no path of this machine"
        );
        assert_eq!(html.matches("<script").count(), 2);
        assert_eq!(html.matches("<style").count(), 1);
    }
    let csv = read(&page, "results.csv");
    assert!(csv.starts_with("model,kind,origin,stage,protocol,source,suite,area,domain,"));
    assert!(csv.contains("base-fin,encoder,reproduced,,mteb,,finsts,finance,legal,"));
    assert!(csv.contains("bge-m3,encoder,reported,after,finmteb,"));
    let markdown = read(&page, "board.md");
    assert!(markdown.contains("| org/theirs | recomputed | mteb |"));
    // One row per model, and the source of each figure that others report.
    for model in ["bge-m3", "e5-mistral-7b-instruct", "base-fin"] {
        let rows = markdown
            .lines()
            .filter(|l| l.starts_with(&format!("| {model} |")));
        assert_eq!(rows.count(), 1, "{model}");
    }
    assert!(markdown.contains("| bge-m3 | reported | finmteb |"));
    assert!(markdown.contains("0.197 ±0.10 [1]"), "{markdown}");
    assert!(markdown.contains("1. NMIXX: Domain-Adapted"));
    assert!(read(&page, "board.tex").contains("\\bottomrule"));
}

#[test]
fn the_same_records_give_the_same_bytes() {
    let home = home();
    let read_all = |folder: PathBuf| -> BTreeMap<String, Vec<u8>> {
        std::fs::read_dir(folder)
            .expect("listed")
            .map(|e| e.expect("an entry").path())
            .map(|p| {
                let name = p
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                (name, std::fs::read(&p).expect("read"))
            })
            .collect()
    };
    let first = read_all(build(&home, &[]));
    assert_eq!(first, read_all(build(&home, &[])));
    assert!(first.len() >= 8, "{:?}", first.keys());
}

#[test]
fn a_record_that_its_pairs_contradict_is_left_out_and_said() {
    let home = home();
    let pairs = pairs(150, true, 3.0, 7);
    let mut liar = record("liar", "finsts", "binary", &pairs);
    liar.scores.cosine_spearman = Some(0.99);
    keep(&home.path("submitted"), liar, &pairs);
    let page = build(&home, &[]);
    let html = read(&page, "index.html");
    assert!(html.contains("left out: liar on finsts: the record says ρ 0.99, its pairs give"));
    assert!(!read(&page, "results.csv").contains("liar"));
    home.command(&[
        "leaderboard",
        "build",
        "--submitted",
        "submitted",
        "-o",
        "strict",
        "--resamples",
        "200",
        "--strict",
    ])
    .assert()
    .code(3)
    .stderr(predicate::str::contains("left out"));
}

#[test]
fn what_is_submitted_is_no_baseline_whatever_it_says() {
    let home = home();
    let pairs = pairs(150, true, 0.1, 7);
    let mut sly = record("sly", "finsts", "binary", &pairs);
    sly.encoder.backend = "lexical".into();
    keep(&home.path("submitted"), sly, &pairs);
    let board = board(&build(&home, &[]));
    assert_eq!(row(&board, "sly", "recomputed")["kind"], "encoder");
    let suites = board["suites"].as_array().expect("suites");
    let finsts = suites.iter().find(|s| s["key"] == "finsts");
    assert_eq!(finsts.expect("the suite")["best_baseline"][0], "length");
}

#[test]
fn a_record_without_its_pairs_is_shown_as_reported() {
    let home = home();
    let pairs = pairs(150, true, 3.0, 7);
    let file = keep(
        &home.results(),
        record("lonely", "finsts", "binary", &pairs),
        &pairs,
    );
    std::fs::remove_file(file.with_extension("pairs.jsonl")).expect("removed");
    let board = board(&build(&home, &[]));
    let cell = cell(&board, row(&board, "lonely", "reported"), "finsts");
    assert_eq!(cell["rank"], Value::Null);
    assert_eq!(cell["unranked"], "its per-pair scores are not here");
}

#[test]
fn what_was_trained_on_a_part_of_a_suite_is_shown_and_not_ranked() {
    let home = home();
    let pairs = pairs(150, true, 3.0, 7);
    let mut seen = record("seen-it", "finsts", "binary", &pairs);
    let whole = seen.scores.cosine_spearman;
    let trained_on = korfinsts_bench::run::record::TrainedOn {
        variants: 2,
        pairs: 50,
        other_pairs: 100,
        cosine_spearman_of_others: Some(0.125),
        interval_of_others: Some([-0.05, 0.3]),
        triplets_of_others: None,
    };
    seen.warnings.push(trained_on.sentence());
    seen.trained_on = Some(trained_on);
    keep(&home.results(), seen, &pairs);
    let page = build(&home, &[]);
    let board = board(&page);
    let found = cell(&board, row(&board, "seen-it", "reproduced"), "finsts");
    assert_eq!(found["rank"], Value::Null);
    assert_eq!(
        found["unranked"],
        "the model was trained on triplets of 2 variants of this suite (50 of 150 pairs): over the other 100 \
         it has 0.1250 [-0.0500, 0.3000]"
    );
    assert_eq!(found["score"].as_f64(), whole);
    assert_eq!(found["unseen"]["score"].as_f64(), Some(0.125));
    // The page shows the score over the other pairs, with its mark; what it has over all is in the data
    // alone. The reason is said once under the suite's table and once with the score's origin.
    let whole = format!("{:.4}", whole.expect("a score"));
    for name in ["index.html", "index.ko.html", "board.md", "board.tex"] {
        let text = read(&page, name);
        let shown = if name.starts_with("index") {
            "0.1250"
        } else {
            "0.12"
        };
        assert!(text.contains(shown), "{name}");
        // A number over all pairs has the mark too; where numbers come from has more digits.
        let text = text.split("id=provenance").next().expect("a part");
        let bare = text.matches(&*whole).count() - text.matches(&format!("{whole}†")).count();
        assert_eq!(bare, 0, "{name}");
    }
    let english = read(&page, "index.html");
    assert_eq!(english.matches("over the other 100").count(), 2);
    assert!(read(&page, "index.ko.html").contains("나머지 100쌍의 점수는 0.1250"));
    // Nobody's rank counts it.
    let ranked = cell(&board, row(&board, "length", "reproduced"), "finsts");
    let suites = board["suites"].as_array().expect("suites");
    let at = suites.iter().position(|s| s["key"] == "finsts");
    let at = at.expect("the suite");
    let rows = board["rows"].as_array().expect("rows").iter();
    let with_rank = rows.filter(|r| r["cells"][at]["rank"].is_array()).count();
    assert_eq!(ranked["ranked"], with_rank);
}

#[test]
fn a_model_is_one_row_with_its_means_and_its_sources() {
    let home = home();
    let board = board(&build(&home, &[]));
    let rows = board["rows"].as_array().expect("rows");
    let models = board["models"].as_array().expect("models");
    let names: std::collections::BTreeSet<&str> = models
        .iter()
        .map(|m| m["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names.len(), models.len(), "each name once");
    let of: usize = models
        .iter()
        .map(|m| m["rows"].as_array().expect("rows").len())
        .sum();
    assert_eq!(of, rows.len(), "each result is of one model");
    let model = |name: &str| {
        let found = models.iter().find(|m| m["name"] == name);
        found.unwrap_or_else(|| panic!("no model {name}"))
    };
    // Two sources of the paper and its authors, before and after: one row, that before comes first.
    let m3 = model("bge-large-en-v1.5");
    assert_eq!(m3["rows"].as_array().expect("rows").len(), 4);
    let first = &rows[m3["rows"][0].as_u64().expect("an index") as usize];
    assert_eq!(first["stage"], "before");
    // Finance that anything was run on is FinSTS alone: its mean is its score, and its rank too.
    let subsets = board["subsets"].as_array().expect("subsets");
    let finance = &subsets[0];
    assert_eq!(finance["key"], "finance");
    assert_eq!(finance["counted"].as_array().expect("suites").len(), 1);
    let own = row(&board, "base-fin", "reproduced");
    let (mean, cell) = (&model("base-fin")["means"][0], cell(&board, own, "finsts"));
    let [a, b] = [mean, cell].map(|v| v["score"].as_f64().expect("a score"));
    assert!((a - b).abs() < 1e-12);
    assert_eq!(
        (&mean["rank"], &mean["ranked"]),
        (&cell["rank"], &cell["ranked"])
    );
    assert_eq!(mean["beats_baselines"], cell["beats_baselines"]);
    // What others report has a mean and no rank.
    let reported = &model("bge-m3")["means"][0];
    assert_eq!(
        (&reported["rank"], &reported["reported"]),
        (&Value::Null, &true.into())
    );
}

#[test]
fn another_release_is_shown_and_not_ranked() {
    let home = home();
    let pairs = pairs(150, true, 3.0, 7);
    let mut other = record("elsewhere", "finsts", "binary", &pairs);
    other.suite.release_id = "cd".repeat(32);
    keep(&home.results(), other, &pairs);
    let board = board(&build(&home, &[]));
    let cell = cell(&board, row(&board, "elsewhere", "reproduced"), "finsts");
    assert_eq!(cell["rank"], Value::Null);
    assert!(
        cell["unranked"]
            .as_str()
            .expect("a reason")
            .contains("another release")
    );
    assert!(cell["score"].is_number());
}

#[test]
fn protocols_are_never_ranked_together() {
    let home = home();
    let pairs = pairs(150, true, 3.0, 7);
    let mut other = record("prompted", "finsts", "binary", &pairs);
    other.encoder.protocol = "finmteb".into();
    keep(&home.results(), other, &pairs);
    let board = board(&build(&home, &[]));
    let ranked = |name: &str, badge: &str| {
        cell(&board, row(&board, name, badge), "finsts")["ranked"].clone()
    };
    // Itself and the baseline; the three of the other protocol and the baseline.
    assert_eq!(
        (
            ranked("prompted", "reproduced"),
            ranked("base", "reproduced")
        ),
        (2.into(), 4.into())
    );
}

#[test]
fn hostile_names_and_numbers_stay_text() {
    let home = home();
    let attacks = [
        "<script>alert(1)</script>".to_owned(),
        "\"><img src=x onerror=alert(1)>".to_owned(),
        "</script><script>alert(1)</script>".to_owned(),
        "{{ suites }}{% include 'style.css' %}".to_owned(),
        "=cmd|' /C calc'!A0".to_owned(),
        "\u{202E}gnp\u{2066}\u{200B}\u{0}".to_owned(),
        "\\input{/etc/passwd}$x$".to_owned(),
        "![x](javascript:alert(1))".to_owned(),
        "가".repeat(10_000),
    ];
    for (at, text) in attacks.iter().enumerate() {
        let pairs = pairs(150, true, 3.0, 7 + at);
        let mut record = record(text, "finsts", "binary", &pairs);
        record.encoder.sha256 = Some(format!("{at:064}"));
        for field in [
            &mut record.encoder.pooling,
            &mut record.encoder.dtype,
            &mut record.encoder.architecture,
            &mut record.encoder.revision,
        ] {
            *field = Some(text.clone());
        }
        record.encoder.prompts = [text.clone(), text.clone()];
        record.warnings = vec![text.clone()];
        record.domains = BTreeMap::from([(
            text.clone(),
            korfinsts_bench::run::record::DomainScores {
                n_pairs: 5,
                cosine_spearman: Some(0.5),
                interval: None,
            },
        )]);
        record.triplet_accuracy = BTreeMap::from([(text.clone(), 0.5)]);
        keep(&home.path(&format!("submitted/{at}")), record, &pairs);
    }
    let page = build(&home, &[]);
    for entry in std::fs::read_dir(&page).expect("listed") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            !text.contains(['\u{202E}', '\u{2066}', '\u{200B}', '\u{0}']),
            "{name}: hidden marks"
        );
        assert!(!text.contains(&"가".repeat(500)), "{name}: a long name");
        if name.ends_with(".html") {
            assert!(
                !text.contains("<script>alert") && !text.contains("<img"),
                "{name}: markup"
            );
            assert!(!text.contains("javascript:alert(1)\""), "{name}: a link");
        }
        if name.ends_with(".csv") {
            let mut rows = csv::Reader::from_reader(text.as_bytes());
            for row in rows.records() {
                for field in &row.expect("a row") {
                    let formula = field.starts_with(['=', '@', '+'])
                        || (field.starts_with('-') && field.parse::<f64>().is_err());
                    assert!(!formula, "{name}: {field}");
                }
            }
        }
        if name.ends_with(".tex") {
            assert!(
                !text.contains("\\input") && text.contains("\\textbackslash{}input"),
                "{name}"
            );
        }
        if name.ends_with(".md") {
            assert!(
                !text.contains("<script") && !text.contains("](javascript"),
                "{name}"
            );
        }
    }
}

#[test]
fn files_that_are_no_records_are_named_and_left_out() {
    let home = home();
    let folder = home.path("submitted/broken");
    std::fs::create_dir_all(&folder).expect("made");
    for (name, text) in [
        ("nan.json", "{\"schema_version\": 1, \"n_pairs\": NaN}"),
        ("future.json", "{\"schema_version\": 99}"),
        ("deep.json", &"[".repeat(100_000)),
        ("binary.json", "\u{1}\u{2}"),
        ("empty.json", ""),
    ] {
        std::fs::write(folder.join(name), text).expect("written");
    }
    home.command(&[
        "leaderboard",
        "build",
        "--submitted",
        "submitted",
        "-o",
        "page",
        "--resamples",
        "200",
    ])
    .assert()
    .success()
    .stderr(
        predicate::str::contains("broken/nan.json").and(predicate::str::contains("reads 1 to 1")),
    );
    let html = read(&home.path("page"), "index.html");
    assert!(
        html.contains("deep.json") && !html.contains(&*home.path("submitted").to_string_lossy())
    );
}

#[test]
fn templates_can_be_overridden_one_by_one() {
    let home = home();
    let folder = home.path("templates");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(
        folder.join("head.html"),
        "<!doctype html><html lang=\"{{ lang }}\"><title>Ours: {{ t.title }}</title>",
    )
    .expect("written");
    let html = read(&build(&home, &["--templates", "templates"]), "index.html");
    assert!(html.contains("<title>Ours: Korean") && html.contains("id=board"));
    for (text, reason) in [
        ("{{ nope }}", "template `head.html` line 1: undefined value"),
        ("{% if %}", "template `head.html` line 1: syntax error"),
        ("{% include '../models.toml' %}", "template not found"),
    ] {
        std::fs::write(folder.join("head.html"), text).expect("written");
        home.command(&[
            "leaderboard",
            "build",
            "-o",
            "page",
            "--resamples",
            "200",
            "--templates",
            "templates",
        ])
        .assert()
        .code(3)
        .stdout("")
        .stderr(predicate::str::contains(reason).and(predicate::str::contains("hint: ")));
    }
    std::fs::create_dir_all(home.path("empty")).expect("made");
    home.command(&["leaderboard", "build", "--templates", "empty"])
        .assert()
        .code(3)
        .stderr(
            predicate::str::contains("holds none of").and(predicate::str::contains("index.html")),
        );
    assert!(Templates::names().contains(&"texts.toml".to_owned()));
}

#[test]
fn nothing_to_show_is_an_error_that_says_what_to_do() {
    let home = Home::new();
    home.command(&["leaderboard", "build", "--no-reported"])
        .assert()
        .code(3)
        .stderr(
            predicate::str::contains("nothing to show").and(predicate::str::contains("hint: ")),
        );
    home.command(&["leaderboard", "build", "--records", "nowhere"])
        .assert()
        .failure();
    home.command(&["leaderboard", "serve", "nowhere"])
        .assert()
        .failure();
    // The reported figures alone are a page too.
    home.command(&["leaderboard", "build", "-o", "page"])
        .assert()
        .success();
    assert!(read(&home.path("page"), "index.html").contains("bge-m3"));
}

#[test]
fn folders_of_mteb_results_become_reported_figures() {
    let Some(folder) = shared("data/twice_results/main") else {
        return;
    };
    let home = Home::new();
    home.command(&[
        "leaderboard",
        "import",
        &folder.display().to_string(),
        "--source",
        "The authors' files",
        "-o",
        "figures.toml",
    ])
    .assert()
    .success()
    .stderr(predicate::str::contains("35 result files read, 8 models"));
    let text = std::fs::read_to_string(home.path("figures.toml")).expect("written");
    let figures: toml::Table = toml::from_str(&text).expect("TOML");
    assert_eq!(figures["source"].as_str(), Some("The authors' files"));
    let models = figures["model"].as_array().expect("models");
    let of = |name: &str, suite: &str| {
        let model = models.iter().find(|m| m["name"].as_str() == Some(name));
        let score = model.and_then(|m| m["scores"].get(suite)?.as_float());
        score.unwrap_or_else(|| panic!("{name} on {suite} in {text}"))
    };
    assert_eq!(
        of("sentence-transformers/all-MiniLM-L12-v2", "korfinsts"),
        -0.183_716_203_687_266_74
    );
    assert_eq!(
        of("e5-mistral-7b-instruct", "finsts"),
        0.267_717_999_604_384_25
    );
    home.command(&[
        "leaderboard",
        "build",
        "--reported",
        "figures.toml",
        "--no-reported",
        "-o",
        "page",
    ])
    .assert()
    .success();
    let board = board(&home.path("page"));
    assert_eq!(board["rows"].as_array().expect("rows").len(), models.len());
    home.command(&["leaderboard", "import", "page"])
        .assert()
        .code(3)
        .stderr(predicate::str::contains(
            "no result under `page` can be used",
        ));
}

#[test]
fn the_committed_figures_are_the_authors_files() {
    let Some(folder) = shared("data/twice_results") else {
        return;
    };
    let figures = korfinsts_publish::leaderboard::reported::built_in().expect("well formed");
    let authors = figures
        .iter()
        .find(|r| r.source.contains("authors"))
        .expect("the source");
    let mut compared = 0;
    for (name, model, after) in [
        ("all-MiniLM-L12-v2", "all-MiniLM-L12-v2", false),
        ("nmixx-minilm", "all-MiniLM-L12-v2", true),
        ("nmixx-qwen", "gte-Qwen2-1.5B-instruct", true),
        ("nmixx-bge", "bge-large-en-v1.5", true),
        ("e5-mistral-7b-instruct", "e5-mistral-7b-instruct", false),
    ] {
        let model = authors
            .models
            .iter()
            .find(|m| m.name == model)
            .expect("the model");
        let scores = if after { &model.after } else { &model.before };
        for entry in walkdir::WalkDir::new(folder.join("nmixx_evaluate/results").join(name)) {
            let entry = entry.expect("listed");
            let key = match entry.file_name().to_string_lossy().as_ref() {
                "KorFinSTS.json" => "korfinsts",
                "FinSTS.json" => "finsts",
                "KorDartReportSTS.json" => "korfinsts/disclosure",
                "KorFinReportSTS.json" => "korfinsts/report",
                "KorFinLawSTS.json" => "korfinsts/legal",
                _ => continue,
            };
            let found = korfinsts_bench::run::mteb::read(entry.path()).expect("a result");
            let theirs = found[0].scores["cosine_spearman"];
            assert!((scores[key] - theirs).abs() < 5.1e-7, "{name} {key}");
            compared += 1;
        }
    }
    assert_eq!(compared, 13);
}

#[test]
fn the_page_is_served_to_this_machine_alone() {
    let home = home();
    build(&home, &[]);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_korfinsts"))
        .args(["leaderboard", "serve", "--port", "0"])
        .arg(home.path("page"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("started");
    let mut address = String::new();
    BufReader::new(child.stdout.take().expect("stdout"))
        .read_line(&mut address)
        .expect("a line");
    let host = address
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    assert!(host.starts_with("127.0.0.1:"), "{address}");
    let ask = |request: &str, header: &str| {
        let mut stream = std::net::TcpStream::connect(&host).expect("connected");
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: {header}\r\nConnection: close\r\n\r\n"
        )
        .expect("sent");
        // Chunks may cut a character in two.
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answered");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let checked = [
        ask("GET /", &host).starts_with("HTTP/1.1 200") && ask("GET /", &host).contains("id=board"),
        ask("GET /pairs.html", "localhost").contains("text/html"),
        ask("GET /../models.toml", &host).starts_with("HTTP/1.1 404"),
        ask("GET /..%2fmodels.toml", &host).starts_with("HTTP/1.1 404"),
        ask("DELETE /index.html", &host).starts_with("HTTP/1.1 405"),
        ask("GET /", "evil.example").starts_with("HTTP/1.1 403"),
    ];
    child.kill().expect("stopped");
    child.wait().expect("gone");
    assert_eq!(checked, [true; 6]);
}

#[test]
fn the_committed_page_is_whole_and_shows_no_text_that_may_not_be_shown() {
    let page = repository("leaderboard/page");
    for name in [
        "index.html",
        "index.ko.html",
        "pairs.html",
        "pairs.ko.html",
        "board.json",
        "results.csv",
    ] {
        let text = read(&page, name);
        for path in ["/home/", "/root/", "/tmp/", "/work/", "/Users/"] {
            assert!(
                !text.contains(path),
                "{name} names a path of a machine: {path}"
            );
        }
    }
    let board = board(&page);
    let suites = board["suites"].as_array().expect("suites");
    let mut shown = 0;
    for dispute in board["disputes"].as_array().expect("disputes") {
        let suite = suites[dispute["suite"].as_u64().expect("an index") as usize]["key"]
            .as_str()
            .expect("a key");
        let allowed = ["korsts", "korsts-mteb", "klue-sts"].contains(&suite)
            || suite.starts_with("korfin-shift");
        for pair in dispute["pairs"].as_array().expect("pairs") {
            assert!(
                allowed || pair.get("texts").is_none(),
                "{suite} shows its texts"
            );
            shown += usize::from(pair.get("texts").is_some());
        }
    }
    assert!(shown > 20, "{shown}");
    // FACTS: what an evaluation must reproduce.
    let mini = row(&board, "all-MiniLM-L6-v2", "reproduced");
    for (suite, rho) in [
        ("stsb", 0.820_324_728),
        ("korsts", 0.421_836),
        ("korsts-mteb", 0.423_011),
        ("sickr", 0.775_825),
    ] {
        let found = cell(&board, mini, suite)["score"]
            .as_f64()
            .expect("a score");
        assert!((found - rho).abs() < 1e-6, "{suite}: {found}");
    }
    let length = cell(&board, row(&board, "length", "reproduced"), "finsts");
    assert!((length["score"].as_f64().expect("a score") - 0.4630).abs() < 5e-5);
    for encoder in board["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter(|r| r["kind"] == "encoder")
    {
        let cell = cell(&board, encoder, "finsts");
        assert!(
            cell.is_null() || cell["beats_baselines"] != true,
            "{}",
            encoder["name"]
        );
    }
    // Records next to the page are those that it was built from.
    let records = korfinsts_publish::leaderboard::entry::read(&repository("leaderboard/records"))
        .expect("read");
    assert!(records.broken.is_empty(), "{:?}", records.broken);
    let mini: Vec<&Record> = records
        .entries
        .iter()
        .map(|e| &e.record)
        .filter(|r| r.encoder.name == "all-MiniLM-L6-v2")
        .collect();
    assert!(mini.len() >= 9, "{}", mini.len());
}
