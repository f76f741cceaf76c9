//! `korfinsts suite annotate`: the kit that raters get, and what is read from their sheets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{Home, repository};

fn made(home: &Home, more: &[&str]) -> std::path::PathBuf {
    let arguments = [
        "suite",
        "annotate",
        "korfin-shift-2:dev",
        "-o",
        "kit",
        "--sample",
        "4",
    ];
    home.command(&[&arguments[..], more].concat())
        .assert()
        .success();
    home.path("kit")
}

fn read(folder: &Path) -> Result<Value, String> {
    let home = Home::new();
    let output = home
        .command(&["suite", "annotate", "--format", "json", "--read"])
        .arg(folder)
        .output()
        .expect("run");
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).expect("JSON"));
    }
    assert_eq!(output.status.code(), Some(3));
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What krippendorff, `SciPy` and scikit-learn say of the same sheets.
#[test]
fn figures_are_those_of_other_software() {
    let folder = repository("tests/reference/annotation");
    let found = read(&folder.join("kit")).expect("read");
    let text = fs::read_to_string(folder.join("expected.json")).expect("expected");
    let expected: BTreeMap<String, BTreeMap<String, f64>> =
        serde_json::from_str(&text).expect("JSON");
    assert_eq!(expected.len(), 3);
    for (part, figures) in expected {
        let agreed = &found["agreement"][&part];
        for (name, figure) in figures {
            let value = &agreed[&name];
            let own = value.as_f64().or_else(|| {
                let (low, high) = (value[1].as_f64()?, value[2].as_f64()?);
                let own = value[0].as_f64()?;
                assert!(low < own && own < high, "{part} {name} {value}");
                Some(own)
            });
            let own = own.unwrap_or_else(|| panic!("{part} {name}"));
            assert!(
                (own - figure).abs() < 1e-12,
                "{part} {name}: {own} {figure}"
            );
        }
    }
    assert_eq!(found["agreement"]["all"]["clusters"], 12);
    let rows = |rater: &Value| rater["scored"].as_u64().zip(rater["missing"].as_u64());
    for rater in found["raters"].as_array().expect("raters") {
        let (scored, missing) = rows(rater).expect("counts");
        assert!(scored + missing == 48 && missing > 0, "{rater}");
    }
}

#[test]
fn nothing_in_a_sheet_or_the_form_says_which_pair_it_is() {
    let home = Home::new();
    let kit = made(&home, &[]);
    let key: Value =
        serde_json::from_str(&fs::read_to_string(kit.join("key.json")).expect("the key"))
            .expect("JSON");
    let pairs = key["pairs"].as_array().expect("pairs");
    // Four documents, whole: three triplets of four pairs each.
    assert_eq!(pairs.len(), 48);
    let form = fs::read_to_string(kit.join("form.html")).expect("the form");
    assert!(
        !form.contains("http:") && !form.contains("https:"),
        "an address in the form"
    );
    let mut orders = std::collections::BTreeSet::new();
    for rater in 1..=3 {
        let sheet = fs::read_to_string(kit.join(format!("sheet-{rater}.csv"))).expect("a sheet");
        assert!(
            sheet.starts_with("\u{feff}row,text_a,text_b,score,note\n1,"),
            "{sheet}"
        );
        for pair in pairs {
            for telling in [&pair["id"], &pair["cluster"]] {
                let telling = telling.as_str().expect("a name");
                assert!(
                    !sheet.contains(telling) && !form.contains(telling),
                    "{telling}"
                );
            }
        }
        for word in ["pos.light", "neg.close", "korfin-shift"] {
            assert!(!sheet.contains(word) && !form.contains(word), "{word}");
        }
        orders.insert(key["raters"][rater - 1].to_string());
    }
    assert_eq!(orders.len(), 3, "every rater has an order of their own");
    // The order of the pairs in the key, which is that of the texts in the form, is not that of the suite.
    let gold: Vec<f64> = pairs.iter().filter_map(|p| p["gold"].as_f64()).collect();
    assert!(
        gold.windows(4).any(|w| w[0] != w[1] && w[1] != w[2]),
        "{gold:?}"
    );
    // The same seed gives the same bytes, another seed another kit.
    let again = Home::new();
    assert_eq!(
        fs::read(made(&again, &[]).join("form.html")).expect("the form"),
        form.as_bytes()
    );
    let other = Home::new();
    let other = fs::read_to_string(made(&other, &["--seed", "1"]).join("form.html"));
    assert_ne!(other.expect("the form"), form);
}

