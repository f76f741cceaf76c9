//! The file that describes a corpus, and the corpora that are built in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::shipped::parse;
use crate::{MineError, Place};
use korfinsts_base::embedded::Folder;
use korfinsts_base::{fs, language};

/// The corpora that ship in the binary: the folder `training/corpora/`.
const SHIPPED: Folder = Folder::new::<korfinsts_training_data::Training>("corpora/");

const PROFILES: &str = "profiles.toml";

/// What is in a corpus and how it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Id: lower-case letters, digits and hyphens.
    pub id: String,
    /// Name for readers.
    pub name: String,
    /// ISO 639-3 code and script (`kor-Hang`).
    pub language: String,
    /// Kind of text, an id of the typology's sources.
    pub source: String,
    /// SPDX expression that holds for every row without one of its own.
    pub licence: String,
    /// Rows its publisher counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// What a trainer should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Files in a local folder, with `*` for any part of a name; all that can be read where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Format of every file, where their names do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Where it is on the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubFiles>,
    /// Which columns mean what.
    pub columns: Columns,
    /// What the paper says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<PaperRow>,
    /// The folder of a manifest that is not built in: its files are looked for there.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// Where a corpus is on the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubFiles {
    /// Name of the dataset, `organisation/name`.
    pub repo: String,
    /// Commit; the newest where there is none, and the run's plan says which that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Files, with `*` for any part of a name.
    pub files: Vec<String>,
}

/// Which columns mean what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// Columns of the text; several are joined by line breaks, empty ones left out. `a.b` names a
    /// field in a field. Not looked at where lines or files are the texts.
    pub text: Vec<String>,
    /// Column of the row's licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Column of the row's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Columns {
    /// Every column: those of the text, then those of the licence and the source.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let others = self.licence.iter().chain(&self.source);
        self.text.iter().chain(others).map(String::as_str).collect()
    }
}

/// A row of the paper's Table 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperRow {
    /// Thousands of rows.
    pub rows_thousand: f64,
    /// The licence it names.
    pub licence: String,
}

/// Formats of a corpus's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma separated with quotes and a header.
    Csv,
    /// Tab separated with quotes and a header.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// One text a line.
    Lines,
    /// One text a file.
    Document,
}

impl Format {
    /// The format that the end of a file's name tells, `.gz` and `.zst` aside.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let packed = name
            .strip_suffix(".gz")
            .or_else(|| name.strip_suffix(".zst"));
        let name = packed.unwrap_or(&name);
        Some(match name.rsplit_once('.')?.1 {
            "jsonl" | "ndjson" => Self::Jsonl,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "parquet" => Self::Parquet,
            "txt" => Self::Document,
            _ => return None,
        })
    }
}

/// A named choice of corpora and licences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is for.
    pub about: String,
    /// Ids of its corpora.
    pub corpora: Vec<String>,
    /// SPDX licences that a row may have.
    pub licences: Vec<String>,
}

/// The corpora and profiles that are built in.
#[derive(Debug, Clone)]
pub struct Registry {
    corpora: Vec<Manifest>,
    profiles: BTreeMap<String, Profile>,
}

impl Registry {
    /// Reads what is built in.
    ///
    /// # Errors
    /// When a file is wrong, which would be a flaw of this program.
    pub fn built_in() -> Result<Self, MineError> {
        let mut corpora = Vec::new();
        let mut profiles = BTreeMap::new();
        for name in SHIPPED.names() {
            let path = Path::new("training/corpora").join(&name);
            let bytes = SHIPPED.bytes(&name).unwrap_or_default();
            if name == PROFILES {
                profiles = parse(&path, &bytes)?;
            } else if name.ends_with(".toml") {
                corpora.push(checked(&path, parse(&path, &bytes)?)?);
            }
        }
        corpora.sort_by(|a: &Manifest, b| a.id.cmp(&b.id));
        Ok(Self { corpora, profiles })
    }

    /// The corpora by id.
    #[must_use]
    pub fn corpora(&self) -> &[Manifest] {
        &self.corpora
    }

