//! What can go wrong between records and a comparison or a page.

use std::path::PathBuf;

use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_bench::run::RunError;
use korfinsts_bench::suite::SuiteError;

/// An error of the leaderboard room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaderboardError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A record or a file of scores cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A suite cannot be read.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// A record holds what no record may hold, or its files do not belong together.
    #[error("{}: {reason}", path.display())]
    Record {
        /// The record, or another of its files.
        path: PathBuf,
        /// What was found and what is allowed.
        reason: String,
    },
    /// The per-pair scores of a record are not there.
    #[error("{}: its per-pair scores `{name}` are not beside it", path.display())]
    NoPairs {
        /// The record.
        path: PathBuf,
        /// Name of the file of scores.
        name: String,
    },
    /// There is no record where one was looked for.
    #[error("found no record of `{name}` {place}")]
    NotFound {
        /// What was asked for.
        name: String,
        /// Where was looked.
        place: String,
        /// Encoders that are there.
        known: Vec<String>,
    },
    /// Several encoders have the name.
    #[error("`{name}` stands for {} encoders: {}", folders.len(), folders.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Their folders.
        folders: Vec<String>,
    },
    /// Several forms of one encoder's embeddings have the name, and none is the whole embedding.
    #[error("`{name}` stands for several forms of the embeddings: {}", names.join(", "))]
    Forms {
        /// What was asked for.
        name: String,
        /// Their names.
        names: Vec<String>,
    },
    /// Two models cannot be compared.
    #[error("cannot compare `{a}` and `{b}`: {reason}")]
    Incomparable {
        /// Name of the first.
        a: String,
        /// Name of the second.
        b: String,
        /// Why.
        reason: String,
        /// What to type instead.
        hint: String,
    },
    /// A file of reported figures or of facts about models is malformed.
    #[error("{}{}: {reason}", path.display(), line.map_or_else(String::new, |l| format!(":{l}")))]
    Figures {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: Option<usize>,
        /// What was found and what is allowed.
        reason: String,
    },
    /// A template cannot be rendered.
    #[error("template `{name}`{}: {reason}", line.map_or_else(String::new, |l| format!(" line {l}")))]
    Template {
        /// Name of the template.
        name: String,
        /// Line, from 1.
        line: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nothing to show.
    #[error("there is nothing to show: {reason}")]
    Empty {
        /// What was looked for.
        reason: String,
        /// What makes it.
        hint: &'static str,
    },
    /// The server cannot listen.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Address and port.
        address: String,
        /// What the system says.
        reason: String,
    },
}

impl LeaderboardError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Run(e) => e.hint(),
            Self::Suite(e) => e.hint(),
            Self::Record { .. } => Some(
                "`korfinsts record recompute PATH` says what a record and its scores disagree on"
                    .into(),
            ),
            Self::NotFound { known, .. } if known.is_empty() => Some(
                "`korfinsts eval MODEL` makes records; `--results DIR` names another folder".into(),
            ),
            Self::NotFound { known, .. } => {
                Some(format!("there are records of {}", known.join(", ")))
            }
            Self::Ambiguous { .. } => Some("name one by its folder".into()),
            Self::Forms { .. } => Some("name one as it is listed here, or its record".into()),
            Self::Incomparable { hint, .. } => Some(hint.clone()),
            Self::Figures { .. } => {
                Some("`korfinsts leaderboard import` writes a file of this form".into())
            }
            Self::Template { .. } => {
                Some("leave `--templates` out to use the built-in templates".into())
            }
            Self::Empty { hint, .. } => Some((*hint).to_owned()),
            Self::NoPairs { .. } => Some(
                "every statistic between models needs them: `korfinsts eval MODEL` writes them beside its \
                 records"
                    .into(),
            ),
            Self::Listen { .. } => Some("`--port 0` takes any free port".into()),
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(_) | Self::Listen { .. } => FailureClass::Runtime,
            Self::Run(e) => e.class(),
            Self::Suite(e) => e.class(),
            Self::Incomparable { .. } | Self::Ambiguous { .. } | Self::Forms { .. } => {
                FailureClass::Usage
            }
            Self::Record { .. }
            | Self::NoPairs { .. }
            | Self::NotFound { .. }
            | Self::Figures { .. }
            | Self::Template { .. }
            | Self::Empty { .. } => FailureClass::Data,
        }
    }
}
