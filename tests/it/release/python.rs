//! What other tools load equals the source rows: Hugging Face `datasets` and `mlcroissant` are run.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::fixture::Fixture;
use crate::support::{full, repository};

/// The Python that `KORFINSTS_PYTHON` names, with `datasets` and `mlcroissant` installed.
fn python() -> Option<PathBuf> {
    if !full("releases loaded by Hugging Face `datasets` and `mlcroissant`") {
        return None;
    }
    let Some(python) = std::env::var_os("KORFINSTS_PYTHON") else {
        eprintln!(
            "SKIPPED: KORFINSTS_PYTHON names no Python with `datasets` and `mlcroissant`, so releases are not loaded"
        );
        return None;
    };
    Some(python.into())
}

fn load(python: &Path, folder: &Path, split: &str) -> Result<Value, String> {
    let cache = tempfile::tempdir().expect("a folder");
    let output = Command::new(python)
        .arg("-B")
        .arg(repository("tests/reference/release/load.py"))
        .args([folder, Path::new(split), cache.path()])
        .output()
        .expect("Python runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())
}

fn rows(folder: &Path, split: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(format!("data/{split}.jsonl"))).expect("read");
    text.lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

#[test]
fn datasets_and_mlcroissant_load_the_released_rows() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let fixture = korfinsts_publish::release::build(&Fixture::new().subject()).expect("built");
    let small = home.path().join("fixture");
    super::fixture::unpack(&fixture.files, &small);
    let released = repository("benchmarks/korfin-shift/releases/korfin-shift-1.1.0");
    for (folder, split) in [
        (&released, "test"),
        (&released, "dev"),
        (&small, "test"),
        (&small, "train"),
    ] {
        let expected = rows(folder, split);
        let loaded = load(&python, folder, split).expect("loaded");
        for what in ["default", "jsonl", "croissant"] {
            let found = loaded[what].as_array().expect(what);
            assert_eq!(found.len(), expected.len(), "{what}");
            for (a, b) in found.iter().zip(&expected) {
                assert_eq!(
                    a.as_object().map(serde_json::Map::len),
                    b.as_object().map(serde_json::Map::len),
                    "{what}: {a} {b}"
                );
                for (key, value) in b.as_object().expect("an object") {
                    assert_eq!(&a[key], value, "{what} {key}");
                }
            }
        }
        assert_eq!(
            loaded["warnings"].as_array().map(Vec::len),
            Some(0),
            "{}",
            loaded["warnings"]
        );
    }
    // A changed row has another checksum, which mlcroissant finds on loading.
    let data = small.join("data/test.jsonl");
    let text = std::fs::read_to_string(&data).expect("read");
    std::fs::write(&data, text.replacen("나타났다", "나타난다", 1)).expect("written");
    let refused = load(&python, &small, "test").expect_err("a wrong checksum");
    assert!(
        refused.to_lowercase().contains("hash") || refused.to_lowercase().contains("sha256"),
        "{refused}"
    );
}
