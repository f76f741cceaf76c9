//! What can go wrong while coverage is measured.

use std::path::PathBuf;

use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_encoder::EncoderError;

/// An error of the coverage room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoverageError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A tokenizer is wrong, or fails on a text.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// A corpus, a list of terms or a table of gains is wrong.
    #[error("{}{}: {reason}", path.display(), at_line(*line))]
    Invalid {
        /// The file; `-` for standard input.
        path: PathBuf,
        /// Line, from 1; 0 where the whole file is meant.
        line: u64,
        /// What was found and what was allowed.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// A vocabulary cannot be counted or augmented.
    #[error("{tokenizer}: {reason}")]
    Vocabulary {
        /// Name of the tokenizer.
        tokenizer: String,
        /// What was found and what was allowed.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// What was asked for does not exist.
    #[error("{what}")]
    Usage {
        /// What was asked for, and what is allowed.
        what: String,
        /// What to type next.
        hint: Option<String>,
    },
}

impl CoverageError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Encoder(e) => e.hint(),
            Self::Invalid { hint, .. }
            | Self::Vocabulary { hint, .. }
            | Self::Usage { hint, .. } => hint.clone(),
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(_) => FailureClass::Runtime,
            Self::Encoder(e) => e.class(),
            Self::Invalid { .. } => FailureClass::Data,
            Self::Vocabulary { .. } => FailureClass::Model,
            Self::Usage { .. } => FailureClass::Usage,
        }
    }
}

fn at_line(line: u64) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(":{line}")
    }
}
