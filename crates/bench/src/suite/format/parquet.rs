//! Apache Parquet.

use korfinsts_base::records::parquet::rows_of_bytes;

use crate::suite::error::{Place, Problem};

use super::{Cells, Findings, Record, Table};

pub(super) fn read(bytes: &[u8], findings: &mut Findings<'_>) -> Table {
    let mut table = Table::default();
    let mut refuse = |place, reason: String| {
        let format = "Parquet";
        findings.add(place, Problem::Format { format, reason });
    };
    let rows = match rows_of_bytes(bytes) {
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
                cells: Cells::Object(row),
            }),
            Err(e) => {
                refuse(Place::Row(table.total), e);
                return table;
            }
        }
    }
    table
}
