//! The curve of a run as SVG, from a template.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::metrics::StepMetrics;
use super::{TrainError, template};

/// Points of one curve, `(step, value)`.
type Curve = Vec<(usize, f64)>;

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    class: usize,
    points: String,
    last: String,
    y: f64,
}

/// Where an axis has a number, or a stage begins.
#[derive(Debug, Serialize)]
struct Mark {
    at: f64,
    text: String,
}

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 220.0;
/// Losses below are drawn as it: the axis is logarithmic.
const LEAST_LOSS: f64 = 1e-4;

/// Draws the losses, one line for each kind of data since their scales differ, and the scores of
/// suites where there are any; marks where a stage, and a run of a stage, begins.
///
/// # Errors
/// When the template fails.
pub fn draw(title: &str, metrics: &[StepMetrics]) -> Result<String, TrainError> {
    let steps = metrics.last().map_or(1, |m| m.step).max(1) as f64;
    let across = |step: usize| tenths(step as f64 / steps * WIDTH);
    let mut losses: BTreeMap<&str, Curve> = BTreeMap::new();
    let mut scores: BTreeMap<&str, Curve> = BTreeMap::new();
    let mut stages: Vec<Mark> = Vec::new();
    let mut before: Option<&StepMetrics> = None;
    for line in metrics {
        let loss = (line.step, f64::from(line.loss).max(LEAST_LOSS).log10());
        losses.entry(&line.kind).or_default().push(loss);
        for (suite, score) in &line.evaluation {
            scores.entry(suite).or_default().push((line.step, *score));
        }
        let same_stage = before.is_some_and(|b| b.stage == line.stage);
        if !same_stage || before.is_some_and(|b| b.run != line.run) {
            stages.push(Mark {
                at: across(line.step - 1),
                text: if same_stage {
                    String::new()
                } else {
                    line.stage.clone()
                },
            });
        }
        before = Some(line);
    }
    for curve in losses.values_mut() {
        *curve = smoothed(curve);
    }
    let line =
        |name: String, class: usize, curve: &Curve, (low, high): (f64, f64), last: String| {
            let points: Vec<String> = curve
                .iter()
                .map(|(step, value)| format!("{},{}", across(*step), place(*value, low, high)))
                .collect();
            Line {
                name,
                class,
                points: points.join(" "),
                last,
                y: place(curve.last().map_or(low, |p| p.1), low, high),
            }
        };
    let ends = range(losses.values());
    let loss_lines = losses.iter().enumerate().map(|(i, (kind, curve))| {
        let name = match *kind {
            "" => "loss".to_owned(),
            kind => format!("loss of {kind}"),
        };
        let last = format!("{:.3}", 10_f64.powf(curve.last().map_or(0.0, |p| p.1)));
        line(name, i % CLASSES, curve, ends, last)
    });
    let (low, high) = range(scores.values());
    let score_lines = scores.iter().enumerate().map(|(i, (suite, curve))| {
        let last = format!("{:.3}", curve.last().map_or(0.0, |p| p.1));
        line((*suite).to_owned(), i % CLASSES, curve, (low, high), last)
    });
    let values = json!({
        "title": title,
        "steps": steps as usize,
        "losses": apart(loss_lines.collect()),
        "scores": apart(score_lines.collect()),
        "ticks": ticks(ends),
        "stages": stages,
        "score_high": format!("{high:.3}"),
        "score_low": format!("{low:.3}"),
        "width": WIDTH,
        "height": HEIGHT,
    });
    template::fill("training-curve.svg", &values, true)
}

/// Colours of lines.
const CLASSES: usize = 5;

/// Height of a value, from the top.
fn place(value: f64, low: f64, high: f64) -> f64 {
    tenths(HEIGHT - (value - low) / (high - low).max(1e-9) * HEIGHT)
}

/// As exact as a drawing needs.
fn tenths(value: f64) -> f64 {
    (10.0 * value).round() / 10.0
}

