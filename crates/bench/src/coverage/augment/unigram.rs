//! New pieces for a Unigram model.

use std::collections::HashMap;

use ahash::AHashMap;
use tokenizers::models::unigram::{Unigram, UnigramTrainer};

use super::super::CoverageError;
use super::super::subject::{Subject, strip_marker};
use super::{AugmentOptions, Proposal, Proposals, Words, refused};

/// Words that the trainer sees at most: the most frequent ones.
const MOST_WORDS: usize = 300_000;
/// How much a new piece beats its old pieces at least, in log-probability.
const MARGIN: f64 = 0.01;

/// Trains a Unigram model on the words and proposes those of its pieces that the vocabulary lacks,
/// by expected saving: how often the piece occurs times the pieces it saves.
///
/// Scores are the trained ones moved by the median difference of the scores of pieces that both
/// models know, and never below those of the old pieces together, so that the piece is used.
pub(super) fn propose(
    subject: &Subject,
    words: &Words,
    options: &AugmentOptions,
) -> Result<Proposals, CoverageError> {
    let tokenizer = subject.tokenizer();
    let mut sentences: Vec<(String, u32)> = words
        .sorted()
        .into_iter()
        .take(MOST_WORDS)
        .map(|(word, n)| (word.to_owned(), u32::try_from(n).unwrap_or(u32::MAX)))
        .collect();
    if sentences.is_empty() {
        return Ok(Proposals::default());
    }
    let mut letters: Vec<char> = sentences.iter().flat_map(|(w, _)| w.chars()).collect();
    letters.sort_unstable();
    letters.dedup();
    let failed = |reason: String| refused(subject, format!("the trainer failed: {reason}"));
    let trainer = UnigramTrainer::builder()
        .show_progress(false)
        .vocab_size((letters.len() + 3 * options.tokens + 64) as u32)
        .max_piece_length(options.max_characters + 1)
        .build()
        .map_err(|e| failed(e.to_string()))?;
    let mut trained = Unigram::default();
    // The trainer wants sentences in an order that does not depend on hashing.
    sentences.sort_unstable();
    trainer
        .do_train(sentences, &mut trained)
        .map_err(|e| failed(e.to_string()))?;

    let old = old_scores(subject)?;
    let mut differences: Vec<f64> = trained
        .iter()
        .filter_map(|(piece, score)| Some(old.get(piece.as_str())? - score))
        .filter(|d| d.is_finite())
        .collect();
    differences.sort_by(f64::total_cmp);
    let shift = differences
        .get(differences.len() / 2)
        .copied()
        .unwrap_or(0.0);
    let unknown = tokenizer.unk_id();
    let counts = super::wordpiece::substring_counts(
        words,
        trained.iter().map(|(piece, _)| piece.as_str()),
        options.max_characters + 1,
    );
    let mut found: Vec<(f64, Proposal)> = Vec::new();
    for (piece, score) in trained.iter() {
        let bare = strip_marker(piece);
        let length = bare.chars().count();
        let count = counts.get(piece.as_str()).copied().unwrap_or(0);
        if old.contains_key(piece.as_str())
            || count < options.min_count
            || !(1..=options.max_characters).contains(&length)
            || !bare.chars().all(|c| options.script.contains(c))
        {
            continue;
        }
        let pieces = tokenizer.model_pieces(piece)?;
        let has_unknown = unknown.is_some_and(|u| pieces.contains(&u));
        if pieces.len() < 2 && !has_unknown {
            continue;
        }
        let path: f64 = pieces
            .iter()
            .filter(|id| Some(**id) != unknown)
            .filter_map(|id| subject.entry(*id).and_then(|e| old.get(e.raw.as_str())))
            .sum();
        let floor = if has_unknown {
            f64::NEG_INFINITY
        } else {
            path + MARGIN
        };
        let saved = if has_unknown {
            length
        } else {
            pieces.len() - 1
        };
        found.push((
            count as f64 * saved as f64,
            Proposal {
                token: piece.clone(),
                pieces,
                score: (score + shift).max(floor).min(0.0),
            },
        ));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.token.cmp(&b.1.token)));
    Ok(Proposals {
        tokens: found
            .into_iter()
            .take(options.tokens)
            .map(|(_, proposal)| proposal)
            .collect(),
        merges: Vec::new(),
    })
}

/// Scores of the old pieces, by token.
fn old_scores(subject: &Subject) -> Result<AHashMap<String, f64>, CoverageError> {
    let json = subject.tokenizer().to_json()?;
    let list = json["model"]["vocab"].as_array();
    let scores: HashMap<String, f64> = list
        .into_iter()
        .flatten()
        .filter_map(|e| Some((e[0].as_str()?.to_owned(), e[1].as_f64()?)))
        .collect();
    Ok(scores.into_iter().collect())
}
