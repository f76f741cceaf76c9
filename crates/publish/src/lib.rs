//! What is published: dataset releases, bundles of submitted models, the leaderboard.
//!
//! Most users want the crate `korfinsts`; this one promises no stable interface before version 1.
//!
//! - [`release`]: gates, documents, Parquet, signatures of a dataset's release
//! - [`submission`]: a model's bundle and the checks of it
//! - [`leaderboard`]: records to ranks, tests and the page
//! - [`push`]: what goes to the hub of a model and of records
//!
//! The four share `signature` and `results`, and do not import each other. From below: `korfinsts-bench`, `korfinsts-encoder`,
//! `korfinsts-metric`, `korfinsts-base`.

pub mod leaderboard;
pub mod push;
pub mod release;
mod results;
pub mod signature;
pub mod submission;
