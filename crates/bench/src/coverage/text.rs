//! The text side: how a tokenizer splits texts.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use super::CoverageError;
use super::subject::Subject;
use crate::suite::Suite;
use korfinsts_base::text::{is_hangul_syllable, nfc, nfd};
use korfinsts_encoder::EncoderError;

/// Sums over texts, from which every share is computed. Sums of parts add up to those of the
/// whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TextCounts {
    /// Texts.
    pub texts: u64,
    /// UTF-8 bytes.
    pub bytes: u64,
    /// Eojeol: runs between white space.
    pub eojeol: u64,
    /// Precomposed syllables of the texts in NFC.
    pub syllables: u64,
    /// Tokens, without the special tokens around a text.
    pub tokens: u64,
    /// Tokens that are the unknown token.
    pub unknown: u64,
    /// Tokens that are byte-fallback pieces or not valid UTF-8 alone.
    pub partial: u64,
    /// Tokens that continue an eojeol: any but its first.
    pub continuing: u64,
    /// Eojeol that are one known token.
    pub single_token_eojeol: u64,
    /// Eojeol with an unknown token.
    pub unknown_eojeol: u64,
    /// Texts longer than the maximum length with their special tokens; 0 where none is known.
    pub truncated: u64,
    /// Texts that are not in NFC.
    pub not_nfc: u64,
    /// What composed and decomposed forms of the same texts give.
    pub forms: FormCounts,
}

/// Sums over the texts whose NFC and NFD forms were both tokenised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct FormCounts {
    /// Texts compared: those with Hangul syllables.
    pub texts: u64,
    /// Texts whose two forms give different token ids.
    pub differing: u64,
    /// Eojeol of these texts.
    pub eojeol: u64,
    /// Tokens of the NFC forms.
    pub tokens_nfc: u64,
    /// Tokens of the NFD forms.
    pub tokens_nfd: u64,
    /// Unknown tokens of the NFD forms.
    pub unknown_nfd: u64,
}

/// What one eojeol gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct EojeolCounts {
    pub tokens: u32,
    pub unknown: u32,
    pub partial: u32,
}

impl TextCounts {
    /// Adds the sums of another part.
    pub fn merge(&mut self, other: &Self) {
        self.texts += other.texts;
        self.bytes += other.bytes;
        self.eojeol += other.eojeol;
        self.syllables += other.syllables;
        self.tokens += other.tokens;
        self.unknown += other.unknown;
        self.partial += other.partial;
        self.continuing += other.continuing;
        self.single_token_eojeol += other.single_token_eojeol;
        self.unknown_eojeol += other.unknown_eojeol;
        self.truncated += other.truncated;
        self.not_nfc += other.not_nfc;
        self.forms.texts += other.forms.texts;
        self.forms.differing += other.forms.differing;
        self.forms.eojeol += other.forms.eojeol;
        self.forms.tokens_nfc += other.forms.tokens_nfc;
        self.forms.tokens_nfd += other.forms.tokens_nfd;
        self.forms.unknown_nfd += other.forms.unknown_nfd;
    }

    /// Adds one text.
    ///
    /// # Errors
    /// When the tokenizer fails on it.
    pub fn add(&mut self, subject: &Subject, text: &str) -> Result<(), EncoderError> {
        let facts = TextFacts::of(text);
        let tokens = self.add_pieces(subject, text)?;
        self.add_facts(subject, &facts, tokens);
        Ok(())
    }

    /// Adds what does not depend on how the text is split, and whether it is truncated.
    pub(super) fn add_facts(&mut self, subject: &Subject, facts: &TextFacts, tokens: u64) {
        self.texts += 1;
        self.bytes += facts.bytes;
        self.eojeol += facts.eojeol;
        self.syllables += facts.syllables;
        self.not_nfc += u64::from(facts.not_nfc);
        if let Some(max) = subject.max_tokens() {
            let length = tokens + subject.special_tokens_around() as u64;
            self.truncated += u64::from(length > max.tokens as u64);
        }
    }

    /// Adds one eojeol.
    pub(super) fn add_eojeol(&mut self, counts: EojeolCounts) {
        self.tokens += u64::from(counts.tokens);
        self.unknown += u64::from(counts.unknown);
        self.partial += u64::from(counts.partial);
        self.continuing += u64::from(counts.tokens.saturating_sub(1));
        self.single_token_eojeol += u64::from(counts.tokens == 1 && counts.unknown == 0);
        self.unknown_eojeol += u64::from(counts.unknown > 0);
    }

