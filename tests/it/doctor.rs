//! `korfinsts doctor`: what it says of this machine.

use serde_json::Value;

use super::support::Home;

/// What ONNX Runtime on CUDA needs, in the order in which the pieces depend on each other.
const CUDA: [&str; 9] = [
    "CUDA driver",
    "CUDA provider",
    "CUDA 13 runtime",
    "cuBLASLt",
    "cuBLAS",
    "NVRTC",
    "cuRAND",
    "cuFFT",
    "cuDNN 9",
];

#[test]
#[cfg(not(windows))]
fn with_cuda_asked_for_every_missing_piece_is_named_at_once() {
    let home = Home::new();
    let output = home
        .command(&["doctor", "--device", "cuda", "--format", "json"])
        .output()
        .expect("doctor runs");
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).expect("doctor prints JSON");
    let mut failed = Vec::new();
    for what in CUDA {
        let check = checks
            .iter()
            .find(|check| check["what"] == what)
            .unwrap_or_else(|| panic!("no line for {what}: {checks:#?}"));
        if check["status"] == "ok" {
            continue;
        }
        assert_eq!(check["status"], "fail", "{check}");
        let remedy = check["remedy"].as_str().unwrap_or_default();
        assert!(!remedy.is_empty(), "{check}");
        failed.push(what);
    }
    // The exit code and the closing line follow from the lines.
    assert_eq!(output.status.code(), Some(i32::from(!failed.is_empty())));
    let said = String::from_utf8_lossy(&output.stderr);
    for what in failed {
        assert!(said.contains(what), "{said}");
    }
}
