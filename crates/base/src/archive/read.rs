//! Reading a zip file with suspicion.

use std::collections::BTreeSet;
use std::io::Read as _;

use flate2::read::DeflateDecoder;

use super::{ArchiveError, Files, MAX_ENTRIES, MAX_RATIO, MAX_TOTAL, name_flaw, refused};

const END: &[u8] = b"PK\x05\x06";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// Length of the end record without a comment, of a central header and of a local header without
/// their names.
const LENGTHS: (usize, usize, usize) = (22, 46, 30);
/// Flags that change nothing here: how hard a compressor tried, and that names are UTF-8.
const HARMLESS: u16 = 0x0806;

/// One entry as the central directory declares it.
struct Entry<'a> {
    name: &'a str,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: usize,
}

/// A little-endian number of the given place; callers have checked that it is there.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn zip(reason: impl Into<String>) -> ArchiveError {
    ArchiveError::Zip(reason.into())
}

/// Reads all files of a zip file.
///
/// Allowed: entries stored or deflated, one after another from the first byte to the directory,
/// which ends at the end record, which ends the file. Refused: more than [`MAX_ENTRIES`] entries,
/// [`MAX_TOTAL`] bytes or a ratio above [`MAX_RATIO`]; names that two systems may read differently,
/// twice, or differing in case alone; links, encryption, data descriptors, zip64, gaps, overlaps,
/// headers that disagree, wrong lengths and checksums.
///
/// # Errors
/// When anything is not as above.
pub fn read(bytes: &[u8]) -> Result<Files, ArchiveError> {
    let entries = directory(bytes)?;
    let mut files = Files::new();
    for entry in &entries {
        files.insert(entry.name.to_owned(), content(bytes, entry)?);
    }
    Ok(files)
}

/// The entries in order of their place, after every check that needs no content.
fn directory(bytes: &[u8]) -> Result<Vec<Entry<'_>>, ArchiveError> {
    let (end_length, ..) = LENGTHS;
    let Some(end) = bytes.len().checked_sub(end_length) else {
        return Err(zip("it is too short"));
    };
    let record = &bytes[end..];
    if !record.starts_with(END) {
        return Err(zip(
            "it does not end with an end record (a comment, something after it, or cut short)",
        ));
    }
    if u16_at(record, 20) != 0 || u16_at(record, 4) != 0 || u16_at(record, 6) != 0 {
        return Err(zip("it has a comment or several parts"));
    }
    let count = u16_at(record, 10);
    if count != u16_at(record, 8) {
        return Err(zip("its numbers of entries disagree"));
    }
    let (size, offset) = (u32_at(record, 12), u32_at(record, 16));
    if count == u16::MAX || size == u32::MAX || offset == u32::MAX {
        return Err(zip("it is in zip64 form"));
    }
    if usize::from(count) > MAX_ENTRIES {
        return Err(zip(format!(
            "it has {count} entries, allowed are {MAX_ENTRIES}"
        )));
    }
    let start = offset as usize;
    if u64::from(offset) + u64::from(size) != end as u64 {
        return Err(zip("its directory is not right before the end record"));
    }
    let mut entries = Vec::new();
    let mut at = start;
    for _ in 0..count {
        let (entry, next) = central(&bytes[..end], at)?;
        entries.push(entry);
        at = next;
    }
    if at != end {
        return Err(zip("its directory holds more than its entries"));
    }
    check(&entries)?;
    entries.sort_by_key(|e| e.offset);
    let mut place = 0;
    for entry in &entries {
        if entry.offset != place {
            return Err(refused(
                entry.name,
                "it overlaps another entry, or something hides before it",
            ));
        }
        place = local(&bytes[..start], entry)?;
    }
    if place != start {
        return Err(zip("something hides before its directory"));
    }
    Ok(entries)
}

fn central(bytes: &[u8], at: usize) -> Result<(Entry<'_>, usize), ArchiveError> {
    let (_, length, _) = LENGTHS;
    let header = bytes
        .get(at..)
        .filter(|h| h.len() >= length && h.starts_with(CENTRAL))
        .ok_or_else(|| zip("its directory is damaged"))?;
    let [name, extra, comment] = [28, 30, 32].map(|i| usize::from(u16_at(header, i)));
    let next = length + name + extra + comment;
    if header.len() < next {
        return Err(zip("its directory is cut short"));
    }
    let raw = &header[length..length + name];
    let name = std::str::from_utf8(raw)
        .map_err(|_| refused(&String::from_utf8_lossy(raw), "the name is not UTF-8"))?;
    if comment > 0 {
        return Err(refused(name, "it has a comment"));
    }
    // The upper half holds the file type and mode where the maker wrote Unix ones.
    let kind = (u32_at(header, 38) >> 16) & 0o170_000;
    if kind != 0 && kind != 0o100_000 {
        return Err(refused(
            name,
            "it is a link, a folder or another special file",
        ));
    }
    let entry = Entry {
        name,
        flags: u16_at(header, 8),
        method: u16_at(header, 10),
        crc: u32_at(header, 16),
        packed: u64::from(u32_at(header, 20)),
        size: u64::from(u32_at(header, 24)),
        offset: u32_at(header, 42) as usize,
    };
    Ok((entry, at + next))
}

