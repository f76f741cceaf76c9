//! Planted defects: at least twenty of each gate that can be planted, each found with its gate and,
//! where it is about a row, its row. The clean release raises none.

use korfinsts_publish::release::{
    Earlier, GateResult, Level, OtherTexts, Report, Status, StoredScores, Subject, build, check,
};
use serde_json::{Value, json};

use super::fixture::{CANARY, Fixture, Random, sentence};

/// Fewest defects planted per gate.
const ENOUGH: usize = 20;

fn gate<'a>(report: &'a Report, id: &str) -> &'a GateResult {
    report
        .gates
        .iter()
        .find(|g| g.gate == id)
        .expect("the gate")
}

/// Asserts that a gate found something of that level about a row.
fn found_row(report: &Report, id: &str, level: Level, row: &str) {
    assert!(
        report
            .of(id)
            .any(|f| f.level == level && f.row.as_deref() == Some(row)),
        "{id} found nothing about `{row}`: {:#?}",
        report.findings
    );
}

/// Asserts that a gate found something whose message holds `text`.
fn found(report: &Report, id: &str, text: &str) {
    assert!(
        report
            .of(id)
            .any(|f| f.message.contains(text) && !f.remedy.is_empty()),
        "{id} did not say `{text}`: {:#?}",
        report.findings
    );
    let errors = report.of(id).any(|f| f.level == Level::Error);
    assert_eq!(report.passed, report.gates.iter().all(|g| g.errors == 0));
    assert!(!errors || !report.passed);
}

#[test]
fn the_clean_release_raises_nothing() {
    let fixture = Fixture::new();
    let report = fixture.check();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert!(report.passed && report.gates.len() == 20);
    assert!(report.gates.iter().all(|g| g.status == Status::Passed));
    let built = build(&fixture.subject()).expect("built");
    let mut subject = Fixture::of(built.files, &fixture.context);
    subject.built = true;
    let report = check(&subject);
    // Only that it is not signed is said.
    let others: Vec<_> = report.findings.iter().filter(|f| f.gate != "R17").collect();
    assert!(report.passed && others.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.release_id, Some(built.release_id));
}

#[test]
fn r1_unclean_text() {
    let bad = [
        '\u{0}', '\u{1}', '\u{8}', '\u{B}', '\u{1F}', '\u{7F}', '\u{85}', '\u{AD}', '\u{200B}',
        '\u{200C}', '\u{200D}', '\u{200E}', '\u{200F}', '\u{202A}', '\u{202B}', '\u{202C}',
        '\u{202D}', '\u{202E}', '\u{2060}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
        '\u{FEFF}', '\r',
    ];
    assert!(bad.len() >= ENOUGH);
    let mut fixture = Fixture::new();
    for (i, c) in bad.iter().enumerate() {
        let text = fixture.row(i)["sentence1"]
            .as_str()
            .expect("a text")
            .replace(' ', &format!("{c} "));
        fixture.row(i)["sentence1"] = text.into();
    }
    let n = bad.len();
    fixture.row(n)["sentence2"] = "\u{1100}\u{1161} 금리가 올랐다.".into();
    let report = fixture.check();
    for i in 0..=n {
        found_row(&report, "R1", Level::Error, &fixture.id(i));
    }
    // In the bytes of files, where no escape hides them.
    let clean = Fixture::new().files();
    for (name, damage, message) in [
        ("LABELS.md", b"\xEF\xBB\xBF".as_slice(), "byte order mark"),
        ("LICENSE", b"a\r\n", "carriage return"),
        ("CHANGELOG.md", b"\xff\n", "not UTF-8 at byte 0"),
        (
            "data/test.jsonl",
            b"{\"id\":\"x\",\"id\":\"x\"}\n",
            "the key `id` occurs twice",
        ),
        (
            "data/test.jsonl",
            b"{\"id\":\"x\",\"score\":NaN}\n",
            "not strict JSON",
        ),
        ("data/test.jsonl", b"\n", "not strict JSON"),
        (
            "provenance/sources.jsonl",
            b"{\"id\":\"x\",\"\\u0069d\":\"x\"}\n",
            "the key `id` occurs twice",
        ),
        (
            "annotations/raw.jsonl",
            b"{\"a\":1e999}\n",
            "not strict JSON",
        ),
    ] {
        let mut files = clean.clone();
        let old = files.remove(name).expect(name);
        files.insert(name.into(), [damage, &old].concat());
        found(
            &check(&Fixture::of(files, &Fixture::new().context)),
            "R1",
            message,
        );
    }
    let mut files = clean.clone();
    files.get_mut("data/test.jsonl").expect("there").pop();
    found(
        &check(&Fixture::of(files, &Fixture::new().context)),
        "R1",
        "the last line has no end",
    );
}

#[test]
fn r2_ids() {
    let long = "a".repeat(65);
    let bad = [
        "", "A", "-a", ".a", "_a", "a b", "a/b", "a:b", "가", "a\u{301}", "a\n", "Test-1", "a,b",
        "a;b", "a'b", "a\"b", "a=b", "a+b", "a@b", "a#b", "a$b", &long,
    ];
    assert!(bad.len() >= ENOUGH);
    let mut fixture = Fixture::new();
    for (i, id) in bad.iter().enumerate() {
        fixture.row(i)["id"] = (*id).into();
    }
    let report = fixture.check();
    for id in bad {
        found_row(&report, "R2", Level::Error, id);
    }
    // The same id twice: within a split and across.
    let mut fixture = Fixture::new();
    for i in 0..ENOUGH {
        let id = fixture.id(i + ENOUGH);
        if i % 2 == 0 {
            fixture.row(i)["id"] = id.into();
        } else {
            fixture.splits[1].1[i]["id"] = id.into();
        }
    }
    let report = fixture.check();
    for i in 0..ENOUGH {
        found_row(&report, "R2", Level::Error, &fixture.id(i + ENOUGH));
    }
    // An id that an earlier release gave to another pair, or retired.
    let mut fixture = Fixture::new();
    let old = fixture.subject();
    let mut gone = old.clone();
    gone.splits[0].rows.truncate(40);
    fixture.context.earlier = vec![earlier(&old, "0.1.0"), earlier(&gone, "0.2.0")];
    let mut random = Random(99);
    for i in 0..ENOUGH {
        fixture.row(i)["sentence1"] = sentence(&mut random).into();
        fixture.row(i)["sentence2"] = sentence(&mut random).into();
    }
    let report = fixture.check();
    for i in (0..ENOUGH).chain(40..60) {
        found_row(&report, "R2", Level::Error, &fixture.id(i));
    }
    assert!(
        !report
            .of("R2")
            .any(|f| f.row.as_deref() == Some(&fixture.id(30)))
    );
}

