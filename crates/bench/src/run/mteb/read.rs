//! Result files of others: every variant seen in the wild, brought to one form.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::super::RunError;
use super::{MtebScores, SPEARMAN, card};
use korfinsts_base::fs;

/// What `main_score` and the cosine Spearman of one file may differ by: both are rounded.
const ROUNDING: f64 = 1.5e-4;

/// Reads one result file of any known variant, or the scores in the head of a model card (`.md`).
///
/// Scores come under their current names, percentages as shares; what had to be concluded is in
/// [`MtebScores::notes`].
///
/// # Errors
/// When the file cannot be read, is not JSON (bare `NaN` and `Infinity` are allowed), holds no
/// scores, or is no result file.
pub fn read(path: &Path) -> Result<Vec<MtebScores>, RunError> {
    let wrong = |line: usize, reason: String| RunError::Record {
        path: path.into(),
        line,
        reason,
    };
    let bytes = fs::read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| wrong(1, e.to_string()))?;
    let mut found = if path.extension().is_some_and(|e| e == "md") {
        card::parse(text).map_err(|(line, reason)| wrong(line, reason))?
    } else {
        let value: Value =
            serde_json::from_str(&without_nan(text)).map_err(|e| wrong(e.line(), e.to_string()))?;
        parse(&value).ok_or_else(|| {
            let reason = "found neither `task_name` with `scores` nor `mteb_dataset_name`";
            wrong(1, reason.into())
        })?
    };
    if found.is_empty() {
        return Err(wrong(1, "found a task and no scores of any split".into()));
    }
    settle(&mut found);
    Ok(found)
}

fn parse(file: &Value) -> Option<Vec<MtebScores>> {
    let string = |key: &str| file.get(key).and_then(Value::as_str).map(str::to_owned);
    let base = MtebScores {
        task: string("task_name").or_else(|| string("mteb_dataset_name"))?,
        dataset_revision: string("dataset_revision"),
        mteb_version: string("mteb_version"),
        subset: "default".into(),
        date: file.get("date").and_then(date),
        ..MtebScores::default()
    };
    let mut found = Vec::new();
    if let Some(splits) = file.get("scores").and_then(Value::as_object) {
        for (split, subsets) in splits {
            let subsets = subsets.as_array()?;
            for subset in subsets {
                found.push(current(&base, split, subset.as_object()?));
            }
            if subsets.is_empty() {
                found.push(of_split(&base, split, "default", &Map::new()));
            }
        }
    } else {
        // Before 1.11: each split at top level, scores nested by similarity.
        for (split, content) in file.as_object()? {
            let Some(content) = content.as_object() else {
                continue;
            };
            if content.keys().any(|name| is_score(name)) {
                found.push(of_split(&base, split, "default", content));
            } else {
                let subsets = content.iter();
                let subsets = subsets.filter_map(|(subset, c)| Some((subset, c.as_object()?)));
                found.extend(subsets.map(|(subset, c)| of_split(&base, split, subset, c)));
            }
        }
    }
    Some(found)
}

fn current(base: &MtebScores, split: &str, content: &Map<String, Value>) -> MtebScores {
    let text = |key: &str| content.get(key).and_then(Value::as_str).map(str::to_owned);
    let subset = text("hf_subset").unwrap_or_else(|| "default".into());
    let languages = content.get("languages").and_then(Value::as_array);
    let languages = languages.into_iter().flatten().filter_map(Value::as_str);
    MtebScores {
        mteb_version: text("mteb_version").or_else(|| base.mteb_version.clone()),
        languages: languages.map(str::to_owned).collect(),
        ..of_split(base, split, &subset, content)
    }
}

/// One split and subset, with its scores as the file has them, under their current names.
pub(super) fn of_split(
    base: &MtebScores,
    split: &str,
    subset: &str,
    content: &Map<String, Value>,
) -> MtebScores {
    let mut scores: BTreeMap<String, Option<f64>> = BTreeMap::new();
    let mut others = false;
    let mut put = |name: &str, value: &Value| match current_name(name) {
        // A score under its current name wins over an older spelling of it.
        Some(new) if new == name || !scores.contains_key(&new) => {
            scores.insert(new, number(value));
        }
        Some(_) => {}
        None => others |= value.is_number() && name != "evaluation_time",
    };
    for (name, value) in content {
        match value {
            Value::Object(kinds) => {
                for (kind, value) in kinds {
                    put(&format!("{name}_{kind}"), value);
                }
            }
            value if name != "main_score" => put(name, value),
            _ => {}
        }
    }
    let main_score = content.get("main_score").and_then(number);
    let mut notes = Vec::new();
    if scores.is_empty() && main_score.is_none() {
        notes.push(format!("split `{split}` has no correlation"));
    }
    // The main score of a task of another kind is no correlation.
    let named = scores.get(SPEARMAN).copied();
    let spearman = match (named, main_score) {
        (Some(None), _) => {
            notes.push("its cosine Spearman is not a number".into());
            None
        }
        (Some(found), _) => found,
        (None, main) => main.filter(|_| !(scores.is_empty() && others)),
    };
    match (named, main_score) {
        (Some(Some(named)), Some(main)) if differ(named, main) => notes.push(format!(
            "`main_score` is {main} and the cosine Spearman {named}: the cosine Spearman is taken"
        )),
        (None, Some(_)) if spearman.is_some() => {
            notes.push("it names no cosine Spearman: `main_score` is taken".into());
        }
        _ => {}
    }
    let mut scores: BTreeMap<String, f64> = scores
        .into_iter()
        .filter_map(|(name, score)| Some((name, score?)))
        .collect();
    scores.extend(spearman.map(|score| (SPEARMAN.to_owned(), score)));
    MtebScores {
        split: split.to_owned(),
        subset: subset.to_owned(),
        main_score: main_score.or(spearman),
        scores,
        notes,
        ..base.clone()
    }
}

