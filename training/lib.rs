//! Data of `korfinsts`, embedded: corpora, limits of quality, recipes, terms, rules and the typology.
//!
//! This crate holds files and no code. The crate `korfinsts` reads them.

/// The files of the folder `training/` that ship in the binary.
#[derive(rust_embed::RustEmbed)]
#[folder = "."]
#[include = "corpora/*"]
#[include = "personal/*"]
#[include = "quality/*"]
#[include = "recipes/*"]
#[include = "terms/*"]
#[include = "transforms/*"]
#[include = "typology/*"]
pub struct Training;
