//! Personal data: numbers, addresses, and names next to titles. They are masked, or their document is dropped.
//!
//! To add a kind: a line in [`KINDS`]. Names are data, `training/personal/`.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::{Candidate, Drop, RowEntry, RowStep};
use crate::MineError;
use crate::setup::Setup;
use crate::shipped::{Shipped, parse};
use crate::transform::rule::{Edit, apply};
use korfinsts_base::digits;
use korfinsts_base::embedded::Folder;

/// Id of the step.
pub(crate) const ID: &str = "personal";

pub(super) const ENTRY: RowEntry = RowEntry {
    id: ID,
    about: "resident, phone, account and card numbers, e-mail addresses, names next to titles",
    open: |setup| {
        let names = Names::built_in()?;
        Ok(Box::new(PersonalStep { setup, names }))
    },
};

/// What is done with personal data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersonalData {
    /// It is left as it is, and not looked for.
    Keep,
    /// It is overwritten: digits by 0, letters of an address by x, a given name by ○○.
    #[default]
    Mask,
    /// Its document is dropped.
    Drop,
}

impl PersonalData {
    /// What a plan means that does not say: it was written before the step existed.
    pub(crate) fn unsaid() -> Self {
        Self::Keep
    }
}

/// A kind of numbers or addresses: the reason in verdicts, its pattern, and what must hold of the match.
struct Kind {
    reason: &'static str,
    pattern: &'static str,
    holds: fn(&str, &[u8]) -> bool,
}

/// The most telling first: what one has found the next ones do not look at again.
static KINDS: &[Kind] = &[
    Kind {
        reason: "resident-number",
        pattern: r"(?:(?:주민(?:등록)?|외국인(?:등록)?|거소신고) ?번호[^\d\n]{0,6})?\d{6} ?[-–]? ?\d{7}",
        holds: |text, digits| is_registration(text, digits) && matches!(digits[6], 0..=4 | 9),
    },
    Kind {
        reason: "foreigner-number",
        pattern: r"(?:(?:주민(?:등록)?|외국인(?:등록)?|거소신고) ?번호[^\d\n]{0,6})?\d{6} ?[-–]? ?\d{7}",
        holds: |text, digits| is_registration(text, digits) && matches!(digits[6], 5..=8),
    },
    Kind {
        reason: "card-number",
        pattern: r"\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}",
        // They begin with 3 to 6 or, in Korea alone, 9.
        holds: |_, digits| digits::is_card(digits) && matches!(digits[0], 3..=6 | 9),
    },
    Kind {
        reason: "phone-number",
        pattern: r"(?:\+82[ -]?\(?0?\)?1[016789]|01[016789])[ .-]?\d{3,4}[ .-]?\d{4}|(?:\+82[ -]?[2-6]\d?|0(?:2|[3-6]\d|70|50\d))[ )-] ?\d{3,4}[ -]\d{4}",
        holds: |_, _| true,
    },
    Kind {
        reason: "account-number",
        pattern: r"(?:계좌(?: ?번호)?|은행|농협|수협|뱅크|새마을금고|신협|우체국|[Aa]ccount(?: (?:[Nn]umber|[Nn]o\.?))?)[ :(]{1,3}\d{2,6}(?:[ -]\d{2,7}){1,3}|계좌 ?번호[^\d\n]{0,6}\d{10,14}",
        holds: |_, digits| (10..=14).contains(&digits.len()),
    },
    Kind {
        reason: "e-mail-address",
        pattern: r"(?i)[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*\.[a-z]{2,24}",
        holds: |_, _| true,
    },
];

static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let built = KINDS.iter().map(|k| Regex::new(k.pattern));
    built
        .collect::<Result<_, _>>()
        .unwrap_or_else(|e| panic!("a pattern of personal data: {e}"))
});

/// Reason of a name.
const NAME: &str = "name-with-title";

