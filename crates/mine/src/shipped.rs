//! Data files in TOML: those that ship in the binary, and those of a user in their place.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{MineError, Place};
use korfinsts_base::embedded::Folder;
use korfinsts_base::{fs, strict_toml};

/// The files of one folder under `training/`.
pub(crate) struct Shipped {
    pub files: Folder,
    /// The folder, for messages.
    pub root: &'static str,
    /// What is said where a name is not among them.
    pub missing: fn(&str) -> String,
}

impl Shipped {
    /// The path and bytes of the file of that name in the binary.
    ///
    /// # Errors
    /// When there is none.
    pub fn built_in(&self, name: &str) -> Result<(PathBuf, Vec<u8>), MineError> {
        let file = format!("{name}.toml");
        let bytes = self.files.bytes(&file).ok_or_else(|| {
            let names = self.files.names().into_iter();
            let known: Vec<String> = names
                .filter_map(|n| n.strip_suffix(".toml").map(|n| format!("`{n}`")))
                .collect();
            MineError::usage(
                (self.missing)(name),
                format!("built in are {}; or name a file", known.join(", ")),
            )
        })?;
        Ok((Path::new(self.root).join(file), bytes.into_owned()))
    }

    /// The path and bytes of a file on disk, or of that name in the binary.
    ///
    /// # Errors
    /// When there is neither, or the file cannot be read.
    pub fn read(&self, name_or_path: &str) -> Result<(PathBuf, Vec<u8>), MineError> {
        let path = Path::new(name_or_path);
        if fs::exists(path) {
            Ok((path.to_owned(), fs::read(path)?))
        } else {
            self.built_in(name_or_path)
        }
    }
}

/// Reads TOML; an error names the line.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, MineError> {
    strict_toml::parse(bytes).map_err(|e| {
        let place = e.line.map_or(Place::Whole, |line| Place::Line(line as u64));
        MineError::data(path, place, e.reason, None)
    })
}
