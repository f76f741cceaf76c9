//! Submissions: bundles packed, verified, damaged, copied and encoded again.

mod checks;
mod fixture;
mod fuzz;
mod hostile;
mod models;
mod whole;
mod zip;
