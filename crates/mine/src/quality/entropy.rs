//! How unlike its source a text is: bits per character under a character trigram model.

use serde::{Deserialize, Serialize};

use crate::minhash::mix;

const TRIGRAMS: usize = 1 << 21;
const BIGRAMS: usize = 1 << 19;
const LETTERS: usize = 1 << 14;
/// Weight of the shorter context, in characters.
const BACKOFF: f32 = 4.0;

/// Limits of what is unlike its source.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntropyLimits {
    /// Percentile of the held-out texts above which a text is dropped.
    pub percentile: f64,
    /// Times which the percentile is the limit.
    pub slack: f64,
    /// Texts of a source that are looked at.
    pub sample: usize,
}

/// A character trigram model with hashed counts and linear back-off.
#[derive(Debug, Clone)]
pub struct Model {
    trigrams: Vec<u32>,
    bigrams: Vec<u32>,
    letters: Vec<u32>,
    total: u32,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            trigrams: vec![0; TRIGRAMS],
            bigrams: vec![0; BIGRAMS],
            letters: vec![0; LETTERS],
            total: 0,
        }
    }
}

fn slots(a: u32, b: u32, c: u32) -> (usize, usize, usize) {
    let pair = mix(u64::from(b) << 21 | u64::from(c));
    let three = mix(u64::from(a) << 42 ^ u64::from(b) << 21 ^ u64::from(c));
    (
        three as usize % TRIGRAMS,
        pair as usize % BIGRAMS,
        mix(u64::from(c)) as usize % LETTERS,
    )
}

impl Model {
    /// Learns a text.
    pub fn learn(&mut self, text: &str) {
        let (mut a, mut b) = (0, 0);
        for c in text.chars() {
            let c = u32::from(c);
            let (three, two, one) = slots(a, b, c);
            self.trigrams[three] += 1;
            self.bigrams[two] += 1;
            self.letters[one] += 1;
            self.total += 1;
            (a, b) = (b, c);
        }
    }

    /// Bits per character of a text; 0 of an empty one.
    #[must_use]
    pub fn bits(&self, text: &str) -> f64 {
        let (mut a, mut b) = (0, 0);
        // Contexts carry over: the count of `ab` is the context of `abc`.
        let (mut context2, mut context1) = (0.0_f32, self.total as f32);
        let mut bits = 0.0;
        let mut product = 1.0_f64;
        let mut characters = 0_u64;
        for c in text.chars() {
            let c = u32::from(c);
            let (three, two, one) = slots(a, b, c);
            let (n3, n2, n1) = (
                self.trigrams[three] as f32,
                self.bigrams[two] as f32,
                self.letters[one] as f32,
            );
            let p1 = (n1 + 0.5) / (self.total as f32 + 65536.0);
            let p2 = (n2 + BACKOFF * p1) / (context1.max(n2) + BACKOFF);
            let p3 = (n3 + BACKOFF * p2) / (context2.max(n3) + BACKOFF);
            product *= f64::from(p3);
            characters += 1;
            if characters.is_multiple_of(16) {
                bits -= product.log2();
                product = 1.0;
            }
            (a, b) = (b, c);
            (context2, context1) = (n2, n1);
        }
        bits -= product.log2();
        if characters == 0 {
            0.0
        } else {
            bits / characters as f64
        }
    }
}

/// A model of a source with the bits per character that none of its texts should pass.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// The model.
    pub model: Model,
    /// Most bits per character.
    pub limit: f64,
    /// Texts it was learned from and measured on.
    pub texts: usize,
}

/// Least texts of a source for which a percentile means something.
pub const LEAST: usize = 200;

/// Learns a model from every other text and takes the limit from the rest; `None` where there are
/// fewer than [`LEAST`] texts.
#[must_use]
pub fn calibrate(texts: &[String], limits: EntropyLimits) -> Option<Calibrated> {
    if texts.len() < LEAST {
        return None;
    }
    let mut model = Model::default();
    for text in texts.iter().step_by(2) {
        model.learn(text);
    }
    let mut bits: Vec<f64> = texts
        .iter()
        .skip(1)
        .step_by(2)
        .map(|t| model.bits(t))
        .collect();
    bits.sort_by(f64::total_cmp);
    let at = ((limits.percentile / 100.0) * (bits.len() - 1) as f64).round() as usize;
    let limit = bits.get(at.min(bits.len() - 1)).copied()? * limits.slack;
    Some(Calibrated {
        model,
        limit,
        texts: texts.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_errors_costs_more_bits() {
        let words = [
            "기준금리",
            "인상",
            "동결",
            "물가",
            "안정",
            "성장률",
            "전망",
            "하락",
            "한국은행",
            "결정",
        ];
        let text = |seed: u64| -> String {
            (0..40)
                .map(|i| words[mix(seed << 8 | i) as usize % words.len()])
                .collect::<Vec<_>>()
                .join(" ")
        };
        let texts: Vec<String> = (0..400).map(text).collect();
        let limits = EntropyLimits {
            percentile: 97.5,
            slack: 1.0,
            sample: 400,
        };
        let calibrated = calibrate(&texts, limits).expect("enough texts");
        let clean: Vec<f64> = (1000..1200)
            .map(|s| calibrated.model.bits(&text(s)))
            .collect();
        let dropped = clean.iter().filter(|b| **b > calibrated.limit).count();
        assert!(
            dropped <= 14,
            "{dropped} of 200 clean texts are above the limit"
        );
        let typos = text(1).replace("금리", "글미").replace("동결", "돈겲");
        assert!(calibrated.model.bits(&typos) > calibrated.limit);
        assert!(calibrate(&texts[..100], limits).is_none());
        assert_eq!(calibrated.model.bits(""), 0.0);
    }
}
