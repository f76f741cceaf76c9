//! Data construction, the paper's Section 3: corpora to triplets.
//!
//! May import `run`, `coverage`, `suite`, `encoder` and the ground floor.

pub mod corpus;
pub mod document;
mod error;
pub mod folder;
pub mod generate;
pub mod generation;
pub mod guide;
pub mod transform;
pub mod triplet;
pub mod typology;

pub use document::{Document, document_id};
pub use error::{MineError, Place};
pub use folder::RunFolder;
pub use generation::Generation;
pub use transform::Transforms;
pub use triplet::Triplet;
pub use typology::Typology;
