//! Backends: what runs a network. One file or folder each, and one line in [`BACKENDS`].
//!
//! A backend left out of the build stays in the list; opening it gives an error that names the
//! feature.

pub mod candle;
pub mod device;
#[cfg(any(feature = "candle", feature = "onnxruntime", feature = "rten"))]
mod lanes;
pub mod onnxruntime;
pub mod rten;
pub mod static_embedding;

use std::path::PathBuf;

use super::spec::WeightsFormat;
use super::{EncoderError, EncoderSpec, Network};

/// How to open a network.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Threads to use in all; 0 = one per core.
    pub threads: usize,
    /// ONNX Runtime library named by the user.
    pub onnxruntime: Option<PathBuf>,
    /// Data home to look for an installed ONNX Runtime in; `None` = the platform's.
    pub data_home: Option<PathBuf>,
}

impl OpenOptions {
    /// Threads to use in all, at least 1.
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        }
    }
}

/// Opens the network of a model.
pub type Open = fn(&EncoderSpec, &OpenOptions) -> Result<Box<dyn Network>, EncoderError>;

/// A backend: its name, what it reads, and how it opens a network.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    /// Name on the command line and in records.
    pub name: &'static str,
    /// One line for the help.
    pub summary: &'static str,
    /// Weight formats it reads.
    pub reads: &'static [WeightsFormat],
    /// Version of the library behind it, or why it cannot be used.
    pub version: fn(&OpenOptions) -> Result<String, EncoderError>,
    /// Opens the network of a model.
    pub open: Open,
}

/// Every backend, in the order in which `auto` tries them.
pub static BACKENDS: &[Backend] = &[
    onnxruntime::BACKEND,
    rten::BACKEND,
    candle::BACKEND,
    static_embedding::BACKEND,
];

/// The backend of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Backend> {
    BACKENDS.iter().find(|b| b.name == name)
}

/// The error of a backend that was left out of the build.
#[must_use]
pub fn not_built(backend: &'static str, feature: &'static str) -> EncoderError {
    EncoderError::Unsupported {
        what: format!("backend `{backend}` is not part of this build"),
        hint: Some(format!("build with `--features {feature}`")),
    }
}
