//! Data of `korfinsts`, embedded: the suites: a folder each with its `suite.toml`, and the revoked releases.
//!
//! This crate holds files and no code. The crate `korfinsts` reads them.

/// The files of the folder `benchmarks/` that ship in the binary.
#[derive(rust_embed::RustEmbed)]
#[folder = "."]
#[exclude = "*/releases/*"]
#[exclude = "korfin-shift-2/documents.jsonl"]
#[exclude = "korfin-shift-2/CHANGELOG.md"]
#[exclude = "korfin-shift-2/provenance/*"]
#[exclude = "*.rs"]
#[exclude = "Cargo.toml"]
#[exclude = "README.md"]
pub struct Benchmarks;
