//! One row of `triplets.jsonl`.

use serde::{Deserialize, Serialize};

/// A triplet. `anchor`, `positive`, `negative`, `language` and `pattern` are what training reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triplet {
    /// First 32 hexadecimal digits of blake3 over the three texts.
    pub id: String,
    /// The source text.
    pub anchor: String,
    /// A text that means the same: a paraphrase or an exact translation.
    pub positive: String,
    /// A text that means something else.
    pub negative: String,
    /// Language of the anchor, `kor-Hang`.
    pub language: String,
    /// Language of positive and negative; differs from `language` where they are translations.
    pub other_language: String,
    /// Id of the typology's source.
    pub source: String,
    /// Id of the typology's pattern.
    pub pattern: String,
    /// Id of the typology's variant.
    pub variant: String,
    /// Where the positive came from: `document` (a paraphrase), `translation`, or `template`.
    pub origin: String,
    /// Id of the passage; of the rendered anchor for a template.
    pub document: String,
    /// Id of the corpus; `template` for a template.
    pub corpus: String,
    /// Licence of the row.
    pub licence: String,
    /// Rules that made the negative, where rules did.
    pub negative_rules: Vec<String>,
    /// Rules that made the positive, where rules did.
    pub positive_rules: Vec<String>,
    /// Wording of the negative: `close` or `loose`.
    pub negative_wording: String,
    /// Wording of the positive: `light` or `free`.
    pub positive_wording: String,
    /// Byte ranges of the anchor that the negative changed, `[start, end)`, in order. Empty where
    /// the negative is a translation. An edit past what a model reads leaves the two alike to it.
    pub edits: Vec<[usize; 2]>,
    /// Judge's total for the negative, 0 to 10.
    pub negative_score: u8,
    /// Judge's total for the positive, 0 to 10.
    pub positive_score: u8,
}

/// Id of a triplet of these texts.
#[must_use]
pub fn triplet_id(anchor: &str, positive: &str, negative: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in [anchor, positive, negative] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_text_ends_is_part_of_the_id() {
        assert_ne!(triplet_id("ab", "c", "d"), triplet_id("a", "bc", "d"));
        assert_eq!(triplet_id("a", "b", "c").len(), 32);
    }
}
