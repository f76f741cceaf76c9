//! Backend `onnxruntime`: ONNX graphs through ONNX Runtime, a library loaded at run time.
//!
//! [`library`] says where the library is looked for, and needs no library itself.

pub mod cuda;
pub mod library;
#[cfg(feature = "onnxruntime")]
mod network;
#[cfg(not(feature = "onnxruntime"))]
mod network {
    //! The same functions in a build without the backend.

    use super::super::{OpenOptions, not_built};
    use super::Loaded;
    use crate::{EncoderError, EncoderSpec, Network};

    pub(super) fn version(_: &OpenOptions) -> Result<String, EncoderError> {
        Err(not_built("onnxruntime", "onnxruntime"))
    }

    pub(super) fn open(_: &EncoderSpec, _: &OpenOptions) -> Result<Box<dyn Network>, EncoderError> {
        Err(not_built("onnxruntime", "onnxruntime"))
    }

    pub(super) fn load(_: &OpenOptions) -> Result<Loaded, EncoderError> {
        Err(not_built("onnxruntime", "onnxruntime"))
    }
}

use std::path::PathBuf;

use super::{Backend, OpenOptions};
use crate::EncoderError;
use crate::spec::WeightsFormat;

/// The line of this backend in the list.
pub const BACKEND: Backend = Backend {
    name: "onnxruntime",
    summary: "ONNX files through ONNX Runtime: fastest on the CPU, and the one on CUDA",
    reads: &[WeightsFormat::Onnx],
    version: network::version,
    open: network::open,
};

/// The library that was loaded into this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The file.
    pub path: PathBuf,
    /// Version, as `1.32.0`.
    pub version: String,
    /// Execution providers it was built with, `CPU` among them.
    pub providers: Vec<&'static str>,
    /// Libraries that were found and could not be loaded, each with the reason.
    pub passed_over: Vec<(PathBuf, String)>,
}

/// Finds and loads the library; a process loads one, once.
///
/// # Errors
/// When none is found, when the one that the user named cannot be loaded, or when all that were
/// found cannot.
pub fn load(options: &OpenOptions) -> Result<Loaded, EncoderError> {
    network::load(options)
}
