//! One process per output folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::RunError;
use korfinsts_base::fs;

/// A lock on a folder, held until dropped. The operating system gives it back when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks `folder`, creating it where missing, and removes the unfinished files that a killed
    /// process left in it.
    ///
    /// # Errors
    /// [`RunError::Busy`] when another process holds it; otherwise when the folder or the lock
    /// file cannot be made.
    pub fn acquire(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(".korfinsts.lock");
        let file = fs::open_append(&path)?;
        match file.try_lock() {
            Ok(()) => {
                // Files that cannot be removed are in nobody's way; a folder that cannot be
                // written to is named by the first write.
                let _ = fs::remove_leftovers(folder);
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(RunError::Busy {
                folder: folder.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(fs::at("lock", &path)(source).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = FolderLock::acquire(folder.path()).expect("free");
        let second = FolderLock::acquire(folder.path());
        assert!(matches!(second, Err(RunError::Busy { .. })));
        drop(first);
        FolderLock::acquire(folder.path()).expect("free again");
    }
}
