//! Compares two encoders from the records that `korfinsts eval` wrote.
//!
//!     cargo run --release --example compare_records -- korfinsts-results/a korfinsts-results/b
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the program prints its result"
)]

use std::path::PathBuf;

use korfinsts::Options;

fn main() -> Result<(), korfinsts::Error> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [a, b] = paths.as_slice() else {
        eprintln!("usage: compare_records RECORDS RECORDS");
        std::process::exit(2);
    };
    let comparison = korfinsts::compare(a, b, &Options::default())?;
    println!("A = {}, B = {}", comparison.a, comparison.b);
    for (suite, found) in &comparison.suites {
        let (Some(delta), Some([low, high])) = (found.delta_spearman, found.interval) else {
            println!("{suite}: no difference can be computed");
            continue;
        };
        let p = found
            .p_holm
            .map_or_else(String::new, |p| format!(", p (Holm) {p:.4}"));
        println!("{suite}: Δρ = {delta:+.4} [{low:+.4}, {high:+.4}]{p}");
    }
    for warning in &comparison.warnings {
        println!("warning: {warning}");
    }
    Ok(())
}
