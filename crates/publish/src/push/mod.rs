//! What goes to the hub: a model with its card, and the scores of records as a model's repository or a
//! repository of results has them. How it goes there is `korfinsts_base::hub::push`.
//!
//! Imports `run`, `suite`, `results` and the ground floor.

mod error;
mod model;
mod readme;
mod scores;

pub use error::PushError;
pub use model::check_card;
pub use scores::{Files, Scores, Target};
