//! Which suites there are, where their rows are, and how they are loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Finding, Place};
use super::load::{self, Located};
use super::manifest::{Manifest, Origin, Source};
use super::{Pair, Suite, SuiteError};
use korfinsts_base::embedded::Folder;
use korfinsts_base::fs;
use korfinsts_base::sniff::{self, Kind};

/// The suites that ship in the binary: the folder `benchmarks/`.
const SHIPPED: Folder = Folder::new::<korfinsts_benchmarks::Benchmarks>("");

/// Name of the manifest in a suite's folder.
pub const MANIFEST: &str = "suite.toml";
/// Name of the record that an import leaves next to the copied files.
pub const IMPORTED: &str = "imported.json";

/// Whether the rows of a split are on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// They are.
    Available,
    /// They are not; the command brings them.
    Missing {
        /// What to type.
        command: String,
        /// The file next to the user's own suite.toml that is missing.
        file: Option<PathBuf>,
    },
}

/// What an import copied: `imported.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// Version of this record's form.
    pub schema: u32,
    /// Id of the suite.
    pub suite: String,
    /// Version of the suite.
    pub version: String,
    /// What was copied for each split.
    pub splits: BTreeMap<String, ImportedSplit>,
}

/// The files of one split that were copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedSplit {
    /// Name of the source in the manifest.
    pub source: String,
    /// Repository and commit on the hub, where the files came from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<ImportedHub>,
    /// Files in order.
    pub files: Vec<ImportedFile>,
}

/// Where on the hub files came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedHub {
    /// The repository.
    pub repo: String,
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
}

/// One copied file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedFile {
    /// Name in the split's folder.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Domain of all its pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Name and SHA-256 of its gold file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gold: Option<(String, String)>,
}

/// A split that was read without stopping at errors.
pub(super) struct Inspected {
    /// File of the split, or the folder of several.
    pub path: PathBuf,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Pairs that were read, with their places.
    pub pairs: Vec<(Pair, (PathBuf, Place))>,
    /// The suite, where nothing makes it unusable.
    pub suite: Option<Suite>,
}

/// The suites this machine knows.
#[derive(Debug, Clone)]
pub struct Registry {
    data_home: PathBuf,
    manifests: Vec<Manifest>,
    broken: Vec<(PathBuf, String)>,
}

impl Registry {
    /// Reads the built-in manifests and those under `<data_home>/suites-local/<id>/`.
    ///
    /// A broken local manifest does not stop the others: it is kept in [`Registry::broken`].
    ///
    /// # Errors
    /// When a built-in manifest is wrong (a flaw of this program), or the local folder is there
    /// and cannot be listed.
    pub fn open(data_home: &Path) -> Result<Self, SuiteError> {
        let mut manifests = Vec::new();
        for name in SHIPPED.names() {
            if let Some(id) = name.strip_suffix("/suite.toml") {
                let manifest = built_in(id)?;
                manifests.push(manifest);
            }
        }
        manifests.sort_by(|a: &Manifest, b| a.id.cmp(&b.id));
        let mut registry = Self {
            data_home: data_home.to_owned(),
            manifests,
            broken: Vec::new(),
        };
        let local = data_home.join("suites-local");
        if fs::exists(&local) {
            for folder in fs::list(&local)? {
                if fs::exists(&folder.join(MANIFEST)) {
                    registry.add_local(&folder);
                }
            }
        }
        Ok(registry)
    }

    fn add_local(&mut self, folder: &Path) {
        match from_folder(folder) {
            Ok(manifest) if self.manifests.iter().any(|m| m.id == manifest.id) => {
                let reason = format!("the id `{}` is taken; choose another", manifest.id);
                self.broken.push((folder.join(MANIFEST), reason));
            }
            Ok(manifest) => self.manifests.push(manifest),
            Err(e) => self.broken.push((folder.join(MANIFEST), e.to_string())),
        }
    }

    /// All manifests: the built-in ones by id, then the local ones.
    #[must_use]
    pub fn all(&self) -> &[Manifest] {
        &self.manifests
    }

    /// Local manifests that could not be read, with the reason.
    #[must_use]
    pub fn broken(&self) -> &[(PathBuf, String)] {
        &self.broken
    }

