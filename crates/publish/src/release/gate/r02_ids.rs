//! R2: ids are well-formed, unique over all splits, and never given to another pair later.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::Subject;
use super::super::report::Notes;
use super::super::rows::Row;
use super::{Gate, gate};
use korfinsts_bench::suite::manifest::is_id;

pub(super) const GATE: Gate = gate("R2", "stable, unique ids", false, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (split, row) in subject.rows() {
        if !is_id(&row.id) {
            notes.error(
                Some(&row.id),
                format!(
                    "the id `{}` does not match `^[a-z0-9][a-z0-9._-]{{0,63}}$`",
                    row.id.escape_debug()
                ),
                "rename it before it is first released",
            );
        }
        if let Some(first) = seen.insert(&row.id, &split.name) {
            notes.error(
                Some(&row.id),
                format!(
                    "the id `{}` stands twice (in `{first}` and `{}`)",
                    row.id.escape_debug(),
                    split.name
                ),
                "give every row an id of its own",
            );
        }
    }
    source_ids(subject, notes);
    reused(subject, notes);
}

/// Ids that the source of a suite gives, where the suite numbers its rows instead.
fn source_ids(subject: &Subject, notes: &mut Notes) {
    for split in &subject.splits {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for id in split.rows.iter().filter_map(|r| r.source_id.as_deref()) {
            *counts.entry(id).or_default() += 1;
        }
        let repeated = counts.values().filter(|n| **n > 1).count();
        if repeated == 0 {
            continue;
        }
        let rows: usize = counts.values().filter(|n| **n > 1).map(|n| n - 1).sum();
        notes.error(
            None,
            format!(
                "`{}`: the source's own ids are not unique: {repeated} ids stand more than once, {rows} rows \
                 repeat an earlier row's id",
                split.name
            ),
            "do not join on them: number the rows, as this suite does, or give ids of your own",
        );
    }
}

/// An id that an earlier release gave to another pair, or that was retired.
fn reused(subject: &Subject, notes: &mut Notes) {
    let earlier = &subject.context.earlier;
    let ids: Vec<HashMap<&str, &Row>> = earlier
        .iter()
        .map(|e| {
            e.splits
                .iter()
                .flat_map(|s| &s.rows)
                .map(|r| (r.id.as_str(), r))
                .collect()
        })
        .collect();
    let mut reported = HashSet::new();
    for (_, row) in subject.rows() {
        for (at, release) in ids.iter().enumerate() {
            let Some(before) = release.get(row.id.as_str()) else {
                continue;
            };
            let retired = ids[at + 1..]
                .iter()
                .any(|later| !later.contains_key(row.id.as_str()));
            let other = before.sentence1 != row.sentence1
                && before.sentence2 != row.sentence2
                && before.texts() != row.texts();
            if (retired || other) && reported.insert(row.id.as_str()) {
                let why = if retired {
                    "retired after"
                } else {
                    "another pair in"
                };
                notes.error(
                    Some(&row.id),
                    format!("the id was {why} release {}", earlier[at].version),
                    "give the row a new id: ids are never used again",
                );
            }
        }
    }
}
