//! `korfinsts train` and `korfinsts export` from outside: a whole run on a tiny encoder, what a
//! stopped run goes on with, and its checkpoint in other software.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::support::{Home, full, reference_encoder, reference_rounding, repository};

/// Triplets that are no part of any suite.
pub(super) fn triplets(n: usize) -> String {
    (0..n)
        .map(|i| {
            let line = serde_json::json!({
                "anchor": format!("회사 {i}는 배당을 늘렸다."),
                "positive": format!("Company {i} raised its dividend."),
                "negative": format!("Company {i} cut its dividend."),
                "language": "ko", "source": "news", "pattern": "direction", "origin": "test",
            });
            format!("{line}\n")
        })
        .collect()
}

pub(super) fn recipe(base: &Path, more: &str) -> String {
    format!(
        r#"schema = 1
name = "tiny"
seed = 7
leakage_suites = ["korfin-shift"]
[base]
model = "{}"
{more}
[[stage]]
name = "triplets"
epochs = 2
batch = 4
learning_rate = 1e-3
temperature = 0.1
data = [{{ triplets = "triplets.jsonl" }}]
[evaluate]
suites = ["korfin-shift"]
[save]
every = 3
[card]
licence = "CC-BY-4.0"
languages = ["ko", "en"]
"#,
        base.display()
    )
}

pub(super) fn prepare(base: &str, more: &str) -> Home {
    let home = Home::new();
    let base = repository("tests/reference/encoders").join(base);
    write(&home.path("tiny.toml"), recipe(&base, more).as_bytes());
    write(&home.path("triplets.jsonl"), triplets(22).as_bytes());
    home
}

pub(super) fn write(path: &Path, bytes: &[u8]) {
    korfinsts_base::fs::write_atomic(path, bytes).expect("written");
}

pub(super) fn losses(folder: &Path) -> Vec<(u64, f64)> {
    let path = folder.join("training/metrics.jsonl");
    let text = korfinsts_base::fs::read(&path).expect("metrics");
    String::from_utf8(text)
        .expect("UTF-8")
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            for key in ["learning_rate", "triplets_per_second"] {
                assert!(line[key].is_number(), "{line}");
            }
            let step = line["step"].as_u64().expect("a step");
            (step, line["loss"].as_f64().expect("a loss"))
        })
        .collect()
}

pub(super) fn weights(folder: &Path) -> Vec<u8> {
    korfinsts_base::fs::read(&folder.join("model.safetensors")).expect("weights")
}

