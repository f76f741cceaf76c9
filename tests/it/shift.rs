//! `korfin-shift` is made from its triples, here: `benchmarks/korfin-shift/triples/*.jsonl` is what people write and correct,
//! `data/` and `provenance/` follow from it. After a change, `KORFINSTS_WRITE=1 cargo test --test it shift::` writes them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use korfinsts_base::fs::sha256;
use korfinsts_bench::suite::manifest::is_id;
use korfinsts_encoder::lexical;
use korfinsts_metric::auc;
use serde::Deserialize;
use serde_json::{Value, json};

use super::support::repository;

const FOLDER: &str = "benchmarks/korfin-shift";
/// Files of triples in the order of the rows. The first holds document 1 of every variant, which
/// release 1.0.0 knew by the variant's name alone.
const FILES: [&str; 5] = ["typology", "news", "report", "disclosure", "legal"];
/// Where AUC of a shortcut must be, in each split and language.
const FAIR: std::ops::RangeInclusive<f64> = 0.35..=0.65;

/// One document: a source, a paraphrase and a shifted text, in two languages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Triple {
    document: String,
    split: String,
    ko_src: String,
    ko_pos: String,
    ko_neg: String,
    en_src: String,
    en_pos: String,
    en_neg: String,
}

impl Triple {
    fn texts(&self) -> [&str; 6] {
        [
            &self.ko_src,
            &self.ko_pos,
            &self.ko_neg,
            &self.en_src,
            &self.en_pos,
            &self.en_neg,
        ]
    }

    fn variant(&self) -> (&str, u32) {
        let (variant, number) = self.document.rsplit_once('.').expect("VARIANT.NUMBER");
        (variant, number.parse().expect("a number"))
    }

    /// Language, source, paraphrase and shifted text of its three triplets.
    fn triplets(&self) -> [(&str, [&str; 3]); 3] {
        [
            ("ko", [&self.ko_src, &self.ko_pos, &self.ko_neg]),
            ("en", [&self.en_src, &self.en_pos, &self.en_neg]),
            ("ko-en", [&self.ko_src, &self.en_pos, &self.en_neg]),
        ]
    }
}

/// Every triple with the file and the hash of the line that it is in.
fn triples() -> Vec<(&'static str, String, Triple)> {
    FILES
        .into_iter()
        .flat_map(|name| {
            let path = repository(&format!("{FOLDER}/triples/{name}.jsonl"));
            let text = std::fs::read_to_string(path).expect("triples");
            let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
            lines.into_iter().map(move |line| {
                let triple = serde_json::from_str(&line)
                    .unwrap_or_else(|e| panic!("{name}.jsonl: {e}: {line}"));
                (name, sha256(line.as_bytes()), triple)
            })
        })
        .collect()
}

/// A row as the files have it: keys in this order, a space behind each comma and colon.
pub fn row(fields: &[(&str, Value)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("\"{key}\": {value}"))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

/// The rows of each split, and the lines of provenance, as files.
fn made() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (file, hash, triple) in triples() {
        let (variant, number) = triple.variant();
        let pattern = variant.rsplit_once('.').expect("PATTERN.NAME").0;
        let domain = pattern.split_once('.').expect("DOMAIN.NAME").0;
        let stem = if number == 1 {
            variant.to_owned()
        } else {
            triple.document.clone()
        };
        for (language, [source, positive, negative]) in triple.triplets() {
            let triplet = format!("{stem}.{language}");
            for (end, text, score) in [("pos", positive, 1), ("neg", negative, 0)] {
                let id = format!("{triplet}.{end}");
                let row = row(&[
                    ("id", json!(id)),
                    ("sentence1", json!(source)),
                    ("sentence2", json!(text)),
                    ("score", json!(score)),
                    ("domain", json!(domain)),
                    ("pattern", json!(pattern)),
                    ("variant", json!(variant)),
                    ("language", json!(language)),
                    ("triplet", json!(triplet)),
                ]);
                let rows = files
                    .entry(format!("data/{}.jsonl", triple.split))
                    .or_default();
                writeln!(rows, "{row}").expect("written");
                let (hash, writer) = if file == "typology" {
                    // The file that release 1.0.0 was written from.
                    (
                        "5155841902100680239af15fa18e6fcbfae3d0b06ee6606028d619e21c43d260",
                        "from the typology of semantic shifts 1.0.0".to_owned(),
                    )
                } else {
                    (hash.as_str(), format!("in triples/{file}.jsonl"))
                };
                let source = if file == "typology" { file } else { "triples" };
                let origin = files.entry("provenance/sources.jsonl".into()).or_default();
                let writer = format!("written by the korfinsts contributors {writer}");
                writeln!(
                    origin,
                    "{{\"id\":{},\"document\":{},\"source\":{},\"sha256\":{},\"generator\":{}}}",
                    json!(id),
                    json!(triple.document),
                    json!(source),
                    json!(hash),
                    json!(writer)
                )
                .expect("written");
            }
        }
    }
    files
}

