//! Geometry of the charts: plain numbers and texts, which the templates draw as SVG. Across, places are
//! percentages of the width; text is never scaled.
//!
//! To add a chart: a file here with its struct and its function, a line below, its macro in
//! `templates/leaderboard/macros.html`, and its place in [`super::view`].

mod coverage;
mod heat;
mod labels;
mod plot;
mod scatter;

use serde::Serialize;

pub use coverage::{CoverageChart, CoveragePoint, coverage};
pub use heat::shade;
pub use labels::Label;
pub use plot::{Axis, Plot, Plots};
pub use scatter::{AGAINST, Against, Point, Scatter, Scored, dagger, on_subset, on_suite, scatter};

use super::board::Board;
use korfinsts_base::text::visible;

/// Most models that one chart shows.
pub const MOST: usize = 30;

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

/// A name on a chart.
fn short(name: &str) -> String {
    visible(name, 27)
}

/// What is written where in a chart, in the reader's language.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    /// "ceiling".
    pub ceiling: &'a str,
    /// "best baseline".
    pub baseline: &'a str,
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
    } else if count >= 1e7 {
        format!("{:.0}M", count / 1e6)
    } else if count >= 1e6 {
        format!("{:.1}M", count / 1e6)
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
            (4_706_304, "4.7M"),
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
}
