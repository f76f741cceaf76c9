//! Reads a leaderboard's `board.json` and prints the encoders by their score on a suite.
//!
//!     cargo run --example read_leaderboard -- leaderboard/page/board.json korfin-shift
#![expect(clippy::print_stdout, reason = "the program prints its result")]

use serde_json::Value;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .unwrap_or_else(|| "leaderboard/page/board.json".into());
    let wanted = arguments.next().unwrap_or_else(|| "korfin-shift".into());
    let bytes = korfinsts_base::fs::read(path.as_ref())?;
    let board: Value = serde_json::from_slice(&bytes)?;
    let suites = board["suites"].as_array().ok_or("`suites` is not a list")?;
    let column = suites
        .iter()
        .position(|s| s["key"].as_str().is_some_and(|k| k.starts_with(&wanted)));
    let column = column.ok_or_else(|| format!("no suite `{wanted}` in {path}"))?;
    let rows = board["rows"].as_array().ok_or("`rows` is not a list")?;
    let mut scores: Vec<(f64, &str, &Value)> = rows
        .iter()
        .filter(|row| row["badge"] == "reproduced")
        .filter_map(|row| {
            let cell = &row["cells"][column];
            Some((cell["score"].as_f64()?, row["name"].as_str()?, cell))
        })
        .collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (score, name, cell) in scores {
        let mark = if cell["trained_on"] == true {
            "  (trained on a part of it)"
        } else {
            ""
        };
        println!("{score:+.4}  {name}{mark}");
    }
    Ok(())
}