/// Runs Python, or says loudly that it is not at hand.
pub(super) fn python(needs: &str, script: &str, arguments: &[&str]) -> Option<String> {
    let there = Command::new("python3")
        .args(["-c", needs])
        .output()
        .is_ok_and(|o| o.status.success());
    if !there {
        #[allow(clippy::print_stderr, reason = "a skipped test is said")]
        {
            eprintln!("SKIPPED: python3 cannot `{needs}`");
        }
        return None;
    }
    let output = Command::new("python3")
        .arg("-c")
        .arg(script)
        .args(arguments)
        .output()
        .expect("python3 runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Trains into `killed`, cuts the run off by a signal in its middle, and lets it go on.
fn killed(home: &Home) {
    let binary = assert_cmd::cargo::cargo_bin!("korfinsts");
    let mut child = Command::new(binary)
        .current_dir(home.path(""))
        .args(["train", "tiny.toml", "--output", "killed", "--offline"])
        .env("KORFINSTS_DATA", home.data())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("started");
    let states = home.path("killed/training");
    for _ in 0..3000 {
        let reached = korfinsts_base::fs::exists(&states)
            && korfinsts_base::fs::list(&states)
                .expect("listed")
                .iter()
                .any(|p| p.to_string_lossy().contains("state-"));
        if reached || child.try_wait().expect("asked").is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    home.command(&["train", "tiny.toml", "--output", "killed"])
        .assert()
        .success();
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_same_weights() {
    let home = prepare("bert-mean", "");
    let train = |output: &str| {
        let mut command =
            home.command(&["train", "tiny.toml", "--output", output, "--format", "json"]);
        command.assert().success().get_output().stdout.clone()
    };
    let report: Value = serde_json::from_slice(&train("whole")).expect("a report");
    assert_eq!(report["steps"], 12);
    let suite = &report["suites"][0];
    assert_eq!(
        (&suite["suite"], &suite["n_pairs"]),
        (&"korfin-shift".into(), &888.into())
    );
    for key in ["before", "after", "delta", "p_value", "p_holm"] {
        assert!(suite[key].is_number(), "{key}: {suite}");
    }
    let card = korfinsts_base::fs::read(&home.path("whole/README.md")).expect("a card");
    let card = String::from_utf8(card).expect("UTF-8");
    for expected in [
        "license: cc-by-4.0",
        "| korfin-shift | test | 888 |",
        "None stands in a suite",
    ] {
        assert!(card.contains(expected), "{expected}\n{card}");
    }
    // A second run is cut off by a signal in its middle.
    killed(&home);
    assert_eq!(losses(&home.path("killed")), losses(&home.path("whole")));
    let trained = weights(&home.path("whole"));
    assert!(weights(&home.path("killed")) == trained);
    // A run that has ended has nothing left to train, and keeps what it trained.
    train("whole");
    assert!(weights(&home.path("whole")) == trained);
}

#[test]
fn a_dry_run_says_what_would_happen_and_writes_nothing() {
    let home = prepare("bert-mean", "");
    let output = home
        .command(&["train", "tiny.toml", "--dry-run", "--format", "json"])
        .assert()
        .success();
    let outline: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    assert_eq!(outline["stages"][0]["steps"], 12);
    assert_eq!(outline["leakage"]["examples"], 22);
    let memory = &outline["memory"];
    assert_eq!(memory["texts"], 12);
    let part = |of: &str, what: &str| {
        let parts = memory[of]["parts"].as_array().expect("parts");
        let found = parts.iter().find(|p| p[0] == what).expect("a part");
        found[1].as_u64().expect("bytes")
    };
    let trained = 4 * outline["parameters"].as_u64().expect("a number");
    for of in ["here", "gpu"] {
        // The file holds a tensor that the network does not read.
        assert!((trained..trained * 11 / 10).contains(&part(of, "weights")));
        assert_eq!(part(of, "moments"), 2 * trained);
    }
    // Attention keeps no weights, here and on a GPU, where the graph is the same in float32.
    assert_eq!(part("here", "attention"), 0);
    assert_eq!(part("gpu", "attention"), 0);
    assert_eq!(part("gpu", "activations"), part("here", "activations"));
    assert!(!korfinsts_base::fs::exists(&home.path("tiny")));
}

#[test]
fn wrong_recipes_wrong_data_and_leaks_end_before_training() {
    let shifted = repository("benchmarks/korfin-shift/data/test.jsonl");
    let row = korfinsts_base::fs::read(&shifted).expect("rows");
    let row = String::from_utf8_lossy(&row).into_owned();
    let row: Value = serde_json::from_str(row.lines().next().expect("a row")).expect("JSON");
    let leak = serde_json::json!({
        "anchor": row["sentence1"], "positive": "x y", "negative": "z"
    });
    for (file, content, code, expected) in [
        (
            "triplets.jsonl",
            leak.to_string(),
            1,
            "1 training texts stand in a suite: triplets.jsonl:1",
        ),
        (
            "triplets.jsonl",
            "{\"anchor\": \"a\"}".into(),
            3,
            "triplets.jsonl:1: `positive` is missing",
        ),
        (
            "triplets.jsonl",
            "{\"anchor\": \"a\", \"positive\": \"b\", \"negative\": \"c\", \"anchor\": \"d\"}"
                .into(),
            3,
            "triplets.jsonl:1: no JSON object: the key `anchor` occurs twice, at positions 1 and 4",
        ),
        (
            "triplets.jsonl",
            "{\n\"anchor\": \"a\"\n}\n".into(),
            3,
            "a JSON file has one object a line, or is one array of objects",
        ),
        (
            "triplets.jsonl",
            " \n".into(),
            3,
            "triplets.jsonl: the file holds no row",
        ),
        (
            "triplets.jsonl",
            "<!DOCTYPE html>".into(),
            3,
            "triplets.jsonl: this is a web page",
        ),
        (
            "tiny.toml",
            "schema = 1\nnom = \"x\"\n".into(),
            2,
            "tiny.toml:2: unknown field `nom`",
        ),
    ] {
        let home = prepare("bert-mean", "");
        write(&home.path(file), content.as_bytes());
        let output = home.command(&["train", "tiny.toml"]).assert().code(code);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(expected), "{text} / {expected}");
    }
}

/// The recipe `tiny.toml` with one text in place of another.
fn replace(home: &Home, from: &str, to: &str) {
    let path = home.path("tiny.toml");
    let text = String::from_utf8(korfinsts_base::fs::read(&path).expect("read")).expect("UTF-8");
    assert!(text.contains(from), "{text}");
    write(&path, text.replace(from, to).as_bytes());
}

/// Scores by suite at each step of a log that has some.
fn evaluations(folder: &Path) -> Vec<(u64, Value)> {
    let text = korfinsts_base::fs::read(&folder.join("training/metrics.jsonl")).expect("metrics");
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|line| !line["evaluation"].is_null())
        .map(|line| {
            (
                line["step"].as_u64().expect("a step"),
                line["evaluation"].clone(),
            )
        })
        .collect()
}

const SUITES: &str = "suites = [\"korfin-shift\"]\n[save]";

#[test]
fn dropout_and_the_best_step_go_on_in_a_killed_run_to_the_same_weights() {
    let home = prepare(
        "bert-mean",
        "[lora]\nrank = 2\nalpha = 64.0\ndropout = 0.5\n",
    );
    replace(&home, "batch = 4\n", "batch = 4\ndropout = 0.25\n");
    replace(
        &home,
        SUITES,
        "suites = [\"korfin-shift\"]\nevery = 2\nbest = \"korfin-shift:dev\"\n[save]",
    );
    let output = home
        .command(&[
            "train",
            "tiny.toml",
            "--output",
            "whole",
            "--format",
            "json",
        ])
        .assert()
        .success();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).expect("a report");
    killed(&home);
    assert_eq!(losses(&home.path("killed")), losses(&home.path("whole")));
    assert!(weights(&home.path("killed")) == weights(&home.path("whole")));
    // Steps see the dev split alone; the test split is scored before and after.
    let found = evaluations(&home.path("whole"));
    assert_eq!(found, evaluations(&home.path("killed")));
    assert_eq!(
        found.iter().map(|e| e.0).collect::<Vec<_>>(),
        [2, 4, 6, 8, 10, 12]
    );
    let scores: Vec<f64> = found
        .iter()
        .map(|(_, scores)| {
            let scores = scores.as_object().expect("scores");
            assert_eq!(scores.keys().collect::<Vec<_>>(), ["korfin-shift:dev"]);
            scores["korfin-shift:dev"].as_f64().expect("a score")
        })
        .collect();
    assert_eq!(report["suites"][0]["split"], "test");
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let at = scores.iter().position(|s| *s == best).expect("one");
    assert_eq!(report["best"]["step"], found[at].0);
    assert_eq!(report["best"]["score"], best);
    // The checkpoint has the weights of that step.
    let output = home
        .command(&[
            "eval",
            "whole",
            "--suite",
            "korfin-shift:dev",
            "--format",
            "json",
        ])
        .assert()
        .success();
    let records: Value = serde_json::from_slice(&output.get_output().stdout).expect("records");
    let score = records[0]["scores"]["cosine_spearman"]
        .as_f64()
        .expect("a score");
    assert!((score - best).abs() < 1e-12, "{score} {best}");
    // Without one kind of dropout the run is another one.
    for (i, dropout) in ["dropout = 0.5\n", "dropout = 0.25\n"].iter().enumerate() {
        replace(&home, dropout, "");
        let plain = format!("plain-{i}");
        home.command(&["train", "tiny.toml", "--output", &plain])
            .assert()
            .success();
        assert_ne!(losses(&home.path(&plain)), losses(&home.path("whole")));
    }
    assert_ne!(losses(&home.path("plain-0")), losses(&home.path("plain-1")));
}

#[test]
fn training_ends_when_the_dev_score_no_longer_grows() {
    let home = prepare("bert-mean", "");
    // A rate this small changes no score.
    replace(&home, "learning_rate = 1e-3", "learning_rate = 1e-30");
    replace(
        &home,
        SUITES,
        "suites = [\"korfin-shift\"]\nevery = 1\nbest = \"korfin-shift:dev\"\npatience = 3\n[save]",
    );
    let run = || {
        let output = home
            .command(&["train", "tiny.toml", "--format", "json"])
            .assert()
            .success();
        serde_json::from_slice::<Value>(&output.get_output().stdout).expect("a report")
    };
    for report in [run(), run()] {
        assert_eq!(
            (&report["steps"], &report["best"]["step"]),
            (&4.into(), &1.into())
        );
    }
}

#[test]
fn what_is_tested_on_chooses_no_checkpoint() {
    let home = prepare("bert-mean", "");
    let best =
        |name: &str| format!("suites = [\"korfin-shift\"]\nevery = 1\nbest = \"{name}\"\n[save]");
    let mut now = SUITES.to_owned();
    for (name, expected) in [
        (
            "korfin-shift:test",
            "`korfin-shift:test` is no dev split: what is tested on chooses no checkpoint",
        ),
        ("korfin-shift", "`korfin-shift:test` is no dev split"),
        (
            "klue-sts:validation",
            "`klue-sts:validation` is no dev split",
        ),
        (
            "korfinsts:train",
            "dev splits: `korfin-shift:dev`, `korfin-shift-2:dev`, `korsts:dev`, `stsb:dev`",
        ),
        ("korsts:train", "`korsts:train` is no dev split"),
    ] {
        replace(&home, &now, &best(name));
        now = best(name);
        let output = home.command(&["train", "tiny.toml"]).assert().code(2);
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(said.contains(expected), "{name}: {said} / {expected}");
    }
}

/// Rows as `korfinsts mine` writes them, of one variant; fields that training does not read are
/// there too.
fn mined(variants: &[&str]) -> String {
    (0..20)
        .map(|i| {
            let line = serde_json::json!({
                "id": i, "anchor": format!("회사 {i}는 배당을 늘렸다."),
                "positive": format!("회사 {i}의 배당이 증가했다."),
                "negative": format!("회사 {i}는 배당을 줄였다."),
                "language": "kor-Hang", "other_language": "kor-Hang", "source": "news",
                "pattern": "news.temporal", "variant": variants[i % variants.len()],
                "origin": "template", "edits": [[1, 2]], "negative_score": 9,
                "negative_rules": ["direction"],
            });
            format!("{line}\n")
        })
        .collect()
}

#[test]
fn the_card_tells_of_the_base_that_was_used() {
    let home = prepare("bert-mean", "");
    let base = repository("tests/reference/encoders/bert-mean");
    let text =
        recipe(Path::new("org/other"), "").replace("suites = [\"korfin-shift\"]", "suites = []");
    let card = "description = \"org/other adapted.\"\nsources = [{ name = \"org/other\", licence = \"MIT\", \
                used_for = \"base model\" }, { name = \"T\", licence = \"CC0-1.0\", used_for = \"triplets\" }]\n";
    write(&home.path("tiny.toml"), (text + card).as_bytes());
    home.command(&["train", "tiny.toml", "--base", &base.display().to_string()])
        .assert()
        .success();
    let read = |name: &str| {
        let bytes = korfinsts_base::fs::read(&home.path(name)).expect("written");
        String::from_utf8(bytes).expect("UTF-8")
    };
    let card = read("tiny/README.md");
    for expected in [
        "base_model: bert-mean\n",
        "The result of the recipe `tiny` with `bert-mean` as its base model, in place of `org/other`.",
        "| bert-mean | not known | base model |",
        "| T | CC0-1.0 | triplets |",
    ] {
        assert!(card.contains(expected), "{expected}\n{card}");
    }
    for other in ["org/other adapted", "\nlicense:", "\nlanguage:", "MIT"] {
        assert!(!card.contains(other), "{other}\n{card}");
    }
    assert!(read("tiny/training/recipe.toml").contains("model = \"bert-mean\""));
}

#[test]
fn a_variant_that_is_trained_on_is_never_tested_on() {
    let variants = ["news.temporal.phase", "legal.sanction.kind"];
    let home = prepare("bert-mean", "");
    write(&home.path("triplets.jsonl"), mined(&variants).as_bytes());
    let output = home
        .command(&["train", "tiny.toml", "--format", "json"])
        .assert()
        .success();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).expect("a report");
    let rows = korfinsts_base::fs::read(&repository("benchmarks/korfin-shift/data/test.jsonl"));
    let rows = String::from_utf8(rows.expect("rows")).expect("UTF-8");
    let kept = rows
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|row| !variants.contains(&row["variant"].as_str().expect("a variant")))
        .count();
    assert!(kept < rows.lines().count());
    assert_eq!(report["suites"][0]["n_pairs"], kept);
    let mut sorted = variants;
    sorted.sort_unstable();
    assert_eq!(report["held_out_of_evaluation"], serde_json::json!(sorted));
    assert_eq!(report["outline"]["labels"]["variant"][variants[0]], 10);
    let card = korfinsts_base::fs::read(&home.path("tiny/README.md")).expect("a card");
    let card = String::from_utf8(card).expect("UTF-8");
    for expected in [
        "no part of the figures above: `legal.sanction.kind`, `news.temporal.phase`.",
        "- Triplets by language: `kor-Hang` 20.",
        "- Triplets by origin: `template` 20.",
    ] {
        assert!(card.contains(expected), "{expected}\n{card}");
    }
    // Evaluated later on the whole suite, the checkpoint says what it was trained on.
    let output = home
        .command(&["eval", "tiny", "--suite", "korfin-shift"])
        .assert()
        .success();
    let said = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(rows.lines().count() > kept);
    let expected = format!("trained on part of the suite: the score is of the {kept} other pairs");
    assert!(said.contains(&expected), "{expected}\n{said}");
    // Of a part of the suite, only that part counts.
    let rows: Vec<Value> = rows
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let is = |row: &Value, variant: &str| row["variant"] == variant;
    let limit = 1 + rows
        .iter()
        .position(|row| is(row, variants[0]))
        .expect("the variant is there");
    assert!(!rows[..limit].iter().any(|row| is(row, variants[1])));
    let some = limit.to_string();
    let output = home
        .command(&[
            "eval",
            "tiny",
            "--suite",
            "korfin-shift",
            "--limit",
            &some,
            "--format",
            "json",
        ])
        .assert()
        .success();
    let records: Value = serde_json::from_slice(&output.get_output().stdout).expect("records");
    let trained_on = &records[0]["trained_on"];
    assert_eq!(
        [
            &trained_on["variants"],
            &trained_on["pairs"],
            &trained_on["other_pairs"]
        ],
        [1, 1, limit - 1]
    );
}

