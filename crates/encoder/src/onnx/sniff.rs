//! Files that are given as ONNX and are something else, told by their first bytes.

use std::io::Read;
use std::path::Path;

use super::invalid;
use crate::EncoderError;
use korfinsts_base::fs;

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
    let mut head = Vec::new();
    fs::open(path)?
        .take(512)
        .read_to_end(&mut head)
        .map_err(fs::at("read", path))?;
    Ok(kind(&head, metadata.len())
        .map(|(what, hint)| invalid(path, format!("{what}, not an ONNX file"), Some(hint))))
}

/// What `head`, the first bytes of a file of `length` bytes, belongs to, and what to do.
fn kind(head: &[u8], length: u64) -> Option<(&'static str, &'static str)> {
    const CONVERT: &str = "a pickle is code: convert it with `optimum-cli export onnx`, or save it as `.safetensors`, where you trust it";
    const AGAIN: &str = "fetch the file again";
    const EXPORT: &str = "export the model to ONNX, or name its folder";
    let text = String::from_utf8_lossy(head).trim_start().to_lowercase();
    let safetensors = |head: &[u8]| {
        let header: Option<[u8; 8]> = head.get(..8).and_then(|b| b.try_into().ok());
        head.get(8) == Some(&b'{') && header.is_some_and(|h| u64::from_le_bytes(h) < length)
    };
    if head.is_empty() {
        Some(("an empty file", AGAIN))
    } else if head.starts_with(b"version https://git-lfs") {
        Some((
            "a Git LFS pointer",
            "the repository was cloned without its large files: run `git lfs pull` in it",
        ))
    } else if head.starts_with(b"PK\x03\x04") {
        Some((
            "a zip archive (PyTorch checkpoints are such archives)",
            CONVERT,
        ))
    } else if head.len() > 1 && head[0] == 0x80 && (2..=5).contains(&head[1]) {
        Some(("a Python pickle", CONVERT))
    } else if text.starts_with("<!doctype")
        || text.starts_with("<html")
        || text.starts_with("<?xml")
    {
        Some((
            "a web page",
            "the address gave a page instead of the file: fetch the raw file",
        ))
    } else if safetensors(head) {
        Some(("a safetensors file", "name the model's folder instead"))
    } else if head.starts_with(b"GGUF") {
        Some(("a GGUF file", EXPORT))
    } else if head.starts_with(b"\x89HDF") {
        Some(("an HDF5 file", EXPORT))
    } else if head.get(4..8) == Some(b"ORTM") {
        Some((
            "a file in ONNX Runtime's own `.ort` format",
            "name the `.onnx` file that it was made from",
        ))
    } else if head.starts_with(&[0x1f, 0x8b]) {
        Some(("a gzip archive", "unpack it first"))
    } else if text.starts_with('{') {
        Some(("a JSON file", EXPORT))
    } else {
        None
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
            (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS"),
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
