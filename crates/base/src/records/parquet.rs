//! Apache Parquet: rows become objects, nested groups included.

use std::sync::Arc;

use bytes::Bytes;
use parquet::file::reader::{ChunkReader, FileReader as _};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Number, Value};

use super::columnar::{self, AGAIN, NotParquet};

/// Why a file has no rows.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It is no Parquet, or damaged.
    #[error(transparent)]
    Broken(#[from] NotParquet),
    /// A column that is asked for is not there.
    #[error("no column `{name}`, found {found}")]
    NoColumn {
        /// Its name.
        name: String,
        /// The names that are there, the first of them.
        found: String,
    },
}

impl Problem {
    /// What to do about it, where that is known here.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Broken(e) => Some(e.hint),
            Self::NoColumn { .. } => None,
        }
    }
}

/// A file that is damaged behind its head.
fn damaged(e: &parquet::errors::ParquetError) -> Problem {
    let (reason, hint) = (e.to_string(), AGAIN);
    NotParquet { reason, hint }.into()
}

/// Rows of bytes, as [`rows`].
///
/// # Errors
/// As [`rows`].
pub fn rows_of_bytes(bytes: &[u8]) -> Result<impl Iterator<Item = Result<Value, String>>, Problem> {
    rows(Bytes::copy_from_slice(bytes), None)
}

/// The rows of a file in order, read as they are asked for; of all columns, or of those that hold
/// the names (`a.b` names a field in a field). For a row that cannot be read: the reason.
///
/// # Errors
/// When the file is no Parquet, or a column is not there.
pub fn rows<R: ChunkReader + 'static>(
    input: R,
    names: Option<&[&str]>,
) -> Result<impl Iterator<Item = Result<Value, String>> + use<R>, Problem> {
    let reader = columnar::open(input)?;
    let columns = match names {
        Some(names) => Some(project(reader.metadata().file_metadata().schema(), names)?),
        None => None,
    };
    let rows = RowIter::from_file_into(Box::new(reader))
        .project(columns)
        .map_err(|e| damaged(&e))?;
    Ok(rows.map(|row| row.map(|row| object(&row)).map_err(|e| e.to_string())))
}

/// The schema with nothing but the columns asked for, in the order of the file.
fn project(schema: &Type, names: &[&str]) -> Result<Type, Problem> {
    let fields = schema.get_fields();
    let mut kept = vec![false; fields.len()];
    for name in names {
        let top = name.split('.').next().unwrap_or(name);
        let at = |name: &str| fields.iter().position(|f| f.name() == name);
        let Some(at) = at(name).or_else(|| at(top)) else {
            let found: Vec<String> = fields
                .iter()
                .take(12)
                .map(|f| format!("`{}`", f.name()))
                .collect();
            return Err(Problem::NoColumn {
                name: (*name).to_owned(),
                found: found.join(", "),
            });
        };
        kept[at] = true;
    }
    let kept = fields.iter().zip(kept).filter(|(_, kept)| *kept);
    Type::group_type_builder(schema.name())
        .with_fields(kept.map(|(field, _)| Arc::clone(field)).collect())
        .build()
        .map_err(|e| damaged(&e))
}

fn object(row: &Row) -> Value {
    let entries: Map<String, Value> = row
        .get_column_iter()
        .map(|(name, field)| (name.clone(), value(field)))
        .collect();
    Value::Object(entries)
}

fn value(field: &Field) -> Value {
    let float = |x: f64| Number::from_f64(x).map_or_else(|| x.to_string().into(), Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(b) => (*b).into(),
        Field::Byte(i) => (*i).into(),
        Field::Short(i) => (*i).into(),
        Field::Int(i) => (*i).into(),
        Field::Long(i) => (*i).into(),
        Field::UByte(i) => (*i).into(),
        Field::UShort(i) => (*i).into(),
        Field::UInt(i) => (*i).into(),
        Field::ULong(i) => (*i).into(),
        Field::Float(x) => float(f64::from(*x)),
        Field::Double(x) => float(*x),
        Field::Str(s) => s.as_str().into(),
        // Writers that do not mark text as UTF-8 leave bytes; other bytes are no text.
        Field::Bytes(b) => match std::str::from_utf8(b.data()) {
            Ok(s) => s.into(),
            Err(_) => Value::Array(Vec::new()),
        },
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    /// A file with a text and a nested number, written as other tools write them.
    fn written(rows: &[(&str, f64)]) -> Vec<u8> {
        let schema = "message schema { REQUIRED BYTE_ARRAY sentence1 (UTF8); \
                      REQUIRED GROUP labels { REQUIRED DOUBLE real-label; } }";
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let properties = WriterProperties::builder()
            .set_compression(parquet::basic::Compression::SNAPPY)
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).expect("a writer");
        let mut group = writer.next_row_group().expect("a row group");
        let texts: Vec<ByteArray> = rows.iter().map(|r| ByteArray::from(r.0)).collect();
        let numbers: Vec<f64> = rows.iter().map(|r| r.1).collect();
        let mut column = group.next_column().expect("a column").expect("texts");
        column
            .typed::<ByteArrayType>()
            .write_batch(&texts, None, None)
            .expect("texts are written");
        column.close().expect("closed");
        let mut column = group.next_column().expect("a column").expect("numbers");
        column
            .typed::<DoubleType>()
            .write_batch(&numbers, None, None)
            .expect("numbers are written");
        column.close().expect("closed");
        group.close().expect("closed");
        writer.close().expect("closed");
        bytes
    }

    #[test]
    fn texts_and_nested_numbers_are_read_and_columns_chosen() {
        let bytes = Bytes::from(written(&[("금리", 4.9), ("환율", f64::NAN)]));
        let read = |names: Option<&[&str]>| -> Vec<Value> {
            let rows = rows(bytes.clone(), names).expect("rows");
            rows.map(|row| row.expect("a row")).collect()
        };
        let all = read(None);
        assert_eq!(all[0]["sentence1"], "금리");
        assert_eq!(all[0]["labels"]["real-label"], 4.9);
        assert_eq!(all[1]["labels"]["real-label"], "NaN");
        let some = read(Some(&["labels.real-label"]));
        assert_eq!(some[0].to_string(), r#"{"labels":{"real-label":4.9}}"#);
        let error = rows(bytes.clone(), Some(&["x"])).err().expect("no column");
        assert_eq!(
            error.to_string(),
            "no column `x`, found `sentence1`, `labels`"
        );
    }

    #[test]
    fn a_cut_file_is_refused() {
        let bytes = written(&[("금리", 4.9)]);
        let error = rows_of_bytes(&bytes[..bytes.len() - 8]).err().expect("cut");
        assert!(matches!(error, Problem::Broken(_)), "{error}");
    }
}