fn earlier(subject: &Subject, version: &str) -> Earlier {
    let mut earlier = subject.as_earlier("0".repeat(64));
    earlier.version = korfinsts_publish::release::Version::parse(version).expect("a version");
    earlier
}

#[test]
fn r3_schema() {
    let defects: [fn(&mut Value); 22] = [
        |r| r["score"] = json!(-0.1),
        |r| r["score"] = json!(5.1),
        |r| r["score"] = json!(1e300),
        |r| r["score"] = json!("3"),
        |r| r["score"] = json!(null),
        |r| r["score"] = json!([3]),
        |r| r["score"] = json!(true),
        |r| drop(r.as_object_mut().expect("an object").remove("score")),
        |r| r["sentence1"] = json!(""),
        |r| r["sentence2"] = json!("  "),
        |r| r["sentence1"] = json!("\u{3000}"),
        |r| r["sentence2"] = json!("\t"),
        |r| r["sentence1"] = json!(3),
        |r| r["sentence2"] = json!(null),
        |r| drop(r.as_object_mut().expect("an object").remove("sentence1")),
        |r| r["extra"] = json!("x"),
        |r| r["topic"] = json!(1),
        |r| r["topic"] = json!(" "),
        |r| drop(r.as_object_mut().expect("an object").remove("topic")),
        |r| drop(r.as_object_mut().expect("an object").remove("domain")),
        |r| r["domain"] = json!(7),
        |r| r["canary"] = json!("another"),
    ];
    let mut fixture = Fixture::new();
    for (i, defect) in defects.iter().enumerate() {
        defect(fixture.row(i));
    }
    let report = fixture.check();
    for i in 0..defects.len() {
        found_row(&report, "R3", Level::Error, &fixture.id(i));
    }
    for (line, message) in [
        ("[1]\n", "not an object"),
        ("{\"id\":3}\n", "`id` is `3`"),
        ("{}\n", "`id` is nothing"),
    ] {
        let mut files = Fixture::new().files();
        files
            .get_mut("data/test.jsonl")
            .expect("there")
            .extend(line.bytes());
        found(&check(&Fixture::of(files, &fixture.context)), "R3", message);
    }
    let mut files = Fixture::new().files();
    files.remove("data/train.jsonl");
    found(
        &check(&Fixture::of(files.clone(), &fixture.context)),
        "R3",
        "there is no `data/train.jsonl`",
    );
    files.insert("data/train.jsonl".into(), Vec::new());
    found(
        &check(&Fixture::of(files, &fixture.context)),
        "R3",
        "holds no row",
    );
}

#[test]
fn r4_scale() {
    let mut planted = 0;
    // Only two scores on a scale by degree, whichever two.
    for low in 0..5 {
        for high in low + 1..6 {
            let mut fixture = Fixture::new();
            for i in 0..60 {
                fixture.row(i)["score"] = json!(if i % 2 == 0 { low } else { high });
            }
            found(&fixture.check(), "R4", "only");
            planted += 1;
        }
    }
    // An end of the range that is not used.
    for cut in [2.0, 3.0, 4.0] {
        let mut fixture = Fixture::new();
        for i in 0..60 {
            let score = fixture.row(i)["score"].as_f64().expect("a score").min(cut);
            fixture.row(i)["score"] = json!(score);
        }
        found(&fixture.check(), "R4", "highest");
        for i in 0..60 {
            let score = fixture.row(i)["score"].as_f64().expect("a score");
            fixture.row(i)["score"] = json!(5.0 - score);
        }
        found(&fixture.check(), "R4", "lowest");
        planted += 2;
    }
    let mut constant = Fixture::new();
    let mut ends = Fixture::new();
    let mut steps = Fixture::new();
    for i in 0..60 {
        constant.row(i)["score"] = json!(3);
        ends.row(i)["score"] = json!(if i % 2 == 0 { 0 } else { 5 });
    }
    ends.row(7)["score"] = json!(2);
    steps.row(7)["score"] = json!(2.5);
    found(&constant.check(), "R4", "every score is 3");
    found(&ends.check(), "R4", "at the two ends");
    found(&steps.check(), "R4", "no whole step");
    assert!(planted + 3 >= ENOUGH);
    // The ceiling is printed.
    assert!(
        Fixture::new()
            .check()
            .facts
            .iter()
            .any(|f| f.gate == "R4" && f.text.contains("ceiling"))
    );
}

