//! Card, datasheet, Croissant and citation: generated from the manifest and the rows by the templates
//! under `templates/release/`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{Manifest, ReleaseError, SplitRows, Subject, build, croissant, parquet, rows};
use korfinsts_base::archive::Files;
use korfinsts_base::fs::sha256;
use korfinsts_base::template;
use korfinsts_bench::suite::ScaleKind;
use korfinsts_bench::suite::probe::{Area, Probes};

/// Generated files by name.
pub(super) type Generated = BTreeMap<String, String>;

/// Generated file and its template.
const DOCUMENTS: [(&str, &str); 4] = [
    ("README.md", "release/README.md"),
    ("DATASHEET.md", "release/DATASHEET.md"),
    ("CITATION.cff", "release/CITATION.cff"),
    (croissant::NAME, "release/croissant.json"),
];

/// One part of the datasheet: its title, and key and text of each question.
type Section = (String, Vec<(String, String)>);

/// The parts of the datasheet in order (Gebru et al., "Datasheets for Datasets", 2021).
static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| {
    let text = template::source("release/datasheet.toml", None).unwrap_or_default();
    let table: toml::Table = toml::from_str(&text).unwrap_or_default();
    table
        .into_iter()
        .map(|(title, questions)| {
            let questions = questions.as_table().cloned().unwrap_or_default();
            let questions = questions
                .into_iter()
                .filter_map(|(k, v)| Some((k, v.as_str()?.to_owned())))
                .collect();
            (title, questions)
        })
        .collect()
});

/// The questions of the datasheet by key.
pub static QUESTIONS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    SECTIONS
        .iter()
        .flat_map(|(_, q)| q.iter().cloned())
        .collect()
});

/// Renders every document.
///
/// # Errors
/// When a template fails, or a text of the manifest asks for a value that is not there.
pub(super) fn generate(subject: &Subject) -> Result<Generated, ReleaseError> {
    let Some(manifest) = &subject.manifest else {
        return Ok(Generated::new());
    };
    let mut data = Files::new();
    build::data(subject, manifest, &mut data)?;
    let values = values(subject, manifest, &data)?;
    let folder = subject.context.templates.as_deref();
    let mut generated = Generated::new();
    for (name, source) in DOCUMENTS {
        let text = template::source(source, folder)?;
        generated.insert(name.to_owned(), template::render(source, &text, &values)?);
    }
    Ok(generated)
}

