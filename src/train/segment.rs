//! Random segmentations of words into Unigram pieces (subword regularisation; Kudo, 2018): a model
//! that meets a word in several forms learns its parts, which other words share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use super::TrainError;
use super::data::below;
use crate::encoder::tokenizer::Tokenizer;

/// Segmentations of a word that are drawn once and then chosen from.
const DRAWN: usize = 8;
/// Log-probability of a character without a piece.
const UNKNOWN: f64 = -30.0;

/// Draws segmentations of words, each with its probability to the power of `sharpness`.
pub struct Segmenter {
    pieces: HashMap<String, (u32, f64)>,
    unknown: u32,
    longest: usize,
    sharpness: f64,
    tokenizer: Option<Arc<Tokenizer>>,
    known: Mutex<Known>,
}

/// What was computed before.
#[derive(Default)]
struct Known {
    /// Words of a text, as numbers.
    texts: HashMap<String, Vec<usize>>,
    /// Numbers of words.
    words: HashMap<String, usize>,
    /// By number of a word: its segmentations.
    drawn: Vec<Vec<Vec<u32>>>,
}

impl std::fmt::Debug for Segmenter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segmenter")
            .field("pieces", &self.pieces.len())
            .field("sharpness", &self.sharpness)
            .finish_non_exhaustive()
    }
}

impl Segmenter {
    /// A segmenter of the tokenizer's pieces; `None` where its model is not Unigram.
    ///
    /// # Errors
    /// When the tokenizer cannot be written down.
    pub fn new(tokenizer: &Arc<Tokenizer>, sharpness: f64) -> Result<Option<Self>, TrainError> {
        if tokenizer.model_kind() != "Unigram" {
            return Ok(None);
        }
        let document = tokenizer.to_json()?;
        let unknown = document["model"]["unk_id"].as_u64().unwrap_or_default() as u32;
        let pieces: HashMap<String, (u32, f64)> = document["model"]["vocab"]
            .as_array()
            .into_iter()
            .flatten()
            .zip(0..)
            .filter(|(_, id)| *id != unknown)
            .filter_map(|(entry, id)| {
                Some((entry[0].as_str()?.to_owned(), (id, entry[1].as_f64()?)))
            })
            .collect();
        let longest = pieces.keys().map(|p| p.chars().count()).max().unwrap_or(1);
        Ok(Some(Self {
            pieces,
            unknown,
            longest,
            sharpness,
            tokenizer: Some(Arc::clone(tokenizer)),
            known: Mutex::default(),
        }))
    }

    /// One of the segmentations of each word of a text, chosen by `random`. The choices of a word
    /// depend on the word alone.
    ///
    /// # Errors
    /// When the tokenizer fails on the text.
    pub fn segment(
        &self,
        text: &str,
        random: &mut Xoshiro256PlusPlus,
    ) -> Result<Vec<u32>, TrainError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.texts.contains_key(text) {
            let mut numbers = Vec::new();
            for word in self.words(text)? {
                let next = known.drawn.len();
                let number = *known.words.entry(word.clone()).or_insert(next);
                if number == next {
                    known.drawn.push(self.draw(&word));
                }
                numbers.push(number);
            }
            known.texts.insert(text.to_owned(), numbers);
        }
        let mut ids = Vec::new();
        for &number in known.texts.get(text).into_iter().flatten() {
            let choices = &known.drawn[number];
            ids.extend(&choices[below(random, choices.len())]);
        }
        Ok(ids)
    }

    fn words(&self, text: &str) -> Result<Vec<String>, TrainError> {
        match &self.tokenizer {
            Some(tokenizer) => Ok(tokenizer.pre_tokens(text)?),
            None => Ok(text.split_whitespace().map(str::to_owned).collect()),
        }
    }

    /// Segmentations drawn by forward filtering and backward sampling.
    fn draw(&self, word: &str) -> Vec<Vec<u32>> {
        let ends: Vec<usize> = word
            .char_indices()
            .map(|(at, _)| at)
            .chain([word.len()])
            .collect();
        let n = ends.len() - 1;
        // By end: where a piece begins, its id, its weight.
        let mut arcs: Vec<Vec<(usize, u32, f64)>> = vec![Vec::new(); n + 1];
        let mut forward = vec![f64::NEG_INFINITY; n + 1];
        forward[0] = 0.0;
        for end in 1..=n {
            for start in end.saturating_sub(self.longest)..end {
                let found = self.pieces.get(&word[ends[start]..ends[end]]);
                let arc = match found {
                    Some(&(id, score)) => (start, id, score),
                    None if start + 1 == end => (start, self.unknown, UNKNOWN),
                    None => continue,
                };
                arcs[end].push((arc.0, arc.1, forward[start] + self.sharpness * arc.2));
            }
            let highest = arcs[end]
                .iter()
                .map(|a| a.2)
                .fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = arcs[end].iter().map(|a| (a.2 - highest).exp()).sum();
            forward[end] = highest + sum.ln();
        }
        let mut random = Xoshiro256PlusPlus::seed_from_u64(fingerprint(word));
        (0..DRAWN)
            .map(|_| {
                let mut ids = Vec::new();
                let mut end = n;
                while end > 0 {
                    let mut left = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                    let mut chosen = arcs[end][arcs[end].len() - 1];
                    for arc in &arcs[end] {
                        left -= (arc.2 - forward[end]).exp();
                        if left < 0.0 {
                            chosen = *arc;
                            break;
                        }
                    }
                    ids.push(chosen.1);
                    end = chosen.0;
                }
                ids.reverse();
                ids
            })
            .collect()
    }
}

