//! The CUDA kernels on a machine without a card: each is compiled for the CPU and held against
//! float64 by a program of `benches/gpu/emulator`, and says what it found.

use std::path::Path;
use std::process::Command;

/// Compiles and runs a program; gives what it printed.
fn check(source: &str, definitions: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let emulator = root.join("benches/gpu/emulator");
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("check");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let compiled = Command::new(&compiler)
        .args(["-O1", "-w", "-std=c++17"])
        .args(definitions)
        .arg("-I")
        .arg(&emulator)
        .arg("-I")
        .arg(root.join("crates/nn/src/kernels/cuda"))
        .arg(emulator.join(source))
        .arg("-o")
        .arg(&program)
        .output();
    let compiled = match compiled {
        Ok(done) => done,
        Err(e) => {
            eprintln!("SKIPPED {source}: no compiler `{compiler}`: {e}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&compiled.stderr).into_owned();
    assert!(compiled.status.success(), "{source} is compiled: {said}");
    let done = Command::new(&program).output().expect("the program runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{source} {definitions:?}: {said}");
}

#[test]
fn kernels_over_rows_compute_what_float64_says() {
    check("check_rows.cpp", &[]);
}

#[test]
fn attention_in_float32_computes_what_float64_says() {
    check("check_attention.cpp", &["-DTYPE=0", "-DHEAD=32"]);
}

#[test]
fn attention_in_bfloat16_computes_what_float64_says() {
    check("check_attention.cpp", &["-DTYPE=1", "-DHEAD=64"]);
}

#[test]
fn attention_in_float16_computes_what_float64_says() {
    check("check_attention.cpp", &["-DTYPE=2", "-DHEAD=32"]);
}
