//! Data construction, the paper's Section 3: corpora to triplets.
//!
//! May import `run`, `coverage`, `suite`, `encoder` and the ground floor.

pub mod document;

pub use document::{Document, document_id};
