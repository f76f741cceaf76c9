//! One text on its way from a corpus to a triplet.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// One passage of a corpus, as every step of this room sees it and as `passages.jsonl` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`document_id`] of the text: the same text has the same id in every corpus.
    pub id: String,
    /// The text as the corpus has it: NFC, markup taken out, no white space around it.
    pub text: String,
    /// ISO 639-3 code and script of the corpus (`kor-Hang`, `eng-Latn`).
    pub language: String,
    /// Kind of text, an id of the typology's sources (`news`, `report`, `disclosure`, `legal`).
    pub source: String,
    /// Id of the corpus it came from.
    pub corpus: String,
    /// SPDX expression or name of the licence its row stands under.
    pub licence: String,
    /// Where in the corpus: file name inside it and row number, from 1 (`data-0001.parquet:17`).
    pub origin: String,
}

/// The id of a text: the first 32 hexadecimal digits of blake3 over its NFC form as UTF-8.
#[must_use]
pub fn document_id(text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = [0_u8; 4];
    for character in text.nfc() {
        hasher.update(character.encode_utf8(&mut buffer).as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// The first 64 bits of a hash as a number: a draw that comes out alike wherever it is made.
#[must_use]
pub(super) fn draw(hash: &blake3::Hash) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decomposed_text_has_the_id_of_its_composed_form() {
        assert_eq!(
            document_id("영업이익"),
            document_id(&"영업이익".nfd().collect::<String>())
        );
        assert_ne!(document_id("영업이익"), document_id("영업손실"));
        assert_eq!(document_id("").len(), 32);
    }
}