/// The line of each generated file that names the licence.
pub(super) fn licence_lines(manifest: &Manifest) -> [(&'static str, String); 3] {
    [
        (
            "README.md",
            format!("license: {}", manifest.licence.to_lowercase()),
        ),
        ("CITATION.cff", format!("license: {}", manifest.licence)),
        (
            croissant::NAME,
            format!(
                "\"license\": {},",
                Value::from(licence_url(&manifest.licence))
            ),
        ),
    ]
}

fn licence_url(licence: &str) -> String {
    if licence.contains(' ') {
        licence.to_owned()
    } else {
        format!("https://spdx.org/licenses/{licence}")
    }
}

/// Everything that a template may ask for.
fn values(subject: &Subject, manifest: &Manifest, data: &Files) -> Result<Value, ReleaseError> {
    let counts = counts(subject);
    let probe = manifest.probe.map(|_| probe(subject));
    let inner = json!({ "counts": counts, "probe": probe });
    let render = |place: &str, text: &str| template::render(place, text, &inner);
    let mut answers = Map::new();
    for (key, answer) in &manifest.datasheet {
        let place = format!("korfinsts.toml: datasheet.{key}");
        answers.insert(key.clone(), render(&place, answer)?.into());
    }
    let sections: Vec<Value> = SECTIONS
        .iter()
        .map(|(title, questions)| {
            let questions: Vec<Value> = questions
                .iter()
                .map(|(key, question)| {
                    json!({ "question": question, "answer": answers.get(key).cloned().unwrap_or_default() })
                })
                .collect();
            json!({ "title": title, "questions": questions })
        })
        .collect();
    let sealed = manifest.splits.iter().filter(|(_, split)| split.sealed);
    let sealed: Vec<Value> = sealed
        .map(|(name, split)| json!({ "name": name, "commitment": split.commitment }))
        .collect();
    let languages: Vec<Value> = manifest
        .languages
        .iter()
        .map(|l| json!({ "tag": l, "code": short_language(l) }))
        .collect();
    Ok(json!({
        "id": manifest.id,
        "version": manifest.version,
        "title": manifest.title,
        "description": render("korfinsts.toml: description", &manifest.description)?,
        "date": manifest.date,
        "year": manifest.date.get(..4).unwrap_or_default(),
        "licence": manifest.licence,
        "licence_lower": manifest.licence.to_lowercase(),
        "licence_url": licence_url(&manifest.licence),
        "homepage": manifest.homepage,
        "canary": manifest.canary,
        "public_key": manifest.public_key,
        "default_split": manifest.default_split,
        "languages": languages,
        "authors": manifest.authors,
        "sources": manifest.sources,
        "scale": {
            "kind": match manifest.scale.kind {
                ScaleKind::Binary => "binary",
                ScaleKind::Ordinal => "ordinal",
                ScaleKind::Interval => "interval",
            },
            "min": manifest.scale.min,
            "max": manifest.scale.max,
        },
        "triplets": manifest.triplets,
        "labels": manifest.labels,
        "splits": splits(subject, data),
        "sealed": sealed,
        "previous": manifest.previous,
        "waivers": manifest.waivers,
        "agreement": manifest.agreement,
        "datasheet": answers,
        "sections": sections,
        "counts": counts,
        "probe": probe,
        "korfinsts": korfinsts_base::NAME,
    }))
}

/// The splits by name, each with its files, its columns and their kinds.
fn splits(subject: &Subject, data: &Files) -> Vec<Value> {
    let mut sorted: Vec<&SplitRows> = subject.splits.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted
        .into_iter()
        .map(|split| {
            let file = rows::data_name(&split.name);
            let bytes = data.get(&file).map(Vec::as_slice).unwrap_or_default();
            let columns: Vec<Value> = columns(bytes)
                .into_iter()
                .map(|name| {
                    let kind = if name == "score" {
                        "sc:Float"
                    } else {
                        "sc:Text"
                    };
                    json!({ "name": name, "type": kind })
                })
                .collect();
            json!({
                "name": split.name,
                "hidden": split.hidden,
                "pairs": split.rows.len(),
                "file": file,
                "parquet": parquet::name(&split.name),
                "bytes": bytes.len(),
                "sha256": sha256(bytes),
                "columns": columns,
                "kind": match split.name.as_str() {
                    "train" => "cr:TrainingSplit",
                    "dev" | "validation" | "valid" => "cr:ValidationSplit",
                    _ => "cr:TestSplit",
                },
            })
        })
        .collect()
}

/// The columns of a data file, those of all rows in order of first appearance.
fn columns(jsonl: &[u8]) -> Vec<String> {
    let first = jsonl.split(|b| *b == b'\n').next().unwrap_or_default();
    serde_json::from_slice::<Map<String, Value>>(first)
        .map(|row| row.keys().cloned().collect())
        .unwrap_or_default()
}

/// The two-letter code that hubs use, where there is one.
fn short_language(language: &str) -> &str {
    match language.split('-').next().unwrap_or(language) {
        "kor" => "ko",
        "eng" => "en",
        "jpn" => "ja",
        "zho" => "zh",
        other => other,
    }
}

/// Everything that can be counted: the one place where the card's numbers come from.
fn counts(subject: &Subject) -> Value {
    let group = subject.triplets.as_ref().map(|t| &t.group);
    let triplet = subject.triplets.as_ref().map(|t| &t.id);
    let mut pairs = 0;
    let mut texts = std::collections::BTreeSet::new();
    let mut triplets = std::collections::BTreeSet::new();
    let mut domains: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    let mut labels: BTreeMap<String, std::collections::BTreeSet<&str>> = BTreeMap::new();
    let mut scores: BTreeMap<String, usize> = BTreeMap::new();
    let mut by_split: BTreeMap<String, usize> = BTreeMap::new();
    let mut characters = 0;
    for (split, row) in subject.rows() {
        pairs += 1;
        *by_split.entry(split.name.clone()).or_default() += 1;
        for text in [&row.sentence1, &row.sentence2] {
            texts.insert(text);
            characters += text.chars().count();
        }
        if let Some(domain) = &row.domain {
            *domains.entry(domain.clone()).or_default() += 1;
        }
        if let Some(value) = group.and_then(|g| row.labels.get(g)) {
            *groups.entry(value.clone()).or_default() += 1;
        }
        if let Some(value) = triplet.and_then(|t| row.labels.get(t)) {
            triplets.insert(value);
        }
        for (name, value) in &row.labels {
            labels.entry(name.clone()).or_default().insert(value);
        }
        if let Some(score) = row.score {
            *scores.entry(score.to_string()).or_default() += 1;
        }
    }
    let distinct: BTreeMap<&String, usize> = labels.iter().map(|(k, v)| (k, v.len())).collect();
    let scores: Map<String, Value> = if scores.len() <= 12 {
        scores.into_iter().map(|(k, v)| (k, v.into())).collect()
    } else {
        Map::new()
    };
    json!({
        "pairs": pairs,
        "texts": texts.len(),
        "triplets": triplets.len(),
        "domains": domains,
        "groups": groups,
        "group": group,
        "distinct": distinct,
        "scores": scores,
        "splits": by_split,
        "mean_characters": format!("{:.1}", characters as f64 / (2 * pairs).max(1) as f64),
        "size": size_category(pairs),
    })
}

/// What the probes find, by language, with three decimals.
fn probe(subject: &Subject) -> Value {
    let area = |area: Area| format!("{:.3}", area.auc);
    let of = |(language, found): (&String, &Probes)| {
        let (best, most) = found.best();
        let value = json!({
            "pairs": found.pairs,
            "clusters": found.clusters,
            "logistic": area(found.logistic),
            "boosted": area(found.boosted),
            "characters": area(found.characters),
            "words": area(found.words),
            "largest": area(most),
            "largest_of": best,
        });
        (language.clone(), value)
    };
    subject.probes().iter().map(of).collect()
}

/// The size category that hubs use.
fn size_category(rows: usize) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        _ => "100K<n<1M",
    }
}