/// A number of the word's bytes (FNV-1a), the same on every machine.
fn fingerprint(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segmenter(sharpness: f64) -> Segmenter {
        let pieces = [
            ("금", -3.0),
            ("리", -3.0),
            ("금리", -4.0),
            ("는", -2.0),
            ("리는", -6.0),
        ];
        Segmenter {
            pieces: pieces
                .iter()
                .zip(1..)
                .map(|((piece, score), id)| ((*piece).to_owned(), (id, *score)))
                .collect(),
            unknown: 0,
            longest: 2,
            sharpness,
            tokenizer: None,
            known: Mutex::default(),
        }
    }

    #[test]
    fn every_segmentation_spells_its_word_and_comes_as_often_as_it_is_likely() {
        let names = ["?", "금", "리", "금리", "는", "리는"];
        let mut counts: HashMap<String, usize> = HashMap::new();
        let one = segmenter(1.0);
        // Words that differ in an unknown tail draw anew.
        for tail in 0..2000 {
            let word = format!("금리는{}", char::from_u32(0x4e00 + tail).expect("a letter"));
            for ids in one.draw(&word) {
                let parts: Vec<&str> = ids.iter().map(|&i| names[i as usize]).collect();
                assert_eq!(parts.concat(), "금리는?");
                *counts.entry(parts.join(" ")).or_default() += 1;
            }
        }
        // Log-probabilities -6 (금리 는), -8 (금 리 는), -9 (금 리는).
        let weights = [
            ("금리 는 ?", -6.0_f64),
            ("금 리 는 ?", -8.0),
            ("금 리는 ?", -9.0),
        ];
        let whole: f64 = weights.iter().map(|w| w.1.exp()).sum();
        for (parts, weight) in weights {
            let expected = weight.exp() / whole;
            let found = counts[parts] as f64 / 16_000.0;
            assert!(
                (found - expected).abs() < 0.02,
                "{parts}: {found} {expected}"
            );
        }
        assert_eq!(counts.len(), 3);
    }

    #[test]
    fn sharp_segmentations_are_the_tokenizers_own_and_choices_depend_on_the_seed() {
        let seeded = |s: u64| Xoshiro256PlusPlus::seed_from_u64(s);
        let segment = |one: &Segmenter, seed: u64| {
            let mut random = seeded(seed);
            one.segment("금리는 금리", &mut random).expect("segmented")
        };
        assert_eq!(segment(&segmenter(50.0), 1), [3, 4, 3]);
        let flat = segmenter(0.0);
        let found: Vec<Vec<u32>> = (0..20).map(|s| segment(&flat, s)).collect();
        assert_eq!(found[3], segment(&segmenter(0.0), 3));
        assert!(found.iter().any(|f| f != &found[0]));
    }
}
