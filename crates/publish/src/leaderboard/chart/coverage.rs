//! Coverage of Korean against gain.

use serde::Serialize;

use super::{Scale, Tick, WIDTH, label, round, signed};
use korfinsts_bench::coverage::gains::{GainGroup, Measure};

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
pub fn coverage(group: &GainGroup) -> Option<CoverageChart> {
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
