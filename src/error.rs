//! One error for everything that the library does.

use korfinsts_bench::coverage::CoverageError;
use korfinsts_bench::run::RunError;
use korfinsts_bench::suite::SuiteError;
use korfinsts_encoder::EncoderError;
use korfinsts_publish::leaderboard::LeaderboardError;

pub use korfinsts_base::failure::FailureClass;

/// Why an evaluation, an encoding or a comparison failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The platform names no home folder, and the options name no data home.
    #[error("no home folder found")]
    NoHome,
    /// An option is out of its range.
    #[error("{what}")]
    Option {
        /// What was found, and what is allowed.
        what: String,
    },
    /// A suite that was asked for is not on disk.
    #[error("suite `{id}` is not on disk")]
    NoSuite {
        /// The suite.
        id: String,
        /// The command that gets it.
        command: String,
    },
    /// A suite is unknown or broken.
    #[error(transparent)]
    Suite(Box<SuiteError>),
    /// A model cannot be found, read or run.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// A run failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A vocabulary cannot be measured.
    #[error(transparent)]
    Coverage(#[from] CoverageError),
    /// Records cannot be read or compared.
    #[error(transparent)]
    Records(Box<LeaderboardError>),
}

impl From<SuiteError> for Error {
    fn from(error: SuiteError) -> Self {
        Self::Suite(Box::new(error))
    }
}

impl From<LeaderboardError> for Error {
    fn from(error: LeaderboardError) -> Self {
        Self::Records(Box::new(error))
    }
}

impl Error {
    /// The kind of failure; the command's exit codes are these.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::NoHome | Self::Option { .. } => FailureClass::Usage,
            Self::NoSuite { .. } => FailureClass::Data,
            Self::Suite(e) => e.class(),
            Self::Encoder(e) => e.class(),
            Self::Run(e) => e.class(),
            Self::Coverage(e) => e.class(),
            Self::Records(e) => e.class(),
        }
    }

    /// What helps, where something does.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoHome => Some("name a folder in `Options::data_home`".into()),
            Self::Option { .. } => None,
            Self::NoSuite { command, .. } => Some(format!("get it with `{command}`")),
            Self::Suite(e) => e.hint(),
            Self::Encoder(e) => e.hint(),
            Self::Run(e) => e.hint(),
            Self::Coverage(e) => e.hint(),
            Self::Records(e) => e.hint(),
        }
    }
}