#[test]
fn r5_counts_typed_by_hand() {
    let typed = [
        "132 pairs",
        "1,991 rows",
        "37 variants",
        "12 triplets",
        "132쌍",
        "132 쌍",
        "60건",
        "72 문장",
        "6 annotators",
        "264 sentences",
        "5 texts",
        "10 Items",
        "3 examples",
        "2 instances",
        "99 Pairs of",
        "132  pairs",
    ];
    for (i, text) in typed.iter().enumerate() {
        let mut fixture = Fixture::new();
        match i % 3 {
            0 => fixture.set("description", format!("It holds {text}.")),
            1 => fixture.set("datasheet.purpose", format!("For {text}.")),
            _ => drop(fixture.texts.insert(
                "LABELS.md".into(),
                format!("{text}\nCanary: {CANARY}\n").into_bytes(),
            )),
        }
        found(&fixture.check(), "R5", "typed by hand");
    }
    let mut fixture = Fixture::new();
    fixture.set("description", "{{ counts.nothing }}");
    found(&fixture.check(), "R5", "undefined value");
    // Every number of the built card, edited.
    let fixture = Fixture::new();
    let clean = build(&fixture.subject()).expect("built").files;
    let card = String::from_utf8(clean["README.md"].clone()).expect("UTF-8");
    let mut edited = 0;
    for (name, from, to) in [
        ("README.md", "| test | 60 |", "| test | 61 |"),
        ("README.md", "132 pairs", "133 pairs"),
        ("README.md", "| news | 66 |", "| news | 67 |"),
        ("DATASHEET.md", "132 pairs", "131 pairs"),
        ("CITATION.cff", "1.0.0", "1.0.1"),
        (
            "croissant.json",
            "\"version\": \"1.0.0\"",
            "\"version\": \"1.0.1\"",
        ),
    ] {
        let mut files = clean.clone();
        let text = String::from_utf8(files[name].clone()).expect("UTF-8");
        assert!(text.contains(from), "{name}: {from}\n{card}");
        files.insert(name.into(), text.replacen(from, to, 1).into_bytes());
        let mut subject = Fixture::of(files, &fixture.context);
        subject.built = true;
        found(&check(&subject), "R5", "is not what the data");
        edited += 1;
    }
    assert!(typed.len() + edited >= ENOUGH);
}

#[test]
fn r6_duplicates_conflicts_and_identical_sentences() {
    let mut fixture = Fixture::new();
    for i in 0..ENOUGH {
        let (a, b) = (
            fixture.row(i + 30)["sentence1"].clone(),
            fixture.row(i + 30)["sentence2"].clone(),
        );
        let score = fixture.row(i + 30)["score"].clone();
        let row = fixture.row(i);
        (row["sentence1"], row["sentence2"]) = if i % 2 == 0 { (a, b) } else { (b, a) };
        row["score"] = score;
    }
    let report = fixture.check();
    for i in 0..ENOUGH {
        found_row(&report, "R6", Level::Error, &fixture.id(i + 30));
    }
    assert_eq!(gate(&report, "R6").errors, ENOUGH);
    for i in 0..ENOUGH {
        fixture.row(i)["score"] = json!(if fixture.row(i)["score"] == 0.0 { 5 } else { 0 });
    }
    let report = fixture.check();
    assert_eq!(gate(&report, "R6").errors, 2 * ENOUGH);
    assert!(report.facts.iter().any(|f| {
        f.text
            .starts_with("20 duplicate pairs, 20 pairs with conflicting labels")
    }));
    let mut fixture = Fixture::new();
    for i in 0..ENOUGH {
        fixture.row(i)["sentence2"] = fixture.row(i)["sentence1"].clone();
        fixture.row(i)["score"] = json!(i % 5);
    }
    let report = fixture.check();
    for i in 0..ENOUGH {
        found_row(&report, "R6", Level::Error, &fixture.id(i));
    }
}

#[test]
fn r7_leakage() {
    // The same pair in another split, either order.
    let mut fixture = Fixture::new();
    for i in 0..ENOUGH {
        let (a, b) = (
            fixture.row(i)["sentence1"].clone(),
            fixture.row(i)["sentence2"].clone(),
        );
        let row = &mut fixture.splits[1].1[i];
        (row["sentence1"], row["sentence2"]) = if i % 2 == 0 { (a, b) } else { (b, a) };
    }
    let report = fixture.check();
    for i in 0..ENOUGH {
        found_row(&report, "R7", Level::Error, &fixture.id(i));
    }
    // A shared sentence, then a near-duplicate of one: a warning with its share.
    let mut fixture = Fixture::new();
    for i in 0..ENOUGH {
        let text = fixture.row(i)["sentence2"].clone();
        fixture.splits[1].1[i + 40]["sentence1"] = text;
    }
    let report = fixture.check();
    found(
        &report,
        "R7",
        "33.3 % of the pairs of `test` (20 of 60) hold a sentence that stands in `train`",
    );
    assert_eq!(gate(&report, "R7").errors, 0);
    let mut fixture = Fixture::new();
    for i in 0..ENOUGH {
        let text = fixture.row(i)["sentence2"]
            .as_str()
            .expect("a text")
            .replace(" 나타났다.", "  나타났다");
        fixture.splits[1].1[i + 40]["sentence1"] = text.into();
    }
    let report = fixture.check();
    found(
        &report,
        "R7",
        "33.3 % of the pairs of `test` (20 of 60) hold a near-duplicate of a sentence in `train`",
    );
    // Training triplets and other suites.
    let mut fixture = Fixture::new();
    let texts = |f: &mut Fixture, i: usize| {
        [1, 2].map(|k| {
            f.row(i)[format!("sentence{k}")]
                .as_str()
                .expect("a text")
                .to_owned()
        })
    };
    let groups = (0..ENOUGH).map(|i| {
        let [a, b] = texts(&mut fixture, i);
        vec![b, "다른 문장".to_owned(), a]
    });
    let groups = groups.collect();
    fixture.context.others.push(OtherTexts {
        name: "triplets".into(),
        groups,
    });
    let report = fixture.check();
    for i in 0..ENOUGH {
        found_row(&report, "R7", Level::Error, &fixture.id(i));
    }
}

