//! The ids of the scores are exactly those of the suite.

use std::collections::{BTreeSet, HashSet};

use super::super::verify::Examined;
use super::first;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    let mut total = 0;
    for (entry, suite) in examined.bundle.manifest.suites.iter().zip(&examined.suites) {
        let name = entry.name();
        let lines = examined.lines(entry);
        total += lines.len();
        let mut seen = HashSet::new();
        if let Some(line) = lines.iter().find(|l| !seen.insert(l.id.as_str())) {
            return Err(format!(
                "{name}: the id `{}` stands twice",
                line.id.escape_debug()
            ));
        }
        if lines.len() != entry.n_pairs {
            return Err(format!(
                "{name}: there are {} scores, claimed are {}",
                lines.len(),
                entry.n_pairs
            ));
        }
        let Ok(suite) = suite else { continue };
        let known: BTreeSet<&str> = suite.pairs.iter().map(|p| p.id.as_str()).collect();
        let unknown: Vec<String> = seen
            .iter()
            .filter(|id| !known.contains(*id))
            .map(|id| (*id).to_owned())
            .collect();
        let missing: Vec<String> = known
            .iter()
            .filter(|id| !seen.contains(*id))
            .map(|id| (*id).to_owned())
            .collect();
        if !missing.is_empty() {
            return Err(format!("{name}: no score for {}", first(&missing, 5)));
        }
        if !unknown.is_empty() {
            let mut unknown = unknown;
            unknown.sort();
            return Err(format!(
                "{name}: scores for ids that the suite does not have: {}",
                first(&unknown, 5)
            ));
        }
    }
    Ok(format!("{total} scores, one per pair"))
}
