//! Submissions: bundles packed, verified, damaged, copied and encoded again.

mod checks;
pub mod fixture;
pub mod fuzz;
mod hostile;
mod models;
mod trust;
mod whole;
mod zip;