#[test]
fn r8_imbalance_and_shortcuts() {
    let mut planted = 0;
    // Domains of very different size.
    for few in 1..=8 {
        let mut fixture = Fixture::new();
        for i in 0..60 {
            fixture.row(i)["domain"] = json!(if i < few { "news" } else { "report" });
        }
        found(&fixture.check(), "R8", "rows, `");
        planted += 1;
    }
    // Labels that differ by domain.
    for shift in [2.0, 3.0] {
        for (from, sign) in [("news", 1.0), ("report", -1.0)] {
            let mut fixture = Fixture::new();
            for i in 0..60 {
                let score = fixture.row(i)["score"].as_f64().expect("a score");
                let moved = if (fixture.row(i)["domain"] == from) == (sign > 0.0) {
                    score + shift
                } else {
                    score - shift
                };
                fixture.row(i)["score"] = json!(moved.clamp(0.0, 5.0));
            }
            found(&fixture.check(), "R8", "pooled scores mix domains up");
            planted += 1;
        }
    }
    // Length gives the label away; then shared words do.
    for scale in 1..=4 {
        let mut fixture = Fixture::new();
        for i in 0..60 {
            let score = fixture.row(i)["score"].as_f64().expect("a score") as usize;
            let longer = format!(
                "{}{}",
                fixture.row(i)["sentence1"].as_str().expect("a text"),
                " 그리고 또".repeat(scale * (5 - score) * 2)
            );
            fixture.row(i)["sentence1"] = longer.into();
        }
        found(
            &fixture.check(),
            "R8",
            "a shortcut: minus the difference of the lengths",
        );
        planted += 1;
    }
    for keep in 2..=5 {
        let mut fixture = Fixture::new();
        for i in 0..60 {
            let score = fixture.row(i)["score"].as_f64().expect("a score") as usize;
            let first = fixture.row(i)["sentence1"]
                .as_str()
                .expect("a text")
                .to_owned();
            let second = fixture.row(i)["sentence2"]
                .as_str()
                .expect("a text")
                .to_owned();
            let words = first.split(' ').take(score * keep / 3 + score);
            fixture.row(i)["sentence2"] = words
                .chain(second.split(' ').skip(score))
                .collect::<Vec<_>>()
                .join(" ")
                .into();
        }
        found(&fixture.check(), "R8", "a shortcut: cosine of");
        planted += 1;
    }
    assert!(planted >= ENOUGH, "{planted}");
    let report = Fixture::new().check();
    assert_eq!(
        report
            .facts
            .iter()
            .filter(|f| f.gate == "R8" && f.text.contains("baseline"))
            .count(),
        8
    );
}

#[test]
fn r9_annotations() {
    let mut fixture = Fixture::new();
    let ids: Vec<String> = (0..ENOUGH).map(|i| fixture.id(i)).collect();
    fixture
        .annotations
        .retain(|a| !ids.iter().any(|id| a["id"] == id.as_str()));
    let report = fixture.check();
    for id in &ids {
        found_row(&report, "R9", Level::Error, id);
    }
    let mut fixture = Fixture::new();
    for i in 0..ENOUGH {
        let at = 3 * i;
        match i % 4 {
            0 => fixture.annotations[at]["label"] = json!(9),
            1 => fixture.annotations[at]["annotator"] = json!("lee"),
            2 => fixture.annotations[at]["id"] = json!(format!("unknown-{i}")),
            _ => fixture.annotations[at]["label"] = json!(-1),
        }
    }
    let report = fixture.check();
    for i in 0..ENOUGH {
        let id = if i % 4 == 2 {
            format!("unknown-{i}")
        } else {
            fixture.id(i)
        };
        found_row(&report, "R9", Level::Error, &id);
    }
    // Annotators who disagree; a file that is not there, or not of its form; no floor.
    let mut fixture = Fixture::new();
    let mut random = Random(3);
    for annotation in &mut fixture.annotations {
        annotation["label"] = json!(random.below(6));
    }
    found(&fixture.check(), "R9", "the floor 0.8");
    let mut fixture = Fixture::new();
    fixture.annotations[5]["note"] = json!("x");
    found(&fixture.check(), "R9", "unknown field `note`");
    let mut fixture = Fixture::new();
    fixture.manifest.remove("agreement");
    found(&fixture.check(), "R9", "sets no floor");
    let mut files = Fixture::new().files();
    files.remove("annotations/raw.jsonl");
    found(
        &check(&Fixture::of(files, &fixture.context)),
        "R9",
        "there is no",
    );
}

#[test]
fn r10_personal_data_is_found_and_redacted() {
    let planted = [
        "900101-1234567",
        "0012314123456",
        "851130 2345678",
        "991231-5123456",
        "200229-3000000",
        "010-1234-5678",
        "01098765432",
        "011-234-5678",
        "+82 10-2345-6789",
        "02-123-4567",
        "031-456-7890",
        "070-1234-5678",
        "4111-1111-1111-1111",
        "5500 0000 0000 0004",
        "4012888888881881",
        "계좌 110-123-456789",
        "계좌번호는 3333 01 1234567",
        "123456-01-234567",
        "hong@example.com",
        "gil.dong+x@mail.example.co.kr",
        "a_b@c-d.org",
    ];
    assert!(planted.len() >= ENOUGH);
    let mut fixture = Fixture::new();
    for (i, secret) in planted.iter().enumerate() {
        let column = format!("sentence{}", 1 + i % 2);
        let text = format!(
            "{} 연락 {secret} 바람",
            fixture.row(i)[&column].as_str().expect("a text")
        );
        fixture.row(i)[&column] = text.into();
    }
    let report = fixture.check();
    for i in 0..planted.len() {
        found_row(&report, "R10", Level::Error, &fixture.id(i));
    }
    let shown = report.to_json() + &report.to_markdown(1000);
    for secret in planted {
        assert!(!shown.contains(secret), "`{secret}` is shown");
    }
}

