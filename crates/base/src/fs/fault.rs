//! Faults on purpose, for tests: `KORFINSTS_FAULT=<call>:<n>:<what>` lets the n-th call of this
//! process end the process there (`exit`), or fail as on a full disk (`fail`).
//!
//! Builds without debug assertions hold none of it.

use std::io;

/// A call that can be told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// Writing the content of a file.
    Write,
    /// Bringing a file or folder to the disk.
    Sync,
    /// Giving a file its name.
    Rename,
    /// Removing a file.
    Remove,
}

/// Exit code of a process that ends at a fault, as of one that is killed.
#[cfg(debug_assertions)]
const KILLED: i32 = 137;

/// Counts a call; the one that the environment names does not come back, or fails.
#[cfg(debug_assertions)]
pub(super) fn point(call: Call) -> io::Result<()> {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static PLAN: LazyLock<Option<(Call, u64, bool)>> = LazyLock::new(|| {
        let plan = std::env::var("KORFINSTS_FAULT").ok()?;
        let [call, n, what] = plan.split(':').collect::<Vec<_>>().try_into().ok()?;
        let calls = [
            ("write", Call::Write),
            ("sync", Call::Sync),
            ("rename", Call::Rename),
            ("remove", Call::Remove),
        ];
        let call = calls.into_iter().find(|(name, _)| *name == call)?.1;
        Some((call, n.parse().ok()?, what == "exit"))
    });
    static CALLS: AtomicU64 = AtomicU64::new(0);
    match *PLAN {
        Some((planned, n, exit))
            if planned == call && CALLS.fetch_add(1, Ordering::SeqCst) + 1 == n =>
        {
            if exit {
                std::process::exit(KILLED);
            }
            Err(io::ErrorKind::StorageFull.into())
        }
        _ => Ok(()),
    }
}

#[cfg(not(debug_assertions))]
#[expect(clippy::unnecessary_wraps, reason = "it fails in builds for tests")]
pub(super) const fn point(_call: Call) -> io::Result<()> {
    Ok(())
}
