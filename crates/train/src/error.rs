//! What can go wrong between a recipe and a checkpoint.

use std::path::PathBuf;

use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_base::hub::HubError;
use korfinsts_base::records::RecordsError;
use korfinsts_bench::coverage::CoverageError;
use korfinsts_bench::run::RunError;
use korfinsts_bench::suite::SuiteError;
use korfinsts_encoder::EncoderError;
use korfinsts_nn::NnError;

/// An error of the training room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The base model, the teacher or the checkpoint failed.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// An evaluation failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A vocabulary cannot be measured or augmented.
    #[error(transparent)]
    Coverage(#[from] CoverageError),
    /// A suite cannot be read.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// A dataset of the hub cannot be read.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The recipe is wrong.
    #[error("{}{}: {reason}", path.display(), line.map_or(String::new(), |l| format!(":{l}")))]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// Line, from 1, where one is known.
        line: Option<usize>,
        /// What was found and what is allowed.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// A file of training texts is wrong.
    #[error("{}{}: {reason}", path.display(), line.map_or(String::new(), |l| format!(":{l}")))]
    Data {
        /// The file.
        path: PathBuf,
        /// Line or row, from 1, where one is known.
        line: Option<usize>,
        /// What was found and what is allowed.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// Training texts are texts of a suite.
    #[error("{texts} training texts stand in a suite: {examples}")]
    Leak {
        /// How many.
        texts: usize,
        /// The first of them, with their suites.
        examples: String,
    },
    /// A loss, a gradient or a weight is no number.
    #[error("step {step} ({stage}): {what} is {value}; the batch: {batch}")]
    NotFinite {
        /// Stage.
        stage: String,
        /// Step, from 1.
        step: usize,
        /// `the loss`, or a parameter.
        what: String,
        /// `NaN`, `inf`.
        value: f64,
        /// Where the batch's texts came from.
        batch: String,
    },
    /// Memory of the device ran out.
    #[error("step {step} ({stage}): out of memory; the batch: {batch}")]
    OutOfMemory {
        /// Stage.
        stage: String,
        /// Step, from 1.
        step: usize,
        /// Where the batch's texts came from.
        batch: String,
    },
    /// The state of an earlier run does not fit.
    #[error("{}: {reason}", path.display())]
    State {
        /// The state.
        path: PathBuf,
        /// Why training cannot continue from it.
        reason: String,
    },
    /// Another rank failed or went away.
    #[error("rank {rank}: {reason}")]
    Rank {
        /// The other rank.
        rank: usize,
        /// What happened.
        reason: String,
    },
    /// Ranks cannot meet.
    #[error("ranks cannot meet at `{address}`: {reason}")]
    Meet {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The user asked to stop; the state is kept.
    #[error("interrupted after step {step} of {total}")]
    Interrupted {
        /// Steps done.
        step: usize,
        /// Steps planned.
        total: usize,
    },
    /// The library below failed.
    #[error("{what}: {reason}")]
    Compute {
        /// What was being done.
        what: &'static str,
        /// What the library said.
        reason: String,
    },
    /// The model cannot be exported as asked.
    #[error("{reason}")]
    Export {
        /// What was found and what is allowed.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
}

impl From<RecordsError> for TrainError {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Broken {
                path,
                number,
                reason,
                hint,
            } => Self::Data {
                path,
                line: number.map(|n| n as usize),
                reason,
                hint: hint.map(str::to_owned),
            },
            RecordsError::Fs(e) => Self::Fs(e),
            other => Self::Compute {
                what: "reading data",
                reason: other.to_string(),
            },
        }
    }
}

impl From<NnError> for TrainError {
    fn from(error: NnError) -> Self {
        Self::Encoder(error.into())
    }
}

impl TrainError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Encoder(e) => e.hint(),
            Self::Run(e) => e.hint(),
            Self::Coverage(e) => e.hint(),
            Self::Suite(e) => e.hint(),
            Self::Hub(e) => e.hint(),
            Self::Recipe { hint, .. } | Self::Data { hint, .. } | Self::Export { hint, .. } => {
                hint.clone()
            }
            Self::Leak { .. } => Some(
                "set `leakage = \"drop\"` in the recipe to leave them out of training, or \
                 `\"report\"` to keep them and say so in the card"
                    .into(),
            ),
            Self::NotFinite { .. } => Some(
                "lower `learning_rate`, raise `temperature`, or set `clip`; a state that was written stays"
                    .into(),
            ),
            Self::OutOfMemory { .. } => Some(
                "set a smaller `micro_batch`, `gradient_checkpointing = true`, or a smaller \
                 `max_tokens`; then run the same command again: it goes on where it stopped"
                    .into(),
            ),
            Self::State { .. } => Some(
                "give this run a folder of its own with `--output DIR`, or start over with \
                 `--restart`"
                    .into(),
            ),
            Self::Rank { .. } => Some(
                "look at that rank's output; then run the same command again: it goes on from \
                 the last state"
                    .into(),
            ),
            Self::Meet { .. } => {
                Some("`--meet HOST:PORT` is where rank 0 listens, the same for every rank".into())
            }
            Self::Interrupted { .. } => {
                Some("run the same command again: it goes on where it stopped".into())
            }
            Self::Compute { .. } => None,
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(_)
            | Self::NotFinite { .. }
            | Self::OutOfMemory { .. }
            | Self::Rank { .. }
            | Self::Compute { .. } => FailureClass::Runtime,
            Self::Encoder(e) => e.class(),
            Self::Run(e) => e.class(),
            Self::Coverage(e) => e.class(),
            Self::Suite(e) => e.class(),
            Self::Hub(e) => e.class(),
            Self::Recipe { .. } | Self::State { .. } | Self::Export { .. } | Self::Meet { .. } => {
                FailureClass::Usage
            }
            Self::Data { .. } => FailureClass::Data,
            Self::Leak { .. } => FailureClass::Check,
            Self::Interrupted { .. } => FailureClass::Interrupted,
        }
    }
}

/// Attaches what was being done to an error of candle.
pub(crate) fn computing(what: &'static str) -> impl Fn(candle_core::Error) -> TrainError {
    move |e| TrainError::Compute {
        what,
        reason: e.to_string(),
    }
}