    /// Tokenises a text, adds what its pieces give and returns their number.
    ///
    /// A piece belongs to the eojeol that holds the first character of the piece, or the next
    /// one when the piece begins with white space; pieces behind the last eojeol belong to none.
    pub(super) fn add_pieces(
        &mut self,
        subject: &Subject,
        text: &str,
    ) -> Result<u64, EncoderError> {
        let before = self.tokens;
        let mut ends = eojeol_ends(text);
        let mut end = ends.next();
        let mut current = EojeolCounts::default();
        subject.tokenizer().scan(text, |id, start| {
            while end.is_some_and(|end| end <= start) {
                self.add_eojeol(std::mem::take(&mut current));
                end = ends.next();
            }
            let flags = subject.flags(id);
            if end.is_some() {
                current.tokens += 1;
                current.unknown += u32::from(flags.unknown);
                current.partial += u32::from(flags.partial);
            } else {
                self.tokens += 1;
                self.unknown += u64::from(flags.unknown);
                self.partial += u64::from(flags.partial);
            }
        })?;
        self.add_eojeol(current);
        Ok(self.tokens - before)
    }

    /// Adds the comparison of the composed and the decomposed form of a text; a text without
    /// Hangul syllables adds nothing.
    ///
    /// # Errors
    /// When the tokenizer fails on one of them.
    pub fn add_forms(&mut self, subject: &Subject, text: &str) -> Result<(), EncoderError> {
        let composed = nfc(text);
        if !composed.chars().any(is_hangul_syllable) {
            return Ok(());
        }
        let ids = |text: &str| -> Result<Vec<u32>, EncoderError> {
            let mut ids = Vec::new();
            subject.tokenizer().scan(text, |id, _| ids.push(id))?;
            Ok(ids)
        };
        let nfc_ids = ids(&composed)?;
        let nfd_ids = ids(&nfd(text))?;
        self.forms.texts += 1;
        self.forms.differing += u64::from(nfc_ids != nfd_ids);
        self.forms.eojeol += composed.split_whitespace().count() as u64;
        self.forms.tokens_nfc += nfc_ids.len() as u64;
        self.forms.tokens_nfd += nfd_ids.len() as u64;
        let unknown = nfd_ids.iter().filter(|id| subject.flags(**id).unknown);
        self.forms.unknown_nfd += unknown.count() as u64;
        Ok(())
    }
}

/// What a text is, whatever the tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextFacts {
    bytes: u64,
    eojeol: u64,
    syllables: u64,
    not_nfc: bool,
}

impl TextFacts {
    pub fn of(text: &str) -> Self {
        // Precomposed syllables are in NFC already: only a text with other letters outside
        // ASCII needs to be composed to find out.
        let mut plain = true;
        let mut syllables = 0_u64;
        for c in text.chars() {
            if is_hangul_syllable(c) {
                syllables += 1;
            } else if !c.is_ascii() {
                plain = false;
            }
        }
        let mut not_nfc = false;
        if !plain && !unicode_normalization::is_nfc(text) {
            not_nfc = true;
            syllables = nfc(text).chars().filter(|c| is_hangul_syllable(*c)).count() as u64;
        }
        Self {
            bytes: text.len() as u64,
            eojeol: text.split_whitespace().count() as u64,
            syllables,
            not_nfc,
        }
    }
}

/// Byte offsets at which the eojeol of a text end, in order.
fn eojeol_ends(text: &str) -> impl Iterator<Item = usize> + '_ {
    let base = text.as_ptr() as usize;
    text.split_whitespace()
        .map(move |eojeol| eojeol.as_ptr() as usize - base + eojeol.len())
}

/// The shares of one tokenizer on one body of text. A share whose denominator is zero is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextReport {
    /// Tokens per eojeol: fertility.
    pub tokens_per_eojeol: Option<f64>,
    /// Share of tokens that are the unknown token.
    pub unknown_rate: Option<f64>,
    /// Tokens per precomposed syllable.
    pub tokens_per_syllable: Option<f64>,
    /// Tokens per UTF-8 byte.
    pub tokens_per_byte: Option<f64>,
    /// Share of tokens that are byte-fallback pieces or not valid UTF-8 alone.
    pub partial_utf8_share: Option<f64>,
    /// Share of tokens that continue an eojeol.
    pub continuation_share: Option<f64>,
    /// Share of eojeol that are one known token.
    pub single_token_eojeol_share: Option<f64>,
    /// Share of eojeol with an unknown token.
    pub unknown_eojeol_share: Option<f64>,
    /// Share of texts longer than the maximum length; `None` where none is known.
    pub truncated_share: Option<f64>,
    /// NFC against NFD.
    pub unicode_forms: FormReport,
    /// The sums behind the shares.
    pub counts: TextCounts,
    /// The same per domain, where the texts have domains.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub domains: BTreeMap<String, TextReport>,
    /// What a reader of the numbers must know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How sensitive a tokenizer is to the Unicode form of Hangul.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FormReport {
    /// Share of compared texts whose two forms give different token ids.
    pub differing_share: Option<f64>,
    /// Tokens per eojeol of the NFD forms.
    pub nfd_tokens_per_eojeol: Option<f64>,
    /// Share of unknown tokens in the NFD forms.
    pub nfd_unknown_rate: Option<f64>,
    /// Tokens of the NFD forms over tokens of the NFC forms.
    pub nfd_over_nfc: Option<f64>,
}

