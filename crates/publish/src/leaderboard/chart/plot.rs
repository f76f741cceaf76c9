//! Scores with intervals, and arrows from before to after, drawn in the rows of a table. Places are
//! percentages of the width of its column, so that text keeps its size on every screen.

use serde::Serialize;

use super::{Guide, Scale, Tick, Words, guides};
use crate::leaderboard::board::{Board, Change};

/// What the rows of a column share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Axis {
    /// Marks on the axis.
    pub ticks: Vec<Tick>,
    /// Zero, best baseline, ceiling.
    pub guides: Vec<Guide>,
}

/// A score in a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plot {
    /// Place before an adaptation.
    pub from: Option<f64>,
    /// Place of the score.
    pub x: f64,
    /// Ends of its interval.
    pub ends: Option<[f64; 2]>,
    /// `encoder`, `baseline`, `reported`, `gain`, `loss` or `same`.
    pub class: &'static str,
}

/// A column of scores of one suite.
#[derive(Debug, Clone, Copy)]
pub struct Plots(Scale);

impl Plots {
    /// A column that holds `values`, the best baseline and the ceiling of a suite, and its axis.
    #[must_use]
    pub fn new(board: &Board, suite: usize, values: Vec<f64>, words: Words<'_>) -> (Self, Axis) {
        let column = &board.suites[suite];
        let best = column.best_baseline.as_ref().map(|b| b.1);
        let values = values.into_iter().chain(column.ceiling).chain(best);
        let scale = Scale::over(values, 1.0, 98.0);
        let axis = Axis {
            ticks: scale.ticks(),
            guides: guides(board, suite, scale, words),
        };
        (Self(scale), axis)
    }

    /// A score with its interval.
    #[must_use]
    pub fn score(&self, score: f64, ends: Option<[f64; 2]>, class: &'static str) -> Plot {
        Plot {
            from: None,
            x: self.0.at(score),
            ends: ends.map(|ends| ends.map(|e| self.0.at(e))),
            class,
        }
    }

    /// An arrow with the interval of the score after.
    #[must_use]
    pub fn change(&self, change: &Change) -> Plot {
        Plot {
            from: Some(self.0.at(change.before)),
            ..self.score(change.after, change.after_interval, change.class())
        }
    }
}
