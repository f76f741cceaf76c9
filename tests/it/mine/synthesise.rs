//! `mine synthesise` with a server: what is kept, what is dropped and why, a run that goes on.

use predicates::prelude::*;
use serde_json::{Value, json};

use super::super::server::Answer;
use super::super::support::Home;
use super::writer::{Question, Writer, completion, read, write_passages};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

/// A filing that says what the passage says; the passages of [`write_passages`] end in a plain past.
fn filing(question: &Question) -> String {
    question.texts()[0].replace("의결할 예정이라고 밝혔다", "의결할 예정입니다")
}

/// Writes well, but for one passage in five ways.
fn writes(question: &Question) -> Option<Answer> {
    if question.step != "synthesis" {
        return None;
    }
    let text = filing(question);
    let text = match text
        .split("이사회는 제")
        .nth(1)
        .and_then(|t| t.chars().next())
    {
        Some('1') => text.replace("억원", "억원 이상 5년간"),
        Some('2') => text.replace("억원 규모의 ", "억원과 제9999호 "),
        Some('3') => text
            .replace("전자", "물산")
            .replace("통신", "물산")
            .replace("화학", "물산")
            .replace("중공업", "물산")
            .replace("제약", "물산"),
        Some('4') => text.replace("예정입니다", "예정이다"),
        _ => text,
    };
    Some(completion(
        &json!({"possible": true, "text": text}).to_string(),
        "stop",
    ))
}

fn command(home: &Home, writer: &Writer, more: &[&str]) -> assert_cmd::Command {
    let model = writer.model("writer");
    let mut arguments = vec![
        "mine",
        "synthesise",
        "--dir",
        "run",
        "--generator",
        &model,
        "--retries",
        "2",
    ];
    arguments.extend(more);
    let mut command = home.command(&arguments);
    command
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("KORFINSTS_API_KEY");
    command
}

/// Passages of news: those of the writer's with another source.
fn news(home: &Home, count: usize) {
    let run = home.path("run");
    write_passages(&run, count);
    let text =
        read(&run, "passages.jsonl").replace("\"source\":\"disclosure\"", "\"source\":\"news\"");
    std::fs::write(run.join("passages.jsonl"), text).expect("written");
}

#[test]
fn rewrites_that_keep_figures_and_names_are_kept_and_others_have_a_reason() {
    let home = Home::new();
    news(&home, 40);
    let run = home.path("run");
    let writer = Writer::new(writes);
    command(&home, &writer, &["--sheet", "3"])
        .assert()
        .success()
        .stdout(predicate::str::contains("dropped: figure-invented"));
    let kept = lines(&read(&run, "synthetic.jsonl"));
    let sources = lines(&read(&run, "passages.jsonl"));
    assert!(!kept.is_empty());
    for row in &kept {
        assert_eq!(
            (&row["source"], &row["corpus"]),
            (&json!("disclosure"), &json!("test-synthetic"))
        );
        assert!(
            row["text"]
                .as_str()
                .is_some_and(|t| t.ends_with("예정입니다."))
        );
        assert!(sources.iter().any(|s| s["id"] == row["origin"]));
    }
    let found: Value = serde_json::from_str(&read(&run, "synthesis.json")).expect("JSON");
    let dropped = found["dropped"].as_object().expect("reasons");
    // 제1호, 제10호 … 제19호: a term invented; 제2호 …: a number; 제3호 …: another name; 제4호: a plain form.
    assert_eq!(dropped["figure-invented"], 22);
    assert_eq!(dropped["name-lost"], 11);
    assert_eq!(dropped["another-form"], 1);
    assert_eq!(found["kept"], kept.len());
    assert_eq!(kept.len() + 34, 40);
    let verdicts = lines(&read(&run, "verdicts/synthesis.jsonl"));
    assert_eq!(verdicts.len(), 40);
    assert!(
        verdicts
            .iter()
            .all(|v| (v["verdict"] == "drop") == v["reason"].is_string())
    );
    let sheet = read(&run, "audit/synthesis.csv");
    assert!(sheet.starts_with("id,language,source,text,rewrite,faithful,form,comment"));
    assert_eq!(sheet.lines().count(), 4);
    // Nothing is asked a second time; a sheet that may hold answers stays.
    std::fs::write(run.join("audit/synthesis.csv"), "filled").expect("written");
    let before = writer.requests();
    command(&home, &writer, &[]).assert().success();
    assert_eq!(writer.requests(), before);
    assert_eq!(lines(&read(&run, "synthetic.jsonl")), kept);
    assert_eq!(read(&run, "audit/synthesis.csv"), "filled");
}

#[test]
fn a_run_that_met_a_dead_server_goes_on_and_a_locked_folder_is_refused() {
    let home = Home::new();
    news(&home, 12);
    let run = home.path("run");
    let failing = Writer::new(|q: &Question| {
        (q.before == 0 && q.id.as_bytes()[0].is_multiple_of(2)).then(|| Answer::status(400))
    });
    let _ = command(&home, &failing, &["--concurrency", "1"]).assert();
    let writer = Writer::new(writes);
    command(&home, &writer, &[]).assert().success();
    let found: Value = serde_json::from_str(&read(&run, "synthesis.json")).expect("JSON");
    assert_eq!(found["waiting"], 0);
    let lock = korfinsts_base::fs::FolderLock::acquire(&run).expect("free");
    command(&home, &writer, &[])
        .assert()
        .failure()
        .stderr(predicate::str::contains("run"));
    drop(lock);
    home.command(&["mine", "synthesise", "--dir", "run", "--generator", "rules"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("writes no disclosures"))
        .stderr(predicate::str::contains("--generator chat:ENDPOINT:MODEL"));
}
