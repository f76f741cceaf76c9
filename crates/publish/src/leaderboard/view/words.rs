//! Numbers and names as texts.

use super::Texts;
use crate::leaderboard::board::{Badge, Cell, Kind, Row, Stage};
use crate::leaderboard::chart::{decimal, signed};
use korfinsts_base::texts::{self, taken};

/// A text of the page; its key where it is missing, which a test rules out.
pub(super) fn text<'a>(t: &'a Texts, key: &'a str) -> &'a str {
    t.get(key).map_or(key, String::as_str)
}

/// A text with its places filled.
pub(super) fn fill(t: &Texts, key: &str, values: &[(&str, &str)]) -> String {
    texts::fill(text(t, key), values)
}

/// Half the width of an interval.
pub(super) fn half(value: Option<[f64; 2]>) -> String {
    value.map_or_else(String::new, |[low, high]| {
        format!(
            "±{}",
            decimal((high - low) / 2.0, 2).trim_start_matches('0')
        )
    })
}

pub(super) fn interval(value: Option<[f64; 2]>, digits: usize) -> String {
    value.map_or_else(String::new, |[low, high]| {
        format!("[{}, {}]", decimal(low, digits), decimal(high, digits))
    })
}

pub(super) fn between(value: Option<[f64; 2]>) -> String {
    value.map_or_else(String::new, |[low, high]| {
        format!("[{}, {}]", signed(low, 3), signed(high, 3))
    })
}

pub(super) fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |v| decimal(v, digits))
}

pub(super) fn percent(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(v) if v > 0.0 && v < 0.001 => "<0.1 %".into(),
        Some(v) => format!("{:.1} %", 100.0 * v),
    }
}

pub(super) fn probability(p: f64) -> String {
    if p < 0.001 {
        "<0.001".into()
    } else {
        format!("{p:.3}")
    }
}

pub(super) fn rank(cell: &Cell) -> String {
    range(cell.rank)
}

pub(super) fn range(rank: Option<[usize; 2]>) -> String {
    match rank {
        Some([best, worst]) if best == worst => best.to_string(),
        Some([best, worst]) => format!("{best}–{worst}"),
        None => String::new(),
    }
}

pub(super) fn name_of(row: &Row, t: &Texts) -> String {
    match row.stage {
        Some(Stage::After) => format!("{} {}", row.name, text(t, "adapted")),
        _ => row.name.clone(),
    }
}

/// A sentence of this program in the reader's language. Those that are known have a text `said_…` in each
/// language, whose `{…}` stand for what the sentence fills in; others stay as they are.
pub(super) fn say(sentence: &str, t: &Texts) -> String {
    let known = t.iter().filter(|(key, _)| key.starts_with(SAID));
    for (key, english) in known.clone().filter(|(key, _)| key.ends_with(ENGLISH)) {
        if let Some(values) = taken(english, sentence) {
            return fill(t, key.trim_end_matches(ENGLISH), &values);
        }
    }
    sentence.to_owned()
}

/// Keys of the sentences of this program.
pub(in crate::leaderboard) const SAID: &str = "said_";
/// End of the keys of their English forms, which are there whatever the language is.
pub(in crate::leaderboard) const ENGLISH: &str = ".en";

pub(super) fn class_of(row: &Row) -> &'static str {
    match (row.kind, row.badge) {
        (Kind::Baseline, _) => "baseline",
        (_, Badge::Reported) => "reported",
        _ => "encoder",
    }
}

pub(super) fn is_korean(text: &str) -> bool {
    text.chars().any(korfinsts_base::text::is_hangul)
}

pub(super) fn badge_text(badge: Badge, t: &Texts) -> String {
    text(t, badge.name()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_sentence_is_said_in_the_readers_language() {
        let texts = [
            ("said_truncated.en", "{0} of {1} texts were cut"),
            ("said_truncated", "{1}개 중 {0}개가 잘렸습니다"),
            ("said_new.en", "synthetic"),
            ("said_new", "합성"),
        ];
        let t: Texts = texts.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for (english, korean) in [
            ("12 of 40 texts were cut", "40개 중 12개가 잘렸습니다"),
            ("synthetic", "합성"),
            ("synthetic, and more", "synthetic, and more"),
            ("12 of 40 texts were cut off", "12 of 40 texts were cut off"),
        ] {
            assert_eq!(say(english, &t), korean);
        }
    }
}
