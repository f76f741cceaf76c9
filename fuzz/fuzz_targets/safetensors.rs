//! The header of a safetensors file.
#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;

/// Where the bytes are put: a folder in memory, where there is one.
fn path() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("korfinsts-fuzz-{}.safetensors", std::process::id()))
}

fuzz_target!(|data: &[u8]| {
    let path = path();
    if std::fs::write(&path, data).is_ok() {
        let _ = korfinsts_nn::safetensors::check(&path);
    }
});
