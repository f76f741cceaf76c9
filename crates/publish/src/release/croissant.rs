//! The Croissant 1.1 description of a release, made by `templates/release/croissant.json`.
//!
//! One `FileObject` and one `RecordSet` per split of plain JSONL: a `FileSet` inside a zip file does not
//! load, and Croissant's own validator opens no data, so R18 compares the checksums.

/// Its name in a release.
pub(super) const NAME: &str = "croissant.json";
