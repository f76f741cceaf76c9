//! From a run to a verified bundle and a model card, and encoded again: the commands as people type them.

use serde_json::Value;

use super::fixture::{Parts, SCORES, good, model, submit};
use crate::support::{Home, full, repository};

fn verdict(home: &Home, path: &std::path::Path, more: &[&str]) -> (Option<i32>, Value, String) {
    let output = home
        .command(&["verify", "--format", "json"])
        .arg(path)
        .args(more)
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), printed, said)
}

#[test]
fn a_run_becomes_a_bundle_with_a_card() {
    let home = Home::new();
    let bundle = submit(&home, &model(), "example/bert-mean");
    let (code, printed, said) = verdict(&home, &bundle, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(printed["level"], "recomputed");
    assert_eq!(printed["passed"], true);
    let ids: Vec<&str> = printed["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| c["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(&ids[..4], ["container", "schema", "names", "hashes"]);
    // Packed again, the same bytes.
    let first = std::fs::read(&bundle).expect("read");
    assert_eq!(
        first,
        std::fs::read(submit(&home, &model(), "example/bert-mean")).expect("read")
    );
    let card = home.path("out/example__bert-mean.card");
    let readme = std::fs::read_to_string(card.join("README.md")).expect("a card");
    for wanted in [
        "model-index:",
        "type: cosine_spearman",
        "split: \"test\"",
        "KorFin-Shift",
        "pipeline_tag: sentence-similarity",
    ] {
        assert!(readme.contains(wanted), "{wanted}\n{readme}");
    }
    let results = std::fs::read_to_string(card.join(".eval_results/korfin-shift.test.yaml"))
        .expect("results");
    assert!(
        results.contains("task_id: \"korfin-shift\"") && results.contains("protocol=native"),
        "{results}"
    );
    // The record's number is in the bundle with every digit.
    let parts = Parts::good();
    let value = parts.manifest["suites"][0]["metrics"]["cosine_spearman"]
        .as_f64()
        .expect("a score");
    assert!(
        readme.contains(&format!("value: {value}")),
        "{value}\n{readme}"
    );
    // Taken in once, it is found again.
    let entries = home.path("entries");
    std::fs::create_dir_all(&entries).expect("made");
    std::fs::copy(&bundle, entries.join("first.kfsub.zip")).expect("copied");
    let (code, _, said) = verdict(
        &home,
        &bundle,
        &["--entries", &entries.display().to_string()],
    );
    assert_eq!(code, Some(1));
    assert!(
        said.contains("refused: copy: this bundle was taken in before"),
        "{said}"
    );
}

#[test]
fn pairs_are_encoded_again_and_altered_scores_found() {
    let home = Home::new();
    let bundle = submit(&home, &model(), "example/bert-mean");
    let model = model().display().to_string();
    let with = |n: &str, seed: &str| {
        [
            "--rerun",
            n,
            "--model",
            &model,
            "--seed",
            seed,
            "--backend",
            "candle",
        ]
        .map(ToOwned::to_owned)
    };
    let run = |path: &std::path::Path, n: &str, seed: &str| {
        let more = with(n, seed);
        verdict(
            &home,
            path,
            &more.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    };
    for (n, level) in [
        ("64", "recomputed"),
        ("256", "re-run on 256 of 888 pairs"),
        ("full", "re-run in full"),
        ("9999", "re-run in full"),
    ] {
        let (code, printed, said) = run(&bundle, n, "a public seed");
        assert_eq!(
            (code, &printed["level"]),
            (Some(0), &Value::from(level)),
            "{said}"
        );
        let last = printed["checks"]
            .as_array()
            .expect("a list")
            .last()
            .expect("a check")
            .clone();
        assert_eq!(last["id"], "re-run");
        assert!(
            last["message"]
                .as_str()
                .is_some_and(|m| m.contains("identical")),
            "{last}"
        );
    }
    // Another model under the same name: its files have other hashes.
    let other = repository("tests/reference/encoders/distilbert-mean")
        .display()
        .to_string();
    let (code, _, said) = verdict(
        &home,
        &bundle,
        &[
            "--rerun",
            "8",
            "--model",
            &other,
            "--seed",
            "s",
            "--backend",
            "candle",
        ],
    );
    assert_eq!(code, Some(1));
    assert!(said.contains("refused: re-run: the model at"), "{said}");
    // Scores raised for every pair with gold 1, every number recomputed: only encoding again finds it.
    let mut parts = Parts::good();
    let mut rows = parts.rows(SCORES);
    for row in &mut rows {
        if row["id"].as_str().is_some_and(|id| id.ends_with(".pos")) {
            row["score"] = ((row["score"].as_f64().expect("a score") + 0.01).min(1.0)).into();
        }
    }
    parts.set_rows(SCORES, &rows);
    let altered = home.path("altered.kfsub.zip");
    rescore(&mut parts);
    std::fs::write(&altered, parts.bytes()).expect("written");
    let (code, printed, said) = verdict(&home, &altered, &[]);
    assert_eq!(
        (code, &printed["level"]),
        (Some(0), &Value::from("recomputed")),
        "{said}"
    );
    let (code, printed, said) = run(&altered, "8", "any seed");
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(printed["level"], "claimed");
    assert!(
        said.contains("refused: re-run: korfin-shift:test: the score of"),
        "{said}"
    );
}

/// Computes the claims of altered scores as a cheat would.
pub(super) fn rescore(parts: &mut Parts) {
    use korfinsts_metric as metric;
    let registry =
        korfinsts_bench::suite::Registry::open(std::path::Path::new("nowhere")).expect("suites");
    let suite = registry
        .load(&registry.find("korfin-shift").expect("built in"), None)
        .expect("loaded");
    let bundle =
        korfinsts_publish::submission::Bundle::open(&parts.bytes()).expect("a readable bundle");
    let options = metric::BootstrapOptions {
        resamples: 100,
        ..metric::BootstrapOptions::default()
    };
    let records = korfinsts_publish::submission::records(&bundle, &registry, &options);
    assert_eq!(records[0].1.len(), suite.pairs.len());
    let record = &records[0].0;
    let metrics = &mut parts.manifest["suites"][0]["metrics"];
    metrics["cosine_spearman"] = record.scores.cosine_spearman.into();
    metrics["cosine_pearson"] = record.scores.cosine_pearson.into();
    metrics["auc"] = record.scores.auc.into();
    metrics["average_precision"] = record.scores.average_precision.into();
    metrics["macro_spearman"] = record.macro_spearman.into();
    metrics["within_domain_spearman"] = record.within_domain_spearman.into();
    for (name, domain) in &record.domains {
        metrics["domains"][name]["cosine_spearman"] = domain.cosine_spearman.into();
    }
    for (name, accuracy) in &record.triplet_accuracy {
        metrics["triplet_accuracy"][name] = (*accuracy).into();
    }
}

#[test]
fn a_verified_bundle_becomes_the_records_it_was_packed_from() {
    let home = Home::new();
    let bundle = submit(&home, &model(), "bert-mean");
    let bytes = std::fs::read(&bundle).expect("read");
    let registry = korfinsts_bench::suite::Registry::open(&home.data()).expect("suites");
    let options = korfinsts_metric::BootstrapOptions {
        resamples: 100,
        ..korfinsts_metric::BootstrapOptions::default()
    };
    let context = korfinsts_publish::submission::BundleContext {
        registry: &registry,
        entries: &[],
        revoked: &[],
    };
    let accepted = korfinsts_publish::submission::accepted(&bundle, &bytes, context, &options)
        .expect("accepted");
    let (record, pairs) = &accepted.records[0];
    let path = walkdir::WalkDir::new(home.results())
        .into_iter()
        .map(|e| e.expect("listed").into_path())
        .find(|p| {
            p.to_string_lossy()
                .ends_with("korfin-shift.test.native.resamples-100.json")
        })
        .expect("the record");
    let original = korfinsts_bench::run::record::Record::read(&path).expect("read");
    assert_eq!(
        record.scores.cosine_spearman,
        original.scores.cosine_spearman
    );
    assert_eq!(record.interval, original.interval);
    assert_eq!(record.domains, original.domains);
    assert_eq!(record.triplet_accuracy, original.triplet_accuracy);
    assert_eq!(record.truncated_share, original.truncated_share);
    assert_eq!(record.tokens_lost_share, original.tokens_lost_share);
    assert_eq!(record.encoder.sha256, original.encoder.sha256);
    assert_eq!(pairs.len(), 888);
    assert_eq!(record.trained_on, None);
    // One that does not pass gives no records.
    let mut damaged = bytes;
    damaged[100] ^= 1;
    assert!(korfinsts_publish::submission::accepted(&bundle, &damaged, context, &options).is_err());
}

#[test]
fn what_cannot_be_packed_is_said() {
    let home = Home::new();
    std::fs::write(
        home.path("overlap.md"),
        "Looked for shared sentences: none.\n",
    )
    .expect("written");
    let submit = |more: &[&str]| {
        let output = home
            .command(&[
                "submit",
                "--licence",
                "mit",
                "--statement",
                "Trained on nothing at all.",
                "--overlap-report",
                "overlap.md",
            ])
            .args(more)
            .output()
            .expect("run");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    // Baselines alone; then a part of a suite; then two protocols; then without token counts.
    home.command(&["eval", "--resamples", "100"])
        .assert()
        .success();
    for entry in std::fs::read_dir(home.results()).expect("results") {
        let entry = entry.expect("an entry");
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("nmixx-mini")
        {
            std::fs::remove_dir_all(entry.path()).expect("removed");
        }
    }
    let (code, said) = submit(&[]);
    assert!(
        code == Some(3) && said.contains("no record of an encoder"),
        "{said}"
    );
    let eval = |more: &[&str]| {
        home.command(&["eval"])
            .arg(model())
            .args([
                "--suite",
                "korfin-shift",
                "--no-baselines",
                "--backend",
                "candle",
                "--resamples",
                "100",
            ])
            .args(more)
            .assert()
            .success();
    };
    eval(&["--limit", "10"]);
    let (code, said) = submit(&[]);
    assert!(
        code == Some(3) && said.contains("of a part of the suite"),
        "{said}"
    );
    std::fs::remove_dir_all(home.results()).expect("removed");
    eval(&[]);
    eval(&["--protocol", "mteb"]);
    let (code, said) = submit(&[]);
    assert!(code == Some(2) && said.contains("--protocol"), "{said}");
    let (code, said) = submit(&["--protocol", "mteb"]);
    assert_eq!(code, Some(0), "{said}");
    for entry in walkdir::WalkDir::new(home.results()) {
        let path = entry.expect("listed").into_path();
        if path.to_string_lossy().ends_with(".tokens.jsonl") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    let (code, said) = submit(&["--protocol", "mteb"]);
    assert!(
        code == Some(3) && said.contains("token counts") && said.contains("hint: evaluate again"),
        "{said}"
    );
    let (code, said) = submit(&["--protocol", "native", "--contaminated", "none.txt"]);
    assert!(code == Some(6) && said.contains("none.txt"), "{said}");
    assert!(!good().is_empty());
}

#[test]
fn the_model_card_is_what_hubs_read() {
    const SCRIPT: &str = "import sys, json, yaml, glob
from huggingface_hub import ModelCard
card = ModelCard.load(sys.argv[1] + '/README.md')
results = [[r.dataset_config, r.dataset_split, r.metric_type, r.metric_value, r.source_url] for r in card.data.eval_results]
files = [yaml.safe_load(open(f)) for f in sorted(glob.glob(sys.argv[1] + '/.eval_results/*.yaml'))]
print(json.dumps({'name': card.data.model_name, 'results': results, 'files': files}, default=str))";
    if !full("a model card read by `huggingface_hub`") {
        return;
    }
    let Some(python) = std::env::var_os("KORFINSTS_PYTHON") else {
        eprintln!(
            "SKIPPED: KORFINSTS_PYTHON names no Python with `huggingface_hub`, so no model card is read"
        );
        return;
    };
    for url in [None, Some("https://example.org/results")] {
        let home = Home::new();
        submit(&home, &model(), "example/bert-mean");
        let mut command = home.command(&[
            "submit",
            "--name",
            "example/bert-mean",
            "--licence",
            "apache-2.0",
        ]);
        command.args([
            "--statement",
            "Random weights, trained on nothing.",
            "--overlap-report",
            "overlap.md",
            "--output",
            "out",
        ]);
        if let Some(url) = url {
            command.args(["--url", url]);
        }
        command.assert().success();
        let output = std::process::Command::new(&python)
            .args(["-B", "-c", SCRIPT])
            .arg(home.path("out/example__bert-mean.card"))
            .output()
            .expect("Python runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let claimed = &Parts::good().manifest["suites"][0]["metrics"];
        assert_eq!(read["name"], "bert-mean");
        assert_eq!(read["results"].as_array().map(Vec::len), Some(5));
        for result in read["results"].as_array().expect("a list") {
            assert_eq!(result[0], "korfin-shift");
            assert_eq!(result[3], claimed[result[2].as_str().expect("a metric")]);
            assert_eq!(result[4].as_str(), url);
        }
        assert_eq!(read["files"][0][0]["value"], claimed["cosine_spearman"]);
    }
}

#[test]
fn a_bundle_is_taken_in_and_shown_and_a_copy_is_not() {
    let home = Home::new();
    let bundle = submit(&home, &model(), "example/bert-mean");
    let add_with = |path: &std::path::Path, more: &[&str]| {
        let output = home
            .command(&[
                "leaderboard",
                "add",
                "--resamples",
                "100",
                "--format",
                "json",
            ])
            .args(more)
            .arg(path)
            .output()
            .expect("run");
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (
            output.status.code(),
            printed,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let add = |path: &std::path::Path| add_with(path, &[]);
    let (code, printed, said) = add(&bundle);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(printed[0]["encoder"]["name"], "example/bert-mean");
    let claimed = &Parts::good().manifest["suites"][0]["metrics"]["cosine_spearman"];
    assert_eq!(&printed[0]["scores"]["cosine_spearman"], claimed);
    // Again, it is a copy; damaged, it is refused: neither leaves anything.
    let (code, _, said) = add(&bundle);
    assert!(
        code == Some(1) && said.contains("was taken in before"),
        "{said}"
    );
    let damaged = home.path("damaged.kfsub.zip");
    let mut bytes = std::fs::read(&bundle).expect("read");
    bytes[200] ^= 1;
    std::fs::write(&damaged, bytes).expect("written");
    let (code, _, said) = add(&damaged);
    assert!(
        code == Some(1) && said.contains("hint: `korfinsts verify`"),
        "{said}"
    );
    let kept = std::fs::read_dir(home.path("korfinsts-submitted/bundles"))
        .expect("a folder")
        .count();
    assert_eq!(kept, 1);
    // The page shows it as recomputed.
    home.command(&[
        "leaderboard",
        "build",
        "--records",
        "korfinsts-submitted/none",
        "--submitted",
        "korfinsts-submitted/records",
        "--no-reported",
    ])
    .args(["--resamples", "100", "-o", "site"])
    .assert()
    .failure();
    std::fs::create_dir_all(home.path("mine")).expect("made");
    home.command(&[
        "leaderboard",
        "build",
        "--records",
        "mine",
        "--submitted",
        "korfinsts-submitted/records",
        "--no-reported",
    ])
    .args(["--resamples", "100", "-o", "site", "--strict"])
    .assert()
    .success();
    let page = std::fs::read_to_string(home.path("site/index.html")).expect("a page");
    assert!(page.contains("example/bert-mean") && page.contains("recomputed"));
    // Another bundle of the model, whose weights differ, takes its place: its scores are the new ones, and
    // the old bundle is kept, so that it is still found when it is handed in again.
    let mut parts = Parts::good();
    for file in parts.manifest["model"]["files"]
        .as_array_mut()
        .expect("files")
    {
        file["sha256"] = "2".repeat(64).into();
    }
    let mut rows = parts.rows(SCORES);
    for (i, row) in rows.iter_mut().enumerate() {
        row["score"] =
            (row["score"].as_f64().expect("a score") * if i % 3 == 0 { 0.5 } else { 1.0 }).into();
    }
    parts.set_rows(SCORES, &rows);
    rescore(&mut parts);
    let unknown = "3".repeat(64);
    parts.manifest["resubmission_of"] = unknown.clone().into();
    let next = home.path("next.kfsub.zip");
    std::fs::write(&next, parts.bytes()).expect("written");
    let (code, _, said) = add_with(&next, &["--vouch"]);
    assert!(
        code == Some(1)
            && said.contains(&format!(
                "the bundle {unknown}, which was not taken in here"
            )),
        "{said}"
    );
    parts.manifest["resubmission_of"] = korfinsts_base::fs::sha256_file(&bundle)
        .expect("read")
        .into();
    std::fs::write(&next, parts.bytes()).expect("written");
    // Without proof that it is of the same submitter nothing is replaced.
    let (code, _, said) = add(&next);
    assert!(
        code == Some(1) && said.contains("nothing proves that this one is of the same submitter"),
        "{said}"
    );
    assert!(said.contains("leaderboard add --vouch"), "{said}");
    let (code, printed, said) = add_with(&next, &["--vouch"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("replaced: 1 records of the bundle"), "{said}");
    let records: Vec<_> = korfinsts_base::fs::walk(&home.path("korfinsts-submitted/records"), 100)
        .expect("listed")
        .into_iter()
        .filter(|p| p.to_string_lossy().ends_with(".resamples-100.json"))
        .collect();
    assert_eq!(records.len(), 1, "{records:?}");
    let left = korfinsts_bench::run::record::Record::read(&records[0]).expect("a record");
    assert_eq!(
        Value::from(left.scores.cosine_spearman),
        printed[0]["scores"]["cosine_spearman"]
    );
    let (code, _, said) = add(&bundle);
    assert!(
        code == Some(1) && said.contains("was taken in before"),
        "{said}"
    );
}
