//! What can go wrong while data is built.

use std::path::PathBuf;

use korfinsts_base::endpoint::EndpointError;
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_base::hub::HubError;
use korfinsts_base::records::RecordsError;
use korfinsts_base::template::TemplateError;
use korfinsts_bench::suite::SuiteError;
use korfinsts_encoder::EncoderError;

/// An error of the data-construction room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MineError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// An encoder or its tokenizer is wrong, or fails on a text.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// A server of a generator or a judge cannot be asked.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The hub has not what was asked, or cannot be reached.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A suite cannot be read.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// A template cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A file of a corpus, of data or of a run is wrong.
    #[error("{}{place}: {reason}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// What was found and what was allowed.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// The user asked to stop.
    #[error("stopped: the shard is not finished")]
    Stopped,
    /// The state of a run cannot be read or written.
    #[error("{}", path.display())]
    State {
        /// Its file.
        path: PathBuf,
        /// What `SQLite` says.
        #[source]
        source: rusqlite::Error,
    },
    /// A check ran and did not pass.
    #[error("{what}")]
    Check {
        /// What was found and what is allowed.
        what: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// What was asked for does not exist or does not fit.
    #[error("{what}")]
    Usage {
        /// What was asked for, and what is allowed.
        what: String,
        /// What to type next.
        hint: Option<String>,
    },
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    Whole,
    /// A line, from 1.
    Line(u64),
    /// A row of a table, from 1.
    Row(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Line(line) => write!(f, ":{line}"),
            Self::Row(row) => write!(f, ": row {row}"),
        }
    }
}

impl From<RecordsError> for MineError {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Fs(e) => Self::Fs(e),
            RecordsError::Broken {
                path,
                number,
                reason,
                hint,
            } => Self::data(
                &path,
                number.map_or(Place::Whole, Place::Line),
                reason,
                hint,
            ),
            other => Self::Usage {
                what: other.to_string(),
                hint: None,
            },
        }
    }
}

impl MineError {
    /// An error in a file.
    pub fn data(
        path: &std::path::Path,
        place: Place,
        reason: impl Into<String>,
        hint: Option<&str>,
    ) -> Self {
        Self::Data {
            path: path.to_owned(),
            place,
            reason: reason.into(),
            hint: hint.map(str::to_owned),
        }
    }

    /// An error in what was asked for.
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            what: what.into(),
            hint: Some(hint.into()),
        }
    }

    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Encoder(e) => e.hint(),
            Self::Endpoint(e) => e.hint(),
            Self::Hub(e) => e.hint(),
            Self::Suite(e) => e.hint(),
            Self::Template(_) | Self::Stopped => None,
            Self::State { .. } => {
                Some("is another run at work in this folder, or the disk full?".into())
            }
            Self::Data { hint, .. } | Self::Usage { hint, .. } | Self::Check { hint, .. } => {
                hint.clone()
            }
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(_) | Self::State { .. } => FailureClass::Runtime,
            Self::Check { .. } => FailureClass::Check,
            Self::Encoder(e) => e.class(),
            Self::Endpoint(e) => e.class(),
            Self::Hub(e) => e.class(),
            Self::Suite(e) => e.class(),
            Self::Template(_) | Self::Usage { .. } => FailureClass::Usage,
            Self::Data { .. } => FailureClass::Data,
            Self::Stopped => FailureClass::Interrupted,
        }
    }
}
