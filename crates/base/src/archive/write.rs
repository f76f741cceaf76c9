//! Writing a zip file so that the same files always give the same bytes.

use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use super::{ArchiveError, Files, MAX_ENTRIES, MAX_TOTAL, name_flaw, refused};

/// Packs the files: sorted by name, stored (deflated bytes depend on the compressor), every field
/// set: 1980-01-01, mode 0644, made on Unix.
///
/// # Errors
/// When there are too many files or bytes, or a name is not allowed in a container.
pub fn write(files: &Files) -> Result<Vec<u8>, ArchiveError> {
    let total: usize = files.values().map(Vec::len).sum();
    if files.len() > MAX_ENTRIES || total as u64 > MAX_TOTAL {
        return Err(ArchiveError::Zip(format!(
            "{} files of {total} bytes, allowed are {MAX_ENTRIES} and {MAX_TOTAL}",
            files.len()
        )));
    }
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .system(System::Unix)
        .unix_permissions(0o644)
        .large_file(false);
    let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(total + 200 * files.len())));
    for (name, bytes) in files {
        if let Some(flaw) = name_flaw(name) {
            return Err(refused(name, flaw));
        }
        zip.start_file(name.as_str(), options)
            .map_err(|e| refused(name, e.to_string()))?;
        zip.write_all(bytes)
            .map_err(|e| refused(name, e.to_string()))?;
    }
    let cursor = zip.finish().map_err(|e| ArchiveError::Zip(e.to_string()))?;
    Ok(cursor.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::read;
    use crate::fs::sha256;

    fn files() -> Files {
        [("b/c.txt", "금리\n"), ("a", ""), ("b/a", "x")]
            .map(|(n, b)| (n.to_owned(), b.as_bytes().to_vec()))
            .into()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = write(&files()).expect("written");
        assert_eq!(read(&bytes).expect("read"), files());
        assert_eq!(
            read(&write(&Files::new()).expect("written")).expect("read"),
            Files::new()
        );
    }

    #[test]
    fn the_bytes_are_pinned() {
        // Changes only where the format does: then every zip of a release changes with it.
        let bytes = write(&files()).expect("written");
        assert_eq!(
            sha256(&bytes),
            "85fd971b8b9da9acb6054f3e5532471c1432363ec2e8b0b92714362efc49e1fc"
        );
    }

    #[test]
    fn any_flipped_bit_is_found_or_changes_nothing_that_is_read() {
        let clean = write(&files()).expect("written");
        for at in 0..clean.len() {
            for bit in 0..8 {
                let mut bytes = clean.clone();
                bytes[at] ^= 1 << bit;
                if let Ok(read) = read(&bytes) {
                    assert_eq!(read, files(), "byte {at} bit {bit}");
                }
            }
        }
    }
}
