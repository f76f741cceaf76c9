//! Whose results a file holds: mteb's file about the model says it, or the folders do.

use std::path::{Path, PathBuf};

use serde_json::Value;

use korfinsts_base::fs;

/// Name of mteb's file about a model.
pub(super) const META: &str = "model_meta.json";

/// Folder of the runs of a model with settings that are not its own.
pub(super) const EXPERIMENTS: &str = "experiments";

/// Whose results a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelName {
    /// Name of the model, with the settings of an experiment behind it: `org/name (dim=256)`;
    /// `None` where nothing names it.
    pub name: Option<String>,
    /// Its revision, where something names one.
    pub revision: Option<String>,
    /// Why the name is not sure, or is none.
    pub note: Option<String>,
}

/// Whose results the file at `path` holds. `named` is what the file itself says.
///
/// `model_meta.json` in the file's folder wins; then folders: `<org__model>/<revision>/`, those of
/// the hub's cache, and the one folder of versions before 1.11. `results` is no name of a model.
#[must_use]
pub fn model_of(path: &Path, named: Option<&str>) -> ModelName {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = whole.parent().unwrap_or(Path::new("")).to_owned();
    let above = |n: usize| {
        folder
            .ancestors()
            .nth(n)
            .unwrap_or(Path::new(""))
            .to_owned()
    };
    let own = meta(&folder.join(META));
    // A folder `experiments` of anything else holds models.
    let below = above(1).file_name().is_some_and(|name| name == EXPERIMENTS);
    let sure = || settings(&own).is_some() || of_folders(&above(2), None).note.is_none();
    let is_experiment = below && sure();
    let of_model = if is_experiment {
        above(2)
    } else {
        folder.clone()
    };
    let meta = [own, meta(&of_model.join(META))];
    let text = |key: &str| {
        let found = meta.iter().find_map(|meta| meta.get(key)?.as_str());
        found
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let mut found = match text("name") {
        Some(name) => ModelName {
            name: Some(name),
            revision: text("revision").filter(|revision| !revision.starts_with("no_")),
            note: None,
        },
        None => of_folders(&of_model, named),
    };
    if let (true, Some(name)) = (is_experiment, &mut found.name) {
        let settings = settings(&meta[0]).unwrap_or_else(|| shown(&folder));
        name.push_str(&format!(" ({settings})"));
    }
    found
}

fn meta(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// The settings of an experiment as `key=value, key=value`.
fn settings(meta: &Value) -> Option<String> {
    let settings = meta.get("experiment_kwargs")?.as_object()?.iter();
    let each = settings.map(|(key, value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    });
    Some(each.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
}

fn of_folders(folder: &Path, named: Option<&str>) -> ModelName {
    // What is above `results` is no part of them.
    let names: Vec<String> = folder.ancestors().take(3).map(shown).collect();
    let names: Vec<String> = names
        .into_iter()
        .take_while(|name| name != "results")
        .collect();
    let revision = |at: usize| Some(names[..at].first()?.clone()).filter(|r| !is_no_name(r));
    for (at, name) in names.iter().enumerate() {
        let name = match name.strip_prefix("models--") {
            Some(cached) => cached.replace("--", "/"),
            None if name.contains("__") => name.replace("__", "/"),
            None => continue,
        };
        return ModelName {
            name: Some(name),
            revision: revision(at),
            note: None,
        };
    }
    if let Some(name) = named {
        return ModelName {
            name: Some(name.to_owned()),
            ..ModelName::default()
        };
    }
    let at = names.iter().position(|name| !is_revision(name));
    match at.filter(|at| !is_no_name(&names[*at])) {
        Some(at) => ModelName {
            name: Some(names[at].clone()),
            revision: revision(at),
            note: (at == 0).then(|| format!("the model is named by its folder: `{}`", names[0])),
        },
        None => ModelName {
            note: Some(format!(
                "no model is named: there is no `{META}`, and `{}` is no name of a model",
                shown(folder)
            )),
            ..ModelName::default()
        },
    }
}

fn shown(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// What mteb writes where it knows no name or revision.
fn is_no_name(name: &str) -> bool {
    name.is_empty() || name.starts_with("no_") || name == "external"
}

/// Whether a folder names a revision rather than a model: a commit, a number, or none.
fn is_revision(name: &str) -> bool {
    let digits = |radix| name.chars().all(|c| c.is_digit(radix));
    let commit = name.len() >= 7 && digits(16);
    !name.is_empty() && (is_no_name(name) || commit || digits(10))
}

/// Folder below `folder` for the runs of an experiment.
pub(super) fn experiment(folder: &Path, name: &str) -> PathBuf {
    folder.join(EXPERIMENTS).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_by_its_file_or_its_folders_and_never_by_results() {
        for (path, named, expected) in [
            ("/r/results/org__m/1234567/T.json", None, Some("org/m")),
            ("/r/results/org__m/1/T.json", None, Some("org/m")),
            ("/r/results/org__m/T.json", None, Some("org/m")),
            (
                "/r/results/m/no_model_name_available/no_revision_available/T.json",
                None,
                Some("m"),
            ),
            ("/r/results/m/external/T.json", None, Some("m")),
            ("/r/results/m/T.json", None, Some("m")),
            ("/r/experiments/m/T.json", None, Some("m")),
            ("/r/experiments/org__m/T.json", None, Some("org/m")),
            (
                "/r/results/org__m/1/experiments/dim_256/T.json",
                None,
                Some("org/m (dim_256)"),
            ),
            (
                "/r/models--org--m/snapshots/1234567/README.md",
                Some("m"),
                Some("org/m"),
            ),
            ("/r/cards/README.md", Some("m"), Some("m")),
            ("/a__b/results/m/1/T.json", None, Some("m")),
            ("/r/results/T.json", None, None),
            ("/r/results/1234567/T.json", None, None),
            ("/T.json", None, None),
        ] {
            let found = model_of(Path::new(path), named);
            assert_eq!(found.name.as_deref(), expected, "{path}");
            // What is not sure is said.
            let sure = expected.is_some() && !path.ends_with("s/m/T.json");
            assert_eq!(found.note.is_none(), sure, "{path}: {found:?}");
        }
    }
}
