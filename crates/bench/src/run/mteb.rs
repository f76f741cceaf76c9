//! mteb's result files: every variant seen in the wild is read, the current one is written.
//!
//! `results/<org__model>/<revision>/<TaskName>.json` next to `model_meta.json`. Written as mteb
//! writes them: two-space indent, its key order, ASCII escapes, Python's number format, scores
//! rounded to six places, no newline at the end.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::RunError;
use super::record::{
    EncoderFacts, Harness, Record, SCHEMA_VERSION, Scores, SuiteFacts, Timing, file_name,
};
use super::score::LEXICAL;
use korfinsts_base::fs;
use korfinsts_metric::Similarity;

/// The version of mteb whose format is written.
pub const MTEB_VERSION: &str = "2.12.30";

/// The similarities that mteb reports for pairs.
const SIMILARITIES: [Similarity; 3] = [
    Similarity::Cosine,
    Similarity::Manhattan,
    Similarity::Euclidean,
];

/// The correlations that mteb reports of each.
const KINDS: [&str; 2] = ["pearson", "spearman"];

/// Key of a correlation, ours and mteb's.
fn key(similarity: Similarity, kind: &str) -> String {
    format!("{}_{kind}", similarity.name())
}

/// One split and subset of one task in a result file.
#[derive(Debug, Clone, PartialEq)]
pub struct MtebScores {
    /// Task name, as `KorSTS`.
    pub task: String,
    /// Revision of the dataset, where the file has it.
    pub dataset_revision: Option<String>,
    /// Version of mteb that wrote the file.
    pub mteb_version: Option<String>,
    /// Split.
    pub split: String,
    /// Subset; `default` where the task has one.
    pub subset: String,
    /// Languages with script.
    pub languages: Vec<String>,
    /// Scores by their current names (`cosine_spearman`, ...); a NaN is left out.
    pub scores: BTreeMap<String, f64>,
    /// The main score.
    pub main_score: Option<f64>,
    /// Unix time of the run, where the file has it.
    pub date: Option<f64>,
}

/// Reads one result file of any known variant.
///
/// # Errors
/// When the file cannot be read, is not JSON (bare `NaN` and `Infinity` are allowed), or is no
/// result file.
pub fn read(path: &Path) -> Result<Vec<MtebScores>, RunError> {
    let wrong = |line: usize, reason: String| RunError::Record {
        path: path.into(),
        line,
        reason,
    };
    let bytes = fs::read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| wrong(1, e.to_string()))?;
    let value: Value =
        serde_json::from_str(&without_nan(text)).map_err(|e| wrong(e.line(), e.to_string()))?;
    parse(&value).ok_or_else(|| {
        wrong(
            1,
            "found neither `task_name` with `scores` nor `mteb_dataset_name`".into(),
        )
    })
}

fn parse(file: &Value) -> Option<Vec<MtebScores>> {
    let string = |key: &str| file.get(key).and_then(Value::as_str).map(str::to_owned);
    let task = string("task_name").or_else(|| string("mteb_dataset_name"))?;
    let base = MtebScores {
        task,
        dataset_revision: string("dataset_revision"),
        mteb_version: string("mteb_version"),
        split: String::new(),
        subset: "default".into(),
        languages: Vec::new(),
        scores: BTreeMap::new(),
        main_score: None,
        date: file.get("date").and_then(date),
    };
    let mut found = Vec::new();
    if let Some(splits) = file.get("scores").and_then(Value::as_object) {
        for (split, subsets) in splits {
            for subset in subsets.as_array()? {
                found.push(current(&base, split, subset.as_object()?));
            }
        }
    } else {
        // Before 1.11: each split at top level, scores nested by similarity.
        for (split, content) in file.as_object()? {
            let Some(content) = content.as_object() else {
                continue;
            };
            if content.contains_key("cos_sim") {
                found.push(nested(&base, split, "default", content));
            } else {
                for (subset, content) in content {
                    if let Some(content) = content.as_object() {
                        found.push(nested(&base, split, subset, content));
                    }
                }
            }
        }
    }
    Some(found)
}