#[test]
fn filters_leave_variants_for_testing_and_misspelt_ones_are_errors() {
    let rows = korfinsts_base::fs::read(&repository("benchmarks/korfin-shift/data/test.jsonl"));
    let rows = String::from_utf8(rows.expect("rows")).expect("UTF-8");
    let all: std::collections::BTreeSet<String> = rows
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|row| row["variant"].as_str().expect("a variant").to_owned())
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let lines: String = all.iter().map(|v| mined(&[v])).collect();
    for (filter, code, expected) in [
        ("", 2, "every variant in it is trained on"),
        (", without_variants = [\"news.temporal.phase\"]", 0, ""),
        (
            ", variants = [\"news.temporal.fase\"]",
            2,
            "`variants` names `news.temporal.fase`",
        ),
        (", origins = [\"document\"]", 2, "have `template`"),
        (
            ", sources = [\"news\"], variants = [\"news.temporal.phase\"]",
            0,
            "",
        ),
    ] {
        let home = prepare("bert-mean", "");
        write(&home.path("triplets.jsonl"), lines.as_bytes());
        let path = home.path("tiny.toml");
        let text =
            String::from_utf8(korfinsts_base::fs::read(&path).expect("read")).expect("UTF-8");
        let more = format!("\"triplets.jsonl\"{filter} }}");
        write(
            &path,
            text.replace("\"triplets.jsonl\" }", &more).as_bytes(),
        );
        let output = home
            .command(&["train", "tiny.toml", "--dry-run"])
            .assert()
            .code(code);
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(said.contains(expected), "{filter}: {said} / {expected}");
    }
}

