//! What a re-run believes, who may replace what, and whose gold scores a page takes.

use korfinsts_bench::run::evaluate::Evaluation;
use korfinsts_bench::run::record::{Record, ScoredPair, Timing};
use korfinsts_bench::suite::Registry;
use korfinsts_publish::submission::{self, Bundle, BundleContext, Examined, Level};
use minisign::KeyPair;
use serde_json::{Value, json};

use super::fixture::{Parts, SCORES, model, submit};
use super::whole::rescore;
use crate::support::Home;

fn registry() -> Registry {
    Registry::open(std::path::Path::new("nowhere")).expect("built-in suites")
}

/// A bundle with these scores by place, every number computed from them.
fn scored(score: impl Fn(usize, &ScoredPair) -> f64) -> (Bundle, Vec<ScoredPair>, Record) {
    let options = korfinsts_metric::BootstrapOptions {
        resamples: 100,
        ..korfinsts_metric::BootstrapOptions::default()
    };
    let mut parts = Parts::good();
    parts.manifest["model"]["normalise"] = json!(false);
    let opened = Bundle::open(&parts.bytes()).expect("a good bundle");
    let (record, pairs) = submission::records(&opened, &registry(), &options).remove(0);
    let rows: Vec<Value> = pairs
        .iter()
        .enumerate()
        .map(|(i, p)| json!({"id": p.id, "score": score(i, p)}))
        .collect();
    parts.set_rows(SCORES, &rows);
    rescore(&mut parts);
    let bundle = Bundle::open(&parts.bytes()).expect("a good bundle");
    (bundle, pairs, record)
}

/// Encodes `n` pairs of a bundle again: this is what the model gives.
fn again(
    bundle: &Bundle,
    n: usize,
    record: &Record,
    score: impl Fn(usize, &ScoredPair) -> f64,
    pairs: &[ScoredPair],
) -> submission::Rerun {
    let registry = registry();
    let context = BundleContext {
        registry: &registry,
        entries: &[],
        revoked: &[],
    };
    let examined = Examined::new(bundle, context);
    let drawn = submission::draw(&examined, Some(n), "a seed").expect("drawn");
    let chosen = drawn.suites[0].pairs.iter().map(|drawn| {
        let at = pairs.iter().position(|p| p.id == drawn.id).expect("a pair");
        ScoredPair {
            score: Some(score(at, &pairs[at])),
            ..pairs[at].clone()
        }
    });
    let evaluation = Evaluation {
        record: record.clone(),
        pairs: chosen.collect(),
        tokens: Vec::new(),
        timing: Timing {
            finished_at: 0.0,
            elapsed_s: 0.0,
            encode_s: 0.0,
            texts_encoded: 0,
            usage: None,
            encoded_by: None,
            notes: Vec::new(),
        },
        key: String::new(),
    };
    submission::compare_rerun(bundle, &drawn, &[evaluation])
}

/// Numbers without order, in [0, 1).
fn noise(i: usize) -> f64 {
    ((i * 7919) % 1009) as f64 / 1009.0
}

#[test]
fn oracle_scores_of_a_nearly_constant_model_are_found() {
    // Scores that are all within the noise of float32 of what the model gives, in the order of gold.
    let flat = |i: usize, _: &ScoredPair| 0.999 + 1e-7 * noise(i);
    let oracle = |i: usize, p: &ScoredPair| 0.999 + 1e-7 * p.gold + 1e-9 * noise(i);
    let (bundle, pairs, record) = scored(oracle);
    for n in [256, 9999] {
        let found = again(&bundle, n, &record, flat, &pairs);
        assert!(
            !found.result.passed && found.level == Level::Claimed,
            "{found:?}"
        );
        assert!(
            found.result.message.contains("the spread of the scores"),
            "{found:?}"
        );
    }
    // A model of which half the pairs are far apart and the others are not: the order of those tells.
    let half = |i: usize, p: &ScoredPair| if i % 4 < 2 { noise(i) } else { flat(i, p) };
    let half_oracle = |i: usize, p: &ScoredPair| if i % 4 < 2 { noise(i) } else { oracle(i, p) };
    let (bundle, pairs, record) = scored(half_oracle);
    let found = again(&bundle, 256, &record, half, &pairs);
    assert!(
        !found.result.passed && found.result.message.contains("rank correlation"),
        "{found:?}"
    );
    // The noise between back ends passes, whatever the level.
    let real = |i: usize, p: &ScoredPair| p.score.unwrap_or(0.0) + 9e-6 * (noise(i) - 0.5);
    let (bundle, pairs, record) = scored(|_, p| p.score.unwrap_or(0.0));
    let levels = [
        (1, Level::Recomputed),
        (255, Level::Recomputed),
        (
            256,
            Level::Sampled {
                pairs: 256,
                of: 888,
            },
        ),
        (888, Level::Full),
    ];
    for (n, level) in levels {
        let found = again(&bundle, n, &record, real, &pairs);
        assert!(
            found.result.passed && found.level == level,
            "{n}: {found:?}"
        );
        assert_eq!(
            found.result.message.contains("too few for a level"),
            n < 256,
            "{found:?}"
        );
    }
    assert_eq!(levels[2].1.to_string(), "re-run on 256 of 888 pairs");
}

