//! New entries for a WordPiece vocabulary.

use ahash::AHashMap;
use compact_str::CompactString;
use tokenizers::models::bpe::{BPE, BpeTrainer};

use super::super::CoverageError;
use super::super::subject::{HangulForm, Subject, strip_marker};
use super::{AugmentOptions, Proposal, Proposals, Words, refused};
use korfinsts_base::text::nfd;

/// Trains WordPiece merges on the words and proposes entries by what they save.
///
/// Words are trained in NFC, so that every entry is made of whole syllables, and stored in the
/// form that the normaliser gives: an uncased model decomposes Hangul, so that an entry in NFC
/// would never be used and one in NFD is.
pub(super) fn propose(
    subject: &Subject,
    words: &Words,
    options: &AugmentOptions,
) -> Result<Proposals, CoverageError> {
    const PREFIX: &str = "##";
    let tokenizer = subject.tokenizer();
    let counts: AHashMap<CompactString, u64> = words
        .sorted()
        .into_iter()
        .map(|(word, n)| (CompactString::from(word), n))
        .collect();
    if counts.is_empty() {
        return Ok(Proposals::default());
    }
    let mut letters: Vec<char> = counts.keys().flat_map(|w| w.chars()).collect();
    letters.sort_unstable();
    letters.dedup();
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .min_frequency(options.min_count)
        .vocab_size(2 * letters.len() + 4 * options.tokens + 64)
        .continuing_subword_prefix(PREFIX.to_owned())
        .build();
    let mut trained = BPE::default();
    trainer
        .do_train(&counts, &mut trained)
        .map_err(|e| refused(subject, format!("the trainer failed: {e}")))?;
    let trained: Vec<String> = {
        let mut tokens: Vec<String> = trained.get_vocab().into_keys().collect();
        tokens.sort_unstable();
        tokens
    };
    let frequencies = inner_and_first(words, &trained, options.max_characters);
    let unknown = tokenizer.unk_id();
    let decomposes = subject.hangul_form() == HangulForm::Decomposes;
    let mut found: Vec<(u64, Proposal)> = Vec::new();
    for token in &trained {
        let bare = strip_marker(token);
        let length = bare.chars().count();
        let count = frequencies.get(token.as_str()).copied().unwrap_or(0);
        if !(1..=options.max_characters).contains(&length) || count < options.min_count {
            continue;
        }
        let stored = if decomposes {
            nfd(token)
        } else {
            token.clone()
        };
        if tokenizer.id_of(&stored).is_some() {
            continue;
        }
        let form = if decomposes {
            nfd(bare)
        } else {
            bare.to_owned()
        };
        // An inner entry replaces inner pieces: what follows a first character of its own.
        let pieces = if token.starts_with(PREFIX) {
            inner_pieces(subject, &form)
        } else {
            tokenizer.model_pieces(&form)?
        };
        let has_unknown = unknown.is_some_and(|u| pieces.contains(&u));
        if pieces.is_empty() || (pieces.len() < 2 && !has_unknown) {
            continue;
        }
        let saved = if has_unknown {
            length
        } else {
            pieces.len() - 1
        };
        found.push((
            count * saved as u64,
            Proposal {
                token: stored,
                pieces,
                score: 0.0,
            },
        ));
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.token.cmp(&b.1.token)));
    Ok(Proposals {
        tokens: found
            .into_iter()
            .take(options.tokens)
            .map(|(_, proposal)| proposal)
            .collect(),
        merges: Vec::new(),
    })
}

/// Pieces of a text that is within a word: greedy longest match of inner entries, as
/// WordPiece itself does it; the unknown token alone where some part has no entry.
fn inner_pieces(subject: &Subject, text: &str) -> Vec<u32> {
    let tokenizer = subject.tokenizer();
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let ends: Vec<usize> = rest
            .char_indices()
            .map(|(at, c)| at + c.len_utf8())
            .collect();
        let matched = ends
            .into_iter()
            .rev()
            .find_map(|end| Some((tokenizer.id_of(&format!("##{}", &rest[..end]))?, end)));
        match matched {
            Some((id, end)) => {
                pieces.push(id);
                rest = &rest[end..];
            }
            None => return tokenizer.unk_id().into_iter().collect(),
        }
    }
    pieces
}

/// How often each of `tokens` is at the beginning of a word or, those with `##`, within one.
fn inner_and_first<'a>(
    words: &Words,
    tokens: &'a [String],
    longest: usize,
) -> AHashMap<&'a str, u64> {
    // By bare text: the token itself, and the one for within a word.
    let mut places: AHashMap<&str, [Option<usize>; 2]> = AHashMap::new();
    for (i, token) in tokens.iter().enumerate() {
        let inner = token.strip_prefix("##");
        places.entry(inner.unwrap_or(token)).or_default()[usize::from(inner.is_some())] = Some(i);
    }
    let mut counts = vec![0_u64; tokens.len()];
    for (word, n) in words.sorted() {
        for (start, end) in substrings(word, longest) {
            if let Some(place) = places.get(&word[start..end])
                && let Some(i) = place[usize::from(start > 0)]
            {
                counts[i] += n;
            }
        }
    }
    tokens.iter().map(String::as_str).zip(counts).collect()
}

/// How often each of `tokens` is in the words.
pub(super) fn substring_counts<'a>(
    words: &Words,
    tokens: impl Iterator<Item = &'a str>,
    longest: usize,
) -> AHashMap<&'a str, u64> {
    let mut counts: AHashMap<&str, u64> = tokens.map(|t| (t, 0)).collect();
    for (word, n) in words.sorted() {
        for (start, end) in substrings(word, longest) {
            if let Some(count) = counts.get_mut(&word[start..end]) {
                *count += n;
            }
        }
    }
    counts
}

fn substrings(word: &str, longest: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
    word.char_indices().flat_map(move |(start, _)| {
        word[start..]
            .char_indices()
            .take(longest)
            .map(move |(at, c)| (start, start + at + c.len_utf8()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_are_cut_between_characters() {
        let found: Vec<&str> = substrings("금리는", 2)
            .map(|(a, b)| &"금리는"[a..b])
            .collect();
        assert_eq!(found, ["금", "금리", "리", "리는", "는"]);
    }
}
