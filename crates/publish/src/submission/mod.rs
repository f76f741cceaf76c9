//! Submissions: the bundle that somebody hands in, and what is checked before anything is believed.
//!
//! Holds the bundle `NAME.kfsub.zip`, how it is packed from records, every check of it, the model card
//! that goes with it, and the re-run. Imports `run`, `suite`, `encoder` and the ground floor. It runs no
//! submitted code and writes nothing outside the folder it is told.
//!
//! To add a check: one file under `check/` and one line in [`CHECKS`].

mod bundle;
mod card;
mod check;
mod entry;
mod error;
mod manifest;
mod pack;
mod records;
mod rerun;
mod verify;

pub use bundle::{Bundle, Refused, ScoreLine, TokenLine};
pub use card::{Card, card};
pub use check::{CHECKS, Check};
pub use entry::{BundleEntry, Revoked, entries, revoked};
pub use error::SubmissionError;
pub use manifest::{
    Dataset, Disclosure, DomainMetrics, Harness, MANIFEST, Metrics, Model, ModelFile, Run,
    ScoresFile, Submission, SuiteEntry, TrainData,
};
pub use pack::{PackInput, Packed, pack};
pub use records::{Accepted, accepted, records};
pub use rerun::{Drawn, LEAST_PAIRS, Rerun, Tolerance, compare as compare_rerun, draw};
pub use verify::{BundleContext, CheckResult, Examined, Level, Verdict, examine, verify};
