//! One process per output folder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::{FsError, at, commit, open_append, remove_leftovers};

/// Name of the file that is locked.
const NAME: &str = ".korfinsts.lock";

/// A lock on a folder, held until dropped. The operating system gives it back when the process
/// ends, however it ends; the file of the lock is removed with it.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    folder: PathBuf,
    completed: bool,
    shared: bool,
}

impl FolderLock {
    /// Locks `folder`, creating it where missing, completes or undoes the [`super::Commit`] of a
    /// process that was killed in it, and removes its unfinished files.
    ///
    /// # Errors
    /// [`FsError::is_busy`] when another process holds it; otherwise when the folder or the lock file
    /// cannot be made, or what a killed process left cannot be completed.
    pub fn acquire(folder: &Path) -> Result<Self, FsError> {
        Self::take(folder, false)
    }

    /// Locks `folder` together with others that share it, of which each writes files of its own.
    ///
    /// # Errors
    /// As [`FolderLock::acquire`].
    pub fn share(folder: &Path) -> Result<Self, FsError> {
        Self::take(folder, true)
    }

    fn take(folder: &Path, shared: bool) -> Result<Self, FsError> {
        let path = folder.join(NAME);
        let file = loop {
            let file = open_append(&path)?;
            let taken = if shared {
                file.try_lock_shared()
            } else {
                file.try_lock()
            };
            match taken {
                Ok(()) if is_at(&file, &path) => break file,
                // Whoever held it removed the file meanwhile: the lock of a file that is gone is none.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let reason = "another korfinsts process is working in it";
                    let source = io::Error::new(io::ErrorKind::ResourceBusy, reason);
                    return Err(at("work in", folder)(source));
                }
                // A file system without locks gives none.
                Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
                    break file;
                }
                Err(TryLockError::Error(source)) => return Err(at("lock", &path)(source)),
            }
        };
        let mut lock = Self {
            file,
            folder: folder.to_owned(),
            completed: false,
            shared,
        };
        if shared {
            return Ok(lock);
        }
        lock.completed = commit::recover(folder)?;
        // Files that cannot be removed are in nobody's way; a folder that cannot be written to is
        // named by the first write.
        let _ = remove_leftovers(folder);
        Ok(lock)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the changes of a killed process were completed when the lock was taken.
    #[must_use]
    pub fn completed(&self) -> bool {
        self.completed
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Before the lock is given back: whoever waits for it sees that the file is gone.
        if !self.shared {
            let _ = fs::remove_file(self.folder.join(NAME));
        }
        let _ = self.file.unlock();
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let key = |m: fs::Metadata| (m.dev(), m.ino());
    file.metadata().map(key).ok() == fs::metadata(path).map(key).ok()
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = FolderLock::acquire(folder.path()).expect("free");
        let second = FolderLock::acquire(folder.path()).expect_err("held");
        assert!(second.is_busy() && second.hint().is_some(), "{second:?}");
        drop(first);
        let shared = FolderLock::share(folder.path()).expect("free");
        drop(FolderLock::share(folder.path()).expect("shared"));
        assert!(FolderLock::acquire(folder.path()).is_err_and(|e| e.is_busy()));
        drop(shared);
        drop(FolderLock::acquire(folder.path()).expect("free again"));
        assert!(!folder.path().join(NAME).exists(), "no file stays");
    }
}
