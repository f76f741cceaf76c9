//! Dataset releases: planted defects, deterministic builds, signatures, comparison.

mod build;
pub mod fixture;
mod gates;
mod python;
mod suites;
