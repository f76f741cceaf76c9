//! A new static embedding that imitates an encoder: its vocabulary, where its vectors start, and the
//! whole run to a card.

use serde_json::Value;

use predicates::str::contains;

use super::support::Home;
use super::train_run::{losses, weights, write};

const ENGLISH: [&str; 6] = [
    "The bank raised its base rate.",
    "Exports of semiconductors rose last month.",
    "The company will pay a dividend next quarter.",
    "Shares of the shipbuilder fell after the report.",
    "The regulator approved the merger of two insurers.",
    "Household debt grew faster than income.",
];
const KOREAN: [&str; 6] = [
    "은행이 기준금리를 올렸다.",
    "지난달 반도체 수출이 늘었다.",
    "회사는 다음 분기에 배당을 지급한다.",
    "보고서가 나온 뒤 조선사 주가가 내렸다.",
    "당국은 두 보험사의 합병을 승인했다.",
    "가계부채가 소득보다 빠르게 늘었다.",
];

/// A recipe for a student of the encoder that ships in the binary.
fn home(first: &str, dimension: usize) -> Home {
    let home = Home::new();
    let lines = |texts: [&str; 6]| -> String {
        (0..48)
            .map(|i| format!("{} {i}\n", texts[i % 6].trim_end_matches('.')))
            .collect()
    };
    write(&home.path("en.txt"), lines(ENGLISH).as_bytes());
    write(&home.path("ko.txt"), lines(KOREAN).as_bytes());
    let recipe = format!(
        r#"schema = 1
name = "student"
seed = 3
teacher = "nmixx-mini"
leakage_suites = ["korfin-shift"]
[base.static]
vocabulary = 1400
dimension = {dimension}
projection = 384
first = "{first}"
deviation = 0.02
[[stage]]
name = "distil"
epochs = 6
batch = 16
learning_rate = 5e-3
similarity = 10.0
extra = 0.5
token_dropout = 0.1
data = [
  {{ parallel = ["en.txt", "ko.txt"], spans = 2, words = true, teacher_words = true }},
  {{ glossary = true, passes = 0.1 }},
]
[evaluate]
suites = ["korfin-shift"]
[save]
every = 5
[card]
licence = "CC-BY-4.0"
"#
    );
    write(&home.path("student.toml"), recipe.as_bytes());
    home
}

fn train(home: &Home, output: &str) -> Value {
    let out = home
        .command(&[
            "train",
            "student.toml",
            "--output",
            output,
            "--format",
            "json",
        ])
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    serde_json::from_slice(&out).expect("a report")
}

#[test]
fn a_student_is_made_from_nothing_and_has_a_card() {
    let home = home("random", 16);
    let report = train(&home, "out");
    assert_eq!(report["suites"][0]["suite"], "korfin-shift");
    assert!(report["suites"][0]["after"].is_number());
    assert!(report["suites"][0]["beside"]["nmixx-mini"].is_number());
    let losses = losses(&home.path("out"));
    assert!(losses[losses.len() - 1].1 < 0.7 * losses[0].1, "{losses:?}");
    let card = korfinsts_base::fs::read(&home.path("out/README.md")).expect("a card");
    let card = String::from_utf8(card).expect("UTF-8");
    assert!(
        card.contains("Teacher of the parallel texts: `nmixx-mini`"),
        "{card}"
    );
    assert!(!card.contains("Triplets by"), "{card}");
    // The same recipe gives the same bytes, and the checkpoint is a model like any other.
    train(&home, "again");
    assert!(weights(&home.path("out")) == weights(&home.path("again")));
    home.command(&["eval", "out", "--suite", "korfin-shift", "--offline"])
        .assert()
        .success();
}