const SHIPPED: Shipped = Shipped {
    files: Folder::new::<korfinsts_training_data::Training>("personal/"),
    root: "training/personal",
    missing: |name| format!("no names `{name}` ship in this binary"),
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    surnames: String,
    given: String,
    titles: Vec<String>,
    words: Vec<String>,
    particles: Vec<String>,
    organisations: Vec<String>,
    common: Vec<String>,
}

/// Where names are: patterns whose groups hold one, and words that are none.
pub(crate) struct Names {
    /// Of people next to titles.
    pattern: Regex,
    /// Of organisations, and Latin words with a capital inside a sentence.
    others: Regex,
    words: Vec<String>,
}

impl Names {
    /// Those that ship.
    ///
    /// # Errors
    /// When the file is wrong.
    pub(crate) fn built_in() -> Result<Self, MineError> {
        let (path, bytes) = SHIPPED.built_in("ko")?;
        let file: File = parse(&path, &bytes)?;
        let any = |words: &[String]| {
            let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
            words.sort_by_key(|w| std::cmp::Reverse(w.len()));
            words.join("|")
        };
        let (titles, particles) = (any(&file.titles), any(&file.particles));
        let name = format!("[{}][{}]{{2}}", file.surnames, file.given);
        let end = format!("(?:{particles})?(?:[^가-힣]|$)");
        // Two Latin names after a title or an address; a Hangul name before or after a title.
        let pattern = format!(
            r"(?:^|[^가-힣])(?P<before>{name}) (?:[가-힣A-Za-z]{{1,12}} )?(?:{titles}){end}|(?:{titles})인? (?P<after>{name}){end}|\b(?:Mr|Ms|Mrs|Dr)\. (?P<address>[A-Z][a-z]+(?: [A-Z][a-z]+)?)|\b(?:CEO|CFO|Chairman|Governor|Chief Executive(?: Officer)?) (?P<latin>[A-Z][a-z]+ [A-Z][a-z]+)"
        );
        let organisation = format!("[가-힣A-Za-z0-9]{{1,10}}(?:{})", any(&file.organisations));
        let others = format!(
            r"(?:^|[^가-힣A-Za-z0-9])(?P<organisation>{organisation}){end}|[a-z가-힣0-9,;:)] (?P<word>[A-Z][A-Za-z&-]+)"
        );
        let regex = |pattern: &str| {
            Regex::new(pattern)
                .map_err(|e| MineError::data(&path, crate::Place::Whole, e.to_string(), None))
        };
        Ok(Self {
            pattern: regex(&pattern)?,
            others: regex(&others)?,
            words: file.words.into_iter().chain(file.common).collect(),
        })
    }

    /// Every name of a text: people next to titles, organisations, and Latin words with a capital inside a sentence.
    pub(crate) fn all(&self, text: &str) -> BTreeSet<String> {
        let people = self.groups(
            &self.pattern,
            text,
            &["before", "after", "address", "latin"],
        );
        let others = self.groups(&self.others, text, &["organisation", "word"]);
        let all = people.into_iter().chain(others);
        all.map(|range| text[range].to_owned()).collect()
    }

    /// Where groups of a pattern match, words that are no names left out. Matches may share what is between names.
    fn groups(&self, pattern: &Regex, text: &str, groups: &[&str]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(captures) = pattern.captures_at(text, at) {
            let Some(name) = groups.iter().find_map(|group| captures.name(group)) else {
                break;
            };
            // The last character may be what precedes the next name.
            let last = name.as_str().chars().next_back();
            at = name.end() - last.map_or(0, char::len_utf8);
            if !self.words.iter().any(|w| w == name.as_str()) {
                found.push(name.range());
            }
        }
        found
    }
}

struct PersonalStep<'a> {
    setup: &'a Setup,
    names: Names,
}

