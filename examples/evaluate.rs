//! Scores an encoder on suites.
//!
//!     cargo run --release --example evaluate -- MODEL SUITE...
#![expect(clippy::print_stdout, reason = "the program prints its result")]

use korfinsts::Options;

fn main() -> Result<(), korfinsts::Error> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| "nmixx-mini".into());
    let mut suites: Vec<String> = arguments.collect();
    if suites.is_empty() {
        suites.push("korfin-shift".into());
    }
    let records = korfinsts::evaluate(&model, suites, &Options::default())?;
    for record in records {
        let Some(rho) = record.scores.cosine_spearman else {
            println!(
                "{}: no score: {}",
                record.suite.id,
                record.warnings.join("; ")
            );
            continue;
        };
        println!(
            "{}: ρ = {rho:.4} over {} pairs",
            record.suite.id, record.n_pairs
        );
        for warning in &record.warnings {
            println!("  warning: {warning}");
        }
    }
    Ok(())
}
