//! Room on a disk.

use std::path::Path;

/// Free bytes of the file system of `folder`, or of the nearest folder above it that is there, for a user
/// who is not root; `None` where the system does not say.
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let mut above = folder.ancestors();
        let found = above.find_map(|folder| rustix::fs::statvfs(folder).ok())?;
        found.f_bavail.checked_mul(found.f_frsize)
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}
