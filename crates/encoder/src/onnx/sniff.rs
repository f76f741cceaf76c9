//! Files that are given as ONNX and are something else, told by their first bytes.

use std::path::Path;

use super::invalid;
use crate::EncoderError;
use korfinsts_base::fs;
use korfinsts_base::sniff::{self, Kind};

/// The error of a file that is certainly not ONNX, or `None` where it may be.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn not_onnx(path: &Path) -> Result<Option<EncoderError>, EncoderError> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        let reason = "a folder, not an ONNX file".to_owned();
        return Ok(Some(invalid(path, reason, Some("name the file in it"))));
    }
    let (head, _) = sniff::peek(fs::open(path)?).map_err(fs::at("read", path))?;
    Ok(kind(&head, metadata.len())
        .map(|(what, hint)| invalid(path, format!("{what}, not an ONNX file"), Some(hint))))
}

/// What `head`, the first bytes of a file of `length` bytes, belongs to, and what to do.
fn kind(head: &[u8], length: u64) -> Option<(String, &'static str)> {
    const CONVERT: &str = "a pickle is code: convert it with `optimum-cli export onnx`, or save it as `.safetensors`, where you trust it";
    const AGAIN: &str = "fetch the file again";
    const EXPORT: &str = "export the model to ONNX, or name its folder";
    let safetensors = |head: &[u8]| {
        let header: Option<[u8; 8]> = head.get(..8).and_then(|b| b.try_into().ok());
        head.get(8) == Some(&b'{') && header.is_some_and(|h| u64::from_le_bytes(h) < length)
    };
    match sniff::kind(head) {
        _ if head.is_empty() => Some(("an empty file".into(), AGAIN)),
        Some(Kind::Zip) => Some((
            "a zip archive (PyTorch checkpoints are such archives)".into(),
            CONVERT,
        )),
        Some(Kind::Pickle) => Some(("a Python pickle".into(), CONVERT)),
        Some(kind @ (Kind::Gguf | Kind::Hdf5)) => Some((kind.to_string(), EXPORT)),
        Some(kind) => Some((kind.to_string(), kind.hint())),
        None if safetensors(head) => Some((
            "a safetensors file".into(),
            "name the model's folder instead",
        )),
        None if head.get(4..8) == Some(b"ORTM") => Some((
            "a file in ONNX Runtime's own `.ort` format".into(),
            "name the `.onnx` file that it was made from",
        )),
        None if head.trim_ascii_start().starts_with(b"{") => Some(("a JSON file".into(), EXPORT)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn other_formats_are_named() {
        let mut safetensors = 40_u64.to_le_bytes().to_vec();
        safetensors.extend(b"{\"a\":1}");
        for (head, what) in [
            (&b""[..], "an empty file"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "a pointer of Git LFS",
            ),
            (b"PK\x03\x04rest", "a zip"),
            (b"\x80\x02}q", "a Python pickle"),
            (b"\n<!DOCTYPE html>", "a web page"),
            (b"<html>", "a web page"),
            (&safetensors, "a safetensors"),
            (b"GGUF\x03", "a GGUF"),
            (b"\x89HDF\r\n", "an HDF5"),
            (b"\x18\0\0\0ORTM", "a file in ONNX Runtime's own"),
            (b"\x1f\x8b\x08", "a gzip"),
            (b"{\"a\": 1}", "a JSON"),
        ] {
            let found = kind(head, 1000).map(|(what, _)| what).unwrap_or_default();
            assert!(found.starts_with(what), "{what}: {found}");
        }
        assert_eq!(kind(&[0x08, 0x08, 0x12, 0x07], 1000), None);
    }
}
