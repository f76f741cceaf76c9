//! From records to a ranking, a comparison and a page.
//!
//! Holds the finding of records ([`entry`]), what must be known of suites ([`catalogue`]), the
//! comparison of two models ([`compare`]), figures that others report ([`reported`], [`import`]),
//! the board with its statistics ([`board`]), and what shows it: values for the templates
//! ([`view`], [`chart`]), the page ([`page`]), other formats ([`export`]), a server for this
//! machine ([`serve`]). Imports `run`, `coverage` and what is below them.
//!
//! Every name and text from a record is untrusted: it passes [`korfinsts_base::text::visible`] when it is
//! taken from the record, and the templates escape it.
//!
//! To add an export: a line in [`export::all`] and its function. To add a chart: see [`chart`]. To
//! add a language: a table in `templates/leaderboard/texts.toml`.

pub mod board;
pub mod catalogue;
pub mod chart;
pub mod compare;
pub mod entry;
mod error;
pub mod export;
pub mod import;
mod minify;
pub mod page;
pub mod reported;
pub mod serve;
pub mod view;

pub use error::LeaderboardError;