#[test]
fn r11_licences() {
    let mut planted = 0;
    for bad in [
        "",
        "CC BY 4.0",
        "cc-by-99",
        "CC-BY-4.0 AND",
        "NOASSERTION",
        "NONE",
        "MIT OR",
        "Proprietary",
        "CC-BY",
        "(MIT",
        "GPL-9.0-only",
    ] {
        let mut fixture = Fixture::new();
        fixture.set(
            if planted % 2 == 0 {
                "licence"
            } else {
                "source.licence"
            },
            bad,
        );
        found(&fixture.check(), "R11", "is no SPDX expression");
        planted += 1;
    }
    for (own, source, message) in [
        ("CC-BY-4.0", "CC-BY-NC-4.0", "is non-commercial"),
        ("CC-BY-4.0", "CC-BY-SA-4.0", "is share-alike"),
        ("CC0-1.0", "CC-BY-NC-SA-4.0", "is non-commercial"),
        ("CC-BY-4.0", "CC-BY-ND-4.0", "forbids changed copies"),
        ("CC-BY-SA-3.0", "CC-BY-SA-4.0", "is share-alike"),
    ] {
        let mut fixture = Fixture::new();
        fixture.set("licence", own);
        fixture.set("source.licence", source);
        found(&fixture.check(), "R11", message);
        planted += 1;
    }
    // Share-alike and non-commercial in one adapted work.
    let mut fixture = Fixture::new();
    let mut second = fixture.manifest["source"][0]
        .as_table()
        .expect("a table")
        .clone();
    second.insert("name".into(), "books".into());
    second.insert("licence".into(), "CC-BY-NC-4.0".into());
    fixture.manifest["source"]
        .as_array_mut()
        .expect("a list")
        .push(second.into());
    fixture.set("source.licence", "CC-BY-SA-4.0");
    let licence = fixture.texts["licenses/press.txt"].clone();
    fixture.texts.insert("licenses/books.txt".into(), licence);
    found(&fixture.check(), "R11", "are mixed into one adapted work");
    // Files that disagree.
    for (message, name, content) in [
        ("there is no `licenses/press.txt`", "licenses/press.txt", ""),
        ("has sha256", "licenses/press.txt", "Another licence\n"),
        ("there is no `LICENSE`", "LICENSE", ""),
        (
            "LICENSE does not say",
            "LICENSE",
            "SPDX-License-Identifier: MIT\n",
        ),
        ("LICENSE does not say", "LICENSE", "All rights reserved\n"),
    ] {
        let mut fixture = Fixture::new();
        fixture.texts.remove(name);
        if !content.is_empty() {
            fixture.texts.insert(name.into(), content.into());
        }
        found(&fixture.check(), "R11", message);
        planted += 1;
    }
    let fixture = Fixture::new();
    let clean = build(&fixture.subject()).expect("built").files;
    for (name, from, to) in [
        ("README.md", "license: cc-by-4.0", "license: mit"),
        ("CITATION.cff", "license: CC-BY-4.0", "license: MIT"),
        ("croissant.json", "licenses/CC-BY-4.0", "licenses/MIT"),
    ] {
        let mut files = clean.clone();
        let text = String::from_utf8(files[name].clone())
            .expect("UTF-8")
            .replacen(from, to, 1);
        files.insert(name.into(), text.into_bytes());
        let mut subject = Fixture::of(files, &fixture.context);
        subject.built = true;
        found(&check(&subject), "R11", "as the manifest does");
        planted += 1;
    }
    assert!(planted + 1 >= ENOUGH, "{planted}");
}

#[test]
fn r12_provenance() {
    let mut fixture = Fixture::new();
    let gone: Vec<String> = (0..ENOUGH).map(|i| fixture.id(i)).collect();
    fixture.provenance.drain(..ENOUGH);
    let report = fixture.check();
    for id in &gone {
        found_row(&report, "R12", Level::Error, id);
    }
    let mut fixture = Fixture::new();
    for i in 0..ENOUGH {
        let line = &mut fixture.provenance[i];
        match i % 5 {
            0 => line["source"] = json!("unknown"),
            1 => line["sha256"] = json!("ABC"),
            2 => line["sha256"] = json!("g".repeat(64)),
            3 => line["id"] = json!(format!("no-such-{i}")),
            _ => *line = json!({"id": "test-000", "source": "press", "sha256": "0".repeat(64)}),
        }
    }
    let report = fixture.check();
    for i in 0..ENOUGH {
        found_row(
            &report,
            "R12",
            Level::Error,
            &if i % 5 == 3 {
                format!("no-such-{i}")
            } else if i % 5 == 4 {
                "test-000".into()
            } else {
                fixture.id(i)
            },
        );
    }
    let mut fixture = Fixture::new();
    fixture.set("source.synthetic", true);
    let report = fixture.check();
    for i in 0..60 {
        found_row(&report, "R12", Level::Error, &fixture.id(i));
    }
}

#[test]
fn r13_canary() {
    let fixture = Fixture::new();
    let clean = build(&fixture.subject()).expect("built").files;
    // Each text file, one at a time, and then rows.
    let texts: Vec<&String> = clean
        .keys()
        .filter(|n| {
            !n.ends_with(".parquet")
                && !n.starts_with("SHA256SUMS")
                && !n.ends_with(".jsonl")
                && *n != "korfinsts.toml"
        })
        .collect();
    for name in &texts {
        let mut files = clean.clone();
        let text = String::from_utf8(files[*name].clone()).expect("UTF-8");
        files.insert((*name).clone(), text.replace(CANARY, "").into_bytes());
        let mut subject = Fixture::of(files, &fixture.context);
        subject.built = true;
        found(&check(&subject), "R13", &format!("{name}: the canary"));
    }
    let mut files = clean.clone();
    let text = String::from_utf8(files["data/test.jsonl"].clone()).expect("UTF-8");
    let lines: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(i, l)| {
            if i < ENOUGH {
                l.replace(CANARY, "")
            } else {
                l.to_owned()
            }
        })
        .collect();
    files.insert(
        "data/test.jsonl".into(),
        (lines.join("\n") + "\n").into_bytes(),
    );
    let mut subject = Fixture::of(files, &fixture.context);
    subject.built = true;
    let report = check(&subject);
    for i in 0..ENOUGH {
        found_row(&report, "R13", Level::Error, &fixture.id(i));
    }
    assert!(texts.len() >= 10, "{texts:?}");
}