#[test]
fn a_student_imitates_two_teachers_side_by_side_and_reads_texts_without_translation() {
    let home = home("teacher", 16);
    let path = home.path("student.toml");
    let recipe =
        String::from_utf8(korfinsts_base::fs::read(&path).expect("a recipe")).expect("UTF-8");
    let two = recipe
        .replace(
            "teacher = \"nmixx-mini\"",
            "[[teacher]]\nmodel = \"nmixx-mini\"\n[[teacher]]\nmodel = \"nmixx-mini\"\ncentred = true\n\
             reads_translations = true",
        )
        .replace("leakage_suites = [\"korfin-shift\"]\n", "")
        .replace("seed = 3\n", "seed = 3\nleakage_suites = [\"korfin-shift\"]\n")
        .replace("projection = 384", "projection = 768")
        .replace(
            "  { glossary",
            "  { texts = \"alone.csv\", columns = { text = \"문장\" } },\n  { glossary",
        );
    write(&path, two.as_bytes());
    let alone: String = KOREAN.iter().map(|text| format!("\"{text}\"\n")).collect();
    write(&home.path("alone.csv"), format!("문장\n{alone}").as_bytes());
    train(&home, "out");
    let of = |kind: &str| -> Vec<f64> {
        let log =
            korfinsts_base::fs::read(&home.path("out/training/metrics.jsonl")).expect("a log");
        let log = String::from_utf8(log).expect("UTF-8");
        let steps = log
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).expect("a step"));
        let steps = steps.filter(|step| step["kind"] == kind);
        steps
            .map(|step| step["loss"].as_f64().expect("a loss"))
            .collect()
    };
    for kind in ["parallel texts", "texts"] {
        let losses = of(kind);
        assert!(losses.len() >= 6, "{kind}: {losses:?}");
        assert!(
            losses[losses.len() - 1] < 0.8 * losses[0],
            "{kind}: {losses:?}"
        );
    }
    let card = korfinsts_base::fs::read(&home.path("out/README.md")).expect("a card");
    let card = String::from_utf8(card).expect("UTF-8");
    let expected = "Teachers of the parallel texts, side by side: `nmixx-mini`, `nmixx-mini` (also of the \
                    translations).";
    assert!(card.contains(expected), "{card}");
    let weights_of = |output: &str| weights(&home.path(output));
    train(&home, "again");
    assert!(weights_of("out") == weights_of("again"));
    home.command(&[
        "train",
        "student.toml",
        "--teacher",
        "nmixx-mini",
        "--dry-run",
    ])
    .assert()
    .code(2)
    .stderr(contains(
        "the recipe has 2 teachers, and `--teacher` is given 1 times",
    ));
    // The student is as wide as its teachers together.
    write(
        &path,
        two.replace("projection = 768", "projection = 384")
            .as_bytes(),
    );
    home.command(&["train", "student.toml", "--output", "narrow"])
        .assert()
        .failure()
        .stderr(contains("the embeddings to imitate have 768 components"));
}

