//! A corpus with flaws planted in it, each row labelled: what a filter should find, and what it
//! should leave alone.
//!
//! The standard library alone, so that `rustc -O` builds it, and the tests include it as a module.
//! The same seed gives the same bytes.

#![allow(dead_code, reason = "the tests and the program each use their part")]

use std::io::{self, Write};

/// What is done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Clean,
    /// Cut to a few words.
    Short,
    /// Far too long.
    Long,
    /// Markup that one clean pass takes out.
    Markup,
    /// An earlier row again.
    ExactDuplicate,
    /// An earlier row with one word in thirty changed and a sentence added.
    NearDuplicate,
    /// Holds a sentence of a suite.
    Contaminated,
    /// A character replaced by U+FFFD.
    Replacement,
    /// A sentence of UTF-8 read as Windows-1252.
    Mojibake,
    /// A sentence of a Korean code page read as Latin-1.
    CodePage,
    /// C1 controls.
    Control,
    /// Markup that was escaped twice.
    EscapedMarkup,
    /// Syllables (or letters) set apart, as by optical recognition.
    SpacedOut,
    /// Syllables broken to letters, as by optical recognition (English: letters to digits).
    BrokenLetters,
    /// One letter in twelve replaced at random.
    Typos,
    /// One line many times.
    RepeatedLines,
    /// One phrase many times.
    RepeatedPhrase,
}

/// Every kind with its name in labels and its share in thousandths; what is left is clean.
pub const KINDS: [(Kind, &str, u64); 16] = [
    (Kind::Short, "short", 150),
    (Kind::Long, "long", 4),
    (Kind::Markup, "markup", 20),
    (Kind::ExactDuplicate, "exact-duplicate", 30),
    (Kind::NearDuplicate, "near-duplicate", 30),
    (Kind::Contaminated, "contaminated", 8),
    (Kind::Replacement, "replacement", 8),
    (Kind::Mojibake, "mojibake", 8),
    (Kind::CodePage, "code-page", 8),
    (Kind::Control, "control", 8),
    (Kind::EscapedMarkup, "escaped-markup", 8),
    (Kind::SpacedOut, "spaced-out", 8),
    (Kind::BrokenLetters, "broken-letters", 8),
    (Kind::Typos, "typos", 8),
    (Kind::RepeatedLines, "repeated-lines", 8),
    (Kind::RepeatedPhrase, "repeated-phrase", 8),
];

/// What a corpus is made of.
pub struct Options<'a> {
    /// Rows.
    pub rows: u64,
    /// Seed.
    pub seed: u64,
    /// Texts whose runs of words are put together anew.
    pub seeds: &'a [String],
    /// Sentences of suites; no row is contaminated where there are none.
    pub suite: &'a [String],
    /// Whether the texts are Korean.
    pub korean: bool,
}

/// The generator `SplitMix64`.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

struct Maker<'a> {
    words: Vec<Vec<&'a str>>,
    random: Random,
    options: &'a Options<'a>,
    /// Rows that may come again.
    earlier: Vec<String>,
}

/// Writes a corpus as JSONL: `text`, and `planted`, which a filter does not look at.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(options: &Options<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut maker = Maker {
        words: options
            .seeds
            .iter()
            .map(|t| t.split_whitespace().collect::<Vec<_>>())
            .filter(|w| w.len() >= 12)
            .collect(),
        random: Random(options.seed),
        options,
        earlier: Vec::new(),
    };
    let mut line = String::new();
    for _ in 0..options.rows {
        let (kind, name) = maker.kind();
        let text = maker.row(kind);
        line.clear();
        line.push_str("{\"text\":\"");
        escape(&text, &mut line);
        line.push_str("\",\"planted\":\"");
        line.push_str(name);
        line.push_str("\"}\n");
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if (c as u32) < 0x20 => out.push(' '),
            c => out.push(c),
        }
    }
}

