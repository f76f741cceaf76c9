//! Errors at the edge: how they are printed and which exit code they give.

use std::process::ExitCode;

use super::texts::texts;
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_base::hub::HubError;
use korfinsts_bench::coverage::CoverageError;
use korfinsts_bench::run::RunError;
use korfinsts_bench::suite::SuiteError;
use korfinsts_encoder::EncoderError;
use korfinsts_mine::MineError;
use korfinsts_publish::leaderboard::LeaderboardError;
use korfinsts_publish::push::PushError;
use korfinsts_publish::release::ReleaseError;
use korfinsts_publish::submission::SubmissionError;

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

#[cfg(test)]
impl CliError {
    /// The class of the failure.
    pub fn class(&self) -> FailureClass {
        self.class
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
            SubmissionError,
            PushError
        );
        #[cfg(feature = "candle")]
        known!(korfinsts_train::TrainError);
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
    print(
        &error.chain().map(ToString::to_string).collect::<Vec<_>>(),
        hint,
    );
    class
}

/// Prints an error, what it is followed by its causes, and a hint on stderr.
pub fn print(causes: &[String], hint: Option<String>) {
    let texts = texts();
    let causes = texts.said(&causes.join(": "));
    super::output::say(&texts.fill("cli_error", &[("causes", &causes)]));
    if let Some(hint) = hint {
        super::output::say(&texts.fill("cli_hint", &[("hint", &texts.said(&hint))]));
    }
}
