//! R18: what other tools load equals the source rows: Parquet and JSONL are read back, and every field
//! that `croissant.json` promises is there with the type it says. (That Hugging Face `datasets` and
//! `mlcroissant` do load the folder is shown by the tests, which run them.)

use serde_json::Value;

use super::super::report::Notes;
use super::super::rows::{SplitRows, data_name};
use super::super::{Subject, build, croissant, parquet};
use super::{Gate, gate};
use korfinsts_base::archive::Files;
use korfinsts_base::fs::sha256;
use korfinsts_base::json;

const REMEDY: &str = "build the release again";

pub(super) const GATE: Gate = gate("R18", "other tools load the source rows", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let built;
    let files: &Files = if subject.built {
        &subject.files
    } else {
        match build::image(subject) {
            Ok(image) => {
                built = image;
                &built
            }
            // R16 reports it.
            Err(_) => return,
        }
    };
    for split in &subject.splits {
        look(split, files, notes);
    }
    metadata(subject, files, notes);
}

fn look(split: &SplitRows, files: &Files, notes: &mut Notes) {
    let name = data_name(&split.name);
    let lines = match files.get(&name).map(|b| json::parse_lines(b)) {
        Some(Ok(lines)) => lines,
        Some(Err((line, reason))) => {
            notes.error(None, format!("{name}:{line}: {reason}"), REMEDY);
            return;
        }
        None => {
            notes.error(None, format!("there is no `{name}`"), REMEDY);
            return;
        }
    };
    let name = parquet::name(&split.name);
    let rows = match files.get(&name).map(|b| parquet::read(b)) {
        Some(Ok(rows)) => rows,
        Some(Err(reason)) => {
            notes.error(None, format!("{name}: {reason}"), REMEDY);
            return;
        }
        None => {
            notes.error(None, format!("there is no `{name}`"), REMEDY);
            return;
        }
    };
    if rows.len() != lines.len() || rows.len() != split.rows.len() {
        notes.error(
            None,
            format!(
                "{name} holds {} rows, the JSONL file {}, the split {}",
                rows.len(),
                lines.len(),
                split.rows.len()
            ),
            REMEDY,
        );
        return;
    }
    for (row, line) in rows.iter().zip(&lines) {
        let same = match (row.as_object(), line.as_object()) {
            (Some(row), Some(line)) => {
                line.iter().all(|(k, v)| row.get(k) == Some(v))
                    && row.iter().filter(|(_, v)| !v.is_null()).count() == line.len()
            }
            _ => false,
        };
        if !same {
            notes.error(
                line.get("id").and_then(Value::as_str),
                format!("{name}: the row differs from that of the JSONL file"),
                REMEDY,
            );
        }
    }
}

fn metadata(subject: &Subject, files: &Files, notes: &mut Notes) {
    let Some(found) = files.get(croissant::NAME) else {
        notes.error(None, format!("there is no `{}`", croissant::NAME), REMEDY);
        return;
    };
    let value: Value = match json::parse_as(found) {
        Ok(value) => value,
        Err(reason) => {
            notes.error(None, format!("{}: {reason}", croissant::NAME), REMEDY);
            return;
        }
    };
    let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
    for object in list("distribution") {
        let name = object["contentUrl"].as_str().unwrap_or_default();
        match files.get(name) {
            None => notes.error(
                None,
                format!(
                    "{} names `{}`, which is not there",
                    croissant::NAME,
                    name.escape_debug()
                ),
                REMEDY,
            ),
            Some(bytes) if object["sha256"] != sha256(bytes).as_str() => {
                notes.error(
                    None,
                    format!("{} gives `{name}` another sha256", croissant::NAME),
                    REMEDY,
                );
            }
            Some(_) => {}
        }
    }
    for split in subject.splits.iter().filter(|s| !s.rows.is_empty()) {
        let Some(set) = list("recordSet")
            .into_iter()
            .find(|s| s["@id"] == split.name.as_str())
        else {
            notes.error(
                None,
                format!("{} has no record set `{}`", croissant::NAME, split.name),
                REMEDY,
            );
            continue;
        };
        let columns: Vec<String> = set["field"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|f| {
                f["source"]["extract"]["column"]
                    .as_str()
                    .map(ToOwned::to_owned)
            })
            .collect();
        let first = files
            .get(&data_name(&split.name))
            .and_then(|b| b.split(|b| *b == b'\n').next())
            .and_then(|l| serde_json::from_slice::<serde_json::Map<String, Value>>(l).ok())
            .unwrap_or_default();
        for key in first.keys().filter(|k| !columns.contains(k)) {
            notes.error(
                None,
                format!(
                    "{}: the record set `{}` lacks the column `{key}`",
                    croissant::NAME,
                    split.name
                ),
                REMEDY,
            );
        }
        for column in columns.iter().filter(|c| !first.contains_key(*c)) {
            notes.error(
                None,
                format!(
                    "{}: the record set `{}` promises a column `{column}` that the rows lack",
                    croissant::NAME,
                    split.name
                ),
                REMEDY,
            );
        }
    }
}
