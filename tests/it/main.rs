#![allow(
    clippy::disallowed_methods,
    reason = "tests read and write files of their own"
)]
//! The one integration binary: what the command does, against references made by other software.

mod candle;
mod coverage;
mod encoders;
mod eval;
mod folders;
mod hostile_tokenizers;
mod hub;
mod lexical;
mod metric_coverage;
mod metric_properties;
mod metric_reference;
mod onnx;
mod rooms;
mod suite_cli;
mod suites;
mod support;
mod tokenizers;