impl RowStep for PersonalStep<'_> {
    fn judge(&mut self, candidate: &mut Candidate) -> Result<Option<Drop>, MineError> {
        let action = self.setup.options.personal;
        if action == PersonalData::Keep {
            return Ok(None);
        }
        let found = self.names.find(&candidate.document.text);
        let Some(first) = found.first().map(|(reason, _)| *reason) else {
            return Ok(None);
        };
        if action == PersonalData::Drop {
            return Ok(Some(Drop::new(first, "found", found.len() as f64)));
        }
        for (reason, _) in &found {
            match candidate.masked.iter_mut().find(|m| m.0 == *reason) {
                Some((_, n)) => *n += 1,
                None => candidate.masked.push((*reason, 1)),
            }
        }
        let edits: Vec<Edit> = found.into_iter().map(|(_, edit)| edit).collect();
        let document = &mut candidate.document;
        document.text = apply(&document.text, &edits);
        document.id = crate::document_id(&document.text);
        Ok(None)
    }
}

impl Names {
    /// Personal data of a text in its order: the reason, and the edit that masks it.
    fn find(&self, text: &str) -> Vec<(&'static str, Edit)> {
        let mut found: Vec<(&'static str, Edit)> = Vec::new();
        let free = |found: &[(&'static str, Edit)], start: usize, end: usize| {
            found.iter().all(|(_, e)| e.end <= start || end <= e.start)
        };
        for (kind, pattern) in KINDS.iter().zip(PATTERNS.iter()) {
            for whole in pattern.find_iter(text) {
                let digits: Vec<u8> = whole
                    .as_str()
                    .bytes()
                    .filter(u8::is_ascii_digit)
                    .map(|b| b - b'0')
                    .collect();
                let (start, end) = (whole.start(), whole.end());
                if alone(text, start, end)
                    && (kind.holds)(whole.as_str(), &digits)
                    && free(&found, start, end)
                {
                    let text = mask(whole.as_str(), kind.reason == "e-mail-address");
                    found.push((kind.reason, Edit { start, end, text }));
                }
            }
        }
        for range in self.groups(
            &self.pattern,
            text,
            &["before", "after", "address", "latin"],
        ) {
            let (start, end) = (range.start, range.end);
            if !free(&found, start, end) {
                continue;
            }
            let hangul = |c: &char| ('가'..='힣').contains(c);
            let surname: String = text[range].chars().take(1).filter(hangul).collect();
            let text = format!("{surname}○○");
            found.push((NAME, Edit { start, end, text }));
        }
        found.sort_by_key(|(_, e)| e.start);
        found
    }
}

/// Whether a match is not a part of a longer number or word: no digit, dash, point or Latin letter touches it.
fn alone(text: &str, start: usize, end: usize) -> bool {
    let touches = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let decimal = |c: char| matches!(c, '.' | ',');
    let before = text[..start].chars().next_back();
    let mut after = text[end..].chars();
    let next = after.next();
    let number = text[start..].starts_with(|c: char| c.is_ascii_digit());
    let goes_on = next.is_some_and(decimal) && after.next().is_some_and(|c| c.is_ascii_digit());
    !(goes_on
        || next.is_some_and(touches)
        || number && before.is_some_and(|c| touches(c) || decimal(c)))
}

/// Digits become 0; the letters of an address x.
fn mask(text: &str, letters: bool) -> String {
    text.chars()
        .map(|c| match c {
            c if letters && c.is_ascii_alphanumeric() => 'x',
            c if c.is_ascii_digit() => '0',
            c => c,
        })
        .collect()
}

/// Six digits of a day that exists, then seven more. Written with a dash, or named as such, that is enough: numbers given since October 2020 have no
/// checksum. Thirteen digits in a row must have the checksum, or they are any number.
fn is_registration(text: &str, digits: &[u8]) -> bool {
    digits::begins_with_day(digits)
        && (digits::is_registration(digits) || text.contains(['-', '–']) || text.contains("번호"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> (Vec<&'static str>, String) {
        let found = Names::built_in().expect("built in").find(text);
        let edits: Vec<Edit> = found.iter().map(|(_, e)| e.clone()).collect();
        (found.iter().map(|(r, _)| *r).collect(), apply(text, &edits))
    }

    #[test]
    fn personal_data_is_masked_and_figures_stay() {
        for (text, reason, expected) in [
            // 900101-1234568 has the checksum, 210101-3000000 (after 2020) has none, both have a dash.
            (
                "주민번호 900101-1234568이다",
                "resident-number",
                "주민번호 000000-0000000이다",
            ),
            ("210101-3000000", "resident-number", "000000-0000000"),
            ("9001011234568", "resident-number", "0000000000000"),
            (
                "주민등록번호: 9001011234567",
                "resident-number",
                "주민등록번호: 0000000000000",
            ),
            (
                "외국인등록번호 900101-5234560",
                "foreigner-number",
                "외국인등록번호 000000-0000000",
            ),
            (
                "전화 010-1234-5678로",
                "phone-number",
                "전화 000-0000-0000로",
            ),
            ("01012345678", "phone-number", "00000000000"),
            ("+82 10 1234 5678", "phone-number", "+00 00 0000 0000"),
            ("(02) 555-1234", "phone-number", "(00) 000-0000"),
            (
                "카드 4111-1111-1111-1111",
                "card-number",
                "카드 0000-0000-0000-0000",
            ),
            (
                "계좌번호: 110 123 456789",
                "account-number",
                "계좌번호: 000 000 000000",
            ),
            (
                "국민은행 123456-04-123456",
                "account-number",
                "국민은행 000000-00-000000",
            ),
            (
                "hong.gildong@example.co.kr에",
                "e-mail-address",
                "xxxx.xxxxxxx@xxxxxxx.xx.xx에",
            ),
            (
                "가람전자 대표이사 홍길동은",
                NAME,
                "가람전자 대표이사 홍○○은",
            ),
            ("홍길동 대표는 말했다", NAME, "홍○○ 대표는 말했다"),
            ("김철수 하나증권 연구원은", NAME, "김○○ 하나증권 연구원은"),
            ("said CEO John Smith of Acme", NAME, "said CEO ○○ of Acme"),
            ("Mr. Smith resigned", NAME, "Mr. ○○ resigned"),
        ] {
            assert_eq!(masked(text), (vec![reason], expected.to_owned()), "{text}");
        }
        for text in [
            "매출은 1,234,567,890원이다.",
            "2026-11-23에 공시했다.",
            "2024년 1월 1일부터 2024년 12월 31일까지",
            "코스피는 2,650.12포인트",
            "사업자 991301-1234567",
            "4111-1111-1111-1112",
            "1234567890123 주",
            "9001011234567",
            "금융위원회 고시 제2019-12-345호",
            "은행 2019-0012-3",
            "@한국은행",
            "이사회 의장은 사외이사가 맡는다",
            "대표이사회는 연 4회 열린다",
            "애널리스트 전문가는",
            "위원장 성명은",
            "팀장은 변동성 구간을 본다",
            "삼성전자의 최연소 팀장인 그는",
            "공화국 대통령",
            "대통령 지명을 위한 합의",
            "Mr. Prime Minister",
            "한국은 총재를 뽑지 않는다",
            "The Chairman of the Board",
            "CEO of Acme",
        ] {
            assert_eq!(masked(text), (vec![], text.to_owned()), "{text}");
        }
    }

    #[test]
    fn several_are_masked_in_order() {
        let (reasons, text) = masked("홍길동 사장(a@b.kr, 010-1234-5678)과 대표 김철수");
        assert_eq!(reasons, [NAME, "e-mail-address", "phone-number", NAME]);
        assert_eq!(text, "홍○○ 사장(x@x.xx, 000-0000-0000)과 대표 김○○");
        assert_eq!(masked(&text).1, text);
    }
}
