//! Containers: zip files that are read with suspicion and written so that the same files always
//! give the same bytes; folders read by the same rules.
//!
//! Ground floor: imports `fs` and `sums` (for the type of a container's files).
//!
//! The reader takes nothing on trust and reads the format itself: of two entries with one name a
//! library keeps the last, and repairs names that leave the folder; here both are refused.

mod read;
mod write;

use std::path::Path;

use crate::fs::{self, FsError};
pub use crate::sums::Files;
use crate::sums::SUMS;

pub use read::read;
pub use write::write;

/// Most entries of a container.
pub const MAX_ENTRIES: usize = 200;
/// Most bytes of a container's files in all.
pub const MAX_TOTAL: u64 = 256 << 20;
/// Most bytes that one compressed byte may unpack to.
pub const MAX_RATIO: u64 = 100;
/// Longest name of a file in a container, in bytes.
pub const MAX_NAME: usize = 120;

/// A container that is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The bytes are no zip file, or one that is put together oddly.
    #[error("not an acceptable zip file: {0}")]
    Zip(String),
    /// One entry is refused.
    #[error("entry `{entry}`: {reason}")]
    Entry {
        /// Its name, with characters that could mislead escaped.
        entry: String,
        /// What was found and what is allowed.
        reason: String,
    },
}

impl ArchiveError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Zip(_) | Self::Entry { .. } => Some(
                "containers are packed by `korfinsts submit` and `korfinsts release build`; pack \
                 it again with them"
                    .into(),
            ),
        }
    }
}

fn refused(name: &str, reason: impl Into<String>) -> ArchiveError {
    ArchiveError::Entry {
        entry: name.escape_debug().take(160).collect(),
        reason: reason.into(),
    }
}

/// Why a name is not allowed in a container; `None` for one that may. Allowed are ASCII letters,
/// digits, `.`, `_`, `-` in parts joined by `/`, so that every file system means the same by it.
#[must_use]
pub fn name_flaw(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the name is empty".into());
    }
    if name.len() > MAX_NAME {
        return Some(format!("the name is longer than {MAX_NAME} bytes"));
    }
    if name.starts_with('/') || name.get(1..2) == Some(":") {
        return Some("the name is an absolute path".into());
    }
    if name.contains('\\') {
        return Some("the name holds a backslash".into());
    }
    if name.ends_with('/') {
        return Some("folders have no entry of their own".into());
    }
    if let Some(c) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')))
    {
        return Some(format!(
            "the name holds U+{:04X}; allowed are ASCII letters, digits, `.`, `_`, `-` and `/`",
            u32::from(c)
        ));
    }
    for part in name.split('/') {
        let stem = part
            .split('.')
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
            || (stem.len() == 4
                && (stem.starts_with("COM") || stem.starts_with("LPT"))
                && stem.ends_with(|c: char| c.is_ascii_digit()));
        match part {
            "" => return Some("the name has an empty part".into()),
            "." | ".." => return Some("the name leaves its folder".into()),
            _ if part.ends_with('.') => return Some("a part of the name ends in a dot".into()),
            _ if device => return Some(format!("`{part}` names a device on some systems")),
            _ => {}
        }
    }
    None
}

/// Reads a container from disk: a zip file, or a folder, whose links are refused.
///
/// # Errors
/// When it cannot be read, or is refused.
pub fn open(path: &Path) -> Result<Files, ArchiveError> {
    if path.is_dir() {
        return folder(path);
    }
    let length = fs::metadata(path)?.len();
    if length > MAX_TOTAL + (1 << 20) {
        return Err(ArchiveError::Zip(format!(
            "it has {length} bytes, allowed are {MAX_TOTAL}"
        )));
    }
    read(&fs::read(path)?)
}

/// The files of a folder by name, `/` between parts. Hidden files and folders are left out, unless the
/// folder has a list of all its files.
fn folder(root: &Path) -> Result<Files, ArchiveError> {
    let mut files = Files::new();
    let mut total = 0;
    let listed = fs::exists(&root.join(SUMS));
    let walk = walkdir::WalkDir::new(root)
        .follow_links(false)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|e| {
            listed || e.depth() == 0 || !e.file_name().to_string_lossy().starts_with('.')
        });
    for entry in walk {
        let entry = entry.map_err(|e| {
            let place = e.path().unwrap_or(root).to_owned();
            let source = e.into_io_error();
            fs::at("list", &place)(source.unwrap_or_else(|| std::io::Error::other("a loop")))
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let parts: Vec<String> = relative
            .components()
            .map(|c| c.as_os_str().to_string_lossy().into_owned())
            .collect();
        let name = parts.join("/");
        if let Some(flaw) = name_flaw(&name) {
            return Err(refused(&name, flaw));
        }
        if !entry.file_type().is_file() {
            return Err(refused(&name, "it is a link or another special file"));
        }
        total += fs::metadata(entry.path())?.len();
        if files.len() == MAX_ENTRIES || total > MAX_TOTAL {
            return Err(ArchiveError::Zip(format!(
                "the folder holds more than {MAX_ENTRIES} files or {MAX_TOTAL} bytes"
            )));
        }
        files.insert(name, fs::read(entry.path())?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mislead_are_refused() {
        for (name, reason) in [
            ("", "empty"),
            ("/etc/passwd", "absolute"),
            ("C:x", "absolute"),
            ("a\\b", "backslash"),
            ("a/", "folders"),
            ("../a", "leaves"),
            ("a/./b", "leaves"),
            ("a//b", "empty part"),
            ("a.", "ends in a dot"),
            ("nul.json", "device"),
            ("a/COM1", "device"),
            ("a\u{202E}b", "U+202E"),
            ("한글", "U+D55C"),
            ("a b", "U+0020"),
        ] {
            let flaw = name_flaw(name).unwrap_or_default();
            assert!(flaw.contains(reason), "{name}: {flaw}");
        }
        for name in [
            "a",
            "scores/korsts.test.jsonl",
            "LICENSE",
            ".a/b-c_d.9",
            "common.txt",
        ] {
            assert_eq!(name_flaw(name), None);
        }
    }
}
