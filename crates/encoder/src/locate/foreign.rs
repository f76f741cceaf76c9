//! Weights that are not read: by their name, and by what they begin with.

use std::path::Path;

use super::file_name;
use crate::EncoderError;
use korfinsts_base::fs;
use korfinsts_base::sniff::{self, Kind};

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
/// When the file is empty, or begins as another kind of file than weights.
pub(crate) fn refuse_foreign(path: &Path) -> Result<(), EncoderError> {
    let (start, _) = sniff::peek(fs::open(path)?).map_err(fs::at("read", path))?;
    let invalid = |reason: String, hint: &str| {
        Err(EncoderError::Invalid {
            path: path.to_owned(),
            reason,
            hint: Some(hint.to_owned()),
        })
    };
    if start.is_empty() {
        return invalid(
            "the file is empty".into(),
            "was the model downloaded whole?",
        );
    }
    let reason = match sniff::kind(&start) {
        Some(Kind::Zip) => {
            "its content is a zip archive (PyTorch's format, which holds a pickle) and is not opened"
        }
        Some(Kind::Pickle) => "its content is a pickle, which runs code, and is not opened",
        Some(Kind::Hdf5) => "its content is an HDF5 file, which is not read",
        Some(Kind::Gguf) => "its content is a GGUF file, which is not read",
        Some(kind) => return invalid(format!("this is {kind}"), kind.hint()),
        None => return Ok(()),
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
