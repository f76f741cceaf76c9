//! Data of `korfinsts`, embedded: trained encoders: a folder each.
//!
//! This crate holds files and no code. The crate `korfinsts` reads them.

/// The files of the folder `training/checkpoints/` that ship in the binary.
#[derive(rust_embed::RustEmbed)]
#[folder = "."]
#[exclude = "*/training/*"]
#[exclude = "*.rs"]
#[exclude = "Cargo.toml"]
#[exclude = "README.md"]
pub struct Checkpoints;
