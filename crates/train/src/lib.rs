//! Training: from triplets to a checkpoint that the other rooms can open.
//!
//! A recipe (`recipe`) names a base model, stages with their data, and what is evaluated. The data
//! become examples (`data`) and batches (`batch`); a [`model`] with variables embeds them; a
//! [`step`] gives loss and gradients, and [`optim`] moves the variables. Imports `run`, `coverage`,
//! `suite`, `encoder` and the ground floor.
//!
//! To add an objective: its function in [`loss`], its variant and arm in [`step`], and the kind of
//! data that asks for it.

pub mod augment;
pub mod bag;
mod base;
pub mod batch;
pub mod best;
pub mod chart;
pub mod data;
mod error;
mod evaluator;
mod events;
pub mod export;
mod finish;
pub mod fresh;
mod guide;
pub mod head;
mod held_out;
mod in_progress;
pub mod leakage;
mod locate;
pub mod loss;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod optim;
pub mod outline;
mod principal;
pub mod prune;
pub mod ranks;
pub mod recipe;
pub mod report;
pub mod rows;
pub mod save;
pub mod session;
pub mod soup;
pub mod state;
pub mod step;
mod task;
mod teachers;
mod template;
mod training;
pub mod vocabulary;

pub use candle_core::Device;
pub use error::TrainError;
