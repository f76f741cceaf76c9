//! Suites and runs: one encoder on one suite gives one record; what a tokenizer covers.
//!
//! Most users want the crate `korfinsts`; this one promises no stable interface before version 1.
//!
//! - [`suite`]: pairs with gold scores, from manifests and files
//! - [`run`]: encoding with a store, scoring, records, shards
//! - [`coverage`]: vocabularies, fertility, new tokens
//!
//! `suite` imports neither `run` nor `coverage`, and these two do not import each other. From below:
//! `korfinsts-encoder`, `korfinsts-metric`, `korfinsts-base`.

pub mod coverage;
pub mod run;
pub mod suite;
