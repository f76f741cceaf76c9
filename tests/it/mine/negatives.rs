//! Negatives that an encoder finds: false ones that are planted, what is written, what is refused.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::lines;
use crate::support::{Home, repository};
use korfinsts_mine::Typology;

/// The English sources of the typology's triples with their Korean positives as pairs. Candidates are
/// the other texts of the triples. Korean sources and English positives are planted: they mean the
/// same as the anchor.
struct Planted {
    home: Home,
    /// Anchor and a text of the same meaning.
    same: HashSet<(String, String)>,
}

fn planted() -> Planted {
    let home = Home::new();
    let typology = Typology::read("ko-en").expect("built in");
    let (mut pairs, mut candidates, mut same) = (String::new(), String::new(), HashSet::new());
    for variant in &typology.variants {
        let [ko, en] = ["ko", "en"].map(|language| &variant.texts[language]);
        let pair = json!({"anchor": en.source, "positive": ko.positive, "variant": variant.id});
        pairs.push_str(&format!("{pair}\n"));
        for text in [&ko.source, &en.positive, &ko.negative, &en.negative] {
            candidates.push_str(&format!("{}\n", json!({"text": text})));
        }
        for text in [&ko.source, &en.positive] {
            same.insert((en.source.clone(), text.clone()));
        }
    }
    std::fs::write(home.path("pairs.jsonl"), pairs).expect("written");
    std::fs::write(home.path("candidates.jsonl"), candidates).expect("written");
    Planted { home, same }
}

/// Mines with these flags; gives the report, and the triplets.
fn mine(home: &Home, flags: &[&str]) -> (Value, Vec<Value>) {
    let mut arguments = vec![
        "mine",
        "negatives",
        "pairs.jsonl",
        "--encoder",
        "nmixx-mini",
    ];
    arguments.extend(["--candidates", "candidates.jsonl", "--output", "out.jsonl"]);
    arguments.extend(["--format", "json", "--negatives", "3"]);
    arguments.extend(flags);
    let output = home
        .command(&arguments)
        .assert()
        .success()
        .get_output()
        .clone();
    let report = serde_json::from_slice(&output.stdout).expect("JSON");
    (report, lines(&home.path("out.jsonl")))
}

#[test]
fn margins_drop_planted_false_negatives() {
    let Planted { home, same } = planted();
    let pairs = 37;
    let of = |flags: &[&str]| {
        let (report, rows) = mine(&home, flags);
        assert_eq!(
            (&report["triplets"], &report["pairs"]),
            (&rows.len().into(), &pairs.into())
        );
        assert_eq!(
            (rows.len(), report["by_rank"].as_u64()),
            (3 * pairs, Some(3 * 37))
        );
        let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
        let kept = rows
            .iter()
            .filter(|row| same.contains(&(text(row, "anchor"), text(row, "negative"))))
            .count();
        let dropped = |limit: usize| report["dropped"][limit][1].as_u64().expect("a count");
        (kept, dropped(0) + dropped(1), rows)
    };
    // Of 74 planted texts, 54 become negatives without margins, 7 and 0 with them (AVX-512).
    let (without, dropped, _) = of(&["--relative", "none"]);
    assert!(
        (50..60).contains(&without) && dropped == 0,
        "{without} {dropped}"
    );
    let (relative, dropped, rows) = of(&[]);
    assert!(
        relative <= 10 && dropped as usize >= without - 10,
        "{relative} {dropped}"
    );
    let (absolute, _, _) = of(&["--relative", "none", "--absolute", "0.1"]);
    assert!(absolute <= 2, "{absolute}");
    // The same input gives the same bytes, and rows keep what the file says of them.
    assert_eq!(of(&[]).2, rows);
    let first = &rows[0];
    assert_eq!(first["variant"], "news.temporal.outlook_to_outturn");
    let of_first = |key: &str| first[key].as_f64().expect("a cosine");
    assert!(of_first("negative_similarity") <= 0.95 * of_first("positive_similarity") + 1e-6);
}

#[test]
fn mined_triplets_are_trained_on() {
    let Planted { home, .. } = planted();
    mine(&home, &[]);
    let base = repository("tests/reference/encoders/bert-mean");
    let recipe = format!(
        "schema = 1\nname = \"mined\"\nleakage = \"report\"\n[base]\nmodel = \"{}\"\n[[stage]]\n\
         name = \"s\"\nbatch = 8\nlearning_rate = 1e-3\ndata = [{{ triplets = \"out.jsonl\" }}]\n",
        base.display()
    );
    std::fs::write(home.path("mined.toml"), recipe).expect("written");
    let train = ["train", "mined.toml", "--dry-run", "--format", "json"];
    let output = home.command(&train).assert().success();
    let outline: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    assert_eq!(outline["leakage"]["examples"], 111);
}

#[test]
fn what_cannot_be_mined_is_said() {
    let Planted { home, .. } = planted();
    std::fs::write(home.path("qa.csv"), "question,answer\na,b\n").expect("written");
    std::fs::write(home.path("one.csv"), "first,second\na,b\n").expect("written");
    for (pairs, flags, code, expected) in [
        (
            "qa.csv",
            &[][..],
            3,
            "qa.csv:2: `anchor` or `first` is missing; there is `question`",
        ),
        (
            "qa.csv",
            &[],
            3,
            "name the column with `--column anchor=COLUMN`",
        ),
        (
            "one.csv",
            &[],
            3,
            "one.csv: none of 1 candidates may be a negative of any of 1 pairs",
        ),
        (
            "one.csv",
            &["--relative", "1.5"],
            2,
            "the relative margin is 1.5, expected a share",
        ),
        (
            "one.csv",
            &["--relative", "x"],
            2,
            "`x` is no share; write `0.95`, or `none`",
        ),
        (
            "one.csv",
            &["--pool", "1", "--negatives", "2"],
            2,
            "2 negatives cannot be drawn",
        ),
        ("none.csv", &[], 3, "none.csv: there is no such file"),
    ] {
        let arguments = [
            "mine",
            "negatives",
            pairs,
            "--encoder",
            "nmixx-mini",
            "-o",
            "o.jsonl",
        ];
        let output = home
            .command(&[&arguments, flags].concat())
            .assert()
            .failure();
        let output = output.get_output();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(expected), "{text} / {expected}");
        assert_eq!(output.status.code(), Some(code), "{expected}");
    }
}
