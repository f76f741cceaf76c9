//! What people read, in their language: the file `templates/leaderboard/texts.toml`, a table per
//! language, every table with every key.
//!
//! To add a text: a line in each table. Keys that begin with `said_` are whole sentences that other
//! rooms write in English; [`Texts::said`] finds them by their English form.

use std::collections::BTreeMap;

use crate::embedded::Folder;
use crate::strict_toml;

/// The folder that holds the file.
const SHIPPED: Folder = Folder::new::<korfinsts_templates::Templates>("leaderboard/");
/// Keys of sentences that are known by their English form.
const SENTENCE: &str = "said_";
/// Placeholders whose values are themselves sentences.
const NESTED: [&str; 3] = ["reason", "on_finance", "on_general"];

/// Texts of one language.
#[derive(Debug, Clone)]
pub struct Texts {
    english: BTreeMap<String, String>,
    own: BTreeMap<String, String>,
}

impl Texts {
    /// The texts of a language by its code; those of English where the file has none.
    ///
    /// # Panics
    /// Never: the file ships in the binary, and tests read it.
    #[must_use]
    pub fn of(language: &str) -> Self {
        let file = SHIPPED.text("texts.toml").expect("the file ships");
        let mut all: BTreeMap<String, BTreeMap<String, String>> =
            strict_toml::parse(file).expect("the file is well formed");
        let english = all.get("en").cloned().unwrap_or_default();
        let own = all.remove(language).unwrap_or_else(|| english.clone());
        Self { english, own }
    }

    /// Whether these are texts of that language, and not of English in its place.
    #[must_use]
    pub fn is(&self, language: &str) -> bool {
        self.own.get("code").is_some_and(|code| code == language)
    }

    /// A text; its key where there is none, which tests rule out.
    #[must_use]
    pub fn get<'a>(&'a self, key: &'a str) -> &'a str {
        let text = self.own.get(key).or_else(|| self.english.get(key));
        text.map_or(key, String::as_str)
    }

    /// Every text whose key starts so, by its key: what a page with a language of its own shows.
    #[must_use]
    pub fn starting_with(&self, prefix: &str) -> BTreeMap<String, String> {
        let keys = self.english.keys().filter(|key| key.starts_with(prefix));
        keys.map(|key| (key.clone(), self.get(key).to_owned()))
            .collect()
    }

    /// A text with its placeholders filled in.
    #[must_use]
    pub fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        fill(self.get(key), values)
    }

    /// An English sentence in this language. Of one that the file does not have, the parts between colons:
    /// a place and a reason, an error and its cause. The sentence itself where it has none of them.
    #[must_use]
    pub fn said(&self, sentence: &str) -> String {
        if self.is("en") {
            return sentence.to_owned();
        }
        self.found(sentence).unwrap_or_else(|| {
            let (first, rest) = sentence.split_once(": ").unwrap_or((sentence, ""));
            if rest.is_empty() {
                return sentence.to_owned();
            }
            let first = self.found(first).unwrap_or_else(|| first.to_owned());
            format!("{first}: {}", self.said(rest))
        })
    }

    /// The English sentences whose keys begin with this.
    pub fn sentences(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let keys = self.english.iter();
        keys.filter(move |(key, _)| key.starts_with(prefix))
            .map(|(_, text)| text.as_str())
    }

    /// A sentence of the file.
    fn found(&self, sentence: &str) -> Option<String> {
        let sentences = self
            .english
            .iter()
            .filter(|(key, _)| key.starts_with(SENTENCE));
        for (key, pattern) in sentences {
            let Some(found) = taken(pattern, sentence) else {
                continue;
            };
            let values: Vec<(&str, String)> = found
                .into_iter()
                .map(|(name, value)| match name {
                    name if NESTED.contains(&name) => (name, self.said(value)),
                    _ => (name, value.to_owned()),
                })
                .collect();
            let values: Vec<(&str, &str)> = values.iter().map(|(n, v)| (*n, v.as_str())).collect();
            return Some(self.fill(key, &values));
        }
        None
    }
}

/// `{name}` replaced by its value, once: what a value holds is text. A placeholder without a value
/// stays.
#[must_use]
pub fn fill(pattern: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (literal, name) in pieces(pattern) {
        out.push_str(literal);
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => out.push_str(value),
            None if name.is_empty() => {}
            None => out.extend(["{", name, "}"]),
        }
    }
    out
}

