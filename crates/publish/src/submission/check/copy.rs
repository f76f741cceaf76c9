//! The scores are those of no other entry and of no lexical baseline: neither the same weights or the same
//! file under another name, nor nearly the same order of pairs, or its reverse.

use super::super::verify::Examined;
use korfinsts_encoder::lexical::BASELINES;
use korfinsts_metric::spearman;

/// Rank correlation, of either sign, above which two lists of scores are one. Noise of a thousandth of
/// the range leaves 0.9988.
const SAME: f64 = 0.998;
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
            if rho(&few).is_ok_and(|r| r.abs() < PERHAPS) {
                continue;
            }
            if rho(&all).is_ok_and(|r| r.abs() > SAME) {
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
        // A bundle may repeat the scores of one of its own name: the check `owner` asks for proof.
        if entry.name == manifest.model.id || entry.vouched {
            continue;
        }
        if weights == entry.weights_sha256 {
            return Err(format!(
                "the weights are those of `{}`: a model has one name",
                entry.name.escape_debug()
            ));
        }
        for suite in &manifest.suites {
            let Some((hash, theirs)) = entry.scores.get(&suite.name()) else {
                continue;
            };
            if *hash == suite.scores.sha256 {
                return Err(format!(
                    "{}: the scores are those of `{}`, under other weights",
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
            // A submitter may hand in variants of a model that differ little.
            if let Ok(rho) = spearman(&a, &b)
                && rho.abs() > SAME
                && !entry.is_of_submitter(manifest)
            {
                return Err(format!(
                    "{}: the scores order the pairs as those of `{}` do (rank correlation {rho:.4}, allowed is {SAME} and less, of either sign)",
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
