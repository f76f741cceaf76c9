//! Reads a table of scores from standard input and prints Spearman's ρ with a 95 % interval.
//!
//! The table has two columns, predicted and gold score, separated by a comma, a tab or spaces. A
//! first line without numbers is a heading.
//!
//! ```text
//! cargo run -p korfinsts-metric --example spearman < crates/metric/examples/scores.csv
//! ```
#![expect(clippy::print_stdout, reason = "the program prints its result")]

use std::error::Error;

use korfinsts_metric::{
    BootstrapOptions, SpearmanSample, bootstrap, spearman, spearman_ceiling, tie_share,
};

fn main() -> Result<(), Box<dyn Error>> {
    let (predicted, gold) = table(&std::io::read_to_string(std::io::stdin())?)?;
    let rho = spearman(&predicted, &gold)?;
    let sample = SpearmanSample::new(&predicted, &gold)?;
    let interval = bootstrap(&sample, &BootstrapOptions::default())?;
    println!("pairs          {}", gold.len());
    println!("Spearman's ρ   {rho:.4}");
    println!("95 %           [{:.3}, {:.3}]", interval.low, interval.high);
    println!("ceiling        {:.4}", spearman_ceiling(&gold)?);
    println!("tied scores    {:.1} %", 100.0 * tie_share(&predicted)?);
    Ok(())
}

/// Predicted and gold scores, one of each per line.
fn table(text: &str) -> Result<(Vec<f64>, Vec<f64>), Box<dyn Error>> {
    let mut columns = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line
            .split([',', '\t', ' '])
            .filter(|field| !field.is_empty())
            .collect();
        match fields[..] {
            [] => {}
            [predicted, gold] => match (predicted.parse(), gold.parse()) {
                (Ok(predicted), Ok(gold)) => {
                    columns.0.push(predicted);
                    columns.1.push(gold);
                }
                _ if at == 0 => {}
                _ => return Err(format!("line {}: `{line}` is not two numbers", at + 1).into()),
            },
            _ => {
                let found = fields.len();
                return Err(format!("line {}: expected 2 fields, found {found}", at + 1).into());
            }
        }
    }
    Ok(columns)
}