impl Maker<'_> {
    fn kind(&mut self) -> (Kind, &'static str) {
        let mut at = self.random.next() % 1000;
        for (kind, name, share) in KINDS {
            if at < share {
                let possible = match kind {
                    Kind::Contaminated => !self.options.suite.is_empty(),
                    Kind::ExactDuplicate | Kind::NearDuplicate => !self.earlier.is_empty(),
                    _ => true,
                };
                return if possible {
                    (kind, name)
                } else {
                    (Kind::Clean, "clean")
                };
            }
            at -= share;
        }
        (Kind::Clean, "clean")
    }

    /// Runs of four to nine words out of the seeds, put together; a full stop now and then.
    fn passage(&mut self, words: usize) -> String {
        let mut out = String::new();
        let (mut count, mut since) = (0, 0);
        while count < words {
            let at = self.random.below(self.words.len());
            let text = &self.words[at];
            let length = 4 + self.random.below(6).min(text.len() - 5);
            let from = self.random.below(text.len() - length);
            for word in &text[from..from + length] {
                if !out.is_empty() && !out.ends_with('\n') {
                    out.push(' ');
                }
                out.push_str(word);
            }
            count += length;
            since += length;
            if since > 40 && self.random.one_in(4) {
                out.push_str(if out.ends_with('.') { "\n" } else { ".\n" });
                since = 0;
            }
        }
        out.trim_end().to_owned()
    }

    fn usual(&mut self) -> String {
        let (least, spread) = if self.options.korean {
            (70, 110)
        } else {
            (150, 140)
        };
        let words = least + self.random.below(spread);
        self.passage(words)
    }

    // Longer than 100 lines: one arm for each kind of row.
    fn row(&mut self, kind: Kind) -> String {
        let text = match kind {
            Kind::ExactDuplicate | Kind::NearDuplicate => {
                let at = self.random.below(self.earlier.len());
                let text = self.earlier[at].clone();
                if kind == Kind::ExactDuplicate {
                    return text;
                }
                let added = self.passage(5);
                let changed = self.words_of(&text, 30, |own, _| own.passage(1));
                return format!("{changed} {added}");
            }
            Kind::Short => {
                let words = 4 + self.random.below(14);
                return self.passage(words);
            }
            Kind::Long => return self.passage(6000),
            _ => self.usual(),
        };
        match kind {
            Kind::Markup => {
                let body = text.replace('\n', "</p><p class=\"b\">");
                format!("<div><p>{body}&nbsp;</p><br/></div>")
            }
            Kind::EscapedMarkup => {
                let body = text.replace(". ", ".&lt;br&gt;");
                format!("&lt;p&gt;{body}&lt;/p&gt;")
            }
            Kind::Contaminated => {
                let at = self.random.below(self.options.suite.len());
                self.inside(&text, &self.options.suite[at].clone())
            }
            Kind::Replacement => {
                let n = 1 + self.random.below(3);
                (0..n).fold(text, |text, _| self.inside(&text, "\u{fffd}"))
            }
            Kind::Control => {
                let c = char::from_u32(0x80 + self.random.below(32) as u32).unwrap_or('\u{81}');
                self.inside(&text, &c.to_string())
            }
            Kind::Mojibake => {
                let wrong: String = self
                    .korean(6)
                    .bytes()
                    .map(|b| {
                        CP1252
                            .get(usize::from(b).wrapping_sub(0x80))
                            .copied()
                            .unwrap_or(b as char)
                    })
                    .collect();
                self.inside(&text, &wrong)
            }
            Kind::CodePage => {
                // Syllables of KS X 1001 are bytes B0–C8 then A1–FE.
                let mut wrong = String::new();
                for i in 0..12 {
                    if i % 4 == 3 {
                        wrong.push(' ');
                    }
                    wrong.push((0xB0 + self.random.below(25) as u8) as char);
                    wrong.push((0xA1 + self.random.below(94) as u8) as char);
                }
                self.inside(&text, &wrong)
            }
            Kind::SpacedOut => {
                let mut out = String::new();
                for c in text.chars() {
                    out.push(c);
                    if c.is_alphabetic() && self.random.below(10) < 7 {
                        out.push(' ');
                    }
                }
                out
            }
            Kind::BrokenLetters => self.letters(&text, 16, |own, c| {
                let code = c as u32;
                if (0xAC00..=0xD7A3).contains(&code) {
                    let at = code - 0xAC00;
                    let lead = ['ㄱ', 'ㄴ', 'ㄷ', 'ㄹ', 'ㅁ', 'ㅂ', 'ㅅ', 'ㅇ', 'ㅈ', 'ㅊ'];
                    let vowel = char::from_u32(0x314F + at / 28 % 21).unwrap_or('ㅏ');
                    format!("{}{vowel}", lead[own.random.below(lead.len())])
                } else {
                    "0158"
                        .chars()
                        .nth(own.random.below(4))
                        .unwrap_or('0')
                        .to_string()
                }
            }),
            Kind::Typos => self.letters(&text, 12, |own, c| {
                let code = c as u32;
                let wrong = if (0xAC00..=0xD7A3).contains(&code) {
                    0xAC00 + own.random.below(11172) as u32
                } else {
                    u32::from(b'a') + own.random.below(26) as u32
                };
                char::from_u32(wrong).unwrap_or(c).to_string()
            }),
            Kind::RepeatedLines => {
                let line = self.passage(8);
                let lines: Vec<&str> = std::iter::repeat_n(line.as_str(), 12).collect();
                format!("{}\n{text}", lines.join("\n"))
            }
            Kind::RepeatedPhrase => {
                let phrase = self.passage(4);
                let times = 2 * text.chars().count() / phrase.chars().count().max(1);
                let phrases: Vec<&str> = std::iter::repeat_n(phrase.as_str(), times).collect();
                format!("{text} {}", phrases.join(" "))
            }
            _ => {
                if self.earlier.len() < 2048 {
                    self.earlier.push(text.clone());
                } else if self.random.one_in(8) {
                    let at = self.random.below(self.earlier.len());
                    self.earlier[at].clone_from(&text);
                }
                text
            }
        }
    }

    /// A sentence of Hangul whatever the language of the corpus.
    fn korean(&mut self, words: usize) -> String {
        let mut out = String::new();
        for _ in 0..words {
            for _ in 0..3 {
                let c = 0xAC00 + self.random.below(11172) as u32;
                out.push(char::from_u32(c).unwrap_or('가'));
            }
            out.push(' ');
        }
        out
    }

    fn inside(&mut self, text: &str, what: &str) -> String {
        let words: Vec<&str> = text.split(' ').collect();
        let at = self.random.below(words.len());
        format!("{} {what} {}", words[..at].join(" "), words[at..].join(" "))
    }

    fn words_of(
        &mut self,
        text: &str,
        one_in: usize,
        change: fn(&mut Self, &str) -> String,
    ) -> String {
        let words: Vec<String> = text
            .split(' ')
            .map(|word| {
                if self.random.one_in(one_in) {
                    change(self, word)
                        .split(' ')
                        .next()
                        .unwrap_or_default()
                        .to_owned()
                } else {
                    word.to_owned()
                }
            })
            .collect();
        words.join(" ")
    }

    fn letters(
        &mut self,
        text: &str,
        one_in: usize,
        change: fn(&mut Self, char) -> String,
    ) -> String {
        let mut out = String::new();
        for c in text.chars() {
            if c.is_alphabetic() && self.random.one_in(one_in) {
                out.push_str(&change(self, c));
            } else {
                out.push(c);
            }
        }
        out
    }
}

/// Windows-1252's characters of the bytes 80 to 9F; those it leaves open are controls.
const CP1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];
