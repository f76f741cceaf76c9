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
use korfinsts_encoder::modules::{Activation, Module};

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

/// A Unigram vocabulary: pieces with their log-probabilities, the likeliest first, after the unknown one.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    pieces: Vec<(String, f64)>,
}

impl Vocabulary {
    /// The bytes of its `tokenizer.json`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        document(&self.pieces).to_string().into_bytes()
    }

    /// Pieces that are a whole word of two letters or more: their row, and the word.
    #[must_use]
    pub fn words(&self) -> Vec<(usize, &str)> {
        self.pieces
            .iter()
            .enumerate()
            .filter_map(|(row, (piece, _))| Some((row, piece.strip_prefix('▁')?)))
            .filter(|(_, word)| word.chars().count() > 1 && word.chars().all(char::is_alphabetic))
            .collect()
    }

    /// Writes a new static embedding with these pieces as a model folder; random numbers where `start` says nothing.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(
        &self,
        folder: &Path,
        base: &StaticBase,
        start: Option<&Start>,
        seed: u64,
    ) -> Result<(), TrainError> {
        let rows = self.pieces.len();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut table = normal(&mut random, rows * base.dimension, base.deviation);
        let bound = 1.0 / (base.dimension as f64).sqrt();
        let mut projection: Vec<f32> = (0..base.projection * base.dimension)
            .map(|_| (bound * (2.0 * uniform(&mut random) - 1.0)) as f32)
            .collect();
        if let Some(start) = start {
            for (row, vector) in &start.vectors {
                table[row * base.dimension..][..base.dimension].copy_from_slice(vector);
            }
            for (at, value) in projection.iter_mut().enumerate() {
                let (out, component) = (at / base.dimension, at % base.dimension);
                *value = start.directions[component * base.projection + out];
            }
        }
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
        korfinsts_base::fs::write_atomic(&folder.join("tokenizer.json"), &self.to_json())?;
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
}

/// What some vectors and the projection start from.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Vectors by row.
    pub vectors: Vec<(usize, Vec<f32>)>,
    /// What each component of a vector stands for in an embedding, `[dimension, projection]`.
    pub directions: Vec<f32>,
}

/// Learns a vocabulary of `size` pieces from texts.
///
/// # Errors
/// When the texts hold too little for a vocabulary, or the trainer fails.
pub fn vocabulary<'a>(
    texts: impl Iterator<Item = &'a str>,
    size: usize,
) -> Result<Vocabulary, TrainError> {
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
    // One thread: the trainer splits its sums by the number of threads.
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(failed)?
        .install(|| trainer.do_train(sentences, &mut trained))
        .map_err(|e| failed(format!("`vocabulary` is {size}: {e}")))?;
    let mut pieces: Vec<(String, f64)> = vec![unknown];
    pieces.extend(
        trained
            .iter()
            .filter(|(piece, _)| piece.as_str() != "[UNK]")
            .map(|(piece, score)| (piece.clone(), *score)),
    );
    settle(&mut pieces[1..]);
    // The trainer leaves pieces of one score in the order of a hash.
    pieces[1..].sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(Vocabulary { pieces })
}

/// Gives characters that the trainer adds at the end their scores in the order of the characters.
/// It gives them the lowest score and ten thousandths more, one after another in the order of a
/// hash, which is another in each run.
fn settle(pieces: &mut [(String, f64)]) {
    let lowest = pieces.iter().map(|(_, s)| *s).fold(f64::INFINITY, f64::min);
    let mut added: Vec<usize> = (0..pieces.len())
        .filter(|&at| {
            let (piece, score) = &pieces[at];
            let steps = (score - lowest) / 1e-4;
            piece.chars().count() == 1
                && (steps - steps.round()).abs() < 1e-6
                && steps < pieces.len() as f64
        })
        .collect();
    let mut scores: Vec<f64> = added.iter().map(|&at| pieces[at].1).collect();
    scores.sort_by(f64::total_cmp);
    added.sort_by(|&a, &b| pieces[a].0.cmp(&pieces[b].0));
    for (at, score) in added.into_iter().zip(scores) {
        pieces[at].1 = score;
    }
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
            // Characters that occur once are added at the end.
            .chain("갉닭닳됐뷁싫앉없읽짧찮홟".chars().map(String::from))
            .collect();
        let learn = || vocabulary(texts.iter().map(String::as_str), 200).expect("a vocabulary");
        let first = learn();
        let rows = first.pieces.len();
        assert!((20..=201).contains(&rows), "{rows}");
        assert_eq!(first, learn());
        assert!(
            first
                .words()
                .iter()
                .all(|(row, word)| first.pieces[*row].0.ends_with(word))
        );
        let tokenizer = Tokenizer::from_bytes(first.to_json()).expect("a tokenizer");
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
