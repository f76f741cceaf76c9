//! Scripts by name: what `--script` counts, and how it says so.

use unicode_script::{Script, UnicodeScript};

use super::CoverageError;
use korfinsts_base::text::nfc;

/// A script, or a language that is told by its letters, whose entries are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptQuery {
    /// Name in the output: `Thai`, `Vietnamese`, ...
    pub name: String,
    /// What is counted, in one sentence.
    pub definition: String,
    scripts: Vec<Script>,
    letters: Letters,
}

/// Which letters of the scripts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    All,
    /// Latin letters that Vietnamese writes and most other Latin orthographies do not.
    Vietnamese,
}

/// Languages that are asked for by name and have no Unicode script of their own.
const LANGUAGES: [(&str, &[Script], Letters, &str); 7] = [
    ("Korean", &[Script::Hangul], Letters::All, ""),
    ("Chinese", &[Script::Han], Letters::All, ""),
    (
        "Japanese",
        &[Script::Hiragana, Script::Katakana],
        Letters::All,
        " (kana only: Han characters are not told from Chinese ones)",
    ),
    (
        "Vietnamese",
        &[Script::Latin],
        Letters::Vietnamese,
        " that Vietnamese writes and most other orthographies do not: ă â đ ê ô ơ ư and the \
         letters with a hook above, a dot below or two marks; plain Latin letters are not told \
         from other languages'",
    ),
    (
        "Indonesian",
        &[Script::Latin],
        Letters::All,
        " (Indonesian is written in plain Latin letters: its entries cannot be told from those \
         of other languages by their letters)",
    ),
    (
        "Malay",
        &[Script::Latin],
        Letters::All,
        " (Malay is written in plain Latin letters: its entries cannot be told from those of \
         other languages by their letters)",
    ),
    ("Hindi", &[Script::Devanagari], Letters::All, ""),
];

impl ScriptQuery {
    /// Reads a name: of a Unicode script (`Thai`), its four-letter code (`Thai`, `Deva`), or of
    /// a language of a short list (`Vietnamese`, `Indonesian`); case does not matter.
    ///
    /// # Errors
    /// When no script and no listed language has this name.
    pub fn parse(name: &str) -> Result<Self, CoverageError> {
        let asked = name.trim();
        if let Some((name, scripts, letters, note)) = LANGUAGES
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(asked))
        {
            return Ok(Self::new(name, scripts, *letters, note));
        }
        let title = title_case(asked);
        let script = Script::from_full_name(&title)
            .or_else(|| Script::from_short_name(&title))
            .filter(|s| !matches!(s, Script::Common | Script::Inherited | Script::Unknown));
        match script {
            Some(script) => Ok(Self::new(script.full_name(), &[script], Letters::All, "")),
            None => Err(CoverageError::Usage {
                what: format!("no script is called `{name}`"),
                hint: Some(format!(
                    "name a Unicode script (`Thai`, `Devanagari`, `Khmer`), its four-letter code \
                     (`Khmr`), or one of {}",
                    LANGUAGES.map(|l| format!("`{}`", l.0)).join(", ")
                )),
            }),
        }
    }

    fn new(name: &str, scripts: &[Script], letters: Letters, note: &str) -> Self {
        let names: Vec<&str> = scripts.iter().map(|s| s.full_name()).collect();
        Self {
            name: name.replace('_', " "),
            definition: format!(
                "decoded entries with a letter of the Unicode script {}{note}",
                names.join(" or ").replace('_', " ")
            ),
            scripts: scripts.to_vec(),
            letters,
        }
    }

    /// Whether `c` is counted.
    #[must_use]
    pub fn contains(&self, c: char) -> bool {
        self.scripts.contains(&c.script()) && (self.letters == Letters::All || is_vietnamese(c))
    }

    /// Whether a text holds a letter that is counted. Marks are composed first, so that a letter
    /// with a combining mark is the letter it looks like.
    #[must_use]
    pub fn occurs_in(&self, text: &str) -> bool {
        match self.letters {
            Letters::All => text.chars().any(|c| self.contains(c)),
            Letters::Vietnamese => nfc(text).chars().any(|c| self.contains(c)),
        }
    }

    /// Whether a text has letters of these scripts and of no other.
    #[must_use]
    pub fn is_all_of(&self, text: &str) -> bool {
        let mut seen = false;
        for c in text.chars() {
            match c.script() {
                Script::Common | Script::Inherited => {}
                s if self.scripts.contains(&s) => seen = true,
                _ => return false,
            }
        }
        seen && (self.letters == Letters::All || self.occurs_in(text))
    }
}

/// Whether `c` is a Latin letter.
#[must_use]
pub fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || (!c.is_ascii() && c.script() == Script::Latin)
}

/// Whether `c` is a Han character.
#[must_use]
pub fn is_han(c: char) -> bool {
    !c.is_ascii() && c.script() == Script::Han
}

fn is_vietnamese(c: char) -> bool {
    matches!(
        c,
        '\u{1EA0}'
            ..='\u{1EF9}'
                | 'Ă'
                | 'ă'
                | 'Đ'
                | 'đ'
                | 'Ơ'
                | 'ơ'
                | 'Ư'
                | 'ư'
                | 'Â'
                | 'â'
                | 'Ê'
                | 'ê'
                | 'Ô'
                | 'ô'
    )
}

fn title_case(name: &str) -> String {
    let mut up = true;
    name.chars()
        .map(|c| {
            let c = if c == ' ' || c == '-' { '_' } else { c };
            let out = if up {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            up = c == '_';
            out
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_by_name_code_and_language() {
        for (asked, name, inside, outside) in [
            ("Thai", "Thai", "ธนาคาร", "bank"),
            ("thai", "Thai", "หุ้น", "금리"),
            ("deva", "Devanagari", "बैंक", "bank"),
            (
                "Vietnamese",
                "Vietnamese",
                "lãi suất ngân hàng",
                "interest rate",
            ),
            ("vietnamese", "Vietnamese", "cổ phiếu", "façade naïve"),
            ("Indonesian", "Indonesian", "saham", "หุ้น"),
            ("korean", "Korean", "금리", "rate"),
            ("Old Italic", "Old Italic", "\u{10300}", "a"),
        ] {
            let query = ScriptQuery::parse(asked).expect(asked);
            assert_eq!(query.name, name, "{asked}");
            assert!(query.occurs_in(inside), "{asked}: {inside}");
            assert!(!query.occurs_in(outside), "{asked}: {outside}");
            assert!(!query.definition.is_empty());
        }
        for wrong in ["", "Klingon", "Common", "inherited"] {
            let error = ScriptQuery::parse(wrong).expect_err(wrong);
            assert!(error.hint().expect("a hint").contains("Thai"));
        }
    }

    #[test]
    fn a_text_of_one_script_may_hold_digits_and_marks() {
        let thai = ScriptQuery::parse("Thai").expect("a script");
        for (text, all) in [("หุ้น 10", true), ("10", false), ("หุ้นX", false), ("", false)]
        {
            assert_eq!(thai.is_all_of(text), all, "{text}");
        }
        let vietnamese = ScriptQuery::parse("Vietnamese").expect("a language");
        assert!(vietnamese.occurs_in("a\u{302}\u{301}"), "combining marks");
    }
}
