//! What each number counts: stated in every output.

/// One definition: the key of the JSON output, the head of a table's column, what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Key in the JSON output.
    pub key: &'static str,
    /// Head of the column.
    pub head: &'static str,
    /// What is counted.
    pub text: &'static str,
}

const fn define(key: &'static str, head: &'static str, text: &'static str) -> Definition {
    Definition { key, head, text }
}

/// Definitions of the vocabulary side.
pub const VOCABULARY: [Definition; 16] = [
    define(
        "vocab_size",
        "size",
        "entries of the vocabulary, special tokens included",
    ),
    define(
        "hangul.raw_any",
        "Hangul raw",
        "entries whose stored token has a Hangul code point (U+AC00-D7A3, 1100-11FF, 3130-318F, \
         A960-A97F, D7B0-D7FF): the count of the paper's Table 6. Byte-level vocabularies store \
         bytes as stand-in letters, so that none of their Korean entries is seen",
    ),
    define(
        "hangul.decoded_any",
        "Hangul decoded",
        "entries that have a Hangul code point in the text they stand for: byte-level tokens are \
         turned back into bytes and read as UTF-8",
    ),
    define(
        "hangul.decoded_syllables_only",
        "syllables only",
        "decoded entries of precomposed syllables (U+AC00-D7A3) and nothing else, the word \
         marker (`▁`, `Ġ` or a space, `##`, `</w>`) stripped",
    ),
    define(
        "hangul.decoded_single_syllable",
        "one syllable",
        "of these, entries of exactly one syllable",
    ),
    define(
        "hangul.decoded_multi_syllable",
        "two or more",
        "of these, entries of two or more syllables",
    ),
    define(
        "hangul.decoded_jamo_only",
        "jamo only",
        "decoded entries of single Hangul letters (jamo) and nothing else, marker stripped",
    ),
    define(
        "hangul.decoded_mixed",
        "mixed",
        "decoded entries with Hangul that are neither only syllables nor only jamo",
    ),
    define(
        "hangul.distinct_syllables",
        "distinct syllables",
        "distinct precomposed syllables that occur in decoded entries, of the 11,172 that exist; \
         a tokenizer that decomposes Hangul can write all of them with jamo",
    ),
    define(
        "partial_utf8",
        "partial UTF-8",
        "entries whose bytes alone are not valid UTF-8 (parts of a character), byte-fallback \
         entries above 0x7F included",
    ),
    define(
        "byte_fallback",
        "fallback bytes",
        "entries `<0x00>` to `<0xFF>` of byte fallback",
    ),
    define(
        "latin",
        "Latin",
        "decoded entries with a letter of the Unicode script Latin; special, reserved and \
         byte-fallback entries apart",
    ),
    define(
        "han",
        "Han",
        "decoded entries with a character of the Unicode script Han; the same apart",
    ),
    define(
        "digits",
        "digits",
        "decoded entries with a digit 0-9; the same apart",
    ),
    define(
        "special",
        "special",
        "control tokens and sentinels: `[CLS]`, `</s>`, `<|endoftext|>`, `<extra_id_0>`",
    ),
    define(
        "unused",
        "unused",
        "reserved entries that no text gives: `[unused12]`, `<unk12>`, `<reserved_3>`",
    ),
];

/// Definitions of the text side.
pub const TEXT: [Definition; 12] = [
    define(
        "tokens_per_eojeol",
        "tokens/eojeol",
        "fertility: tokens over eojeol, sums over all texts; eojeol are the runs between Unicode \
         white space, tokens are counted without the special tokens around a text",
    ),
    define(
        "unknown_rate",
        "unknown",
        "share of tokens that are the unknown token. Fertility without it misleads: one unknown \
         token can swallow a whole eojeol",
    ),
    define(
        "tokens_per_syllable",
        "tokens/syllable",
        "tokens over precomposed syllables of the texts in NFC, tokens of other scripts included",
    ),
    define(
        "tokens_per_byte",
        "tokens/byte",
        "tokens over UTF-8 bytes of the texts, white space included",
    ),
    define(
        "partial_utf8_share",
        "byte or partial",
        "share of tokens that are byte-fallback pieces, or whose bytes alone are not valid UTF-8",
    ),
    define(
        "continuation_share",
        "continuing",
        "share of tokens that are not the first of their eojeol",
    ),
    define(
        "single_token_eojeol_share",
        "one-token eojeol",
        "share of eojeol that are exactly one token, which is not the unknown token",
    ),
    define(
        "unknown_eojeol_share",
        "eojeol with unknown",
        "share of eojeol with at least one unknown token",
    ),
    define(
        "truncated_share",
        "truncated",
        "share of texts that are longer than the model's maximum length, special tokens \
         included; absent where no maximum is known",
    ),
    define(
        "unicode_forms.differing_share",
        "NFC≠NFD",
        "share of texts with Hangul syllables whose composed (NFC) and decomposed (NFD) forms \
         give different token ids",
    ),
    define(
        "unicode_forms.nfd_tokens_per_eojeol",
        "NFD tokens/eojeol",
        "tokens per eojeol when the same texts are given in NFD, as some file systems and PDF \
         extractors do",
    ),
    define(
        "unicode_forms.nfd_unknown_rate",
        "NFD unknown",
        "share of tokens that are the unknown token in NFD",
    ),
];

/// Definitions of the view on terms.
pub const TERMS: [Definition; 4] = [
    define(
        "terms.tokens_per_term",
        "tokens/term",
        "tokens over terms; each term is tokenised alone, without special tokens",
    ),
    define(
        "terms.unknown_terms_share",
        "with unknown",
        "share of terms with an unknown token",
    ),
    define(
        "terms.whole_share",
        "whole",
        "share of terms that are one known token",
    ),
    define(
        "terms.worst",
        "worst first",
        "terms with unknown tokens before others, then by tokens per syllable, then by tokens",
    ),
];

/// Every definition, in the order of the output.
pub fn all() -> impl Iterator<Item = &'static Definition> {
    VOCABULARY.iter().chain(&TEXT).chain(&TERMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_defined_twice() {
        let mut keys: Vec<&str> = all().map(|d| d.key).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
