//! Rows of a release: read strictly, written in one canonical form.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Manifest;
use super::report::Draft;
use korfinsts_base::json;

/// The rows of one split.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SplitRows {
    /// Name of the split.
    pub name: String,
    /// Whether its labels are kept back.
    pub hidden: bool,
    /// Rows in order.
    pub rows: Vec<Row>,
}

/// One pair.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Id.
    pub id: String,
    /// First text.
    pub sentence1: String,
    /// Second text.
    pub sentence2: String,
    /// Gold score; absent in a hidden split.
    pub score: Option<f64>,
    /// Domain.
    pub domain: Option<String>,
    /// Further columns.
    pub labels: BTreeMap<String, String>,
    /// The id that the source gave, where the suite numbers its rows instead.
    pub source_id: Option<String>,
}

impl Row {
    /// The two texts, the smaller first: equal for a pair and its mirror image.
    #[must_use]
    pub fn texts(&self) -> (&str, &str) {
        let (a, b) = (self.sentence1.as_str(), self.sentence2.as_str());
        if a <= b { (a, b) } else { (b, a) }
    }
}

/// The rows of `data/<split>.jsonl`. What is wrong is drafted as findings of R1 (not strict JSON)
/// and R3 (not of the schema); rows without an id or texts are left out.
pub(super) fn read(
    split: &str,
    bytes: &[u8],
    manifest: &Manifest,
    drafts: &mut Vec<(&'static str, Draft)>,
) -> Vec<Row> {
    let file = data_name(split);
    let hidden = manifest.splits[split].hidden;
    let mut rows = Vec::new();
    let Ok(text) = std::str::from_utf8(bytes) else {
        // R1 reads the bytes of every file and says where they stop being UTF-8.
        return rows;
    };
    for (i, line) in text.split_terminator('\n').enumerate() {
        let place = format!("{file}:{}", i + 1);
        let value = match json::parse(line.trim_end_matches('\r')) {
            Ok(value) => value,
            // R1 reports every line that is not strict JSON; to read on, the last of two keys counts.
            Err(_) => match serde_json::from_str(line.trim_end_matches('\r')) {
                Ok(value) => value,
                Err(_) => continue,
            },
        };
        let mut add = |row: Option<&str>, message: String, remedy: &str| {
            drafts.push((
                "R3",
                Draft::error(row, format!("{place}: {message}"), remedy),
            ));
        };
        let Value::Object(object) = value else {
            add(None, "not an object".into(), "write one object per line");
            continue;
        };
        if let Some(row) = row(&object, hidden, manifest, &mut add) {
            rows.push(row);
        }
    }
    rows
}

fn row(
    object: &Map<String, Value>,
    hidden: bool,
    manifest: &Manifest,
    add: &mut impl FnMut(Option<&str>, String, &str),
) -> Option<Row> {
    let id = match object.get("id") {
        Some(Value::String(id)) => id.clone(),
        found => {
            let found = found.map_or("nothing".to_owned(), short);
            add(
                None,
                format!("`id` is {found}, not a text"),
                "give the row an id",
            );
            return None;
        }
    };
    let known = |key: &str| {
        ["id", "sentence1", "sentence2", "score", "domain", "canary"].contains(&key)
            || manifest.labels.iter().any(|l| l == key)
    };
    for key in object.keys().filter(|k| !known(k)) {
        add(
            Some(&id),
            format!("unknown key `{}`", key.escape_debug()),
            "remove it, or name it under `labels` in korfinsts.toml",
        );
    }
    let mut text = |key: &str| match object.get(key) {
        Some(Value::String(text)) => Some(text.clone()),
        found => {
            let found = found.map_or("missing".to_owned(), short);
            add(
                Some(&id),
                format!("`{key}` is {found}, not a text"),
                "write it as a text",
            );
            None
        }
    };
    let (sentence1, sentence2) = (text("sentence1"), text("sentence2"));
    let domain = object.contains_key("domain").then(|| text("domain"));
    let labels: BTreeMap<String, String> = manifest
        .labels
        .iter()
        .filter_map(|key| Some((key.clone(), text(key)?)))
        .collect();
    if let Some(canary) = object.get("canary")
        && canary.as_str() != Some(&manifest.canary)
    {
        add(
            Some(&id),
            "`canary` is not the one of the manifest".into(),
            "leave it out: the build writes it",
        );
    }
    let score = match object.get("score") {
        Some(Value::Number(n)) => n.as_f64(),
        None | Some(Value::Null) if hidden => None,
        found => {
            let found = found.map_or("missing".to_owned(), short);
            add(
                Some(&id),
                format!("`score` is {found}, not a number"),
                "write it as a number",
            );
            None
        }
    };
    Some(Row {
        id,
        sentence1: sentence1?,
        sentence2: sentence2?,
        score,
        domain: domain.flatten(),
        labels,
        source_id: None,
    })
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    let mut cut: String = text.chars().take(40).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("`{cut}`")
}

/// Name of the file of a split.
pub(super) fn data_name(split: &str) -> String {
    format!("data/{split}.jsonl")
}

/// Rows in canonical form: sorted by id, keys in the order of the schema, the canary in each.
pub(super) fn write(split: &SplitRows, manifest: &Manifest) -> Vec<u8> {
    let mut rows: Vec<&Row> = split.rows.iter().collect();
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    let mut out = Vec::new();
    for row in rows {
        let mut object = Map::new();
        object.insert("id".into(), row.id.as_str().into());
        object.insert("sentence1".into(), row.sentence1.as_str().into());
        object.insert("sentence2".into(), row.sentence2.as_str().into());
        if let Some(score) = row.score.filter(|_| !split.hidden) {
            object.insert("score".into(), number(score));
        }
        if let Some(domain) = &row.domain {
            object.insert("domain".into(), domain.as_str().into());
        }
        for label in &manifest.labels {
            if let Some(value) = row.labels.get(label) {
                object.insert(label.clone(), value.as_str().into());
            }
        }
        object.insert("canary".into(), manifest.canary.as_str().into());
        out.extend_from_slice(Value::Object(object).to_string().as_bytes());
        out.push(b'\n');
    }
    out
}

/// A score as JSON, always with a point, so that every reader takes the column for reals.
fn number(score: f64) -> Value {
    serde_json::Number::from_f64(score).map_or(Value::Null, Value::Number)
}
