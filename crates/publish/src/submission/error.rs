//! What can go wrong with a submission, other than the checks of a bundle.

use std::path::PathBuf;

use crate::signature::SignatureError;
use korfinsts_base::archive::ArchiveError;
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_base::template::TemplateError;
use korfinsts_bench::run::RunError;
use korfinsts_bench::suite::SuiteError;

/// An error of the submission room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmissionError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A record cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A suite cannot be read.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// A template cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A bundle cannot be packed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A bundle cannot be signed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A record or one of its files cannot go into a bundle.
    #[error("{}: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What was found and what is allowed.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// A bundle that did not pass cannot be taken in.
    #[error("{}: {reason}", path.display())]
    NotVerified {
        /// The bundle.
        path: PathBuf,
        /// The first check that failed.
        reason: String,
    },
}

impl SubmissionError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Run(e) => e.hint(),
            Self::Suite(e) => e.hint(),
            Self::Archive(e) => e.hint(),
            Self::Template(_) => None,
            Self::Signature(e) => Some(e.hint.clone()),
            Self::Unfit { hint, .. } => hint.clone(),
            Self::NotVerified { .. } => Some("`korfinsts verify` shows every check".into()),
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(_) => FailureClass::Runtime,
            Self::Run(e) => e.class(),
            Self::Suite(e) => e.class(),
            Self::Template(_) => FailureClass::Usage,
            Self::Archive(_) | Self::Unfit { .. } => FailureClass::Data,
            Self::NotVerified { .. } | Self::Signature(_) => FailureClass::Check,
        }
    }
}
