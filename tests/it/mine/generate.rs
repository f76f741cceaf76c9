//! `mine generate` with a server that is slow, wrong, truncates, refuses, rate-limits and dies;
//! batches and replays.

use std::path::Path;
use std::time::Duration;

use predicates::prelude::*;
use serde_json::{Value, json};

use super::super::server::Answer;
use super::super::support::Home;
use super::writer::{Question, Writer, completion, generate, generation, read, write_passages};

fn rows(run: &Path) -> Vec<Value> {
    read(run, "triplets.jsonl")
        .lines()
        .map(|l| serde_json::from_str(l).expect("a row"))
        .collect()
}

/// A fault that passes, by the question's own digits: each question meets at most one.
fn passing(question: &Question) -> Option<Answer> {
    if question.before > 0 {
        return None;
    }
    let whole = question.answer().to_string();
    match question.id.as_bytes()[1] % 11 {
        0 => Some(Answer::status(429).with("retry-after", "0")),
        1 => Some(Answer::status(503)),
        2 => Some(Answer {
            cut_after: Some(40),
            ..completion(&whole, "stop")
        }),
        3 => Some(Answer {
            hang_up: true,
            ..Answer::default()
        }),
        4 => Some(Answer {
            delay: Duration::from_millis(150),
            ..completion(&whole, "length")
        }),
        5 => Some(completion("I'm sorry, I can't do that.", "stop")),
        6 => Some(completion(
            &whole.replacen(':', ": null, \"x\":", 1),
            "stop",
        )),
        7 => Some(Answer::status(200).body(b"<html>gateway</html>")),
        _ => None,
    }
}

#[test]
fn a_server_that_fails_in_every_way_gives_the_triplets_of_one_that_does_not() {
    let home = Home::new();
    let (good, bad) = (home.path("good"), home.path("bad"));
    for run in [&good, &bad] {
        write_passages(run, 40);
    }
    let well = Writer::new(|_| None);
    generate(&home, &good, &well, &[]).assert().success();
    let failing = Writer::new(passing);
    generate(&home, &bad, &failing, &[]).assert().success();
    assert_eq!(read(&good, "triplets.jsonl"), read(&bad, "triplets.jsonl"));
    assert_eq!(rows(&good).len(), 40);
    let log = failing.log.lock().expect("no test thread panicked");
    let faults = log.order.len() - log.asked.len();
    assert!(faults > 60, "only {faults} faults were met");
    // What was understood is kept once; what was not is noted as paid for.
    assert!(log.answered.values().all(|n| *n == 1));
    drop(log);
    let cost = &generation(&bad)["cost"];
    assert!(cost["wasted"].as_u64() > Some(10), "{cost}");
    assert_eq!(generation(&good)["cost"]["wasted"], 0);
    // Nothing is asked a second time, and the bytes are the same.
    let before = failing.requests();
    generate(&home, &bad, &failing, &[]).assert().success();
    assert_eq!(failing.requests(), before);
    assert_eq!(read(&good, "triplets.jsonl"), read(&bad, "triplets.jsonl"));
}

