//! Records as mteb's result files, byte for byte as mteb writes them.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::RunError;
use super::super::form::{EmbeddingDtype, Form};
use super::super::record::{EncoderFacts, Record, Timing, file_name};
use super::super::score::LEXICAL;
use super::name::{META, experiment};
use super::{KINDS, MTEB_VERSION, SIMILARITIES, SPEARMAN, key, read};
use korfinsts_base::fs;
use korfinsts_encoder::protocol;
use korfinsts_encoder::spec::Setting;
use korfinsts_metric::Similarity;

/// Protocols whose runs are those of the model itself; what another one says is a setting of the run.
const OWN: [&str; 2] = [protocol::DEFAULT, "mteb"];

/// Scores of one run under two protocols of the model's own may differ by so much.
const SAME: f64 = 1e-4;

/// What became of a record that mteb's files were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The result file.
    File(PathBuf),
    /// No file was written, for this reason.
    Not(String),
}

/// Writes a record as mteb's result file with its `model_meta.json` under `folder`.
///
/// A run with settings that are not the model's own (a prompt, a length, a pooling) is an experiment
/// of the model, as in mteb: `<revision>/experiments/<settings>/`.
///
/// # Errors
/// When a file cannot be written, or is there with the scores of another run.
pub fn write(folder: &Path, record: &Record, timing: &Timing) -> Result<Written, RunError> {
    let suite = &record.suite;
    let not = |reason: &str| {
        let (id, split) = (&suite.id, &suite.split);
        Ok(Written::Not(format!(
            "no mteb file of `{id}` ({split}): {reason}"
        )))
    };
    let Some(task) = &suite.mteb_task else {
        return not("mteb has no task of this split (`mteb_task` in suite.toml names one)");
    };
    if let Some(n) = suite.limit {
        return not(&format!("only the first {n} pairs were scored"));
    }
    let form = record.encoder.form.as_ref();
    if form.is_some_and(|f| f.form.embedding_dtype != EmbeddingDtype::Float32) {
        return not(&format!(
            "mteb scores no quantised embeddings (`{}`)",
            record.encoder.name_with_form()
        ));
    }
    let revision = record.encoder.revision.as_deref();
    let mut folder = folder
        .join("results")
        .join(file_name(&mteb_name(&record.encoder)).replace(' ', "_"))
        .join(revision.unwrap_or("no_revision_available"));
    let settings = settings(&record.encoder);
    if !settings.is_empty() {
        folder = experiment(&folder, &folder_name(&settings));
    }
    let path = folder.join(format!("{}.json", file_name(task)));
    if fs::exists(&path) {
        refuse_another_run(&path, record)?;
    }
    fs::write_atomic(&path, &python_json(&result(record, task, timing)))?;
    let meta = model_meta(record, settings);
    fs::write_atomic(&folder.join(META), &python_json(&meta))?;
    Ok(Written::File(path))
}

/// The settings of a run that are not the model's own, in the order of the record.
fn settings(encoder: &EncoderFacts) -> Map<String, Value> {
    let mut found = Map::new();
    if encoder.backend == LEXICAL {
        return found;
    }
    let [first, second] = &encoder.prompts;
    if encoder.protocol == protocol::CUSTOM {
        found.insert("prompt".into(), json!(first));
        if first != second {
            found.insert("prompt2".into(), json!(second));
        }
    } else if !OWN.contains(&encoder.protocol.as_str()) {
        found.insert("protocol".into(), json!(encoder.protocol));
    }
    if let Some(Form {
        truncate_dim,
        normalized,
        ..
    }) = encoder.form.as_ref().map(|f| f.form)
    {
        found.extend(truncate_dim.map(|n| ("truncate_dim".to_owned(), json!(n))));
        found.extend(normalized.then(|| ("normalize_embeddings".to_owned(), json!(true))));
    }
    // What runs a model does not change its scores.
    let same = [Setting::Weights, Setting::Backend, Setting::Device];
    let asked = |source: &str| source.starts_with("`--") || source == "korfinsts.toml";
    let decided = encoder.decisions.iter();
    for decision in decided.filter(|d| asked(&d.source) && !same.contains(&d.what)) {
        let name = decision.what.name().replace(' ', "_");
        found.insert(name, json!(decision.value));
    }
    found
}

/// The settings as a folder, as mteb names it; a hash tells those apart that no folder can be named by.
fn folder_name(settings: &Map<String, Value>) -> String {
    let each = settings.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}_{text}"),
        other => format!("{name}_{other}"),
    });
    let whole = each.collect::<Vec<_>>().join("__");
    let name = file_name(&whole);
    if name == whole {
        return name;
    }
    format!("{name}-{}", &fs::sha256(whole.as_bytes())[..8])
}

/// A file that is there holds the scores of this run, up to rounding, or it is not replaced.
fn refuse_another_run(path: &Path, record: &Record) -> Result<(), RunError> {
    let found = read(path)?;
    let split = &record.suite.split;
    let other = found.iter().find(|r| r.split != *split);
    let mut reason =
        other.map(|r| format!("it holds the split `{}`, this run is of `{split}`", r.split));
    for (name, theirs) in found.iter().flat_map(|r| &r.scores) {
        if let Some(ours) = record
            .score(name)
            .filter(|ours| (ours - theirs).abs() > SAME)
        {
            reason.get_or_insert_with(|| {
                format!("it holds `{name}` {theirs} of another run, this run has {ours:.6}")
            });
        }
    }
    match reason {
        None => Ok(()),
        Some(reason) => Err(RunError::Occupied {
            path: path.to_owned(),
            reason,
            flag: "--mteb",
        }),
    }
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
    scores.insert("main_score".into(), scores[SPEARMAN].clone());
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
fn model_meta(record: &Record, settings: Map<String, Value>) -> Value {
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
        "experiment_kwargs": (!settings.is_empty()).then_some(settings),
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
}
