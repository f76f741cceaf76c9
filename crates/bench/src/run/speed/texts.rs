//! The texts whose encoding is timed: of `korfin-shift`, which is in every build, by a fixed rule.

use std::collections::HashSet;

use serde::Deserialize;

use crate::suite::{BUILT_IN, built_in_text};
use korfinsts_base::fs;

/// Texts of each language and length that differ.
pub const COUNT: usize = 64;
/// Lengths by name, each with the sentences of a text: about 30, 140 and 430 tokens of XLM-R on average, in both languages.
pub const LENGTHS: [(&str, usize); 3] = [("short", 1), ("medium", 3), ("long", 8)];
/// Languages by code.
pub const LANGUAGES: [&str; 2] = ["ko", "en"];
/// The file of the suite that they are from.
const FILE: &str = "data/test.jsonl";

/// Texts of one language and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// Code of the language.
    pub language: &'static str,
    /// Name of the length.
    pub length: &'static str,
    /// The texts, [`COUNT`] of them.
    pub texts: Vec<String>,
    /// SHA-256 of the texts, each followed by a line feed.
    pub sha256: String,
}

/// A row of the suite, as far as it is read here.
#[derive(Deserialize)]
struct Row {
    sentence1: String,
    sentence2: String,
    language: String,
}

/// The texts of every language and length. Text `i` of `n` sentences is the `n` texts of the suite from index `i n`
/// on, joined by spaces; behind the last the first follows.
///
/// # Panics
/// Never: the suite is a part of every build.
#[must_use]
pub fn all() -> Vec<Texts> {
    let file = built_in_text(BUILT_IN, FILE).expect("in every build");
    let row = |line: &str| serde_json::from_str::<Row>(line).expect("checked by its hash");
    let rows: Vec<Row> = file.lines().map(row).collect();
    let mut all = Vec::new();
    for language in LANGUAGES {
        let mut seen = HashSet::new();
        let of = rows.iter().filter(|row| row.language == language);
        let sentences: Vec<&str> = of
            .flat_map(|row| [row.sentence1.as_str(), row.sentence2.as_str()])
            .filter(|sentence| seen.insert(*sentence))
            .collect();
        for (length, n) in LENGTHS {
            let text = |i: usize| {
                let parts = sentences
                    .iter()
                    .cycle()
                    .skip(i * n % sentences.len())
                    .take(n);
                parts.copied().collect::<Vec<_>>().join(" ")
            };
            let texts: Vec<String> = (0..COUNT).map(text).collect();
            let content: String = texts.iter().map(|text| format!("{text}\n")).collect();
            all.push(Texts {
                language,
                length,
                sha256: fs::sha256(content.as_bytes()),
                texts,
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates of two versions of this program are comparable only while these hold.
    #[test]
    fn the_texts_are_fixed() {
        let all = all();
        let hashes: Vec<&str> = all.iter().map(|t| &t.sha256[..8]).collect();
        assert_eq!(
            hashes,
            [
                "03fdd5fe", "4c96f79e", "23484607", "c2444f76", "8c0813ad", "a4fa159a"
            ]
        );
        for texts in &all {
            let distinct: HashSet<&String> = texts.texts.iter().collect();
            assert_eq!(distinct.len(), COUNT, "{} {}", texts.language, texts.length);
        }
    }
}
