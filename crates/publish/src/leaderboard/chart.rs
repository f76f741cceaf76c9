//! Geometry of the charts: plain numbers and texts, which the templates draw as SVG.
//!
//! To add a chart: a file here with its struct and its function, a line below, its macro in
//! `templates/leaderboard/macros.html`, and its place in [`super::view`].

mod bars;
mod coverage;
mod dumbbell;
mod forest;
mod heat;
mod scatter;

use serde::Serialize;

pub use bars::{Bar, Bars, bars};
pub use coverage::{CoverageChart, CoveragePoint, coverage};
pub use dumbbell::{Dumbbell, DumbbellRow, dumbbell};
pub use forest::{Forest, ForestRow, forest};
pub use heat::shade;
pub use scatter::{Point, Scatter, scatter};

use super::board::{Badge, Board, Kind, Row};
use korfinsts_base::text::visible;

/// Width of every chart.
pub const WIDTH: f64 = 760.0;
const LABELS: f64 = 216.0;
const RIGHT: f64 = 76.0;
const ROW: f64 = 24.0;
const TOP: f64 = 26.0;

/// Most models that one chart shows.
pub const MOST: usize = 30;

/// The same, where a board holds more than a hundred.
const MOST_OF_MANY: usize = 15;

/// Models that a chart of this board shows.
fn most(board: &Board) -> usize {
    if board.rows.len() > 100 {
        MOST_OF_MANY
    } else {
        MOST
    }
}

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tick {
    /// Place.
    pub at: f64,
    /// Text.
    pub text: String,
}

/// A line across a chart with a name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guide {
    /// Place.
    pub at: f64,
    /// Name.
    pub text: String,
    /// `ceiling`, `baseline` or `zero`.
    pub class: &'static str,
}

/// A linear scale from scores to places.
#[derive(Debug, Clone, Copy)]
struct Scale {
    low: f64,
    high: f64,
    left: f64,
    width: f64,
}

impl Scale {
    /// Covers the values in steps of 0.1, zero included.
    fn over(values: impl Iterator<Item = f64>, left: f64, width: f64) -> Self {
        let (mut low, mut high) = (0.0_f64, 0.1_f64);
        for value in values {
            low = low.min(value);
            high = high.max(value);
        }
        Self {
            low: ((low * 10.0 - 1e-9).floor() / 10.0).max(-1.0),
            high: ((high * 10.0 + 1e-9).ceil() / 10.0).min(1.0),
            left,
            width,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        round(self.left + share.clamp(0.0, 1.0) * self.width)
    }

    fn ticks(&self) -> Vec<Tick> {
        let steps = ((self.high - self.low) * 10.0).round() as i32;
        let each = if steps > 8 { 2 } else { 1 };
        let first = (self.low * 10.0).round() as i32;
        (first..=first + steps)
            .filter(|n| n % each == 0)
            .map(|n| Tick {
                at: self.at(f64::from(n) / 10.0),
                text: decimal(f64::from(n) / 10.0, 1),
            })
            .collect()
    }
}

/// The path of intervals: lines from the left end to the right one, each at its height.
fn levels(intervals: impl Iterator<Item = (f64, [f64; 2])>) -> String {
    intervals
        .map(|(y, [left, right])| format!("M{left},{y}H{right}"))
        .collect()
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A number with a true minus sign.
#[must_use]
pub fn decimal(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        // −0.0000 is 0.
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// As [`decimal`], with a plus sign above zero.
#[must_use]
pub fn signed(value: f64, digits: usize) -> String {
    let text = decimal(value, digits);
    let zero = text.chars().all(|c| c == '0' || c == '.');
    if value > 0.0 && !zero {
        format!("+{text}")
    } else {
        text
    }
}

fn label(name: &str) -> String {
    visible(name, 27)
}

fn class(row: &Row) -> &'static str {
    match (row.kind, row.badge) {
        (Kind::Baseline, _) => "baseline",
        (_, Badge::Reported) => "reported",
        _ => "encoder",
    }
}

/// What is written where in a chart, in the reader's language.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    /// "ceiling".
    pub ceiling: &'a str,
    /// "best baseline".
    pub baseline: &'a str,
    /// "after adaptation".
    pub after: &'a str,
}

/// Name of a row in a chart: with what it was adapted to.
fn row_name(row: &Row, words: Words<'_>) -> String {
    match row.stage {
        Some(super::board::Stage::After) => format!("{} {}", visible(&row.name, 18), words.after),
        _ => label(&row.name),
    }
}

fn guides(board: &Board, suite: usize, scale: Scale, words: Words<'_>) -> Vec<Guide> {
    let column = &board.suites[suite];
    let mut guides = vec![Guide {
        at: scale.at(0.0),
        text: String::new(),
        class: "zero",
    }];
    if let Some((name, score)) = &column.best_baseline {
        guides.push(Guide {
            at: scale.at(*score),
            text: format!("{}: {}", words.baseline, visible(name, 16)),
            class: "floor",
        });
    }
    if let Some(ceiling) = column.ceiling {
        guides.push(Guide {
            at: scale.at(ceiling),
            text: format!("{} {}", words.ceiling, decimal(ceiling, 3)),
            class: "ceiling",
        });
    }
    guides
}

/// Number of weights as people say it.
#[must_use]
pub fn parameters(count: u64) -> String {
    let count = count as f64;
    if count >= 1e9 {
        format!("{:.1}B", count / 1e9)
    } else if count >= 1e6 {
        format!("{:.0}M", count / 1e6)
    } else {
        format!("{:.0}k", count / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_numbers() {
        for (value, plain, sign) in [
            (0.463, "0.4630", "+0.4630"),
            (-0.0089, "−0.0089", "−0.0089"),
            (-0.000_01, "0.0000", "0.0000"),
            (0.000_01, "0.0000", "0.0000"),
        ] {
            assert_eq!(decimal(value, 4), plain);
            assert_eq!(signed(value, 4), sign);
        }
        for (count, text) in [
            (22_713_216, "23M"),
            (7_110_000_000, "7.1B"),
            (30_000, "30k"),
        ] {
            assert_eq!(parameters(count), text);
        }
    }

    #[test]
    fn a_scale_covers_its_values_and_keeps_what_lies_outside_within() {
        let scale = Scale::over([-0.21, 0.46].into_iter(), 100.0, 500.0);
        assert_eq!((scale.low, scale.high), (-0.3, 0.5));
        assert_eq!((scale.at(-0.3), scale.at(0.5)), (100.0, 600.0));
        assert_eq!((scale.at(-9.0), scale.at(9.0)), (100.0, 600.0));
        let ticks: Vec<String> = scale.ticks().into_iter().map(|t| t.text).collect();
        assert_eq!(ticks[0], "−0.3");
        assert_eq!(ticks.len(), 9);
    }

    #[test]
    fn intervals_are_one_path() {
        let path = levels([(34.0, [1.5, 2.0]), (58.0, [3.0, 4.0])].into_iter());
        assert_eq!(path, "M1.5,34H2M3,58H4");
    }
}
