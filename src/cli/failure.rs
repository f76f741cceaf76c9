//! Errors at the edge: how they are printed and which exit code they give.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::coverage::CoverageError;
use crate::encoder::EncoderError;
use crate::failure::FailureClass;
use crate::fs::FsError;
use crate::hub::HubError;
use crate::leaderboard::LeaderboardError;
use crate::mine::MineError;
use crate::release::ReleaseError;
use crate::run::RunError;
use crate::submission::SubmissionError;
use crate::suite::SuiteError;

/// An error that only the command line knows: wrong usage, a check that failed, an interrupt.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    message: String,
    hint: Option<String>,
    class: FailureClass,
}

impl CliError {
    /// An error in what was asked for, with what to type instead.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: Some(hint.into()),
            class: FailureClass::Usage,
        }
    }

    /// An error of the given class.
    pub fn new(class: FailureClass, message: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            message: message.into(),
            hint,
            class,
        }
    }
}

impl CliError {
    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        self.class
    }

    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Class and hint of the first error in the chain that has them.
fn classify(error: &anyhow::Error) -> (FailureClass, Option<String>) {
    for cause in error.chain() {
        macro_rules! known {
            ($($kind:ty),*) => {$(
                if let Some(e) = cause.downcast_ref::<$kind>() {
                    return (e.class(), e.hint());
                }
            )*};
        }
        known!(
            EncoderError,
            RunError,
            SuiteError,
            HubError,
            CoverageError,
            ReleaseError,
            LeaderboardError,
            MineError,
            SubmissionError
        );
        #[cfg(feature = "candle")]
        known!(crate::train::TrainError);
        if let Some(e) = cause.downcast_ref::<FsError>() {
            return (FailureClass::Runtime, e.hint());
        }
        if let Some(e) = cause.downcast_ref::<CliError>() {
            return (e.class, e.hint.clone());
        }
    }
    (FailureClass::Runtime, None)
}

/// Prints an error with its causes and hint on stderr, and returns its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(say(error).exit_code())
}

/// Prints an error with its causes and hint on stderr, and returns its class.
pub fn say(error: &anyhow::Error) -> FailureClass {
    let (class, hint) = classify(error);
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let _ = write!(text, ": {cause}");
    }
    eprintln!("{text}");
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    class
}
