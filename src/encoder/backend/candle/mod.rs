//! Backend `candle`: being written.

use super::{Backend, OpenOptions, not_built};
use crate::encoder::spec::WeightsFormat;
use crate::encoder::{EncoderError, EncoderSpec, Network};

/// The line of this backend in the list.
pub const BACKEND: Backend = Backend {
    name: "candle",
    summary: "being written",
    reads: &[WeightsFormat::Safetensors],
    version,
    open,
};

fn version(_options: &OpenOptions) -> Result<String, EncoderError> {
    Err(not_built("candle", "candle"))
}

fn open(_spec: &EncoderSpec, _options: &OpenOptions) -> Result<Box<dyn Network>, EncoderError> {
    Err(not_built("candle", "candle"))
}