#[test]
fn r14_versions() {
    let mut planted = 0;
    let base = Fixture::new().subject();
    for (version, change, step) in [
        ("1.0.1", 0, "MAJOR"),
        ("1.1.0", 0, "MAJOR"),
        ("1.0.1", 1, "MAJOR"),
        ("1.9.0", 1, "MAJOR"),
        ("1.0.1", 2, "MAJOR"),
        ("1.2.0", 2, "MAJOR"),
        ("1.0.1", 3, "MINOR"),
        ("1.0.9", 3, "MINOR"),
        ("1.0.1", 4, "MAJOR"),
        ("1.1.0", 4, "MAJOR"),
        ("1.0.2", 3, "MINOR"),
        ("1.1.1", 1, "MAJOR"),
    ] {
        let mut fixture = after(&base, version);
        match change {
            0 => fixture.row(3)["sentence1"] = json!("다른 문장이다."),
            1 => fixture.row(3)["score"] = json!(4),
            2 => drop(fixture.splits[0].1.pop()),
            3 => {
                let mut row = fixture.row(0).clone();
                row["id"] = json!("test-new");
                fixture.splits[0].1.push(row);
            }
            _ => fixture.row(3)["domain"] = json!("news"),
        }
        found(&fixture.check(), "R14", &format!("by a {step} step"));
        planted += 1;
    }
    for version in ["1.0.0", "0.9.0", "0.0.1", "0.9.9"] {
        found(&after(&base, version).check(), "R14", "does not come after");
        planted += 1;
    }
    let mut fixture = after(&base, "1.0.1");
    fixture.manifest.remove("previous");
    found(&fixture.check(), "R14", "is not named under");
    let mut fixture = after(&base, "1.0.1");
    fixture.context.earlier.clear();
    found(&fixture.check(), "R14", "was not given to compare with");
    let mut fixture = after(&base, "1.0.1");
    fixture.set("previous.release_id", "1".repeat(64));
    found(&fixture.check(), "R14", "has the id");
    let mut fixture = after(&base, "1.0.1");
    fixture.set("previous.version", "0.5.0");
    found(&fixture.check(), "R14", "release 0.5.0 is named");
    assert!(planted + 4 >= ENOUGH);
    for (version, minor) in [("1.0.1", false), ("1.1.0", true), ("2.0.0", true)] {
        let mut fixture = after(&base, version);
        if minor {
            let mut random = Random(1234);
            let mut row = fixture.row(0).clone();
            row["id"] = json!("test-new");
            row["sentence1"] = sentence(&mut random).into();
            fixture.splits[0].1.push(row);
        }
        let report = fixture.check();
        assert_eq!(gate(&report, "R14").errors, 0, "{:#?}", report.findings);
    }
}

/// The fixture as a later release than `base`, which has the version 1.0.0.
fn after(base: &Subject, version: &str) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.set("version", version);
    let previous: toml::Table = toml::from_str(&format!(
        "version = \"1.0.0\"\nrelease_id = \"{}\"",
        "0".repeat(64)
    ))
    .expect("TOML");
    fixture.set("previous", vec![toml::Value::from(previous)]);
    fixture.context.earlier = vec![earlier(base, "1.0.0")];
    let log = format!(
        "# Changelog\n\n## {version}\n\nChanged.\n\n## 1.0.0\n\nThe first.\n\nCanary: {CANARY}\n"
    );
    fixture
        .texts
        .insert("CHANGELOG.md".into(), log.into_bytes());
    fixture
}

#[test]
fn r15_changelog() {
    let base = Fixture::new().subject();
    // Rows that changed and are not named.
    let mut fixture = after(&base, "2.0.0");
    for i in 0..ENOUGH {
        match i % 3 {
            0 => fixture.row(i)["sentence1"] = json!(format!("{i}번째 다른 문장이다.")),
            1 => {
                let score = fixture.row(i)["score"].as_f64().expect("a score");
                fixture.row(i)["score"] = json!(5.0 - score);
            }
            _ => fixture.row(i)["domain"] = json!("other"),
        }
    }
    let report = fixture.check();
    for i in 0..ENOUGH {
        found_row(&report, "R15", Level::Error, &fixture.id(i));
    }
    // With what `release bump` writes, it passes; without the scores of a submission, it does not.
    let difference =
        korfinsts_publish::release::difference(&base.splits, &fixture.subject().splits);
    let scores = (0..60).map(|i| (fixture.id(i), i as f64)).collect();
    fixture.context.submissions = vec![StoredScores {
        name: "model".into(),
        split: "test".into(),
        scores,
    }];
    let rescored = korfinsts_publish::release::rescore(
        &fixture.context.submissions,
        &base.splits,
        &fixture.subject().splits,
    );
    for (text, passes) in [
        (
            korfinsts_publish::release::section(&difference, &rescored),
            true,
        ),
        (korfinsts_publish::release::section(&difference, &[]), false),
    ] {
        let log = format!(
            "# Changelog\n\n## 2.0.0\n\n{text}\n## 1.0.0\n\nThe first.\nCanary: {CANARY}\n"
        );
        fixture
            .texts
            .insert("CHANGELOG.md".into(), log.into_bytes());
        let report = fixture.check();
        assert_eq!(
            gate(&report, "R15").errors == 0,
            passes,
            "{:#?}",
            report.findings
        );
    }
    for (log, message) in [
        ("# Changelog\n\n## 0.9.0\n\nx\n", "no heading `## 1.0.0`"),
        ("# Changelog\n\n## 1.0.0\n", "says nothing"),
        ("# Changelog\n\n## 1.0.01\nx\n", "no heading `## 1.0.0`"),
        ("# Changelog\n\n## 1.0.0\n\n## 0.9.0\nx\n", "says nothing"),
    ] {
        let mut fixture = Fixture::new();
        fixture.texts.insert("CHANGELOG.md".into(), log.into());
        found(&fixture.check(), "R15", message);
    }
    let mut fixture = Fixture::new();
    fixture.texts.remove("CHANGELOG.md");
    found(&fixture.check(), "R15", "there is no");
}