/// The lowest and highest value, `(0, 1)` of none.
fn range<'a>(curves: impl Iterator<Item = &'a Curve>) -> (f64, f64) {
    curves
        .flatten()
        .map(|p| (p.1, p.1))
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        .unwrap_or((0.0, 1.0))
}

/// Numbers of a logarithmic axis: 1, 2 and 5 times powers of ten, or the powers alone where those
/// are many.
fn ticks((low, high): (f64, f64)) -> Vec<Mark> {
    let decades = (low.floor() as i32)..=(high.ceil() as i32);
    let factors: &[f64] = if high - low > 2.0 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    decades
        .flat_map(|decade| factors.iter().map(move |f| f * 10_f64.powi(decade)))
        .filter(|value| (low..=high).contains(&value.log10()))
        .map(|value| Mark {
            at: place(value.log10(), low, high),
            text: format!("{value}"),
        })
        .collect()
}

/// Moves labels apart that would overlap.
fn apart(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|a, b| a.y.total_cmp(&b.y));
    for i in 1..lines.len() {
        lines[i].y = lines[i].y.max(lines[i - 1].y + 15.0);
    }
    lines
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

    fn step(step: usize, stage: &str, run: usize, kind: &str, loss: f32) -> StepMetrics {
        StepMetrics {
            step,
            stage: stage.into(),
            run,
            kind: kind.into(),
            loss,
            learning_rate: 1e-3,
            gradient_norm: 1.0,
            masked: None,
            triplets_per_second: 1.0,
            memory_mib: None,
            evaluation: BTreeMap::new(),
        }
    }

    #[test]
    fn a_curve_is_drawn_with_its_names_escaped() {
        let mut metrics: Vec<StepMetrics> = (1..=500)
            .map(|i| step(i, "s", 1, "pairs", 1.0 / i as f32))
            .collect();
        for (at, score) in [(0, 0.5), (499, 0.75)] {
            metrics[at].evaluation.insert("a<b".into(), score);
        }
        let svg = draw("run & more", &metrics).expect("drawn");
        assert!(svg.contains("a&lt;b") && svg.contains("run &amp; more") && svg.contains("0.750"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let none = draw("empty", &[]).expect("drawn");
        assert!(!none.contains("NaN") && !none.contains("inf"));
        let zero = draw("zero", &[step(1, "s", 1, "pairs", 0.0)]).expect("drawn");
        assert!(!zero.contains("NaN") && !zero.contains("inf"));
    }

    #[test]
    fn kinds_have_lines_of_their_own_and_stages_and_runs_are_marked() {
        let metrics: Vec<StepMetrics> = (1..=40)
            .map(|i| match i {
                1..=10 => step(i, "first", 1, "parallel texts", 2.0),
                11..=20 => step(i, "first", 2, "parallel texts", 2.0),
                _ if i % 2 == 0 => step(i, "second", 1, "triplets", 0.1),
                _ => step(i, "second", 1, "parallel texts", 1.0),
            })
            .collect();
        let svg = draw("x", &metrics).expect("drawn");
        for expected in [
            "loss of parallel texts 1.000",
            "loss of triplets 0.100",
            ">first</text>",
            ">second</text>",
        ] {
            assert!(svg.contains(expected), "{expected}\n{svg}");
        }
        assert_eq!(
            svg.matches("class=\"mark\"").count(),
            3,
            "two stages, of which one has two runs"
        );
        assert_eq!(svg.matches("<polyline").count(), 2);
    }

    #[test]
    fn ticks_are_round_numbers_in_range() {
        let texts = |low: f64, high: f64| -> Vec<String> {
            let marks = ticks((low.log10(), high.log10()));
            marks.into_iter().map(|m| m.text).collect()
        };
        assert_eq!(texts(0.15, 6.0), ["0.2", "0.5", "1", "2", "5"]);
        assert_eq!(texts(0.0005, 20.0), ["0.001", "0.01", "0.1", "1", "10"]);
    }
}
