//! R3: rows have the declared columns, finite scores in range, and texts that say something.

use std::collections::BTreeSet;

use super::super::Subject;
use super::super::report::Notes;
use super::{Gate, gate};
use korfinsts_bench::suite::ScaleKind;

pub(super) const GATE: Gate = gate(
    "R3",
    "schema, finite scores in range, no empty text",
    false,
    run,
);

fn run(subject: &Subject, notes: &mut Notes) {
    let scale = subject.scale;
    for split in &subject.splits {
        if split.rows.is_empty() {
            notes.error(
                None,
                format!("`{}` holds no row", split.name),
                "add rows, or remove the split",
            );
        }
        let with_domain = split.rows.iter().filter(|r| r.domain.is_some()).count();
        for row in &split.rows {
            let id = Some(row.id.as_str());
            for (column, text) in [("sentence1", &row.sentence1), ("sentence2", &row.sentence2)] {
                if text.trim().is_empty() {
                    notes.error(
                        id,
                        format!("`{column}` is empty"),
                        "write a text, or remove the row",
                    );
                }
            }
            if row.domain.is_none() && with_domain > 0 {
                notes.error(
                    id,
                    "it has no domain, others do",
                    "name the domain of every row, or of none",
                );
            }
            let empty: BTreeSet<&String> = row
                .labels
                .iter()
                .filter(|(_, v)| v.trim().is_empty())
                .map(|(k, _)| k)
                .collect();
            // What a suite on disk leaves blank in a further column is its own affair.
            if subject.manifest.is_some() {
                for label in empty {
                    notes.error(id, format!("`{label}` is empty"), "write a value");
                }
            }
            let Some(score) = row.score else { continue };
            if !(scale.min..=scale.max).contains(&score) {
                notes.error(
                    id,
                    format!(
                        "the score {score} is outside the declared scale {} to {}",
                        scale.min, scale.max
                    ),
                    "mend the score, or the scale in korfinsts.toml",
                );
            } else if scale.kind == ScaleKind::Binary && score != 0.0 && score != 1.0 {
                notes.error(
                    id,
                    format!("the score {score} is neither 0 nor 1, and the scale is binary"),
                    "mend the score, or declare another scale",
                );
            }
        }
    }
}
