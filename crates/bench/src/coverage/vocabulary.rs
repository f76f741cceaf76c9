//! The vocabulary side: what the entries are.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::script::{ScriptQuery, is_han, is_latin};
use super::subject::{EntryKind, Subject, VocabularyEntry, strip_marker};
use korfinsts_base::text::{is_hangul, is_hangul_syllable, is_jamo};

/// Number of precomposed Hangul syllables, U+AC00 to U+D7A3.
pub const HANGUL_SYLLABLES: usize = 11_172;

/// Counts of Hangul entries, of the stored tokens (`raw_`) and of the text they stand for
/// (`decoded_`). What each counts is said in [`super::definitions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct HangulCounts {
    /// Any Hangul code point in the stored token: the paper's Table 6.
    pub raw_any: usize,
    /// Any Hangul code point in the decoded text.
    pub decoded_any: usize,
    /// Only precomposed syllables, stored.
    pub raw_syllables_only: usize,
    /// Only precomposed syllables, decoded.
    pub decoded_syllables_only: usize,
    /// Exactly one syllable, stored.
    pub raw_single_syllable: usize,
    /// Exactly one syllable, decoded.
    pub decoded_single_syllable: usize,
    /// Two or more syllables, stored.
    pub raw_multi_syllable: usize,
    /// Two or more syllables, decoded.
    pub decoded_multi_syllable: usize,
    /// Only jamo, stored.
    pub raw_jamo_only: usize,
    /// Only jamo, decoded.
    pub decoded_jamo_only: usize,
    /// Hangul together with other characters, decoded.
    pub decoded_mixed: usize,
    /// Distinct precomposed syllables in decoded entries, of [`HANGUL_SYLLABLES`].
    pub distinct_syllables: usize,
}

/// Counts of one script that was asked for by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptCounts {
    /// What is counted.
    pub definition: String,
    /// Stored tokens with such a letter.
    pub raw_any: usize,
    /// Decoded entries with such a letter.
    pub decoded_any: usize,
    /// Decoded entries whose letters are all of this script.
    pub decoded_only: usize,
}

/// What the entries of one vocabulary are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VocabularyCounts {
    /// Number of entries, special tokens included.
    pub vocab_size: usize,
    /// Hangul entries.
    pub hangul: HangulCounts,
    /// Entries whose bytes alone are not valid UTF-8.
    pub partial_utf8: usize,
    /// Byte-fallback entries, `<0x00>` to `<0xFF>`.
    pub byte_fallback: usize,
    /// Decoded text entries with a Latin letter.
    pub latin: usize,
    /// Decoded text entries with a Han character.
    pub han: usize,
    /// Decoded text entries with an ASCII digit.
    pub digits: usize,
    /// Special tokens.
    pub special: usize,
    /// Reserved entries that no text gives.
    pub unused: usize,
    /// Scripts that were asked for, by name.
    pub scripts: BTreeMap<String, ScriptCounts>,
}

/// Counts the entries of a vocabulary.
#[must_use]
pub fn count(subject: &Subject, scripts: &[ScriptQuery]) -> VocabularyCounts {
    count_entries(subject.entries(), scripts)
}

fn count_entries(entries: &[VocabularyEntry], scripts: &[ScriptQuery]) -> VocabularyCounts {
    let mut counts = VocabularyCounts {
        vocab_size: entries.len(),
        hangul: HangulCounts::default(),
        partial_utf8: 0,
        byte_fallback: 0,
        latin: 0,
        han: 0,
        digits: 0,
        special: 0,
        unused: 0,
        scripts: scripts
            .iter()
            .map(|query| {
                let counts = ScriptCounts {
                    definition: query.definition.clone(),
                    raw_any: 0,
                    decoded_any: 0,
                    decoded_only: 0,
                };
                (query.name.clone(), counts)
            })
            .collect(),
    };
    let mut syllables = HashSet::new();
    for entry in entries {
        count_hangul(entry, &mut counts.hangul, &mut syllables);
        counts.partial_utf8 += usize::from(entry.text.is_none());
        match entry.kind {
            EntryKind::Special => counts.special += 1,
            EntryKind::Unused => counts.unused += 1,
            EntryKind::FallbackByte => counts.byte_fallback += 1,
            EntryKind::Text => {
                let text = entry.text.as_deref().unwrap_or_default();
                counts.latin += usize::from(text.chars().any(is_latin));
                counts.han += usize::from(text.chars().any(is_han));
                counts.digits += usize::from(text.chars().any(|c| c.is_ascii_digit()));
                for query in scripts {
                    let Some(found) = counts.scripts.get_mut(&query.name) else {
                        continue;
                    };
                    found.raw_any += usize::from(query.occurs_in(&entry.raw));
                    found.decoded_any += usize::from(query.occurs_in(text));
                    found.decoded_only += usize::from(query.is_all_of(strip_marker(text)));
                }
            }
        }
    }
    counts.hangul.distinct_syllables = syllables.len();
    counts
}