#[test]
fn the_facts_of_a_bundle_are_those_of_the_run_again() {
    type Change = fn(&mut Record);
    let (bundle, pairs, record) = scored(|_, p| p.score.unwrap_or(0.0));
    let real = |_: usize, p: &ScoredPair| p.score.unwrap_or(0.0);
    let cases: [(&str, Change); 8] = [
        ("protocol is ", |r| r.encoder.protocol = "mteb".into()),
        ("prompts is ", |r| {
            r.encoder.prompts = ["query: ".into(), String::new()];
        }),
        ("maximum length is ", |r| r.encoder.max_tokens = Some(20)),
        ("pooling is ", |r| r.encoder.pooling = Some("cls".into())),
        ("dimension is ", |r| r.encoder.dimension = Some(7)),
        ("architecture is ", |r| r.encoder.architecture = None),
        ("similarity is ", |r| r.encoder.similarity = "dot".into()),
        ("harness is ", |r| r.harness.name = "other".into()),
    ];
    for (message, change) in cases {
        let mut record = record.clone();
        change(&mut record);
        let found = again(&bundle, 888, &record, real, &pairs);
        assert!(
            !found.result.passed && found.result.message.contains(message),
            "{message}: {found:?}"
        );
    }
    // What another machine need not have is named as not confirmed.
    let mut other = record.clone();
    other.encoder.device = Some("cuda".into());
    other.harness.version = "9.9.9".into();
    let found = again(&bundle, 888, &other, real, &pairs);
    assert!(
        found.result.passed && found.level == Level::Full,
        "{found:?}"
    );
    let message = &found.result.message;
    assert!(
        message.contains("claimed and not confirmed here: device \"cpu\" (here \"cuda\")"),
        "{message}"
    );
    assert!(message.contains("harness version"), "{message}");
}

#[test]
fn prompts_by_hand_are_no_protocol_by_name() {
    let home = Home::new();
    let path = submit(&home, &model(), "example/bert-mean");
    std::fs::remove_dir_all(home.results()).expect("removed");
    let eval = home
        .command(&[
            "eval",
            "--suite",
            "korfin-shift",
            "--no-baselines",
            "--backend",
            "candle",
        ])
        .args([
            "--resamples",
            "100",
            "--prompt",
            "문장 유사도: ",
            "--max-tokens",
            "20",
        ])
        .arg(model())
        .output()
        .expect("run");
    assert!(eval.status.success());
    home.command(&[
        "submit",
        "--name",
        "evil/prompted",
        "--licence",
        "mit",
        "--output",
        "out",
    ])
    .args([
        "--statement",
        "Trained on nothing at all.",
        "--overlap-report",
        "overlap.md",
    ])
    .assert()
    .success();
    let bytes = std::fs::read(home.path("out/evil__prompted.kfsub.zip")).expect("a bundle");
    let files = korfinsts_base::archive::read(&bytes).expect("a bundle");
    let manifest: Value = serde_json::from_slice(&files["submission.json"]).expect("JSON");
    assert_eq!(manifest["run"]["protocol"], "custom");
    for (protocol, passes) in [
        ("custom", true),
        ("native", false),
        ("mteb", false),
        ("made-up", false),
    ] {
        let mut parts = Parts {
            manifest: manifest.clone(),
            files: files.clone(),
        };
        parts.files.remove("submission.json");
        parts.files.remove(korfinsts_base::sums::SUMS);
        parts.manifest["run"]["protocol"] = json!(protocol);
        std::fs::write(&path, parts.bytes()).expect("written");
        let output = home
            .command(&[
                "verify",
                "--rerun",
                "full",
                "--backend",
                "candle",
                "--model",
            ])
            .arg(model())
            .arg(&path)
            .output()
            .expect("run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), passes, "{protocol}: {said}");
        assert_eq!(
            said.contains("when encoded again, the bundle says"),
            !passes,
            "{protocol}: {said}"
        );
    }
}

/// `leaderboard add` of some bundles at once: exit code and what was said of each.
fn add(home: &Home, paths: &[&std::path::Path]) -> Vec<(Option<i32>, String)> {
    let children: Vec<_> = paths
        .iter()
        .map(|path| {
            let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("korfinsts"));
            command.args(["leaderboard", "add", "--resamples", "100"]);
            command
                .current_dir(home.path(""))
                .env("KORFINSTS_DATA", home.data());
            command.stdout(std::process::Stdio::null());
            command.stderr(std::process::Stdio::piped());
            command.arg(path).spawn().expect("started")
        })
        .collect();
    let ended = children.into_iter().map(|child| {
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    });
    ended.collect()
}