fn current(base: &MtebScores, split: &str, subset: &Map<String, Value>) -> MtebScores {
    let text = |key: &str| subset.get(key).and_then(Value::as_str).map(str::to_owned);
    let skip = [
        "main_score",
        "hf_subset",
        "languages",
        "mteb_version",
        "evaluation_time",
    ];
    let mut scores = BTreeMap::new();
    for (name, value) in subset {
        if !skip.contains(&name.as_str())
            && let Some(score) = number(value)
        {
            scores.insert(name.clone(), score);
        }
    }
    MtebScores {
        split: split.to_owned(),
        subset: text("hf_subset").unwrap_or_else(|| "default".into()),
        mteb_version: text("mteb_version").or_else(|| base.mteb_version.clone()),
        languages: subset
            .get("languages")
            .and_then(Value::as_array)
            .map(|l| {
                l.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default(),
        main_score: subset.get("main_score").and_then(number),
        scores,
        ..base.clone()
    }
}

fn nested(
    base: &MtebScores,
    split: &str,
    subset: &str,
    content: &Map<String, Value>,
) -> MtebScores {
    let mut scores = BTreeMap::new();
    for similarity in SIMILARITIES {
        let old = match similarity {
            Similarity::Cosine => "cos_sim",
            other => other.name(),
        };
        for kind in KINDS {
            if let Some(score) = content.get(old).and_then(|c| c.get(kind)).and_then(number) {
                scores.insert(key(similarity, kind), score);
            }
        }
    }
    MtebScores {
        split: split.to_owned(),
        subset: subset.to_owned(),
        main_score: scores.get("cosine_spearman").copied(),
        scores,
        ..base.clone()
    }
}

/// A score: a number, or the first of `SciPy`'s `[r, p]`.
fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_array()?.first()?.as_f64())
}

/// A date: Unix seconds, or text in RFC 3339 (the offset may be missing: then UTC).
fn date(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| {
        let text = value.as_str()?;
        let timestamp: jiff::Timestamp = text.parse().ok().or_else(|| {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
        })?;
        Some(timestamp.as_millisecond() as f64 / 1000.0)
    })
}

