//! Scores of a suite with their intervals.

use serde::Serialize;

use super::{
    Guide, LABELS, RIGHT, ROW, Scale, TOP, Tick, WIDTH, Words, class, decimal, guides, levels,
    most, row_name,
};
use crate::leaderboard::board::Board;

/// One model of a forest plot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForestRow {
    /// Middle of the row.
    pub y: f64,
    /// Name.
    pub label: String,
    /// `encoder`, `baseline` or `reported`.
    pub class: &'static str,
    /// Place of the score.
    pub x: f64,
    /// Score as text.
    pub text: String,
}

/// Scores with their intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forest {
    /// Height.
    pub height: f64,
    /// Where the rows begin and end.
    pub top: f64,
    /// Where the rows end.
    pub bottom: f64,
    /// Rows.
    pub rows: Vec<ForestRow>,
    /// The intervals of all rows, as a path.
    pub intervals: String,
    /// Axis.
    pub ticks: Vec<Tick>,
    /// Ceiling, best baseline, zero.
    pub guides: Vec<Guide>,
    /// How many more there are.
    pub more: usize,
}

/// Scores of a suite with their intervals, highest first.
#[must_use]
pub fn forest(board: &Board, suite: usize, words: Words<'_>) -> Option<Forest> {
    let rows = board.by_score(suite);
    if rows.len() < 2 {
        return None;
    }
    let more = rows.len().saturating_sub(most(board));
    let rows = &rows[..rows.len() - more];
    let cell = |row: usize| board.rows[row].cells[suite].as_ref();
    let column = &board.suites[suite];
    let values = rows.iter().filter_map(|&r| cell(r)).flat_map(|c| {
        let ends = c.interval.into_iter().flatten();
        ends.chain(c.score).collect::<Vec<_>>()
    });
    let values: Vec<f64> = values.chain(column.ceiling).collect();
    let scale = Scale::over(values.into_iter(), LABELS, WIDTH - LABELS - RIGHT);
    let bottom = TOP + ROW * rows.len() as f64;
    let mut intervals = Vec::new();
    let rows = rows
        .iter()
        .enumerate()
        .filter_map(|(at, &row)| {
            let cell = cell(row)?;
            let y = TOP + ROW * (at as f64 + 0.5);
            intervals.extend(cell.interval.map(|ends| (y, ends.map(|e| scale.at(e)))));
            Some(ForestRow {
                y,
                label: row_name(&board.rows[row], words),
                class: class(&board.rows[row]),
                x: scale.at(cell.score?),
                text: decimal(cell.score?, 4),
            })
        })
        .collect();
    Some(Forest {
        height: bottom + 34.0,
        top: TOP,
        bottom,
        rows,
        intervals: levels(intervals.into_iter()),
        ticks: scale.ticks(),
        guides: guides(board, suite, scale, words),
        more,
    })
}
