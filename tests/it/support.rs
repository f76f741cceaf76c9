//! Helpers of the integration tests.

use std::path::PathBuf;

/// A file under the shared folder of reference data, or `None` (said loudly on stderr) when
/// `KORFINSTS_SHARED` does not name one: the test that asked is then skipped.
#[allow(
    dead_code,
    reason = "used by the tests that need data which may not be shipped"
)]
pub fn shared(relative: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("KORFINSTS_SHARED") else {
        eprintln!("SKIPPED: KORFINSTS_SHARED is not set, so `{relative}` is not at hand");
        return None;
    };
    let path = PathBuf::from(root).join(relative);
    assert!(
        path.exists(),
        "KORFINSTS_SHARED is set, but `{}` is not there",
        path.display()
    );
    Some(path)
}

/// A file of the repository.
#[allow(
    dead_code,
    reason = "used by the tests that read the repository's own files"
)]
pub fn repository(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}
