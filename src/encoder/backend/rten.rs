//! Backend `rten`: being written.

use super::{Backend, OpenOptions, not_built};
use crate::encoder::spec::WeightsFormat;
use crate::encoder::{EncoderError, EncoderSpec, Network};

/// The line of this backend in the list.
pub const BACKEND: Backend = Backend {
    name: "rten",
    summary: "being written",
    reads: &[WeightsFormat::Onnx],
    version,
    open,
};

fn version(_options: &OpenOptions) -> Result<String, EncoderError> {
    Err(not_built("rten", "rten"))
}

fn open(_spec: &EncoderSpec, _options: &OpenOptions) -> Result<Box<dyn Network>, EncoderError> {
    Err(not_built("rten", "rten"))
}
