//! The hub: a way to get models and datasets and to [`push`] them, behind one module. Ground floor: imports
//! `fs`, `http`, `text` and `failure` only.
//!
//! The cache is the one that Python users have (`blobs/`, `snapshots/<commit>/`, `refs/<name>`),
//! so files that are on disk are found and used, and files fetched here are found by them.

mod cache;
mod client;
mod error;
pub mod push;

use std::fmt;

pub use cache::is_commit;
pub use client::{Hub, HubSettings, Progress};
pub use error::{HubError, without_password};

/// What kind of repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepoKind {
    /// A model.
    Model,
    /// A dataset.
    Dataset,
}

impl RepoKind {
    /// The word in paths of the interface and of the cache.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// A repository on the hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoId {
    kind: RepoKind,
    name: String,
}

impl RepoId {
    /// A repository by kind and name, `organisation/name` or the one-word name of an old one.
    ///
    /// # Errors
    /// When the name holds anything but letters, digits, `.`, `_`, `-` and at most one `/`.
    pub fn new(kind: RepoKind, name: &str) -> Result<Self, HubError> {
        let part = |p: &str| {
            !p.is_empty()
                && p.len() <= 96
                && !p.starts_with(['.', '-'])
                && !p.contains("..")
                && !p.contains("--")
                && p.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if name.split('/').count() > 2 || !name.split('/').all(part) {
            return Err(HubError::Name {
                name: name.to_owned(),
            });
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
        })
    }

    /// Kind of the repository.
    #[must_use]
    pub fn kind(&self) -> RepoKind {
        self.kind
    }

    /// `organisation/name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Folder in the cache: `datasets--organisation--name`.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}--{}", self.kind.plural(), self.name.replace('/', "--"))
    }

    /// Path of the page people read: the name, behind `datasets/` for datasets.
    fn page(&self) -> String {
        match self.kind {
            RepoKind::Model => self.name.clone(),
            RepoKind::Dataset => format!("datasets/{}", self.name),
        }
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.page())
    }
}

/// A revision that was resolved: a commit and the files it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Commit, 40 hexadecimal digits.
    pub commit: String,
    /// Paths of its files, sorted. Read from the cache alone, it is those that are there.
    pub files: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_folders_and_bad_ones_are_refused() {
        let id = RepoId::new(RepoKind::Dataset, "mteb/sts12-sts").expect("a name");
        assert_eq!(id.folder(), "datasets--mteb--sts12-sts");
        assert_eq!(id.to_string(), "datasets/mteb/sts12-sts");
        let old = RepoId::new(RepoKind::Model, "gpt2").expect("an old name");
        assert_eq!(
            (old.folder().as_str(), old.to_string().as_str()),
            ("models--gpt2", "gpt2")
        );
        for name in [
            "", "a/b/c", "../x", "a/..", "a b/c", "a/", "a/b?x", "a/b--c",
        ] {
            assert!(RepoId::new(RepoKind::Model, name).is_err(), "{name}");
        }
    }
}
