//! Hostile model files: each is refused with a reason before anything runs it.

use std::time::Instant;

use korfinsts_encoder::onnx;
use korfinsts_nn::safetensors;

use crate::support::repository;

fn header(text: &str, values: usize) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.bytes());
    bytes.extend(vec![0; values]);
    bytes
}

/// safetensors files that lie.
fn tensors() -> Vec<(String, Vec<u8>)> {
    let tensor = r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    let mut cases: Vec<(String, Vec<u8>)> = [
        ("a key twice", format!(r#"{{"a":{tensor},"a":{tensor}}}"#), 8),
        ("deep nesting", deep, 0),
        ("an overlap", format!(r#"{{"a":{tensor},"b":{tensor}}}"#), 8),
        ("a gap", r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#.into(), 16),
        ("an end before its beginning", r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#.into(), 8),
        ("an end beyond the file", r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#.into(), 8),
        ("a shape that overflows", r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}"#.into(), 8),
        ("a shape below zero", r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#.into(), 8),
        ("a shape that does not fit", r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#.into(), 8),
        ("a type nobody knows", r#"{"a":{"dtype":"PICKLE","shape":[2],"data_offsets":[0,8]}}"#.into(), 8),
        ("no type", r#"{"a":{"shape":[2],"data_offsets":[0,8]}}"#.into(), 8),
        ("offsets as texts", r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":["0","8"]}}"#.into(), 8),
        ("an offset of 2^70", r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,1180591620717411303424]}}"#.into(), 8),
        ("NaN", r#"{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}"#.into(), 8),
        ("a list", "[]".into(), 0),
        ("bytes after the last tensor", format!(r#"{{"a":{tensor}}}"#), 99),
    ]
    .into_iter()
    .map(|(what, text, values): (&str, String, usize)| (format!("safetensors: {what}"), header(&text, values)))
    .collect();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("seven bytes", vec![0; 7]),
        (
            "a header of 2^63 bytes",
            [(1_u64 << 63).to_le_bytes().as_slice(), b"{}"].concat(),
        ),
        (
            "a header longer than the file",
            [1_000_u64.to_le_bytes().as_slice(), b"{}"].concat(),
        ),
        ("a pickle", b"\x80\x02}q\0.aaaaaaaaaaaaaaaaaa".to_vec()),
        ("a zip file", b"PK\x03\x04aaaaaaaaaaaaaaaaaaaa".to_vec()),
        (
            "a pointer of Git LFS",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n".to_vec(),
        ),
    ] {
        cases.push((format!("safetensors: {what}"), bytes));
    }
    cases
}

/// ONNX files that are damaged or reach outside.
fn graphs() -> Vec<(String, Vec<u8>)> {
    let good =
        std::fs::read(repository("tests/reference/onnx/bert-states/model.onnx")).expect("a graph");
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for tenth in 1..10 {
        cases.push((
            format!("ONNX cut at {tenth}/10"),
            good[..good.len() * tenth / 10].to_vec(),
        ));
    }
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("HTML", b"<!DOCTYPE html><html></html>".to_vec()),
        ("a pickle", b"\x80\x04\x95aaaa".to_vec()),
        (
            "a length of 2^63",
            vec![0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        ),
        ("a number that never ends", vec![0xFF; 64]),
        ("a group of wire type 3", vec![0x3B; 64]),
        (
            "a pointer of Git LFS",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n".to_vec(),
        ),
        ("nested messages", [vec![0x3A; 5_000], vec![0]].concat()),
    ] {
        cases.push((format!("ONNX: {what}"), bytes));
    }
    cases
}

#[test]
fn hostile_model_files_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let (tensors, graphs) = (tensors(), graphs());
    assert!(tensors.len() + graphs.len() >= 35);
    let mut slowest: f64 = 0.0;
    for (what, bytes) in &tensors {
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, bytes).expect("written");
        let start = Instant::now();
        let error = safetensors::check(&path).expect_err(what).to_string();
        slowest = slowest.max(start.elapsed().as_secs_f64());
        assert!(error.len() > 20 && error.len() < 2_000, "{what}: {error}");
    }
    for (what, bytes) in &graphs {
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, bytes).expect("written");
        let start = Instant::now();
        let error = onnx::inspect(&path).expect_err(what).to_string();
        slowest = slowest.max(start.elapsed().as_secs_f64());
        assert!(error.len() > 20 && error.len() < 2_000, "{what}: {error}");
    }
    eprintln!(
        "{} hostile model files, the slowest took {slowest:.3} s",
        tensors.len() + graphs.len()
    );
    assert!(slowest < 20.0, "{slowest}");
}
