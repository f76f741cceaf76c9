//! R4: what the manifest declares about the scores against what they are.

use super::super::Subject;
use super::super::report::Notes;
use super::super::rows::SplitRows;
use super::{Gate, gate};
use korfinsts_bench::suite::{Scale, ScaleKind};
use korfinsts_metric::{spearman_ceiling, tie_share};

/// Share of the declared range that may stay unused at either end.
const UNUSED: f64 = 0.2;
/// Share of scores at the two ends from which a scale is binary in all but name.
const AT_ENDS: f64 = 0.95;

pub(super) const GATE: Gate = gate("R4", "declared scale against observed scores", false, run);

fn run(subject: &Subject, notes: &mut Notes) {
    for split in subject.splits.iter().filter(|s| !s.hidden) {
        let gold: Vec<f64> = split.rows.iter().filter_map(|r| r.score).collect();
        if gold.len() >= 3 {
            look(split, &gold, subject.scale, notes);
        }
    }
}

fn look(split: &SplitRows, gold: &[f64], scale: Scale, notes: &mut Notes) {
    let n = gold.len() as f64;
    let mean = gold.iter().sum::<f64>() / n;
    let sd = (gold.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n).sqrt();
    let (low, high) = gold
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), g| {
            (l.min(*g), h.max(*g))
        });
    let mut values = gold.to_vec();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let range = scale.max - scale.min;
    // The sd of a coin that shows the ends of the scale with this mean.
    let p = ((mean - scale.min) / range).clamp(0.0, 1.0);
    let bernoulli = range * (p * (1.0 - p)).sqrt();
    let ceiling = spearman_ceiling(gold);
    notes.fact(format!(
        "{}: {} distinct scores, mean {mean:.3}, sd {sd:.3} (a coin with this mean has {bernoulli:.3}), tied \
         share {:.3}, Spearman's ceiling {}",
        split.name,
        values.len(),
        tie_share(gold).unwrap_or_default(),
        ceiling.as_ref().map_or_else(|e| format!("undefined ({e})"), |c| format!("{c:.3}"))
    ));
    let name = &split.name;
    if values.len() == 1 {
        notes.error(
            None,
            format!("`{name}`: every score is {}", values[0]),
            "no correlation exists: label the pairs, or drop the split",
        );
        return;
    }
    if scale.kind != ScaleKind::Binary {
        let ends = gold
            .iter()
            .filter(|g| **g == scale.min || **g == scale.max)
            .count() as f64
            / n;
        if values.len() == 2 {
            notes.error(
                None,
                format!(
                    "`{name}`: only {} and {} occur, but the scale is declared {} to {}",
                    values[0], values[1], scale.min, scale.max
                ),
                "declare the scale binary, 0 to 1",
            );
        } else if ends >= AT_ENDS {
            notes.error(
                None,
                format!("`{name}`: {:.1} % of the scores stand at the two ends (sd {sd:.3}, a coin's {bernoulli:.3})", 100.0 * ends),
                "declare the scale binary, or label by degree",
            );
        }
        for (what, unused) in [
            ("lowest", (low - scale.min) / range),
            ("highest", (scale.max - high) / range),
        ] {
            if unused >= UNUSED {
                notes.error(
                    None,
                    format!(
                        "`{name}`: the {what} {:.0} % of the declared scale {} to {} are not used",
                        100.0 * unused,
                        scale.min,
                        scale.max
                    ),
                    "declare the scale that the labels use",
                );
            }
        }
    }
    if scale.kind == ScaleKind::Ordinal
        && let Some(step) = values.iter().find(|v| v.fract() != 0.0)
    {
        notes.error(
            None,
            format!("`{name}`: the scale is ordinal, but {step} is no whole step"),
            "declare the scale interval, or round the labels",
        );
    }
}
