//! Bytes become text: gzip is unpacked, and what is not UTF-8 is named rather than guessed at.

use std::fmt;

use crate::suite::error::{Place, Problem};
use korfinsts_base::budget;
use korfinsts_base::encoding::looks_korean;
use korfinsts_base::sniff::{self, Kind};

use super::Findings;

/// Most bytes of a file of a suite, unpacked: a suite is text for people to annotate.
const LONGEST: u64 = 128 << 20;
/// Most rows of a file of a suite.
pub(super) const MOST_ROWS: usize = 2_000_000;
/// Most fields or values of a file of a suite, rows together.
pub(super) const MOST_FIELDS: usize = 1 << 24;

/// What bytes that are not UTF-8 look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Two bytes per unit, least significant first.
    Utf16LittleEndian,
    /// Two bytes per unit, most significant first.
    Utf16BigEndian,
    /// The Korean code page of Windows, which holds EUC-KR.
    Cp949,
    /// Something else.
    Unknown,
}

impl Encoding {
    /// The name `iconv` knows it by.
    #[must_use]
    pub fn iconv_name(self) -> Option<&'static str> {
        match self {
            Self::Utf16LittleEndian => Some("UTF-16LE"),
            Self::Utf16BigEndian => Some("UTF-16BE"),
            Self::Cp949 => Some("CP949"),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf16LittleEndian => "UTF-16 (little endian)",
            Self::Utf16BigEndian => "UTF-16 (big endian)",
            Self::Cp949 => "CP949 (EUC-KR)",
            Self::Unknown => "another encoding, or binary data",
        })
    }
}

/// The bytes, unpacked where they are gzip, of up to [`LONGEST`] bytes.
pub(in crate::suite) fn unpack(bytes: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, String> {
    if bytes.starts_with(&[0x1F, 0x8B]) {
        let unpacked = flate2::read::MultiGzDecoder::new(bytes);
        return budget::read_to_end(unpacked, LONGEST)
            .map(Into::into)
            .map_err(|e| e.to_string());
    }
    if bytes.len() as u64 > LONGEST {
        return Err(budget::Over { most: LONGEST }.to_string());
    }
    Ok(bytes.into())
}

/// The text of a UTF-8 file without its byte order mark, which is reported.
pub(super) fn text<'a>(bytes: &'a [u8], findings: &mut Findings<'_>) -> Option<&'a str> {
    if let Some(encoding) = utf16(bytes) {
        findings.add(
            Place::Line(1),
            Problem::Encoding {
                offset: 0,
                byte: bytes[0],
                encoding,
            },
        );
        return None;
    }
    if bytes.iter().filter(|b| **b == b'\n').count() > MOST_FIELDS {
        let reason =
            format!("it has more than {MOST_FIELDS} lines, the most that is read of one file");
        let format = "suite";
        findings.add(Place::File, Problem::Format { format, reason });
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(match text.strip_prefix('\u{FEFF}') {
            Some(rest) => {
                findings.add(Place::Line(1), Problem::ByteOrderMark);
                rest
            }
            None => text,
        }),
        Err(e) => {
            let offset = e.valid_up_to();
            let line = bytes[..offset].iter().filter(|b| **b == b'\n').count() + 1;
            findings.add(
                Place::Line(line),
                Problem::Encoding {
                    offset,
                    byte: bytes[offset],
                    encoding: if looks_korean(&bytes[offset..]) {
                        Encoding::Cp949
                    } else {
                        Encoding::Unknown
                    },
                },
            );
            None
        }
    }
}

fn utf16(bytes: &[u8]) -> Option<Encoding> {
    match sniff::kind(bytes)? {
        Kind::Utf16LittleEndian => Some(Encoding::Utf16LittleEndian),
        Kind::Utf16BigEndian => Some(Encoding::Utf16BigEndian),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::Path;

    use super::*;

    fn found(bytes: &[u8]) -> (Option<String>, Vec<String>) {
        let mut list = Vec::new();
        let text = text(bytes, &mut Findings::new(Path::new("f"), &mut list)).map(str::to_owned);
        (text, list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn other_encodings_are_named_with_offset_and_line() {
        let utf16: Vec<u8> = "\u{FEFF}가나다"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let bare: Vec<u8> = "genre\tscore"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        // `한국은행` in CP949, after one line of ASCII.
        let cp949 = [
            b"a\n".as_slice(),
            &[0xC7, 0xD1, 0xB1, 0xB9, 0xC0, 0xBA, 0xC7, 0xE0],
        ]
        .concat();
        for (bytes, message) in [
            (
                utf16.as_slice(),
                "f:1: not UTF-8 at byte 0 (0xFF); the file looks like UTF-16 (little endian)",
            ),
            (
                &bare,
                "f:1: not UTF-8 at byte 0 (0x00); the file looks like UTF-16 (big endian)",
            ),
            (
                &cp949,
                "f:2: not UTF-8 at byte 2 (0xC7); the file looks like CP949 (EUC-KR)",
            ),
            (
                b"ab\xFFc",
                "f:1: not UTF-8 at byte 2 (0xFF); the file looks like another encoding, or binary data",
            ),
        ] {
            let (text, messages) = found(bytes);
            assert_eq!(text, None);
            assert_eq!(messages, [message]);
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_reported() {
        let (text, messages) = found("\u{FEFF}가".as_bytes());
        assert_eq!(text.as_deref(), Some("가"));
        assert_eq!(messages, ["f:1: the file starts with a byte order mark"]);
    }

    #[test]
    fn gzip_is_unpacked_and_a_cut_one_refused() {
        let mut packed = Vec::new();
        let mut encoder =
            flate2::read::GzEncoder::new("가나다".as_bytes(), flate2::Compression::fast());
        encoder.read_to_end(&mut packed).expect("it packs");
        assert_eq!(
            unpack(&packed).expect("it unpacks").as_ref(),
            "가나다".as_bytes()
        );
        assert!(unpack(&packed[..packed.len() - 9]).is_err());
        assert_eq!(unpack(b"plain").expect("it is left").as_ref(), b"plain");
    }
}
