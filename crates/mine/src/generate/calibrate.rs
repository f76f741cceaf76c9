//! The judge on the typology's own triples, whose answers are known, before a run.

use super::ask::{Asker, Stop, Subject};
use super::flow::{Candidate, Judgement, judge};
use crate::generation::Calibration;
use crate::typology::Typology;

/// Judges `most` triples, spread over variants and languages: each negative and each positive as
/// what it is, and as the other. `None` where `most` is 0 or answers wait for a batch.
///
/// # Errors
/// When the run has to stop.
pub fn calibrate(
    asker: &Asker<'_>,
    typology: &Typology,
    most: usize,
    least: f64,
) -> Result<Option<Calibration>, Stop> {
    let all: Vec<_> = typology
        .variants
        .iter()
        .flat_map(|v| typology.languages.iter().map(move |l| (v, l)))
        .collect();
    if most == 0 || all.is_empty() {
        return Ok(None);
    }
    let count = most.min(all.len());
    // Evenly spread, both languages in turn.
    let chosen = (0..count).map(|i| &all[i * all.len() / count]);
    let mut hits = [[0_usize; 2]; 4];
    let (mut unscored, mut pending) = (0, false);
    for (variant, language) in chosen {
        let triple = &variant.texts[&language.id];
        let subject = Subject::of(typology, variant, language, triple);
        for (at, (kind, text, keep)) in [
            ("negative", &triple.negative, true),
            ("positive", &triple.positive, true),
            ("negative", &triple.positive, false),
            ("positive", &triple.negative, false),
        ]
        .into_iter()
        .enumerate()
        {
            let candidate = Candidate {
                kind,
                variant: (kind == "negative").then_some(*variant),
                text,
            };
            match judge(asker, subject, candidate, 1)? {
                Judgement::Total { least, .. } => {
                    let kept = least >= typology.threshold(kind);
                    hits[at][0] += usize::from(kept == keep);
                    hits[at][1] += 1;
                }
                Judgement::Unscored(super::ask::CallOutcome::Pending) => pending = true,
                Judgement::Unscored(_) => {
                    unscored += 1;
                    hits[at][1] += 1;
                }
            }
        }
    }
    if pending {
        return Ok(None);
    }
    let share = |at: usize| hits[at][0] as f64 / hits[at][1].max(1) as f64;
    Ok(Some(Calibration {
        triples: count,
        negatives_kept: share(0),
        positives_kept: share(1),
        positives_refused_as_negatives: share(2),
        negatives_refused_as_positives: share(3),
        unscored,
        accuracy: (0..4).map(share).sum::<f64>() / 4.0,
        least,
    }))
}