/// A pattern cut into what is before each placeholder and its name; the last name is empty.
fn pieces(pattern: &str) -> Vec<(&str, &str)> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some((literal, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        pieces.push((literal, name));
        rest = after;
    }
    pieces.push((rest, ""));
    pieces
}

/// What a sentence has in place of each placeholder of a pattern, with its name; `None` where it does
/// not fit. No value is empty.
#[must_use]
pub fn taken<'a>(pattern: &'a str, sentence: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let pieces = pieces(pattern);
    let (&(first, _), &(last, _)) = (pieces.first()?, pieces.last()?);
    if pieces.len() == 1 {
        return (sentence == first).then(Vec::new);
    }
    let mut rest = sentence.strip_prefix(first)?.strip_suffix(last)?;
    let mut values = Vec::new();
    for (at, &(_, name)) in pieces[..pieces.len() - 1].iter().enumerate() {
        let next = pieces[at + 1].0;
        let (value, after) = if at + 2 == pieces.len() {
            (rest, "")
        } else {
            rest.split_once(next)?
        };
        if value.is_empty() {
            return None;
        }
        values.push((name, value));
        rest = after;
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_every_language_with_the_same_placeholders() {
        let file = SHIPPED.text("texts.toml").expect("the file ships");
        let all: BTreeMap<String, BTreeMap<String, String>> =
            strict_toml::parse(file).expect("well formed");
        assert!(all.len() >= 2);
        let names = |text: &str| {
            let mut names: Vec<String> = pieces(text).iter().map(|p| p.1.to_owned()).collect();
            names.sort();
            names
        };
        for (language, texts) in &all {
            assert!(texts.keys().eq(all["en"].keys()), "{language}");
            for (key, text) in texts {
                // A sentence may leave out a detail; a text of our own may not.
                let (own, known) = (names(text), names(&all["en"][key]));
                assert!(
                    own == known
                        || key.starts_with(SENTENCE) && own.iter().all(|n| known.contains(n)),
                    "{language}: {key}"
                );
                assert!(!text.trim().is_empty(), "{language}: {key}");
            }
        }
        assert!(Texts::of("ko").is("ko") && !Texts::of("fr").is("fr"));
    }

    #[test]
    fn a_pattern_takes_what_stands_in_its_places() {
        for (pattern, sentence, expected) in [
            ("a {x} b {y}", "a 1 b 2 b 3", Some(vec!["1", "2 b 3"])),
            ("{x} of {y} pairs", "3 of 9 pairs", Some(vec!["3", "9"])),
            ("{x} of {y} pairs", " of 9 pairs", None),
            ("whole", "whole", Some(vec![])),
            ("whole", "whole and more", None),
            ("ab{x}ba", "aba", None),
        ] {
            let found = taken(pattern, sentence);
            let values = found.map(|f| f.into_iter().map(|(_, v)| v).collect::<Vec<_>>());
            assert_eq!(values, expected, "{pattern} {sentence}");
        }
        assert_eq!(fill("{a}{b}", &[("a", "{b}"), ("b", "2")]), "{b}2");
    }

    #[test]
    fn sentences_of_other_rooms_are_said_in_korean() {
        let korean = Texts::of("ko");
        for (english, part) in [
            (
                "gold is binary (0 or 1); rank correlation has a ceiling of 0.860",
                "0.860",
            ),
            (
                "cannot read `a.onnx`: No such file or directory (os error 2)",
                "a.onnx",
            ),
            (
                "cannot evaluate on `korsts`: a/test.tsv:990: expected 7 fields, found 3",
                "a/test.tsv:990: 필드가 7개",
            ),
            ("a.csv:3: `x` is empty", "a.csv:3: `x`이(가)"),
        ] {
            let said = korean.said(english);
            assert!(said != english && said.contains(part), "{said}");
            assert!(said.chars().any(|c| ('가'..='힣').contains(&c)), "{said}");
            assert!(!said.contains("No such"), "{said}");
            assert_eq!(Texts::of("en").said(english), english);
        }
        assert_eq!(korean.said("nothing of the kind"), "nothing of the kind");
    }
}
