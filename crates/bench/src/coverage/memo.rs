//! Counting a stream of texts: eojeol that were seen before are looked up.
//!
//! Where a tokenizer provably treats the eojeol of a text one by one
//! ([`korfinsts_encoder::tokenizer::Tokenizer::eojeol_context`]), the counts of a text are the sums
//! over its eojeol, and each distinct eojeol is tokenised once. Texts for which this does not hold
//! (unusual white space, control characters, added tokens) are tokenised whole, and the first
//! texts of every stream are counted both ways: where they differ, looking up is given up.

use ahash::AHashMap;
use unicode_normalization::char::is_combining_mark;

use super::subject::Subject;
use super::text::{EojeolCounts, TextCounts, TextFacts};
use korfinsts_encoder::EncoderError;
use korfinsts_encoder::tokenizer::EojeolContext;

/// Distinct eojeol that are remembered; then all are forgotten.
const CAPACITY: usize = 1 << 18;
/// Bytes of an eojeol that is worth remembering.
const LONGEST: usize = 96;
/// Texts that are counted both ways.
const CHECKED: u64 = 256;

/// Counts texts of one stream for one tokenizer.
pub(super) struct Counter<'a> {
    subject: &'a Subject,
    counts: TextCounts,
    memo: Option<Memo>,
    checked: u64,
    disagreed: u64,
}

/// The counts of the eojeol of one stream.
pub(super) struct Memo {
    context: EojeolContext,
    first: AHashMap<Box<str>, Option<EojeolCounts>>,
    inner: AHashMap<Box<str>, Option<EojeolCounts>>,
    found: Vec<EojeolCounts>,
    buffer: String,
}

impl<'a> Counter<'a> {
    pub fn new(subject: &'a Subject, memo: bool) -> Self {
        Self {
            subject,
            counts: TextCounts::default(),
            memo: memo.then(|| Memo::of(subject)).flatten(),
            checked: 0,
            disagreed: 0,
        }
    }

    /// Adds one text.
    pub fn add(&mut self, text: &str) -> Result<(), EncoderError> {
        let facts = TextFacts::of(text);
        let known = match &mut self.memo {
            Some(memo) => memo.look_up(self.subject, text)?,
            None => false,
        };
        let tokens = match &self.memo {
            Some(memo) if known && self.checked >= CHECKED => {
                let before = self.counts.tokens;
                for counts in &memo.found {
                    self.counts.add_eojeol(*counts);
                }
                self.counts.tokens - before
            }
            Some(memo) if known => {
                self.checked += 1;
                let mut summed = TextCounts::default();
                for counts in &memo.found {
                    summed.add_eojeol(*counts);
                }
                let mut whole = TextCounts::default();
                whole.add_pieces(self.subject, text)?;
                self.counts.merge(&whole);
                if summed != whole {
                    self.disagreed += 1;
                    self.memo = None;
                }
                whole.tokens
            }
            _ => self.counts.add_pieces(self.subject, text)?,
        };
        self.counts.add_facts(self.subject, &facts, tokens);
        Ok(())
    }

    /// Adds the comparison of the composed and decomposed forms of one text.
    pub fn add_forms(&mut self, text: &str) -> Result<(), EncoderError> {
        self.counts.add_forms(self.subject, text)
    }

    /// The sums, and the number of checked texts on which the two ways differed.
    pub fn finish(self) -> (TextCounts, u64) {
        (self.counts, self.disagreed)
    }
}

impl Memo {
    /// An empty memory, where the tokenizer treats eojeol one by one.
    pub fn of(subject: &Subject) -> Option<Self> {
        Some(Self {
            context: subject.tokenizer().eojeol_context()?,
            first: AHashMap::new(),
            inner: AHashMap::new(),
            found: Vec::new(),
            buffer: String::new(),
        })
    }

    /// Tokens of a text of ordinary characters on one line, and of its last eojeol; `None` where it
    /// must be tokenised whole.
    pub fn tokens(
        &mut self,
        subject: &Subject,
        text: &str,
    ) -> Result<Option<(u64, u64)>, EncoderError> {
        if !self.look_up(subject, text)? {
            return Ok(None);
        }
        let sum = self.found.iter().map(|c| u64::from(c.tokens)).sum();
        let last = self.found.last().map_or(0, |c| u64::from(c.tokens));
        Ok(Some((sum, last)))
    }

