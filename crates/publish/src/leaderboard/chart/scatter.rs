//! Score against size, speed or price.

use serde::Serialize;

use super::labels::{Label, place};
use super::{MOST, Scale, Tick, decimal, parameters, round, short};
use crate::leaderboard::board::{Badge, Board, Kind, Model};
use crate::leaderboard::reported::ModelFacts;

/// Height of the plot in pixels.
const HEIGHT: f64 = 420.0;
/// Ends of the plot across, in percent.
const ACROSS: [f64; 2] = [7.0, 95.0];
/// Widths in pixels that names are laid out for: a desk's and a phone's. Wider screens only gain room.
const WIDTHS: [f64; 2] = [860.0, 330.0];

/// One model of a scatter plot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Across, in percent.
    pub x: f64,
    /// Down, in pixels.
    pub y: f64,
    /// Ends of the interval, in pixels from the point.
    pub ends: Option<[f64; 2]>,
    /// Name, with its mark.
    pub name: String,
    /// Name and numbers.
    pub title: String,
    /// Where the name is on a wide and on a narrow screen.
    pub labels: [Option<Label>; 2],
    /// `encoder` or `reported`.
    pub class: &'static str,
}

/// A scatter plot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scatter {
    /// Height in pixels.
    pub height: f64,
    /// Points, the highest first.
    pub points: Vec<Point>,
    /// Axis across, in percent.
    pub across: Vec<Tick>,
    /// Axis up, in pixels.
    pub up: Vec<Tick>,
    /// Height and name of the best baseline.
    pub floor: Option<Tick>,
}

/// What a score is held against.
#[derive(Debug, Clone, Copy)]
pub struct Against {
    /// Key of its name among the texts.
    pub key: &'static str,
    /// Its value; above 0.
    pub of: fn(&ModelFacts) -> Option<f64>,
    /// A value as text.
    text: fn(f64) -> String,
}

/// The choices of the axis across.
pub const AGAINST: [Against; 3] = [
    Against {
        key: "parameters",
        of: |facts| facts.parameters.map(|n| n as f64),
        text: |v| parameters(v as u64).replace(".0", ""),
    },
    Against {
        key: "speed",
        of: |facts| facts.texts_per_second,
        text: |v| format!("{v:.0}/s"),
    },
    Against {
        key: "price",
        of: |facts| facts.price,
        text: |v| format!("${v}"),
    },
];

/// A score of a model that a chart shows.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its score.
    pub score: f64,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
    /// Whether it was trained on a part of a suite.
    pub trained_on: bool,
    /// Whether others report it.
    pub reported: bool,
}

/// Scores against a fact of the models; `None` where no model has it. `floor` is the best baseline.
#[must_use]
pub fn scatter(
    board: &Board,
    scores: &[Scored<'_>],
    against: Against,
    floor: Option<(&str, f64)>,
) -> Option<Scatter> {
    let mut found: Vec<(&Scored<'_>, f64)> = scores
        .iter()
        .filter_map(|s| {
            let row = &board.rows[s.model.rows[0]];
            let value = (against.of)(&row.facts).filter(|v| *v > 0.0)?;
            (row.kind == Kind::Encoder).then_some((s, value))
        })
        .collect();
    found.sort_by(|a, b| b.0.score.total_cmp(&a.0.score));
    found.truncate(MOST);
    if found.is_empty() {
        return None;
    }
    let ends = found
        .iter()
        .flat_map(|(s, _)| s.interval.into_iter().flatten());
    let values = ends
        .chain(found.iter().map(|f| f.0.score))
        .chain(floor.map(|f| f.1));
    let up = Scale::over(values, 0.0, HEIGHT - 24.0);
    let y = |score: f64| round(HEIGHT - up.at(score));
    let logs = found.iter().map(|f| f.1.log10());
    let low = logs.clone().fold(f64::INFINITY, f64::min) - 0.1;
    let high = logs.fold(f64::NEG_INFINITY, f64::max) + 0.1;
    let [left, right] = ACROSS;
    let x = |value: f64| round(left + (value.log10() - low) / (high - low) * (right - left));
    let name = |s: &Scored<'_>| format!("{}{}", short(&s.model.name), dagger(s.trained_on));
    let points: Vec<(f64, f64, String)> = found
        .iter()
        .map(|(s, value)| (x(*value), y(s.score), name(s)))
        .collect();
    let [wide, narrow] = WIDTHS.map(|width| layout(&points, width));
    let points = found.iter().zip(points).zip(wide.into_iter().zip(narrow));
    let points = points.map(|(((s, value), (px, py, name)), (wide, narrow))| Point {
        x: px,
        y: py,
        ends: s.interval.map(|ends| ends.map(|e| round(y(e) - py))),
        title: format!(
            "{name}: {}, {}",
            decimal(s.score, 4),
            (against.text)(*value)
        ),
        name,
        labels: [wide, narrow],
        class: if s.reported { "reported" } else { "encoder" },
    });
    let steps = (-2..12).flat_map(|e| [1.0, 3.0].map(|m| m * 10.0_f64.powi(e)));
    Some(Scatter {
        height: HEIGHT,
        points: points.collect(),
        across: steps
            .filter(|v| (low..=high).contains(&v.log10()))
            .map(|v| Tick {
                at: x(v),
                text: (against.text)(v),
            })
            .collect(),
        up: up
            .ticks()
            .into_iter()
            .map(|t| Tick {
                at: round(HEIGHT - t.at),
                text: t.text,
            })
            .collect(),
        floor: floor.map(|(name, score)| Tick {
            at: y(score),
            text: format!("{} {}", short(name), decimal(score, 3)),
        }),
    })
}

/// The mark of a score of a model that was trained on a part of the suite.
#[must_use]
pub fn dagger(trained_on: bool) -> &'static str {
    if trained_on { "†" } else { "" }
}

pub(super) fn layout(points: &[(f64, f64, String)], width: f64) -> Vec<Option<Label>> {
    let points: Vec<(f64, f64, &str)> = points.iter().map(|(x, y, n)| (*x, *y, &**n)).collect();
    place(&points, [width, HEIGHT])
}

/// What every model has on a suite.
#[must_use]
pub fn on_suite(board: &Board, suite: usize) -> Vec<Scored<'_>> {
    let scored = |model| {
        let (row, cell) = board.cell(model, suite)?;
        let (score, interval) = cell.shown()?;
        Some(Scored {
            model,
            score,
            interval,
            trained_on: cell.trained_on,
            reported: row.badge == Badge::Reported,
        })
    };
    board.models.iter().filter_map(scored).collect()
}

/// The mean of every model that has all of a subset.
#[must_use]
pub fn on_subset(board: &Board, subset: usize) -> Vec<Scored<'_>> {
    let scored = |model: &'_ Model| {
        let mean = model.means[subset].as_ref().filter(|m| m.whole)?;
        Some((mean.score, mean.interval, mean.trained_on, mean.reported))
    };
    let all = board.models.iter();
    all.filter_map(|model| {
        let (score, interval, trained_on, reported) = scored(model)?;
        Some(Scored {
            model,
            score,
            interval,
            trained_on,
            reported,
        })
    })
    .collect()
}
