//! A static embedding from nothing, as a model folder: a Unigram vocabulary learnt from the
//! training texts, random vectors, one projection.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use serde_json::json;
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::{
    Normalizer as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
    Tokenizer,
};

use super::TrainError;
use super::model::TABLE;
use super::recipe::StaticBase;
use super::save::{self, Layout, Values};
use crate::encoder::modules::{Activation, Module};

/// Longest piece in characters.
const LONGEST_PIECE: usize = 16;

fn failed(e: impl std::fmt::Display) -> TrainError {
    TrainError::Compute {
        what: "learning a vocabulary",
        reason: e.to_string(),
    }
}

/// What a vocabulary's `tokenizer.json` holds: NFKC and lower case, digits and punctuation apart,
/// words marked at their beginning.
fn document(pieces: &[(String, f64)]) -> serde_json::Value {
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": false},
            {"type": "Punctuation", "behavior": "Isolated"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]},
        "post_processor": null,
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": false},
    })
}

/// Learns a vocabulary of `size` pieces from texts; gives the bytes of a `tokenizer.json`.
///
/// # Errors
/// When the texts hold too little for a vocabulary, or the trainer fails.
pub fn vocabulary<'a>(
    texts: impl Iterator<Item = &'a str>,
    size: usize,
) -> Result<(Vec<u8>, usize), TrainError> {
    let unknown = ("[UNK]".to_owned(), 0.0);
    let splitter = document(std::slice::from_ref(&unknown)).to_string();
    let splitter: Tokenizer = splitter.parse().map_err(failed)?;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut seen = HashSet::new();
    for text in texts.filter(|t| seen.insert(*t)) {
        let mut normalized = tokenizers::NormalizedString::from(text);
        if let Some(normalizer) = splitter.get_normalizer() {
            normalizer.normalize(&mut normalized).map_err(failed)?;
        }
        let mut split = PreTokenizedString::from(normalized);
        if let Some(pre_tokenizer) = splitter.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut split).map_err(failed)?;
        }
        for (word, ..) in split.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    // Sorted by the map, so that the trainer's sums do not depend on hashing.
    let sentences: Vec<(String, u32)> = counts.into_iter().collect();
    let trainer = UnigramTrainer::builder()
        .show_progress(false)
        .vocab_size(size as u32)
        .max_piece_length(LONGEST_PIECE)
        .special_tokens(vec![tokenizers::AddedToken::from("[UNK]", true)])
        .unk_token(Some("[UNK]".into()))
        .build()
        .map_err(failed)?;
    let mut trained = Unigram::default();
    trainer.do_train(sentences, &mut trained).map_err(failed)?;
    let mut pieces: Vec<(String, f64)> = vec![unknown];
    pieces.extend(
        trained
            .iter()
            .filter(|(piece, _)| piece.as_str() != "[UNK]")
            .map(|(piece, score)| (piece.clone(), *score)),
    );
    // The trainer leaves pieces of one score in the order of a hash.
    pieces[1..].sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let bytes = document(&pieces).to_string().into_bytes();
    Ok((bytes, pieces.len()))
}

/// Writes a new static embedding as a model folder.
///
/// # Errors
/// When the vocabulary cannot be learnt or the folder not written.
pub fn write<'a>(
    folder: &Path,
    base: &StaticBase,
    texts: impl Iterator<Item = &'a str>,
    seed: u64,
) -> Result<(), TrainError> {
    let (tokenizer, rows) = vocabulary(texts, base.vocabulary)?;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let table = normal(&mut random, rows * base.dimension, base.deviation);
    let bound = 1.0 / (base.dimension as f64).sqrt();
    let projection = (0..base.projection * base.dimension)
        .map(|_| (bound * (2.0 * uniform(&mut random) - 1.0)) as f32)
        .collect();
    let modules = [
        Module::Dense {
            weight: projection,
            bias: None,
            in_features: base.dimension,
            out_features: base.projection,
            activation: Activation::Identity,
        },
        Module::Normalize,
    ];
    let table = Values {
        name: TABLE.to_owned(),
        shape: vec![rows, base.dimension],
        values: table,
    };
    crate::fs::write_atomic(&folder.join("tokenizer.json"), &tokenizer)?;
    save::folder(
        folder,
        &Layout {
            fixed: "StaticEmbedding",
            modules: &modules,
            width: base.dimension,
            max_tokens: None,
            prompts: &BTreeMap::new(),
            default_prompt: None,
            similarity: "cosine",
        },
        &[table],
        super::recipe::Number::Float32,
    )
}

/// A number in `(0, 1)`.
fn uniform(random: &mut Xoshiro256PlusPlus) -> f64 {
    ((random.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// Numbers of a normal distribution (Box and Muller, 1958).
fn normal(random: &mut Xoshiro256PlusPlus, n: usize, deviation: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        let radius = deviation * (-2.0 * uniform(random).ln()).sqrt();
        let angle = std::f64::consts::TAU * uniform(random);
        values.push((radius * angle.cos()) as f32);
        values.push((radius * angle.sin()) as f32);
    }
    values.truncate(n);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_is_learnt_and_the_same_each_time() {
        let texts: Vec<String> = (0..200)
            .map(|i| {
                format!("한국은행은 기준금리를 {i}bp 인상했다. The bank raised rates {i} times!")
            })
            .collect();
        let learn = || vocabulary(texts.iter().map(String::as_str), 200).expect("a vocabulary");
        let (first, rows) = learn();
        assert!((20..=201).contains(&rows), "{rows}");
        assert_eq!(first, learn().0);
        let tokenizer = Tokenizer::from_bytes(&first).expect("a tokenizer");
        let encoded = tokenizer
            .encode("한국은행은 RATES", false)
            .expect("encoded");
        assert!(!encoded.get_ids().is_empty() && !encoded.get_ids().contains(&0));
    }

    #[test]
    fn normal_numbers_have_their_deviation() {
        let values = normal(&mut Xoshiro256PlusPlus::seed_from_u64(1), 20_001, 0.5);
        assert_eq!(values.len(), 20_001);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 20_001.0;
        let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 20_001.0;
        assert!(mean.abs() < 0.02 && (variance.sqrt() - 0.5).abs() < 0.02);
    }
}
