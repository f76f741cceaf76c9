//! Backend `candle`: safetensors checkpoints, on a CPU or (with the feature `cuda`) on an NVIDIA
//! GPU. The networks are those of `korfinsts-nn`, which training shares.

#[cfg(feature = "candle")]
mod network;
#[cfg(feature = "candle")]
pub mod pooling;

use super::{Backend, OpenOptions};
use crate::spec::WeightsFormat;
use crate::{EncoderError, EncoderSpec, Network};

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
