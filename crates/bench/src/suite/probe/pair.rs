//! What can be seen of a pair without reading it: lengths, overlap, where the edit is, numbers, negation,
//! sentences, connectives.

use std::collections::HashSet;
use std::hash::Hash;

/// The names of the features, in their order. Shares are of the source.
pub const FEATURES: [&str; 26] = [
    "characters of the source",
    "characters of the text",
    "ratio of characters",
    "difflib ratio of characters",
    "equal at the start",
    "equal at the end",
    "span of the edit",
    "edits of words",
    "edits of words, share",
    "largest edit of words, share",
    "words put in, share",
    "words taken out, share",
    "Jaccard of 2-grams",
    "Jaccard of 3-grams",
    "Jaccard of words",
    "3-grams of the text that are in the source",
    "3-grams of the source that are in the text",
    "numbers that are shared",
    "numbers that are new",
    "numbers that are gone",
    "difference of digits",
    "negations of the text",
    "difference of negations",
    "difference of sentences",
    "difference of commas",
    "difference of connectives",
];

/// The features of a source and a text.
pub fn features(source: &str, text: &str) -> [f64; FEATURES.len()] {
    let characters = [source, text].map(|t| t.chars().collect::<Vec<char>>());
    let [a, b] = &characters;
    let words = [source, text].map(|t| t.split_whitespace().collect::<Vec<&str>>());
    let [n1, n2] = [a.len().max(1) as f64, b.len() as f64];
    let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let end = a[start..].iter().rev().zip(b[start..].iter().rev());
    let end = end.take_while(|(a, b)| a == b).count();
    let longer = a.len().max(b.len());
    let edits = edits(&words[0], &words[1]);
    let all_words = words[0].len().max(1) as f64;
    let edited = |of: &dyn Fn(&[usize; 2]) -> usize| edits.iter().map(of).sum::<usize>() as f64;
    let largest = edits.iter().flatten().max().copied().unwrap_or_default();
    let grams = |n: usize| [a, b].map(|characters| set(characters.windows(n)));
    let ([p2, q2], [p3, q3]) = (grams(2), grams(3));
    let [w1, w2] = words.each_ref().map(|w| set(w.iter()));
    let both = p3.intersection(&q3).count() as f64;
    let [m1, m2] = [source, text].map(|t| numbers(t).into_iter().collect::<HashSet<_>>());
    let difference = |count: &dyn Fn(&str) -> usize| count(text) as f64 - count(source) as f64;
    [
        a.len() as f64,
        n2,
        n2 / n1,
        ratio(a, b),
        start as f64 / n1,
        end as f64 / n1,
        (longer - start - end) as f64 / longer.max(1) as f64,
        edits.len() as f64,
        edits.len() as f64 / all_words,
        largest as f64 / all_words,
        edited(&|edit| edit[1]) / all_words,
        edited(&|edit| edit[0]) / all_words,
        jaccard(&p2, &q2),
        jaccard(&p3, &q3),
        jaccard(&w1, &w2),
        both / q3.len().max(1) as f64,
        both / p3.len().max(1) as f64,
        m1.intersection(&m2).count() as f64,
        m2.difference(&m1).count() as f64,
        m1.difference(&m2).count() as f64,
        difference(&|t| t.chars().filter(char::is_ascii_digit).count()),
        negations(text) as f64,
        difference(&negations),
        difference(&sentences),
        difference(&|t| t.matches(',').count()),
        difference(&connectives),
    ]
}

fn set<T: Hash + Eq>(items: impl Iterator<Item = T>) -> HashSet<T> {
    items.collect()
}

/// Shared items over all; 1 where neither has any.
fn jaccard<T: Hash + Eq>(a: &HashSet<T>, b: &HashSet<T>) -> f64 {
    let both = a.intersection(b).count();
    let all = a.len() + b.len() - both;
    if all == 0 {
        1.0
    } else {
        both as f64 / all as f64
    }
}

