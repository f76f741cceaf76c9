//! Several files of a folder that change together: all of them, or none.
//!
//! New content is written into a work folder; a journal there decides. A process that is killed before
//! the journal is there changed nothing. One that is killed after it left changes that the next
//! [`FolderLock`] completes.

#[cfg(unix)]
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fault::{self, Call};
use super::{
    FolderLock, FsError, at, create_parent, exists, read, remove_dir, remove_file, rename,
};
use super::{parent, write_atomic};

/// Name of the work folder.
const WORK: &str = ".korfinsts-commit";
/// Name of the journal in it.
const JOURNAL: &str = "journal.json";

/// Changes of files in a locked folder. Dropped without [`Commit::finish`], nothing has changed.
#[derive(Debug)]
pub struct Commit<'a> {
    lock: &'a FolderLock,
    journal: Journal,
}

/// What is to be done; paths are relative to the folder.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    remove: Vec<PathBuf>,
    put: Vec<PathBuf>,
}

impl<'a> Commit<'a> {
    /// No change yet.
    #[must_use]
    pub fn new(lock: &'a FolderLock) -> Self {
        Self {
            lock,
            journal: Journal::default(),
        }
    }

    /// Notes that the file `name` of the folder gets this content.
    ///
    /// # Errors
    /// When the content cannot be written into the work folder, or `name` leads out of the folder.
    pub fn put(&mut self, name: impl Into<PathBuf>, content: &[u8]) -> Result<(), FsError> {
        let name = inside(self.lock.folder(), name.into())?;
        let work = self.lock.folder().join(WORK);
        write_atomic(&work.join(self.journal.put.len().to_string()), content)?;
        self.journal.put.push(name);
        Ok(())
    }

    /// Notes that the file `name` of the folder goes; folders that it leaves empty go too.
    ///
    /// # Errors
    /// When `name` leads out of the folder.
    pub fn remove(&mut self, name: impl Into<PathBuf>) -> Result<(), FsError> {
        let name = inside(self.lock.folder(), name.into())?;
        self.journal.remove.push(name);
        Ok(())
    }

    /// Makes the changes.
    ///
    /// # Errors
    /// When they cannot be written down: then nothing has changed. When they cannot be completed:
    /// then the next lock of the folder completes them.
    pub fn finish(self) -> Result<(), FsError> {
        let folder = self.lock.folder();
        let path = folder.join(WORK).join(JOURNAL);
        let text = serde_json::to_vec(&self.journal)
            .map_err(|e| at("write", &path)(io::Error::other(e)))?;
        // What the journal names must be on the disk before it.
        super::create_dir(parent(&path))?;
        sync_dir(parent(&path))?;
        write_atomic(&path, &text)?;
        sync_dir(parent(&path))?;
        apply(folder, &self.journal)
    }
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        // With a journal the changes are decided.
        let work = self.lock.folder().join(WORK);
        if !exists(&work.join(JOURNAL)) {
            let _ = remove_dir(&work);
        }
    }
}

/// Completes the changes that a killed process had decided, or undoes those that it had not; whether
/// there were decided ones.
pub(super) fn recover(folder: &Path) -> Result<bool, FsError> {
    let work = folder.join(WORK);
    if !exists(&work) {
        return Ok(false);
    }
    let path = work.join(JOURNAL);
    if !exists(&path) {
        remove_dir(&work)?;
        return Ok(false);
    }
    let wrong = |e| at("read", &path)(io::Error::other(e));
    let journal: Journal = serde_json::from_slice(&read(&path)?).map_err(wrong)?;
    for name in journal.put.iter().chain(&journal.remove) {
        inside(folder, name.clone())?;
    }
    apply(folder, &journal)?;
    Ok(true)
}

/// Every step leaves what a second time needs.
fn apply(folder: &Path, journal: &Journal) -> Result<(), FsError> {
    let work = folder.join(WORK);
    for name in &journal.remove {
        remove_file(&folder.join(name))?;
        // Only a folder that is empty goes.
        for above in name.ancestors().skip(1).filter(|p| *p != Path::new("")) {
            let _ = std::fs::remove_dir(folder.join(above));
        }
    }
    for (at, name) in journal.put.iter().enumerate() {
        let new = work.join(at.to_string());
        if exists(&new) {
            create_parent(&folder.join(name))?;
            rename(&new, &folder.join(name))?;
        }
    }
    for name in journal.put.iter().chain(&journal.remove) {
        let above = folder.join(name);
        if exists(parent(&above)) {
            sync_dir(parent(&above))?;
        }
    }
    remove_file(&work.join(JOURNAL))?;
    remove_dir(&work)
}

/// A path below the folder, or an error.
fn inside(folder: &Path, name: PathBuf) -> Result<PathBuf, FsError> {
    let plain = |c: Component<'_>| matches!(c, Component::Normal(_));
    if name.components().all(plain) && name.components().next().is_some() {
        return Ok(name);
    }
    let reason = "the path leads out of the folder";
    Err(at("change", &folder.join(name))(io::Error::other(reason)))
}

/// Brings the names of a folder to the disk. A system that cannot do this for folders does nothing.
///
/// # Errors
/// When the disk fails.
pub fn sync_dir(folder: &Path) -> Result<(), FsError> {
    fault::point(Call::Sync).map_err(at("write", folder))?;
    #[cfg(unix)]
    if let Ok(file) = File::open(folder) {
        match file.sync_all() {
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {}
            other => other.map_err(at("write", folder))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_together_and_a_decided_one_is_completed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        write_atomic(&at("old/a"), b"old").expect("written");
        write_atomic(&at("b"), b"old").expect("written");
        let lock = FolderLock::acquire(folder.path()).expect("free");
        let mut dropped = Commit::new(&lock);
        dropped.put("b", b"new").expect("noted");
        drop(dropped);
        assert_eq!(read(&at("b")).expect("read"), b"old");
        assert!(!exists(&at(WORK)));
        let mut commit = Commit::new(&lock);
        commit.put("b", b"new").expect("noted");
        commit.put("c/d", b"new").expect("noted");
        commit.remove("old/a").expect("noted");
        for name in ["", "../x", "/x", "a/../../x"] {
            assert!(commit.put(name, b"x").is_err(), "{name}");
        }
        // As a process leaves it that is killed once the journal is there.
        let text = serde_json::to_vec(&commit.journal).expect("JSON");
        write_atomic(&at(WORK).join(JOURNAL), &text).expect("written");
        drop(commit);
        drop(lock);
        let lock = FolderLock::acquire(folder.path()).expect("free");
        assert!(lock.completed());
        assert_eq!(read(&at("b")).expect("read"), b"new");
        assert_eq!(read(&at("c/d")).expect("read"), b"new");
        assert!(!exists(&at("old")) && !exists(&at(WORK)));
        drop(lock);
        assert!(
            !FolderLock::acquire(folder.path())
                .expect("free")
                .completed()
        );
    }
}
