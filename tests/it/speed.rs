//! Speed and memory in records: shown apart from scores, compared on one machine only, and nowhere where nobody asked.

use korfinsts_bench::run::record::Record;
use korfinsts_bench::run::speed::{Speed, Workload};
use korfinsts_encoder::machine::Machine;
use predicates::prelude::*;
use serde_json::Value;

use super::compare::{keep, pair, record};
use super::support::Home;

/// What a model did on a machine: rounds of 100 texts.
fn speed(cpu: &str, seconds: [f64; 7]) -> Speed {
    let mut sorted = seconds;
    sorted.sort_by(f64::total_cmp);
    let rate = |seconds: f64| 100.0 / seconds;
    Speed {
        machine: Machine {
            cpu: cpu.into(),
            cores: 2,
            instructions: "avx2".into(),
            gpu: None,
            system: "linux x86_64".into(),
        },
        device: "cpu".into(),
        lanes: 2,
        batch_tokens: 512,
        load_s: Some(0.25),
        peak_memory_bytes: Some(150_000_000),
        matrix_peak: Some(1e11),
        workloads: vec![Workload {
            language: "ko".into(),
            length: "short".into(),
            sha256: "ab".repeat(32),
            tokens_per_text: 30.0,
            texts_per_round: 100,
            rounds_s: seconds.to_vec(),
            texts_per_s: rate(sorted[3]),
            interval: Some([rate(sorted[6]), rate(sorted[0])]),
            tokens_per_s: 30.0 * rate(sorted[3]),
            operations_per_text: Some(1e8),
            share_of_peak: Some(rate(sorted[3]) * 1e8 / 1e11),
        }],
    }
}

/// A home with records of `a`, `b` and `c`: the first two on one machine, `b` at half the speed.
fn home() -> Home {
    let home = Home::new();
    let of = [
        (
            "a",
            speed("Fast CPU", [0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 0.625]),
        ),
        ("b", speed("Fast CPU", [1.0; 7])),
        ("c", speed("Slow CPU", [1.0; 7])),
    ];
    for (at, (name, speed)) in of.into_iter().enumerate() {
        let pairs: Vec<_> = (0..30)
            .map(|i| pair(i, (i % 5) as f64, ((i * (3 + at)) % 7) as f64 / 7.0))
            .collect();
        let mut record = record(name, "own", "interval", &pairs);
        record.speed = Some(Box::new(speed));
        keep(&home.results(), record, &pairs);
    }
    home
}

#[test]
fn the_table_names_the_machine_and_csv_holds_every_figure() {
    let home = home();
    let results = home.results();
    let path = results.to_str().expect("a path");
    let only = |name: &str| {
        let found = std::fs::read_dir(&results).expect("a folder").flatten();
        let mut found = found.filter(|e| e.file_name().to_string_lossy().starts_with(name));
        found.next().expect("a record").path().display().to_string()
    };
    let shown = home.command(&["record", "show", &only("a-"), "--wide"]);
    shown.with_stdout_containing(&[
        "Speed: 2 batches at a time on Fast CPU, 2 cores, avx2",
        "200±22.5 %",
        "6000",
        "20 %",
        "0.25",
        "150",
    ]);
    let both = home.command(&["record", "show", path]);
    both.with_stdout_containing(&[
        "figures of different machines are not comparable",
        "Slow CPU",
    ]);
    let csv = home.command(&["record", "show", &only("a-"), "--format", "csv"]);
    csv.with_stdout_containing(&[
        ",ko short,100,texts_per_s,200,160,250",
        ",ko short,100,tokens_per_s,6000,,",
        ",,0,peak_memory_bytes,150000000,,",
        ",,0,load_s,0.25,,",
    ]);
    let json = home.command(&["record", "show", path, "--format", "json"]);
    let output = json.with_stdout_containing(&[]);
    let found: Value = serde_json::from_slice(&output).expect("JSON");
    assert_eq!(found[0]["speed"]["workloads"][0]["rounds_s"][0], 0.5);
}

#[test]
fn two_models_are_compared_on_one_machine_only() {
    let home = home();
    let one = home.command(&["compare", "a", "b"]);
    one.with_stdout_containing(&["ko short", "2.00", "[1.60, 2.50]", "memory (MB)"]);
    let json = home.command(&["compare", "a", "b", "--format", "json"]);
    let found: Value = serde_json::from_slice(&json.with_stdout_containing(&[])).expect("JSON");
    assert_eq!(found["speed"]["ratios"][0]["ratio"], 2.0);
    let mut other = home.command(&["compare", "a", "c"]);
    other
        .assert()
        .success()
        .stdout(predicate::str::contains("ko short").not())
        .stderr(predicate::str::contains(
            "warning: the speeds are not compared: A was measured on Fast CPU, 2 cores, avx2, 2 at a time, B on Slow CPU",
        ));
}

#[test]
fn a_time_below_zero_is_no_record_of_the_leaderboard() {
    let home = home();
    let mut wrong = speed("Fast CPU", [1.0; 7]);
    wrong.workloads[0].rounds_s[2] = -1.0;
    let pairs: Vec<_> = (0..10).map(|i| pair(i, i as f64, i as f64)).collect();
    let mut record: Record = record("d", "own", "interval", &pairs);
    record.speed = Some(Box::new(wrong));
    keep(&home.results(), record, &pairs);
    let mut compared = home.command(&["compare", "a", "d"]);
    compared.assert().failure().stderr(predicate::str::contains(
        "`speed`: found a time, rate or share of -1",
    ));
}

/// Prints that hold each of some texts.
trait Contains {
    fn with_stdout_containing(self, texts: &[&str]) -> Vec<u8>;
}

impl Contains for assert_cmd::Command {
    fn with_stdout_containing(mut self, texts: &[&str]) -> Vec<u8> {
        let mut found = self.assert().success();
        for text in texts {
            found = found.stdout(predicate::str::contains(*text));
        }
        found.get_output().stdout.clone()
    }
}
