//! What every part of `korfinsts` needs: files, failures, the hub, archives, tables, templates.
//!
//! Most users want the crate `korfinsts`; this one promises no stable interface before version 1.
//!
//! - [`budget`]: how large an input may become once it is decoded
//! - [`fs`]: file-system calls that name the path in their errors; [`sums`]: `SHA256SUMS`
//! - [`failure`]: the class of a failure, which decides the exit code
//! - [`http`], [`hub`]: downloads, and the hub's cache; [`endpoint`]: servers of models
//! - [`archive`], [`json`], [`strict_toml`], [`delimited`], [`yaml`]: zip files, strict JSON, TOML, CSV, heads of model cards
//! - [`sniff`], [`names`], [`digits`]: what a file is by its first bytes; names that may occur once; numbers of people
//! - [`records`]: records of JSON, CSV, TSV and Parquet files
//! - [`table`], [`text`], [`encoding`], [`language`]: tables of text, Unicode, encodings, codes of languages
//! - [`protobuf`]: messages of ONNX and SentencePiece files
//! - [`texts`]: what people read, in their language
//! - [`template`], [`embedded`]: documents from templates, and folders that ship in the binary
//!
//! Imports no other crate of the project but the data of `templates/`.

pub mod archive;
pub mod budget;
pub mod delimited;
pub mod digits;
pub mod embedded;
pub mod encoding;
pub mod endpoint;
pub mod failure;
pub mod fs;
pub mod http;
pub mod hub;
pub mod json;
pub mod language;
pub mod names;
pub mod protobuf;
pub mod records;
pub mod sniff;
pub mod strict_toml;
pub mod sums;
pub mod table;
pub mod template;
pub mod text;
pub mod texts;
pub mod yaml;

/// Name of the program, as records and documents give it.
pub const NAME: &str = "korfinsts";
/// Version of the program: every crate of the project has the same one.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
