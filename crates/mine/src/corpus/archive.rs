//! Card, licence and hashes of every corpus, kept in the run folder.

use serde::Serialize;

use super::Located;
use crate::{MineError, RunFolder};
use korfinsts_base::{fs, json};

/// What is kept of a corpus: `corpora/<id>/archive.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archived {
    /// Id of the corpus.
    pub corpus: String,
    /// Commit on the hub, where it came from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// SPDX expression of its manifest.
    pub licence: String,
    /// Its files in order.
    pub files: Vec<ArchivedFile>,
    /// What was missing, said aloud.
    pub warnings: Vec<String>,
}

/// One file that was read or copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchivedFile {
    /// Name inside the corpus.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Whether the file itself is kept here (cards and licences are).
    pub kept: bool,
}

/// Keeps a corpus's manifest, card and licence, and the hashes of its files.
///
/// # Errors
/// When a file cannot be read, or the folder not written.
pub fn keep(corpus: &Located, folder: &RunFolder) -> Result<Archived, MineError> {
    let manifest = &corpus.manifest;
    let own = folder.corpora().join(&manifest.id);
    fs::create_dir(&own)?;
    let text = toml::to_string_pretty(manifest).map_err(|e| {
        MineError::usage(
            format!("corpus `{}` cannot be written: {e}", manifest.id),
            "shorten its manifest",
        )
    })?;
    fs::write_atomic(&own.join("corpus.toml"), text.as_bytes())?;
    let mut files = Vec::new();
    for file in &corpus.files {
        files.push(ArchivedFile {
            name: file.name.clone(),
            bytes: fs::metadata(&file.path)?.len(),
            sha256: fs::sha256_file(&file.path)?,
            kept: false,
        });
    }
    for (path, name) in &corpus.papers {
        let bytes = fs::read(path)?;
        fs::write_atomic(&own.join(name.replace('/', "__")), &bytes)?;
        files.push(ArchivedFile {
            name: name.clone(),
            bytes: bytes.len() as u64,
            sha256: fs::sha256(&bytes),
            kept: true,
        });
    }
    let mut warnings = Vec::new();
    let has = |starts: &[&str]| {
        corpus.papers.iter().any(|(_, name)| {
            let name = name.to_ascii_uppercase();
            starts.iter().any(|s| name.starts_with(s))
        })
    };
    if !has(&["LICENSE", "LICENCE", "COPYING"]) {
        warnings.push("no licence file came with it".to_owned());
    }
    if !has(&["README"]) {
        warnings.push("no card came with it".to_owned());
    }
    if manifest.hub.as_ref().is_some_and(|h| h.revision.is_none()) {
        warnings.push("its manifest pins no revision".to_owned());
    }
    let archived = Archived {
        corpus: manifest.id.clone(),
        commit: corpus.commit.clone(),
        licence: manifest.licence.clone(),
        files,
        warnings,
    };
    let json = json::pretty(&archived);
    fs::write_atomic(&own.join("archive.json"), &json)?;
    Ok(archived)
}
