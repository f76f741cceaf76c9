//! Text helpers that several rooms share: normalisation and scripts.
//!
//! Ground floor: imports no room.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// The text in Unicode normalisation form C.
#[must_use]
pub fn nfc(text: &str) -> String {
    text.nfc().collect()
}

/// The text in Unicode normalisation form D (Hangul syllables become conjoining jamo).
#[must_use]
pub fn nfd(text: &str) -> String {
    text.nfd().collect()
}

/// What to do about a file that is not UTF-8.
pub const CONVERT: &str = "convert the file first, for instance `iconv -f cp949 -t utf-8`";

/// Bytes as text.
///
/// # Errors
/// The line, from 1, of the first byte that is not UTF-8.
pub fn utf8(bytes: &[u8]) -> Result<&str, u64> {
    std::str::from_utf8(bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        1 + before.iter().filter(|b| **b == b'\n').count() as u64
    })
}

/// Lines of a part of a file that begins with line `first`, with their numbers; blank ones are left
/// out. A byte order mark before line 1 and a `\r` at the end of a line are not part of it.
///
/// # Errors
/// As [`utf8`], counted from `first`.
pub fn numbered_lines(bytes: &[u8], first: u64) -> Result<impl Iterator<Item = (u64, &str)>, u64> {
    let text = utf8(bytes).map_err(|line| first - 1 + line)?;
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) if first == 1 => rest,
        _ => text,
    };
    let lines = text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l));
    Ok((first..).zip(lines).filter(|(_, l)| !l.trim().is_empty()))
}

/// Whether `c` is a precomposed Hangul syllable (U+AC00 to U+D7A3).
#[must_use]
pub fn is_hangul_syllable(c: char) -> bool {
    matches!(c, '\u{AC00}'..='\u{D7A3}')
}

/// Whether `c` is any Hangul code point: syllables, conjoining jamo, compatibility jamo and the
/// two extended jamo blocks, as the paper's Table 6 counts them.
#[must_use]
pub fn is_hangul(c: char) -> bool {
    is_hangul_syllable(c) || is_jamo(c)
}

/// Whether `c` is a jamo: a single Hangul letter, conjoining or compatibility.
#[must_use]
pub fn is_jamo(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{11FF}'
        | '\u{3130}'..='\u{318F}'
        | '\u{A960}'..='\u{A97F}'
        | '\u{D7B0}'..='\u{D7FF}')
}

/// Whether `c` is a character that readers do not see and that changes what they see: controls but
/// tab and line ends, and characters that change the order of text or have no width.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{7F}'..='\u{9F}'
        | '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206F}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

/// Why a file that others read may not hold a text: the first character that is not allowed,
/// or that the text is not in normalisation form C. `None` for a clean text.
#[must_use]
pub fn flaw(text: &str) -> Option<String> {
    if let Some(c) = text.chars().find(|c| is_invisible(*c) || *c == '\r') {
        return Some(format!(
            "the character U+{:04X} ({})",
            u32::from(c),
            match c {
                '\r' => "carriage return",
                '\u{FEFF}' => "byte order mark",
                '\u{202A}'..='\u{202E}'
                | '\u{2066}'..='\u{2069}'
                | '\u{200E}'
                | '\u{200F}'
                | '\u{61C}' => "changes the direction of text",
                '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' => "control",
                _ => "has no width",
            }
        ));
    }
    if unicode_normalization::is_nfc(text) {
        None
    } else {
        Some("text that is not in normalisation form C".to_owned())
    }
}

/// The text on one line with nothing in it that changes how the text around it is read or
/// shown: white space becomes a space; control characters, marks of writing direction and
/// characters without width become U+FFFD; beyond `most` characters it ends with `…`.
///
/// For names and texts that others wrote.
#[must_use]
pub fn visible(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(4 * most));
    for (at, c) in text.chars().enumerate() {
        if at == most {
            out.push('…');
            break;
        }
        out.push(match c {
            c if c.is_whitespace() => ' ',
            c if c.is_control() => '\u{FFFD}',
            '\u{AD}'
            | '\u{61C}'
            | '\u{115F}'..='\u{1160}'
            | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{3164}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFB}'
            | '\u{FDD0}'..='\u{FDEF}'
            | '\u{E0000}'..='\u{E0FFF}' => '\u{FFFD}',
            c if u32::from(c) & 0xFFFE == 0xFFFE => '\u{FFFD}',
            c => c,
        });
    }
    out
}

/// The text as a terminal may get it: line ends and tabs as they are, every other control character and
/// what is not seen written out, as `\u{1b}`. For every line that may hold what others wrote.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| is_invisible(c) || c == '\r';
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// The eojeol of a text: the units between white space, which Korean inflects as wholes.
pub fn eojeol(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// Whether a name is like a pattern, in which `*` matches any run of characters.
#[must_use]
pub fn is_like(name: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = None;
    for piece in pieces {
        if let Some(previous) = last.replace(piece) {
            match rest.find(previous) {
                Some(at) => rest = &rest[at + previous.len()..],
                None => return false,
            }
        }
    }
    match last {
        Some(end) => rest.ends_with(end),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hangul_is_told_from_other_scripts() {
        for (c, syllable, jamo) in [
            ('금', true, false),
            ('ㅋ', false, true),
            ('\u{1112}', false, true),
            ('漢', false, false),
        ] {
            assert_eq!(is_hangul_syllable(c), syllable, "{c}");
            assert_eq!(is_jamo(c), jamo, "{c}");
            assert_eq!(is_hangul(c), syllable || jamo, "{c}");
        }
    }

    #[test]
    fn nothing_invisible_is_left_in_a_visible_text() {
        for (text, shown) in [
            ("bge-m3", "bge-m3"),
            ("금융 ρ é 👩", "금융 ρ é 👩"),
            ("a\u{202E}b\u{200B}c\u{0}d", "a\u{FFFD}b\u{FFFD}c\u{FFFD}d"),
            ("a\nb\tc\u{2028}d", "a b c d"),
            ("\u{FFFE}\u{E0041}\u{10FFFF}", "\u{FFFD}\u{FFFD}\u{FFFD}"),
            ("12345678901", "1234567890…"),
            ("1234567890", "1234567890"),
        ] {
            assert_eq!(visible(text, 10), shown);
        }
    }

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        for (text, shown) in [
            ("금융\tρ\né 👩\u{fe0f}", "금융\tρ\né 👩\u{fe0f}"),
            (
                "a\u{1b}[31mred\u{1b}]0;t\u{7}",
                "a\\u{1b}[31mred\\u{1b}]0;t\\u{7}",
            ),
            (
                "a\r\u{202e}b\u{9b}1m\u{7f}",
                "a\\u{d}\\u{202e}b\\u{9b}1m\\u{7f}",
            ),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn normal_forms_invert_each_other_on_syllables() {
        assert_eq!(nfd("각").chars().count(), 3);
        assert_eq!(nfc(&nfd("각각")), "각각");
    }
}
