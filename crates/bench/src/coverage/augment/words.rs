//! The words of a corpus as a model sees them, counted.

use ahash::AHashMap;

use super::super::bytes::ByteAlphabet;
use super::super::subject::{Subject, strip_marker};
use super::super::{CoverageError, ScriptQuery};
use korfinsts_base::text::nfc;

/// Distinct words that are kept; then those seen once are forgotten.
const CAPACITY: usize = 1 << 21;
/// Longest word, in characters.
const LONGEST: usize = 64;

/// Words of one script with their counts: a run of its letters, in the form in which the model
/// sees it, with the word marker before it where it begins an eojeol.
#[derive(Debug)]
pub struct Words {
    counts: AHashMap<String, u64>,
    alphabet: Option<ByteAlphabet>,
    whole_only: bool,
    pruned: u64,
    texts: u64,
}

impl Words {
    /// No words yet.
    #[must_use]
    pub fn new(subject: &Subject) -> Self {
        Self {
            counts: AHashMap::new(),
            alphabet: subject.tokenizer().byte_level().then(ByteAlphabet::new),
            // A run within a word would need the prefix of inner pieces.
            whole_only: subject.tokenizer().model_kind() == "WordPiece",
            pruned: 0,
            texts: 0,
        }
    }

    /// Adds the words of a text.
    ///
    /// # Errors
    /// When the tokenizer fails on it.
    pub fn add(
        &mut self,
        subject: &Subject,
        script: &ScriptQuery,
        text: &str,
    ) -> Result<(), CoverageError> {
        self.texts += 1;
        for pre_token in subject.tokenizer().pre_tokens(text)? {
            let decoded = match &self.alphabet {
                Some(alphabet) => match alphabet.decode(&pre_token) {
                    Some(text) => text,
                    None => continue,
                },
                None => pre_token,
            };
            self.add_runs(script, &decoded);
        }
        if self.counts.len() > CAPACITY {
            let before = self.counts.len();
            self.counts.retain(|_, count| *count > 1);
            self.pruned += (before - self.counts.len()) as u64;
        }
        Ok(())
    }

    /// Maximal runs of letters of the script; a marker (`▁` or a space) stays with the run that
    /// it precedes.
    fn add_runs(&mut self, script: &ScriptQuery, word: &str) {
        let is_marker = |c: char| c == '▁' || c == ' ';
        let composed = nfc(word);
        let mut run = String::new();
        let mut letters = 0;
        let mut flush = |run: &mut String, letters: &mut usize| {
            if (1..=LONGEST).contains(letters) {
                let stored = match &self.alphabet {
                    Some(alphabet) => alphabet.encode(run),
                    None => std::mem::take(run),
                };
                *self.counts.entry(stored).or_default() += 1;
            }
            run.clear();
            *letters = 0;
        };
        if self.whole_only && !composed.chars().all(|c| script.contains(c)) {
            return;
        }
        for c in composed.chars() {
            if script.contains(c) {
                run.push(c);
                letters += 1;
            } else {
                flush(&mut run, &mut letters);
                if is_marker(c) {
                    run.push(c);
                }
            }
        }
        flush(&mut run, &mut letters);
    }

    /// Words and counts, the most frequent first, then by word.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&str, u64)> {
        let mut words: Vec<(&str, u64)> =
            self.counts.iter().map(|(w, n)| (w.as_str(), *n)).collect();
        words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        words
    }

    /// Texts seen.
    #[must_use]
    pub fn texts(&self) -> u64 {
        self.texts
    }

    /// Words seen once that were forgotten to bound memory.
    #[must_use]
    pub fn pruned(&self) -> u64 {
        self.pruned
    }
}

/// The text that a stored token stands for, marker stripped; `None` for a part of a character.
pub(super) fn text_of(subject: &Subject, token: &str) -> Option<String> {
    let decoded = if subject.tokenizer().byte_level() {
        ByteAlphabet::new().decode(token)?
    } else {
        token.to_owned()
    };
    Some(nfc(strip_marker(&decoded)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(whole_only: bool, texts: &[&str]) -> Vec<(String, u64)> {
        let mut words = Words {
            counts: AHashMap::new(),
            alphabet: None,
            whole_only,
            pruned: 0,
            texts: 0,
        };
        let hangul = ScriptQuery::parse("Hangul").expect("a script");
        for text in texts {
            words.add_runs(&hangul, text);
        }
        let sorted = words.sorted();
        sorted.into_iter().map(|(w, n)| (w.to_owned(), n)).collect()
    }

    #[test]
    fn runs_of_letters_keep_the_marker_before_them() {
        let found = words(false, &["▁금리는,", "▁3분기", "▁(주)", "▁금리는"]);
        let expected = [("▁금리는", 2), ("분기", 1), ("주", 1)];
        assert_eq!(found, expected.map(|(w, n)| (w.to_owned(), n)));
        let found = words(true, &["금리는", "3분기", "\u{1100}\u{1161}"]);
        assert_eq!(
            found,
            [("가", 1), ("금리는", 1)].map(|(w, n)| (w.to_owned(), n))
        );
    }
}
