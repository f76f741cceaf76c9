//! The curve of a run as SVG, from a template.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::{TrainError, template};

/// The built-in template.
pub const TEMPLATE: &str = include_str!("../../templates/training-curve.svg");

/// Points of one curve, `(step, value)`.
pub type Curve = Vec<(usize, f64)>;

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    class: usize,
    points: String,
    last: String,
    y: f64,
}

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 220.0;

/// Draws the loss, and the scores of suites where there are any.
///
/// # Errors
/// When the template fails.
pub fn draw(
    title: &str,
    loss: &Curve,
    scores: &BTreeMap<String, Curve>,
) -> Result<String, TrainError> {
    let steps = loss.last().map_or(1, |p| p.0).max(1) as f64;
    let smooth = smoothed(loss);
    let highest = smooth.iter().map(|p| p.1).fold(f64::MIN, f64::max);
    let lowest = smooth.iter().map(|p| p.1).fold(f64::MAX, f64::min).min(0.0);
    let line = |name: &str, class: usize, curve: &Curve, low: f64, high: f64| {
        let place = |value: f64| HEIGHT - (value - low) / (high - low).max(1e-9) * HEIGHT;
        let points: Vec<String> = curve
            .iter()
            .map(|(step, value)| {
                format!("{:.1},{:.1}", *step as f64 / steps * WIDTH, place(*value))
            })
            .collect();
        let last = curve.last().map_or(0.0, |p| p.1);
        Line {
            name: name.to_owned(),
            class,
            points: points.join(" "),
            last: format!("{last:.3}"),
            y: place(last),
        }
    };
    let loss_line = line("loss", 0, &smooth, lowest, highest);
    let low = scores
        .values()
        .flatten()
        .map(|p| p.1)
        .fold(f64::MAX, f64::min)
        .min(1.0);
    let high = scores
        .values()
        .flatten()
        .map(|p| p.1)
        .fold(f64::MIN, f64::max);
    let mut lines: Vec<Line> = scores
        .iter()
        .enumerate()
        .map(|(i, (name, curve))| line(name, i % 4 + 1, curve, low, high))
        .collect();
    // Labels that would lie on each other are moved apart.
    lines.sort_by(|a, b| a.y.total_cmp(&b.y));
    for i in 1..lines.len() {
        let least = lines[i - 1].y + 15.0;
        lines[i].y = lines[i].y.max(least);
    }
    let values = json!({
        "title": title, "steps": steps as usize, "loss": loss_line, "scores": lines,
        "loss_high": format!("{highest:.3}"), "loss_low": format!("{lowest:.3}"),
        "score_high": format!("{high:.3}"), "score_low": format!("{low:.3}"),
        "width": WIDTH, "height": HEIGHT,
    });
    template::fill("training-curve.svg", TEMPLATE, &values, true)
}

/// At most 200 points, each the mean of its neighbours.
fn smoothed(curve: &Curve) -> Curve {
    let part = curve.len().div_ceil(200).max(1);
    curve
        .chunks(part)
        .map(|points| {
            let n = points.len() as f64;
            let step = points[points.len() - 1].0;
            (step, points.iter().map(|p| p.1).sum::<f64>() / n)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn_with_its_names_escaped() {
        let loss = (1..=500).map(|i| (i, 1.0 / i as f64)).collect();
        let scores = BTreeMap::from([("a<b".to_owned(), vec![(1, 0.5), (500, 0.75)])]);
        let svg = draw("run & more", &loss, &scores).expect("drawn");
        assert!(svg.contains("a&lt;b") && svg.contains("run &amp; more") && svg.contains("0.750"));
        assert!(!svg.contains("NaN"));
        assert!(draw("empty", &vec![], &BTreeMap::new()).is_ok_and(|s| !s.contains("NaN")));
    }
}
