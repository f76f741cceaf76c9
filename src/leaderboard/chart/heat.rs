//! ρ per domain and model.

use serde::Serialize;

use super::{LABELS, MOST, ROW, TOP, Tick, WIDTH, Words, decimal, round, row_name};
use crate::leaderboard::board::Board;
use crate::text::visible;

/// One square of a heat map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Square {
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Number, or a dash.
    pub text: String,
    /// Shade from `h0` (−0.5 and below) over `h5` (0) to `h15` (1); `none` where there is none.
    pub class: String,
}

/// ρ per domain and model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeatMap {
    /// Height.
    pub height: f64,
    /// Names across.
    pub across: Vec<Tick>,
    /// Names down.
    pub down: Vec<Tick>,
    /// Squares.
    pub squares: Vec<Square>,
}

/// Shade of a score in steps of 0.1.
fn shade(score: f64) -> String {
    let step = (score.clamp(-0.5, 1.0) * 10.0).round() as i32 + 5;
    format!("h{step}")
}

/// ρ per domain, then pooled, for every model of which a domain is known.
#[must_use]
pub fn heat_map(board: &Board, suite: usize, words: Words<'_>, pooled: &str) -> Option<HeatMap> {
    let column = &board.suites[suite];
    let rows: Vec<usize> = board
        .rows
        .iter()
        .enumerate()
        .filter(|(_, r)| {
            let cell = r.cells[suite].as_ref();
            cell.is_some_and(|c| c.domains.values().filter(|d| d.1.is_some()).count() > 1)
        })
        .map(|(at, _)| at)
        .take(MOST)
        .collect();
    let domains: Vec<&String> = column.domains.iter().take(8).collect();
    if rows.is_empty() || domains.len() < 2 {
        return None;
    }
    let n = domains.len() as f64 + 1.0;
    let width = (WIDTH - LABELS - 12.0) / n;
    let place = |at: usize| round(LABELS + width * at as f64);
    let mut squares = Vec::new();
    for (line, &row) in rows.iter().enumerate() {
        let cell = board.rows[row].cells[suite].as_ref()?;
        let of = domains
            .iter()
            .map(|d| cell.domains.get(*d).and_then(|d| d.1));
        for (at, score) in of.chain([cell.score]).enumerate() {
            // A gap sets the pooled score apart.
            let gap = if at == domains.len() { 8.0 } else { 0.0 };
            squares.push(Square {
                x: place(at) + gap,
                y: TOP + ROW * line as f64,
                width: round(width - 2.0),
                text: score.map_or_else(|| "–".into(), |s| decimal(s, 3)),
                class: score.map_or_else(|| "none".into(), shade),
            });
        }
    }
    let names = domains.iter().map(|d| d.as_str()).chain([pooled]);
    let most = (width / 7.0) as usize;
    Some(HeatMap {
        height: TOP + ROW * rows.len() as f64 + 6.0,
        across: names
            .enumerate()
            .map(|(at, name)| Tick {
                at: round(place(at) + width / 2.0 + if at == domains.len() { 8.0 } else { 0.0 }),
                text: visible(name, most),
            })
            .collect(),
        down: rows
            .iter()
            .enumerate()
            .map(|(at, &row)| Tick {
                at: TOP + ROW * (at as f64 + 0.5),
                text: row_name(&board.rows[row], words),
            })
            .collect(),
        squares,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_follow_scores() {
        for (score, class) in [
            (-1.0, "h0"),
            (-0.5, "h0"),
            (0.0, "h5"),
            (0.44, "h9"),
            (1.0, "h15"),
        ] {
            assert_eq!(shade(score), class);
        }
    }
}