    /// Fills `found` with the counts of every eojeol, or returns `false` where the text must be
    /// tokenised whole.
    fn look_up(&mut self, subject: &Subject, text: &str) -> Result<bool, EncoderError> {
        self.found.clear();
        if !is_plain(text) {
            return Ok(false);
        }
        for (i, eojeol) in text.split(' ').enumerate() {
            let seen = if i == 0 { &self.first } else { &self.inner };
            let counts = match seen.get(eojeol) {
                Some(counts) => *counts,
                None => self.learn(subject, eojeol, i == 0)?,
            };
            match counts {
                Some(counts) => self.found.push(counts),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn learn(
        &mut self,
        subject: &Subject,
        eojeol: &str,
        first: bool,
    ) -> Result<Option<EojeolCounts>, EncoderError> {
        let counts = if self.is_separable(subject, eojeol)? {
            self.buffer.clear();
            if !first && self.context.lead {
                self.buffer.push(' ');
            }
            self.buffer.push_str(eojeol);
            let mut counts = EojeolCounts::default();
            subject.tokenizer().scan(&self.buffer, |id, _| {
                let flags = subject.flags(id);
                counts.tokens += 1;
                counts.unknown += u32::from(flags.unknown);
                counts.partial += u32::from(flags.partial);
            })?;
            Some(counts)
        } else {
            None
        };
        let seen = if first {
            &mut self.first
        } else {
            &mut self.inner
        };
        if eojeol.len() <= LONGEST {
            if seen.len() >= CAPACITY {
                seen.clear();
            }
            seen.insert(eojeol.into(), counts);
        }
        Ok(counts)
    }

    /// Whether an eojeol is tokenised the same whatever is around it.
    fn is_separable(&self, subject: &Subject, eojeol: &str) -> Result<bool, EncoderError> {
        let extends = |c: char| is_combining_mark(c) || matches!(c, '\u{1F3FB}'..='\u{1F3FF}');
        if eojeol.is_empty() || eojeol.starts_with(extends) {
            return Ok(false);
        }
        let normal = subject.tokenizer().normalized(eojeol)?;
        if self
            .context
            .added
            .iter()
            .any(|token| eojeol.contains(token.as_str()) || normal.contains(token.as_str()))
        {
            return Ok(false);
        }
        if self.context.splits_white_space {
            return Ok(true);
        }
        let bare = normal.strip_prefix('▁').unwrap_or(&normal);
        Ok(!bare.is_empty() && !bare.contains(|c: char| c == '▁' || c.is_whitespace()))
    }
}

/// Whether the eojeol of a text are parted by single spaces, and no character in it is one that
/// normalisers remove, replace by a space or join with what precedes.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ') || bytes.is_empty() {
        return false;
    }
    let mut space = false;
    for c in text.chars() {
        if c == ' ' {
            if space {
                return false;
            }
            space = true;
            continue;
        }
        space = false;
        if c.is_ascii() {
            if c.is_ascii_control() {
                return false;
            }
        } else if is_unusual(c) {
            return false;
        }
    }
    true
}

/// White space other than the space, controls, and invisible or joining characters.
fn is_unusual(c: char) -> bool {
    // Hangul and the common blocks of Han first: they are what texts are made of.
    if matches!(c, '\u{AC00}'..='\u{D7A3}' | '\u{4E00}'..='\u{9FFF}') {
        return false;
    }
    c.is_whitespace()
        || c.is_control()
        || matches!(c,
            '\u{AD}'
            | '\u{115F}'..='\u{1160}'
            | '\u{600}'..='\u{605}'
            | '\u{61C}'
            | '\u{6DD}'
            | '\u{70F}'
            | '\u{890}'..='\u{891}'
            | '\u{8E2}'
            | '\u{D4E}'
            | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFF}'
            | '\u{110BD}'
            | '\u{110CD}'
            | '\u{111C2}'..='\u{111C3}'
            | '\u{1193F}'
            | '\u{11941}'
            | '\u{11A3A}'
            | '\u{11A84}'..='\u{11A89}'
            | '\u{11D46}'
            | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_ordinary_characters_are_looked_up() {
        for (text, plain) in [
            ("금리 인상", true),
            ("3월 CPI 2.0%", true),
            ("", false),
            (" 금리", false),
            ("금리 ", false),
            ("금리  인상", false),
            ("금리\t인상", false),
            ("금리\u{a0}인상", false),
            ("금\u{200b}리", false),
            ("금리\u{7}", false),
        ] {
            assert_eq!(is_plain(text), plain, "{text:?}");
        }
    }
}
