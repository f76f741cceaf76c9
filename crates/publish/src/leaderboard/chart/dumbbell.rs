//! Before and after adaptation.

use serde::Serialize;

use super::{
    Guide, LABELS, RIGHT, ROW, Scale, TOP, Tick, WIDTH, Words, guides, label, levels, most, round,
    signed,
};
use crate::leaderboard::board::Board;

/// One model before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DumbbellRow {
    /// Middle of the row.
    pub y: f64,
    /// Name.
    pub label: String,
    /// Place before.
    pub before: f64,
    /// Place after.
    pub after: f64,
    /// End of the arrow's line, short of the mark.
    pub tip: f64,
    /// Both intervals, one above the other, as a path.
    pub intervals: String,
    /// `gain`, `loss` or `same` (not told apart from no change).
    pub class: &'static str,
    /// Change as text.
    pub text: String,
}

/// Models before and after adaptation on one suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dumbbell {
    /// Name of the suite.
    pub suite: String,
    /// Title of the suite.
    pub title: String,
    /// Pairs.
    pub n_pairs: Option<usize>,
    /// Height.
    pub height: f64,
    /// Where the rows begin.
    pub top: f64,
    /// Where the rows end.
    pub bottom: f64,
    /// Rows.
    pub rows: Vec<DumbbellRow>,
    /// Axis.
    pub ticks: Vec<Tick>,
    /// Ceiling, best baseline, zero.
    pub guides: Vec<Guide>,
}

/// Before and after on one suite, for the adaptations of one source.
#[must_use]
pub fn dumbbell(
    board: &Board,
    suite: usize,
    source: Option<&str>,
    words: Words<'_>,
) -> Option<Dumbbell> {
    let of: Vec<_> = board
        .adaptations
        .iter()
        .filter(|a| a.source.as_deref() == source)
        .filter_map(|a| Some((a, a.changes.get(&suite)?)))
        .take(most(board))
        .collect();
    if of.is_empty() {
        return None;
    }
    let column = &board.suites[suite];
    let values = of.iter().flat_map(|(_, c)| {
        let ends = [c.before_interval, c.after_interval];
        let ends = ends.into_iter().flatten().flatten();
        ends.chain([c.before, c.after]).collect::<Vec<_>>()
    });
    let values: Vec<f64> = values.chain(column.ceiling).collect();
    let scale = Scale::over(values.into_iter(), LABELS, WIDTH - LABELS - RIGHT);
    let bottom = TOP + ROW * of.len() as f64;
    let rows = of
        .iter()
        .enumerate()
        .map(|(at, (adaptation, change))| {
            let y = TOP + ROW * (at as f64 + 0.5);
            let intervals = [(-5.0, change.before_interval), (5.0, change.after_interval)];
            let intervals = intervals
                .into_iter()
                .filter_map(|(off, ends)| Some((y + off, ends?.map(|e| scale.at(e)))));
            let (before, after) = (scale.at(change.before), scale.at(change.after));
            let short = (after - before).clamp(-8.0, 8.0);
            DumbbellRow {
                y,
                label: label(&adaptation.name),
                before,
                after,
                tip: round(after - short),
                intervals: levels(intervals),
                class: match change.interval {
                    Some([low, _]) if low > 0.0 => "gain",
                    Some([_, high]) if high < 0.0 => "loss",
                    _ => "same",
                },
                text: signed(change.delta(), 4),
            }
        })
        .collect();
    Some(Dumbbell {
        suite: column.key.clone(),
        title: column.title.clone(),
        n_pairs: column.n_pairs,
        height: bottom + 34.0,
        top: TOP,
        bottom,
        rows,
        ticks: scale.ticks(),
        guides: guides(board, suite, scale, words),
    })
}
