//! What can go wrong with a model.

use std::path::PathBuf;

use korfinsts_base::endpoint::EndpointError;
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_base::hub::HubError;
use korfinsts_nn::NnError;

/// An error of the encoder room: a model that cannot be found, read, opened or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The hub did not give a file.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A bare word that names no model.
    #[error(
        "no model `{name}`: no file or folder of that name is here, and no such encoder ships in \
         this program"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The built-in encoder that begins alike.
        alike: Option<String>,
    },
    /// A repository of the hub holds nothing that can be used.
    #[error("the hub's `{id}` holds {found}")]
    Repository {
        /// `org/name`.
        id: String,
        /// What it holds, or lacks.
        found: String,
        /// What to type next.
        hint: Option<String>,
    },
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
    #[error("{}: {what} {} missing", folder.display(), verb(what))]
    Missing {
        /// Where it was looked for.
        folder: PathBuf,
        /// What is missing.
        what: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// What was asked for is not supported (by this backend, build or model).
    #[error("{what}")]
    Unsupported {
        /// What was asked for, and what is allowed.
        what: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// The tokenizer failed on a text.
    #[error("the tokenizer failed on a text of {characters} characters: {reason}")]
    Tokenize {
        /// Length of the text in Unicode characters.
        characters: usize,
        /// What the tokenizer said.
        reason: String,
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
    /// A server of embeddings cannot be reached, refuses, or gives no answer that is one.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// What failed, on one text.
    #[error("{}", quoted(text))]
    Text {
        /// The text, its prompt before it.
        text: String,
        /// What failed.
        source: Box<EncoderError>,
    },
    /// An embedding holds a value that is not a finite number.
    #[error("an embedding holds {value} at dimension {dimension}")]
    NotFinite {
        /// `NaN`, `inf` or `-inf`.
        value: f32,
        /// Where.
        dimension: usize,
    },
}

/// The beginning of a text, for a message.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(60) {
        _ if text.is_empty() => "on an empty text".to_owned(),
        Some((end, _)) => format!("on the text {:?}…", &text[..end]),
        None => format!("on the text {text:?}"),
    }
}

impl EncoderError {
    /// The same error, with the text that it is about.
    #[must_use]
    pub fn of(self, text: &str) -> Self {
        Self::Text {
            text: text.to_owned(),
            source: Box::new(self),
        }
    }

    /// Whether memory, of the machine or of a device, was not enough: fewer texts at once may do.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Runtime { reason, .. } if korfinsts_nn::error::says_out_of_memory(reason))
    }

    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Hub(e) => e.hint(),
            Self::Repository { hint, .. }
            | Self::Invalid { hint, .. }
            | Self::Missing { hint, .. }
            | Self::Unsupported { hint, .. }
            | Self::Runtime { hint, .. } => hint.clone(),
            Self::Unknown { alike, .. } => Some(alike.as_ref().map_or_else(
                || "is the path spelled right? A model of the hub is named `org/name`".into(),
                |known| format!("did you mean `{known}`?"),
            )),
            Self::Endpoint(e) => e.hint(),
            Self::Text { text, source } if text.is_empty() => source.hint().or(Some(
                "take the empty text out, or evaluate the model's own files, which read it".into(),
            )),
            Self::Text { source, .. } => source.hint(),
            Self::Tokenize { .. } => None,
            Self::NotFinite { .. } => Some(
                "the weights overflow in this number type: try `--dtype float32` (a server is \
                 started with it), or look for damaged weights"
                    .into(),
            ),
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(e) if e.source.kind() == std::io::ErrorKind::NotFound => FailureClass::Model,
            Self::Fs(_) | Self::Runtime { .. } => FailureClass::Runtime,
            Self::Hub(e) => e.class(),
            Self::Repository { .. }
            | Self::Unknown { .. }
            | Self::Invalid { .. }
            | Self::Missing { .. }
            | Self::Tokenize { .. }
            | Self::NotFinite { .. } => FailureClass::Model,
            Self::Unsupported { .. } => FailureClass::Usage,
            Self::Endpoint(e) => e.class(),
            Self::Text { source, .. } => source.class(),
        }
    }
}

impl From<NnError> for EncoderError {
    fn from(error: NnError) -> Self {
        match error {
            NnError::Fs(e) => Self::Fs(e),
            NnError::Invalid { path, reason, hint } => Self::Invalid { path, reason, hint },
            NnError::Missing { folder, what, hint } => Self::Missing { folder, what, hint },
            NnError::Runtime {
                backend,
                reason,
                hint,
            } => Self::Runtime {
                backend,
                reason,
                hint,
            },
            NnError::Unsupported { what, hint } => Self::Unsupported { what, hint },
        }
    }
}
/// "is" or "are", for what is missing.
fn verb(what: &str) -> &'static str {
    let last = what.rsplit_once(", and ").map_or(what, |(_, last)| last);
    if last.starts_with("the weights (") {
        "are"
    } else {
        "is"
    }
}
