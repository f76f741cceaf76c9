//! Scores that are constant or mostly tied come from no encoder, or from one that failed.

use super::super::verify::Examined;
use korfinsts_metric::tie_share;

/// Share of tied scores from which a list of scores is refused.
const MOST: f64 = 0.5;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    let mut largest = 0.0_f64;
    for entry in &examined.bundle.manifest.suites {
        let scores: Vec<f64> = examined.lines(entry).iter().map(|l| l.score).collect();
        let Some(first) = scores.first() else {
            return Err(format!("{}: there is no score", entry.name()));
        };
        if scores.iter().all(|s| s == first) {
            return Err(format!("{}: every score is {first}", entry.name()));
        }
        let share = tie_share(&scores).unwrap_or(1.0);
        if share > MOST {
            return Err(format!(
                "{}: {:.1} % of the scores are tied",
                entry.name(),
                100.0 * share
            ));
        }
        largest = largest.max(share);
    }
    Ok(format!(
        "at most {:.1} % of the scores of a suite are tied",
        100.0 * largest
    ))
}
