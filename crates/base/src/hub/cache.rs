//! The cache on disk, laid out as Python's: `blobs/<etag>`, `snapshots/<commit>/<path>` linking
//! to them, `refs/<revision>` holding a commit.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::{HubError, RepoId};
use crate::fs;

/// Most files a snapshot is listed with.
const MAX_FILES: usize = 100_000;

/// The cache of one repository.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
    repo: PathBuf,
}

impl Cache {
    pub fn new(root: &Path, id: &RepoId) -> Self {
        Self {
            root: root.to_owned(),
            repo: root.join(id.folder()),
        }
    }

    /// The commit that a revision means: itself, or what its ref says.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let bytes = fs::read(&self.repo.join("refs").join(revision)).ok()?;
        let commit = String::from_utf8(bytes).ok()?.trim().to_owned();
        is_commit(&commit).then_some(commit)
    }

    pub fn write_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision != commit {
            fs::write_atomic(&self.repo.join("refs").join(revision), commit.as_bytes())?;
        }
        Ok(())
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.join("snapshots").join(commit)
    }

    /// The cached file, where it is there (a link whose blob is gone is not).
    pub fn file(&self, commit: &str, path: &str) -> Option<PathBuf> {
        let file = self.snapshot(commit).join(path);
        file.is_file().then_some(file)
    }

    /// The files of a commit that are on disk, sorted; empty where there is no snapshot.
    pub fn files(&self, commit: &str) -> Result<Vec<String>, HubError> {
        let folder = self.snapshot(commit);
        if !fs::exists(&folder) {
            return Ok(Vec::new());
        }
        let mut names: Vec<String> = fs::walk(&folder, MAX_FILES)?
            .iter()
            .filter_map(|p| p.strip_prefix(&folder).ok())
            .map(|p| {
                let parts: Vec<_> = p
                    .components()
                    .map(|c| c.as_os_str().to_string_lossy())
                    .collect();
                parts.join("/")
            })
            .collect();
        names.sort();
        Ok(names)
    }

    /// Where the list of a commit's files is kept, so that asking again needs no request.
    fn listing(&self, commit: &str) -> PathBuf {
        self.repo.join("listings").join(format!("{commit}.json"))
    }

    pub fn read_listing(&self, commit: &str) -> Option<Vec<String>> {
        serde_json::from_slice(&fs::read(&self.listing(commit)).ok()?).ok()
    }

    pub fn write_listing(&self, commit: &str, files: &[String]) -> Result<(), HubError> {
        let text = serde_json::to_vec(files).expect("a list of strings can be written as JSON");
        fs::write_atomic(&self.listing(commit), &text)?;
        Ok(())
    }

    pub fn blob(&self, etag: &str) -> PathBuf {
        self.repo.join("blobs").join(etag)
    }

    /// Waits until no other process downloads this blob.
    pub fn lock(&self, etag: &str) -> Result<std::fs::File, HubError> {
        let folder = self.repo.file_name().unwrap_or_default();
        let path = self
            .root
            .join(".locks")
            .join(folder)
            .join(format!("{etag}.lock"));
        Ok(fs::lock(&path)?)
    }

    /// Links a blob into the snapshot and returns the path there.
    pub fn link(&self, commit: &str, path: &str, etag: &str) -> Result<PathBuf, HubError> {
        let link = self.snapshot(commit).join(path);
        fs::link_or_copy(&self.blob(etag), &link)?;
        Ok(link)
    }
}

/// Whether a revision is a commit: 40 hexadecimal digits.
#[must_use]
pub fn is_commit(revision: &str) -> bool {
    revision.len() == 40
        && revision
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a tag is the hash of a git blob (40 digits) or of the content (64).
pub(super) fn kind_of_tag(etag: &str) -> Option<&'static str> {
    let hex = etag.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match etag.len() {
        64 if hex => Some("sha256"),
        40 if hex => Some("git blob"),
        _ => None,
    }
}

/// The hash of a file of the kind a tag has.
pub(super) fn hash(path: &Path, kind: &str) -> Result<String, HubError> {
    if kind == "sha256" {
        return Ok(fs::sha256_file(path)?);
    }
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", fs::metadata(path)?.len()).as_bytes());
    let mut file = fs::open(path)?;
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(fs::at("read", path))?;
        if n == 0 {
            return Ok(fs::hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_blob_is_hashed_as_git_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f");
        fs::write_atomic(&path, b"test content\n").expect("written");
        // `printf 'test content\n' | git hash-object --stdin`
        assert_eq!(
            hash(&path, "git blob").expect("hashed"),
            "d670460b4b4aece5915caf5c68d12f560a9fe3e4"
        );
    }

    #[test]
    fn tags_are_told_apart() {
        for (tag, kind) in [
            ("d670460b4b4aece5915caf5c68d12f560a9fe3e4", Some("git blob")),
            (
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                Some("sha256"),
            ),
            ("abc-1", None),
        ] {
            assert_eq!(kind_of_tag(tag), kind);
        }
    }
}
