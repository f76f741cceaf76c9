//! The one integration binary: what the command does, against references made by other software.

mod metric_coverage;
mod metric_properties;
mod metric_reference;
mod onnx;
mod candle;
mod rooms;
mod support;