#[test]
fn what_is_never_understood_is_unscored_and_a_refusal_is_a_verdict() {
    let home = Home::new();
    let run = home.path("run");
    write_passages(&run, 40);
    let writer = Writer::new(|question| {
        let about = |numbers: [usize; 3]| {
            numbers
                .iter()
                .any(|n| question.prompt.contains(&format!("제{n}호")))
        };
        match question.step.as_str() {
            // A number instead of sub-scores and evidence.
            "judge" if about([1, 2, 3]) => Some(completion("9", "stop")),
            "negative" if about([5, 6, 7]) => Some(Answer::json(&json!({
                "choices": [{"message": {"content": null, "refusal": "no"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 3},
            }))),
            "axis" if about([10, 11, 12]) => Some(completion(r#"{"variants":[]}"#, "stop")),
            _ => None,
        }
    });
    generate(&home, &run, &writer, &[]).assert().success();
    assert_eq!(rows(&run).len(), 31);
    let found = generation(&run);
    let dropped = |step: &str| {
        found["steps"]
            .as_array()
            .expect("steps")
            .iter()
            .find(|s| s["step"] == step)
            .expect("a step")["dropped"]
            .clone()
    };
    assert_eq!(dropped("axis"), json!({"no variant applies": 3}));
    assert_eq!(dropped("negative"), json!({"refused": 3}));
    assert_eq!(dropped("negative-judge"), json!({"unscored": 3}));
    let judge = &found["judges"][0];
    assert_eq!(
        (&judge["kind"], &judge["unscored"]),
        (&json!("negative"), &json!(3))
    );
    let counted: u64 = judge["histogram"]
        .as_array()
        .expect("a histogram")
        .iter()
        .map(|n| n.as_u64().expect("a count"))
        .sum();
    assert_eq!(counted, 31, "an unscored pair has no score: {judge}");
    // Failures are not kept: the next run asks those questions again, and only those.
    let before = writer.requests();
    generate(&home, &run, &writer, &[]).assert().success();
    let log = writer.log.lock().expect("no test thread panicked");
    let again: std::collections::HashSet<&String> = log.order[before..].iter().collect();
    assert!(again.iter().all(|q| !log.answered.contains_key(*q)));
    assert_eq!(again.len(), 6, "three judgements and three negatives");
}

#[test]
fn a_server_that_is_gone_ends_the_run_and_what_it_said_stays() {
    let home = Home::new();
    let run = home.path("run");
    write_passages(&run, 12);
    let gone = std::sync::atomic::AtomicUsize::new(0);
    let writer = Writer::new(move |_| {
        let count = gone.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (40..90).contains(&count).then(|| Answer {
            hang_up: true,
            ..Answer::default()
        })
    });
    let failing = generate(
        &home,
        &run,
        &writer,
        &["--concurrency", "1", "--retries", "1"],
    )
    .assert()
    .code(5)
    .stderr(predicate::str::contains("no answer"));
    drop(failing);
    let found = generation(&run);
    assert_eq!(found["status"], "stopped");
    let kept = found["cost"]["answers"].as_object().expect("answers");
    let kept: u64 = kept.values().filter_map(Value::as_u64).sum();
    assert_eq!(kept, 40);
    // When it is back, the run goes on.
    while writer.requests() < 90 {
        generate(
            &home,
            &run,
            &writer,
            &["--concurrency", "1", "--retries", "1"],
        )
        .assert()
        .failure();
    }
    generate(&home, &run, &writer, &["--concurrency", "1"])
        .assert()
        .code(predicate::in_iter([0, 1]));
    assert_eq!(generation(&run)["status"], "complete");
    let log = writer.log.lock().expect("no test thread panicked");
    assert!(
        log.answered.values().all(|n| *n == 1),
        "nothing is paid for twice"
    );
}

#[test]
fn a_refused_key_ends_the_run_at_once_and_stands_nowhere() {
    const KEY: &str = "sk-mine-5e1f9a";
    let home = Home::new();
    let run = home.path("run");
    write_passages(&run, 5);
    let writer = Writer::new(|_| {
        Some(
            Answer::status(401)
                .body(format!("{{\"error\":{{\"message\":\"bad key {KEY}\"}}}}").as_bytes()),
        )
    });
    let output = generate(&home, &run, &writer, &["--concurrency", "1"])
        .env("KORFINSTS_API_KEY", KEY)
        .assert()
        .code(5)
        .stderr(predicate::str::contains(
            "the key in `KORFINSTS_API_KEY` was sent",
        ))
        .get_output()
        .clone();
    assert_eq!(writer.requests(), 1);
    let seen = writer.server.seen();
    assert_eq!(
        seen[0].authorization.as_deref(),
        Some(format!("Bearer {KEY}").as_str())
    );
    let said = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8_lossy(&said).contains(KEY));
    for file in std::fs::read_dir(&run).expect("listed") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("read");
        assert!(!bytes.windows(KEY.len()).any(|w| w == KEY.as_bytes()));
    }
}

#[test]
fn money_is_counted_over_runs_and_never_exceeded() {
    let home = Home::new();
    let run = home.path("run");
    write_passages(&run, 30);
    let writer = Writer::new(|_| None);
    let prices = ["--price-generator", "10,30", "--price-judge", "10,30"];
    let with = |most: &str| {
        let mut more = prices.to_vec();
        more.extend(["--max-cost", most]);
        generate(&home, &run, &writer, &more)
    };
    // 100 tokens at $10 and 20 at $30 a million: $0.0016 an answer.
    with("0.2")
        .assert()
        .success()
        .stdout(predicate::str::contains("stopped: --max-cost"));
    let found = generation(&run);
    let spent = found["cost"]["dollars"].as_f64().expect("dollars");
    assert!(spent > 0.05 && spent <= 0.2, "{spent}");
    assert_eq!(found["status"], "stopped");
    let asked = writer.requests();
    assert!((spent - 0.0016 * asked as f64).abs() < 1e-9);
    // The same again begins nothing, or little: the money is gone.
    with("0.2").assert().success();
    let again = generation(&run)["cost"]["dollars"]
        .as_f64()
        .expect("dollars");
    assert!(again <= 0.2, "{again}");
    with("5").assert().success();
    assert_eq!(generation(&run)["status"], "complete");
    assert_eq!(writer.requests(), 210, "no answer was paid for twice");
    // Without a price nobody can keep the promise.
    generate(&home, &run, &writer, &["--max-cost", "1"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("needs a price"));
}

#[test]
fn a_dry_run_asks_nothing_and_estimates_from_above() {
    let home = Home::new();
    let run = home.path("run");
    write_passages(&run, 10);
    let writer = Writer::new(|_| None);
    let more = [
        "--price-generator",
        "10,30",
        "--price-judge",
        "10,30",
        "--dry-run",
        "--json",
    ];
    let output = generate(&home, &run, &writer, &more)
        .assert()
        .success()
        .get_output()
        .clone();
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(writer.requests(), 0);
    assert_eq!(
        found["calls"],
        json!({"axis": 10, "judge": 40, "negative": 10, "positive": 10})
    );
    assert!(!run.join("state.sqlite").exists() && !run.join("triplets.jsonl").exists());
    generate(&home, &run, &writer, &[])
        .assert()
        .code(predicate::in_iter([0, 1]));
    assert_eq!(
        writer.requests(),
        70,
        "the estimate is reached where everything passes"
    );
}

#[test]
fn a_judge_is_never_the_model_that_wrote() {
    let home = Home::new();
    let run = home.path("run");
    write_passages(&run, 2);
    for (generator, judge) in [
        (
            "chat:http://127.0.0.1:9/v1#gpt-4o",
            "chat:http://127.0.0.1:9/v1#gpt-4o",
        ),
        (
            "chat:http://127.0.0.1:9/v1#gpt-4o",
            "chat:http://127.0.0.1:8/v1#openai/gpt-4o-2024-08-06",
        ),
        ("batch:gpt-4o", "chat:http://127.0.0.1:9/v1#gpt-4o"),
    ] {
        home.command(&[
            "mine",
            "generate",
            "--dir",
            "run",
            "--generator",
            generator,
            "--judge",
            judge,
        ])
        .env_remove("HF_HUB_OFFLINE")
        .assert()
        .code(2)
        .stderr(predicate::str::contains("the same model"));
    }
    assert!(!run.join("state.sqlite").exists());
}

#[test]
fn wrong_usage_and_wrong_passages_say_where() {
    let home = Home::new();
    let run = home.path("run");
    let generate = |more: &[&str]| {
        let mut arguments = vec!["mine", "generate", "--dir", "run"];
        arguments.extend(more);
        home.command(&arguments)
    };
    generate(&[])
        .assert()
        .code(3)
        .stderr(predicate::str::contains(
            "passages.jsonl: there is no such file",
        ));
    write_passages(&run, 2);
    for (flags, reason) in [
        (["--generator", "rule"], "`rule` is no generator"),
        (["--judge", "chat"], "`chat` is no judge"),
        (["--judge", "rules:x"], "allowed are `rules`"),
        (
            ["--generator", "chat:http://127.0.0.1:9/v1"],
            "names no model",
        ),
        (["--typology", "ja-en"], "no typology `ja-en` ships"),
        (["--min-calibration", "2"], "give a share from 0 to 1"),
    ] {
        generate(&flags)
            .assert()
            .code(2)
            .stderr(predicate::str::contains(reason));
    }
    let good = read(&run, "passages.jsonl");
    for (text, reason) in [
        (
            good.replacen("\"text\"", "\"txt\"", 1),
            "passages.jsonl:1: unknown field `txt`",
        ),
        (format!("{good}{{"), "passages.jsonl:3: EOF"),
        (format!("{good}{good}"), "passages.jsonl:3: the document `"),
    ] {
        std::fs::write(run.join("passages.jsonl"), text).expect("written");
        generate(&[])
            .assert()
            .code(3)
            .stderr(predicate::str::contains(reason));
    }
    std::fs::write(run.join("passages.jsonl"), &good).expect("written");
    std::fs::write(
        run.join("state.sqlite"),
        "no database, whatever its name says",
    )
    .expect("written");
    generate(&[])
        .assert()
        .code(6)
        .stderr(predicate::str::contains("state.sqlite"));
}

/// The output file of a batch service for a request file; of every `expires`th line the error.
fn serve_batch(requests: &str, expires: usize) -> (String, usize) {
    let mut output = String::new();
    let mut finished = 0;
    for (at, line) in requests.lines().enumerate() {
        let request: Value = serde_json::from_str(line).expect("a request");
        assert_eq!(request["url"], "/v1/chat/completions");
        let result = if expires > 0 && at % expires == 0 {
            json!({"custom_id": request["custom_id"], "response": null, "error": {"code": "batch_expired", "message": "expired"}})
        } else {
            finished += 1;
            let body = &request["body"];
            let seen = super::super::server::Seen {
                method: "POST".into(),
                path: "/v1/chat/completions".into(),
                range: None,
                authorization: None,
                body: body.to_string().into_bytes(),
            };
            let said = super::writer::answer_to(&seen).to_string();
            json!({"custom_id": request["custom_id"], "error": null, "response": {"status_code": 200, "body": {
                "choices": [{"message": {"content": said}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 20},
            }}})
        };
        output.push_str(&result.to_string());
        output.push('\n');
    }
    (output, finished)
}

#[test]
fn batches_end_with_the_triplets_of_a_server_and_an_expired_one_keeps_its_lines() {
    let home = Home::new();
    let (run, chat) = (home.path("run"), home.path("chat"));
    for run in [&run, &chat] {
        write_passages(run, 24);
    }
    let writer = Writer::new(|_| None);
    generate(&home, &chat, &writer, &[]).assert().success();
    let with = |results: &[String]| {
        let mut arguments = vec![
            "mine",
            "generate",
            "--dir",
            "run",
            "--generator",
            "batch:writer",
            "--judge",
            "batch:judge",
            "--variants",
            "1",
            "--calibration",
            "0",
        ];
        if !results.is_empty() {
            arguments.push("--batch-results");
            arguments.extend(results.iter().map(String::as_str));
        }
        home.command(&arguments)
    };
    let mut results: Vec<String> = Vec::new();
    let (mut rounds, mut served) = (0, 0);
    loop {
        with(&results).assert().success();
        results.clear();
        let mut waiting = 0;
        for role in ["generator", "judge"] {
            let path = run.join(format!("batch-{role}.jsonl"));
            let Ok(requests) = std::fs::read_to_string(&path) else {
                continue;
            };
            waiting += requests.lines().count();
            // The first batches expire with a third of their lines undone.
            let (output, finished) = serve_batch(&requests, if rounds < 4 { 3 } else { 0 });
            served += finished;
            let file = home.path(&format!("out-{rounds}-{role}.jsonl"));
            // A download that broke off in its last line.
            let torn = if rounds == 0 {
                format!("{output}{{\"custom")
            } else {
                output
            };
            std::fs::write(&file, torn).expect("written");
            results.push(file.to_str().expect("UTF-8").to_owned());
        }
        if waiting == 0 {
            break;
        }
        assert_eq!(generation(&run)["status"], "waiting");
        rounds += 1;
        assert!(rounds < 30, "it never ends");
    }
    assert_eq!(generation(&run)["status"], "complete");
    assert_eq!(served, 7 * 24, "no line was asked for twice");
    assert_eq!(read(&run, "triplets.jsonl"), read(&chat, "triplets.jsonl"));
}

#[test]
fn a_recorded_run_comes_again_without_a_server() {
    let home = Home::new();
    let (run, again) = (home.path("run"), home.path("again"));
    for run in [&run, &again] {
        write_passages(run, 24);
    }
    {
        let writer = Writer::new(|_| None);
        let record = home.path("calls.jsonl");
        generate(
            &home,
            &run,
            &writer,
            &["--record", record.to_str().expect("UTF-8")],
        )
        .assert()
        .success();
    }
    for file in ["calls.jsonl", "run/state.sqlite"] {
        let source = format!("replay:{file}");
        home.command(&[
            "mine",
            "generate",
            "--dir",
            "again",
            "--generator",
            &source,
            "--judge",
            &source,
            "--variants",
            "1",
            "--calibration",
            "0",
        ])
        .assert()
        .success();
        assert_eq!(read(&run, "triplets.jsonl"), read(&again, "triplets.jsonl"));
        std::fs::remove_file(again.join("triplets.jsonl")).expect("removed");
    }
    // What was not recorded is not made up.
    write_passages(&again, 26);
    home.command(&[
        "mine",
        "generate",
        "--dir",
        "again",
        "--generator",
        "replay:calls.jsonl",
        "--judge",
        "replay:calls.jsonl",
        "--variants",
        "1",
        "--calibration",
        "0",
    ])
    .assert()
    .success()
    .stdout(predicate::str::contains("stopped"));
    assert_eq!(rows(&again).len(), 24);
}

#[test]
fn a_judge_that_is_wrong_about_what_is_known_ends_the_run_before_it_begins() {
    let home = Home::new();
    let run = home.path("run");
    write_passages(&run, 6);
    // It keeps everything, positives as negatives too.
    let writer = Writer::new(|_| None);
    generate(&home, &run, &writer, &["--calibration", "10"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains(
            "is right on 50.0 % of what is known",
        ));
    let found = generation(&run);
    assert_eq!(found["calibration"]["triples"], 10);
    assert_eq!(found["calibration"]["positives_refused_as_negatives"], 0.0);
    assert_eq!(found["calibration"]["negatives_kept"], 1.0);
    assert_eq!(rows(&run).len(), 0);
    assert_eq!(
        writer.requests(),
        80,
        "ten triples, four pairs, two orders, and no document"
    );
}

#[test]
fn translations_of_text_and_negative_are_a_triplet_of_their_own() {
    let home = Home::new();
    let run = home.path("run");
    write_passages(&run, 24);
    let writer = Writer::new(|_| None);
    generate(&home, &run, &writer, &["--translate"])
        .assert()
        .code(predicate::in_iter([0, 1]));
    assert_eq!(writer.requests(), 24 * 13);
    let rows = rows(&run);
    let of = |origin: &str| rows.iter().filter(|r| r["origin"] == origin).count();
    assert_eq!((of("document"), of("translation")), (24, 24));
    for row in rows.iter().filter(|r| r["origin"] == "translation") {
        assert_eq!(
            (&row["language"], &row["other_language"], &row["edits"]),
            (&json!("kor-Hang"), &json!("eng-Latn"), &json!([]))
        );
        assert_ne!(row["positive"], row["negative"]);
    }
    let found = generation(&run);
    assert_eq!(found["judges"][2]["kind"], "translation");
    assert_eq!(found["judges"][2]["accepted"], 48);
}
