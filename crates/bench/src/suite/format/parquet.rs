//! Apache Parquet: rows become objects, nested groups included.

use bytes::Bytes;
use parquet::file::reader::FileReader as _;
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};

use crate::columnar;
use crate::suite::error::{Place, Problem};

use super::{Cells, Findings, Record, Table};

pub(super) fn read(bytes: &[u8], findings: &mut Findings<'_>) -> Table {
    let mut table = Table::default();
    let reader = match columnar::open(Bytes::copy_from_slice(bytes)) {
        Ok(reader) => reader,
        Err(e) => {
            let (reason, hint) = (e.to_string(), e.hint.to_owned());
            findings.add(Place::File, Problem::Unread { reason, hint });
            return table;
        }
    };
    let mut refuse = |place, reason: String| {
        findings.add(
            place,
            Problem::Format {
                format: "Parquet",
                reason,
            },
        );
    };
    let rows = match reader.get_row_iter(None) {
        Ok(rows) => rows,
        Err(e) => {
            refuse(Place::File, e.to_string());
            return table;
        }
    };
    for row in rows {
        table.total += 1;
        match row {
            Ok(row) => table.records.push(Record {
                place: Place::Row(table.total),
                number: table.total,
                cells: Cells::Object(object(&row)),
            }),
            Err(e) => {
                refuse(Place::Row(table.total), e.to_string());
                return table;
            }
        }
    }
    table
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
        // Writers that do not mark text as UTF-8 leave bytes.
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
    use std::path::Path;
    use std::sync::Arc;

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
    fn texts_and_nested_numbers_are_read() {
        let bytes = written(&[("금리", 4.9), ("환율", f64::NAN)]);
        let mut found = Vec::new();
        let table = read(
            &bytes,
            &mut Findings::new(Path::new("f.parquet"), &mut found),
        );
        assert!(found.is_empty());
        assert_eq!(table.records[0].place, Place::Row(1));
        let Cells::Object(first) = &table.records[0].cells else {
            panic!("rows are objects");
        };
        assert_eq!(first["sentence1"], "금리");
        assert_eq!(first["labels"]["real-label"], 4.9);
        let Cells::Object(second) = &table.records[1].cells else {
            panic!("rows are objects");
        };
        assert_eq!(second["labels"]["real-label"], "NaN");
    }

    #[test]
    fn a_cut_file_is_refused() {
        let bytes = written(&[("금리", 4.9)]);
        let mut found = Vec::new();
        read(
            &bytes[..bytes.len() - 8],
            &mut Findings::new(Path::new("f.parquet"), &mut found),
        );
        let message = found.first().map(ToString::to_string).unwrap_or_default();
        assert!(
            message.starts_with("f.parquet: not valid Parquet: "),
            "{message}"
        );
    }
}
