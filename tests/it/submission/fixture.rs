//! A bundle made by the program itself, in parts that a test can damage.

use std::path::PathBuf;
use std::sync::OnceLock;

use korfinsts_base::archive::{self, Files};
use korfinsts_base::fs::sha256;
use korfinsts_base::sums::{self, SUMS};
use korfinsts_bench::suite::Registry;
use korfinsts_publish::submission::{self, BundleContext, BundleEntry, Revoked, Verdict};
use serde_json::Value;

use crate::support::{Home, repository};

/// The folder of the model that the bundle is of.
pub fn model() -> PathBuf {
    repository("tests/reference/encoders/bert-mean")
}

/// Evaluates the model on the built-in suite in this home, and packs a bundle.
pub fn submit(home: &Home, model: &std::path::Path, name: &str) -> PathBuf {
    home.command(&["eval"])
        .arg(model)
        .args([
            "--suite",
            "korfin-shift",
            "--no-baselines",
            "--backend",
            "candle",
            "--resamples",
            "100",
        ])
        .assert()
        .success();
    std::fs::write(
        home.path("overlap.md"),
        "Looked for shared sentences with `release check --against`: none.\n",
    )
    .expect("written");
    home.command(&["submit", "--name", name, "--licence", "apache-2.0"])
        .args([
            "--statement",
            "Random weights, trained on nothing.",
            "--overlap-report",
            "overlap.md",
        ])
        .args(["--output", "out"])
        .assert()
        .success();
    home.path("out")
        .join(format!("{}.kfsub.zip", name.replace('/', "__")))
}

/// The bytes of a good bundle, made once for all tests.
pub fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let home = Home::new();
        let path = submit(&home, &model(), "example/bert-mean");
        std::fs::read(path).expect("the bundle")
    })
}

/// A bundle in parts.
#[derive(Clone)]
pub struct Parts {
    /// `submission.json`.
    pub manifest: Value,
    /// The other files.
    pub files: Files,
}

/// Name of the file of scores.
pub const SCORES: &str = "scores/korfin-shift.test.jsonl";

impl Parts {
    /// The good bundle.
    pub fn good() -> Self {
        let mut files = archive::read(good()).expect("a good bundle");
        let manifest = files.remove("submission.json").expect("a manifest");
        files.remove(SUMS);
        Self {
            manifest: serde_json::from_slice(&manifest).expect("JSON"),
            files,
        }
    }

    /// The text of a file.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.files[name].clone()).expect("UTF-8")
    }

    /// The rows of a JSONL file.
    pub fn rows(&self, name: &str) -> Vec<Value> {
        self.text(name)
            .lines()
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .collect()
    }

    /// Replaces the rows of a JSONL file.
    pub fn set_rows(&mut self, name: &str, rows: &[Value]) {
        let text: String = rows.iter().map(|r| format!("{r}\n")).collect();
        self.files.insert(name.into(), text.into_bytes());
    }

    /// The files with every hash right again, the manifest as this text.
    pub fn sealed_with(&self, manifest: &str) -> Files {
        let mut files = self.files.clone();
        files.insert("submission.json".into(), manifest.as_bytes().to_vec());
        let list = sums::write(&files);
        files.insert(SUMS.into(), list.into_bytes());
        files
    }

    /// The files with every hash right again.
    pub fn sealed(&self) -> Files {
        let mut manifest = self.manifest.clone();
        if let (Some(bytes), true) = (
            self.files.get(SCORES),
            manifest["suites"][0]["scores"].is_object(),
        ) {
            manifest["suites"][0]["scores"]["sha256"] = sha256(bytes).into();
        }
        self.sealed_with(&format!(
            "{}\n",
            serde_json::to_string_pretty(&manifest).expect("JSON")
        ))
    }

    /// The bundle with every hash right again.
    pub fn bytes(&self) -> Vec<u8> {
        archive::write(&self.sealed()).expect("packed")
    }
}

/// Verifies bytes against the built-in suites.
pub fn verify(bytes: &[u8], entries: &[BundleEntry], revoked: &[Revoked]) -> Verdict {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    let registry = REGISTRY
        .get_or_init(|| Registry::open(std::path::Path::new("nowhere")).expect("built-in suites"));
    let context = BundleContext {
        registry,
        entries,
        revoked,
    };
    submission::verify(bytes, context).0
}