#[test]
fn a_learning_rate_that_explodes_stops_with_the_batch_named() {
    let home = prepare("bert-mean", "");
    let path = home.path("tiny.toml");
    let text = String::from_utf8(korfinsts_base::fs::read(&path).expect("read")).expect("UTF-8");
    let text = text.replace("learning_rate = 1e-3", "learning_rate = 1e30\nclip = 0.0");
    write(&path, text.as_bytes());
    let output = home.command(&["train", "tiny.toml"]).assert().code(6);
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(
        text.contains("the batch: triplets.jsonl: triplets.jsonl:"),
        "{text}"
    );
}

#[test]
fn adapters_and_averaging_change_the_weights_they_should() {
    let base = weights(&repository("tests/reference/encoders/qwen2-last"));
    let home = prepare(
        "qwen2-last",
        "[lora]\nrank = 2\nalpha = 4.0\ntargets = [\"q_proj\"]\n",
    );
    home.command(&["train", "tiny.toml"]).assert().success();
    let read = |bytes: &[u8]| -> std::collections::BTreeMap<String, Vec<u8>> {
        let file = safetensors::SafeTensors::deserialize(bytes).expect("tensors");
        file.iter()
            .map(|(name, t)| (name.to_owned(), t.data().to_vec()))
            .collect()
    };
    let (before, after) = (read(&base), read(&weights(&home.path("tiny"))));
    assert!(before.keys().eq(after.keys()));
    for (name, values) in &before {
        assert_eq!(
            after[name] != *values,
            name.contains("q_proj.weight"),
            "{name}"
        );
    }
}

