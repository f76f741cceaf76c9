//! New merges for a BPE model.

use ahash::AHashMap;
use compact_str::CompactString;
use serde_json::Value;
use tokenizers::models::bpe::{BPE, BpeTrainer};

use super::super::CoverageError;
use super::super::bytes::fallback_byte;
use super::super::subject::Subject;
use super::{AugmentOptions, Proposal, Proposals, Words, refused, words};

/// First of the letters that stand for old pieces while the trainer runs: private use.
const FIRST_LETTER: u32 = 0xF_0000;
/// Letters of the two private planes, and the largest number of different pieces.
const LETTERS: usize = 0xFFFE + 0xFFFE;
/// Share of the new tokens that single characters may take in a model with byte fallback.
const SINGLE_SHARE: f64 = 0.6;

/// Trains on: each word is given to the trainer as the pieces that the old merges leave of it, one
/// letter per piece, so that it finds the next merges. They come behind all old merges, so that
/// every word is first split as before and then merged further.
///
/// A model with byte fallback gets the most frequent characters it lacks first: without them their
/// bytes cannot be merged.
pub(super) fn propose(
    subject: &Subject,
    words: &Words,
    options: &AugmentOptions,
) -> Result<Proposals, CoverageError> {
    let tokenizer = subject.tokenizer();
    let json = tokenizer.to_json()?;
    if json["model"]["continuing_subword_prefix"]
        .as_str()
        .is_some_and(|p| !p.is_empty())
    {
        return Err(refused(
            subject,
            "a BPE model with a prefix for inner pieces is not augmented".into(),
        ));
    }
    let mut tokens = Vec::new();
    let byte_fallback = json["model"]["byte_fallback"] == Value::Bool(true);
    if byte_fallback {
        tokens = characters(subject, words, options)?;
    }
    let known: AHashMap<&str, &Proposal> = tokens.iter().map(|p| (p.token.as_str(), p)).collect();

    let mut letters = Letters::default();
    let mut counts: AHashMap<CompactString, u64> = AHashMap::new();
    for (word, n) in words.sorted() {
        for run in runs(subject, &known, word)? {
            let spelled: Option<String> = run.iter().map(|part| letters.of(part)).collect();
            let spelled = spelled.ok_or_else(|| {
                refused(
                    subject,
                    format!("the corpus has more than {LETTERS} different pieces"),
                )
            })?;
            *counts.entry(CompactString::from(spelled)).or_default() += n;
        }
    }
    let wanted = options.tokens.saturating_sub(tokens.len());
    let mut trained = BPE::default();
    BpeTrainer::builder()
        .show_progress(false)
        .min_frequency(options.min_count.max(1))
        .vocab_size(letters.parts.len() + wanted)
        .max_token_length(None)
        .build()
        .do_train(&counts, &mut trained)
        .map_err(|e| refused(subject, format!("the trainer failed: {e}")))?;
    drop(counts);

    let trained = serde_json::to_value(&trained)
        .map_err(|e| refused(subject, format!("the trainer failed: {e}")))?;
    let mut merges = Vec::new();
    let mut proposals = tokens.clone();
    let mut new: ahash::AHashSet<String> = tokens.iter().map(|p| p.token.clone()).collect();
    for merge in trained["merges"].as_array().into_iter().flatten() {
        let (Some(a), Some(b)) = (merge[0].as_str(), merge[1].as_str()) else {
            continue;
        };
        let (token_a, _) = letters.read(a);
        let (token_b, _) = letters.read(b);
        let (token, pieces) = letters.read(&[a, b].concat());
        let exists = |t: &str| new.contains(t) || tokenizer.id_of(t).is_some();
        // A merge whose parts were left out as too long would name a token that is not there.
        if !exists(&token_a) || !exists(&token_b) {
            continue;
        }
        let length = words::text_of(subject, &token).map_or(1, |text| text.chars().count());
        if length > options.max_characters {
            continue;
        }
        if !exists(&token) {
            new.insert(token.clone());
            proposals.push(Proposal {
                token,
                pieces,
                score: 0.0,
            });
        }
        merges.push((token_a, token_b));
    }
    Ok(Proposals {
        tokens: proposals,
        merges,
    })
}