/// Whether two roundings of one score differ, as shares or as percentages.
fn differ(a: f64, b: f64) -> bool {
    (a - b).abs() > ROUNDING * a.abs().max(b.abs()).max(1.0)
}

/// The current name of a correlation, whatever an older file or a model card calls it.
fn current_name(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    if let Some(similarity) = name.strip_prefix("spearman_") {
        return Some(format!("{similarity}_spearman"));
    }
    if let Some(similarity) = name.strip_prefix("pearson_") {
        return Some(format!("{similarity}_pearson"));
    }
    let new = match name.strip_prefix("cos_sim_") {
        Some(kind) => format!("cosine_{kind}"),
        None => name,
    };
    (new.ends_with("spearman") || new.ends_with("pearson")).then_some(new)
}

fn is_score(name: &str) -> bool {
    current_name(name).is_some()
        || [
            "cos_sim",
            "cosine",
            "dot",
            "manhattan",
            "euclidean",
            "main_score",
        ]
        .contains(&name)
}

/// Scores of a file are shares, or all of them percentages; zero is both.
fn settle(results: &mut [MtebScores]) {
    let all = || {
        let scores = results.iter().flat_map(|r| r.scores.values().copied());
        scores.filter(|score| *score != 0.0)
    };
    let percent =
        all().next().is_some() && all().all(|s| (1.0..=100.0).contains(&s.abs()) && s.abs() > 1.0);
    for result in results {
        if percent {
            let scores = result.scores.values_mut().chain(&mut result.main_score);
            scores.for_each(|score| *score /= 100.0);
            result
                .notes
                .push("its scores are percentages: they are divided by 100".into());
        }
        if let Some(score) = result.scores.get(SPEARMAN).filter(|s| s.abs() > 1.0) {
            result.notes.push(format!(
                "its cosine Spearman is {score}: neither a correlation nor one of percentages only"
            ));
            result.scores.remove(SPEARMAN);
        }
    }
}

/// A score: a number, or the first of `SciPy`'s `[r, p]`.
fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_array()?.first()?.as_f64())
}

/// A date: Unix seconds, or text in RFC 3339 (the offset may be missing: then UTC).
fn date(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| {
        let text = value.as_str()?;
        let timestamp: jiff::Timestamp = text.parse().ok().or_else(|| {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
        })?;
        Some(timestamp.as_millisecond() as f64 / 1000.0)
    })
}

/// JSON with Python's bare `NaN`, `Infinity` and `-Infinity` outside strings made `null`.
fn without_nan(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        if in_string {
            let taken = if c == '\\' {
                rest.chars().take(2).map(char::len_utf8).sum()
            } else {
                c.len_utf8()
            };
            in_string = c != '"';
            out.push_str(&rest[..taken]);
            rest = &rest[taken..];
            continue;
        }
        if let Some(word) = ["-Infinity", "Infinity", "NaN"]
            .iter()
            .find(|w| rest.starts_with(**w))
        {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        in_string = c == '"';
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_is_read() {
        let files = [
            // current
            r#"{"dataset_revision": "016f", "task_name": "KorSTS", "mteb_version": "2.12.30",
                "scores": {"test": [{"pearson": 0.8, "cosine_spearman": 0.5, "main_score": 0.5,
                "hf_subset": "default", "languages": ["kor-Hang"]}]}, "date": 1785190318.5}"#,
            // no date, sorted keys, `[r, p]`, NaN
            r#"{"dataset_revision": "016f", "scores": {"test": [{"cosine_spearman": [0.5, 0.01],
                "hf_subset": "default", "languages": [], "main_score": 0.5, "manhattan_spearman": NaN}]},
                "task_name": "KorSTS"}"#,
            // before 1.11
            r#"{"dataset_revision": null, "mteb_dataset_name": "KorSTS", "mteb_version": "1.1.2",
                "test": {"cos_sim": {"pearson": 0.8, "spearman": 0.5},
                         "euclidean": {"pearson": 0.7, "spearman": 0.4}, "evaluation_time": 3.5}}"#,
            // before 1.11, by subset; date as text
            r#"{"mteb_dataset_name": "KorSTS", "date": "2024-05-01T10:00:00.000000",
                "test": {"default": {"cos_sim": {"pearson": 0.8, "spearman": 0.5}}}}"#,
        ];
        for (i, text) in files.iter().enumerate() {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("KorSTS.json");
            fs::write_atomic(&path, text.as_bytes()).expect("written");
            let found = read(&path).expect("read");
            assert_eq!(found.len(), 1, "file {i}");
            assert_eq!(found[0].task, "KorSTS");
            assert_eq!(found[0].split, "test");
            assert_eq!(found[0].subset, "default");
            assert_eq!(found[0].main_score, Some(0.5), "file {i}");
            assert_eq!(found[0].scores["cosine_spearman"], 0.5);
            assert!(!found[0].scores.contains_key("manhattan_spearman"));
            assert_eq!(found[0].date.is_some(), i == 0 || i == 3, "file {i}");
        }
    }

    #[test]
    fn a_nan_inside_a_string_stays() {
        assert_eq!(
            without_nan(r#"{"NaN \" NaN": NaN, "b": -Infinity}"#),
            r#"{"NaN \" NaN": null, "b": null}"#
        );
    }

    #[test]
    fn another_json_is_refused_by_path() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.json");
        for content in ["{}", "[1]", "{\"task_name\": \"x\", "] {
            fs::write_atomic(&path, content.as_bytes()).expect("written");
            let error = read(&path).expect_err("refused").to_string();
            assert!(error.contains("x.json:1: "), "{error}");
        }
    }
}