/// The largest difference of sentence-transformers' embeddings from those in a JSONL file.
const EMBED: &str = r"
import sys, json, numpy as np
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device='cpu')
rows = [json.loads(l) for l in open(sys.argv[2])]
found = model.encode([r['text'] for r in rows], batch_size=1, convert_to_numpy=True)
print(max(float(np.abs(f - np.array(r['embedding'])).max()) for f, r in zip(found, rows)))
";

/// Checks that sentence-transformers gives the embeddings of the checkpoint `tiny`; `false` where it
/// is not at hand.
pub(super) fn opens_in_python(home: &Home, what: &str) -> bool {
    let rows = embeddings(home, "tiny");
    let lines: String = rows.iter().map(|r| format!("{r}\n")).collect();
    write(&home.path("rows.jsonl"), lines.as_bytes());
    let (model, file) = (home.path("tiny"), home.path("rows.jsonl"));
    let Some(difference) = python(
        "import sentence_transformers",
        EMBED,
        &[&model.to_string_lossy(), &file.to_string_lossy()],
    ) else {
        return false;
    };
    let difference: f64 = difference.trim().parse().expect("a number");
    let bound = 2.0 * reference_rounding(&Value::Null);
    assert!(difference < bound, "{what}: {difference}");
    true
}

#[test]
fn a_checkpoint_is_the_same_in_sentence_transformers() {
    if !full("checkpoints in Python's sentence-transformers") {
        return;
    }
    for base in ["bert-mean", "t5enc-dense", "qwen2-last", "static"] {
        let home = prepare(base, "");
        home.command(&["train", "tiny.toml"]).assert().success();
        if !opens_in_python(&home, base) {
            return;
        }
    }
}

