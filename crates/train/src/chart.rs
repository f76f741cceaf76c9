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
    /// Points of each run.
    runs: Vec<String>,
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

/// Draws the losses, one line for each kind of data and run since their scales differ, and the scores of
/// suites where there are any. Runs of a stage are drawn over one another; marks where a stage begins.
///
/// # Errors
/// When the template fails.
pub fn draw(title: &str, metrics: &[StepMetrics]) -> Result<String, TrainError> {
    let mut losses: BTreeMap<&str, Vec<Curve>> = BTreeMap::new();
    let mut scores: BTreeMap<&str, Vec<Curve>> = BTreeMap::new();
    // Steps of one run of each stage, and where a stage and a run begin.
    let (mut steps, mut runs) = (0, 1);
    let (mut stage_at, mut run_at) = (0, 0);
    let mut stages: Vec<(usize, String)> = Vec::new();
    let mut before: Option<&StepMetrics> = None;
    for line in metrics {
        let same_stage = before.is_some_and(|b| b.stage == line.stage);
        let same_run = same_stage && before.is_some_and(|b| b.run == line.run);
        if !same_run {
            run_at = line.step - 1;
            for curves in losses.values_mut().chain(scores.values_mut()) {
                curves.push(Vec::new());
            }
        }
        if !same_stage {
            stage_at = steps;
            stages.push((steps, line.stage.clone()));
        }
        runs = runs.max(line.run);
        let at = stage_at + line.step - run_at;
        steps = steps.max(at);
        let loss = f64::from(line.loss).max(LEAST_LOSS).log10();
        add(&mut losses, &line.kind, (at, loss));
        for (suite, score) in &line.evaluation {
            add(&mut scores, suite, (at, *score));
        }
        before = Some(line);
    }
    for curves in losses.values_mut().chain(scores.values_mut()) {
        curves.retain(|curve| !curve.is_empty());
    }
    for curve in losses.values_mut().flatten() {
        *curve = smoothed(curve);
    }
    let steps = steps.max(1);
    let across = |step: usize| tenths(step as f64 / steps as f64 * WIDTH);
    let line =
        |name: String, class: usize, curves: &[Curve], (low, high): (f64, f64), last: String| {
            let points = |curve: &Curve| {
                let points = curve
                    .iter()
                    .map(|(step, value)| format!("{},{}", across(*step), place(*value, low, high)));
                points.collect::<Vec<_>>().join(" ")
            };
            Line {
                name,
                class,
                runs: curves.iter().map(points).collect(),
                last,
                y: place(end(curves).unwrap_or(low), low, high),
            }
        };
    let ends = range(losses.values().flatten());
    let loss_lines = losses.iter().enumerate().map(|(i, (kind, curves))| {
        let name = match *kind {
            "" => "loss".to_owned(),
            kind => format!("loss of {kind}"),
        };
        let last = format!("{:.3}", 10_f64.powf(end(curves).unwrap_or(0.0)));
        line(name, i % CLASSES, curves, ends, last)
    });
    let (low, high) = range(scores.values().flatten());
    let score_lines = scores.iter().enumerate().map(|(i, (suite, curves))| {
        let last = format!("{:.3}", end(curves).unwrap_or(0.0));
        line((*suite).to_owned(), i % CLASSES, curves, (low, high), last)
    });
    let stages: Vec<Mark> = stages
        .into_iter()
        .map(|(step, text)| Mark {
            at: across(step),
            text,
        })
        .collect();
    let values = json!({
        "title": title,
        "steps": steps,
        "runs": runs,
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

/// Adds a point to the last curve of a name.
fn add<'a>(curves: &mut BTreeMap<&'a str, Vec<Curve>>, name: &'a str, point: (usize, f64)) {
    let curves = curves.entry(name).or_insert_with(|| vec![Vec::new()]);
    if let Some(curve) = curves.last_mut() {
        curve.push(point);
    }
}

/// The last value of the last curve.
fn end(curves: &[Curve]) -> Option<f64> {
    Some(curves.last()?.last()?.1)
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

/// At most 60 points, each the mean of its neighbours.
fn smoothed(curve: &Curve) -> Curve {
    let part = curve.len().div_ceil(60).max(1);
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

    fn step(step: usize, stage: &str, kind: &str, loss: f32) -> StepMetrics {
        StepMetrics {
            step,
            stage: stage.into(),
            run: 1,
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
            .map(|i| step(i, "s", "pairs", 1.0 / i as f32))
            .collect();
        for (at, score) in [(0, 0.5), (499, 0.75)] {
            metrics[at].evaluation.insert("a<b".into(), score);
        }
        let svg = draw("run & more", &metrics).expect("drawn");
        assert!(svg.contains("a&lt;b") && svg.contains("run &amp; more") && svg.contains("0.750"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let none = draw("empty", &[]).expect("drawn");
        assert!(!none.contains("NaN") && !none.contains("inf"));
        let zero = draw("zero", &[step(1, "s", "pairs", 0.0)]).expect("drawn");
        assert!(!zero.contains("NaN") && !zero.contains("inf"));
    }

    #[test]
    fn kinds_have_lines_of_their_own_and_stages_and_runs_are_marked() {
        let metrics: Vec<StepMetrics> = (1..=40)
            .map(|i| match i {
                1..=10 => step(i, "first", "parallel texts", 2.0),
                11..=20 => StepMetrics {
                    run: 2,
                    ..step(i, "first", "parallel texts", 2.0)
                },
                _ if i % 2 == 0 => step(i, "second", "triplets", 0.1),
                _ => step(i, "second", "parallel texts", 1.0),
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
        assert_eq!(svg.matches("class=\"mark\"").count(), 2, "two stages");
        // Two runs of the first stage are drawn over one another.
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.contains("30 steps, runs of a stage over one another"));
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
