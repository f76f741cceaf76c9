//! One encoder on one suite gives one record.
//!
//! Holds the embedding store that journals and caches ([`store`]), the encoding of missing texts
//! ([`engine`]), the scores ([`score`]), the record and its files ([`record`]), and mteb's result
//! files ([`mteb`]); how work is spread over processes ([`shard`]) and joined ([`merge`]). Imports
//! `suite`, `encoder` and the ground floor.

pub mod engine;
mod error;
pub mod evaluate;
pub mod lock;
pub mod merge;
pub mod mteb;
pub mod record;
pub mod score;
pub mod shard;
mod squeeze;
pub mod store;

pub use error::RunError;
