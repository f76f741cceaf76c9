//! `korfinsts` measures how well sentence encoders capture meaning in Korean (and English)
//! financial text.
//!
//! The rooms, from the top floor down; imports flow down only:
//!
//! - [`cli`]: subcommands, the only room that prints
//! - [`train`]: triplets to a checkpoint
//! - [`run`], [`coverage`]: one encoder on one suite; what a tokenizer covers
//! - [`suite`], [`encoder`]: data and models, which do not know each other
//! - [`metric`], [`fs`], [`text`], [`hub`], [`failure`]: the ground floor

pub mod cli;
pub mod coverage;
pub mod encoder;
pub mod failure;
pub mod fs;
pub mod hub;
pub mod metric;
pub mod run;
pub mod suite;
pub mod text;
#[cfg(feature = "candle")]
pub mod train;
