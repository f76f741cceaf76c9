//! R10: personal data. What is found is named by kind and row; the text itself is shown redacted.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::super::Subject;
use super::super::report::Notes;
use super::{Gate, gate};
use korfinsts_base::digits;

/// One kind of personal data: its name, the pattern, and what must hold of the digits found.
struct Kind {
    name: &'static str,
    pattern: &'static str,
    holds: fn(&[u8]) -> bool,
}

/// Every kind, the most telling first; what one has found the next ones do not look at again.
static KINDS: &[Kind] = &[
    // No checksum is asked for: numbers issued after October 2020 have none.
    Kind {
        name: "resident registration number",
        pattern: r"(?<![\d-])\d{6}\s?[-–]?\s?[0-9]\d{6}(?![\d-])",
        holds: digits::begins_with_day,
    },
    Kind {
        name: "card number",
        pattern: r"(?<![\d-])\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}(?![\d-])",
        holds: |digits| digits::is_card(digits) && digits[0] != 0,
    },
    Kind {
        name: "phone number",
        pattern: r"(?<![\d.,-])(?:\+82[ -]?\(?0?\)?1[016789]|01[016789])[ .-]?\d{3,4}[ .-]?\d{4}(?![\d-])|(?<![\d.,-])(?:\+82[ -]?[2-6]\d?|0(?:2|[3-6]\d|70|50\d))[ .)-]\s?\d{3,4}[ .-]\d{4}(?![\d-])",
        holds: |_| true,
    },
    Kind {
        name: "account number",
        pattern: r"(?:계좌(?:번호)?|[Aa]ccount(?: (?:[Nn]umber|[Nn]o\.?))?)[^\d\n]{0,12}\d(?:[ -]?\d){9,15}(?!\d)|(?<![\d-])\d{3,6}-\d{2,6}-\d{5,8}(?:-\d{1,3})?(?![\d-])",
        holds: |digits| (10..=16).contains(&digits.len()),
    },
    Kind {
        name: "e-mail address",
        pattern: r"(?i)(?<![a-z0-9._%+-])[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*\.[a-z]{2,24}",
        holds: |_| true,
    },
];

static PATTERNS: LazyLock<Vec<Option<Regex>>> =
    LazyLock::new(|| KINDS.iter().map(|k| Regex::new(k.pattern).ok()).collect());

pub(super) const GATE: Gate = gate("R10", "personal data", false, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let mut texts = 0;
    for (_, row) in subject.rows() {
        let labels = row.labels.iter().map(|(k, v)| (k.as_str(), v));
        for (column, text) in [("sentence1", &row.sentence1), ("sentence2", &row.sentence2)]
            .into_iter()
            .chain(labels)
        {
            texts += 1;
            for (kind, redacted) in find(text) {
                notes.error(
                    Some(&row.id),
                    format!("`{column}` holds what looks like a {kind}: {redacted}"),
                    "replace it by an invented one that cannot exist, or remove the row",
                );
            }
        }
    }
    notes.fact(format!(
        "{texts} texts were searched for {} kinds of personal data",
        KINDS.len()
    ));
}

/// What was found in a text: kind, and the text with all but its first characters hidden.
fn find(text: &str) -> Vec<(&'static str, String)> {
    if !text.contains('@') && !text.bytes().any(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    let mut rest = text.to_owned();
    let mut found = Vec::new();
    for (kind, pattern) in KINDS.iter().zip(PATTERNS.iter()) {
        let Some(pattern) = pattern else { continue };
        let places: Vec<(usize, usize)> = pattern
            .find_iter(&rest)
            .flatten()
            .filter(|m| {
                let digits: Vec<u8> = m
                    .as_str()
                    .bytes()
                    .filter(u8::is_ascii_digit)
                    .map(|b| b - b'0')
                    .collect();
                (kind.holds)(&digits)
            })
            .map(|m| (m.start(), m.end()))
            .collect();
        for (start, end) in places.into_iter().rev() {
            found.push((kind.name, redact(&rest[start..end])));
            rest.replace_range(start..end, &" ".repeat(end - start));
        }
    }
    found
}

fn redact(text: &str) -> String {
    let shown: String = text.chars().take(2).collect();
    format!(
        "`{shown}{}`",
        "*".repeat(text.chars().count().saturating_sub(2))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert!(PATTERNS.iter().all(Option::is_some));
    }

    #[test]
    fn personal_data_is_told_from_figures() {
        for (text, kind) in [
            (
                "주민번호 900101-1234567 입니다",
                "resident registration number",
            ),
            ("0012314123456", "resident registration number"),
            ("전화 010-1234-5678", "phone number"),
            ("01012345678로", "phone number"),
            ("+82 10 1234 5678", "phone number"),
            ("02-555-1234", "phone number"),
            ("카드 4111-1111-1111-1111", "card number"),
            ("계좌번호: 110 123 456789", "account number"),
            ("110-123-456789", "account number"),
            ("hong.gildong@example.co.kr에", "e-mail address"),
        ] {
            let found: Vec<&str> = find(text).iter().map(|f| f.0).collect();
            assert_eq!(found, [kind], "{text}");
        }
        for text in [
            "매출은 1,234,567,890원이다.",
            "2026-11-23에 공시했다.",
            "2024년 1월 1일부터 2024년 12월 31일까지",
            "코스피는 2,650.12포인트",
            "사업자 991301-1234567",
            "4111-1111-1111-1112",
            "1234567890123 주",
            "@한국은행",
        ] {
            assert!(find(text).is_empty(), "{text}: {:?}", find(text));
        }
    }

    #[test]
    fn what_is_found_is_redacted() {
        for (_, shown) in find("a@b.kr 그리고 010-1234-5678") {
            assert!(!shown.contains("5678") && !shown.contains(".kr"), "{shown}");
        }
    }
}
