//! What can go wrong with a release, other than the findings of its gates.

use std::path::PathBuf;

use crate::signature::SignatureError;
use korfinsts_base::archive::ArchiveError;
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_base::template::TemplateError;
use korfinsts_bench::suite::SuiteError;

/// An error of the release room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A container is refused.
    #[error("cannot use `{}`", path.display())]
    Archive {
        /// The container.
        path: PathBuf,
        /// Why.
        source: ArchiveError,
    },
    /// A template cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A suite cannot be read.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// The release's manifest is wrong.
    #[error("{}{}: {reason}", path.display(), line.map(|l| format!(":{l}")).unwrap_or_default())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Line, from 1, where one is known.
        line: Option<usize>,
        /// What was found and what is allowed.
        reason: String,
    },
    /// A file of a release is not what it has to be.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What was found and what is allowed.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// The release did not pass its gates, so nothing was built.
    #[error("{errors} errors in {}: nothing was built", gates.join(", "))]
    NotPassed {
        /// Number of errors.
        errors: usize,
        /// Gates that found them.
        gates: Vec<String>,
    },
    /// A key or a signature is wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl ReleaseError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Archive { source, .. } => source.hint(),
            Self::Suite(e) => e.hint(),
            Self::Template(_) => {
                Some("templates that override the built-in ones have their names".into())
            }
            Self::Manifest { .. } => Some(
                "benchmarks/korfin-shift/korfinsts.toml is a manifest that passes; compare with it"
                    .into(),
            ),
            Self::NotPassed { .. } => {
                Some("`korfinsts release check` lists each with its remedy".into())
            }
            Self::Invalid { hint, .. } => hint.clone(),
            Self::Signature(e) => Some(e.hint.clone()),
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(_) => FailureClass::Runtime,
            Self::Suite(e) => e.class(),
            Self::NotPassed { .. } | Self::Signature(_) => FailureClass::Check,
            Self::Template(_) => FailureClass::Usage,
            Self::Archive { .. } | Self::Manifest { .. } | Self::Invalid { .. } => {
                FailureClass::Data
            }
        }
    }
}
