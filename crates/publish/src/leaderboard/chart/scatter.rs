//! Score against size.

use serde::Serialize;

use super::{Guide, MOST, Scale, Tick, WIDTH, Words, class, decimal, parameters, round, row_name};
use crate::leaderboard::board::{Board, Row};
use korfinsts_base::text::visible;

/// One model of a scatter plot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Across.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// Ends of the interval, up.
    pub ends: Option<[f64; 2]>,
    /// Name, with its numbers.
    pub title: String,
    /// Name next to the mark; empty where there is no room.
    pub label: String,
    /// Whether the name is left of the mark.
    pub left: bool,
    /// `encoder` or `reported`.
    pub class: &'static str,
}

/// Score against size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scatter {
    /// Name of the suite.
    pub suite: String,
    /// Title of the suite.
    pub title: String,
    /// Height.
    pub height: f64,
    /// Points.
    pub points: Vec<Point>,
    /// Axis across.
    pub across: Vec<Tick>,
    /// Axis up.
    pub up: Vec<Tick>,
    /// Ends of the plot: left, right, top, bottom.
    pub frame: [f64; 4],
    /// Best baseline and ceiling.
    pub guides: Vec<Guide>,
}

/// Scores of a suite against the number of weights, on a logarithmic scale.
#[must_use]
pub fn scatter(board: &Board, suite: usize, words: Words<'_>) -> Option<Scatter> {
    const FRAME: [f64; 4] = [56.0, WIDTH - 20.0, 18.0, 300.0];
    let mut sized: Vec<(&Row, u64, f64, Option<[f64; 2]>)> = board
        .rows
        .iter()
        .filter_map(|row| {
            let cell = row.cells[suite].as_ref()?;
            Some((
                row,
                row.facts.parameters.filter(|p| *p > 0)?,
                cell.score?,
                cell.interval,
            ))
        })
        .collect();
    if sized.len() < 3 {
        return None;
    }
    // What was run is drawn last: over what is reported.
    sized.sort_by_key(|s| std::cmp::Reverse(s.0.badge));
    let [left, right, top, bottom] = FRAME;
    let column = &board.suites[suite];
    let extra = column.best_baseline.as_ref().map(|b| b.1);
    let values: Vec<f64> = sized
        .iter()
        .flat_map(|s| s.3.into_iter().flatten().chain([s.2]).collect::<Vec<_>>())
        .chain(extra)
        .collect();
    let up = Scale::over(values.into_iter(), 0.0, bottom - top);
    let y = |score: f64| round(bottom - up.at(score));
    let logs = sized.iter().map(|s| (s.1 as f64).log10());
    let low = logs.clone().fold(f64::INFINITY, f64::min) - 0.15;
    let high = logs.fold(f64::NEG_INFINITY, f64::max) + 0.15;
    let x = |count: f64| round(left + (count.log10() - low) / (high - low) * (right - left));
    let across = [1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 1e9, 3e9, 1e10, 3e10, 1e11]
        .into_iter()
        .filter(|c: &f64| (low..=high).contains(&c.log10()))
        .map(|count| Tick {
            at: x(count),
            text: parameters(count as u64).replace(".0B", "B"),
        })
        .collect();
    let mut places: Vec<[f64; 3]> = Vec::new();
    let points = sized
        .iter()
        .map(|(row, count, score, interval)| {
            let (px, py) = (x(*count as f64), y(*score));
            let name = row_name(row, words);
            let width = 6.6 * name.chars().count() as f64 + 12.0;
            let leftwards = px + width > right;
            let start = if leftwards { px - width } else { px };
            let free = sized.len() <= MOST
                && !places
                    .iter()
                    .any(|p| (p[2] - py).abs() < 13.0 && p[0] < start + width && start < p[1]);
            if free {
                places.push([start, start + width, py]);
            }
            Point {
                x: px,
                y: py,
                ends: interval.map(|[low, high]| [y(low), y(high)]),
                title: format!("{name}: {}, {}", decimal(*score, 4), parameters(*count)),
                label: if free { name } else { String::new() },
                left: leftwards,
                class: class(row),
            }
        })
        .collect();
    let guides = [("floor", extra)]
        .into_iter()
        .filter_map(|(class, value)| {
            let name = column.best_baseline.as_ref().map_or("", |b| b.0.as_str());
            Some(Guide {
                at: y(value?),
                text: format!("{}: {}", words.baseline, visible(name, 16)),
                class,
            })
        })
        .collect();
    Some(Scatter {
        suite: column.key.clone(),
        title: column.title.clone(),
        height: bottom + 44.0,
        points,
        across,
        up: up
            .ticks()
            .into_iter()
            .map(|t| Tick {
                at: round(bottom - t.at),
                text: t.text,
            })
            .collect(),
        frame: FRAME,
        guides,
    })
}