#[test]
fn rows_and_provenance_are_those_that_the_triples_give() {
    let made = made();
    let names: Vec<&str> = made.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "data/dev.jsonl",
            "data/test.jsonl",
            "provenance/sources.jsonl"
        ]
    );
    for (name, text) in made {
        let path = repository(&format!("{FOLDER}/{name}"));
        if std::env::var_os("KORFINSTS_WRITE").is_some_and(|v| v == "1") {
            std::fs::write(&path, &text).expect("written");
            eprintln!("{name}: sha256 {}", sha256(text.as_bytes()));
        }
        let found = std::fs::read_to_string(&path).expect("read");
        assert!(
            found == text,
            "{name} is not what the triples give: run KORFINSTS_WRITE=1 cargo test --test it shift::"
        );
    }
}

#[test]
fn rows_of_the_first_release_are_kept_byte_by_byte() {
    let read = |name: &str| -> String {
        std::fs::read_to_string(repository(&format!("{FOLDER}/{name}"))).expect("read")
    };
    // As a release has them: sorted, compact, each with the canary.
    let rows = |text: &str| -> HashMap<String, Value> {
        text.lines()
            .map(|line| {
                let mut row: Value = serde_json::from_str(line).expect("JSON");
                row.as_object_mut().expect("an object").remove("canary");
                row["score"] = row["score"].as_f64().into();
                (row["id"].as_str().expect("an id").to_owned(), row)
            })
            .collect()
    };
    let released = rows(&read("releases/korfin-shift-1.0.0/data/test.jsonl"));
    let test = read("data/test.jsonl");
    let now = rows(&test);
    assert_eq!(released.len(), 222);
    for (id, row) in &released {
        assert_eq!(now.get(id), Some(row), "{id}");
    }
    // The file of 1.0.0 is what test.jsonl begins with.
    let first: String = test.split_inclusive('\n').take(222).collect();
    assert_eq!(
        sha256(first.as_bytes()),
        "e313009d08b620d9ece8c012ed7798bf591a4a2fd1bb4e0f40bad03e22bc45e7"
    );
}

#[test]
fn each_variant_has_six_documents_two_of_them_in_dev() {
    let triples = triples();
    let mut variants: BTreeMap<&str, Vec<(u32, &str)>> = BTreeMap::new();
    for (file, _, triple) in &triples {
        let (variant, number) = triple.variant();
        variants
            .entry(variant)
            .or_default()
            .push((number, &triple.split));
        assert_eq!(*file == "typology", number == 1, "{}", triple.document);
        assert!(
            number == 1 || variant.starts_with(*file),
            "{}",
            triple.document
        );
        assert!(is_id(&format!("{}.ko-en.pos", triple.document)));
    }
    assert_eq!(variants.len(), 37);
    for (variant, mut documents) in variants {
        documents.sort_unstable();
        let numbers: Vec<u32> = documents.iter().map(|d| d.0).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "{variant}");
        assert_eq!(documents[0].1, "test", "{variant}.1 was released in `test`");
        let dev = documents.iter().filter(|d| d.1 == "dev").count();
        let test = documents.iter().filter(|d| d.1 == "test").count();
        assert_eq!((dev, test), (2, 4), "{variant}");
    }
}

/// The rule by which documents 2 to 6 were drawn for 1.1.0, as LABELS.md has it.
#[test]
fn documents_were_drawn_by_the_written_rule() {
    let baseline = lexical::find("3-grams").expect("a baseline");
    let all = triples();
    let order: Vec<&str> = all
        .iter()
        .filter(|(file, ..)| *file == "typology")
        .map(|(_, _, triple)| triple.variant().0)
        .collect();
    for (at, variant) in order.into_iter().enumerate() {
        let mut ranked: Vec<(f64, u32, &str)> = all
            .iter()
            .map(|(_, _, triple)| triple)
            .filter(|t| t.variant().0 == variant && (2..=6).contains(&t.variant().1))
            .map(|t| {
                let lead = |source: &str, positive: &str, negative: &str| {
                    baseline.score(source, positive) - baseline.score(source, negative)
                };
                let ko = lead(&t.ko_src, &t.ko_pos, &t.ko_neg);
                let en = lead(&t.en_src, &t.en_pos, &t.en_neg);
                (f64::midpoint(ko, en), t.variant().1, t.split.as_str())
            })
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let splits: Vec<&str> = ranked.iter().map(|r| r.2).collect();
        let expected = if at % 2 == 0 {
            ["dev", "test", "test", "test", "dev"]
        } else {
            ["test", "dev", "test", "dev", "test"]
        };
        assert_eq!(splits, expected, "{variant}: {ranked:?}");
    }
}

