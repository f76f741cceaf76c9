//! Weights that are not read: by their name, and by what they begin with.

use std::io::Read as _;
use std::path::Path;

use super::file_name;
use crate::EncoderError;
use korfinsts_base::fs;

/// What kind of weights a name means, where they are not read.
pub(super) fn foreign_kind(path: &Path) -> Option<&'static str> {
    let name = file_name(path).to_lowercase();
    let extension = name.rsplit_once('.').map(|(_, e)| e)?;
    match extension {
        "bin" | "pt" | "pth" | "pkl" | "pickle" | "ckpt" => Some("a pickle, which runs code"),
        "h5" | "keras" => Some("a Keras file"),
        "msgpack" => Some("a Flax file"),
        "gguf" | "ggml" => Some("a GGUF file"),
        "tflite" => Some("a TensorFlow Lite file"),
        _ => None,
    }
}

/// Refuses weights by their name.
pub(super) fn refuse_name(path: &Path) -> Result<(), EncoderError> {
    match foreign_kind(path) {
        None => Ok(()),
        Some(kind) => Err(not_read(path, &format!("this is {kind} and is not opened"))),
    }
}

/// Refuses weights by their content, whatever their name.
///
/// # Errors
/// When the file begins as a zip archive, a pickle, an HDF5 or GGUF file, or a pointer of Git LFS.
pub(crate) fn refuse_foreign(path: &Path) -> Result<(), EncoderError> {
    let mut start = [0_u8; 48];
    let mut file = fs::open(path)?;
    let mut n = 0;
    while n < start.len() {
        match file.read(&mut start[n..]).map_err(fs::at("read", path))? {
            0 => break,
            more => n += more,
        }
    }
    let start = &start[..n];
    if start.is_empty() {
        return Err(EncoderError::Invalid {
            path: path.to_owned(),
            reason: "the file is empty".into(),
            hint: Some("was the model downloaded whole?".into()),
        });
    }
    if start.starts_with(b"version https://git-lfs") {
        return Err(EncoderError::Invalid {
            path: path.to_owned(),
            reason: "this is a pointer of Git LFS, not the file itself".into(),
            hint: Some("fetch it with `git lfs pull`".into()),
        });
    }
    let pickle = start[0] == 0x80 && start.get(1).is_some_and(|v| (2..=5).contains(v));
    // A safetensors file begins with the length of its header; one of 0x80 0x02.. bytes followed
    // by `{` is no pickle.
    let safetensors = start.get(8) == Some(&b'{');
    let reason = if start.starts_with(b"PK\x03\x04") {
        "its content is a zip archive (PyTorch's format, which holds a pickle) and is not opened"
    } else if pickle && !safetensors {
        "its content is a pickle, which runs code, and is not opened"
    } else if start.starts_with(b"\x89HDF") {
        "its content is an HDF5 file, which is not read"
    } else if start.starts_with(b"GGUF") {
        "its content is a GGUF file, which is not read"
    } else {
        return Ok(());
    };
    Err(not_read(path, reason))
}

fn not_read(path: &Path, reason: &str) -> EncoderError {
    EncoderError::Invalid {
        path: path.to_owned(),
        reason: reason.to_owned(),
        hint: Some(
            "convert the model where you trust it: \
             `SentenceTransformer(...).save_pretrained(..., safe_serialization=True)`, or export \
             it with `optimum-cli export onnx`"
                .into(),
        ),
    }
}
