//! What can go wrong between a plan and its records.

use std::path::PathBuf;

use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_encoder::EncoderError;

/// An error of the run room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The encoder failed.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// The encoder failed on one text of a suite.
    #[error("suite `{suite}`, pair `{id}`, `sentence{sentence}`")]
    Pair {
        /// The suite.
        suite: String,
        /// The pair.
        id: String,
        /// 1 or 2.
        sentence: usize,
        /// What failed, with the text.
        source: Box<EncoderError>,
    },
    /// The user asked to stop; what was encoded is kept.
    #[error("interrupted after {encoded} of {total} texts")]
    Interrupted {
        /// Texts whose embeddings are kept.
        encoded: usize,
        /// Texts that were to be encoded.
        total: usize,
    },
    /// A record or a file of scores cannot be read.
    #[error("{}:{line}: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What was found and what is allowed.
        reason: String,
    },
    /// Folders of results cannot be joined.
    #[error("{reason}")]
    Merge {
        /// What was found.
        reason: String,
        /// What to type next.
        hint: Option<String>,
        /// Whether a check failed or data is wrong.
        class: FailureClass,
    },
    /// A file that would be written is there and holds another run.
    #[error("{}: {reason}", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
        /// What it holds, and what it would hold.
        reason: String,
        /// The flag that names the folder.
        flag: &'static str,
    },
    /// An embedding that the scores need is not there.
    #[error("no embedding for pair `{id}` of `{suite}`: no score is computed from a part")]
    MissingEmbedding {
        /// The suite.
        suite: String,
        /// The pair.
        id: String,
    },
    /// Embeddings are to be cut to more numbers than they have.
    #[error(
        "found `--truncate-dim {width}`: the embeddings of `{encoder}` have {dimension} dimensions"
    )]
    TooWide {
        /// The encoder.
        encoder: String,
        /// What was asked for.
        width: usize,
        /// What there is.
        dimension: usize,
    },
    /// Embeddings of one encoder have different widths.
    #[error("the encoder gave embeddings of width {found} after width {expected}")]
    Width {
        /// Width of the first embeddings.
        expected: usize,
        /// Width found later.
        found: usize,
    },
}

impl RunError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Encoder(e) => e.hint(),
            Self::Pair { source, .. } => source.hint(),
            Self::Interrupted { .. } => {
                Some("run the same command again: it goes on where it stopped".into())
            }
            Self::Record { .. } => Some("was the file edited by hand or cut short?".into()),
            Self::Occupied { flag, .. } => Some(format!(
                "`{flag} DIR` with another folder keeps both; to replace the file, remove it first"
            )),
            Self::MissingEmbedding { .. } => Some("run the same command again".into()),
            Self::Merge { hint, .. } => hint.clone(),
            Self::TooWide { dimension, .. } => Some(format!(
                "name widths of at most {dimension}, as `--truncate-dim {}`",
                (dimension / 2).max(1)
            )),
            Self::Width { .. } => None,
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(_) | Self::MissingEmbedding { .. } => FailureClass::Runtime,
            Self::Encoder(e) => e.class(),
            Self::Pair { source, .. } => source.class(),
            Self::Interrupted { .. } => FailureClass::Interrupted,
            Self::Record { .. } | Self::Occupied { .. } => FailureClass::Data,
            Self::Merge { class, .. } => *class,
            Self::TooWide { .. } => FailureClass::Usage,
            Self::Width { .. } => FailureClass::Model,
        }
    }
}
