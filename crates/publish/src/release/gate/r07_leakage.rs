//! R7: pairs and sentences that occur in another split, another suite or training triplets. The same
//! pair is an error; a shared sentence or a near-duplicate is a warning with its share.

use std::collections::{HashMap, HashSet};

use super::super::minhash::Index;
use super::super::report::Notes;
use super::super::rows::{Row, SplitRows};
use super::super::{OtherTexts, Subject};
use super::{Gate, gate};

pub(super) const GATE: Gate = gate("R7", "leakage", false, run);

fn run(subject: &Subject, notes: &mut Notes) {
    for (i, a) in subject.splits.iter().enumerate() {
        for b in &subject.splits[i + 1..] {
            // The smaller of the two is what is evaluated on, where they differ in size.
            let (seen, held) = if a.rows.len() >= b.rows.len() {
                (a, b)
            } else {
                (b, a)
            };
            let groups: Vec<Vec<&str>> = seen
                .rows
                .iter()
                .map(|r| vec![r.sentence1.as_str(), r.sentence2.as_str()])
                .collect();
            look(held, &seen.name, &groups, notes);
        }
    }
    for other in &subject.context.others {
        let groups: Vec<Vec<&str>> = other
            .groups
            .iter()
            .map(|g| g.iter().map(String::as_str).collect())
            .collect();
        for split in &subject.splits {
            look(split, &other.name, &groups, notes);
        }
    }
    if subject.context.others.is_empty() {
        notes.fact("compared between its own splits alone");
    } else {
        let names: Vec<&str> = subject
            .context
            .others
            .iter()
            .map(|o: &OtherTexts| o.name.as_str())
            .collect();
        notes.fact(format!(
            "compared between its own splits and with {}",
            names.join(", ")
        ));
    }
}

/// Looks for the pairs of `held` in the groups of `seen`.
fn look(held: &SplitRows, seen: &str, groups: &[Vec<&str>], notes: &mut Notes) {
    let mut pairs: HashSet<(&str, &str)> = HashSet::new();
    let mut texts: HashSet<&str> = HashSet::new();
    for group in groups {
        for (i, a) in group.iter().enumerate() {
            texts.insert(a);
            for b in &group[i + 1..] {
                pairs.insert(if a <= b { (a, b) } else { (b, a) });
            }
        }
    }
    let mut shared = Vec::new();
    let mut rest: Vec<&Row> = Vec::new();
    for row in &held.rows {
        if pairs.contains(&row.texts()) {
            notes.error(
                Some(&row.id),
                format!(
                    "the pair of `{}` stands in `{seen}` too (in either order)",
                    held.name
                ),
                "remove it from one of them",
            );
        }
        if texts.contains(row.sentence1.as_str()) || texts.contains(row.sentence2.as_str()) {
            shared.push(row.id.as_str());
        } else {
            rest.push(row);
        }
    }
    let what = format!("hold a sentence that stands in `{seen}`");
    report(held, &what, &shared, notes);
    let index = Index::new(texts.iter().copied());
    let mut memo: HashMap<&str, bool> = HashMap::new();
    let mut near = Vec::new();
    for row in rest {
        let found = [&row.sentence1, &row.sentence2]
            .into_iter()
            .any(|text| *memo.entry(text).or_insert_with(|| index.has_near(text)));
        if found {
            near.push(row.id.as_str());
        }
    }
    let what = format!("hold a near-duplicate of a sentence in `{seen}`");
    report(held, &what, &near, notes);
}

fn report(held: &SplitRows, what: &str, ids: &[&str], notes: &mut Notes) {
    if ids.is_empty() {
        return;
    }
    let shown: Vec<String> = ids.iter().take(5).map(|id| format!("`{id}`")).collect();
    let more = if ids.len() > 5 { ", ..." } else { "" };
    notes.warn(
        None,
        format!(
            "{:.1} % of the pairs of `{}` ({} of {}) {what}: {}{more}",
            100.0 * ids.len() as f64 / held.rows.len() as f64,
            held.name,
            ids.len(),
            held.rows.len(),
            shown.join(", ")
        ),
        "say so in the card, or replace the pairs",
    );
}
