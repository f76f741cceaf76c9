//! The one integration binary: what the command does, against references made by other software.

mod candle;
mod hub;
mod metric_coverage;
mod metric_properties;
mod metric_reference;
mod onnx;
mod rooms;
mod suite_cli;
mod suites;
mod support;
