//! The one integration binary: what the command does, against references made by other software.

mod coverage;
mod encoders;
mod rooms;
mod suites;
mod support;
mod tokenizers;
