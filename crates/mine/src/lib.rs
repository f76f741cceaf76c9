//! Data construction, the paper's Section 3: corpora to triplets.
//!
//! The first half turns corpora into passages: corpora as data ([`corpus`]), what a run needs
//! ([`setup`]), the steps over single documents ([`sift`]) and over all of them ([`join`]), both
//! listed in [`step`]; limits of quality ([`quality`]).
//!
//! [`generate`] turns passages into triplets, and [`synthesis`] into texts in the form of a disclosure.
//!
//! [`negatives`] finds hard negatives for pairs that exist.
//!
//! May import `run`, `coverage`, `suite`, `encoder` and the ground floor.

pub mod audit;
pub mod corpus;
pub mod document;
mod error;
pub mod folder;
pub mod generate;
pub mod generation;
pub mod guide;
pub mod histogram;
pub mod join;
pub mod minhash;
pub mod negatives;
pub mod pool;
pub mod quality;
pub mod report;
pub mod setup;
mod shipped;
pub mod sift;
pub mod step;
pub mod synthesis;
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
