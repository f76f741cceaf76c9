//! One encoder on one suite gives one record.
//!
//! Holds the embedding store that journals and caches ([`store`]), the encoding of missing texts
//! ([`engine`]), the forms in which embeddings are compared ([`form`]), the table of scores ([`scores`]) and how they are computed ([`score`]), the record and its files ([`record`]), and mteb's result
//! files ([`mteb`]); how fast a model is ([`speed`]); several encoders on several suites ([`session`]); how work is spread over
//! processes ([`shard`]) and joined ([`merge`]). Imports `suite`, and from below `korfinsts-encoder`,
//! `korfinsts-metric` and `korfinsts-base`.

pub mod engine;
mod error;
pub mod evaluate;
pub mod form;
mod halving;
pub mod merge;
pub mod mteb;
pub mod record;
pub mod score;
pub mod scores;
pub mod session;
pub mod shard;
pub mod speed;
pub mod store;
pub mod triplets;

pub use error::RunError;
