//! What can go wrong with weights and networks.

use std::path::PathBuf;

use korfinsts_base::fs::FsError;

/// What to do about a value of a configuration that is not known here.
pub const HINT: &str = "if the file was edited, take it as the model's authors wrote it; if not, \
     export the whole model to ONNX with a `sentence_embedding` output, and name that file";

/// Weights that cannot be read, a network that cannot be built, or one that fails while it runs.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A file of the model is there and wrong.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What was found and what was allowed.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// A file that the model needs is not there.
    #[error("{}: {what} is missing", folder.display())]
    Missing {
        /// Where it was looked for.
        folder: PathBuf,
        /// What is missing.
        what: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// What was asked for is not supported by this build or architecture.
    #[error("{what}")]
    Unsupported {
        /// What was asked for, and what is allowed.
        what: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// A run-time library, a device or memory failed.
    #[error("{backend}: {reason}")]
    Runtime {
        /// The backend.
        backend: &'static str,
        /// What it said.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
}

/// Whether a message of a run-time library says that memory, of the machine or of a device, was
/// not enough. Libraries say it in words only: CUDA's driver, cuBLAS, ONNX Runtime's arena and its
/// CPU allocator, the operating system.
#[must_use]
pub fn says_out_of_memory(message: &str) -> bool {
    const SIGNS: [&str; 7] = [
        "out of memory",
        "out_of_memory",
        "cublas_status_alloc_failed",
        "failed to allocate memory",
        "bad allocation",
        "bad_alloc",
        "available memory of",
    ];
    let message = message.to_lowercase();
    SIGNS.iter().any(|sign| message.contains(sign))
}

/// An error of candle as one of this crate.
#[cfg(feature = "candle")]
#[must_use]
#[allow(
    clippy::needless_pass_by_value,
    reason = "it is used in `map_err`, which gives the error away"
)]
pub fn runtime_error(error: candle_core::Error) -> NnError {
    let reason = error.to_string();
    let hint = says_out_of_memory(&reason)
        .then(|| "use smaller batches, or `--dtype bfloat16`".to_owned());
    NnError::Runtime {
        backend: "candle",
        reason,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_memory_is_told_from_other_failures() {
        for (reason, expected) in [
            (
                "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
                true,
            ),
            ("CublasError(CUBLAS_STATUS_ALLOC_FAILED)", true),
            (
                "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer",
                true,
            ),
            (
                "Available memory of 1024 is smaller than requested bytes of 4096",
                true,
            ),
            ("std::bad_alloc", true),
            ("CUDA_ERROR_ILLEGAL_ADDRESS", false),
            ("the output has no rows", false),
        ] {
            assert_eq!(says_out_of_memory(reason), expected, "{reason}");
        }
    }
}