/// The most frequent characters that the model writes as bytes.
fn characters(
    subject: &Subject,
    words: &Words,
    options: &AugmentOptions,
) -> Result<Vec<Proposal>, CoverageError> {
    let tokenizer = subject.tokenizer();
    let mut counts: AHashMap<char, u64> = AHashMap::new();
    for (word, n) in words.sorted() {
        for c in word.chars().filter(|c| options.script.contains(*c)) {
            *counts.entry(c).or_default() += n;
        }
    }
    let mut missing: Vec<(u64, char)> = counts
        .into_iter()
        .filter(|(c, n)| {
            *n >= options.min_count && tokenizer.id_of(c.encode_utf8(&mut [0; 4])).is_none()
        })
        .map(|(c, n)| (n, c))
        .collect();
    missing.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    missing.truncate((options.tokens as f64 * SINGLE_SHARE) as usize);
    missing
        .into_iter()
        .map(|(_, c)| {
            let token = c.to_string();
            let bytes: Option<Vec<u32>> = token
                .bytes()
                .map(|b| tokenizer.id_of(&format!("<0x{b:02X}>")))
                .collect();
            Ok(Proposal {
                pieces: bytes.map_or_else(|| tokenizer.model_pieces(&token), Ok)?,
                token,
                score: 0.0,
            })
        })
        .collect()
}

/// One part of a word: an old piece, or a new character with the old pieces it replaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Part {
    token: String,
    pieces: Vec<u32>,
}

/// The parts of a word, cut where bytes or unknown pieces remain: these are never merged.
fn runs(
    subject: &Subject,
    known: &AHashMap<&str, &Proposal>,
    word: &str,
) -> Result<Vec<Vec<Part>>, CoverageError> {
    let mut runs = vec![Vec::new()];
    let mut bytes: Vec<u8> = Vec::new();
    for id in subject.tokenizer().model_pieces(word)? {
        let raw = subject.entry(id).map_or("", |e| e.raw.as_str());
        if !subject.tokenizer().byte_level()
            && let Some(byte) = fallback_byte(raw)
        {
            bytes.push(byte);
            let character = std::str::from_utf8(&bytes).ok();
            if let Some(new) = character.and_then(|c| known.get(c)) {
                push(&mut runs, new.token.clone(), new.pieces.clone());
                bytes.clear();
            } else if character.is_some() || bytes.len() >= 4 {
                bytes.clear();
                runs.push(Vec::new());
            }
        } else if subject.flags(id).unknown || raw.is_empty() {
            bytes.clear();
            runs.push(Vec::new());
        } else {
            bytes.clear();
            push(&mut runs, raw.to_owned(), vec![id]);
        }
    }
    runs.retain(|run| run.len() > 1);
    Ok(runs)
}

fn push(runs: &mut [Vec<Part>], token: String, pieces: Vec<u32>) {
    if let Some(run) = runs.last_mut() {
        run.push(Part { token, pieces });
    }
}

/// Letters that stand for parts while the trainer runs.
#[derive(Debug, Default)]
struct Letters {
    parts: Vec<Part>,
    numbers: AHashMap<Part, usize>,
}

impl Letters {
    fn of(&mut self, part: &Part) -> Option<char> {
        if let Some(number) = self.numbers.get(part) {
            return letter(*number);
        }
        let number = self.parts.len();
        self.parts.push(part.clone());
        self.numbers.insert(part.clone(), number);
        letter(number)
    }

    /// The token and the old pieces that a string of letters stands for.
    fn read(&self, letters: &str) -> (String, Vec<u32>) {
        let mut token = String::new();
        let mut pieces = Vec::new();
        for part in letters.chars().filter_map(|c| self.parts.get(number(c))) {
            token.push_str(&part.token);
            pieces.extend(&part.pieces);
        }
        (token, pieces)
    }
}

/// The two last code points of each plane are not characters.
fn letter(number: usize) -> Option<char> {
    let offset = if number < 0xFFFE { number } else { number + 2 };
    (number < LETTERS)
        .then(|| char::from_u32(FIRST_LETTER + offset as u32))
        .flatten()
}

fn number(letter: char) -> usize {
    let offset = (u32::from(letter).saturating_sub(FIRST_LETTER)) as usize;
    if offset < 0xFFFE { offset } else { offset - 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stand_for_parts_and_back() {
        for n in [0, 1, 0xFFFD, 0xFFFE, LETTERS - 1] {
            let c = letter(n).expect("in range");
            assert_eq!(number(c), n);
        }
        assert_eq!(letter(LETTERS), None);
        let mut letters = Letters::default();
        let part = |token: &str, id| Part {
            token: token.into(),
            pieces: vec![id],
        };
        let spelled: String = [part("▁영", 7), part("업", 9), part("▁영", 7)]
            .iter()
            .map(|p| letters.of(p).expect("a letter"))
            .collect();
        assert_eq!(letters.parts.len(), 2);
        assert_eq!(letters.read(&spelled), ("▁영업▁영".into(), vec![7, 9, 7]));
    }
}
