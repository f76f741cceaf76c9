//! R19: what is kept back is not there, and a salted commitment says that it cannot be changed later.
//! Of hidden labels that is the sha256 of the salt, LF, and `<id>\t<score>\n` per row, sorted by id;
//! of a sealed split the sha256 of its file, whose rows hold the salt.

use std::collections::BTreeMap;

use korfinsts_base::fs::sha256;
use serde_json::{Map, Value};

use super::super::manifest::is_sha256;
use super::super::report::Notes;
use super::super::rows::data_name;
use super::super::{Subject, parquet};
use super::{Gate, gate};

/// Columns that would give a label away.
const TELLING: [&str; 7] = [
    "score",
    "label",
    "gold",
    "target",
    "answer",
    "y",
    "similarity",
];

pub(super) const GATE: Gate = gate("R19", "hidden test sets", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let Some(manifest) = &subject.manifest else {
        return;
    };
    for (name, split) in &manifest.splits {
        if !split.hidden && !split.sealed {
            if split.commitment.is_some() {
                notes.error(
                    None,
                    format!("`{name}` has a commitment, but its labels are not hidden"),
                    "set `hidden = true` or `sealed = true`, or remove the commitment",
                );
            }
            continue;
        }
        match &split.commitment {
            None if split.sealed => notes.error(
                None,
                format!("`{name}` is sealed, but commits to no rows"),
                "set `commitment` to what `korfinsts release commit ROWS --seal FILE` prints",
            ),
            None => notes.error(
                None,
                format!("`{name}` hides its labels, but commits to none"),
                "set `commitment` to the salted hash of the labels (`korfinsts release commit`)",
            ),
            Some(hash) if !is_sha256(hash) => notes.error(
                None,
                format!("the commitment of `{name}` is not 64 lower-case hexadecimal digits"),
                "write what `korfinsts release commit` prints",
            ),
            Some(_) => {}
        }
        let file = data_name(name);
        if split.sealed {
            for kept in [file, parquet::name(name)] {
                if subject.files.contains_key(&kept) {
                    notes.error(
                        None,
                        format!("`{name}` is sealed, but `{kept}` is there"),
                        "keep the file outside of the folder of the release",
                    );
                }
            }
            continue;
        }
        let text = subject
            .files
            .get(&file)
            .map(|b| String::from_utf8_lossy(b))
            .unwrap_or_default();
        for (i, line) in text.lines().enumerate() {
            let Ok(serde_json::Value::Object(row)) = serde_json::from_str(line) else {
                continue;
            };
            let id = row.get("id").and_then(|v| v.as_str());
            for key in row
                .iter()
                .filter(|(k, v)| TELLING.contains(&k.to_lowercase().as_str()) && !v.is_null())
                .map(|(k, _)| k)
            {
                notes.error(
                    id,
                    format!("{file}:{}: `{key}` gives the hidden label away", i + 1),
                    "remove it from the row",
                );
            }
        }
        if let Some(raw) = subject.files.get("annotations/raw.jsonl") {
            let text = String::from_utf8_lossy(raw);
            let hidden: std::collections::HashSet<&str> = subject
                .splits
                .iter()
                .filter(|s| s.name == *name)
                .flat_map(|s| &s.rows)
                .map(|r| r.id.as_str())
                .collect();
            for line in text.lines() {
                let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else {
                    continue;
                };
                if let Some(id) = value["id"].as_str().filter(|id| hidden.contains(id)) {
                    notes.error(
                        Some(id),
                        "annotations/raw.jsonl gives the hidden label away",
                        "keep the annotations of hidden splits back",
                    );
                }
            }
        }
    }
}

/// The commitment to labels: whoever knows salt and labels computes the same, nobody else can.
#[must_use]
pub fn commitment(salt: &str, labels: &BTreeMap<String, f64>) -> String {
    let mut text = format!("{salt}\n");
    for (id, score) in labels {
        text.push_str(&format!("{id}\t{score}\n"));
    }
    sha256(text.as_bytes())
}

/// The file of a sealed split: its rows sorted by id, one a line, each with the `salt`. The SHA-256 of the file is the
/// commitment to its texts and labels: nobody can find them from it, nor change them without changing it.
#[must_use]
pub fn seal(salt: &str, rows: &BTreeMap<String, Map<String, Value>>) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows.values() {
        let mut row = row.clone();
        row.insert("salt".to_owned(), salt.into());
        out.extend_from_slice(Value::Object(row).to_string().as_bytes());
        out.push(b'\n');
    }
    out
}
