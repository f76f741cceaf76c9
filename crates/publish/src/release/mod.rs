//! Dataset releases: nothing leaves unchecked.
//!
//! Holds the gates that a release must pass, the build of its container, signatures and
//! the comparison of two releases. Imports `suite`, `encoder` (its lexical baselines) and the ground
//! floor; it knows no encoder of a model and no submission.
//!
//! To add a gate: one file under `gate/` and one line in [`gate::GATES`]. To add a question of the
//! datasheet: a line in `templates/release/datasheet.toml`.
//!
//! What a release is made from is in one folder: `korfinsts.toml`, `data/<split>.jsonl`,
//! `provenance/sources.jsonl`, `annotations/raw.jsonl` (where people labelled), `LABELS.md`,
//! `CHANGELOG.md`, `LICENSE` and `licenses/<source>.txt`. Everything else is generated, and a built
//! release can be built again to the same bytes.

mod build;
mod check;
mod croissant;
mod diff;
mod document;
mod error;
pub mod gate;
mod manifest;
mod minhash;
mod parquet;
mod report;
mod rows;
mod semver;
mod subject;
mod verify;

pub use build::{Built, build, rebuild};
pub use check::check;
pub use diff::{Change, Difference, Rescored, StoredScores, difference, rescore, scored, section};
pub use document::QUESTIONS;
pub use error::ReleaseError;
pub use gate::r19_hidden::{commitment, seal};
pub use manifest::{Agreement, Author, MANIFEST, Manifest, Previous, Source, Split, Waiver};
pub use report::{Fact, Finding, GateResult, Level, Report, Status, Waived};
pub use rows::{Row, SplitRows};
pub use semver::{Bump, Version};
pub use subject::{Context, Earlier, OtherTexts, Subject};
pub use verify::{Verdict, VerifyCheck, verify};
