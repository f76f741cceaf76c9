//! What tells positive from negative without reading: overlap and length.

use std::collections::HashSet;

use crate::Triplet;
use crate::generation::Shortcut;
use korfinsts_bench::suite::probe::{self, Example};
use korfinsts_metric::auc;

/// Least and greatest AUC that pass.
pub const ALLOWED: [f64; 2] = [0.35, 0.65];
/// Least number of triplets at which the check says anything: below it an AUC of 0.5 leaves the
/// bounds by chance.
pub const LEAST: usize = 20;

/// Character-trigram Jaccard similarity of two texts, in \[0, 1\]: trigrams of the lower-cased
/// text, white space included; a text shorter than a trigram is one gram.
#[must_use]
pub fn overlap(a: &str, b: &str) -> f64 {
    let grams = |text: &str| -> HashSet<String> {
        let characters: Vec<char> = text.to_lowercase().chars().collect();
        if characters.len() < 3 {
            return HashSet::from([characters.iter().collect()]);
        }
        characters.windows(3).map(|w| w.iter().collect()).collect()
    };
    let (a, b) = (grams(a), grams(b));
    let both = a.intersection(&b).count();
    both as f64 / (a.len() + b.len() - both) as f64
}

/// Characters that `b` has more than `a`.
#[must_use]
pub fn longer(a: &str, b: &str) -> f64 {
    b.chars().count() as f64 - a.chars().count() as f64
}

/// Overlap with the anchor and minus the absolute difference in length, of positive and negative.
#[must_use]
pub fn features(anchor: &str, positive: &str, negative: &str) -> [[f64; 2]; 2] {
    [
        [overlap(anchor, positive), overlap(anchor, negative)],
        [
            -longer(anchor, positive).abs(),
            -longer(anchor, negative).abs(),
        ],
    ]
}

/// AUCs of overlap and of length over triplets' features; `None` where there is no triplet.
#[must_use]
pub fn aucs(features: &[[[f64; 2]; 2]]) -> Option<[f64; 2]> {
    let of = |which: usize| {
        let mut predicted = Vec::with_capacity(2 * features.len());
        let mut gold = Vec::with_capacity(2 * features.len());
        for feature in features {
            let [positive, negative] = feature[which];
            predicted.extend([positive, negative]);
            gold.extend([1.0, 0.0]);
        }
        auc(&predicted, &gold).ok()
    };
    Some([of(0)?, of(1)?])
}

/// Positives and negatives as probes see them.
fn examples(triplets: &[Triplet]) -> Vec<Example<'_>> {
    let mut found = Vec::new();
    for triplet in triplets {
        for (text, positive) in [(&triplet.positive, true), (&triplet.negative, false)] {
            found.push(Example {
                source: &triplet.anchor,
                text,
                positive,
                cluster: &triplet.document,
                language: &triplet.language,
            });
        }
    }
    found
}

/// The check over a set of triplets.
#[must_use]
pub fn check(triplets: &[Triplet], naive: &[[[f64; 2]; 2]]) -> Shortcut {
    let all: Vec<[[f64; 2]; 2]> = triplets
        .iter()
        .map(|t| features(&t.anchor, &t.positive, &t.negative))
        .collect();
    let found = aucs(&all);
    let mut by_language = std::collections::BTreeMap::new();
    let languages: HashSet<&str> = triplets.iter().map(|t| t.language.as_str()).collect();
    for language in languages {
        let part: Vec<[[f64; 2]; 2]> = triplets
            .iter()
            .zip(&all)
            .filter(|(t, _)| t.language == language)
            .map(|(_, f)| *f)
            .collect();
        if let Some(found) = aucs(&part) {
            by_language.insert(language.to_owned(), found);
        }
    }
    let nearer = all.iter().filter(|[[p, n], _]| n > p).count();
    Shortcut {
        allowed: ALLOWED,
        least: LEAST,
        passed: found
            .filter(|_| triplets.len() >= LEAST)
            .map(|f| f.iter().all(|a| (ALLOWED[0]..=ALLOWED[1]).contains(a))),
        overlap_auc: found.map(|f| f[0]),
        length_auc: found.map(|f| f[1]),
        negative_nearer: (!all.is_empty()).then(|| nearer as f64 / all.len() as f64),
        by_language,
        probes: probe::probe(&examples(triplets)),
        naive: aucs(naive),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_the_share_of_trigrams() {
        for (a, b, expected) in [
            ("abcd", "abcd", 1.0),
            ("abcd", "bcde", 1.0 / 3.0),
            ("abc", "xyz", 0.0),
            ("ABC", "abc", 1.0),
            ("증가했다", "감소했다", 0.0),
            ("", "", 1.0),
        ] {
            assert_eq!(overlap(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn negatives_that_are_always_nearer_give_an_auc_of_nought() {
        let near = [[0.4, 0.9], [-20.0, 0.0]];
        let far = [[0.9, 0.4], [0.0, -20.0]];
        assert_eq!(aucs(&[near, near]), Some([0.0, 0.0]));
        assert_eq!(aucs(&[near, far]), Some([0.5, 0.5]));
        assert_eq!(aucs(&[]), None);
    }
}
