#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests read and write files of their own, and say what they skip"
)]
#![allow(
    clippy::unused_self,
    reason = "a home is asked, whether or not its answer depends on it"
)]
//! The one integration binary: what the command does, against references made by other software.

#[cfg(feature = "candle")]
mod adapters;
mod attacks;
mod budgets;
mod candle;
mod compare;
mod coverage;
mod disk_full;
mod doctor;
mod durable;
mod encode;
mod encoders;
mod endpoints;
mod eval;
mod faults;
mod folders;
mod forms;
#[cfg(target_os = "linux")]
mod gpu_kernels;
mod hostile_tokenizers;
mod hub;
mod hub_models;
mod imports;
mod injected;
mod kill;
mod kin;
mod leaderboard;
mod lexical;
mod metric_coverage;
mod metric_properties;
mod metric_reference;
mod mine;
mod mutated;
mod onnx;
mod onnx_padding;
mod outputs;
mod pairs;
mod paper;
mod push;
mod records;
mod release;
mod screens;
mod server;
mod shards;
mod shift;
mod shift_next;
mod speed;
mod submission;
mod suite_annotate;
mod suite_cli;
mod suites;
mod support;
mod tokenizers;
#[cfg(feature = "candle")]
mod train;
#[cfg(feature = "candle")]
mod train_augment;
#[cfg(feature = "candle")]
mod train_data;
#[cfg(feature = "candle")]
mod train_distil;
#[cfg(feature = "candle")]
mod train_prune;
mod train_ranks;
#[cfg(feature = "candle")]
mod train_run;
