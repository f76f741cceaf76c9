//! Data of `korfinsts`, embedded: templates of documents and pages, and prompts (`mine/prompts/`, a file or folder per step).
//!
//! This crate holds files and no code. The crate `korfinsts` reads them.

/// The files of the folder `templates/` that ship in the binary.
#[derive(rust_embed::RustEmbed)]
#[folder = "."]
#[exclude = "*.rs"]
#[exclude = "Cargo.toml"]
#[exclude = "README.md"]
pub struct Templates;
