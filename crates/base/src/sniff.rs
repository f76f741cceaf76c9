//! What a file is by its first bytes, whatever its name says.

use std::fmt;
use std::io::{self, Chain, Cursor, Read};

/// How many of the first bytes decide.
pub const HEAD: usize = 512;

/// Kinds of files that are found where another was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What a clone without large files holds in their places.
    LfsPointer,
    /// HTML, or the XML of a server's error.
    WebPage,
    /// A zip archive.
    Zip,
    /// A workbook, as `.xlsx` and `.xls`.
    Workbook,
    /// Gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Xz.
    Xz,
    /// Bzip2.
    Bzip2,
    /// 7-Zip.
    SevenZip,
    /// A tar archive.
    Tar,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow, as a file (Feather) or a stream.
    Arrow,
    /// A PDF document.
    Pdf,
    /// An `SQLite` database.
    Sqlite,
    /// HDF5, the format of Keras.
    Hdf5,
    /// GGUF.
    Gguf,
    /// A pickle, which is code.
    Pickle,
    /// Text in UTF-16, least significant byte first.
    Utf16LittleEndian,
    /// Text in UTF-16, most significant byte first.
    Utf16BigEndian,
}

/// How many bytes in, what is found there, and whose it is; the first that fits counts.
const MAGIC: &[(usize, &[u8], Kind)] = &[
    (0, b"version https://git-lfs", Kind::LfsPointer),
    (30, b"[Content_Types].xml", Kind::Workbook),
    (0, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", Kind::Workbook),
    (0, b"PK\x03\x04", Kind::Zip),
    (0, b"PK\x05\x06", Kind::Zip),
    (0, b"\x1F\x8B", Kind::Gzip),
    (0, b"\x28\xB5\x2F\xFD", Kind::Zstd),
    (0, b"\xFD7zXZ\0", Kind::Xz),
    (0, b"BZh", Kind::Bzip2),
    (0, b"7z\xBC\xAF\x27\x1C", Kind::SevenZip),
    (257, b"ustar", Kind::Tar),
    (0, b"PAR1", Kind::Parquet),
    (0, b"ARROW1", Kind::Arrow),
    (0, b"FEA1", Kind::Arrow),
    (0, b"\xFF\xFF\xFF\xFF", Kind::Arrow),
    (0, b"%PDF-", Kind::Pdf),
    (0, b"SQLite format 3\0", Kind::Sqlite),
    (0, b"\x89HDF\r\n", Kind::Hdf5),
    (0, b"GGUF", Kind::Gguf),
    (0, b"\x80\x02", Kind::Pickle),
    (0, b"\x80\x03", Kind::Pickle),
    (0, b"\x80\x04", Kind::Pickle),
    (0, b"\x80\x05", Kind::Pickle),
    (0, b"\xFF\xFE", Kind::Utf16LittleEndian),
    (0, b"\xFE\xFF", Kind::Utf16BigEndian),
];

/// How pages begin, in lower case.
const PAGES: [&[u8]; 3] = [b"<!doctype", b"<html", b"<?xml"];

/// The kind of a file by its first bytes, of which [`HEAD`] are looked at; `None` for text, for
/// safetensors and for what is not known.
#[must_use]
pub fn kind(bytes: &[u8]) -> Option<Kind> {
    let head = &bytes[..bytes.len().min(HEAD)];
    let magic = MAGIC
        .iter()
        .find(|(at, bytes, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(bytes)));
    if let Some((_, bytes, kind)) = magic {
        // The length of a safetensors header may be any bytes; its `{` at 8 follows no short magic.
        let by_chance = bytes.len() <= 4 && head.get(8) == Some(&b'{');
        return (!by_chance).then_some(*kind);
    }
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let start: Vec<u8> = text
        .trim_ascii_start()
        .iter()
        .take(9)
        .map(u8::to_ascii_lowercase)
        .collect();
    if PAGES.iter().any(|page| start.starts_with(page)) {
        return Some(Kind::WebPage);
    }
    utf16(head)
}

/// UTF-16 without a mark: every other byte of the beginning is zero.
fn utf16(head: &[u8]) -> Option<Kind> {
    let head = &head[..head.len().min(64)];
    let zeros = |from: usize| {
        head.iter()
            .skip(from)
            .step_by(2)
            .filter(|b| **b == 0)
            .count()
    };
    let half = head.len() / 2;
    if half < 4 {
        None
    } else if zeros(1) * 4 > half * 3 && zeros(0) == 0 {
        Some(Kind::Utf16LittleEndian)
    } else if zeros(0) * 4 > half * 3 && zeros(1) == 0 {
        Some(Kind::Utf16BigEndian)
    } else {
        None
    }
}

/// First bytes, and a reader that begins with them.
pub type Peeked<R> = (Vec<u8>, Chain<Cursor<Vec<u8>>, R>);

/// The first bytes of what is read, [`HEAD`] of them, and a reader that begins with them again.
///
/// # Errors
/// When it cannot be read.
pub fn peek<R: Read>(mut reader: R) -> io::Result<Peeked<R>> {
    let mut head = Vec::with_capacity(HEAD);
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}

impl Kind {
    /// What to do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::LfsPointer => "fetch the file itself with `git lfs pull`, or download it again",
            Self::WebPage => {
                "the address gave a page (of an error, or to sign in) instead of the file: download \
                 the file itself"
            }
            Self::Zip => "unpack it first: `unzip FILE`",
            Self::Workbook => "save the sheet as CSV in UTF-8",
            Self::Gzip => "unpack it first: `gunzip FILE`",
            Self::Zstd => "unpack it first: `zstd -d FILE`",
            Self::Xz => "unpack it first: `xz -d FILE`",
            Self::Bzip2 => "unpack it first: `bunzip2 FILE`",
            Self::SevenZip => "unpack it first: `7z x FILE`",
            Self::Tar => "unpack it first: `tar -xf FILE`",
            Self::Parquet => "give the name the ending `.parquet`, or name the format",
            Self::Arrow => "write it as Parquet: `Dataset.to_parquet` or `DataFrame.to_parquet`",
            Self::Pdf | Self::Sqlite => "export its text or its table as CSV or JSONL in UTF-8",
            Self::Hdf5 | Self::Gguf | Self::Pickle => "write the data as CSV, JSONL or Parquet",
            Self::Utf16LittleEndian => "convert it: `iconv -f UTF-16LE -t UTF-8 FILE > FILE.utf8`",
            Self::Utf16BigEndian => "convert it: `iconv -f UTF-16BE -t UTF-8 FILE > FILE.utf8`",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LfsPointer => "a pointer of Git LFS, not the file itself",
            Self::WebPage => "a web page",
            Self::Zip => "a zip archive",
            Self::Workbook => "a workbook of a spreadsheet",
            Self::Gzip => "a gzip file",
            Self::Zstd => "a Zstandard file",
            Self::Xz => "an xz file",
            Self::Bzip2 => "a bzip2 file",
            Self::SevenZip => "a 7-Zip archive",
            Self::Tar => "a tar archive",
            Self::Parquet => "a Parquet file",
            Self::Arrow => "an Arrow (Feather) file",
            Self::Pdf => "a PDF document",
            Self::Sqlite => "an SQLite database",
            Self::Hdf5 => "an HDF5 file",
            Self::Gguf => "a GGUF file",
            Self::Pickle => "a pickle",
            Self::Utf16LittleEndian => "text in UTF-16 (little endian)",
            Self::Utf16BigEndian => "text in UTF-16 (big endian)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        let office = [&b"PK\x03\x04"[..], &[0; 26], b"[Content_Types].xml"].concat();
        let tar = [&[b'a'; 257][..], b"ustar\0"].concat();
        let bare: Vec<u8> = "id,text"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        // A safetensors header of 640 bytes begins like a pickle.
        let mut safetensors = 640_u64.to_le_bytes().to_vec();
        safetensors.extend(b"{\"a\":1}");
        for (head, found) in [
            (
                &b"version https://git-lfs.github.com/spec/v1\n"[..],
                Some(Kind::LfsPointer),
            ),
            (b"\xEF\xBB\xBF \n<!DocType html>", Some(Kind::WebPage)),
            (b"<HTML>", Some(Kind::WebPage)),
            (b"<?xml version='1.0'?><Error>", Some(Kind::WebPage)),
            (b"PK\x03\x04rest", Some(Kind::Zip)),
            (&office, Some(Kind::Workbook)),
            (&tar, Some(Kind::Tar)),
            (b"\xFD7zXZ\0\0", Some(Kind::Xz)),
            (b"ARROW1\0\0", Some(Kind::Arrow)),
            (b"\xFF\xFF\xFF\xFF\x10\x01\0\0", Some(Kind::Arrow)),
            (b"PAR1", Some(Kind::Parquet)),
            (b"\xFF\xFEa\0", Some(Kind::Utf16LittleEndian)),
            (&bare, Some(Kind::Utf16BigEndian)),
            (&safetensors, None),
            (b"\x80\x02}q\0", Some(Kind::Pickle)),
            (b"id,text\n1,<html>\n", None),
            (b"<p align>", None),
            ("금리,주가\n".as_bytes(), None),
            (b"", None),
        ] {
            assert_eq!(kind(head), found, "{head:?}");
        }
    }

    #[test]
    fn what_was_peeked_at_is_read_again() {
        let bytes = vec![b'a'; HEAD + 5];
        let (head, mut rest) = peek(&bytes[..]).expect("read");
        let mut all = Vec::new();
        rest.read_to_end(&mut all).expect("read");
        assert_eq!((head.len(), all), (HEAD, bytes));
    }
}
