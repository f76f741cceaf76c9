//! Numbers and names as texts.

use super::Texts;
use crate::leaderboard::board::{Badge, Cell, Kind, Row, Stage};
use crate::leaderboard::chart::{decimal, signed};

/// A text of the page; its key where it is missing, which a test rules out.
pub(super) fn text<'a>(t: &'a Texts, key: &'a str) -> &'a str {
    t.get(key).map_or(key, String::as_str)
}

/// A text with its places filled.
pub(super) fn fill(t: &Texts, key: &str, values: &[(&str, &str)]) -> String {
    let mut out = text(t, key).to_owned();
    for (name, value) in values {
        out = out.replace(&format!("{{{name}}}"), value);
    }
    out
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
    match cell.rank {
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
