//! Folders that ship in the binary: suites, templates, recipes, checkpoints.
//!
//! Each top-level folder of data is a crate of its own that embeds its files. A room names the part
//! that it reads as a [`Folder`].

use std::borrow::Cow;

use rust_embed::{EmbeddedFile, RustEmbed};

/// A folder that ships in the binary, or a part of one.
#[derive(Debug, Clone, Copy)]
pub struct Folder {
    prefix: &'static str,
    get: fn(&str) -> Option<EmbeddedFile>,
    names: fn() -> Vec<Cow<'static, str>>,
}

impl Folder {
    /// The files of `E` whose names begin with `prefix` (empty, or a path that ends in `/`).
    #[must_use]
    pub const fn new<E: RustEmbed>(prefix: &'static str) -> Self {
        Self {
            prefix,
            get: E::get,
            names: || E::iter().collect(),
        }
    }

    /// Names of all files, relative to the folder, with `/`, sorted.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        let mut names: Vec<String> = (self.names)()
            .iter()
            .filter_map(|name| name.strip_prefix(self.prefix).map(ToOwned::to_owned))
            .collect();
        names.sort();
        names
    }

    /// The bytes of a file; `None` where there is none of that name.
    #[must_use]
    pub fn bytes(self, name: &str) -> Option<Cow<'static, [u8]>> {
        Some(self.file(name)?.data)
    }

    /// The text of a file; `None` where there is none of that name or it is not UTF-8.
    #[must_use]
    pub fn text(self, name: &str) -> Option<String> {
        String::from_utf8(self.bytes(name)?.into_owned()).ok()
    }

    /// SHA-256 of a file's bytes; `None` where there is none of that name.
    #[must_use]
    pub fn sha256(self, name: &str) -> Option<[u8; 32]> {
        Some(self.file(name)?.metadata.sha256_hash())
    }

    fn file(self, name: &str) -> Option<EmbeddedFile> {
        (self.get)(&format!("{}{name}", self.prefix))
    }
}
