//! Geometry of the charts: plain numbers and texts, which the templates draw as SVG.
//!
//! To add a chart: its struct and its function here, its template under
//! `templates/leaderboard/`, its place in [`super::view`].

use serde::Serialize;

use super::board::{Badge, Board, Kind, Row};
use crate::text::visible;

/// Width of every chart.
pub const WIDTH: f64 = 760.0;
const LABELS: f64 = 216.0;
const RIGHT: f64 = 76.0;
const ROW: f64 = 24.0;
const TOP: f64 = 26.0;

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
    /// Ends of the interval.
    pub ends: Option<[f64; 2]>,
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
    /// Axis.
    pub ticks: Vec<Tick>,
    /// Ceiling, best baseline, zero.
    pub guides: Vec<Guide>,
    /// How many more there are.
    pub more: usize,
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

/// Scores of a suite with their intervals, highest first.
#[must_use]
pub fn forest(board: &Board, suite: usize, words: Words<'_>) -> Option<Forest> {
    let rows = board.by_score(suite);
    if rows.len() < 2 {
        return None;
    }
    let more = rows.len().saturating_sub(MOST);
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
    let rows = rows
        .iter()
        .enumerate()
        .filter_map(|(at, &row)| {
            let cell = cell(row)?;
            let score = cell.score?;
            Some(ForestRow {
                y: TOP + ROW * (at as f64 + 0.5),
                label: row_name(&board.rows[row], words),
                class: class(&board.rows[row]),
                x: scale.at(score),
                ends: cell
                    .interval
                    .map(|[low, high]| [scale.at(low), scale.at(high)]),
                text: decimal(score, 4),
            })
        })
        .collect();
    Some(Forest {
        height: bottom + 34.0,
        top: TOP,
        bottom,
        rows,
        ticks: scale.ticks(),
        guides: guides(board, suite, scale, words),
        more,
    })
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
    /// Ends of the interval before.
    pub before_ends: Option<[f64; 2]>,
    /// Ends of the interval after.
    pub after_ends: Option<[f64; 2]>,
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
        .take(MOST)
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
            let ends = |e: Option<[f64; 2]>| e.map(|[l, h]| [scale.at(l), scale.at(h)]);
            let (before, after) = (scale.at(change.before), scale.at(change.after));
            let short = (after - before).clamp(-8.0, 8.0);
            DumbbellRow {
                y: TOP + ROW * (at as f64 + 0.5),
                label: label(&adaptation.name),
                before,
                after,
                tip: round(after - short),
                before_ends: ends(change.before_interval),
                after_ends: ends(change.after_interval),
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
    /// Name beside the mark; empty where there is no room.
    pub label: String,
    /// Whether the name stands left of the mark.
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
    /// Names of the groups, where they stand.
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
    let with: Vec<(&Row, &std::collections::BTreeMap<String, f64>)> = board
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

/// One model of the chart of coverage against gain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoveragePoint {
    /// Name.
    pub label: String,
    /// Raw share, across.
    pub raw: f64,
    /// Decoded share, across.
    pub decoded: f64,
    /// Mean gain, up.
    pub y: f64,
    /// Numbers.
    pub title: String,
}

/// Coverage of Korean against gain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoverageChart {
    /// Height.
    pub height: f64,
    /// Models.
    pub points: Vec<CoveragePoint>,
    /// Axis across.
    pub across: Vec<Tick>,
    /// Axis up.
    pub up: Vec<Tick>,
    /// Ends of the plot: left, right, top, bottom.
    pub frame: [f64; 4],
    /// Where the gain is 0.
    pub zero: f64,
}

/// Mean gain against the share of Korean entries, raw and decoded.
#[must_use]
pub fn coverage(group: &crate::coverage::gains::GainGroup) -> Option<CoverageChart> {
    use crate::coverage::gains::Measure;
    const FRAME: [f64; 4] = [56.0, WIDTH - 190.0, 18.0, 280.0];
    let [left, right, top, bottom] = FRAME;
    let points: Vec<(&str, f64, f64, f64)> = group
        .models
        .iter()
        .filter_map(|m| {
            let gain = m.mean(&group.suites)?;
            let shares = [Measure::RawShare.of(m), Measure::DecodedShare.of(m)];
            Some((m.name.as_str(), shares[0], shares[1], gain))
        })
        .collect();
    if points.is_empty() {
        return None;
    }
    let up = Scale::over(points.iter().map(|p| p.3), 0.0, bottom - top);
    let y = |gain: f64| round(bottom - up.at(gain));
    let most = points.iter().map(|p| p.1.max(p.2)).fold(0.01, f64::max);
    let x = |share: f64| round(left + share / most * (right - left));
    let steps = (most * 200.0).floor() as i32;
    Some(CoverageChart {
        height: bottom + 44.0,
        points: points
            .iter()
            .map(|(name, raw, decoded, gain)| CoveragePoint {
                label: label(name),
                raw: x(*raw),
                decoded: x(*decoded),
                y: y(*gain),
                title: format!(
                    "{name}: {:.2} % / {:.2} %, {}",
                    raw * 100.0,
                    decoded * 100.0,
                    signed(*gain, 4)
                ),
            })
            .collect(),
        across: (0..=steps)
            .map(|n| Tick {
                at: x(f64::from(n) / 200.0),
                text: format!("{} %", f64::from(n) / 2.0),
            })
            .collect(),
        up: up
            .ticks()
            .into_iter()
            .map(|t| Tick {
                at: round(bottom - t.at),
                text: t.text,
            })
            .collect(),
        frame: FRAME,
        zero: y(0.0),
    })
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
        assert_eq!(shade(0.0), "h5");
        assert_eq!((shade(-1.0), shade(1.0)), ("h0".into(), "h15".into()));
    }
}
