//! The scores are those of no other entry and of no lexical baseline: neither the same file, nor the same
//! order of pairs from other weights.

use super::super::verify::Examined;
use korfinsts_encoder::lexical::BASELINES;
use korfinsts_metric::spearman;

/// Rank correlation above which two lists of scores are one.
const SAME: f64 = 0.9999;
/// Pairs on which a lexical baseline is tried first, and the rank correlation on them below which the
/// rest is not looked at.
const FEW: usize = 100;
const PERHAPS: f64 = 0.9;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    let manifest = &examined.bundle.manifest;
    let weights = manifest.model.weights_sha256();
    for suite in examined.joined() {
        let name = suite.entry.name();
        for baseline in BASELINES {
            let rho = |pairs: &[usize]| {
                let theirs: Vec<f64> = pairs
                    .iter()
                    .map(|&i| &suite.suite.pairs[i])
                    .map(|p| baseline.score(&p.sentence1, &p.sentence2))
                    .collect();
                let ours: Vec<f64> = pairs.iter().map(|&i| suite.predicted[i]).collect();
                spearman(&theirs, &ours)
            };
            // What orders all pairs as a baseline does orders a few of them so too: counting words
            // takes longer than every other check together.
            let all: Vec<usize> = (0..suite.suite.pairs.len()).collect();
            let few: Vec<usize> = all
                .iter()
                .copied()
                .step_by(all.len().div_ceil(FEW))
                .collect();
            if rho(&few).is_ok_and(|r| r < PERHAPS) {
                continue;
            }
            if rho(&all).is_ok_and(|r| r > SAME) {
                return Err(format!(
                    "{name}: the scores are those of the lexical baseline `{}`",
                    baseline.name
                ));
            }
        }
    }
    for entry in examined.entries {
        if entry.sha256 == examined.bundle.sha256 {
            return Err(format!(
                "this bundle was taken in before, as `{}`",
                entry.name.escape_debug()
            ));
        }
        let replaces = manifest.resubmission_of.as_ref() == Some(&entry.sha256);
        if replaces && entry.name != manifest.model.id {
            // Else anyone could have anyone's entry removed, or hand in its scores.
            return Err(format!(
                "it replaces the bundle of `{}`; a bundle replaces one of the same name, and this is `{}`",
                entry.name.escape_debug(),
                manifest.model.id.escape_debug()
            ));
        }
        // The same weights give the same scores, and a bundle may repeat those of its forerunner.
        if replaces || weights == entry.weights_sha256 {
            continue;
        }
        for suite in &manifest.suites {
            let Some((hash, theirs)) = entry.scores.get(&suite.name()) else {
                continue;
            };
            if *hash == suite.scores.sha256 {
                return Err(format!(
                    "{}: the scores are those of `{}`, which has other weights",
                    suite.name(),
                    entry.name.escape_debug()
                ));
            }
            let (mut a, mut b) = (Vec::new(), Vec::new());
            for line in examined.lines(suite) {
                if let Some(score) = theirs.get(&line.id) {
                    a.push(line.score);
                    b.push(*score);
                }
            }
            if let Ok(rho) = spearman(&a, &b)
                && rho > SAME
            {
                return Err(format!(
                    "{}: the scores order the pairs as those of `{}` do (rank correlation {rho:.6}), which has other weights",
                    suite.name(),
                    entry.name.escape_debug()
                ));
            }
        }
    }
    Ok(format!(
        "compared with {} entries and {} lexical baselines",
        examined.entries.len(),
        BASELINES.len()
    ))
}
