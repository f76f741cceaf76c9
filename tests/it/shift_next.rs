//! `korfin-shift-2` is made from its documents: `benchmarks/korfin-shift-2/documents.jsonl` is what people write and correct, `data/` and
//! `provenance/` follow from it. After a change, `KORFINSTS_WRITE=1 cargo test --test it shift_next::` writes them, with the hashes in `suite.toml`.
//!
//! Documents of a sealed split are kept elsewhere: with `KORFINSTS_SEALED=FILE`, their rows are written to `FILE.rows`, for
//! `korfinsts release commit FILE.rows --salt SALT --seal OUT`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use korfinsts_base::fs::sha256;
use korfinsts_publish::release::{Context, Subject, build, check};
use serde_json::{Map, Value, json};

use super::shift::row;
use super::support::{full, repository};

const FOLDER: &str = "benchmarks/korfin-shift-2";
const RELEASES: &str = "benchmarks/korfin-shift/releases";
/// Cells, their gold score, and the end of the id that such a text had in korfin-shift 1.1.0.
const CELLS: [(&str, u8, &str); 4] = [
    ("pos_light", 1, "pos"),
    ("pos_free", 1, "pos"),
    ("neg_close", 0, "neg"),
    ("neg_free", 0, "neg"),
];

/// The documents of a file, each with the hash of its line.
fn documents_of(path: &Path) -> Vec<(String, Map<String, Value>)> {
    let text = std::fs::read_to_string(path).expect("documents");
    text.lines()
        .map(|line| {
            let document = serde_json::from_str(line).expect("a document");
            (sha256(line.as_bytes()), document)
        })
        .collect()
}

fn documents() -> Vec<(String, Map<String, Value>)> {
    documents_of(&repository(&format!("{FOLDER}/documents.jsonl")))
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

/// Split and row of each id of 1.1.0.
fn released() -> BTreeMap<String, (String, Value)> {
    let mut released = BTreeMap::new();
    for split in ["dev", "test"] {
        let path = repository(&format!("benchmarks/korfin-shift/data/{split}.jsonl"));
        for line in std::fs::read_to_string(path).expect("rows").lines() {
            let row: Value = serde_json::from_str(line).expect("a row");
            let id = row["id"].as_str().expect("an id").to_owned();
            released.insert(id, (split.to_owned(), row));
        }
    }
    released
}

/// The rows of each split, and the lines of provenance, as files. A pair whose texts are those of 1.1.0 keeps its id.
fn made(documents: &[(String, Map<String, Value>)]) -> BTreeMap<String, String> {
    let released = released();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (hash, document) in documents {
        let (variant, number) = place(document);
        let name = text(document, "document");
        let pattern = variant.rsplit_once('.').expect("PATTERN.NAME").0;
        let domain = pattern.split_once('.').expect("DOMAIN.NAME").0;
        for (language, [from, to]) in [
            ("ko", ["ko", "ko"]),
            ("en", ["en", "en"]),
            ("ko-en", ["ko", "en"]),
        ] {
            let stem = if number == 1 { variant } else { name };
            for (cell, score, end) in CELLS {
                let texts = [
                    text(document, &format!("{from}_src")),
                    text(document, &format!("{to}_{cell}")),
                ];
                let old = format!("{stem}.{language}.{end}");
                let same = released
                    .get(&old)
                    .is_some_and(|(_, row)| [&row["sentence1"], &row["sentence2"]] == texts);
                let id = if same {
                    old
                } else {
                    format!("{name}.{language}.{cell}")
                };
                let row = row(&[
                    ("id", json!(id)),
                    ("sentence1", json!(texts[0])),
                    ("sentence2", json!(texts[1])),
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
                    .entry(format!("data/{}.jsonl", text(document, "split")))
                    .or_default();
                writeln!(rows, "{row}").expect("written");
                let origin = files.entry("provenance/sources.jsonl".into()).or_default();
                let line = json!({
                    "id": id,
                    "document": name,
                    "source": "documents",
                    "sha256": hash,
                    "generator": "written by the korfinsts contributors in documents.jsonl",
                });
                writeln!(origin, "{line}").expect("written");
            }
        }
    }
    files
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == "1")
}

#[test]
fn rows_and_provenance_are_those_that_the_documents_give() {
    let manifest = repository(&format!("{FOLDER}/suite.toml"));
    let mut declared = std::fs::read_to_string(&manifest).expect("suite.toml");
    for (name, made) in made(&documents()) {
        let path = repository(&format!("{FOLDER}/{name}"));
        if is_set("KORFINSTS_WRITE") {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, &made).expect("written");
            let key = format!("{{ name = \"{name}\", sha256 = \"");
            if let Some(at) = declared.find(&key).map(|at| at + key.len()) {
                declared.replace_range(at..at + 64, &sha256(made.as_bytes()));
            }
            std::fs::write(&manifest, &declared).expect("written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == made,
            "{name} is not what the documents give: run KORFINSTS_WRITE=1 cargo test --test it shift_next::"
        );
    }
    if let Some(sealed) = std::env::var_os("KORFINSTS_SEALED") {
        let path = Path::new(&sealed);
        let files = made(&documents_of(path));
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["data/sealed.jsonl", "provenance/sources.jsonl"]);
        std::fs::write(
            path.with_added_extension("rows"),
            &files["data/sealed.jsonl"],
        )
        .expect("written");
    }
}

/// Nobody finds the texts of a sealed split in the files of this repository, nor in the program.
#[test]
fn no_file_of_a_sealed_split_is_here() {
    for folder in [FOLDER.to_owned(), format!("{FOLDER}/data")] {
        for entry in std::fs::read_dir(repository(&folder)).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            assert!(
                !name.to_string_lossy().contains("sealed"),
                "{folder}: {name:?}"
            );
        }
    }
}

