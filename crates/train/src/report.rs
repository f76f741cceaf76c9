//! What a run changed: scores before and after with paired intervals, and the model card.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::best::BestStep;
use super::metrics::StepMetrics;
use super::outline::Outline;
use super::recipe::Recipe;
use super::{TrainError, template};
use korfinsts_bench::run::evaluate::Evaluation;
use korfinsts_bench::run::record::clusters;
use korfinsts_encoder::EncoderSpec;
use korfinsts_encoder::modules::Module;
use korfinsts_metric::{self as metric, BootstrapOptions, PairedStatistic};

/// One suite before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Suite.
    pub suite: String,
    /// Split.
    pub split: String,
    /// Pairs that were scored.
    pub n_pairs: usize,
    /// Spearman's correlation of the base model; absent for a new model.
    pub before: Option<f64>,
    /// Spearman's correlation of the checkpoint.
    pub after: Option<f64>,
    /// `after - before`.
    pub delta: Option<f64>,
    /// 95 % interval of `delta` under resampling of pairs.
    pub interval: Option<[f64; 2]>,
    /// Two-sided p-value of a permutation test.
    pub p_value: Option<f64>,
    /// The p-values of all suites, corrected by Holm's method.
    pub p_holm: Option<f64>,
    /// Share of triplets with the positive nearer than the negative, before.
    pub triplet_accuracy_before: Option<f64>,
    /// The same, after.
    pub triplet_accuracy_after: Option<f64>,
    /// Spearman's correlation of others on the same pairs, by name.
    pub beside: BTreeMap<String, f64>,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Version of this schema.
    pub schema_version: u32,
    /// Name of the checkpoint.
    pub name: String,
    /// What was trained.
    pub outline: Outline,
    /// Steps.
    pub steps: usize,
    /// Mean loss of the first tenth of the last stage's steps.
    pub first_loss: Option<f64>,
    /// Mean loss of the last tenth of the last stage's steps.
    pub last_loss: Option<f64>,
    /// Variants of `korfin-shift` that were trained on and left out of its evaluation.
    pub held_out_of_evaluation: Vec<String>,
    /// The step whose weights the checkpoint has, where a dev split chose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<BestStep>,
    /// Scores by suite.
    pub suites: Vec<Change>,
}

/// Names of other encoders and their evaluations on the same suites.
pub type Beside = Vec<(String, Vec<Evaluation>)>;

/// The evaluations of a run.
#[derive(Debug, Clone, Copy)]
pub struct Evaluations<'a> {
    /// Of the base, where there is one.
    pub before: &'a [Evaluation],
    /// Of the checkpoint.
    pub after: &'a [Evaluation],
    /// Of other encoders.
    pub beside: &'a Beside,
}

/// Puts a report together, without a chosen step and without variants that were left out of the evaluation.
#[must_use]
pub fn build(
    recipe: &Recipe,
    outline: &Outline,
    evaluations: Evaluations<'_>,
    metrics: &[StepMetrics],
) -> Report {
    let Evaluations {
        before,
        after,
        beside,
    } = evaluations;
    let mut suites: Vec<Change> = after
        .iter()
        .map(|after| {
            let facts = &after.record.suite;
            let same = |e: &&Evaluation| {
                (&e.record.suite.id, &e.record.suite.split) == (&facts.id, &facts.split)
            };
            change(before.iter().find(same), after, || {
                beside
                    .iter()
                    .filter_map(|(other, found)| {
                        let found = found.iter().find(same)?;
                        Some((other.clone(), found.record.scores.cosine_spearman?))
                    })
                    .collect()
            })
        })
        .collect();
    let p_values: Vec<f64> = suites.iter().filter_map(|s| s.p_value).collect();
    if let Ok(corrected) = metric::holm(&p_values) {
        let mut corrected = corrected.into_iter();
        for suite in suites.iter_mut().filter(|s| s.p_value.is_some()) {
            suite.p_holm = corrected.next();
        }
    }
    let last_stage = metrics.last().map(|m| m.stage.clone());
    let losses: Vec<f64> = metrics
        .iter()
        .filter(|m| Some(&m.stage) == last_stage.as_ref())
        .map(|m| f64::from(m.loss))
        .collect();
    let tenth = losses.len().div_ceil(10);
    let mean =
        |part: &[f64]| (!part.is_empty()).then(|| part.iter().sum::<f64>() / part.len() as f64);
    Report {
        schema_version: 1,
        name: recipe.name.clone(),
        outline: outline.clone(),
        steps: metrics.len(),
        first_loss: mean(&losses[..tenth]),
        last_loss: mean(&losses[losses.len() - tenth..]),
        held_out_of_evaluation: Vec::new(),
        best: None,
        suites,
    }
}