/// JSON with Python's bare `NaN`, `Infinity` and `-Infinity` outside strings made `null`.
fn without_nan(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        if in_string {
            let taken = if c == '\\' {
                rest.chars().take(2).map(char::len_utf8).sum()
            } else {
                c.len_utf8()
            };
            in_string = c != '"';
            out.push_str(&rest[..taken]);
            rest = &rest[taken..];
            continue;
        }
        if let Some(word) = ["-Infinity", "Infinity", "NaN"]
            .iter()
            .find(|w| rest.starts_with(**w))
        {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        in_string = c == '"';
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// A result file as a record, as far as it goes: what mteb does not keep stays empty.
#[must_use]
pub fn to_record(result: &MtebScores, path: &Path) -> Record {
    let keys = SIMILARITIES
        .iter()
        .flat_map(|s| KINDS.map(|kind| key(*s, kind)));
    let known: Map<String, Value> = keys
        .filter_map(|key| Some((key.clone(), (*result.scores.get(&key)?).into())))
        .collect();
    let mut scores: Scores = serde_json::from_value(known.into()).unwrap_or_default();
    scores.cosine_spearman = scores.cosine_spearman.or(result.main_score);
    // results/<org__model>/<revision>/<Task>.json
    let above = |n: usize| {
        path.ancestors()
            .nth(n)
            .and_then(|p| p.file_name())
            .map(|n| n.to_string_lossy().into_owned())
    };
    let named = |name: String| Some(name).filter(|n| !n.starts_with("no_"));
    Record {
        schema_version: SCHEMA_VERSION,
        encoder: EncoderFacts {
            name: above(2)
                .and_then(named)
                .or_else(|| above(3))
                .unwrap_or_default()
                .replace("__", "/"),
            revision: above(1).and_then(named),
            backend: "mteb".into(),
            backend_version: result.mteb_version.clone(),
            protocol: "mteb".into(),
            ..EncoderFacts::default()
        },
        suite: SuiteFacts {
            id: result.task.clone(),
            split: result.split.clone(),
            languages: result.languages.clone(),
            mteb_task: Some(result.task.clone()),
            hub_revision: result.dataset_revision.clone(),
            ..SuiteFacts::default()
        },
        scores,
        harness: Harness {
            name: "mteb".into(),
            version: result.mteb_version.clone().unwrap_or_default(),
        },
        warnings: vec!["read from a result file of mteb: not run here".into()],
        ..Record::default()
    }
}

/// Writes a record as mteb's result file with its `model_meta.json` under `folder`, and returns
/// the result file's path. `None` when mteb has no such suite, or only a part of it was scored.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, record: &Record, timing: &Timing) -> Result<Option<PathBuf>, RunError> {
    let (Some(task), None) = (&record.suite.mteb_task, record.suite.limit) else {
        return Ok(None);
    };
    let revision = record.encoder.revision.clone();
    let folder = folder
        .join("results")
        .join(file_name(&mteb_name(&record.encoder)).replace(' ', "_"))
        .join(revision.as_deref().unwrap_or("no_revision_available"));
    let path = folder.join(format!("{}.json", file_name(task)));
    fs::write_atomic(&path, &python_json(&result(record, task, timing)))?;
    fs::write_atomic(
        &folder.join("model_meta.json"),
        &python_json(&model_meta(record)),
    )?;
    Ok(Some(path))
}

fn result(record: &Record, task: &str, timing: &Timing) -> Value {
    let round = |similarity: Similarity, kind: &str| match record.score(&key(similarity, kind)) {
        None => Value::Null,
        Some(score) => json!((score * 1e6).round_ties_even() / 1e6),
    };
    // mteb's `pearson` and `spearman` are those of the model's own similarity.
    let own = own_similarity(&record.encoder).unwrap_or(Similarity::Cosine);
    let mut scores = Map::new();
    for kind in KINDS {
        scores.insert(kind.into(), round(own, kind));
    }
    for similarity in SIMILARITIES {
        for kind in KINDS {
            scores.insert(key(similarity, kind), round(similarity, kind));
        }
    }
    let main = round(Similarity::Cosine, "spearman");
    scores.insert("main_score".into(), main);
    scores.insert("hf_subset".into(), "default".into());
    scores.insert("languages".into(), json!(record.suite.languages));
    scores.insert("mteb_version".into(), MTEB_VERSION.into());
    let end = timing.elapsed_s;
    json!({
        "dataset_revision": record.suite.hub_revision,
        "task_name": task,
        "mteb_version": MTEB_VERSION,
        "scores": { record.suite.split.clone(): [scores] },
        "evaluation_time": end,
        "kg_co2_emissions": null,
        "date": timing.finished_at,
        "evaluation_phases": [
            {"name": "Scoring", "start": 0.0, "end": end, "split": record.suite.split, "subset": "default"}
        ],
    })
}

/// The similarity of an encoder, by its name at the start of the record's text.
fn own_similarity(encoder: &EncoderFacts) -> Option<Similarity> {
    let name = encoder.similarity.split(' ').next();
    Similarity::ALL.into_iter().find(|s| Some(s.name()) == name)
}

/// mteb refuses a model without an organisation: a model from a path gets `local/`, a baseline of
/// ours `korfinsts/`.
fn mteb_name(encoder: &EncoderFacts) -> String {
    if encoder.name.contains('/') {
        return encoder.name.clone();
    }
    let organisation = if encoder.backend == LEXICAL {
        "korfinsts"
    } else {
        "local"
    };
    format!("{organisation}/{}", encoder.name)
}

/// mteb's keys in mteb's order; it rejects any other.
fn model_meta(record: &Record) -> Value {
    let e = &record.encoder;
    // What a baseline computes is none of mteb's similarities.
    let similarity = own_similarity(e)
        .filter(|_| e.backend != LEXICAL)
        .map(Similarity::name);
    json!({
        "loader_kwargs": {},
        "name": mteb_name(e),
        "revision": e.revision,
        "release_date": null,
        "languages": null,
        "n_parameters": null,
        "n_active_parameters_override": null,
        "n_embedding_parameters": null,
        "memory_usage_mb": null,
        "max_tokens": e.max_tokens.map(|n| n as f64),
        "embed_dim": e.dimension,
        "license": null,
        "open_weights": null,
        "public_training_code": null,
        "public_training_data": null,
        "framework": [],
        "reference": null,
        "similarity_fn_name": similarity,
        "use_instructions": e.prompts.iter().any(|p| !p.is_empty()),
        "training_datasets": null,
        "adapted_from": null,
        "superseded_by": null,
        "modalities": ["text"],
        "model_type": ["dense"],
        "citation": null,
        "contacts": null,
        "experiment_kwargs": null,
        "output_dtypes": null,
        "extra_requirements_groups": null,
        "loader": null,
        "is_cross_encoder": false,
    })
}

fn python_json(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let formatter = PythonFormatter(serde_json::ser::PrettyFormatter::new());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value
        .serialize(&mut serializer)
        .expect("a JSON value serialises");
    bytes
}

/// `json.dumps(value, indent=2)` of Python.
struct PythonFormatter(serde_json::ser::PrettyFormatter<'static>);

impl serde_json::ser::Formatter for PythonFormatter {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(python_float(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            if c.is_ascii() && c != '\x7f' {
                write!(writer, "{c}")?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }
    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(w, first)
    }
    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(w, first)
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }
    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// Python's `repr` of a float: scientific below 1e-4 and from 1e16, with at least two digits in
/// the exponent.
fn python_float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.5, "-0.5"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (1_785_190_318.675_686, "1785190318.675686"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (22.7, "22.7"),
        ] {
            assert_eq!(python_float(value), expected);
        }
    }

    #[test]
    fn text_is_escaped_to_ascii() {
        let written = python_json(&json!({"가": "a\"\n🚀"}));
        let expected = "{\n  \"\\uac00\": \"a\\\"\\n\\ud83d\\ude80\"\n}";
        assert_eq!(String::from_utf8(written).expect("ASCII"), expected);
    }

    #[test]
    fn every_variant_is_read() {
        let files = [
            // current
            r#"{"dataset_revision": "016f", "task_name": "KorSTS", "mteb_version": "2.12.30",
                "scores": {"test": [{"pearson": 0.8, "cosine_spearman": 0.5, "main_score": 0.5,
                "hf_subset": "default", "languages": ["kor-Hang"]}]}, "date": 1785190318.5}"#,
            // no date, sorted keys, `[r, p]`, NaN
            r#"{"dataset_revision": "016f", "scores": {"test": [{"cosine_spearman": [0.5, 0.01],
                "hf_subset": "default", "languages": [], "main_score": 0.5, "manhattan_spearman": NaN}]},
                "task_name": "KorSTS"}"#,
            // before 1.11
            r#"{"dataset_revision": null, "mteb_dataset_name": "KorSTS", "mteb_version": "1.1.2",
                "test": {"cos_sim": {"pearson": 0.8, "spearman": 0.5},
                         "euclidean": {"pearson": 0.7, "spearman": 0.4}, "evaluation_time": 3.5}}"#,
            // before 1.11, by subset; date as text
            r#"{"mteb_dataset_name": "KorSTS", "date": "2024-05-01T10:00:00.000000",
                "test": {"default": {"cos_sim": {"pearson": 0.8, "spearman": 0.5}}}}"#,
        ];
        for (i, text) in files.iter().enumerate() {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("KorSTS.json");
            fs::write_atomic(&path, text.as_bytes()).expect("written");
            let found = read(&path).expect("read");
            assert_eq!(found.len(), 1, "file {i}");
            assert_eq!(found[0].task, "KorSTS");
            assert_eq!(found[0].split, "test");
            assert_eq!(found[0].subset, "default");
            assert_eq!(found[0].main_score, Some(0.5), "file {i}");
            assert_eq!(found[0].scores["cosine_spearman"], 0.5);
            assert!(!found[0].scores.contains_key("manhattan_spearman"));
            assert_eq!(found[0].date.is_some(), i == 0 || i == 3, "file {i}");
        }
    }

    #[test]
    fn a_nan_inside_a_string_stays() {
        assert_eq!(
            without_nan(r#"{"NaN \" NaN": NaN, "b": -Infinity}"#),
            r#"{"NaN \" NaN": null, "b": null}"#
        );
    }

    #[test]
    fn another_json_is_refused_by_path() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.json");
        for content in ["{}", "[1]", "{\"task_name\": \"x\", "] {
            fs::write_atomic(&path, content.as_bytes()).expect("written");
            let error = read(&path).expect_err("refused").to_string();
            assert!(error.contains("x.json:1: "), "{error}");
        }
    }
}
