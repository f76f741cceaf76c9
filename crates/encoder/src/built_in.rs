//! The encoders that ship in the binary: the folders under `training/checkpoints/`.
//!
//! To add one: a folder there, made by a committed recipe.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::EncoderError;
use korfinsts_base::embedded::Folder;
use korfinsts_base::fs;

/// The encoder that is evaluated when none is named.
pub const DEFAULT: &str = "nmixx-mini";

/// The folder `training/checkpoints/`.
const SHIPPED: Folder = Folder::new::<korfinsts_mini::Checkpoints>("");

/// Names of the files of a built-in encoder, relative to its folder, sorted.
fn files(name: &str) -> Vec<String> {
    let names = SHIPPED.names().into_iter();
    names
        .filter_map(|path| Some(path.strip_prefix(name)?.strip_prefix('/')?.to_owned()))
        .collect()
}

/// Names of the built-in encoders, sorted.
#[must_use]
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = SHIPPED
        .names()
        .iter()
        .filter_map(|path| Some(path.split_once('/')?.0.to_owned()))
        .collect();
    names.dedup();
    names
}

/// Whether an encoder of that name ships in the binary.
#[must_use]
pub fn is_known(name: &str) -> bool {
    !name.is_empty() && !files(name).is_empty()
}

/// The folder of a built-in encoder below the data home, written there on first use. Its path
/// names the content, so that another version of this program has a folder of its own.
///
/// # Errors
/// When there is no such encoder or its folder cannot be written.
pub fn unpack(name: &str, data_home: &Path) -> Result<PathBuf, EncoderError> {
    let files = files(name);
    let mut hasher = Sha256::new();
    for file in &files {
        hasher.update(file);
        hasher.update(
            SHIPPED
                .sha256(&format!("{name}/{file}"))
                .unwrap_or_default(),
        );
    }
    if files.is_empty() {
        return Err(EncoderError::Unsupported {
            what: format!("no encoder `{name}` ships in this binary"),
            hint: None,
        });
    }
    let parent = data_home
        .join("models")
        .join(&fs::hex(&hasher.finalize())[..12]);
    let folder = parent.join(name);
    if fs::exists(&folder.join("modules.json")) {
        return Ok(folder);
    }
    fs::create_dir(&parent)?;
    let unfinished = fs::temporary_dir_in(&parent)?;
    for file in &files {
        if let Some(content) = SHIPPED.bytes(&format!("{name}/{file}")) {
            fs::write_atomic(&unfinished.path().join(file), &content)?;
        }
    }
    match fs::rename(unfinished.path(), &folder) {
        // Another process was faster: what it wrote is the same.
        Err(_) if fs::exists(&folder.join("modules.json")) => Ok(folder),
        other => Ok(other.map(|()| folder)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_encoder_ships_and_is_unpacked_once() {
        let home = tempfile::tempdir().expect("a folder");
        assert!(is_known(DEFAULT) && !is_known("") && !is_known("nosuch"));
        let folder = unpack(DEFAULT, home.path()).expect("unpacked");
        for file in [
            "modules.json",
            "model.safetensors",
            "tokenizer.json",
            "README.md",
        ] {
            assert!(fs::exists(&folder.join(file)), "{file}");
        }
        assert!(!fs::exists(&folder.join("training")));
        assert_eq!(unpack(DEFAULT, home.path()).expect("again"), folder);
        let size: usize = files(DEFAULT)
            .iter()
            .filter_map(|f| SHIPPED.bytes(&format!("{DEFAULT}/{f}")))
            .map(|f| f.len())
            .sum();
        assert!(size <= 12_000_000, "{size} bytes");
        assert!(unpack("nosuch", home.path()).is_err());
    }
}
