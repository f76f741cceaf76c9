//! The scores in the head of a model card: `model-index`, as the hub shows them.

use serde_json::{Map, Value};

use super::MtebScores;
use super::read::of_split;
use korfinsts_base::yaml;

/// Reads the scores of a model card.
///
/// # Errors
/// The line and what is wrong: no head, a head that is no YAML of the kind that is read, or one
/// without `model-index`.
pub(super) fn parse(text: &str) -> Result<Vec<MtebScores>, (usize, String)> {
    let Some(head) = yaml::front_matter(text)? else {
        return Err((1, "found no head between lines of `---`".into()));
    };
    let Some(models) = head.get("model-index").and_then(Value::as_array) else {
        return Err((
            1,
            "found no `model-index` in the head of the model card".into(),
        ));
    };
    let mut found = Vec::new();
    for model in models {
        let results = model.get("results").and_then(Value::as_array);
        for result in results.into_iter().flatten() {
            found.push(result_of(model, result));
        }
    }
    Ok(found)
}

fn result_of(model: &Value, result: &Value) -> MtebScores {
    let of = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let dataset = result.get("dataset").unwrap_or(&Value::Null);
    let name = of(dataset, "name").unwrap_or_default();
    // `MTEB STS22 (zh)`: the task with its subset.
    let name = name.strip_prefix("MTEB ").unwrap_or(&name);
    let (task, in_name) = match name.split_once(" (") {
        Some((task, subset)) => (task, Some(subset.trim_end_matches(')').to_owned())),
        None => (name, None),
    };
    let mut scores = Map::new();
    for metric in result
        .get("metrics")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if let (Some(kind), Some(value)) = (of(metric, "type"), metric.get("value")) {
            scores.insert(kind, value.clone());
        }
    }
    let base = MtebScores {
        task: task.trim().to_owned(),
        model: of(model, "name"),
        dataset_revision: of(dataset, "revision"),
        ..MtebScores::default()
    };
    let subset = of(dataset, "config").or(in_name);
    let split = of(dataset, "split").unwrap_or_else(|| "test".into());
    of_split(
        &base,
        &split,
        &subset.unwrap_or_else(|| "default".into()),
        &scores,
    )
}
