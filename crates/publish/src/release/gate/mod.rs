//! The gates that a release must pass, one file each.
//!
//! To add one: a file with its `GATE`, and a line in [`GATES`].

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
    /// `R1`, `R2` and so on.
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
    r01_text::GATE,
    r02_ids::GATE,
    r03_schema::GATE,
    r04_scale::GATE,
    r05_counts::GATE,
    r06_duplicates::GATE,
    r07_leakage::GATE,
    r08_balance::GATE,
    r09_agreement::GATE,
    r10_personal::GATE,
    r11_licences::GATE,
    r12_provenance::GATE,
    r13_canary::GATE,
    r14_version::GATE,
    r15_changelog::GATE,
    r16_deterministic::GATE,
    r17_sums::GATE,
    r18_loaders::GATE,
    r19_hidden::GATE,
    r20_datasheet::GATE,
    r21_probe::GATE,
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
