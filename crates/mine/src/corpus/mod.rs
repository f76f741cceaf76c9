//! Corpora as data: what is in one, where it is, under which licence, and how it is read.
//!
//! A corpus is a TOML file: those under `training/corpora/` are built in, and a path to another is
//! as good as an id. To add a file format: a file here, a variant of [`Format`] and its line in
//! [`read::open`].

pub mod archive;
mod chunk;
mod columns;
mod delimited;
mod json;
mod lines;
pub mod locate;
mod manifest;
pub mod read;

pub use locate::Located;
pub use manifest::{Columns, Format, HubFiles, Manifest, PaperRow, Profile, Registry};

/// One row of a corpus, before anything was done to its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number in its file, from 1; a line, a record or a row.
    pub number: u64,
    /// Its text; the text columns joined by line breaks.
    pub text: String,
    /// Its licence, where the corpus has a column of licences.
    pub licence: Option<String>,
    /// Its source, where the corpus has a column of sources.
    pub source: Option<String>,
}
