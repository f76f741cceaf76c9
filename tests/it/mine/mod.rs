//! Data construction.

mod generate;
mod kill;
mod rules;
mod writer;