/// Scores every row of a kit as `score` says of the pair's gold score and the rater.
fn fill(kit: &Path, score: impl Fn(f64, usize) -> String) {
    let key: Value =
        serde_json::from_str(&fs::read_to_string(kit.join("key.json")).expect("the key"))
            .expect("JSON");
    for rater in 0..3 {
        let mut sheet = "row,score\n".to_owned();
        for (row, number) in key["raters"][rater]
            .as_array()
            .expect("rows")
            .iter()
            .zip(1..)
        {
            let pair = row.as_u64().expect("a number") as usize / 2;
            let gold = key["pairs"][pair]["gold"].as_f64().expect("gold");
            sheet.push_str(&format!("{number},{}\n", score(gold, rater)));
        }
        fs::write(kit.join(format!("sheet-{}.csv", rater + 1)), sheet).expect("written");
    }
}

#[test]
fn raters_who_agree_reach_one_and_both_orders_are_compared() {
    let home = Home::new();
    let kit = made(&home, &["--both-orders"]);
    fill(&kit, |gold, _| (5.0 * gold).to_string());
    let found = read(&kit).expect("read");
    let all = &found["agreement"]["all"];
    assert_eq!(all["alpha_interval"][0], 1.0);
    assert_eq!(all["gold_auc"], 1.0);
    assert!((all["ceiling"].as_f64().expect("a ceiling") - 1.0).abs() < 1e-12);
    assert_eq!(found["raters"][0]["own_distance"], 0.0);
    assert_eq!(found["raters"][0]["scored"], 96);
    let languages: Vec<&String> = found["agreement"]
        .as_object()
        .expect("parts")
        .keys()
        .collect();
    assert_eq!(languages, ["all", "en", "ko", "ko-en"]);
}

#[test]
fn what_is_wrong_with_a_sheet_is_said_with_its_line() {
    let home = Home::new();
    let kit = made(&home, &[]);
    let said = |sheet: &str| {
        fill(&kit, |gold, _| gold.to_string());
        fs::write(kit.join("sheet-2.csv"), sheet).expect("written");
        read(&kit).expect_err("refused")
    };
    for (sheet, message, hint) in [
        (
            "row,score\n1,6\n",
            "sheet-2.csv:2: the score is `6`",
            "a number from 0 to 5",
        ),
        (
            "row,score\n1,x\n",
            "sheet-2.csv:2: the score is `x`",
            "a number from 0 to 5",
        ),
        (
            "row,score\n1,\n",
            "sheet-2.csv: no row has a score",
            "downloads the sheet",
        ),
        (
            "row,score\n1,2\n1,3\n",
            "sheet-2.csv:3: row 1 is there twice",
            "keep one",
        ),
        (
            "row,score\n49,2\n",
            "sheet-2.csv:2: row `49` is not of this sheet, which has 48",
            "as it was",
        ),
        (
            "row,score\n0,2\n",
            "sheet-2.csv:2: row `0` is not of this sheet",
            "as it was",
        ),
        (
            "row;score\n1;2\n",
            "sheet-2.csv:1: there is no column `row`",
            "with commas",
        ),
        (
            "row,points\n1,2\n",
            "sheet-2.csv:1: there is no column `score`",
            "with commas",
        ),
    ] {
        let said = said(sheet);
        assert!(
            said.contains(message) && said.contains(hint),
            "{sheet:?}: {said}"
        );
    }
    fill(&kit, |gold, _| gold.to_string());
    fs::remove_file(kit.join("sheet-3.csv")).expect("removed");
    let missing = read(&kit).expect_err("refused");
    assert!(
        missing.contains("sheet-3.csv: the sheet is not there"),
        "{missing}"
    );
    let nowhere = read(&home.path("nowhere")).expect_err("refused");
    assert!(
        nowhere.contains("key.json: the key is not there"),
        "{nowhere}"
    );
    // A kit is not written over filled-in sheets.
    home.command(&["suite", "annotate", "korfin-shift", "-o", "kit"])
        .assert()
        .code(2)
        .stderr(predicates::str::contains("is there and holds files"));
}
