//! R6: pairs that occur twice (in either order), that carry two labels, and identical sentences with
//! less than the top score. Between splits it is leakage: R7.

use std::collections::HashMap;

use super::super::Subject;
use super::super::report::Notes;
use super::super::rows::Row;
use super::{Gate, gate};

pub(super) const GATE: Gate = gate(
    "R6",
    "duplicates, conflicts, identical sentences",
    false,
    run,
);

fn run(subject: &Subject, notes: &mut Notes) {
    let (mut duplicates, mut conflicts, mut below_top) = (0, 0, 0);
    for split in &subject.splits {
        let mut groups: HashMap<(&str, &str), Vec<&Row>> = HashMap::new();
        let mut order = Vec::new();
        for row in &split.rows {
            let group = groups.entry(row.texts()).or_default();
            if group.is_empty() {
                order.push(row.texts());
            }
            group.push(row);
            if row.sentence1 == row.sentence2 && row.score.is_some_and(|s| s < subject.scale.max) {
                below_top += 1;
                notes.error(
                    Some(&row.id),
                    format!(
                        "the two sentences are identical, but the score is {}, not {}",
                        row.score.unwrap_or_default(),
                        subject.scale.max
                    ),
                    "give it the top score, or mend the sentences",
                );
            }
        }
        for texts in order {
            let group = &groups[&texts];
            let first = group[0];
            for row in &group[1..] {
                duplicates += 1;
                notes.error(
                    Some(&row.id),
                    format!(
                        "repeats the pair `{}` of `{}` (in either order)",
                        first.id, split.name
                    ),
                    "keep one of them",
                );
            }
            if let Some(other) = group.iter().find(|r| r.score != first.score) {
                conflicts += 1;
                let show = |row: &Row| row.score.map_or("none".to_owned(), |s| s.to_string());
                notes.error(
                    Some(&other.id),
                    format!(
                        "carries the score {}, but `{}` gives the same pair {}",
                        show(other),
                        first.id,
                        show(first)
                    ),
                    "decide on one label",
                );
            }
        }
    }
    notes.fact(format!(
        "{duplicates} duplicate pairs, {conflicts} pairs with conflicting labels, {below_top} identical sentences below the top score"
    ));
}