#[test]
fn a_key_in_the_first_bundle_signs_the_next_and_two_copies_at_once_are_one() {
    let home = Home::new();
    submit(&home, &model(), "example/bert-mean");
    let mut keys = Vec::new();
    for name in ["own.key", "evil.key"] {
        let pair = KeyPair::generate_unencrypted_keypair().expect("keys");
        let text = pair.sk.to_box(None).expect("a box").into_string();
        std::fs::write(home.path(name), text).expect("written");
        keys.push(pair);
    }
    let pack = |key: &str, report: &str, more: &[&str]| {
        std::fs::write(home.path("overlap.md"), report).expect("written");
        home.command(&["submit", "--name", "example/bert-mean", "--licence", "mit"])
            .args([
                "--statement",
                "Trained on nothing at all.",
                "--overlap-report",
                "overlap.md",
            ])
            .args(["--output", "out", "--secret-key", key])
            .args(more)
            .assert()
            .success();
        let to = home.path(&format!(
            "{}.kfsub.zip",
            korfinsts_base::fs::sha256(report.as_bytes())
        ));
        std::fs::copy(home.path("out/example__bert-mean.kfsub.zip"), &to).expect("copied");
        to
    };
    let first = pack("own.key", "Looked for overlap: none.", &[]);
    let bytes = std::fs::read(&first).expect("read");
    let bundle = Bundle::open(&bytes).expect("signed");
    assert_eq!(
        bundle.manifest.public_key.as_deref(),
        Some(&*keys[0].pk.to_base64())
    );
    // A key that did not sign, and a signature without a key, are refused.
    let parts = korfinsts_base::archive::read(&bytes).expect("a bundle");
    let mut manifest: Value = serde_json::from_slice(&parts["submission.json"]).expect("JSON");
    manifest["public_key"] = json!(keys[1].pk.to_base64());
    let sealed = |manifest: &Value| {
        let mut files = parts.clone();
        files.insert(
            "submission.json".into(),
            korfinsts_bench::run::record::to_json(manifest),
        );
        let list = korfinsts_base::sums::write(&files);
        files.insert(korfinsts_base::sums::SUMS.into(), list.into_bytes());
        Bundle::open(&korfinsts_base::archive::write(&files).expect("packed"))
    };
    assert!(
        sealed(&manifest)
            .expect_err("another key")
            .reason
            .contains("does not verify")
    );
    manifest
        .as_object_mut()
        .expect("an object")
        .remove("public_key");
    assert!(
        sealed(&manifest)
            .expect_err("no key")
            .reason
            .contains("public_key")
    );
    // Two at once: one waits for none, and is not taken in.
    let mut codes: Vec<_> = add(&home, &[&first, &first])
        .into_iter()
        .map(|a| a.0)
        .collect();
    codes.sort();
    assert!(codes[0] == Some(0) && codes[1] != Some(0), "{codes:?}");
    let old = ["--resubmission-of", first.to_str().expect("UTF-8")];
    let evil = pack("evil.key", "Looked for overlap: none, says another.", &old);
    let (code, said) = add(&home, &[&evil]).remove(0);
    assert!(
        code == Some(1) && said.contains("another key signed this bundle"),
        "{said}"
    );
    let next = pack("own.key", "Looked for overlap again: none.", &old);
    let (code, said) = add(&home, &[&next]).remove(0);
    assert!(
        code == Some(0) && said.contains("replaced: 1 records"),
        "{said}"
    );
}

#[test]
fn gold_scores_come_from_the_suite_of_this_machine() {
    let home = Home::new();
    submit(&home, &model(), "example/bert-mean");
    let records = korfinsts_base::fs::walk(&home.results(), 100).expect("listed");
    let record = records
        .iter()
        .find(|p| p.to_string_lossy().ends_with(".resamples-100.json"))
        .expect("a record");
    let pairs_path = record.with_extension("pairs.jsonl");
    let text = std::fs::read_to_string(&pairs_path).expect("read");
    // Eight records with gold of their own, of which the score is a perfect one.
    for at in 0..8 {
        let rows: Vec<String> = text
            .lines()
            .map(|line| {
                let mut row: Value = serde_json::from_str(line).expect("JSON");
                row["gold"] = row["score"].clone();
                format!("{row}\n")
            })
            .collect();
        let body = rows.concat();
        let mut forged: Value =
            serde_json::from_slice(&std::fs::read(record).expect("read")).expect("JSON");
        forged["encoder"]["name"] = json!(format!("evil/model-{at}"));
        forged["encoder"]["sha256"] = json!(format!("{at:064x}"));
        forged["scores"]["cosine_spearman"] = json!(1.0);
        forged["pairs"]["sha256"] = json!(korfinsts_base::fs::sha256(body.as_bytes()));
        let folder = home.path(&format!("forged/evil{at}"));
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join(pairs_path.file_name().expect("a name")), body)
            .expect("written");
        std::fs::write(
            folder.join(record.file_name().expect("a name")),
            forged.to_string(),
        )
        .expect("written");
    }
    let output = home
        .command(&[
            "leaderboard",
            "build",
            "--no-reported",
            "--resamples",
            "100",
            "-o",
            "site",
        ])
        .arg("--records")
        .arg(home.results())
        .args(["--submitted", "forged"])
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the gold score of `"), "{said}");
    let rows = std::fs::read_to_string(home.path("site/results.csv")).expect("a table");
    assert!(
        rows.contains("bert-mean") && !rows.contains("evil/model"),
        "{rows}"
    );
}