/// Runs of digits with the separators inside them.
fn numbers(text: &str) -> Vec<&str> {
    let other = |c: char| !(c.is_ascii_digit() || c == '.' || c == ',');
    let runs = text.split(other).map(|run| run.trim_matches(['.', ',']));
    runs.filter(|run| !run.is_empty()).collect()
}

/// How often parts of Korean words and whole English words occur, in lower case.
fn occurrences(text: &str, korean: &[&str], english: &[&str]) -> usize {
    let text = text.to_lowercase();
    let korean: usize = korean.iter().map(|part| text.matches(part).count()).sum();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '\''));
    korean + words.filter(|word| english.contains(word)).count()
}

fn negations(text: &str) -> usize {
    const KOREAN: [&str; 9] = [
        "않", "아니", "못하", "못한", "없", "말아", "불가", "금지", "제외",
    ];
    const ENGLISH: [&str; 16] = [
        "not",
        "no",
        "never",
        "none",
        "neither",
        "nor",
        "without",
        "cannot",
        "unless",
        "except",
        "fails",
        "failed",
        "fail",
        "failure",
        "prohibits",
        "prohibited",
    ];
    let lower = text.to_lowercase().replace('’', "'");
    occurrences(text, &KOREAN, &ENGLISH) + lower.matches("n't").count()
}

fn connectives(text: &str) -> usize {
    const KOREAN: [&str; 16] = [
        "다만",
        "그러나",
        "하지만",
        "한편",
        "또한",
        "또는",
        "및",
        "따라",
        "때문",
        "위하여",
        "경우",
        "에도",
        "으나",
        "지만",
        "때에는",
        "뿐",
    ];
    const ENGLISH: [&str; 20] = [
        "however", "but", "although", "though", "while", "because", "since", "as", "and", "or",
        "if", "where", "when", "even", "only", "provided", "after", "before", "owing", "due",
    ];
    occurrences(text, &KOREAN, &ENGLISH)
}

/// Stops after a letter, a bracket or `%` (not a digit), at the end or before white space.
fn sentences(text: &str) -> usize {
    let quote = |c: char| matches!(c, '"' | '\'' | '”' | '’' | ')');
    let mut rest = text.trim_end().trim_end_matches(quote);
    let open = !rest.ends_with(['.', '!', '?']) && !rest.is_empty();
    rest = rest.trim_end_matches(['.', '!', '?']);
    let ends = rest.split_whitespace().filter(|word| {
        let bare = word.trim_end_matches(quote);
        let before = bare.strip_suffix(['.', '!', '?']).unwrap_or_default();
        before.ends_with(|c: char| c.is_alphabetic() || c == '%' || quote(c))
    });
    ends.count() + usize::from(open || !rest.is_empty())
}

/// Shared items of the equal blocks, twice, over all: `difflib.SequenceMatcher(None, a, b, False).ratio()`.
fn ratio<T: Eq>(a: &[T], b: &[T]) -> f64 {
    let shared: usize = equal_blocks(a, b).iter().map(|block| block.2).sum();
    let all = a.len() + b.len();
    if all == 0 {
        1.0
    } else {
        2.0 * shared as f64 / all as f64
    }
}

/// Items of `a` and of `b` in each edit between two equal blocks.
fn edits<T: Eq>(a: &[T], b: &[T]) -> Vec<[usize; 2]> {
    let mut blocks = equal_blocks(a, b);
    blocks.push((a.len(), b.len(), 0));
    let mut ends = (0, 0);
    let mut found = Vec::new();
    for (i, j, length) in blocks {
        found.push([i - ends.0, j - ends.1]);
        ends = (i + length, j + length);
    }
    found.retain(|edit| *edit != [0, 0]);
    found
}

