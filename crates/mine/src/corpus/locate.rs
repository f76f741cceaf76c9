//! From a corpus to the files on this machine.

use std::path::{Path, PathBuf};

use super::{Format, Manifest};
use crate::{MineError, Place};
use korfinsts_base::fs;
use korfinsts_base::hub::{Hub, RepoId, RepoKind};
use korfinsts_base::text::is_like;

/// Most files a corpus may have.
const MOST_FILES: usize = 1_000_000;

/// A corpus with its files.
#[derive(Debug, Clone)]
pub struct Located {
    /// What it is.
    pub manifest: Manifest,
    /// Its files in order: path, name inside the corpus, format.
    pub files: Vec<File>,
    /// Commit on the hub, where it came from there.
    pub commit: Option<String>,
    /// Files of licence and card next to the data: path and name.
    pub papers: Vec<(PathBuf, String)>,
}

/// One file of a corpus.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its name inside the corpus, with `/` between folders.
    pub name: String,
    /// How it is read.
    pub format: Format,
}

/// Finds the files of a corpus: at `place` where one is given (a folder or one file), next to a
/// manifest of the user's own, or on the hub.
///
/// # Errors
/// When no file is there, a file's format is not known, or the hub cannot give them.
pub fn locate(manifest: &Manifest, place: Option<&Path>, hub: &Hub) -> Result<Located, MineError> {
    match (place.or(manifest.folder.as_deref()), &manifest.hub) {
        (Some(place), _) if place.is_file() => {
            let name = place
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            let files = vec![file(manifest, place.to_owned(), name)?];
            Ok(Located {
                manifest: manifest.clone(),
                files,
                commit: None,
                papers: Vec::new(),
            })
        }
        (Some(folder), _) if place.is_some() || !manifest.files.is_empty() => {
            in_folder(manifest, folder)
        }
        (_, Some(on_hub)) => {
            let repo = RepoId::new(RepoKind::Dataset, &on_hub.repo)?;
            let revision = on_hub.revision.as_deref().unwrap_or("main");
            let snapshot = hub.resolve(&repo, revision)?;
            let mut files = Vec::new();
            let mut papers = Vec::new();
            for name in &snapshot.files {
                if on_hub.files.iter().any(|p| is_like(name, p)) {
                    let path = hub.file(&repo, &snapshot.commit, name)?;
                    files.push(file(manifest, path, name.clone())?);
                } else if is_paper(name) {
                    papers.push((hub.file(&repo, &snapshot.commit, name)?, name.clone()));
                }
            }
            if files.is_empty() {
                return Err(MineError::usage(
                    format!(
                        "corpus `{}`: the hub's `{}` at {} has no file like {}",
                        manifest.id,
                        on_hub.repo,
                        snapshot.commit,
                        on_hub.files.join(", ")
                    ),
                    format!("give a folder of it with `--corpus {}=PATH`", manifest.id),
                ));
            }
            Ok(Located {
                manifest: manifest.clone(),
                files,
                commit: Some(snapshot.commit),
                papers,
            })
        }
        _ => Err(MineError::usage(
            format!("corpus `{}` lies on no hub", manifest.id),
            format!("give its folder: `--corpus {}=PATH`", manifest.id),
        )),
    }
}

fn in_folder(manifest: &Manifest, folder: &Path) -> Result<Located, MineError> {
    // A folder of one's own need not be laid out as the hub is.
    let patterns: Vec<&str> = match (&manifest.files[..], &manifest.hub) {
        ([], Some(hub)) => hub
            .files
            .iter()
            .map(|p| p.rsplit('/').next().unwrap_or(p))
            .collect(),
        ([], None) => vec!["*"],
        (files, _) => files.iter().map(String::as_str).collect(),
    };
    let mut files = Vec::new();
    let mut papers = Vec::new();
    let mut others = Vec::new();
    for path in fs::walk(folder, MOST_FILES)? {
        let name = inside(&path, folder);
        let base = name.rsplit('/').next().unwrap_or(&name);
        if is_paper(&name) {
            papers.push((path, name));
        } else if patterns
            .iter()
            .any(|p| is_like(&name, p) || is_like(base, p))
        {
            if manifest.format.is_some() || Format::of(&path).is_some() {
                files.push(file(manifest, path, name)?);
            } else {
                others.push(name);
            }
        } else {
            others.push(name);
        }
    }
    if files.is_empty() {
        others.truncate(5);
        let found = if others.is_empty() {
            "nothing".to_owned()
        } else {
            others.join(", ")
        };
        return Err(MineError::data(
            folder,
            Place::Whole,
            format!(
                "corpus `{}` has no file like {} here, found {found}",
                manifest.id,
                patterns.join(", ")
            ),
            Some(
                "files end in .jsonl, .csv, .tsv, .parquet or .txt, with .gz or .zst behind or not",
            ),
        ));
    }
    Ok(Located {
        manifest: manifest.clone(),
        files,
        commit: None,
        papers,
    })
}

fn file(manifest: &Manifest, path: PathBuf, name: String) -> Result<File, MineError> {
    let format = manifest
        .format
        .or_else(|| Format::of(&path))
        .or_else(|| Format::of(Path::new(&name)))
        .ok_or_else(|| {
            MineError::data(
                &path,
                Place::Whole,
                "the end of the name tells no format",
                Some("end it in .jsonl, .csv, .tsv, .parquet or .txt, or set `format`"),
            )
        })?;
    Ok(File { path, name, format })
}

fn inside(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder)
        .unwrap_or(path)
        .components()
        .map(|c| c.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

/// Whether a file is a card or a licence.
fn is_paper(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    ["README", "LICENSE", "LICENCE", "COPYING", "NOTICE"]
        .iter()
        .any(|p| upper.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (pattern, name, like) in [
            ("*", "a/b.csv", true),
            ("*.csv", "a/b.csv", true),
            ("*.csv", "a/b.csv.gz", false),
            ("data/*.parquet", "data/train-0.parquet", true),
            ("data/*.parquet", "date/train-0.parquet", false),
            ("*/*.parquet", "a/b.parquet", true),
            ("*/*.parquet", "b.parquet", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a.csv", "a.csv", true),
            ("a.csv", "aa.csv", false),
        ] {
            assert_eq!(is_like(name, pattern), like, "{pattern} {name}");
        }
    }
}
