//! Files of a suite in any place (a download, a clone, the hub's cache) are verified and
//! copied into the data home.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::SuiteError;
use super::load::{self, Located, stored_name};
use super::manifest::{Manifest, Origin, Source, SourceFile};
use super::registry::{IMPORTED, ImportedFile, ImportedHub, ImportedSplit, Registry, verify};
use korfinsts_base::fs::{self, Commit, FolderLock};
use korfinsts_base::hub::{Hub, RepoId, RepoKind};
use korfinsts_base::text::is_like;

/// Version of the form of `imported.json`.
const SCHEMA: u32 = 1;
/// Most files looked at under a folder: more means that the wrong folder was named.
const MAX_FILES: usize = 100_000;
/// Largest file that is hashed in the search for renamed files.
const MAX_HASHED: u64 = 64 << 20;

/// What an import did with one split.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ImportReport {
    /// The split.
    pub split: String,
    /// Name of the source in the manifest.
    pub source: String,
    /// Pairs.
    pub pairs: usize,
    /// Files with their hashes.
    pub files: Vec<(String, String)>,
    /// Hash of the list of files.
    pub release_id: String,
    /// Commit on the hub, where the files came from there.
    pub hub_commit: Option<String>,
    /// What a user should know.
    pub warnings: Vec<String>,
}

impl Registry {
    /// Imports what belongs to a suite from a file or folder. Every split that is found is read
    /// and checked before anything is copied.
    ///
    /// # Errors
    /// When nothing belongs to the suite, a file has other bytes than the manifest says, its rows
    /// are wrong, or copying fails; then nothing is changed.
    pub fn import(
        &self,
        manifest: &Manifest,
        path: &Path,
    ) -> Result<Vec<ImportReport>, SuiteError> {
        let mut candidates = Candidates::under(path)?;
        let mut mismatch = None;
        let mut wanted = Vec::new();
        for source in &manifest.sources {
            let mut found = Vec::new();
            for (split, files) in &source.files {
                match candidates.all(manifest, source, split, files) {
                    Ok(Some(located)) => found.push((split.clone(), located)),
                    Ok(None) => {}
                    Err(e) => mismatch = mismatch.or(Some(e)),
                }
                wanted.extend(files.iter().map(|f| f.name.clone()));
            }
            if !found.is_empty() {
                // A split whose file is there with other bytes is said, not passed over.
                if let Some(e) = mismatch {
                    return Err(e);
                }
                return self.keep(manifest, source, &found, None);
            }
        }
        wanted.sort();
        wanted.dedup();
        Err(mismatch.unwrap_or_else(|| SuiteError::NothingToImport {
            suite: manifest.id.clone(),
            path: path.to_owned(),
            wanted,
        }))
    }