#[test]
fn r17_checksums_and_r18_loaders() {
    let fixture = Fixture::new();
    let clean = build(&fixture.subject()).expect("built").files;
    let mut planted = (0, 0);
    for (name, bytes) in clean
        .iter()
        .filter(|(n, _)| *n != "SHA256SUMS" && *n != "korfinsts.toml")
    {
        for at in [0, bytes.len() / 2] {
            let mut files = clean.clone();
            files.get_mut(name).expect("there")[at] ^= 0x10;
            let mut subject = Fixture::of(files, &fixture.context);
            subject.built = true;
            found(&check(&subject), "R17", "has sha256");
            planted.0 += 1;
        }
        let mut files = clean.clone();
        files.remove(name);
        let mut subject = Fixture::of(files, &fixture.context);
        subject.built = true;
        let report = check(&subject);
        found(&report, "R17", "is listed but not there");
        planted.0 += 1;
    }
    // What other tools would load differs from the rows.
    for i in 0..ENOUGH {
        let mut files = clean.clone();
        let mut other = fixture.clone();
        other.row(i)["sentence1"] = json!("다른 문장이다.");
        let wrong = build(&other.subject()).expect("built").files;
        files.insert(
            "data/test.parquet".into(),
            wrong["data/test.parquet"].clone(),
        );
        let mut subject = Fixture::of(files, &fixture.context);
        subject.built = true;
        found_row(&check(&subject), "R18", Level::Error, &fixture.id(i));
        planted.1 += 1;
    }
    for (from, to, message) in [
        ("data/test.jsonl", "data/none.jsonl", "which is not there"),
        (
            "\"column\": \"score\"",
            "\"column\": \"gold\"",
            "lacks the column `score`",
        ),
        (
            "\"@id\": \"train\"",
            "\"@id\": \"trian\"",
            "has no record set `train`",
        ),
    ] {
        let mut files = clean.clone();
        let text = String::from_utf8(files["croissant.json"].clone()).expect("UTF-8");
        assert!(text.contains(from), "{text}");
        files.insert("croissant.json".into(), text.replace(from, to).into_bytes());
        let mut subject = Fixture::of(files, &fixture.context);
        subject.built = true;
        found(&check(&subject), "R18", message);
    }
    assert!(planted.0 >= ENOUGH && planted.1 >= ENOUGH, "{planted:?}");
}

#[test]
fn r19_hidden_labels() {
    let hidden = |commitment: Option<&str>| {
        let mut fixture = Fixture::new();
        let mut split = toml::Table::from_iter([("hidden".to_owned(), true.into())]);
        if let Some(commitment) = commitment {
            split.insert("commitment".into(), commitment.into());
        }
        fixture.set("splits.test", split);
        for i in 0..60 {
            fixture
                .row(i)
                .as_object_mut()
                .expect("an object")
                .remove("score");
        }
        fixture
            .annotations
            .retain(|a| a["id"].as_str().is_some_and(|id| id.starts_with("train")));
        fixture
    };
    let good = "ab".repeat(32);
    let clean = hidden(Some(&good)).check();
    assert_eq!(gate(&clean, "R19").errors, 0, "{:#?}", clean.findings);
    found(&hidden(None).check(), "R19", "commits to none");
    for bad in ["", "x", "AB", &"AB".repeat(32), &"ab".repeat(31)] {
        found(&hidden(Some(bad)).check(), "R19", "is not 64");
    }
    let mut fixture = hidden(Some(&good));
    let keys = [
        "score",
        "label",
        "gold",
        "Target",
        "answer",
        "Score",
        "similarity",
        "y",
    ];
    for i in 0..ENOUGH {
        fixture.row(i)[keys[i % keys.len()]] = json!(3);
    }
    fixture
        .annotations
        .push(json!({"id": "test-050", "annotator": "kim", "label": 3}));
    let report = fixture.check();
    for i in (0..ENOUGH).chain([50]) {
        found_row(&report, "R19", Level::Error, &fixture.id(i));
    }
    let mut fixture = Fixture::new();
    fixture.set("splits.test.commitment", good.as_str());
    found(&fixture.check(), "R19", "are not hidden");
}

#[test]
fn r19_sealed_splits() {
    let sealed = |commitment: Option<&str>, file: bool| {
        let mut fixture = Fixture::new();
        let mut split = toml::Table::from_iter([("sealed".to_owned(), true.into())]);
        if let Some(commitment) = commitment {
            split.insert("commitment".into(), commitment.into());
        }
        fixture.set("splits.sealed", split);
        if file {
            fixture
                .texts
                .insert("data/sealed.jsonl".into(), b"{}\n".to_vec());
        }
        fixture
    };
    let good = "ab".repeat(32);
    let clean = sealed(Some(&good), false);
    let report = clean.check();
    assert!(report.passed, "{:#?}", report.findings);
    // The card says it, and no file of the split is made.
    let built = korfinsts_publish::release::build(&clean.subject()).expect("built");
    let card = String::from_utf8_lossy(&built.files["README.md"]);
    assert!(card.contains(&format!("| sealed | `{good}` |")), "{card}");
    assert!(!built.files.keys().any(|name| name.contains("sealed")));
    found(
        &sealed(None, false).check(),
        "R19",
        "is sealed, but commits to no rows",
    );
    found(&sealed(Some("x"), false).check(), "R19", "is not 64");
    found(
        &sealed(Some(&good), true).check(),
        "R19",
        "is sealed, but `data/sealed.jsonl` is there",
    );
}