/// Start in `a`, start in `b` and length of the blocks that difflib matches: the longest, then those to
/// its left and right (J. W. Ratcliff and D. E. Metzener, 1988).
fn equal_blocks<T: Eq>(a: &[T], b: &[T]) -> Vec<(usize, usize, usize)> {
    let mut blocks = Vec::new();
    let mut open = vec![(0, a.len(), 0, b.len())];
    let mut lengths = vec![0_usize; b.len() + 1];
    while let Some((a0, a1, b0, b1)) = open.pop() {
        let mut best = (a0, b0, 0);
        lengths[b0..=b1].fill(0);
        for (i, one) in a.iter().enumerate().take(a1).skip(a0) {
            // From the right: the entry to the left is still that of the row above.
            for j in (b0..b1).rev() {
                let length = if *one == b[j] { lengths[j] + 1 } else { 0 };
                lengths[j + 1] = length;
                // Of blocks as long, the first in `a`, then in `b`.
                let start = (i + 1 - length, j + 1 - length);
                if length > best.2 || length == best.2 && length > 0 && start < (best.0, best.1) {
                    best = (start.0, start.1, length);
                }
            }
        }
        if best.2 > 0 {
            open.push((a0, best.0, b0, best.1));
            open.push((best.0 + best.2, a1, best.1 + best.2, b1));
            blocks.push(best);
        }
    }
    blocks.sort_unstable();
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_difflibs() {
        // difflib.SequenceMatcher(None, a, b, False).ratio()
        for (a, b, expected) in RATIOS {
            let [a, b] = [a, b].map(|t| t.chars().collect::<Vec<char>>());
            let found = ratio(&a, &b);
            assert!((found - expected).abs() < 1e-12, "{a:?} {b:?}: {found}");
        }
    }

    const RATIOS: [(&str, &str, f64); 7] = [
        ("abcd", "bcde", 0.75),
        (
            "매출이 12% 증가했다. 전망은 밝다.",
            "매출이 12% 감소했다. 전망도 밝다.",
            0.857_142_857_142_857_1,
        ),
        (
            "the bank will cut its rate",
            "its rate was cut by the bank",
            0.296_296_296_296_296_3,
        ),
        ("", "", 1.0),
        ("aaaa", "aa", 0.666_666_666_666_666_6),
        ("abxcd", "abcxd", 0.8),
        ("private", "primate volt", 0.631_578_947_368_421),
    ];

    #[test]
    fn features_are_what_their_names_say() {
        let of = |name: &str, a: &str, b: &str| {
            let at = FEATURES.iter().position(|f| *f == name).expect("a feature");
            features(a, b)[at]
        };
        let (a, b) = (
            "매출이 12% 증가했다. 전망은 밝다.",
            "매출이 12% 증가하지 않았다. 전망은 밝다.",
        );
        assert_eq!(of("difference of negations", a, b), 1.0);
        assert_eq!(of("numbers that are shared", a, b), 1.0);
        assert_eq!(of("edits of words", a, b), 1.0);
        assert_eq!(of("words put in, share", a, b), 0.4);
        assert_eq!(of("words taken out, share", a, b), 0.2);
        assert_eq!(
            of("equal at the end", a, "매출이 12% 감소했다. 전망은 밝다."),
            11.0 / 21.0
        );
        assert_eq!(
            of("numbers that are new", "1,200 won", "3 of 1,200 won."),
            1.0
        );
        assert_eq!(
            of("difference of digits", "1,200 won", "3 of 1,200 won."),
            1.0
        );
        assert_eq!(
            of("difference of negations", "It won't rise", "It will rise"),
            -1.0
        );
        assert_eq!(
            of("difference of connectives", "a or b", "a and b, but if c"),
            2.0
        );
        for (text, expected) in [
            ("", 0),
            ("하나", 1),
            ("하나다. 둘이다.", 2),
            ("It rose 2.5% at 3.5. Then it fell.", 1),
            ("It rose (2 %). He said \"no.\"", 2),
        ] {
            assert_eq!(sentences(text), expected, "{text}");
        }
        for (a, b) in [("", ""), ("a", ""), ("", "b"), ("같다", "같다")] {
            assert!(features(a, b).iter().all(|f| f.is_finite()), "{a} {b}");
        }
    }
}