    /// The suite of this id, or the one in this folder (or of this `suite.toml`).
    ///
    /// # Errors
    /// When there is neither, or the folder's manifest is wrong.
    pub fn find(&self, id_or_path: &str) -> Result<Manifest, SuiteError> {
        if let Some(manifest) = self.manifests.iter().find(|m| m.id == id_or_path) {
            return Ok(manifest.clone());
        }
        let path = Path::new(id_or_path);
        if path.join(MANIFEST).is_file() {
            return from_folder(path);
        }
        if path.file_name().is_some_and(|n| n == MANIFEST) && path.is_file() {
            return from_folder(path.parent().unwrap_or(Path::new("")));
        }
        if let Some((path, reason)) = self.broken.iter().find(|(p, _)| {
            p.parent()
                .and_then(Path::file_name)
                .is_some_and(|n| n == id_or_path)
        }) {
            return Err(SuiteError::Manifest {
                path: path.clone(),
                line: None,
                reason: reason.clone(),
            });
        }
        // Ids hold no separators. A colon may begin the name of a split.
        let is_path = id_or_path.contains(['/', '\\']) || id_or_path.starts_with('.');
        if path.exists() && !path.is_file() || is_path && !path.exists() {
            return Err(SuiteError::NoFolder {
                path: path.to_owned(),
                exists: path.exists(),
            });
        }
        let known: Vec<String> = self.manifests.iter().map(|m| m.id.clone()).collect();
        let wanted = id_or_path.to_lowercase();
        let nearest = known
            .iter()
            .map(|id| (distance(id, &wanted), id))
            .min()
            .filter(|(d, id)| *d * 2 <= id.len().max(2))
            .map(|(_, id)| id.clone());
        Err(SuiteError::Unknown {
            id: id_or_path.to_owned(),
            known,
            nearest,
        })
    }

    /// The suite and split of `id`, `id:split` or a path.
    ///
    /// # Errors
    /// When there is no such suite or split.
    pub fn select(&self, spec: &str) -> Result<(Manifest, String), SuiteError> {
        let (manifest, split) = match self.find(spec) {
            Ok(manifest) => (manifest, None),
            Err(whole) => match spec.rsplit_once(':') {
                Some((id, split)) => (self.find(id)?, Some(split)),
                None => return Err(whole),
            },
        };
        let split = manifest.split(split)?.0.to_owned();
        Ok((manifest, split))
    }

    /// Folder into which files of a suite's version are copied.
    #[must_use]
    pub fn imported_folder(&self, manifest: &Manifest) -> PathBuf {
        self.data_home
            .join("suites")
            .join(&manifest.id)
            .join(&manifest.version)
    }

    /// Whether the rows of a split are here. No file is read.
    ///
    /// # Errors
    /// When the suite has no such split, or the record of an import cannot be read.
    pub fn availability(
        &self,
        manifest: &Manifest,
        split: Option<&str>,
    ) -> Result<Availability, SuiteError> {
        let (split, _) = manifest.split(split)?;
        let here = Self::beside(manifest, split).is_some()
            || self
                .imported(manifest)?
                .is_some_and(|i| i.splits.contains_key(manifest.files_key(split)));
        Ok(if here {
            Availability::Available
        } else {
            Availability::Missing {
                command: command(manifest),
                file: absent(manifest, manifest.files_key(split)),
            }
        })
    }

    /// Loads one split; `None` is the default split. Every hash is checked.
    ///
    /// # Errors
    /// When the rows are not here, have other bytes than the manifest or the import says, or
    /// hold a problem that makes them unusable.
    pub fn load(&self, manifest: &Manifest, split: Option<&str>) -> Result<Suite, SuiteError> {
        let (split, _) = manifest.split(split)?;
        let (source, files, commit) = self.locate(manifest, split)?;
        let reading = load::read_split(manifest, source, split, &files).fetched(commit);
        load::finish(manifest, split, &files, reading)
    }

    /// Reads one split and keeps what is wrong with it instead of stopping at the first error.
    pub(super) fn inspect(
        &self,
        manifest: &Manifest,
        split: &str,
    ) -> Result<Inspected, SuiteError> {
        let (source, files, commit) = self.locate(manifest, split)?;
        let mut reading = load::read_split(manifest, source, split, &files).fetched(commit);
        let findings = reading.findings.clone();
        let places = std::mem::take(&mut reading.places);
        let pairs = reading.pairs.iter().cloned().zip(places).collect();
        Ok(Inspected {
            path: load::shown(&files),
            findings,
            pairs,
            suite: load::finish(manifest, split, &files, reading).ok(),
        })
    }

