//! From what a release is made of to its container.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::{Map, Value};

use super::subject::is_input;
use super::{Context, Manifest, ReleaseError, Report, Subject, document, parquet, rows};
use korfinsts_base::archive::{self, Files};
use korfinsts_base::fs::sha256;
use korfinsts_base::json;
use korfinsts_base::sums::{self, SIGNATURE, SUMS};

/// A built release.
#[derive(Debug, Clone)]
pub struct Built {
    /// Its files.
    pub files: Files,
    /// Its zip file.
    pub zip: Vec<u8>,
    /// SHA-256 of its `SHA256SUMS`: names the content.
    pub release_id: String,
    /// What the gates found.
    pub report: Report,
}

/// The release id of a built release.
pub(super) fn release_id(subject: &Subject) -> Option<String> {
    let list = subject.files.get(SUMS).filter(|_| subject.built)?;
    Some(sha256(list))
}

/// What the subject is made from, apart from this machine: no generated file, no other suite, no
/// key, on the day of the release.
pub(super) fn inputs(subject: &Subject) -> Subject {
    let mut inputs = subject.clone();
    inputs.built = false;
    inputs.container = None;
    if let Some(manifest) = &subject.manifest {
        inputs.files.retain(|name, _| is_input(name, manifest));
        let today = manifest.date.parse().unwrap_or(Date::MIN);
        inputs.context = Context {
            earlier: subject.context.earlier.clone(),
            submissions: subject.context.submissions.clone(),
            templates: subject.context.templates.clone(),
            ..Context::on(today)
        };
    }
    inputs
}

/// The files of a release but for reports, checksums and signature: inputs in canonical form and
/// everything generated from them.
///
/// # Errors
/// When a template or Parquet fails.
pub(super) fn image(subject: &Subject) -> Result<Files, ReleaseError> {
    let Some(manifest) = &subject.manifest else {
        return Ok(Files::new());
    };
    let mut files: Files = subject
        .files
        .iter()
        .filter(|(name, _)| is_input(name, manifest))
        .map(|(name, bytes)| (name.clone(), bytes.clone()))
        .collect();
    for name in ["annotations/raw.jsonl", "provenance/sources.jsonl"] {
        if let Some(bytes) = files.get(name) {
            let lines = canonical_lines(bytes, manifest);
            files.insert(name.to_owned(), lines);
        }
    }
    data(subject, manifest, &mut files)?;
    for (name, text) in document::generate(subject)? {
        files.insert(name, text.into_bytes());
    }
    Ok(files)
}

/// The data files of every split: canonical JSONL, and Parquet made from it.
pub(super) fn data(
    subject: &Subject,
    manifest: &Manifest,
    files: &mut Files,
) -> Result<(), ReleaseError> {
    for split in &subject.splits {
        let lines = rows::write(split, manifest);
        let name = parquet::name(&split.name);
        let table = parquet::write(&lines).map_err(|e| ReleaseError::Invalid {
            path: name.clone().into(),
            reason: e.to_string(),
            hint: None,
        })?;
        files.insert(rows::data_name(&split.name), lines);
        files.insert(name, table);
    }
    Ok(())
}

/// Lines sorted, with the canary in each. What cannot be read stays as it is: a gate reports it.
fn canonical_lines(bytes: &[u8], manifest: &Manifest) -> Vec<u8> {
    let Ok(values) = json::parse_lines(bytes) else {
        return bytes.to_vec();
    };
    let mut lines: Vec<String> = values
        .into_iter()
        .map(|value| match value {
            Value::Object(mut object) => {
                object.remove("canary");
                let mut sorted: BTreeMap<String, Value> = object.into_iter().collect();
                let mut out = Map::new();
                if let Some(id) = sorted.remove("id") {
                    out.insert("id".into(), id);
                }
                out.extend(sorted);
                out.insert("canary".into(), manifest.canary.as_str().into());
                Value::Object(out).to_string()
            }
            other => other.to_string(),
        })
        .collect();
    lines.sort();
    let mut out = lines.join("\n").into_bytes();
    if !out.is_empty() {
        out.push(b'\n');
    }
    out
}

/// Builds a release whose gates pass.
///
/// The report inside it is of the release alone (not of other suites on this machine), on the day
/// of the release, so that the same inputs give the same bytes everywhere.
///
/// # Errors
/// When a gate fails, on this machine or by itself; when something cannot be generated.
pub fn build(subject: &Subject) -> Result<Built, ReleaseError> {
    let whole = super::check(&Subject {
        built: false,
        container: None,
        ..subject.clone()
    });
    if !whole.passed {
        return Err(not_passed(&whole));
    }
    rebuild(subject)
}

/// Builds a release from its inputs alone, whatever is generated from them and whatever else is
/// on this machine: what a built release must be equal to.
///
/// # Errors
/// As [`build`].
pub fn rebuild(subject: &Subject) -> Result<Built, ReleaseError> {
    let inputs = inputs(subject);
    let report = super::check(&inputs);
    if !report.passed {
        return Err(not_passed(&report));
    }
    let mut files = image(&inputs)?;
    files.insert("reports/check.json".into(), report.to_json().into_bytes());
    files.insert(
        "reports/check.md".into(),
        report.to_markdown(1000).into_bytes(),
    );
    let list = sums::write(&files);
    let release_id = sha256(list.as_bytes());
    files.insert(SUMS.into(), list.into_bytes());
    if let Some(signature) = subject.files.get(SIGNATURE)
        && subject.files.get(SUMS) == files.get(SUMS)
    {
        files.insert(SIGNATURE.into(), signature.clone());
    }
    let zip = archive::write(&files).map_err(|source| ReleaseError::Archive {
        path: format!("{}-{}.zip", inputs.id, inputs.version).into(),
        source,
    })?;
    Ok(Built {
        files,
        zip,
        release_id,
        report,
    })
}

fn not_passed(report: &Report) -> ReleaseError {
    ReleaseError::NotPassed {
        errors: report.gates.iter().map(|g| g.errors).sum(),
        gates: report.failed(),
    }
}
