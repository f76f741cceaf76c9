//! `korfin-shift-2` is made from its documents: `benchmarks/korfin-shift-2/documents.jsonl` is what people write and mend, `data/`
//! follows from it. After a change, `KORFINSTS_WRITE=1 cargo test --test it shift_next::` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use korfinsts_base::fs::sha256;
use serde_json::{Map, Value, json};

use super::shift::row;
use super::support::repository;

const FOLDER: &str = "benchmarks/korfin-shift-2";
/// Cells, their gold score, and the end of the id that such a text had in korfin-shift 1.1.0.
const CELLS: [(&str, u8, &str); 4] = [
    ("pos_light", 1, "pos"),
    ("pos_free", 1, "pos"),
    ("neg_close", 0, "neg"),
    ("neg_free", 0, "neg"),
];

fn documents() -> Vec<Map<String, Value>> {
    let path = repository(&format!("{FOLDER}/documents.jsonl"));
    let text = std::fs::read_to_string(path).expect("documents");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a document"))
        .collect()
}

fn text<'a>(document: &'a Map<String, Value>, field: &str) -> &'a str {
    let found = document.get(field).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("{field} of {:?}", document.get("document")))
}

/// Variant and number of a document.
fn place(document: &Map<String, Value>) -> (&str, u32) {
    let (variant, number) = text(document, "document")
        .rsplit_once('.')
        .expect("VARIANT.NUMBER");
    (variant, number.parse().expect("a number"))
}

/// The rows of each split, as files.
fn made() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for document in documents() {
        let (variant, number) = place(&document);
        let name = text(&document, "document");
        let pattern = variant.rsplit_once('.').expect("PATTERN.NAME").0;
        let domain = pattern.split_once('.').expect("DOMAIN.NAME").0;
        let kept = document["kept"].as_array().expect("names");
        for (language, [from, to]) in [
            ("ko", ["ko", "ko"]),
            ("en", ["en", "en"]),
            ("ko-en", ["ko", "en"]),
        ] {
            // A pair whose texts are those of 1.1.0 keeps its id.
            let old = if number == 1 { variant } else { name };
            let is_kept = |field: String| kept.contains(&json!(field));
            for (cell, score, end) in CELLS {
                let same = is_kept(format!("{from}_src")) && is_kept(format!("{to}_{cell}"));
                let id = if same {
                    format!("{old}.{language}.{end}")
                } else {
                    format!("{name}.{language}.{cell}")
                };
                let row = row(&[
                    ("id", json!(id)),
                    ("sentence1", document[&format!("{from}_src")].clone()),
                    ("sentence2", document[&format!("{to}_{cell}")].clone()),
                    ("score", json!(score)),
                    ("domain", json!(domain)),
                    ("pattern", json!(pattern)),
                    ("variant", json!(variant)),
                    ("language", json!(language)),
                    ("triplet", json!(format!("{name}.{language}"))),
                    ("document", json!(name)),
                    ("cell", json!(cell.replace('_', "."))),
                ]);
                let rows = files
                    .entry(format!("data/{}.jsonl", text(&document, "split")))
                    .or_default();
                writeln!(rows, "{row}").expect("written");
            }
        }
    }
    files
}

#[test]
fn rows_are_those_that_the_documents_give() {
    for (name, made) in made() {
        let path = repository(&format!("{FOLDER}/{name}"));
        if std::env::var_os("KORFINSTS_WRITE").is_some_and(|v| v == "1") {
            std::fs::write(&path, &made).expect("written");
            eprintln!("{name}: sha256 {}", sha256(made.as_bytes()));
        }
        let found = std::fs::read_to_string(&path).expect("read");
        assert!(
            found == made,
            "{name} is not what the documents give: run KORFINSTS_WRITE=1 cargo test --test it shift_next::"
        );
    }
}

#[test]
fn each_variant_has_eight_whole_documents_three_of_them_in_dev() {
    let mut variants: BTreeMap<String, Vec<(u32, String)>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for document in documents() {
        let (variant, number) = place(&document);
        variants
            .entry(variant.to_owned())
            .or_default()
            .push((number, text(&document, "split").to_owned()));
        for language in ["ko", "en"] {
            let cells = CELLS.map(|(cell, ..)| cell);
            for cell in ["src"].into_iter().chain(cells) {
                let text = text(&document, &format!("{language}_{cell}"));
                let place = format!("{variant}.{number} {language}_{cell}: {text}");
                assert!(!text.is_empty() && text == text.trim(), "{place}");
                assert!(!text.contains("  ") && !text.contains('\n'), "{place}");
                assert_eq!(text, korfinsts_base::text::nfc(text), "{place}");
                assert!(seen.insert(text.to_owned()), "twice: {place}");
                let hangul = text.chars().any(korfinsts_base::text::is_hangul);
                assert_eq!(hangul, language == "ko", "{place}");
            }
        }
    }
    assert_eq!(variants.len(), 37);
    for (variant, documents) in variants {
        let mut numbers: Vec<u32> = documents.iter().map(|d| d.0).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8], "{variant}");
        let dev = documents.iter().filter(|(_, split)| split == "dev").count();
        assert_eq!(dev, 3, "{variant}");
    }
}

/// Documents 1 to 6 of 1.1.0 stay where they were, and what is said to be kept is.
#[test]
fn what_is_kept_is_that_of_the_release() {
    let mut released: BTreeMap<String, (String, Value)> = BTreeMap::new();
    for split in ["dev", "test"] {
        let path = repository(&format!("benchmarks/korfin-shift/data/{split}.jsonl"));
        for line in std::fs::read_to_string(path).expect("rows").lines() {
            let row: Value = serde_json::from_str(line).expect("a row");
            let id = row["id"].as_str().expect("an id").to_owned();
            released.insert(id, (split.to_owned(), row));
        }
    }
    let mut kept = 0;
    for (name, text) in made() {
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).expect("a row");
            let id = row["id"].as_str().expect("an id");
            let Some((split, old)) = released.get(id) else {
                continue;
            };
            kept += 1;
            assert_eq!(name, format!("data/{split}.jsonl"), "{id}");
            for field in ["sentence1", "sentence2", "score", "variant", "language"] {
                assert_eq!(row[field], old[field], "{id} {field}");
            }
        }
    }
    assert!(kept > 300, "{kept}");
}