impl TextReport {
    /// The shares of the given sums; `max_tokens_known` says whether truncation means anything.
    #[must_use]
    pub fn new(counts: TextCounts, max_tokens_known: bool) -> Self {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let forms = counts.forms;
        Self {
            tokens_per_eojeol: share(counts.tokens, counts.eojeol),
            unknown_rate: share(counts.unknown, counts.tokens),
            tokens_per_syllable: share(counts.tokens, counts.syllables),
            tokens_per_byte: share(counts.tokens, counts.bytes),
            partial_utf8_share: share(counts.partial, counts.tokens),
            continuation_share: share(counts.continuing, counts.tokens),
            single_token_eojeol_share: share(counts.single_token_eojeol, counts.eojeol),
            unknown_eojeol_share: share(counts.unknown_eojeol, counts.eojeol),
            truncated_share: share(counts.truncated, counts.texts).filter(|_| max_tokens_known),
            unicode_forms: FormReport {
                differing_share: share(forms.differing, forms.texts),
                nfd_tokens_per_eojeol: share(forms.tokens_nfd, forms.eojeol),
                nfd_unknown_rate: share(forms.unknown_nfd, forms.tokens_nfd),
                nfd_over_nfc: share(forms.tokens_nfd, forms.tokens_nfc),
            },
            counts,
            domains: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }
}

/// Counts texts, each with its domain where it has one, on all cores.
///
/// # Errors
/// When the tokenizer fails on a text.
pub fn count_texts<'a>(
    subject: &Subject,
    texts: &[(&'a str, Option<&'a str>)],
) -> Result<TextReport, CoverageError> {
    type Parts<'a> = BTreeMap<Option<&'a str>, TextCounts>;
    let parts: Parts<'a> = texts
        .par_chunks(64)
        .map(|chunk| -> Result<Parts<'a>, EncoderError> {
            let mut parts = Parts::new();
            for (text, domain) in chunk {
                let counts = parts.entry(*domain).or_default();
                counts.add(subject, text)?;
                counts.add_forms(subject, text)?;
            }
            Ok(parts)
        })
        .try_reduce(Parts::new, |mut a, b| {
            for (domain, counts) in b {
                a.entry(domain).or_default().merge(&counts);
            }
            Ok(a)
        })?;
    let known = subject.max_tokens().is_some();
    let mut whole = TextCounts::default();
    let mut domains = BTreeMap::new();
    for (domain, counts) in &parts {
        whole.merge(counts);
        if let Some(domain) = domain {
            domains.insert((*domain).to_owned(), TextReport::new(*counts, known));
        }
    }
    Ok(TextReport {
        domains,
        ..TextReport::new(whole, known)
    })
}

/// Counts both texts of every pair of a suite, and per domain.
///
/// # Errors
/// When the tokenizer fails on a text.
pub fn count_suite(subject: &Subject, suite: &Suite) -> Result<TextReport, CoverageError> {
    let texts: Vec<(&str, Option<&str>)> = suite
        .pairs
        .iter()
        .flat_map(|pair| {
            let domain = pair.domain.as_deref();
            [
                (pair.sentence1.as_str(), domain),
                (pair.sentence2.as_str(), domain),
            ]
        })
        .collect();
    let mut report = count_texts(subject, &texts)?;
    report.warnings.extend(suite.warnings.iter().cloned());
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eojeol_end_where_white_space_begins() {
        for (text, ends) in [
            ("금리 인상", vec![6, 13]),
            ("  a\tb ", vec![3, 5]),
            ("", vec![]),
            ("\u{3000}가", vec![6]),
        ] {
            assert_eq!(eojeol_ends(text).collect::<Vec<_>>(), ends, "{text:?}");
        }
    }

    #[test]
    fn facts_do_not_depend_on_the_unicode_form() {
        let composed = TextFacts::of("기준금리 2.5% café");
        let decomposed = TextFacts::of(&nfd("기준금리 2.5% café"));
        assert_eq!((composed.syllables, composed.eojeol), (4, 3));
        assert_eq!((decomposed.syllables, decomposed.eojeol), (4, 3));
        assert!(!composed.not_nfc && decomposed.not_nfc);
    }

    #[test]
    fn a_share_without_a_denominator_is_absent() {
        let report = TextReport::new(TextCounts::default(), false);
        assert_eq!(report.tokens_per_eojeol, None);
        assert_eq!(report.truncated_share, None);
        let mut counts = TextCounts::default();
        for (tokens, unknown) in [(1, 0), (1, 1), (3, 0)] {
            counts.add_eojeol(EojeolCounts {
                tokens,
                unknown,
                partial: 0,
            });
            counts.eojeol += 1;
        }
        let report = TextReport::new(counts, false);
        assert_eq!(report.unknown_rate, Some(0.2));
        assert_eq!(report.continuation_share, Some(0.4));
        assert_eq!(report.single_token_eojeol_share, Some(1.0 / 3.0));
        assert_eq!(report.unknown_eojeol_share, Some(1.0 / 3.0));
    }
}