    /// The profiles by name.
    #[must_use]
    pub fn profiles(&self) -> &BTreeMap<String, Profile> {
        &self.profiles
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn profile(&self, name: &str) -> Result<&Profile, MineError> {
        self.profiles.get(name).ok_or_else(|| {
            MineError::usage(
                format!("there is no profile `{}`", name.escape_debug()),
                format!("profiles: {}", listed(self.profiles.keys())),
            )
        })
    }

    /// The corpus of this id, or the one that a TOML file describes.
    ///
    /// # Errors
    /// When there is neither, or the file is wrong.
    pub fn find(&self, id_or_path: &str) -> Result<Manifest, MineError> {
        if let Some(manifest) = self.corpora.iter().find(|c| c.id == id_or_path) {
            return Ok(manifest.clone());
        }
        let path = Path::new(id_or_path);
        if path.extension().is_some_and(|e| e == "toml") {
            let mut manifest: Manifest = checked(path, parse(path, &fs::read(path)?)?)?;
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
            manifest.folder = Some(parent.unwrap_or(Path::new(".")).to_owned());
            return Ok(manifest);
        }
        Err(MineError::usage(
            format!("there is no corpus `{}`", id_or_path.escape_debug()),
            format!(
                "give a corpus's TOML file, or one of {}",
                listed(self.corpora.iter().map(|c| &c.id))
            ),
        ))
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names
        .map(|n| format!("`{n}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn checked(path: &Path, manifest: Manifest) -> Result<Manifest, MineError> {
    let wrong =
        |reason: String, hint: &str| Err(MineError::data(path, Place::Whole, reason, Some(hint)));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if manifest.id.is_empty() || manifest.id.len() > 64 || !manifest.id.chars().all(plain) {
        return wrong(
            format!("`id` is `{}`", manifest.id.escape_debug()),
            "write it in lower-case letters, digits and hyphens",
        );
    }
    if let Err(reason) = language::check(&manifest.language) {
        return wrong(
            reason,
            "write the ISO 639-3 code and the script, such as `kor-Hang`",
        );
    }
    if spdx::Expression::parse(&manifest.licence).is_err() {
        return wrong(
            format!(
                "`licence` is `{}`, which is no SPDX expression",
                manifest.licence.escape_debug()
            ),
            "write it as in the list at https://spdx.org/licenses, or `LicenseRef-NAME`",
        );
    }
    let whole = matches!(manifest.format, Some(Format::Document | Format::Lines));
    if manifest.columns.text.is_empty() && !whole {
        return wrong(
            "`columns.text` names no column".to_owned(),
            "name it, or say `format = \"lines\"` or `format = \"document\"`",
        );
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_corpora_are_those_of_the_papers_table() {
        let registry = Registry::built_in().expect("what is built in is valid");
        let table: Vec<&Manifest> = registry
            .corpora()
            .iter()
            .filter(|c| c.paper.is_some())
            .collect();
        assert_eq!(table.len(), 6);
        let thousands: f64 = table
            .iter()
            .filter_map(|c| c.paper.as_ref())
            .map(|p| p.rows_thousand)
            .sum();
        assert!((thousands - 2458.6).abs() < 1e-6, "{thousands}");
        for (name, profile) in registry.profiles() {
            for id in &profile.corpora {
                let corpus = registry.find(id).expect("a profile's corpora are there");
                let listed = profile.licences.contains(&corpus.licence);
                assert!(listed, "{name}: {id} is under {}", corpus.licence);
            }
        }
        let strict = registry.profile("strict").expect("it is there");
        assert!(strict.licences.iter().all(|l| !l.contains("-NC")));
    }

    #[test]
    fn a_wrong_manifest_says_where() {
        let path = Path::new("c.toml");
        let base = "id = \"x\"\nname = \"X\"\nlanguage = \"kor-Hang\"\nsource = \"news\"\n";
        let full = |rest: &str| format!("{base}{rest}");
        for (text, expected) in [
            (full("licence = 3\n"), "c.toml:5: invalid type"),
            (
                full("licence = \"free!\"\n[columns]\ntext=[\"t\"]\n"),
                "c.toml: `licence` is `free!`",
            ),
            (
                full("licence = \"MIT\"\n[columns]\ntext=[]\n"),
                "c.toml: `columns.text` names no column",
            ),
            (
                full("licence = \"MIT\"\n[columns]\ntext=[\"t\"]\ntexts=1\n"),
                "c.toml:8: unknown field `texts`",
            ),
        ] {
            let found = parse(path, text.as_bytes())
                .and_then(|m| checked(path, m))
                .expect_err("it is wrong")
                .to_string();
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
