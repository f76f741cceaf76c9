//! `korfinsts` measures how well sentence encoders capture meaning in Korean (and English)
//! financial text.
//!
//! The rooms, from the top floor down; imports flow down only:
//!
//! - [`cli`]: subcommands, the only room that prints
//! - [`leaderboard`]: who is better, how surely, and the page that shows it
//! - [`run`], [`coverage`]: one encoder on one suite; what a tokenizer covers
//! - [`suite`], [`encoder`]: data and models, which do not know each other
//! - [`metric`], [`fs`], [`table`], [`text`], [`hub`], [`failure`]: the ground floor

pub mod cli;
pub mod coverage;
pub mod encoder;
pub mod failure;
pub mod fs;
pub mod hub;
pub mod leaderboard;
pub mod metric;
pub mod run;
pub mod suite;
pub mod table;
pub mod text;