#[test]
fn no_text_stands_twice_and_none_has_signs_that_hide() {
    let triples = triples();
    let mut seen = BTreeSet::new();
    for (_, _, triple) in &triples {
        for (at, text) in triple.texts().into_iter().enumerate() {
            let place = format!("{} {at}: {text}", triple.document);
            assert!(seen.insert(text.to_owned()), "twice: {place}");
            assert_eq!(text, korfinsts_base::text::nfc(text), "{place}");
            assert_eq!(text, text.trim(), "{place}");
            assert!(!text.contains("  ") && !text.contains('\n'), "{place}");
            let odd =
                |c: char| "\u{2018}\u{2019}\u{201c}\u{201d}\u{2013}\u{2014}\u{a0}\t".contains(c);
            assert!(!text.contains(odd), "{place}");
            let hangul = text.chars().any(korfinsts_base::text::is_hangul);
            assert_eq!(hangul, at < 3, "{place}");
        }
    }
}

/// AUC of a lexical baseline by split and language, and in the whole of a split.
fn shortcuts(baseline: &str) -> BTreeMap<(String, String), f64> {
    let baseline = lexical::find(baseline).expect("a baseline");
    let mut scored: BTreeMap<(String, String), (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (_, _, triple) in &triples() {
        for (language, [source, positive, negative]) in triple.triplets() {
            for key in [language, "all"] {
                let key = (triple.split.clone(), key.to_owned());
                let (scores, gold) = scored.entry(key).or_default();
                for (text, label) in [(positive, 1.0), (negative, 0.0)] {
                    scores.push(baseline.score(source, text));
                    gold.push(label);
                }
            }
        }
    }
    scored
        .into_iter()
        .map(|(key, (scores, gold))| (key, auc(&scores, &gold).expect("both labels")))
        .collect()
}

#[test]
fn neither_overlap_nor_length_tells_a_paraphrase_from_a_shift() {
    for baseline in ["length", "2-grams", "3-grams", "words"] {
        let found = shortcuts(baseline);
        assert_eq!(found.len(), 8);
        for ((split, language), area) in found {
            eprintln!("{baseline} {split} {language}: AUC {area:.3}");
            assert!(
                FAIR.contains(&area),
                "{baseline} {split} {language}: {area}"
            );
        }
    }
}

#[test]
fn the_card_counts_what_is_there() {
    let card = std::fs::read_to_string(repository(&format!("{FOLDER}/README.md"))).expect("a card");
    let mut patterns: BTreeMap<String, (BTreeSet<String>, usize, usize)> = BTreeMap::new();
    let mut splits: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for (_, _, triple) in &triples() {
        let (variant, _) = triple.variant();
        let pattern = variant.rsplit_once('.').expect("PATTERN.NAME").0;
        let pairs = 2 * triple.triplets().len();
        let found = patterns.entry(pattern.to_owned()).or_default();
        found.0.insert(variant.to_owned());
        match triple.split.as_str() {
            "test" => found.1 += pairs,
            _ => found.2 += pairs,
        }
        let domain = variant.split('.').next().expect("a domain");
        let by_domain = splits.entry(triple.split.clone()).or_default();
        *by_domain.entry(domain.to_owned()).or_default() += pairs;
        *by_domain.entry("documents".to_owned()).or_default() += 1;
    }
    for (pattern, (variants, test, dev)) in patterns {
        let line = card
            .lines()
            .find(|l| l.starts_with(&format!("| {pattern} |")))
            .expect("a line per pattern");
        let end = format!(" | {} | {test} | {dev} |", variants.len());
        assert!(line.ends_with(&end), "{line} {end}");
    }
    for (split, counts) in splits {
        let pairs: usize = counts
            .iter()
            .filter(|c| c.0 != "documents")
            .map(|c| c.1)
            .sum();
        let line = format!(
            " | {} | {pairs} | news {}, report {}, disclosure {}, legal {} |",
            counts["documents"],
            counts["news"],
            counts["report"],
            counts["disclosure"],
            counts["legal"]
        );
        assert!(card.contains(&line), "{split}: {line}");
    }
}