#[test]
fn r20_datasheet() {
    let keys: Vec<String> = korfinsts_publish::release::QUESTIONS
        .keys()
        .cloned()
        .collect();
    assert!(keys.len() >= 2 * ENOUGH - 5, "{}", keys.len());
    let mut fixture = Fixture::new();
    for key in &keys[..ENOUGH] {
        fixture.manifest["datasheet"]
            .as_table_mut()
            .expect("a table")
            .remove(key);
    }
    let report = fixture.check();
    for key in &keys[..ENOUGH] {
        found(&report, "R20", &format!("does not answer `{key}`"));
    }
    let placeholders = [
        "TODO",
        "todo: later",
        "TBD",
        "tba",
        "FIXME",
        "XXX",
        "Lorem ipsum",
        "placeholder",
        "fill in",
        "to be written",
        "???",
        "<...>",
        "[...]",
        "...",
        "추후 작성",
        "미정",
        "작성 예정",
        "",
        " ",
        "-",
        "to be determined",
    ];
    for (i, text) in placeholders.iter().enumerate() {
        let mut fixture = Fixture::new();
        fixture.set(&format!("datasheet.{}", keys[i % keys.len()]), *text);
        let report = fixture.check();
        assert!(gate(&report, "R20").errors > 0, "{text}");
    }
    let mut fixture = Fixture::new();
    fixture.set("datasheet.favourite_colour", "blue");
    found(&fixture.check(), "R20", "which is no question");
    let mut fixture = Fixture::new();
    fixture.texts.remove("LABELS.md");
    found(&fixture.check(), "R20", "there is no `LABELS.md`");
}

#[test]
fn waivers_hold_for_a_reason_and_a_time() {
    for (waiver, today, passed, message) in [
        (
            "gate = \"R10\"\nreason = \"invented\"\nexpires = \"2026-03-01\"",
            "2026-02-03",
            true,
            "",
        ),
        (
            "gate = \"R10\"\nrow = \"test-004\"\nreason = \"invented\"\nexpires = \"2026-03-01\"",
            "2026-03-01",
            true,
            "",
        ),
        (
            "gate = \"R10\"\nrow = \"test-005\"\nreason = \"invented\"\nexpires = \"2026-03-01\"",
            "2026-02-03",
            false,
            "waives nothing",
        ),
        (
            "gate = \"R10\"\nreason = \"invented\"\nexpires = \"2026-03-01\"",
            "2026-03-02",
            false,
            "expired on 2026-03-01",
        ),
        (
            "gate = \"R10\"\nreason = \" \"\nexpires = \"2026-03-01\"",
            "2026-02-03",
            false,
            "gives no reason",
        ),
        (
            "gate = \"R22\"\nreason = \"x\"\nexpires = \"2026-03-01\"",
            "2026-02-03",
            false,
            "does not exist",
        ),
    ] {
        let mut fixture = Fixture::new();
        fixture.row(4)["sentence1"] = json!("연락은 010-1234-5678 로 한다.");
        let table: toml::Table = toml::from_str(waiver).expect("TOML");
        fixture.set("waiver", vec![toml::Value::from(table)]);
        fixture.context.today = today.parse().expect("a day");
        let report = fixture.check();
        assert_eq!(report.passed, passed, "{waiver}: {:#?}", report.findings);
        assert!(
            message.is_empty() || report.findings.iter().any(|f| f.message.contains(message)),
            "{waiver}: {:#?}",
            report.findings
        );
        assert_eq!(report.waived.len(), usize::from(passed), "{waiver}");
        assert_eq!(build(&fixture.subject()).is_ok(), passed, "{waiver}");
    }
}

#[test]
fn r21_probes_that_do_not_read() {
    let binary = |leak: bool| {
        let mut fixture = Fixture::new();
        let scale: toml::Table = toml::from_str("kind = 'binary'\nmin = 0\nmax = 1").expect("TOML");
        fixture.set("scale", scale);
        for (at, row) in fixture.splits.iter_mut().flat_map(|s| &mut s.1).enumerate() {
            row["score"] = json!(f64::from(u8::from(at % 4 < 2)));
            if leak && at % 4 < 2 {
                let text = row["sentence2"].as_str().expect("a text");
                row["sentence2"] = format!("{text} 사실로 확인됐다.").into();
            }
        }
        fixture
    };
    let probe = |text: &str| toml::from_str::<toml::Table>(text).expect("TOML");
    // A release that does not ask has no such gate, so its report stays as it was.
    let report = binary(true).check();
    assert!(report.gates.iter().all(|g| g.gate != "R21"));
    // Without a limit the figures are reported alone.
    let mut fixture = binary(true);
    fixture.set("probe", probe(""));
    let report = fixture.check();
    assert_eq!(gate(&report, "R21").errors, 0);
    let said = |report: &Report, what: &str| {
        let facts = report.facts.iter().filter(|f| f.gate == "R21");
        facts.filter(|f| f.text.contains(what)).count()
    };
    assert_eq!(
        said(
            &report,
            "kor-Hang: second text alone, words: AUC 1.000 [1.000, 1.000]"
        ),
        1
    );
    assert_eq!(said(&report, "over 132 pairs of 132 clusters"), 4);
    fixture.set("probe", probe("limit = 0.6"));
    found(
        &fixture.check(),
        "R21",
        "a shortcut: kor-Hang: second text alone, words: AUC 1.000, allowed is 0.6",
    );
    // Without the leak nothing is seen.
    let mut fixture = binary(false);
    fixture.set("probe", probe("limit = 0.75"));
    assert_eq!(gate(&fixture.check(), "R21").errors, 0);
    // Gold that is not binary cannot be probed, which a limit does not hide.
    let mut fixture = Fixture::new();
    fixture.set("probe", probe("limit = 0.6"));
    found(
        &fixture.check(),
        "R21",
        "no probe could be run: gold is not binary",
    );
}
