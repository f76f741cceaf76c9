//! What a reader came for: the best encoder of each subset, how sure that is, and what it costs; and the
//! charts of score against cost.

use super::make::subset_title;
use super::words::{fill, half, range, text};
use super::{AnswerView, ScatterView, Texts};
use crate::leaderboard::board::{Board, Kind, Mean, Model};
use crate::leaderboard::chart::{
    self, AGAINST, Scored, dagger, decimal, on_subset, on_suite, parameters,
};
use korfinsts_bench::suite::manifest::Area;

/// Models with a whole mean of a subset, highest first.
fn by_mean(board: &Board, subset: usize, kind: Kind) -> Vec<(&Model, &Mean)> {
    let models = board
        .models
        .iter()
        .filter_map(|m| Some((m, m.means[subset].as_ref()?)));
    let mut of: Vec<_> = models
        .filter(|(m, mean)| mean.whole && !board.is_form(m) && board.rows[m.rows[0]].kind == kind)
        .collect();
    of.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
    of
}

/// The best encoder of each subset.
pub(super) fn answers(board: &Board, t: &Texts) -> Vec<AnswerView> {
    let answer = |at: usize| {
        let subset = &board.subsets[at];
        // What was run comes before what is reported.
        let encoders = by_mean(board, at, Kind::Encoder);
        let run = encoders.iter().find(|(_, mean)| !mean.reported);
        let (model, mean) = run.or(encoders.first())?;
        let mut sure = Vec::new();
        if mean.rank.is_some() {
            let values = [
                ("rank", range(mean.rank)),
                ("ranked", mean.ranked.to_string()),
            ];
            sure.push(filled(t, "answer_rank", &values));
        }
        if let Some((baseline, of)) = by_mean(board, at, Kind::Baseline).first() {
            let values = [
                ("baseline", baseline.name.clone()),
                ("score", decimal(of.score, 3)),
            ];
            sure.extend(mean.beats_baselines.map(|sure| {
                let key = if sure {
                    "answer_above"
                } else {
                    "answer_not_above"
                };
                filled(t, key, &values)
            }));
        }
        if mean.trained_on {
            sure.push(text(t, "answer_trained").to_owned());
        }
        if mean.reported {
            sure.push(text(t, "reported").to_owned());
        }
        let names = subset.counted.iter();
        let names: Vec<&str> = names
            .map(|set| board.suites[set[0]].title.as_str())
            .collect();
        Some(AnswerView {
            title: filled(
                t,
                "answer_title",
                &[("subset", subset_title(subset.key, t))],
            ),
            suites: names.join(", "),
            id: model.id.clone(),
            name: model.name.clone(),
            score: format!(
                "{}{} {}",
                decimal(mean.score, 3),
                dagger(mean.trained_on),
                half(mean.interval)
            ),
            sure: sure.join(" "),
            cost: cost(board, model, t),
        })
    };
    (0..board.subsets.len()).filter_map(answer).collect()
}

fn filled(t: &Texts, key: &str, values: &[(&str, String)]) -> String {
    let values: Vec<(&str, &str)> = values.iter().map(|(k, v)| (*k, v.as_str())).collect();
    fill(t, key, &values)
}

/// Size, dimensions, speed, memory, price and licence, those that are known.
fn cost(board: &Board, model: &Model, t: &Texts) -> String {
    let facts = &board.rows[model.rows[0]].facts;
    let mut parts = Vec::new();
    let mut part = |key: &str, value: Option<String>| {
        parts.extend(value.map(|value| filled(t, key, &[("value", value)])));
    };
    part("cost_parameters", facts.parameters.map(parameters));
    part("cost_dimensions", facts.dimensions.map(|n| n.to_string()));
    part(
        "cost_speed",
        facts.texts_per_second.map(|v| format!("{v:.0}")),
    );
    part("cost_memory", facts.memory_mb.map(|v| format!("{v:.0}")));
    part("cost_price", facts.price.map(|v| v.to_string()));
    parts.extend(facts.licence.clone());
    parts.join(" · ")
}

/// Sentences that the figures support, strongest first.
pub(super) fn findings(board: &Board, t: &Texts) -> Vec<String> {
    let mut found = Vec::new();
    for (at, suite) in board.suites.iter().enumerate() {
        let Some((name, score)) = &suite.best_baseline else {
            continue;
        };
        let models = board.models.iter();
        let marks: Vec<bool> = models
            .filter(|m| board.rows[m.rows[0]].kind == Kind::Encoder && !board.is_form(m))
            .filter_map(|m| board.cell(m, at)?.1.beats_baselines)
            .collect();
        let below = marks.iter().filter(|m| !**m).count();
        if below > 0 && suite.area == Area::Finance {
            let values = [
                ("below", below.to_string()),
                ("all", marks.len().to_string()),
                ("suite", suite.title.clone()),
                ("baseline", name.clone()),
                ("score", decimal(*score, 3)),
            ];
            found.push(filled(t, "finding_baseline", &values));
        }
    }
    let changes = board.adaptations.iter().flat_map(|a| &a.changes);
    let finance = changes.filter(|(s, _)| board.suites[**s].area == Area::Finance);
    let classes: Vec<&str> = finance.map(|(_, change)| change.class()).collect();
    if !classes.is_empty() {
        let sure = classes.iter().filter(|class| **class != "same").count();
        let values = [
            ("sure", sure.to_string()),
            ("all", classes.len().to_string()),
        ];
        found.push(filled(t, "finding_changes", &values));
    }
    found
}

/// Key and title of a score, the models that have it, and the best baseline with its score.
type Up<'a> = (String, String, Vec<Scored<'a>>, Option<(&'a str, f64)>);

/// Each score of finance against size, speed and price. The score that most models have comes first.
pub(super) fn scatters(board: &Board, t: &Texts) -> Vec<ScatterView> {
    let mut ups: Vec<Up<'_>> = Vec::new();
    for (at, subset) in board.subsets.iter().enumerate() {
        if subset.key == "finance" && subset.counted.len() > 1 {
            let baseline = by_mean(board, at, Kind::Baseline);
            let floor = baseline
                .first()
                .map(|(m, mean)| (m.name.as_str(), mean.score));
            let title = text(t, "mean_finance").to_owned();
            ups.push((subset.key.into(), title, on_subset(board, at), floor));
        }
    }
    for (at, suite) in board.suites.iter().enumerate() {
        if suite.area == Area::Finance {
            let floor = suite.best_baseline.as_ref().map(|(n, s)| (n.as_str(), *s));
            let (key, title) = (suite.key.clone(), suite.title.clone());
            ups.push((key, title, on_suite(board, at), floor));
        }
    }
    let sized = |of: &[Scored<'_>]| {
        let facts = |s: &&Scored<'_>| board.rows[s.model.rows[0]].facts.parameters.is_some();
        of.iter().filter(facts).count()
    };
    ups.sort_by_key(|(_, _, of, _)| std::cmp::Reverse(sized(of)));
    ups.truncate(6);
    let view = |(key, title, scores, floor): &(String, String, Vec<Scored<'_>>, _)| {
        AGAINST.map(|against| ScatterView {
            up: key.clone(),
            across: against.key.to_owned(),
            up_title: format!("{title}, ρ"),
            across_title: text(t, against.key).to_owned(),
            chart: chart::scatter(board, scores, against, *floor),
        })
    };
    ups.iter().flat_map(view).collect()
}