    /// Downloads the hub's copy of a suite (or finds it in the hub's cache) and imports it.
    ///
    /// # Errors
    /// When the suite has no copy there, the hub cannot be read, or as [`Registry::import`].
    pub fn fetch(&self, manifest: &Manifest, hub: &Hub) -> Result<Vec<ImportReport>, SuiteError> {
        let mut last = None;
        for source in &manifest.sources {
            let Some(copy) = &source.hub else { continue };
            for repo in std::iter::once(&copy.repo).chain(&copy.or) {
                match self.fetch_from(manifest, source, repo, hub) {
                    Ok(reports) => return Ok(reports),
                    // What is kept damaged would fail for ever.
                    Err(e @ (SuiteError::Content { .. } | SuiteError::WrongBytes { .. })) => {
                        return Err(forgotten(e, manifest, hub)?);
                    }
                    // The first repository is the one the manifest means: its error is told.
                    Err(e @ (SuiteError::Hub(_) | SuiteError::NotOnHub { .. })) => {
                        last = last.or(Some(e));
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        Err(last.unwrap_or_else(|| SuiteError::NoHubCopy {
            suite: manifest.id.clone(),
            homepage: manifest
                .sources
                .iter()
                .find_map(|s| s.homepage.clone())
                .or_else(|| manifest.homepage.clone()),
        }))
    }

    fn fetch_from(
        &self,
        manifest: &Manifest,
        source: &Source,
        repo: &str,
        hub: &Hub,
    ) -> Result<Vec<ImportReport>, SuiteError> {
        let id = RepoId::new(RepoKind::Dataset, repo)?;
        let revision = source.hub.as_ref().and_then(|h| h.revision.as_deref());
        let snapshot = hub.resolve(&id, revision.unwrap_or("main"))?;
        let mut found = Vec::new();
        let sealed = |split: &str| manifest.splits.get(split).is_some_and(|s| s.sealed);
        for (split, files) in source.files.iter().filter(|(split, _)| !sealed(split)) {
            let mut located = Vec::new();
            for file in files {
                let names = matching(&snapshot.files, &file.name, &file.or);
                if names.is_empty() {
                    return Err(SuiteError::NotOnHub {
                        repo: repo.to_owned(),
                        revision: snapshot.commit,
                        wanted: patterns(&file.name, &file.or),
                    });
                }
                let many = names.len() > 1;
                for (i, name) in names.iter().enumerate() {
                    let path = hub.file(&id, &snapshot.commit, name)?;
                    let found = FoundFile {
                        split,
                        declared: file,
                        path: &path,
                        number: many.then_some(i + 1),
                        gold: None,
                    };
                    located.push(found.read(manifest, source)?);
                }
            }
            found.push((split.clone(), located));
        }
        let from = ImportedHub {
            repo: repo.to_owned(),
            commit: snapshot.commit,
        };
        self.keep(manifest, source, &found, Some(&from))
    }

    /// Checks what was found and copies it.
    fn keep(
        &self,
        manifest: &Manifest,
        source: &Source,
        found: &[(String, Vec<Located>)],
        hub: Option<&ImportedHub>,
    ) -> Result<Vec<ImportReport>, SuiteError> {
        let commit = hub.map(|h| h.commit.clone());
        let mut reports = Vec::new();
        for (key, files) in found {
            // Every split that reads these files, so that none fails only when it is used.
            let reading = manifest
                .splits
                .keys()
                .filter(|s| manifest.files_key(s) == key);
            for split in reading {
                let reading = load::read_split(manifest, source, split, files);
                let reading = reading.fetched(commit.clone());
                let suite = load::finish(manifest, split, files, reading)?;
                reports.push(ImportReport {
                    split: split.clone(),
                    source: source.name.clone(),
                    pairs: suite.pairs.len(),
                    files: hashes(files),
                    release_id: suite.release_id,
                    hub_commit: commit.clone(),
                    warnings: suite.warnings,
                });
            }
        }
        let folder = self.imported_folder(manifest);
        let lock = FolderLock::acquire(&folder)?;
        let mut commit = Commit::new(&lock);
        let mut record = self.imported(manifest).ok().flatten().unwrap_or_default();
        record.schema = SCHEMA;
        record.suite.clone_from(&manifest.id);
        record.version.clone_from(&manifest.version);
        for (split, files) in found {
            let mut copied = Vec::new();
            for file in files {
                commit.put(Path::new(split).join(&file.name), &file.bytes)?;
                if let Some((name, bytes)) = &file.gold {
                    commit.put(Path::new(split).join(name), bytes)?;
                }
                copied.push(ImportedFile {
                    name: file.name.clone(),
                    sha256: fs::sha256(&file.bytes),
                    domain: file.domain.clone(),
                    gold: file
                        .gold
                        .as_ref()
                        .map(|(name, bytes)| (name.clone(), fs::sha256(bytes))),
                });
            }
            record.splits.insert(
                split.clone(),
                ImportedSplit {
                    source: source.name.clone(),
                    hub: hub.cloned(),
                    files: copied,
                },
            );
        }
        let text = serde_json::to_string_pretty(&record)
            .expect("a record of strings can be written as JSON");
        commit.put(IMPORTED, format!("{text}\n").as_bytes())?;
        commit.finish()?;
        Ok(reports)
    }
}

/// The error of a downloaded file that does not parse or match, which leaves the hub's cache. Where
/// the manifest is the user's own, rows that do not fit it may be the manifest's fault.
fn forgotten(error: SuiteError, manifest: &Manifest, hub: &Hub) -> Result<SuiteError, SuiteError> {
    let own = matches!(manifest.origin, Origin::Folder(_));
    let path = match &error {
        SuiteError::Content { first, .. } if !own || first.problem.is_damage() => &first.path,
        SuiteError::WrongBytes { path, .. } => path,
        _ => return Ok(error),
    };
    let gone = hub.forget(path)?;
    Ok(if gone {
        SuiteError::Damaged(Box::new(error))
    } else {
        error
    })
}

fn hashes(files: &[Located]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for file in files {
        all.push((file.name.clone(), fs::sha256(&file.bytes)));
        if let Some((name, bytes)) = &file.gold {
            all.push((name.clone(), fs::sha256(bytes)));
        }
    }
    all
}

/// A file that was found for a declared one.
struct FoundFile<'a> {
    split: &'a str,
    declared: &'a SourceFile,
    path: &'a Path,
    /// Its number, from 1, where several files are one declared one.
    number: Option<usize>,
    /// Its gold file, where it has one.
    gold: Option<&'a Path>,
}

impl FoundFile<'_> {
    /// Reads it and names it as it will be kept.
    fn read(&self, manifest: &Manifest, source: &Source) -> Result<Located, SuiteError> {
        let Self { declared, path, .. } = *self;
        let read = |path: &Path, sha256: Option<&str>| -> Result<Vec<u8>, SuiteError> {
            let bytes = fs::read(path)?;
            verify(path, &bytes, sha256, || other_bytes(manifest, source))?;
            Ok(bytes)
        };
        Ok(Located {
            path: path.to_owned(),
            name: stored_name(declared, self.split, self.number, &path.to_string_lossy()),
            bytes: read(path, declared.sha256.as_deref())?,
            domain: declared.domain.clone(),
            gold: match (&declared.gold, self.gold) {
                (Some(declared), Some(path)) => {
                    let name = declared.name.rsplit('/').next().unwrap_or(&declared.name);
                    Some((name.to_owned(), read(path, declared.sha256.as_deref())?))
                }
                _ => None,
            },
        })
    }
}

fn other_bytes(manifest: &Manifest, source: &Source) -> String {
    let edition = match (&source.homepage, &source.revision) {
        (Some(url), Some(revision)) => format!("download the file from {url} at {revision}"),
        (Some(url), None) => format!("download the file from {url}"),
        _ => "download the file again".to_owned(),
    };
    format!(
        "{edition}; another edition on purpose is another suite: write a suite.toml for it, as \
         `korfinsts suite info {} --format json` shows this one",
        manifest.id
    )
}

/// The files under a path, and the hashes of those that were asked for by hash.
struct Candidates {
    root: PathBuf,
    files: Vec<PathBuf>,
    by_hash: Option<BTreeMap<String, PathBuf>>,
}

impl Candidates {
    fn under(path: &Path) -> Result<Self, SuiteError> {
        if !fs::exists(path) {
            return Err(SuiteError::NoSuchPath {
                path: path.to_owned(),
            });
        }
        let metadata = fs::metadata(path)?;
        let files = if metadata.is_dir() {
            fs::walk(path, MAX_FILES)?
        } else {
            vec![path.to_owned()]
        };
        Ok(Self {
            root: path.to_owned(),
            files,
            by_hash: None,
        })
    }

    /// All files of a split, or `None` where one is not there.
    fn all(
        &mut self,
        manifest: &Manifest,
        source: &Source,
        split: &str,
        files: &[SourceFile],
    ) -> Result<Option<Vec<Located>>, SuiteError> {
        let sole = source.files.len() == 1 && files.len() == 1 && files[0].gold.is_none();
        let mut located = Vec::new();
        for file in files {
            let mut found = self.find(&file.name, &file.or, file.sha256.as_deref(), sole)?;
            if found.is_empty() {
                return Ok(None);
            }
            let parts = patterns(&file.name, &file.or)
                .iter()
                .any(|p| p.contains('*'));
            if !parts {
                found.truncate(1);
            }
            let many = found.len() > 1;
            let gold = match &file.gold {
                Some(gold) => {
                    let found = self.find(&gold.name, &gold.or, gold.sha256.as_deref(), false)?;
                    match found.into_iter().next() {
                        Some(path) => Some(path),
                        None => return Ok(None),
                    }
                }
                None => None,
            };
            for (i, path) in found.iter().enumerate() {
                let found = FoundFile {
                    split,
                    declared: file,
                    path,
                    number: many.then_some(i + 1),
                    gold: gold.as_deref(),
                };
                located.push(found.read(manifest, source)?);
            }
        }
        Ok((!files.is_empty()).then_some(located))
    }

    /// The files that one declared name means: by hash where it is pinned, else by name, the most
    /// telling name first. A single file that was named outright stands for the `sole` file of a
    /// source.
    fn find(
        &mut self,
        name: &str,
        or: &[String],
        sha256: Option<&str>,
        sole: bool,
    ) -> Result<Vec<PathBuf>, SuiteError> {
        let named = self.named(name, or);
        let Some(sha256) = sha256 else {
            if named.is_empty() && sole && self.root.is_file() {
                return Ok(vec![self.root.clone()]);
            }
            return Ok(named);
        };
        for path in &named {
            if fs::sha256_file(path)? == sha256 {
                return Ok(vec![path.clone()]);
            }
        }
        if let Some(path) = self.hashed()?.get(sha256) {
            return Ok(vec![path.clone()]);
        }
        // Under the very name, with other bytes: reading it says so.
        Ok(named.into_iter().take(1).collect())
    }

    /// The files that the first matching name means: the parts of one folder where it is a
    /// pattern, else every file of that name.
    fn named(&self, name: &str, or: &[String]) -> Vec<PathBuf> {
        for pattern in patterns(name, or) {
            let mut found: Vec<PathBuf> = self
                .files
                .iter()
                .filter(|path| ends_with(path, &pattern))
                .cloned()
                .collect();
            // A pattern that any file of a kind matches means one file, or none in particular.
            if pattern.starts_with('*') && found.len() > 1 {
                continue;
            }
            if let Some(folder) = found.first().map(|p| p.parent().map(Path::to_owned)) {
                if pattern.contains('*') {
                    found.retain(|p| p.parent().map(Path::to_owned) == folder);
                }
                return found;
            }
        }
        Vec::new()
    }

    fn hashed(&mut self) -> Result<&BTreeMap<String, PathBuf>, SuiteError> {
        if self.by_hash.is_none() {
            let mut hashes = BTreeMap::new();
            for path in &self.files {
                if fs::metadata(path)?.len() <= MAX_HASHED {
                    hashes.insert(fs::sha256_file(path)?, path.clone());
                }
            }
            self.by_hash = Some(hashes);
        }
        Ok(self.by_hash.get_or_insert_default())
    }
}

fn patterns(name: &str, or: &[String]) -> Vec<String> {
    std::iter::once(name.to_owned())
        .chain(or.iter().cloned())
        .collect()
}

/// The names of a repository that the first pattern with any match means.
fn matching(files: &[String], name: &str, or: &[String]) -> Vec<String> {
    for pattern in patterns(name, or) {
        let mut found: Vec<String> = files
            .iter()
            .filter(|f| matches_pattern(f, &pattern))
            .cloned()
            .collect();
        if !found.is_empty() {
            found.sort();
            return found;
        }
    }
    Vec::new()
}

/// Whether the last parts of a path match a pattern, part by part.
fn ends_with(path: &Path, pattern: &str) -> bool {
    let wanted: Vec<&str> = pattern.split('/').collect();
    let parts: Vec<String> = path
        .components()
        .map(|c| c.as_os_str().to_string_lossy().into_owned())
        .collect();
    parts.len() >= wanted.len()
        && parts[parts.len() - wanted.len()..]
            .iter()
            .zip(&wanted)
            .all(|(part, wanted)| is_like(part, wanted))
}

fn matches_pattern(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<&str>, Vec<&str>) =
        (name.split('/').collect(), pattern.split('/').collect());
    name.len() == pattern.len() && name.iter().zip(&pattern).all(|(n, p)| is_like(n, p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_part_by_part() {
        for (name, pattern, matched) in [
            (
                "data/test-00000-of-00001-6c.parquet",
                "data/test-*.parquet",
                true,
            ),
            ("data/train-00000.parquet", "data/test-*.parquet", false),
            ("a/data/test-1.parquet", "data/test-*.parquet", false),
            ("test.jsonl.gz", "test.jsonl.gz", true),
            ("test.jsonl.gz", "test.jsonl", false),
            ("abab", "*ab*ab", true),
            ("ab", "*ab*ab", false),
            ("a", "*", true),
        ] {
            assert_eq!(matches_pattern(name, pattern), matched, "{name} {pattern}");
        }
        assert!(ends_with(
            Path::new("/x/korsts/sts-test.tsv"),
            "korsts/sts-test.tsv"
        ));
        assert!(!ends_with(
            Path::new("/x/other/sts-test.tsv"),
            "korsts/sts-test.tsv"
        ));
    }

    #[test]
    fn the_first_pattern_with_a_match_counts() {
        let files: Vec<String> = ["README.md", "data/b.parquet", "data/a.parquet", "test.csv"]
            .map(str::to_owned)
            .to_vec();
        let or = ["data/*.parquet".to_owned(), "test.csv".to_owned()];
        assert_eq!(
            matching(&files, "test.jsonl", &or),
            ["data/a.parquet", "data/b.parquet"]
        );
        assert!(matching(&files, "nothing", &[]).is_empty());
    }
}
