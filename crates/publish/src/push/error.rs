//! What can go wrong before a push: what is pushed is not as it has to be.

use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_base::template::TemplateError;
use korfinsts_bench::run::RunError;

/// An error of the push room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A record cannot be read, or mteb's files not be written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A template cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The card of a model, or the records, cannot be pushed.
    #[error("{place}: {reason}")]
    Unfit {
        /// The file, with its line where there is one.
        place: String,
        /// What was found and what is allowed.
        reason: String,
        /// What to type next.
        hint: String,
    },
}

impl PushError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Run(e) => e.hint(),
            Self::Template(_) => None,
            Self::Unfit { hint, .. } => Some(hint.clone()),
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(_) => FailureClass::Runtime,
            Self::Run(e) => e.class(),
            Self::Template(_) => FailureClass::Usage,
            Self::Unfit { .. } => FailureClass::Data,
        }
    }
}
