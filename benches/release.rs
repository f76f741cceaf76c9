//! How long the gates of a release of 2,000 pairs take, and the checks of a bundle of 2,000 scores.
//!
//! `cargo bench --bench release`. What is asked for: under 2 s and under 100 ms.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    reason = "a benchmark stops where anything is amiss"
)]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use korfinsts_base::archive::{self, Files};
use korfinsts_base::fs::sha256;
use korfinsts_base::sums;
use korfinsts_bench::suite::Registry;
use korfinsts_publish::release::{Context, QUESTIONS, Subject, build, check};
use korfinsts_publish::submission::{Bundle, BundleContext, records, verify};
use serde_json::json;

const PAIRS: usize = 2_000;
const CANARY: &str = "0b7ab5b2-6f0f-4f7c-9a53-0f8d3c1d2e4f";

/// Numbers that look random and are the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }
}

fn sentence(random: &mut Random) -> String {
    let words: Vec<String> = (0..14)
        .map(|_| format!("{}어절", random.below(3_000)))
        .collect();
    format!("{} 나타났다.", words.join(" "))
}

/// A release of one split, three labels per row.
fn release() -> Files {
    let mut random = Random(1);
    let (mut rows, mut labels, mut origins) = (String::new(), String::new(), String::new());
    for i in 0..PAIRS {
        let id = format!("test-{i:04}");
        let score = (i / 2) % 6;
        let row = json!({"id": id, "sentence1": sentence(&mut random), "sentence2": sentence(&mut random), "score": score, "domain": (["news", "report"][i % 2])});
        rows += &format!("{row}\n");
        for annotator in ["a", "b", "c"] {
            labels += &format!(
                "{}\n",
                json!({"id": id, "annotator": annotator, "label": score})
            );
        }
        origins += &format!(
            "{}\n",
            json!({"id": id, "source": "press", "sha256": sha256(b"x")})
        );
    }
    let licence = format!("SPDX-License-Identifier: CC-BY-4.0\nCanary: {CANARY}\n");
    let answers: String = QUESTIONS
        .keys()
        .map(|k| format!("{k} = \"An answer.\"\n"))
        .collect();
    let manifest = format!(
        "schema = 1\nid = \"bench\"\nversion = \"1.0.0\"\ntitle = \"Bench\"\ndescription = \"For a benchmark.\"\nlanguages = [\"kor-Hang\"]\n\
         licence = \"CC-BY-4.0\"\nhomepage = \"https://example.org\"\ndate = \"2026-01-01\"\ncanary = \"{CANARY}\"\ndefault_split = \"test\"\n\
         scale = {{ kind = \"ordinal\", min = 0, max = 5 }}\nagreement = {{ level = \"ordinal\", floor = 0.8 }}\n[splits.test]\n[[author]]\nname = \"Bench\"\n\
         [[source]]\nname = \"press\"\ntitle = \"Press\"\nlicence = \"CC-BY-4.0\"\nlicence_sha256 = \"{}\"\n[datasheet]\n{answers}",
        sha256(licence.as_bytes())
    );
    [
        ("korfinsts.toml", manifest),
        ("LICENSE", licence.clone()),
        ("licenses/press.txt", licence),
        ("LABELS.md", format!("# Labels\n\n0 to 5.\n\n{CANARY}\n")),
        (
            "CHANGELOG.md",
            format!("# Changelog\n\n## 1.0.0\n\nThe first.\n\n{CANARY}\n"),
        ),
        ("data/test.jsonl", rows),
        ("annotations/raw.jsonl", labels),
        ("provenance/sources.jsonl", origins),
    ]
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .into()
}

fn gates(c: &mut Criterion) {
    let context = Context::on("2026-01-01".parse().unwrap());
    let subject = Subject::from_files(release(), Path::new("bench"), context).unwrap();
    assert!(check(&subject).passed, "{:#?}", check(&subject).findings);
    let mut group = c.benchmark_group("release");
    group.sample_size(10);
    group.bench_function("check of 2,000 pairs", |b| {
        b.iter(|| check(black_box(&subject)));
    });
    group.bench_function("build of 2,000 pairs", |b| {
        b.iter(|| build(black_box(&subject)).unwrap().release_id);
    });
    group.finish();
}

