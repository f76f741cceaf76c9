//! `korfinsts` measures how well sentence encoders capture meaning in Korean (and English)
//! financial text.
//!
//! The rooms, from the top floor down; imports flow down only:
//!
//! - [`cli`]: subcommands, the only room that prints
//! - [`leaderboard`]: who is better, how surely, and the page that shows it
//! - [`release`], [`submission`]: dataset releases and their gates; bundles and their checks
//! - [`mine`]: corpora to triplets
//! - [`train`]: triplets to a checkpoint
//! - [`run`], [`coverage`]: one encoder on one suite; what a tokenizer covers
//! - [`suite`], [`encoder`]: data and models, which do not know each other
//! - [`metric`], [`fs`], [`table`], [`text`], [`http`], [`hub`], [`failure`], [`archive`], [`json`],
//!   [`sums`], [`template`]: the ground floor

pub mod archive;
pub mod cli;
pub mod coverage;
pub mod encoder;
pub mod failure;
pub mod fs;
pub mod http;
pub mod hub;
pub mod json;
pub mod leaderboard;
pub mod metric;
pub mod mine;
pub mod release;
pub mod run;
pub mod submission;
pub mod suite;
pub mod sums;
pub mod table;
pub mod template;
pub mod text;
#[cfg(feature = "candle")]
pub mod train;