    /// What an earlier import copied, where there was one.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn imported(&self, manifest: &Manifest) -> Result<Option<Imported>, SuiteError> {
        let path = self.imported_folder(manifest).join(IMPORTED);
        if !fs::exists(&path) {
            return Ok(None);
        }
        let record: Imported =
            serde_json::from_slice(&fs::read(&path)?).map_err(|e| SuiteError::Manifest {
                path: path.clone(),
                line: Some(e.line()),
                reason: format!("the record of an import is damaged ({e}); import again"),
            })?;
        Ok(Some(record))
    }

    /// The files of a split, verified: those next to the manifest, or those imported.
    pub(super) fn locate<'a>(
        &self,
        manifest: &'a Manifest,
        split: &str,
    ) -> Result<(&'a Source, Vec<Located>, Option<String>), SuiteError> {
        if let Some((source, files)) = Self::beside(manifest, split) {
            let files = files?;
            return Ok((source, files, None));
        }
        let key = manifest.files_key(split);
        let missing = || SuiteError::Missing {
            suite: manifest.id.clone(),
            split: split.to_owned(),
            file: absent(manifest, key),
            command: command(manifest),
            sealed: manifest.splits.get(key).is_some_and(|s| s.sealed),
        };
        let imported = self.imported(manifest)?.ok_or_else(missing)?;
        let record = imported.splits.get(key).ok_or_else(missing)?;
        let source = manifest
            .sources
            .iter()
            .find(|s| s.name == record.source)
            .ok_or_else(missing)?;
        let folder = self.imported_folder(manifest).join(key);
        let read = |name: &str, sha256: &str| -> Result<Vec<u8>, SuiteError> {
            let path = folder.join(name);
            let bytes = fs::read(&path)?;
            verify(&path, &bytes, Some(sha256), || {
                format!("the copy was changed; run `{}` again", command(manifest))
            })?;
            Ok(bytes)
        };
        let mut files = Vec::new();
        for file in &record.files {
            files.push(Located {
                path: folder.join(&file.name),
                name: file.name.clone(),
                bytes: read(&file.name, &file.sha256)?,
                domain: file.domain.clone(),
                gold: match &file.gold {
                    Some((name, sha256)) => Some((name.clone(), read(name, sha256)?)),
                    None => None,
                },
            });
        }
        Ok((source, files, record.hub.as_ref().map(|h| h.commit.clone())))
    }

    /// The first source whose files are all next to the manifest, with their verified bytes.
    #[allow(
        clippy::type_complexity,
        reason = "used twice, both times taken apart at once"
    )]
    fn beside<'a>(
        manifest: &'a Manifest,
        split: &str,
    ) -> Option<(&'a Source, Result<Vec<Located>, SuiteError>)> {
        let key = manifest.files_key(split);
        manifest.sources.iter().find_map(|source| {
            let files = source.files.get(key).filter(|f| !f.is_empty())?;
            let all = files.iter().all(|f| {
                stands(manifest, &f.name)
                    && f.gold.as_ref().is_none_or(|g| stands(manifest, &g.name))
            });
            all.then(|| {
                let located = files.iter().map(|f| {
                    let take = |name: &str, sha256: &Option<String>| {
                        let bytes = take(manifest, name)?;
                        verify(&manifest.shown(name), &bytes, sha256.as_deref(), || {
                            "the file next to suite.toml was changed: restore it, or change its \
                             sha256 and the version of the suite"
                                .to_owned()
                        })?;
                        Ok::<_, SuiteError>(bytes)
                    };
                    Ok(Located {
                        path: manifest.shown(&f.name),
                        name: f.name.clone(),
                        bytes: take(&f.name, &f.sha256)?,
                        domain: f.domain.clone(),
                        gold: match &f.gold {
                            Some(g) => Some((g.name.clone(), take(&g.name, &g.sha256)?)),
                            None => None,
                        },
                    })
                });
                (source, located.collect())
            })
        })
    }
}

/// What brings the rows of a suite to this machine.
fn command(manifest: &Manifest) -> String {
    let suite = match &manifest.origin {
        Origin::BuiltIn => manifest.id.clone(),
        Origin::Folder(folder) => folder.display().to_string(),
    };
    if manifest.sources.iter().any(|s| s.hub.is_some()) {
        format!("korfinsts suite fetch {suite}")
    } else {
        format!("korfinsts suite import {suite} PATH")
    }
}

/// The first file that a suite of the user's own names and that is not next to its manifest.
fn absent(manifest: &Manifest, key: &str) -> Option<PathBuf> {
    let Origin::Folder(folder) = &manifest.origin else {
        return None;
    };
    let files = manifest.sources.iter().find_map(|s| s.files.get(key))?;
    files
        .iter()
        .flat_map(|f| std::iter::once(&f.name).chain(f.gold.as_ref().map(|g| &g.name)))
        .map(|name| folder.join(name))
        .find(|path| !path.is_file())
}

