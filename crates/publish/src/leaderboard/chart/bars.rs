//! Triplet accuracy per pattern.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{LABELS, RIGHT, TOP, Tick, WIDTH, label, round};
use crate::leaderboard::board::{Board, Row};

/// One bar.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// Top.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Which model, from 0.
    pub series: usize,
    /// Number.
    pub text: String,
}

/// Triplet accuracy per pattern.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bars {
    /// Height.
    pub height: f64,
    /// Names of the models.
    pub series: Vec<String>,
    /// Names of the groups, with their places.
    pub groups: Vec<Tick>,
    /// Bars.
    pub bars: Vec<Bar>,
    /// Where one half is: chance for a model that makes no ties.
    pub half: f64,
    /// Left end of the bars.
    pub left: f64,
}

/// Triplet accuracy of the first models of the board that have any (four at most).
#[must_use]
pub fn bars(board: &Board, suite: usize) -> Option<Bars> {
    const BAR: f64 = 9.0;
    let with: Vec<(&Row, &BTreeMap<String, f64>)> = board
        .rows
        .iter()
        .filter_map(|r| Some((r, &r.cells[suite].as_ref()?.triplets)))
        .filter(|(_, t)| !t.is_empty())
        .take(4)
        .collect();
    let names: Vec<&String> = with.first()?.1.keys().take(40).collect();
    let room = WIDTH - LABELS - RIGHT;
    let each = BAR * with.len() as f64 + 10.0;
    let mut bars = Vec::new();
    for (group, name) in names.iter().enumerate() {
        for (series, (_, triplets)) in with.iter().enumerate() {
            let Some(share) = triplets.get(*name) else {
                continue;
            };
            bars.push(Bar {
                y: round(TOP + each * group as f64 + BAR * series as f64),
                width: round((share * room).max(1.0)),
                series,
                text: format!("{:.0} %", 100.0 * share),
            });
        }
    }
    Some(Bars {
        height: TOP + each * names.len() as f64 + 8.0,
        series: with.iter().map(|(r, _)| label(&r.name)).collect(),
        groups: names
            .iter()
            .enumerate()
            .map(|(at, name)| Tick {
                at: round(TOP + each * at as f64 + (each - 10.0) / 2.0 + 4.0),
                text: label(name),
            })
            .collect(),
        bars,
        half: round(LABELS + room / 2.0),
        left: LABELS,
    })
}
