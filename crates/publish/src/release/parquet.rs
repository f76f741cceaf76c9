//! Parquet next to JSONL: one file per split, written so that the same rows give the same bytes.

use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::record::Field;
use ::parquet::schema::parser::parse_message_type;
use bytes::Bytes;
use serde_json::{Map, Number, Value};

/// Name of a split's file.
pub(super) fn name(split: &str) -> String {
    format!("data/{split}.parquet")
}

/// One column: its name and its cells, texts or numbers.
enum Column {
    Texts(Vec<Option<String>>),
    Numbers(Vec<Option<f64>>),
}

/// The rows of a canonical JSONL file as Parquet. A column is optional only where a row lacks it.
pub(super) fn write(jsonl: &[u8]) -> Result<Vec<u8>, ParquetError> {
    let rows: Vec<Map<String, Value>> = jsonl
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .filter_map(|l| serde_json::from_slice(l).ok())
        .collect();
    let mut columns: Vec<(String, Column)> = Vec::new();
    for key in rows.iter().flat_map(Map::keys) {
        if columns.iter().any(|(name, _)| name == key) {
            continue;
        }
        let cells = rows.iter().map(|r| r.get(key));
        let column = if key == "score" {
            Column::Numbers(cells.map(|c| c.and_then(Value::as_f64)).collect())
        } else {
            Column::Texts(
                cells
                    .map(|c| c.and_then(Value::as_str).map(ToOwned::to_owned))
                    .collect(),
            )
        };
        columns.push((key.clone(), column));
    }
    let fields: String = columns
        .iter()
        .map(|(name, column)| {
            let (whole, kind) = match column {
                Column::Texts(cells) => (cells.iter().all(Option::is_some), "BYTE_ARRAY"),
                Column::Numbers(cells) => (cells.iter().all(Option::is_some), "DOUBLE"),
            };
            let repetition = if whole { "REQUIRED" } else { "OPTIONAL" };
            let text = if kind == "BYTE_ARRAY" { " (UTF8)" } else { "" };
            format!("{repetition} {kind} {name}{text}; ")
        })
        .collect();
    let schema = Arc::new(parse_message_type(&format!("message rows {{ {fields} }}"))?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_created_by("korfinsts".to_owned())
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (_, column) in &columns {
        let Some(mut writer) = group.next_column()? else {
            break;
        };
        match column {
            Column::Texts(cells) => {
                let (levels, texts) = levels(cells);
                let texts: Vec<ByteArray> = texts
                    .into_iter()
                    .map(|t| ByteArray::from(t.as_str()))
                    .collect();
                writer
                    .typed::<ByteArrayType>()
                    .write_batch(&texts, levels.as_deref(), None)?;
            }
            Column::Numbers(cells) => {
                let (levels, numbers) = levels(cells);
                let numbers: Vec<f64> = numbers.into_iter().copied().collect();
                writer
                    .typed::<DoubleType>()
                    .write_batch(&numbers, levels.as_deref(), None)?;
            }
        }
        writer.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

/// The cells that are there; and for each row whether its cell is, unless all are.
fn levels<T>(cells: &[Option<T>]) -> (Option<Vec<i16>>, Vec<&T>) {
    let there: Vec<&T> = cells.iter().flatten().collect();
    let levels =
        (there.len() < cells.len()).then(|| cells.iter().map(|c| i16::from(c.is_some())).collect());
    (levels, there)
}

/// The rows of a file as objects.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let words = |e: ParquetError| format!("not valid Parquet: {e}");
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).map_err(words)?;
    let rows = reader.get_row_iter(None).map_err(words)?;
    rows.map(|row| {
        let row = row.map_err(words)?;
        Ok(row
            .get_column_iter()
            .map(|(name, field)| {
                let value = match field {
                    Field::Str(text) => text.as_str().into(),
                    Field::Double(x) => Number::from_f64(*x).map_or(Value::Null, Value::Number),
                    Field::Null => Value::Null,
                    other => other.to_string().into(),
                };
                (name.clone(), value)
            })
            .collect::<Map<String, Value>>()
            .into())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        let jsonl = "{\"id\":\"a\",\"sentence1\":\"=cmd() 금리\",\"score\":0.1,\"domain\":\"x\"}\n\
                     {\"id\":\"b\",\"sentence1\":\"\",\"score\":5.0}\n";
        let bytes = write(jsonl.as_bytes()).expect("written");
        let rows = read(&bytes).expect("read");
        assert_eq!(rows[0]["sentence1"], "=cmd() 금리");
        assert_eq!(rows[0]["score"], 0.1);
        assert_eq!(rows[1]["domain"], Value::Null);
        assert_eq!(bytes, write(jsonl.as_bytes()).expect("written"));
        assert!(read(&bytes[..bytes.len() - 9]).is_err());
    }
}