const TEXTS: [&str; 4] = [
    "한국은행은 기준금리를 0.25%포인트 인상했다.",
    "The Bank of Korea raised its base rate by 25bp.",
    "금리",
    "Company 3 cut its dividend, 회사 3은 배당을 줄였다.",
];

/// Embeddings of a few texts through the library, as JSON objects.
pub(super) fn embeddings(home: &Home, model: &str) -> Vec<Value> {
    use korfinsts_encoder::spec::{Overrides, read};
    let spec = read(&home.path(model), &Overrides::default()).expect("a model");
    let encoder = spec
        .open(&korfinsts_encoder::backend::OpenOptions::default())
        .expect("opened");
    TEXTS
        .iter()
        .map(|text| {
            let prepared = encoder.prepare(text, "").expect("prepared");
            let found = encoder.encode(&[&prepared]).expect("encoded");
            serde_json::json!({"text": text, "embedding": found.values})
        })
        .collect()
}

const CHECK: &str = r"
import sys, onnx
onnx.checker.check_model(sys.argv[1], full_check=True)
model = onnx.load(sys.argv[1], load_external_data=False)
print(model.opset_import[0].version, [o.name for o in model.graph.output])
";

const RUN: &str = r"
import sys, json, numpy as np, onnxruntime as ort
from tokenizers import Tokenizer
session = ort.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
tokenizer = Tokenizer.from_file(sys.argv[2]); tokenizer.no_padding(); tokenizer.no_truncation()
rows = [json.loads(l) for l in open(sys.argv[3])]
ids = [tokenizer.encode(r['text']).ids[:48] for r in rows]
width = max(map(len, ids))
pad = int(sys.argv[4])
found = session.run(['sentence_embedding'], {
    'input_ids': np.array([i + [pad] * (width - len(i)) for i in ids], dtype=np.int64),
    'attention_mask': np.array([[1] * len(i) + [0] * (width - len(i)) for i in ids], dtype=np.int64)})[0]
print(max(float(np.abs(f - np.array(r['embedding'])).max()) for f, r in zip(found, rows)))
";

fn numbers(row: &Value) -> Vec<f64> {
    let values = row["embedding"].as_array().expect("numbers");
    values
        .iter()
        .map(|n| n.as_f64().expect("a number"))
        .collect()
}

