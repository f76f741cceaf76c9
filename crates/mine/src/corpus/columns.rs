//! Apache Parquet: the columns that are asked for, row by row.

use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::FileReader as _;
use parquet::record::{Field, Row as Record};
use parquet::schema::types::Type;

use super::chunk::{Rows, Sink, Wanted};
use super::locate::File;
use super::{Columns, Row};
use crate::{MineError, Place};
use korfinsts_base::fs;
use korfinsts_bench::columnar;

pub(super) fn stream(
    file: &File,
    columns: &Columns,
    wanted: Wanted<'_>,
    sink: Sink<'_>,
) -> Result<(), MineError> {
    let broken = |place: Place, e: &ParquetError| {
        MineError::data(
            &file.path,
            place,
            format!("not valid Parquet: {e}"),
            Some("was the file cut off? Copy or download it again"),
        )
    };
    let opened = fs::open(&file.path)?;
    let reader = columnar::open(opened)
        .map_err(|e| MineError::data(&file.path, Place::Whole, e.to_string(), Some(e.hint)))?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let projection = project(file, &schema, columns)?;
    let mut rows = Rows::new(wanted, sink);
    let mut number = 0;
    for record in reader
        .get_row_iter(Some(projection))
        .map_err(|e| broken(Place::Whole, &e))?
    {
        number += 1;
        let record = record.map_err(|e| broken(Place::Row(number), &e))?;
        if !rows.push(row(file, columns, number, &record)?) {
            return Ok(());
        }
    }
    rows.flush();
    Ok(())
}

/// The schema with nothing but the columns asked for.
fn project(file: &File, schema: &Type, columns: &Columns) -> Result<Type, MineError> {
    let mut kept: Vec<Arc<Type>> = Vec::new();
    let wanted = columns
        .text
        .iter()
        .chain(&columns.licence)
        .chain(&columns.source);
    for name in wanted {
        let top = name.split('.').next().unwrap_or(name);
        let field = schema
            .get_fields()
            .iter()
            .find(|f| f.name() == name)
            .or_else(|| schema.get_fields().iter().find(|f| f.name() == top));
        let Some(field) = field else {
            let found: Vec<String> = schema
                .get_fields()
                .iter()
                .take(12)
                .map(|f| format!("`{}`", f.name()))
                .collect();
            return Err(MineError::data(
                &file.path,
                Place::Whole,
                format!("no column `{name}`, found {}", found.join(", ")),
                Some("name the column in `columns` of the corpus's TOML file"),
            ));
        };
        if !kept.iter().any(|k| k.name() == field.name()) {
            kept.push(Arc::clone(field));
        }
    }
    // A projection keeps the order of the file.
    kept.sort_by_key(|k| {
        schema
            .get_fields()
            .iter()
            .position(|f| f.name() == k.name())
    });
    Type::group_type_builder(schema.name())
        .with_fields(kept)
        .build()
        .map_err(|e| {
            MineError::data(
                &file.path,
                Place::Whole,
                format!("not valid Parquet: {e}"),
                None,
            )
        })
}

fn row(file: &File, columns: &Columns, number: u64, record: &Record) -> Result<Row, MineError> {
    let cell = |name: &str| -> Result<Option<String>, MineError> {
        let field = at(record, name);
        let found = match field {
            None | Some(Field::Null) => return Ok(None),
            Some(Field::Str(text)) => return Ok(Some(text.clone())),
            Some(Field::Bytes(bytes)) => match std::str::from_utf8(bytes.data()) {
                Ok(text) => return Ok(Some(text.to_owned())),
                Err(_) => "bytes that are not UTF-8",
            },
            Some(Field::Group(_)) => "a group",
            Some(Field::ListInternal(_)) => "a list",
            Some(Field::MapInternal(_)) => "a map",
            Some(_) => "a number",
        };
        Err(MineError::data(
            &file.path,
            Place::Row(number),
            format!("expected text in `{name}`, found {found}"),
            Some("name another column in `columns` of the corpus's TOML file"),
        ))
    };
    let mut text = String::new();
    for name in &columns.text {
        if let Some(part) = cell(name)?
            && !part.trim().is_empty()
        {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&part);
        }
    }
    let optional = |name: &Option<String>| match name {
        Some(name) => cell(name),
        None => Ok(None),
    };
    Ok(Row {
        number,
        text,
        licence: optional(&columns.licence)?,
        source: optional(&columns.source)?,
    })
}

fn at<'a>(record: &'a Record, name: &str) -> Option<&'a Field> {
    let find = |record: &'a Record, name: &str| {
        record
            .get_column_iter()
            .find(|(n, _)| *n == name)
            .map(|(_, field)| field)
    };
    if let Some(field) = find(record, name) {
        return Some(field);
    }
    let mut parts = name.split('.');
    let mut field = find(record, parts.next()?)?;
    for part in parts {
        let Field::Group(inner) = field else {
            return None;
        };
        field = find(inner, part)?;
    }
    Some(field)
}
