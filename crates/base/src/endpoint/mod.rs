//! Servers that answer requests about a model: embeddings for an evaluation, chat completions for
//! data.
//!
//! Holds what the name of an endpoint means ([`Address`]), its key ([`Key`]), and requests that are
//! repeated where that may help ([`Client`]). What is asked, and what an answer means, is up to the
//! caller.

mod address;
mod client;
mod key;
mod refusal;

pub use self::address::{Address, FORMS, ServerKind};
pub use self::client::{Client, Refusal, Settings, Usage, Wrong};
pub use self::key::Key;
pub use self::refusal::{TooLong, message, too_long};
use crate::failure::FailureClass;

/// An error of an endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Its name or its key cannot be used.
    #[error("{what}")]
    Setting {
        /// What was found, without any secret.
        what: String,
        /// What to type next.
        hint: String,
    },
    /// The server cannot be reached, refuses, or gives no answer that is one.
    #[error("{url}: {reason}")]
    Server {
        /// What was asked.
        url: String,
        /// What was found, without any key.
        reason: String,
        /// What to type next.
        hint: Option<String>,
        /// Whose failure it is: the network's, the model's, or the request's.
        class: FailureClass,
    },
}

impl EndpointError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Setting { hint, .. } => Some(hint.clone()),
            Self::Server { hint, .. } => hint.clone(),
        }
    }

    /// The same error with a further remark on what was sent to the server.
    #[must_use]
    pub fn noting(mut self, remark: &str) -> Self {
        if let Self::Server { reason, .. } = &mut self {
            *reason = format!("{reason} ({remark})");
        }
        self
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Setting { .. } => FailureClass::Usage,
            Self::Server { class, .. } => *class,
        }
    }
}