/// Checks what the directory declares.
fn check(entries: &[Entry<'_>]) -> Result<(), ArchiveError> {
    let mut names = BTreeSet::new();
    let mut total = 0;
    for entry in entries {
        if let Some(flaw) = name_flaw(entry.name) {
            return Err(refused(entry.name, flaw));
        }
        if !names.insert(entry.name.to_ascii_lowercase()) {
            return Err(refused(
                entry.name,
                "the name stands twice, or differs from another in case alone",
            ));
        }
        if entry.flags & 1 != 0 {
            return Err(refused(entry.name, "it is encrypted"));
        }
        if entry.flags & !HARMLESS != 0 {
            return Err(refused(
                entry.name,
                format!(
                    "it has flags {:#06x} (a length written after the content?)",
                    entry.flags
                ),
            ));
        }
        if entry.method != 0 && entry.method != 8 {
            return Err(refused(
                entry.name,
                format!(
                    "its method is {}, allowed are 0 (stored) and 8 (deflated)",
                    entry.method
                ),
            ));
        }
        if entry.method == 0 && entry.packed != entry.size {
            return Err(refused(
                entry.name,
                "it is stored, but its two lengths differ",
            ));
        }
        if entry.size > entry.packed.saturating_mul(MAX_RATIO) {
            return Err(refused(
                entry.name,
                format!(
                    "{} bytes become {}: more than {MAX_RATIO} to one",
                    entry.packed, entry.size
                ),
            ));
        }
        total += entry.size;
        if total > MAX_TOTAL {
            return Err(refused(
                entry.name,
                format!("with it the files have more than {MAX_TOTAL} bytes"),
            ));
        }
    }
    for name in &names {
        let mut folder = name.as_str();
        while let Some((above, _)) = folder.rsplit_once('/') {
            if names.contains(above) {
                return Err(refused(name, format!("`{above}` is a file and a folder")));
            }
            folder = above;
        }
    }
    Ok(())
}

/// Checks a local header against the directory; returns where the entry ends.
fn local(bytes: &[u8], entry: &Entry<'_>) -> Result<usize, ArchiveError> {
    let place = body(bytes, entry)?;
    let header = &bytes[entry.offset..];
    let agrees = u16_at(header, 6) == entry.flags
        && u16_at(header, 8) == entry.method
        && u32_at(header, 14) == entry.crc
        && u64::from(u32_at(header, 18)) == entry.packed
        && u64::from(u32_at(header, 22)) == entry.size
        && &header[LENGTHS.2..LENGTHS.2 + usize::from(u16_at(header, 26))] == entry.name.as_bytes();
    if agrees {
        Ok(place.end)
    } else {
        Err(refused(
            entry.name,
            "its own header and the directory disagree",
        ))
    }
}

/// Where the content of an entry is.
fn body(bytes: &[u8], entry: &Entry<'_>) -> Result<std::ops::Range<usize>, ArchiveError> {
    let cut = || refused(entry.name, "its header or content is cut short");
    let header = bytes
        .get(entry.offset..)
        .filter(|h| h.len() >= LENGTHS.2 && h.starts_with(LOCAL))
        .ok_or_else(cut)?;
    let names = usize::from(u16_at(header, 26)) + usize::from(u16_at(header, 28));
    let start = entry.offset + LENGTHS.2 + names;
    let end = start + entry.packed as usize;
    if end > bytes.len() {
        return Err(cut());
    }
    Ok(start..end)
}

fn content(bytes: &[u8], entry: &Entry<'_>) -> Result<Vec<u8>, ArchiveError> {
    let packed = &bytes[body(bytes, entry)?];
    let content = if entry.method == 0 {
        packed.to_vec()
    } else {
        // Not with the declared capacity: what is declared may be a lie.
        let mut content = Vec::new();
        let mut decoder = DeflateDecoder::new(packed);
        decoder
            .by_ref()
            .take(entry.size + 1)
            .read_to_end(&mut content)
            .map_err(|e| refused(entry.name, format!("it cannot be unpacked ({e})")))?;
        if decoder.total_in() != entry.packed {
            return Err(refused(entry.name, "its packed length is wrong"));
        }
        content
    };
    if content.len() as u64 != entry.size {
        return Err(refused(
            entry.name,
            format!("it does not have the {} bytes it declares", entry.size),
        ));
    }
    let mut crc = flate2::Crc::new();
    crc.update(&content);
    if crc.sum() != entry.crc {
        return Err(refused(entry.name, "its checksum is wrong"));
    }
    Ok(content)
}
