//! Counts over the characters of a text, in one pass.

use unicode_script::{Script, UnicodeScript as _};

use super::repetition::{Grams, duplicate_lines};
use super::{encoding, html};
use korfinsts_base::text::{is_hangul_syllable, is_jamo};

/// What a text is made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measures {
    /// Characters that are no white space.
    pub visible: u32,
    /// Letters of any script.
    pub letters: u32,
    /// Visible characters of the language's scripts.
    pub of_script: u32,
    /// Single Hangul letters.
    pub jamo: u32,
    /// Digits of any script.
    pub digits: u32,
    /// Visible characters that are neither letters nor digits.
    pub symbols: u32,
    /// U+FFFD.
    pub replacement: u32,
    /// C1 controls.
    pub controls: u32,
    /// Characters that another encoding left.
    pub mojibake: u32,
    /// Pieces of markup.
    pub html: u32,
    /// Words that are Hangul syllables, marks around them aside.
    pub hangul_words: u32,
    /// Those of one syllable.
    pub single_syllables: u32,
    /// Words with Latin letters.
    pub latin_words: u32,
    /// Those with a digit between two small letters: recognition takes `l` for `1` and `o` for `0`.
    pub digit_words: u32,
    /// Share of lines that repeat an earlier one.
    pub duplicate_lines: f64,
    /// Share of characters in the most frequent run of 2, 3 and 4 words.
    pub top_grams: [f64; 3],
}

/// What was seen of the word at hand.
#[derive(Default)]
struct Word {
    syllables: u32,
    /// Other letters and digits.
    others: u32,
    latin: bool,
    run: Run,
}

/// How far a word has come towards a digit between two small letters.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Run {
    #[default]
    Nothing,
    Small,
    /// Digits behind a small letter.
    Digits,
    /// It has one.
    Inside,
}

impl Word {
    fn ascii(&mut self, c: char) {
        self.latin |= c.is_ascii_alphabetic();
        self.others += u32::from(c.is_ascii_alphanumeric());
        self.run = match self.run {
            Run::Inside => Run::Inside,
            Run::Digits if c.is_ascii_lowercase() => Run::Inside,
            _ if c.is_ascii_lowercase() => Run::Small,
            Run::Small | Run::Digits if c.is_ascii_digit() => Run::Digits,
            _ => Run::Nothing,
        };
    }

    fn other(&mut self) {
        if self.run != Run::Inside {
            self.run = Run::Nothing;
        }
    }
}

/// Working space that is used again.
#[derive(Debug, Default)]
pub struct Scratch {
    grams: Grams,
}

fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 {
        0.0
    } else {
        f64::from(part) / f64::from(whole)
    }
}

impl Measures {
    /// Measures a text.
    #[must_use]
    pub fn of(text: &str, scripts: &[Script], scratch: &mut Scratch) -> Self {
        let hangul = scripts.contains(&Script::Hangul);
        let latin = scripts.contains(&Script::Latin);
        let mut found = Self::default();
        let mut high = false;
        let mut word = Word::default();
        for c in text.chars() {
            if c.is_ascii() {
                if c.is_ascii_whitespace() {
                    found.end(&mut word);
                    continue;
                }
                found.visible += 1;
                word.ascii(c);
                if c.is_ascii_alphabetic() {
                    found.letters += 1;
                    found.of_script += u32::from(latin);
                } else if c.is_ascii_digit() {
                    found.digits += 1;
                } else {
                    found.symbols += 1;
                }
                continue;
            }
            word.other();
            if is_hangul_syllable(c) {
                found.visible += 1;
                found.letters += 1;
                found.of_script += u32::from(hangul);
                word.syllables += 1;
                continue;
            }
            if c.is_whitespace() && c != '\u{85}' {
                found.end(&mut word);
                continue;
            }
            high |= matches!(c, '\u{80}'..='\u{FF}');
            found.visible += 1;
            // Korean law writes its middle dot with the letter araea.
            if c == '\u{318D}' {
                found.symbols += 1;
            } else if is_jamo(c) {
                found.jamo += 1;
                found.letters += 1;
                found.of_script += u32::from(hangul);
                word.others += 1;
            } else if c.is_numeric() {
                found.digits += 1;
                word.others += 1;
            } else if c.is_alphabetic() {
                found.letters += 1;
                found.of_script += u32::from(scripts.contains(&c.script()));
                word.others += 1;
            } else {
                // Vowel signs of other scripts are marks, and belong to their letters.
                let own = scripts.contains(&c.script());
                found.of_script += u32::from(own);
                found.symbols += u32::from(!own);
                found.replacement += u32::from(c == '\u{FFFD}');
                found.controls += u32::from(matches!(c, '\u{80}'..='\u{9F}'));
            }
        }
        found.end(&mut word);
        if high {
            found.mojibake = encoding::mojibake(text);
        }
        found.html = html::left(text);
        found.duplicate_lines = duplicate_lines(text);
        found.top_grams = scratch.grams.top(text);
        found
    }

    fn end(&mut self, word: &mut Word) {
        let word = std::mem::take(word);
        if word.syllables > 0 && word.others == 0 {
            self.hangul_words += 1;
            self.single_syllables += u32::from(word.syllables == 1);
        }
        self.latin_words += u32::from(word.latin);
        self.digit_words += u32::from(word.run == Run::Inside);
    }

    /// Jamo among letters.
    #[must_use]
    pub fn jamo_share(&self) -> f64 {
        share(self.jamo, self.letters)
    }

    /// Characters of the language's scripts among visible ones.
    #[must_use]
    pub fn script_share(&self) -> f64 {
        share(self.of_script, self.visible)
    }

    /// Digits among visible characters.
    #[must_use]
    pub fn digit_share(&self) -> f64 {
        share(self.digits, self.visible)
    }

    /// Symbols among visible characters.
    #[must_use]
    pub fn symbol_share(&self) -> f64 {
        share(self.symbols, self.visible)
    }

    /// Words of one syllable among Hangul words.
    #[must_use]
    pub fn single_syllable_share(&self) -> f64 {
        share(self.single_syllables, self.hangul_words)
    }

    /// Words with a digit between two small letters among words with Latin letters.
    #[must_use]
    pub fn digit_word_share(&self) -> f64 {
        share(self.digit_words, self.latin_words)
    }
}