/// Largest difference of a graph's embeddings in ONNX Runtime's own reader from those in `rows.jsonl`.
fn in_python(home: &Home, graph: &str, pad: &str) -> Option<f64> {
    let (tokenizer, rows) = (home.path("model/tokenizer.json"), home.path("rows.jsonl"));
    let (tokenizer, rows) = (tokenizer.to_string_lossy(), rows.to_string_lossy());
    let said = python(
        "import onnxruntime, tokenizers",
        RUN,
        &[graph, &tokenizer, &rows, pad],
    )?;
    Some(said.trim().parse().expect("a number"))
}

#[test]
fn an_exported_graph_passes_the_checker_and_gives_the_same_embeddings() {
    let bound = 2.0 * reference_rounding(&Value::Null);
    for (base, pad) in [
        ("bert-mean", "0"),
        ("xlmr-cls", "1"),
        ("distilbert-mean", "0"),
        ("mpnet-mean", "1"),
        ("electra-cls", "0"),
        ("modernbert-mean", "0"),
        ("t5enc-dense", "0"),
        ("t5gated-mean", "0"),
    ] {
        let home = Home::new();
        let Some(model) = reference_encoder(base) else {
            continue;
        };
        home.copy(&model, &home.path("model"));
        // A graph cannot leave a prompt out of its pooling.
        let pooling = home.path("model/1_Pooling/config.json");
        let config = String::from_utf8(std::fs::read(&pooling).expect("read")).expect("text");
        let config = config.replace("\"include_prompt\": false", "\"include_prompt\": true");
        write(&pooling, config.as_bytes());
        home.command(&["export", "model", "--to", "onnx", "--output", "graph"])
            .assert()
            .success();
        let rows = embeddings(&home, "model");
        for (found, expected) in embeddings(&home, "graph/model.onnx").iter().zip(&rows) {
            for (a, b) in numbers(found).iter().zip(numbers(expected)) {
                assert!((a - b).abs() < bound, "{base}: {a} {b}");
            }
        }
        let graph = home.path("graph/model.onnx");
        let graph = graph.to_string_lossy();
        if let Some(said) = python("import onnx", CHECK, &[&graph]) {
            assert_eq!(said.trim(), "17 ['sentence_embedding']", "{base}");
        }
        let lines: String = rows.iter().map(|r| format!("{r}\n")).collect();
        write(&home.path("rows.jsonl"), lines.as_bytes());
        if let Some(difference) = in_python(&home, &graph, pad) {
            assert!(difference < bound, "{base}: {difference}");
        }
    }
}

/// Half precision changes an embedding by the rounding of the weights, 8 bits by about a hundredth; the graph is read by
/// every backend and by ONNX Runtime's own reader.
#[test]
fn smaller_weights_give_nearly_the_same_embeddings_in_a_smaller_file() {
    for (base, pad) in [("bert-mean", "0"), ("xlmr-cls", "1")] {
        let home = Home::new();
        home.copy(
            &repository("tests/reference/encoders").join(base),
            &home.path("model"),
        );
        let rows = embeddings(&home, "model");
        let lines: String = rows.iter().map(|r| format!("{r}\n")).collect();
        write(&home.path("rows.jsonl"), lines.as_bytes());
        let mut sizes = Vec::new();
        for (dtype, bound) in [("float32", 1e-5), ("float16", 2e-3), ("int8", 0.15)] {
            home.command(&["export", "model", "--dtype", dtype, "--output", dtype])
                .assert()
                .success();
            let graph = home.path(&format!("{dtype}/model.onnx"));
            sizes.push(std::fs::metadata(&graph).expect("a file").len());
            let mut worst = 0f64;
            for (found, expected) in embeddings(&home, &format!("{dtype}/model.onnx"))
                .iter()
                .zip(&rows)
            {
                let (a, b) = (numbers(found), numbers(expected));
                worst = a
                    .iter()
                    .zip(&b)
                    .fold(worst, |w, (a, b)| w.max((a - b).abs()));
            }
            assert!(worst < bound, "{base} {dtype}: {worst}");
            assert!(
                worst > bound / 1e4,
                "{base} {dtype}: {worst} is no change of type"
            );
            let graph = graph.to_string_lossy();
            if let Some(difference) = in_python(&home, &graph, pad) {
                assert!(difference < bound, "{base} {dtype} in Python: {difference}");
            }
            if let Some(said) = python("import onnx", CHECK, &[&graph]) {
                assert_eq!(said.trim(), "17 ['sentence_embedding']", "{base} {dtype}");
            }
        }
        assert!(sizes.is_sorted_by(|a, b| a > b), "{base}: {sizes:?}");
    }
}

