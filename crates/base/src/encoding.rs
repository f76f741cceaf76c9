//! Bytes of a text file as text, whatever it was saved in: UTF-8, UTF-16, or the Korean code page.

use encoding_rs::{EUC_KR, Encoding, UTF_16BE, UTF_16LE};

use crate::sniff::{self, Kind};

/// The text of bytes without its byte order mark, and the name of its encoding: UTF-8; UTF-16 where a mark
/// or zero bytes tell it; CP949 (which holds EUC-KR) where the bytes are valid there and look Korean.
///
/// `None` where they are none of these.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(String, &'static str)> {
    let of = |encoding: &'static Encoding, bytes| {
        let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Some(text.to_owned())
    };
    match sniff::kind(bytes) {
        Some(Kind::Utf16LittleEndian) => return Some((of(UTF_16LE, bytes)?, "UTF-16")),
        Some(Kind::Utf16BigEndian) => return Some((of(UTF_16BE, bytes)?, "UTF-16")),
        _ => {}
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        return Some((text.to_owned(), "UTF-8"));
    }
    let korean = looks_korean(bytes).then(|| of(EUC_KR, bytes)).flatten();
    korean.map(|text| (text, "CP949"))
}

/// Whether bytes above ASCII mostly pair up to Hangul syllables of EUC-KR (lead bytes B0 to C8).
#[must_use]
pub fn looks_korean(bytes: &[u8]) -> bool {
    let (mut pairs, mut others, mut i) = (0_usize, 0_usize, 0);
    let head = &bytes[..bytes.len().min(1 << 16)];
    while i < head.len() {
        let (byte, next) = (head[i], head.get(i + 1).copied().unwrap_or(0));
        if byte < 0x80 {
            i += 1;
        } else if matches!(byte, 0xB0..=0xC8) && next >= 0xA1 {
            pairs += 1;
            i += 2;
        } else {
            others += 1;
            i += if next >= 0x80 { 2 } else { 1 };
        }
    }
    pairs > others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_gives_the_same_text() {
        let text = "한국은행,똠방각하\n";
        let utf16 = |unit: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
            let units = mark.encode_utf16().chain("a,한국\n".encode_utf16());
            units.flat_map(unit).collect()
        };
        // `똠` is in CP949 and not in EUC-KR; bytes of Python's codec.
        let cp949 = b"\xc7\xd1\xb1\xb9\xc0\xba\xc7\xe0,\x8c\x63\xb9\xe6\xb0\xa2\xc7\xcf\n";
        for (bytes, expected, name) in [
            (text.as_bytes().to_vec(), text, "UTF-8"),
            (["\u{feff}", text].concat().into_bytes(), text, "UTF-8"),
            (cp949.to_vec(), text, "CP949"),
            (utf16(u16::to_le_bytes, "\u{feff}"), "a,한국\n", "UTF-16"),
            (utf16(u16::to_be_bytes, "\u{feff}"), "a,한국\n", "UTF-16"),
            (Vec::new(), "", "UTF-8"),
        ] {
            assert_eq!(decode(&bytes), Some((expected.to_owned(), name)));
        }
        // Latin 1, cut CP949, and bytes of nothing.
        for bytes in [&b"caf\xe9, cr\xe8me"[..], b"\xc7\xd1\xb1", b"\xff\x00\xfe"] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
    }
}
