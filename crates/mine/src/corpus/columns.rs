//! Apache Parquet: the columns that are asked for, row by row.

use super::chunk::{Rows, Sink, Wanted};
use super::locate::File;
use super::{Columns, json};
use crate::{MineError, Place};
use korfinsts_base::fs;
use korfinsts_base::records::columnar::AGAIN;
use korfinsts_base::records::parquet::{self, Problem};

pub(super) fn stream(
    file: &File,
    columns: &Columns,
    wanted: Wanted<'_>,
    sink: Sink<'_>,
) -> Result<(), MineError> {
    let wrong = |place, reason, hint| MineError::data(&file.path, place, reason, Some(hint));
    let records =
        parquet::rows(fs::open(&file.path)?, Some(&columns.names())).map_err(|e| match e {
            Problem::NoColumn { .. } => wrong(
                Place::Whole,
                e.to_string(),
                "name the column in `columns` of the corpus's TOML file",
            ),
            Problem::Broken(e) => wrong(Place::Whole, e.to_string(), e.hint),
        })?;
    let mut rows = Rows::new(wanted, sink);
    for (number, record) in (1..).zip(records) {
        let record = record
            .map_err(|e| wrong(Place::Row(number), format!("not valid Parquet: {e}"), AGAIN))?;
        if !rows.push(json::of_value(file, columns, number, &record)?) {
            return Ok(());
        }
    }
    rows.flush();
    Ok(())
}