fn built_in(id: &str) -> Result<Manifest, SuiteError> {
    let name = format!("{id}/{MANIFEST}");
    let path = Path::new("benchmarks").join(&name);
    let bytes = SHIPPED.bytes(&name).unwrap_or_default();
    let manifest = Manifest::parse(&String::from_utf8_lossy(&bytes), &path, Origin::BuiltIn)?;
    named_as_folder(manifest, id, &path)
}

fn from_folder(folder: &Path) -> Result<Manifest, SuiteError> {
    let path = folder.join(MANIFEST);
    let bytes = fs::read(&path)?;
    let text = String::from_utf8(bytes).map_err(|e| SuiteError::Manifest {
        path: path.clone(),
        line: None,
        reason: format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to()),
    })?;
    Manifest::parse(&text, &path, Origin::Folder(folder.to_owned()))
}

fn named_as_folder(manifest: Manifest, id: &str, path: &Path) -> Result<Manifest, SuiteError> {
    if manifest.id == id {
        return Ok(manifest);
    }
    Err(SuiteError::Manifest {
        path: path.to_owned(),
        line: None,
        reason: format!("`id` is `{}`, but the folder is `{id}`", manifest.id),
    })
}

fn stands(manifest: &Manifest, name: &str) -> bool {
    match &manifest.origin {
        Origin::BuiltIn => SHIPPED.bytes(&format!("{}/{name}", manifest.id)).is_some(),
        Origin::Folder(folder) => folder.join(name).is_file(),
    }
}

fn take(manifest: &Manifest, name: &str) -> Result<Vec<u8>, SuiteError> {
    match &manifest.origin {
        Origin::BuiltIn => Ok(SHIPPED
            .bytes(&format!("{}/{name}", manifest.id))
            .unwrap_or_default()
            .into_owned()),
        Origin::Folder(folder) => Ok(fs::read(&folder.join(name))?),
    }
}

/// A file of a built-in suite's folder (its card, its licence note), where there is one.
#[must_use]
pub fn built_in_text(id: &str, name: &str) -> Option<String> {
    SHIPPED.text(&format!("{id}/{name}"))
}

/// Compares bytes with the hash they should have.
pub(super) fn verify(
    path: &Path,
    bytes: &[u8],
    expected: Option<&str>,
    hint: impl FnOnce() -> String,
) -> Result<String, SuiteError> {
    let found = fs::sha256(bytes);
    match expected {
        Some(expected) if expected != found => {
            let (likeness, remedy) = likeness(bytes, expected).unzip();
            Err(SuiteError::WrongBytes {
                path: path.to_owned(),
                expected: expected.to_owned(),
                found,
                likeness,
                hint: remedy.unwrap_or_else(hint),
            })
        }
        _ => Ok(found),
    }
}

/// What bytes with another hash than `expected` are, and what to do about it.
fn likeness(bytes: &[u8], expected: &str) -> Option<(String, String)> {
    let is = |bytes: &[u8]| fs::sha256(bytes) == expected;
    let without = |taken: u8, before: u8| -> Vec<u8> {
        let next = bytes.iter().skip(1).chain(b"\n");
        let kept = bytes
            .iter()
            .zip(next)
            .filter(|(b, n)| (**b, **n) != (taken, before));
        kept.map(|(b, _)| *b).collect()
    };
    let same = |what: &str, hint: &str| Some((format!("the same file {what}"), hint.to_owned()));
    if is(&without(b'\r', b'\n')) {
        return same(
            "with CRLF line ends",
            "clone it with `git -c core.autocrlf=false clone`, or convert it: `sed -i 's/\\r$//' FILE`",
        );
    }
    if bytes.strip_prefix(b"\xEF\xBB\xBF").is_some_and(is) {
        return same(
            "with a byte order mark",
            "save it as UTF-8 without the mark",
        );
    }
    if is(&[bytes, b"\n"].concat()) {
        return same(
            "without the last line end",
            "an editor or a copy has cut it: get it again",
        );
    }
    match sniff::kind(bytes)? {
        Kind::Parquet | Kind::Gzip => None,
        kind => Some((kind.to_string(), kind.hint().to_owned())),
    }
}

/// Edit distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        for (a, b, d) in [
            ("", "abc", 3),
            ("korsts", "korst", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), d);
        }
        let registry = Registry::open(Path::new("nowhere")).expect("built-in suites are valid");
        for (asked, offered) in [
            ("KorSTS", Some("korsts")),
            ("stbs", Some("stsb")),
            ("squad-v2", None),
        ] {
            match registry.find(asked) {
                Err(SuiteError::Unknown { nearest, .. }) => {
                    assert_eq!(nearest.as_deref(), offered, "{asked}");
                }
                other => panic!("{asked}: {other:?}"),
            }
        }
    }
}