/// The release is what its sources give. Before it is there, texts may still be written: probes may tell them apart, and the changelog does not
/// name the rows yet. Every other gate passes.
#[test]
fn release_2_0_0_is_what_its_sources_give() {
    if !full("all gates on 3,552 rows") {
        return;
    }
    let today = "2026-11-28".parse().expect("a day");
    let mut context = Context::on(today);
    for version in ["1.0.0", "1.1.0"] {
        let path = repository(&format!("{RELEASES}/korfin-shift-{version}.zip"));
        let earlier = Subject::open(&path, context.clone()).expect("an earlier release");
        let id = sha256(&earlier.files["SHA256SUMS"]);
        context.earlier.push(earlier.as_earlier(id));
    }
    let subject = Subject::open(&repository(FOLDER), context).expect("read");
    let zip = repository(&format!("{RELEASES}/korfin-shift-2.0.0.zip"));
    if zip.is_file() {
        let built = build(&subject).expect("every gate passes");
        assert!(std::fs::read(zip).expect("the release") == built.zip);
        let card =
            std::fs::read_to_string(repository(&format!("{FOLDER}/README.md"))).expect("a card");
        assert!(card.contains(&built.release_id), "{}", built.release_id);
    } else {
        let report = check(&subject);
        let failed = report.failed();
        assert!(
            failed
                .iter()
                .all(|gate| ["R15", "R21"].contains(&gate.as_str())),
            "{:#?}",
            report.findings
        );
    }
}

#[test]
fn each_variant_has_eight_whole_documents_three_of_them_in_dev() {
    let mut variants: BTreeMap<String, Vec<(u32, String)>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (_, document) in documents() {
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

/// Documents 1 to 6 of 1.1.0 stay where they were, and rows that did not change keep their ids.
#[test]
fn what_is_kept_is_that_of_the_release() {
    let released = released();
    let mut kept = 0;
    for (name, text) in made(&documents()) {
        if name.starts_with("provenance") {
            continue;
        }
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
    assert!(kept > 100, "{kept}");
}
