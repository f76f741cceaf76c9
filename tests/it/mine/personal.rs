//! `mine filter --personal`: what is masked, dropped or kept, in one run and in shards.

use serde_json::Value;

use super::super::support::Home;
use super::tokenizer;
use super::writer::read;

/// A corpus of three texts: numbers and an address, a name and a number, neither.
fn corpus(home: &Home) {
    let base = "가람전자는 3분기 매출이 늘었다고 밝혔다. 증권가에서는 반도체 업황이 회복되면서 실적이 개선될 것으로 전망한다.";
    let texts = [
        format!("{base} 담당자 연락처는 010-1234-5678이고 전자우편은 a.b@c.co.kr이다."),
        format!("{base} 대표이사 홍길동은 주민등록번호 900101-1234568을 적었다."),
        format!("{base} 시장에서는 내년 수요가 늘어날 것으로 본다."),
    ];
    let lines: String = texts
        .iter()
        .map(|text| serde_json::json!({ "text": text }).to_string() + "\n")
        .collect();
    std::fs::write(home.path("texts.jsonl"), lines).expect("written");
    std::fs::write(
        home.path("corpus.toml"),
        "id = \"own\"\nname = \"Own\"\nlanguage = \"kor-Hang\"\nsource = \"news\"\nlicence = \"CC-BY-4.0\"\nfiles = [\"texts.jsonl\"]\n[columns]\ntext = [\"text\"]\n",
    )
    .expect("written");
}

fn filter(home: &Home, run: &str, more: &[&str]) {
    let tokenizer = tokenizer(home);
    let mut arguments = vec![
        "mine",
        "filter",
        "--dir",
        run,
        "--corpus",
        "corpus.toml",
        "--tokenizer",
        tokenizer.to_str().expect("UTF-8"),
        "--min-tokens",
        "10",
        "--near",
        "1",
    ];
    arguments.extend(more);
    home.command(&arguments).assert().success();
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

#[test]
fn personal_data_is_masked_or_its_document_dropped_with_reason_and_count() {
    let home = Home::new();
    corpus(&home);
    filter(&home, "mask", &[]);
    let run = home.path("mask");
    let masked = read(&run, "passages.jsonl");
    for (there, gone) in [
        ("000-0000-0000", "010-1234-5678"),
        ("x.x@x.xx.xx", "a.b@c"),
        ("대표이사 홍○○은", "홍길동"),
        ("000000-0000000", "900101"),
    ] {
        assert!(masked.contains(there) && !masked.contains(gone), "{masked}");
    }
    for document in lines(&masked) {
        let text = document["text"].as_str().expect("a text");
        assert_eq!(document["id"], korfinsts_mine::document_id(text));
    }
    let verdicts = lines(&read(&run, "verdicts/personal.jsonl"));
    assert_eq!(verdicts.len(), 2);
    assert_eq!(verdicts[0]["verdict"], "mask");
    assert_eq!(verdicts[0]["metrics"]["phone-number"], 1.0);
    let report = home
        .command(&["mine", "report", "--dir", "mask"])
        .assert()
        .success();
    let report = String::from_utf8(report.get_output().stdout.clone()).expect("UTF-8");
    assert!(report.contains("resident-number: masked"), "{report}");

    // The same work in shards gives the same bytes.
    for shard in ["1/2", "2/2"] {
        filter(&home, "shards", &["--shard", shard]);
    }
    home.command(&["mine", "filter", "--dir", "shards", "--join"])
        .assert()
        .success();
    assert_eq!(read(&home.path("shards"), "passages.jsonl"), masked);
    assert_eq!(
        read(&home.path("shards"), "filter.json"),
        read(&run, "filter.json")
    );

    filter(&home, "drop", &["--personal", "drop"]);
    assert_eq!(lines(&read(&home.path("drop"), "passages.jsonl")).len(), 1);
    let dropped = lines(&read(&home.path("drop"), "verdicts/personal.jsonl"));
    assert_eq!(dropped[1]["reason"], "name-with-title");
    filter(&home, "keep", &["--personal", "keep"]);
    assert!(read(&home.path("keep"), "passages.jsonl").contains("010-1234-5678"));
}