/// How a bare text is made of Hangul.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Make {
    NoHangul,
    Syllables(usize),
    Jamo,
    Mixed,
}

fn make(text: &str) -> Make {
    if !text.chars().any(is_hangul) {
        return Make::NoHangul;
    }
    let bare = strip_marker(text);
    if bare.chars().all(is_hangul_syllable) {
        Make::Syllables(bare.chars().count())
    } else if bare.chars().all(is_jamo) {
        Make::Jamo
    } else {
        Make::Mixed
    }
}

fn count_hangul(entry: &VocabularyEntry, counts: &mut HangulCounts, syllables: &mut HashSet<char>) {
    match make(&entry.raw) {
        Make::NoHangul => {}
        made => {
            counts.raw_any += 1;
            match made {
                Make::Syllables(n) => {
                    counts.raw_syllables_only += 1;
                    counts.raw_single_syllable += usize::from(n == 1);
                    counts.raw_multi_syllable += usize::from(n > 1);
                }
                Make::Jamo => counts.raw_jamo_only += 1,
                Make::Mixed | Make::NoHangul => {}
            }
        }
    }
    let Some(text) = &entry.text else {
        return;
    };
    match make(text) {
        Make::NoHangul => return,
        Make::Syllables(n) => {
            counts.decoded_syllables_only += 1;
            counts.decoded_single_syllable += usize::from(n == 1);
            counts.decoded_multi_syllable += usize::from(n > 1);
        }
        Make::Jamo => counts.decoded_jamo_only += 1,
        Make::Mixed => counts.decoded_mixed += 1,
    }
    counts.decoded_any += 1;
    syllables.extend(text.chars().filter(|c| is_hangul_syllable(*c)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(raw: &str, text: Option<&str>, kind: EntryKind) -> VocabularyEntry {
        VocabularyEntry {
            id: 0,
            raw: raw.into(),
            text: text.map(str::to_owned),
            kind,
        }
    }

    #[test]
    fn every_kind_of_entry_is_counted_once() {
        let text = |raw, text| entry(raw, Some(text), EntryKind::Text);
        let entries = [
            text("▁금리", "▁금리"),
            text("##금", "##금"),
            text("ê¸Ī", "금"),
            text("ㅋㅋ", "ㅋㅋ"),
            text("3월", "3월"),
            text("漢", "漢"),
            text("ธน", "ธน"),
            text("▁bank", "▁bank"),
            entry("ê¸", None, EntryKind::Text),
            entry("<0xEA>", None, EntryKind::FallbackByte),
            entry("<0x0A>", Some("\n"), EntryKind::FallbackByte),
            entry("[CLS]", Some("[CLS]"), EntryKind::Special),
            entry("[unused1]", Some("[unused1]"), EntryKind::Unused),
        ];
        let thai = ScriptQuery::parse("Thai").expect("a script");
        let counts = count_entries(&entries, &[thai]);
        assert_eq!(
            counts.hangul,
            HangulCounts {
                raw_any: 4,
                decoded_any: 5,
                raw_syllables_only: 2,
                decoded_syllables_only: 3,
                raw_single_syllable: 1,
                decoded_single_syllable: 2,
                raw_multi_syllable: 1,
                decoded_multi_syllable: 1,
                raw_jamo_only: 1,
                decoded_jamo_only: 1,
                decoded_mixed: 1,
                distinct_syllables: 3,
            }
        );
        assert_eq!(
            (counts.vocab_size, counts.partial_utf8, counts.byte_fallback),
            (13, 2, 2)
        );
        assert_eq!(
            (
                counts.latin,
                counts.han,
                counts.digits,
                counts.special,
                counts.unused
            ),
            (1, 1, 1, 1, 1)
        );
        let thai = &counts.scripts["Thai"];
        assert_eq!(
            (thai.raw_any, thai.decoded_any, thai.decoded_only),
            (1, 1, 1)
        );
    }
}
