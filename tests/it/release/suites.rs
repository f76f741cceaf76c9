//! Suites on disk put through the gates.

use std::path::Path;

use korfinsts_bench::suite::Registry;
use korfinsts_publish::release::{Context, Level, Subject, check};

use crate::support::{Home, repository, shared};

#[test]
fn korsts_has_80_duplicates_29_conflicts_repeated_ids_and_12_percent_seen_in_train() {
    let Some(data) = shared("data/korsts") else {
        return;
    };
    let home = Home::new();
    home.command(&["suite", "import", "korsts"])
        .arg(&data)
        .assert()
        .success();
    let registry = Registry::open(&home.data()).expect("a registry");
    let manifest = registry.find("korsts").expect("built in");
    let today = "2026-11-23".parse().expect("a day");
    let subject = Subject::from_suite(&registry, &manifest, Context::on(today)).expect("read");
    let report = check(&subject);
    assert!(!report.passed);
    let fact = report
        .facts
        .iter()
        .find(|f| f.gate == "R6")
        .expect("counted");
    assert!(
        fact.text
            .starts_with("80 duplicate pairs, 29 pairs with conflicting labels"),
        "{}",
        fact.text
    );
    let of = |gate: &str, text: &str| report.of(gate).filter(|f| f.message.contains(text)).count();
    assert_eq!(
        (of("R6", "repeats the pair"), of("R6", "carries the score")),
        (80, 29)
    );
    assert_eq!(
        of(
            "R7",
            "12.0 % of the pairs of `test` (166 of 1379) hold a sentence that stands in `train`"
        ),
        1
    );
    // Pairs that are in two splits: 2 of dev and 3 of test in train.
    let exact = report.of("R7").filter(|f| f.level == Level::Error).count();
    assert!(exact >= 5, "{exact}");
    for (split, ids, rows) in [("train", 900, 4505), ("dev", 352, 569), ("test", 368, 551)] {
        let text = format!(
            "`{split}`: the source's own ids are not unique: {ids} ids stand more than once, {rows} rows"
        );
        assert_eq!(
            of("R2", &text),
            1,
            "{:#?}",
            report.of("R2").collect::<Vec<_>>()
        );
    }
    // From outside: exit code 1, every finding in the JSON.
    let output = home
        .command(&["release", "check", "korsts", "--format", "json"])
        .output()
        .expect("run");
    assert_eq!(output.status.code(), Some(1));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(printed["passed"], false);
    assert_eq!(
        printed["findings"].as_array().expect("a list").len(),
        report.findings.len()
    );
    for key in ["gate", "level", "row", "message", "remedy"] {
        assert!(printed["findings"][0].get(key).is_some(), "{key}");
    }
}

#[test]
fn finsts_is_flagged_for_its_length_shortcut() {
    let Some(data) = shared("data/finsts") else {
        return;
    };
    let home = Home::new();
    home.command(&["suite", "import", "finsts"])
        .arg(&data)
        .assert()
        .success();
    let registry = Registry::open(&home.data()).expect("a registry");
    let manifest = registry.find("finsts").expect("built in");
    let today = "2026-11-23".parse().expect("a day");
    let subject = Subject::from_suite(&registry, &manifest, Context::on(today)).expect("read");
    let report = check(&subject);
    assert!(
        report.of("R8").any(|f| f
            .message
            .contains("lengths in characters alone reach Spearman 0.4630 of a ceiling of 0.860")),
        "{:#?}",
        report.findings
    );
}

#[test]
fn korfin_shift_passes() {
    let folder = repository("benchmarks/korfin-shift");
    let today = "2026-11-25".parse().expect("a day");
    let mut context = Context::on(today);
    let first = folder.join("releases/korfin-shift-1.0.0.zip");
    let first = Subject::open(&first, context.clone()).expect("the first release");
    let id = korfinsts_base::fs::sha256(&first.files["SHA256SUMS"]);
    context.earlier.push(first.as_earlier(id));
    let subject = Subject::open(Path::new(&folder), context).expect("read");
    let report = check(&subject);
    assert!(report.passed, "{:#?}", report.findings);
    assert_eq!(report.waived.len(), 1);
}
