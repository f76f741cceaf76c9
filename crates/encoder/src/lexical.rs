//! Lexical baselines: similarity of two texts without a model.
//!
//! What these score on a suite is what its labels give away without any understanding. Add one
//! with a line in [`BASELINES`].

use std::collections::HashMap;

/// A similarity of two texts that needs no model.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    /// Name in tables and records.
    pub name: &'static str,
    /// One line for the help.
    pub summary: &'static str,
    score: fn(&str, &str) -> f64,
}

impl Baseline {
    /// The similarity of two texts; higher is more alike. Symmetric and always finite.
    ///
    /// The cosines are in [0, 1] up to rounding in the last digit, and are 0 where a text has no n-gram or no word (also when
    /// both have none); the length difference is 0 or below.
    #[must_use]
    pub fn score(&self, a: &str, b: &str) -> f64 {
        (self.score)(a, b)
    }
}

/// Every baseline, in the order of the tables.
pub static BASELINES: &[Baseline] = &[
    Baseline {
        name: "length",
        summary: "minus the difference of the lengths in characters",
        score: length,
    },
    Baseline {
        name: "2-grams",
        summary: "cosine of character 2-gram counts of the lower-cased texts",
        score: |a, b| cosine(&grams(a, 2), &grams(b, 2)),
    },
    Baseline {
        name: "3-grams",
        summary: "cosine of character 3-gram counts of the lower-cased texts",
        score: |a, b| cosine(&grams(a, 3), &grams(b, 3)),
    },
    Baseline {
        name: "words",
        summary: "cosine of counts of the lower-cased words (runs of letters, digits, underscore)",
        score: |a, b| cosine(&words(a), &words(b)),
    },
];

/// The baseline of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Baseline> {
    BASELINES.iter().find(|b| b.name == name)
}

fn length(a: &str, b: &str) -> f64 {
    -(a.chars().count().abs_diff(b.chars().count()) as f64)
}

fn grams(text: &str, n: usize) -> HashMap<Vec<char>, u64> {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let mut counts = HashMap::new();
    for gram in text.windows(n) {
        *counts.entry(gram.to_vec()).or_insert(0) += 1;
    }
    counts
}

fn words(text: &str) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    for word in text
        .to_lowercase()
        .split(|c: char| !is_word(c))
        .filter(|w| !w.is_empty())
    {
        *counts.entry(word.to_owned()).or_insert(0) += 1;
    }
    counts
}

/// Letters, numbers and underscore, as `\w` of Python: no combining marks, unlike Rust's notion
/// of alphanumeric, which counts those with the property Alphabetic.
fn is_word(c: char) -> bool {
    c == '_' || (c.is_alphanumeric() && !unicode_normalization::char::is_combining_mark(c))
}

fn cosine<K: Eq + std::hash::Hash>(a: &HashMap<K, u64>, b: &HashMap<K, u64>) -> f64 {
    let square = |counts: &HashMap<K, u64>| counts.values().map(|n| n * n).sum::<u64>() as f64;
    let shared: u64 = a
        .iter()
        .filter_map(|(key, n)| b.get(key).map(|m| n * m))
        .sum();
    if shared == 0 {
        return 0.0;
    }
    // Two roots, not one of the product: published figures were made so, and the last digit
    // decides which of two nearly equal pairs ranks higher.
    shared as f64 / (square(a).sqrt() * square(b).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_give_the_values_worked_out_by_hand() {
        for (name, a, b, expected) in [
            ("length", "금리", "금리가 올랐다", -5.0),
            ("length", "e\u{301}", "é", -1.0),
            ("length", "", "", 0.0),
            ("2-grams", "abab", "ab", 2.0 / (4.0_f64 + 1.0).sqrt()),
            ("2-grams", "a", "a", 0.0),
            ("3-grams", "ABC", "abc", 1.0),
            ("3-grams", "abcd", "bcde", 0.5),
            (
                "words",
                "Rates rose, rates fell",
                "rates fell",
                3.0 / (6.0_f64 * 2.0).sqrt(),
            ),
            ("words", "...", "...", 0.0),
            ("words", "a_1 b", "a_1", 1.0 / 2.0_f64.sqrt()),
        ] {
            let score = find(name).expect("it is in the list").score(a, b);
            assert!(
                (score - expected).abs() < 1e-12,
                "{name}({a}, {b}) = {score}"
            );
        }
    }
}