#[test]
fn a_stage_of_several_runs_goes_on_where_it_was_killed() {
    let home = home("teacher", 16);
    let path = home.path("student.toml");
    let recipe =
        String::from_utf8(korfinsts_base::fs::read(&path).expect("a recipe")).expect("UTF-8");
    let with = |runs: usize| {
        let text = recipe.replace("epochs = 6\n", &format!("epochs = 20\nsoup = {runs}\n"));
        write(&path, text.as_bytes());
    };
    with(1);
    let steps = train(&home, "one")["steps"].as_u64().expect("steps");
    with(3);
    assert_eq!(train(&home, "whole")["steps"].as_u64(), Some(3 * steps));
    let of_one = losses(&home.path("one"));
    let of_three = losses(&home.path("whole"));
    let step = |run: usize| run * steps as usize;
    assert_eq!(of_three[..step(1)], of_one, "the first run is that of one");
    // Each starts from the same words, with random numbers and an order of its own.
    let mean = |steps: &[(u64, f64)]| steps.iter().map(|s| s.1).sum::<f64>() / steps.len() as f64;
    for run in 1..3 {
        let (end, start) = of_three.split_at(step(run));
        let (end, start) = (mean(&end[end.len() - 5..]), mean(&start[..5]));
        assert!(start > 1.3 * end, "{start} after {end}");
        assert_ne!(of_three[step(run)].1, of_one[0].1);
    }
    let card = korfinsts_base::fs::read(&home.path("whole/README.md")).expect("a card");
    let card = String::from_utf8(card).expect("UTF-8");
    assert!(card.contains("in 3 runs, whose weights are then averaged,"));
    let left = korfinsts_base::fs::list(&home.path("whole/training")).expect("listed");
    assert!(
        !left.iter().any(|p| p.to_string_lossy().contains("base-")),
        "{left:?}"
    );
    // Killed in its second run or its third.
    let killed = (0..10).any(|attempt| {
        let output = format!("killed-{attempt}");
        let states = home.path(&format!("{output}/training"));
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("korfinsts"))
            .current_dir(home.path(""))
            .args(["train", "student.toml", "--offline", "--output", &output])
            .env("KORFINSTS_DATA", home.data())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("started");
        while child.try_wait().expect("asked").is_none() {
            if reached(&states).is_some_and(|s| s > step(1) + 10) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        if reached(&states).is_none_or(|s| s >= step(3)) {
            return false;
        }
        train(&home, &output);
        assert_eq!(losses(&home.path(&output)), of_three);
        assert!(weights(&home.path(&output)) == weights(&home.path("whole")));
        true
    });
    assert!(killed, "no run was killed in time");
    home.command(&["train", "student.toml", "--dry-run"])
        .assert()
        .success()
        .stdout(contains(format!("{} (3 runs, averaged)", 3 * steps)));
}

/// The step of the state that a run has kept.
fn reached(states: &std::path::Path) -> Option<usize> {
    let found = korfinsts_base::fs::list(states).ok()?;
    found
        .iter()
        .filter_map(|p| {
            p.file_name()?
                .to_str()?
                .strip_prefix("state-")?
                .parse()
                .ok()
        })
        .max()
}

#[test]
fn words_start_where_the_teacher_has_them() {
    let random = home("random", 64);
    train(&random, "out");
    let taught = home("teacher", 64);
    train(&taught, "out");
    let first = |home: &Home| losses(&home.path("out"))[0].1;
    // The first batch is the same; half of it begins near the teacher.
    assert!(
        first(&taught) < 0.85 * first(&random),
        "{} {}",
        first(&taught),
        first(&random)
    );
    assert!(weights(&random.path("out")) != weights(&taught.path("out")));
}

#[test]
fn a_dry_run_asks_no_teacher() {
    let home = home("teacher", 64);
    home.command(&["train", "student.toml", "--output", "out", "--dry-run"])
        .assert()
        .success();
    assert!(!korfinsts_base::fs::exists(&home.data().join("embeddings")));
    assert!(!korfinsts_base::fs::exists(&home.path("out")));
}

#[test]
fn a_start_that_cannot_be_is_said() {
    for (from, to, expected) in [
        ("teacher = \"nmixx-mini\"\n", "", "the recipe has none"),
        ("dimension = 64", "dimension = 500", "no more directions"),
        (
            "projection = 384",
            "projection = 128",
            "the embeddings to imitate have 384 components",
        ),
    ] {
        let home = home("teacher", 64);
        let path = home.path("student.toml");
        let text =
            String::from_utf8(korfinsts_base::fs::read(&path).expect("read")).expect("UTF-8");
        write(&path, text.replacen(from, to, 1).as_bytes());
        let out = home
            .command(&["train", "student.toml", "--output", "out"])
            .assert()
            .failure()
            .get_output()
            .stderr
            .clone();
        let out = String::from_utf8_lossy(&out);
        assert!(out.contains(expected), "{expected}\n{out}");
    }
}
