//! R1: every text is UTF-8, NFC, with LF, without characters that readers do not see; JSON is strict.

use serde_json::Value;

use super::super::Subject;
use super::super::report::Notes;
use super::{Gate, gate};
use korfinsts_base::json;
use korfinsts_base::text::flaw;

const REMEDY: &str = "write the text in NFC with LF line ends and without invisible characters";

pub(super) const GATE: Gate = gate("R1", "clean text and strict JSON", false, run);

fn run(subject: &Subject, notes: &mut Notes) {
    if subject.manifest.is_none() {
        for (_, row) in subject.rows() {
            for (column, text) in [("sentence1", &row.sentence1), ("sentence2", &row.sentence2)] {
                if let Some(flaw) = flaw(text) {
                    notes.error(Some(&row.id), format!("`{column}` holds {flaw}"), REMEDY);
                }
            }
        }
        return;
    }
    for (name, bytes) in &subject.files {
        if name.ends_with(".parquet") {
            continue;
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => {
                let line = 1 + bytes[..e.valid_up_to()]
                    .iter()
                    .filter(|b| **b == b'\n')
                    .count();
                notes.error(
                    None,
                    format!("{name}:{line}: not UTF-8 at byte {}", e.valid_up_to()),
                    "save the file as UTF-8",
                );
                continue;
            }
        };
        if !text.is_empty() && !text.ends_with('\n') {
            notes.error(
                None,
                format!("{name}: the last line has no end"),
                "end the file with LF",
            );
        }
        for (i, line) in text.split('\n').enumerate() {
            let lines = name.ends_with(".jsonl");
            let id = if lines { id_of(line) } else { None };
            if let Some(flaw) = flaw(line) {
                notes.error(
                    id.as_deref(),
                    format!("{name}:{}: holds {flaw}", i + 1),
                    REMEDY,
                );
            }
            if !lines || (line.is_empty() && text.split('\n').count() == i + 1) {
                continue;
            }
            match json::parse(line.trim_start_matches('\u{FEFF}').trim_end_matches('\r')) {
                Ok(value) => {
                    // An escape hides what the bytes do not show.
                    if flaw(line).is_none() && line.contains('\\') {
                        for text in strings(&value) {
                            if let Some(flaw) = flaw(text) {
                                notes.error(
                                    id.as_deref(),
                                    format!("{name}:{}: an escape holds {flaw}", i + 1),
                                    REMEDY,
                                );
                            }
                        }
                    }
                }
                Err(reason) => notes.error(
                    id.as_deref(),
                    format!("{name}:{}: not strict JSON: {reason}", i + 1),
                    "write one JSON object per line, each key once, numbers finite",
                ),
            }
        }
        if name.ends_with(".json")
            && let Err(reason) = json::parse(text)
        {
            notes.error(
                None,
                format!("{name}: not strict JSON: {reason}"),
                "build the release again",
            );
        }
    }
}

/// The id of a row, where the line can be read at all.
fn id_of(line: &str) -> Option<String> {
    let value: Value = serde_json::from_str(line.trim_end_matches('\r')).ok()?;
    value.get("id")?.as_str().map(ToOwned::to_owned)
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| std::iter::once(key.as_str()).chain(strings(value)))
            .collect(),
        _ => Vec::new(),
    }
}
