//! Text helpers that several rooms share: normalisation and scripts.
//!
//! Ground floor: imports no room.

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

/// The eojeol of a text: the units between white space, which Korean inflects as wholes.
pub fn eojeol(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
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
    fn normal_forms_invert_each_other_on_syllables() {
        assert_eq!(nfd("각").chars().count(), 3);
        assert_eq!(nfc(&nfd("각각")), "각각");
    }
}
