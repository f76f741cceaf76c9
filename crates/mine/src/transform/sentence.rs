//! Sentences of a document, as byte ranges: rules work on one sentence, and the document is joined
//! again without a change elsewhere.

use std::ops::Range;

/// English words after which a full stop ends no sentence.
const ABBREVIATIONS: [&str; 24] = [
    "Inc", "Corp", "Co", "Ltd", "No", "U.S", "U.K", "U.S.A", "e.g", "i.e", "vs", "Mr", "Ms", "Mrs",
    "Dr", "St", "Jr", "Sr", "approx", "Nos", "Art", "Sec", "L.P", "Cos",
];

/// The sentences of `text`: from their first character to their full stop and what closes them
/// (quotes, brackets); white space between them belongs to none. A line ends a sentence.
#[must_use]
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    let mut end = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let next = at + c.len_utf8();
        if c == '\n' {
            if let Some(start) = start.take() {
                found.push(start..end);
            }
            continue;
        }
        if c.is_whitespace() {
            continue;
        }
        let begin = *start.get_or_insert(at);
        end = next;
        if !matches!(c, '.' | '!' | '?' | '。') {
            continue;
        }
        while let Some((at, c)) = characters.peek().copied() {
            if !matches!(
                c,
                '.' | '!' | '?' | '"' | '\'' | '”' | '’' | ')' | ']' | '」'
            ) {
                break;
            }
            end = at + c.len_utf8();
            characters.next();
        }
        let ends = characters.peek().is_none_or(|(_, c)| c.is_whitespace());
        if ends && !abbreviated(&text[begin..at]) {
            found.push(begin..end);
            start = None;
        }
    }
    if let Some(start) = start {
        found.push(start..end);
    }
    found
}

/// Whether the text before a full stop is an abbreviation or a lone number or letter (`1.`,
/// `가.`), which opens an item of a list.
fn abbreviated(before: &str) -> bool {
    let word = before.split_whitespace().next_back().unwrap_or_default();
    let word = word.trim_start_matches(['(', '"', '\'', '“']);
    let lone = word.chars().count() <= 2
        && before.trim() == word
        && word.chars().all(char::is_alphanumeric);
    let initial = word.len() == 1 && word.chars().all(|c| c.is_ascii_uppercase());
    lone || initial || ABBREVIATIONS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_a_reader_says_so() {
        for (text, expected) in [
            ("하나다. 둘이다.", vec!["하나다.", "둘이다."]),
            ("1.2%를 기록했다.", vec!["1.2%를 기록했다."]),
            (
                "\"그렇다.\" 그는 말했다.",
                vec!["\"그렇다.\"", "그는 말했다."],
            ),
            ("제목\n1. 이유\n 끝 ", vec!["제목", "1. 이유", "끝"]),
            (
                "Acme Inc. rose. The U.S. market fell.",
                vec!["Acme Inc. rose.", "The U.S. market fell."],
            ),
            ("Really?! Yes...", vec!["Really?!", "Yes..."]),
            ("", vec![]),
            (" \n ", vec![]),
        ] {
            let found: Vec<&str> = sentences(text).into_iter().map(|r| &text[r]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
