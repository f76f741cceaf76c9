//! The gates that a release must pass, one file each.
//!
//! To add one: a file with its `run`, and a line in [`GATES`].

mod r01_text;
mod r02_ids;
mod r03_schema;
mod r04_scale;
mod r05_counts;
mod r06_duplicates;
mod r07_leakage;
mod r08_balance;
mod r09_agreement;
mod r10_personal;
mod r11_licences;
mod r12_provenance;
mod r13_canary;
mod r14_version;
mod r15_changelog;
mod r16_deterministic;
mod r17_sums;
mod r18_loaders;
pub(super) mod r19_hidden;
mod r20_datasheet;
pub(super) mod r21_probe;

use serde::de::DeserializeOwned;

use super::Subject;
use super::report::Notes;
use korfinsts_base::json;

/// One gate.
pub struct Gate {
    /// `R1` to `R21`.
    pub id: &'static str,
    /// What it looks at.
    pub title: &'static str,
    /// Whether it looks at what only a release has; such a gate is skipped for a suite on disk.
    pub needs_release: bool,
    /// Looks, and notes what it finds.
    pub(super) run: fn(&Subject, &mut Notes),
}

const fn gate(
    id: &'static str,
    title: &'static str,
    needs_release: bool,
    run: fn(&Subject, &mut Notes),
) -> Gate {
    Gate {
        id,
        title,
        needs_release,
        run,
    }
}

/// Every gate, in order.
pub static GATES: &[Gate] = &[
    gate("R1", "clean text and strict JSON", false, r01_text::run),
    gate("R2", "stable, unique ids", false, r02_ids::run),
    gate(
        "R3",
        "schema, finite scores in range, no empty text",
        false,
        r03_schema::run,
    ),
    gate(
        "R4",
        "declared scale against observed scores",
        false,
        r04_scale::run,
    ),
    gate("R5", "counts come from the data", true, r05_counts::run),
    gate(
        "R6",
        "duplicates, conflicts, identical sentences",
        false,
        r06_duplicates::run,
    ),
    gate("R7", "leakage", false, r07_leakage::run),
    gate("R8", "balance and shortcuts", false, r08_balance::run),
    gate("R9", "agreement of annotators", true, r09_agreement::run),
    gate("R10", "personal data", false, r10_personal::run),
    gate("R11", "licences", true, r11_licences::run),
    gate("R12", "provenance per row", true, r12_provenance::run),
    gate("R13", "canary", true, r13_canary::run),
    gate("R14", "semantic version", true, r14_version::run),
    gate("R15", "changelog", true, r15_changelog::run),
    gate(
        "R16",
        "builds are byte-identical",
        true,
        r16_deterministic::run,
    ),
    gate("R17", "checksums and signature", true, r17_sums::run),
    gate(
        "R18",
        "other tools load the source rows",
        true,
        r18_loaders::run,
    ),
    gate("R19", "hidden test sets", true, r19_hidden::run),
    gate("R20", "datasheet is complete", true, r20_datasheet::run),
    gate("R21", "probes that do not read", false, r21_probe::run),
];

/// The lines of a file that holds one object per line, each with its place; `None` where the file is not
/// there or is no JSONL. What is wrong is noted: `missing` is what its absence means, `form` how a line
/// is written, `remedy` what to do where there is no file.
fn objects<T: DeserializeOwned>(
    subject: &Subject,
    file: &str,
    [missing, remedy, form]: [&str; 3],
    notes: &mut Notes,
) -> Option<Vec<(String, T)>> {
    let Some(bytes) = subject.files.get(file) else {
        notes.error(None, format!("there is no `{file}`{missing}"), remedy);
        return None;
    };
    let values = match json::parse_lines(bytes) {
        Ok(values) => values,
        Err((line, reason)) => {
            let found = format!("{file}:{line}: {reason}");
            notes.error(None, found, "write one JSON object per line");
            return None;
        }
    };
    let mut found = Vec::new();
    for (i, value) in values.into_iter().enumerate() {
        let place = format!("{file}:{}", i + 1);
        match serde_json::from_value(value) {
            Ok(object) => found.push((place, object)),
            Err(e) => notes.error(None, format!("{place}: {e}"), form),
        }
    }
    Some(found)
}