fn change(
    before: Option<&Evaluation>,
    after: &Evaluation,
    beside: impl Fn() -> BTreeMap<String, f64>,
) -> Change {
    let record = &after.record;
    let accuracy = |e: &Evaluation| {
        let groups = &e.record.triplet_accuracy;
        (!groups.is_empty()).then(|| groups.values().sum::<f64>() / groups.len() as f64)
    };
    let mut change = Change {
        suite: record.suite.id.clone(),
        split: record.suite.split.clone(),
        n_pairs: record.n_pairs,
        before: before.and_then(|b| b.record.scores.cosine_spearman),
        after: record.scores.cosine_spearman,
        delta: None,
        interval: None,
        p_value: None,
        p_holm: None,
        triplet_accuracy_before: before.and_then(accuracy),
        triplet_accuracy_after: accuracy(after),
        beside: beside(),
    };
    let Some(before) = before else {
        return change;
    };
    let column = |e: &Evaluation| -> Option<Vec<f64>> { e.pairs.iter().map(|p| p.score).collect() };
    let (Some(a), Some(b)) = (column(after), column(before)) else {
        return change;
    };
    let gold: Vec<f64> = after.pairs.iter().map(|p| p.gold).collect();
    let clusters = clusters(&after.pairs);
    let options = BootstrapOptions {
        resamples: 2000,
        ..BootstrapOptions::default()
    };
    let how = options.by(clusters.as_ref());
    if a.len() == b.len()
        && let Ok(found) = metric::compare(PairedStatistic::Spearman, [&a, &b], &gold, how)
    {
        change.delta = Some(found.delta);
        change.interval = Some([found.interval.low, found.interval.high]);
        change.p_value = Some(found.permutation.p_value);
    }
    change
}

/// A recipe as TOML.
pub(super) fn to_toml(recipe: &Recipe) -> Result<String, TrainError> {
    toml::to_string(recipe).map_err(|e| TrainError::Compute {
        what: "writing the recipe",
        reason: e.to_string(),
    })
}

/// The model card, `README.md` of the checkpoint.
///
/// # Errors
/// When the template fails.
pub fn card(recipe: &Recipe, report: &Report, spec: &EncoderSpec) -> Result<String, TrainError> {
    let number = |x: Option<f64>| x.map_or_else(|| "–".into(), |x| format!("{x:.4}"));
    let signed = |x: Option<f64>| x.map_or_else(|| "–".into(), |x| format!("{x:+.4}"));
    let names: Vec<&String> = report
        .suites
        .first()
        .map(|s| s.beside.keys().collect())
        .unwrap_or_default();
    let rows: Vec<serde_json::Value> = report
        .suites
        .iter()
        .map(|s| {
            json!({
                "suite": s.suite, "split": s.split, "n_pairs": s.n_pairs,
                "before": number(s.before), "after": number(s.after), "delta": signed(s.delta),
                "interval": s.interval.map_or_else(|| "–".into(),
                    |[low, high]| format!("[{low:+.4}, {high:+.4}]")),
                "p_value": number(s.p_holm),
                "triplets_before": number(s.triplet_accuracy_before),
                "triplets_after": number(s.triplet_accuracy_after),
                "beside": names.iter()
                    .map(|n| number(s.beside.get(*n).copied()))
                    .collect::<Vec<_>>(),
            })
        })
        .collect();
    let toml = to_toml(recipe)?;
    let share = |x: Option<f64>| x.map_or_else(|| "–".into(), |x| format!("{:.2} %", 100.0 * x));
    let vocabulary = report.outline.vocabulary.as_ref().map(|v| {
        let texts = v.texts.iter().map(|t| {
            json!({
                "name": t.texts, "n": t.n_texts, "used": t.used,
                "before": number(t.tokens_per_eojeol[0]), "after": number(t.tokens_per_eojeol[1]),
                "unknown_before": share(t.unknown_rate[0]), "unknown_after": share(t.unknown_rate[1]),
            })
        });
        json!({
            "rows": v.new_rows - v.old_rows, "model": v.model, "corpus": v.corpus,
            "from_unknown": v.from_unknown, "texts": texts.collect::<Vec<_>>(),
        })
    });
    let values = json!({
        "vocabulary": vocabulary,
        "recipe": recipe,
        "report": report,
        "rows": rows,
        "others": names,
        "toml": toml,
        "max_tokens": spec.token_limit(),
        "modules": spec.modules.iter().map(Module::describe).collect::<Vec<_>>(),
        "triplets": report.suites.iter().any(|s| s.triplet_accuracy_after.is_some()),
        "version": korfinsts_base::VERSION,
    });
    template::fill("training-card.md", &values, false)
}
