//! Parquet files, opened in one way for suites, corpora and training data.

use parquet::file::reader::{ChunkReader, FileReader as _, SerializedFileReader};
use parquet::schema::types::Type;

use crate::names::twice;
use crate::sniff::{self, Kind};

/// What to do about a file that is damaged.
pub const AGAIN: &str = "was the file cut off? Copy or download it again";

/// Why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not valid Parquet: {reason}")]
pub struct NotParquet {
    /// What was found.
    pub reason: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// Opens a file whose columns have names of their own.
///
/// # Errors
/// When it begins as another kind of file, is damaged, or two columns of one group have one name.
pub fn open<R: ChunkReader + 'static>(source: R) -> Result<SerializedFileReader<R>, NotParquet> {
    let no = |reason, hint| NotParquet { reason, hint };
    let length = source.len().min(sniff::HEAD as u64) as usize;
    let head = source.get_bytes(0, length);
    match head.ok().and_then(|head| sniff::kind(&head)) {
        None | Some(Kind::Parquet) => {}
        Some(kind) => return Err(no(format!("this is {kind}"), kind.hint())),
    }
    let reader = SerializedFileReader::new(source).map_err(|e| no(e.to_string(), AGAIN))?;
    match repeated(reader.metadata().file_metadata().schema()) {
        None => Ok(reader),
        Some(reason) => Err(no(reason, "rename one of the two columns, or leave it out")),
    }
}

fn repeated(group: &Type) -> Option<String> {
    if !group.is_group() {
        return None;
    }
    let fields = group.get_fields();
    match twice(fields.iter().map(|f| f.name())) {
        Some(twice) => Some(format!("the column {twice}")),
        None => fields.iter().find_map(|f| repeated(f)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn empty(schema: &str) -> Bytes {
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let mut bytes = Vec::new();
        let writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default());
        writer.expect("a writer").close().expect("closed");
        bytes.into()
    }

    #[test]
    fn what_is_no_parquet_or_has_one_name_twice_is_refused() {
        let group = "message m { required group g { required double x; required binary x; } }";
        for (bytes, message) in [
            (
                empty("message m { required double x; required double y; }"),
                None,
            ),
            (
                empty("message m { required double x; required double y; required double x; }"),
                Some("the column `x` occurs twice, at positions 1 and 3"),
            ),
            (
                empty(group),
                Some("the column `x` occurs twice, at positions 1 and 2"),
            ),
            (
                Bytes::from_static(b"ARROW1\0\0"),
                Some("this is an Arrow (Feather) file"),
            ),
            (Bytes::from_static(b"PAR1 cut"), Some("not valid Parquet: ")),
        ] {
            let found = open(bytes).err().map(|e| e.to_string());
            assert_eq!(found.is_some(), message.is_some(), "{found:?}");
            let found = found.unwrap_or_default();
            assert!(found.contains(message.unwrap_or_default()), "{found}");
        }
    }
}
