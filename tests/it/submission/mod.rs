//! Submissions: bundles packed, verified, damaged, copied and encoded again.

mod checks;
pub mod fixture;
mod fuzz;
mod hostile;
mod models;
mod trust;
mod whole;
mod zip;
