//! The part of a passage that a triplet is about.
//!
//! A rule changes one sentence and cannot know what the others say: in a whole passage the next one
//! often contradicts it. An excerpt of a sentence or two has little to contradict.

use std::ops::Range;

use crate::document::draw;
use crate::transform::sentence::sentences;

/// Letters and digits that an excerpt has at least.
const LEAST: usize = 12;
/// Excerpts of a passage at most.
const MOST: usize = 24;

/// Runs of one to `most` whole sentences, in an order that is the document's own chance; the whole
/// text alone where `most` is 0.
#[must_use]
pub fn excerpts<'a>(text: &'a str, most: usize, document: &str) -> Vec<&'a str> {
    if most == 0 {
        return vec![text];
    }
    let found = sentences(text);
    let mut runs: Vec<(u64, Range<usize>)> = (1..=most)
        .flat_map(|n| found.windows(n))
        .map(|run| run[0].start..run[run.len() - 1].end)
        .filter(|range| {
            let letters = text[range.clone()].chars().filter(|c| c.is_alphanumeric());
            letters.take(LEAST).count() == LEAST
        })
        .map(|range| {
            let key = format!("{document}|{}|{}", range.start, range.end);
            (draw(&blake3::hash(key.as_bytes())), range)
        })
        .collect();
    runs.sort_by_key(|(drawn, range)| (*drawn, range.start, range.end));
    runs.truncate(MOST);
    runs.into_iter().map(|(_, range)| &text[range]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "3분기 매출은 전년 동기 대비 12% 늘었다. 증권가는 놀랐다.\n그렇다. \
                        영업이익은 컨센서스를 8% 하회했다. 회사는 배당을 그대로 유지하기로 했다.";

    #[test]
    fn excerpts_are_runs_of_sentences_that_say_enough() {
        assert_eq!(excerpts(TEXT, 0, "a"), [TEXT]);
        let mut one = excerpts(TEXT, 1, "a");
        one.sort_unstable();
        assert_eq!(
            one,
            [
                "3분기 매출은 전년 동기 대비 12% 늘었다.",
                "영업이익은 컨센서스를 8% 하회했다.",
                "회사는 배당을 그대로 유지하기로 했다."
            ]
        );
        let two = excerpts(TEXT, 2, "a");
        assert_eq!(two.len(), 6);
        assert!(two.contains(&"3분기 매출은 전년 동기 대비 12% 늘었다. 증권가는 놀랐다."));
        assert!(excerpts("짧다.", 2, "a").is_empty());
    }

    #[test]
    fn the_order_is_the_documents_own() {
        assert_eq!(excerpts(TEXT, 2, "a"), excerpts(TEXT, 2, "a"));
        let orders: std::collections::BTreeSet<Vec<&str>> =
            (0..8).map(|i| excerpts(TEXT, 2, &i.to_string())).collect();
        assert!(orders.len() > 4, "{orders:?}");
        let long = "가나다라마바사아자차카타파하. ".repeat(60);
        assert_eq!(excerpts(&long, 2, "a").len(), MOST);
    }
}
