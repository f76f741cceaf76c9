//! Coverage of Korean against gain.

use serde::Serialize;

use super::labels::Label;
use super::scatter::layout;
use super::{Scale, Tick, round, short, signed};
use korfinsts_bench::coverage::gains::{GainGroup, Measure};

const HEIGHT: f64 = 340.0;

/// One model of the chart of coverage against gain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoveragePoint {
    /// Name.
    pub name: String,
    /// Raw share, across in percent.
    pub raw: f64,
    /// Decoded share, across in percent.
    pub decoded: f64,
    /// Mean gain, down in pixels.
    pub y: f64,
    /// Numbers.
    pub title: String,
    /// Where the name is, from the decoded share, on a wide and on a narrow screen.
    pub labels: [Option<Label>; 2],
}

/// Coverage of Korean against gain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoverageChart {
    /// Height in pixels.
    pub height: f64,
    /// Models.
    pub points: Vec<CoveragePoint>,
    /// Axis across, in percent.
    pub across: Vec<Tick>,
    /// Axis up, in pixels.
    pub up: Vec<Tick>,
    /// Where the gain is 0.
    pub zero: f64,
}

/// Mean gain against the share of Korean entries, raw and decoded.
#[must_use]
pub fn coverage(group: &GainGroup) -> Option<CoverageChart> {
    let models: Vec<(&str, f64, f64, f64)> = group
        .models
        .iter()
        .filter_map(|m| {
            let gain = m.mean(&group.suites)?;
            let shares = [Measure::RawShare.of(m), Measure::DecodedShare.of(m)];
            Some((m.name.as_str(), shares[0], shares[1], gain))
        })
        .collect();
    if models.is_empty() {
        return None;
    }
    let up = Scale::over(models.iter().map(|p| p.3), 0.0, HEIGHT - 24.0);
    let y = |gain: f64| round(HEIGHT - up.at(gain));
    let most = models.iter().map(|p| p.1.max(p.2)).fold(0.01, f64::max);
    let x = |share: f64| round(8.0 + share / most * 80.0);
    let points: Vec<(f64, f64, String)> = models
        .iter()
        .map(|(name, _, decoded, gain)| (x(*decoded), y(*gain), short(name)))
        .collect();
    let [wide, narrow] = [860.0, 330.0].map(|width| layout(&points, width));
    let labels = wide.into_iter().zip(narrow);
    let steps = (most * 200.0).floor() as i32;
    Some(CoverageChart {
        height: HEIGHT,
        points: models
            .iter()
            .zip(labels)
            .map(
                |((name, raw, decoded, gain), (wide, narrow))| CoveragePoint {
                    name: short(name),
                    raw: x(*raw),
                    decoded: x(*decoded),
                    y: y(*gain),
                    title: format!(
                        "{name}: {:.2} % / {:.2} %, {}",
                        raw * 100.0,
                        decoded * 100.0,
                        signed(*gain, 4)
                    ),
                    labels: [wide, narrow],
                },
            )
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
                at: round(HEIGHT - t.at),
                text: t.text,
            })
            .collect(),
        zero: y(0.0),
    })
}