#[test]
fn tensors_outside_the_graph_are_read_back() {
    use korfinsts_encoder::spec::{Overrides, read};
    use korfinsts_train::export::GraphOptions;
    let home = Home::new();
    let folder = repository("tests/reference/encoders/bert-mean");
    let overrides = Overrides {
        backend: Some("candle".into()),
        ..Overrides::default()
    };
    let spec = read(&folder, &overrides).expect("a model");
    for (name, inside) in [("outside", 10_000), ("inside", usize::MAX)] {
        let options = GraphOptions {
            inside,
            ..GraphOptions::default()
        };
        korfinsts_train::export::onnx(&spec, &home.path(name), options).expect("exported");
    }
    assert!(home.path("outside/model.onnx_data").exists());
    assert!(!home.path("inside/model.onnx_data").exists());
    assert_eq!(
        embeddings(&home, "outside/model.onnx"),
        embeddings(&home, "inside/model.onnx")
    );
    if let Some(said) = python(
        "import onnx",
        CHECK,
        &[&home.path("outside/model.onnx").to_string_lossy()],
    ) {
        assert!(said.starts_with("17"), "{said}");
    }
}

#[test]
fn what_cannot_be_exported_is_said() {
    let home = Home::new();
    home.copy(
        &repository("tests/reference/encoders/qwen2-last"),
        &home.path("model"),
    );
    let output = home
        .command(&["export", "model", "--output", "graph"])
        .assert()
        .code(2);
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(
        text.contains("architecture `qwen2`; exported are `bert`"),
        "{text}"
    );
}

const SCALARS: &str = r"
import sys, json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]); events.Reload()
print(json.dumps({t: [[e.step, e.value] for e in events.Scalars(t)] for t in events.Tags()['scalars']}))
";

#[test]
fn a_guide_masks_negatives_and_tensorboard_reads_the_steps() {
    let home = prepare("bert-mean", "");
    let (pairs, from) = ("negatives = \"hard+batch\"\n", "temperature = 0.1\n");
    replace(&home, from, &format!("{from}{pairs}"));
    let train = |flags: &[&str]| {
        let arguments = [&["train", "tiny.toml", "--output", "out"], flags].concat();
        home.command(&arguments).assert().success();
        losses(&home.path("out"))
    };
    let alone = train(&[]);
    let guide = "guide = { model = \"nmixx-mini\", margin = 0.05, relative = true }\n";
    replace(&home, pairs, &format!("{pairs}{guide}"));
    replace(&home, "every = 3\n", "every = 3\ntensorboard = true\n");
    let guided = train(&["--restart"]);
    assert_ne!(alone, guided);
    let lines = || -> Vec<Value> {
        let text = korfinsts_base::fs::read(&home.path("out/training/metrics.jsonl"));
        let text = String::from_utf8(text.expect("metrics")).expect("UTF-8");
        let lines = text.lines();
        lines
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .collect()
    };
    let masked: u64 = lines().iter().filter_map(|l| l["masked"].as_u64()).sum();
    assert!(masked > 0, "{:?}", lines());
    let card = korfinsts_base::fs::read(&home.path("out/README.md")).expect("a card");
    let card = String::from_utf8(card).expect("UTF-8");
    assert!(
        card.contains("- Guide of the in-batch negatives of triplets: `nmixx-mini`."),
        "{card}"
    );
    // Another start writes a file of its own, and the steps of the first no longer count.
    train(&["--restart"]);
    let folder = home.path("out/training");
    let files = korfinsts_base::fs::list(&folder).expect("listed");
    let files = files
        .iter()
        .filter(|p| p.to_string_lossy().contains("tfevents"));
    assert_eq!(files.count(), 2);
    let needs = "import tensorboard";
    if let Some(said) = python(needs, SCALARS, &[&folder.to_string_lossy()]) {
        let scalars: Value = serde_json::from_str(&said).expect("JSON");
        for (tag, key) in [("loss/triplets", "loss"), ("masked_by_guide", "masked")] {
            let expected: Vec<(u64, f64)> = lines()
                .iter()
                .map(|l| {
                    (
                        l["step"].as_u64().expect("a step"),
                        l[key].as_f64().expect("a number"),
                    )
                })
                .collect();
            let found: Vec<(u64, f64)> = serde_json::from_value(scalars[tag].clone()).expect(tag);
            assert_eq!(found.len(), expected.len(), "{said}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-6,
                    "{said}"
                );
            }
        }
    }
}
