//! R9: the raw label of each annotator is there, and annotators agree well enough.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::super::Subject;
use super::super::report::Notes;
use super::{Gate, gate, objects};
use korfinsts_metric::krippendorff;

const FILE: &str = "annotations/raw.jsonl";
/// Resamples behind the interval.
const RESAMPLES: usize = 1_000;

/// One label of one annotator.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    id: String,
    annotator: String,
    #[serde(rename = "label")]
    value: f64,
    #[serde(default)]
    #[allow(
        dead_code,
        reason = "checked by R13, known so that no other key is let through"
    )]
    canary: Option<String>,
}

pub(super) const GATE: Gate = gate("R9", "agreement of annotators", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let Some(manifest) = &subject.manifest else {
        return;
    };
    let said = [
        ": nobody can see how far annotators agree",
        "add one line per label: {\"id\", \"annotator\", \"label\"}; or waive R9 with the reason why there is none",
        "write {\"id\", \"annotator\", \"label\"}",
    ];
    let Some(labels) = objects::<Given>(subject, FILE, said, notes) else {
        return;
    };
    let ids: HashSet<&str> = subject.rows().map(|(_, r)| r.id.as_str()).collect();
    let mut units: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut given: HashSet<(String, String)> = HashSet::new();
    for (place, label) in labels {
        let id = Some(label.id.as_str());
        if !ids.contains(label.id.as_str()) {
            notes.error(
                id,
                format!("{place}: no row has this id"),
                "remove the label, or add the row",
            );
            continue;
        }
        if !(subject.scale.min..=subject.scale.max).contains(&label.value) {
            notes.error(
                id,
                format!("{place}: the label {} is outside the scale", label.value),
                "mend the label",
            );
        }
        if !given.insert((label.id.clone(), label.annotator.clone())) {
            notes.error(
                id,
                format!(
                    "{place}: `{}` labels this row twice",
                    label.annotator.escape_debug()
                ),
                "keep one of the labels",
            );
            continue;
        }
        units.entry(label.id).or_default().push(label.value);
    }
    for (_, row) in subject.rows() {
        match units.get(&row.id).map_or(0, Vec::len) {
            0 => notes.error(
                Some(&row.id),
                "no annotator labelled this row",
                "have it labelled, or remove it",
            ),
            1 => notes.warn(
                Some(&row.id),
                "only one annotator labelled this row",
                "have a second one label it",
            ),
            _ => {}
        }
    }
    let Some(wanted) = manifest.agreement else {
        notes.error(
            None,
            "korfinsts.toml sets no floor for the agreement",
            "add `[agreement]` with `level` and `floor`",
        );
        return;
    };
    let units: Vec<Vec<f64>> = units.into_values().collect();
    match krippendorff(&units, wanted.level, RESAMPLES, 0) {
        None => notes.error(None, "Krippendorff's alpha does not exist: fewer than two rows with two labels, or all labels are equal", "have more rows labelled by two annotators"),
        Some(found) => {
            notes.fact(format!(
                "Krippendorff's alpha {:.3} [{:.3}, {:.3}] over {} rows with {} labels",
                found.alpha, found.low, found.high, found.units, found.labels
            ));
            if found.low < wanted.floor {
                notes.error(
                    None,
                    format!("Krippendorff's alpha is {:.3} [{:.3}, {:.3}], the floor {}", found.alpha, found.low, found.high, wanted.floor),
                    "mend the guidelines and label again, or remove rows that cannot be decided",
                );
            }
        }
    }
}
