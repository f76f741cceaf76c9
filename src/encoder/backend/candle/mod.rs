//! Backend `candle`: safetensors checkpoints, on a CPU or (with the feature `cuda`) on an NVIDIA
//! GPU; and the network modules that training shares.
//!
//! [`architecture`] holds one file per architecture. They are built of the operations of `ops`,
//! which exist fused (inference) and differentiable (training); a test says that both agree. On
//! a CPU the fused operations are those of `kernels`.

#[cfg(feature = "candle")]
pub mod architecture;
#[cfg(feature = "candle")]
pub mod config;
#[cfg(feature = "candle")]
mod kernels;
#[cfg(feature = "candle")]
pub mod mask;
#[cfg(feature = "candle")]
mod network;
#[cfg(feature = "candle")]
pub mod ops;
#[cfg(feature = "candle")]
pub mod relative;
#[cfg(feature = "candle")]
pub mod rope;
#[cfg(feature = "candle")]
pub mod weights;

use super::{Backend, OpenOptions};
use crate::encoder::spec::WeightsFormat;
use crate::encoder::{EncoderError, EncoderSpec, Network};

#[cfg(feature = "candle")]
pub(crate) use kernels::gradient::{change as change_in_place, serves, wide};
#[cfg(feature = "candle")]
pub(crate) use kernels::with_values;
#[cfg(feature = "candle")]
pub use network::{CandleNetwork, device, number_type};

/// The line of this backend in the list.
pub const BACKEND: Backend = Backend {
    name: "candle",
    summary: "safetensors checkpoints, in pure Rust; CUDA with the feature `cuda`",
    reads: &[WeightsFormat::Safetensors],
    version,
    open,
};

#[cfg(feature = "candle")]
#[allow(
    clippy::unnecessary_wraps,
    reason = "the list of backends asks for a result"
)]
fn version(_options: &OpenOptions) -> Result<String, EncoderError> {
    Ok(network::VERSION.to_owned())
}

#[cfg(feature = "candle")]
fn open(spec: &EncoderSpec, options: &OpenOptions) -> Result<Box<dyn Network>, EncoderError> {
    Ok(Box::new(CandleNetwork::open(spec, options)?))
}

#[cfg(not(feature = "candle"))]
fn version(_options: &OpenOptions) -> Result<String, EncoderError> {
    Err(super::not_built("candle", "candle"))
}

#[cfg(not(feature = "candle"))]
fn open(_spec: &EncoderSpec, _options: &OpenOptions) -> Result<Box<dyn Network>, EncoderError> {
    Err(super::not_built("candle", "candle"))
}

/// An error of candle as one of this room.
#[cfg(feature = "candle")]
#[allow(
    clippy::needless_pass_by_value,
    reason = "it stands behind `map_err`, which gives the error away"
)]
pub(crate) fn runtime_error(error: candle_core::Error) -> EncoderError {
    let reason = error.to_string();
    let out_of_memory = reason.contains("OUT_OF_MEMORY") || reason.contains("out of memory");
    EncoderError::Runtime {
        backend: "candle",
        reason,
        hint: out_of_memory.then(|| "use smaller batches, or `--dtype bfloat16`".into()),
    }
}
