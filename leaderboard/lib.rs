//! Data of `korfinsts`, embedded: figures that others report, and what was measured of vocabularies.
//!
//! This crate holds files and no code. The crate `korfinsts` reads them.

/// The files of the folder `leaderboard/` that ship in the binary.
#[derive(rust_embed::RustEmbed)]
#[folder = "."]
#[include = "reported/*"]
#[include = "measured/*"]
pub struct Leaderboard;