/// A suite of 2,000 pairs in a data home, and a bundle of scores on it.
fn bundle(home: &Path) -> Vec<u8> {
    let mut random = Random(2);
    let folder = home.join("suites-local/bench");
    std::fs::create_dir_all(&folder).unwrap();
    let (mut rows, mut scores, mut tokens) = (String::new(), String::new(), String::new());
    for i in 0..PAIRS {
        rows += &format!(
            "{}\n",
            json!({"id": format!("p-{i}"), "a": sentence(&mut random), "b": sentence(&mut random), "s": i % 2, "d": (["news", "report", "legal"][i % 3])})
        );
        let score = random.below(1 << 30) as f64 / f64::from(1 << 29) - 1.0;
        scores += &format!("{}\n", json!({"id": format!("p-{i}"), "score": score}));
        tokens += &format!(
            "{}\n",
            json!({"suite": "bench", "split": "test", "id": format!("p-{i}"), "tokens": [20, 22], "lost": [0, 0]})
        );
    }
    std::fs::write(folder.join("test.jsonl"), rows).unwrap();
    std::fs::write(
        folder.join("suite.toml"),
        "schema = 1\nid = \"bench\"\nversion = \"1.0.0\"\ntitle = \"Bench\"\ndescription = \"x\"\nlanguages = [\"kor-Hang\"]\nlicence = \"CC-BY-4.0\"\nredistributable = true\n\
         default_split = \"test\"\n[scale]\nkind = \"binary\"\nmin = 0\nmax = 1\n[splits.test]\n[[source]]\nname = \"here\"\nformat = { kind = \"jsonl\" }\n\
         columns = { id = [\"id\"], sentence1 = \"a\", sentence2 = \"b\", score = \"s\" }\n[source.domains]\ncolumn = \"d\"\nunknown = \"keep\"\n[source.files]\ntest = [{ name = \"test.jsonl\" }]\n",
    )
    .unwrap();
    let registry = Registry::open(home).unwrap();
    let suite = registry
        .load(&registry.find("bench").unwrap(), None)
        .unwrap();
    let hash = sha256(b"weights");
    let mut manifest = json!({
        "schema_version": 1,
        "model": {"id": "bench", "revision": null, "licence": "mit", "files": [{"role": "weights", "name": "model.safetensors", "sha256": hash}], "architecture": "bert",
            "pooling": "mean", "normalise": true, "dimension": 384, "max_tokens": 128, "prompts": ["", ""]},
        "run": {"harness": {"name": "korfinsts", "version": "0.1.0", "commit": null}, "backend": "candle", "backend_version": null, "device": "cpu", "dtype": "float32",
            "batch_plan_sha256": null, "similarity": "cosine", "protocol": "native"},
        "suites": [{"id": "bench", "version": "1.0.0", "release_id": suite.release_id, "split": "test", "n_pairs": PAIRS,
            "scores": {"file": "scores/bench.test.jsonl", "sha256": sha256(scores.as_bytes())}, "metrics": {"domains": {}, "triplet_accuracy": {}}, "truncated_pairs": 0}],
        "disclosure": {"trained_on": [], "overlap_report": "Looked for, nothing found.", "contaminated_ids": []},
        "resubmission_of": null,
    });
    let pack = |manifest: &serde_json::Value| {
        let mut files: Files = [
            ("submission.json", manifest.to_string()),
            ("scores/bench.test.jsonl", scores.clone()),
            ("tokens.jsonl", tokens.clone()),
            ("env.json", "{}".to_owned()),
            (
                "train_data.json",
                r#"{"statement":"Made for a benchmark.","datasets":[]}"#.to_owned(),
            ),
        ]
        .map(|(name, text)| (name.to_owned(), text.into_bytes()))
        .into();
        let list = sums::write(&files);
        files.insert(sums::SUMS.into(), list.into_bytes());
        archive::write(&files).unwrap()
    };
    // What is claimed is what follows from the scores.
    let options = korfinsts_metric::BootstrapOptions {
        resamples: 100,
        ..Default::default()
    };
    let opened = Bundle::open(&pack(&manifest)).unwrap();
    let (record, _) = records(&opened, &registry, &options).remove(0);
    let mut metrics = json!({"domains": {}, "triplet_accuracy": {}});
    let scores_json = serde_json::to_value(record.scores).unwrap();
    for key in [
        "cosine_spearman",
        "cosine_pearson",
        "auc",
        "average_precision",
        "ceiling",
    ] {
        metrics[key] = scores_json[key].clone();
    }
    metrics["macro_spearman"] = record.macro_spearman.into();
    metrics["within_domain_spearman"] = record.within_domain_spearman.into();
    for (name, domain) in &record.domains {
        metrics["domains"][name] =
            json!({"n_pairs": domain.n_pairs, "cosine_spearman": domain.cosine_spearman});
    }
    manifest["suites"][0]["metrics"] = metrics;
    pack(&manifest)
}

fn bundles(c: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let bytes = bundle(home.path());
    let registry = Registry::open(home.path()).unwrap();
    let context = BundleContext {
        registry: &registry,
        entries: &[],
        revoked: &[],
    };
    let (verdict, _) = verify(&bytes, context);
    assert!(verdict.passed, "{verdict:#?}");
    let mut group = c.benchmark_group("submission");
    group.sample_size(20);
    // Reading the suite from disk is part of it.
    group.bench_function("verify of 2,000 pairs", |b| {
        b.iter(|| verify(black_box(&bytes), context).0.passed);
    });
    group.finish();
}

criterion_group!(benches, gates, bundles);
criterion_main!(benches);
