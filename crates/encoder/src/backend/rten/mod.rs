//! Backend `rten`: ONNX graphs on the CPU, in pure Rust, built in.

#[cfg(feature = "rten")]
mod network;
#[cfg(not(feature = "rten"))]
mod network {
    //! The same functions in a build without the backend.

    use super::super::{OpenOptions, not_built};
    use crate::{EncoderError, EncoderSpec, Network};

    pub(super) fn version(_: &OpenOptions) -> Result<String, EncoderError> {
        Err(not_built("rten", "rten"))
    }

    pub(super) fn open(_: &EncoderSpec, _: &OpenOptions) -> Result<Box<dyn Network>, EncoderError> {
        Err(not_built("rten", "rten"))
    }
}

use super::Backend;
use crate::spec::WeightsFormat;

/// The line of this backend in the list.
pub const BACKEND: Backend = Backend {
    name: "rten",
    summary: "ONNX files on the CPU, built in",
    reads: &[WeightsFormat::Onnx],
    version: network::version,
    open: network::open,
};
