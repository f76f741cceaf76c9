//! Apache Parquet.

use korfinsts_base::records::parquet::rows_of_bytes;

use crate::suite::error::{Place, Problem};

use super::decode::MOST_ROWS;
use super::{Cells, Findings, Record, Table};

pub(super) fn read(bytes: &[u8], findings: &mut Findings<'_>) -> Table {
    let mut table = Table::default();
    let rows = match rows_of_bytes(bytes) {
        Ok(rows) => rows,
        Err(e) => {
            let (reason, hint) = (e.to_string(), e.hint().unwrap_or_default().to_owned());
            findings.add(Place::File, Problem::Unread { reason, hint });
            return table;
        }
    };
    for row in rows {
        if table.total == MOST_ROWS {
            let reason =
                format!("it has more than {MOST_ROWS} rows, the most that is read of one file");
            let format = "suite";
            findings.add(Place::Row(table.total), Problem::Format { format, reason });
            return table;
        }
        table.total += 1;
        match row {
            Ok(row) => table.records.push(Record {
                place: Place::Row(table.total),
                number: table.total,
                cells: Cells::Object(row),
            }),
            Err(reason) => {
                let format = "Parquet";
                let problem = Problem::Format { format, reason };
                findings.add(Place::Row(table.total), problem);
                return table;
            }
        }
    }
    table
}
