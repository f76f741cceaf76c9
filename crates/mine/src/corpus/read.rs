//! Files of a corpus, streamed in chunks: bounded memory whatever their size.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::chunk::{Chunk, Sink, Wanted};
use super::locate::File;
use super::{Columns, Format, Row, columns, delimited, json, lines};
use crate::{MineError, Place};
use korfinsts_base::fs;
use korfinsts_base::sniff::{self, Kind};

pub use super::chunk::Chunk as Part;

/// Calls `sink` with the chunks of a file that are wanted, in order. Chunks are numbered from 0,
/// the same way in every run.
///
/// # Errors
/// When the file cannot be read or is not of its format.
pub fn stream(
    file: &File,
    columns: &Columns,
    wanted: Wanted<'_>,
    sink: Sink<'_>,
) -> Result<(), MineError> {
    match file.format {
        Format::Jsonl | Format::Lines => lines::stream(file, wanted, sink),
        Format::Csv | Format::Tsv => delimited::stream(file, columns, wanted, sink),
        Format::Parquet => self::columns::stream(file, columns, wanted, sink),
        Format::Document => lines::document(file, wanted, sink),
    }
}

/// Calls `visit` with the rows of a chunk in order.
///
/// # Errors
/// When a line is not UTF-8 or not of its format, and what `visit` returns.
pub fn rows(
    file: &File,
    columns: &Columns,
    chunk: Chunk,
    visit: &mut dyn FnMut(Row) -> Result<(), MineError>,
) -> Result<(), MineError> {
    match chunk {
        Chunk::Rows(rows) => rows.into_iter().try_for_each(visit),
        Chunk::Lines { bytes, first } => lines::each(file, &bytes, first, &mut |number, line| {
            visit(match file.format {
                Format::Jsonl => json::row(file, columns, number, line)?,
                _ => Row {
                    number,
                    text: line.to_owned(),
                    licence: None,
                    source: None,
                },
            })
        }),
    }
}

/// Opens a file of text, unpacking it where its first bytes are those of gzip or Zstandard.
///
/// # Errors
/// When it cannot be read, or is another kind of file, packed or not.
pub(super) fn open(file: &File) -> Result<Box<dyn Read + Send>, MineError> {
    let at = |e| failed(file, Place::Whole, e);
    let (head, whole) = sniff::peek(fs::open(&file.path)?).map_err(at)?;
    let unpacked: Box<dyn Read + Send> = match sniff::kind(&head) {
        Some(Kind::Gzip) => Box::new(MultiGzDecoder::new(whole)),
        Some(Kind::Zstd) => Box::new(zstd::Decoder::new(whole).map_err(at)?),
        _ => Box::new(whole),
    };
    let (head, whole) = sniff::peek(unpacked).map_err(at)?;
    match sniff::kind(&head) {
        None => Ok(Box::new(whole)),
        // A document may be a page: marks of HTML are taken out of texts later.
        Some(Kind::WebPage) if file.format == Format::Document => Ok(Box::new(whole)),
        Some(kind) => Err(MineError::data(
            &file.path,
            Place::Whole,
            format!("this is {kind}"),
            Some(kind.hint()),
        )),
    }
}

/// The error of a read that failed at a place.
pub(super) fn failed(file: &File, place: Place, error: std::io::Error) -> MineError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        UnexpectedEof => MineError::data(
            &file.path,
            place,
            "the compressed file ends early",
            Some("it was cut off: copy or download it again"),
        ),
        InvalidData | InvalidInput => {
            MineError::data(&file.path, place, format!("cannot be read: {error}"), None)
        }
        _ => fs::at("read", &file.path)(error).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;

    use super::*;

    const TEXTS: [&str; 3] = ["기준금리를 동결했다.", "Net sales rose, by 4%.", "“둘”\t셋"];

    fn columns() -> Columns {
        Columns {
            text: vec!["text".into()],
            licence: None,
            source: None,
        }
    }

    fn parquet(compression: Compression) -> Vec<u8> {
        let schema = "message m { required binary text (UTF8); }";
        let schema = parquet::schema::parser::parse_message_type(schema).expect("a schema");
        let properties = WriterProperties::builder().set_compression(compression);
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, schema.into(), Arc::new(properties.build()))
                .expect("a writer");
        let mut group = writer.next_row_group().expect("a group");
        let mut column = group.next_column().expect("a column").expect("one");
        let values: Vec<ByteArray> = TEXTS.iter().map(|t| ByteArray::from(*t)).collect();
        column
            .typed::<ByteArrayType>()
            .write_batch(&values, None, None)
            .expect("written");
        column.close().expect("closed");
        group.close().expect("closed");
        writer.close().expect("closed");
        bytes
    }

    #[test]
    fn the_same_rows_come_out_of_every_format_and_compression() {
        let lines: String = TEXTS
            .iter()
            .map(|text| format!("{}\n", serde_json::json!({"text": text})))
            .collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(lines.as_bytes()).expect("packed");
        let tsv = format!("text\n{}\n", TEXTS.map(|t| format!("\"{t}\"")).join("\n"));
        let files = [
            ("a.jsonl", lines.clone().into_bytes()),
            ("a.jsonl.gz", gzip.finish().expect("packed")),
            (
                "a.jsonl.zst",
                zstd::encode_all(lines.as_bytes(), 3).expect("packed"),
            ),
            ("a.tsv", tsv.into_bytes()),
            ("plain.parquet", parquet(Compression::UNCOMPRESSED)),
            ("snappy.parquet", parquet(Compression::SNAPPY)),
            (
                "gzip.parquet",
                parquet(Compression::GZIP(GzipLevel::default())),
            ),
            (
                "zstd.parquet",
                parquet(Compression::ZSTD(ZstdLevel::default())),
            ),
            (
                "brotli.parquet",
                parquet(Compression::BROTLI(BrotliLevel::default())),
            ),
            ("lz4.parquet", parquet(Compression::LZ4_RAW)),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::write_atomic(&path, &bytes).expect("written");
            let file = File {
                format: Format::of(&path).expect("a known ending"),
                path,
                name: name.into(),
            };
            let mut found = Vec::new();
            stream(&file, &columns(), &|_| true, &mut |_, chunk| {
                let read = rows(&file, &columns(), chunk, &mut |row| {
                    found.push(row.text);
                    Ok(())
                });
                read.expect("rows");
                true
            })
            .expect("read");
            assert_eq!(found, TEXTS, "{name}");
        }
    }
}
