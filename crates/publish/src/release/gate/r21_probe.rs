//! R21: what tells positives from negatives without reading, by probes that are trained on the rows.

use super::super::Subject;
use super::super::report::Notes;
use super::{Gate, gate};

/// Whether the probes are run: a release asks for them, since they take seconds.
pub(in super::super) fn applies(subject: &Subject) -> bool {
    let asked = |m: &super::super::Manifest| m.probe.is_some();
    subject.manifest.as_ref().is_none_or(asked)
}

pub(super) const GATE: Gate = gate("R21", "probes that do not read", false, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let limit = subject.manifest.as_ref().and_then(|m| m.probe?.limit);
    for (language, probes) in subject.probes() {
        for (name, area) in probes.all() {
            let found = format!("{language}: {name}: AUC {:.3}", area.auc);
            let interval = area.interval;
            let interval =
                interval.map_or_else(String::new, |[low, high]| format!(" [{low:.3}, {high:.3}]"));
            notes.fact(format!(
                "{found}{interval} over {} pairs of {} clusters",
                probes.pairs, probes.clusters
            ));
            if let Some(limit) = limit.filter(|limit| area.auc > *limit) {
                notes.error(
                    None,
                    format!("a shortcut: {found}, allowed is {limit}"),
                    "rewrite the texts that the probe tells apart: `korfinsts suite probe` shows the figures",
                );
            }
        }
    }
    if limit.is_some() && subject.probes().is_empty() {
        notes.error(
            None,
            "no probe could be run: gold is not binary, or no language has 20 clusters",
            "remove `limit` under `[probe]`, or add rows",
        );
    }
}
