//! One text on its way from a corpus to a triplet.

use std::io::{BufRead as _, BufReader};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::{MineError, Place, RunFolder};
use korfinsts_base::{fs, json};

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
    /// SPDX expression or name of the licence of its row.
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

/// Calls `visit` with the line number, from 1, of every passage of a run folder, and the passage, until it
/// returns `false`.
///
/// # Errors
/// When the file is missing or a line is no document, and what `visit` returns.
pub(super) fn passages(
    folder: &RunFolder,
    visit: &mut dyn FnMut(u64, Document) -> Result<bool, MineError>,
) -> Result<(), MineError> {
    let path = folder.passages();
    if !fs::exists(&path) {
        return Err(MineError::data(
            &path,
            Place::Whole,
            "there is no such file",
            Some("`korfinsts mine filter` writes it; or write one document per line yourself"),
        ));
    }
    let mut reader = BufReader::with_capacity(1 << 18, fs::open(&path)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader
            .read_until(b'\n', &mut line)
            .map_err(fs::at("read", &path))?
            == 0
        {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let document = json::parse_as(&line).map_err(|reason| {
            let hint = "was the file cut off? `korfinsts mine filter` writes it anew";
            MineError::data(&path, Place::Line(number), reason, Some(hint))
        })?;
        if !visit(number, document)? {
            break;
        }
    }
    Ok(())
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
