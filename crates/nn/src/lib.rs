//! Transformer networks on candle, and the weights they are built from.
//!
//! `korfinsts-encoder` runs them, `korfinsts-train` trains them: both use the same code. Most users
//! want the crate `korfinsts`; this one promises no stable interface before version 1.
//!
//! - [`safetensors`]: files checked whole before a byte is used
//! - [`batch`]: prepared texts and padded batches of token ids
//! - with the feature `candle`: `architecture` (one file per architecture), built of the operations
//!   of `ops`, which exist fused (inference) and differentiable (training); a test says that both
//!   agree. On a CPU the fused operations are those of `kernels`, with the vector instructions
//!   that `isa` allows.
//!
//! Imports `korfinsts-base` only. To add an architecture: one file under `architecture/` and one
//! line in `architecture::ARCHITECTURES`.

#[cfg(feature = "candle")]
pub mod architecture;
pub mod batch;
#[cfg(feature = "candle")]
pub mod config;
#[cfg(feature = "candle")]
pub mod disentangled;
#[cfg(feature = "candle")]
pub mod dropout;
pub mod error;
#[cfg(feature = "candle")]
pub mod isa;
#[cfg(feature = "candle")]
mod kernels;
#[cfg(feature = "candle")]
pub mod mask;
#[cfg(feature = "candle")]
pub mod ops;
#[cfg(feature = "candle")]
mod peak;
#[cfg(feature = "candle")]
pub mod relative;
#[cfg(feature = "candle")]
pub mod rope;
pub mod rounding;
pub mod safetensors;
#[cfg(feature = "candle")]
pub mod weights;

pub use batch::{PaddingSide, PreparedText, TokenBatch, TokenCount};
pub use error::NnError;
#[cfg(feature = "candle")]
pub use error::runtime_error;
#[cfg(feature = "candle")]
pub use kernels::gradient::{as_on_gpu, serves};
#[cfg(feature = "candle")]
pub use kernels::{AdamWStep, adamw, with_values};
#[cfg(feature = "candle")]
pub use peak::matrix_peak;
