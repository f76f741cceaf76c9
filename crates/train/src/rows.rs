//! Rows of training data: files, folders and datasets of the hub, whose columns may have any name.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::TrainError;
use super::batch::{Example, Labels};
use super::data::{Places, checked, found};
use super::recipe::{DataKind, DataRecipe, HubRows, Rows};
use korfinsts_base::fs;
use korfinsts_base::hub::{RepoId, RepoKind};
use korfinsts_base::records::objects::{at_path, paths};
use korfinsts_base::records::{self, ENDINGS, Format};
use korfinsts_base::text::is_like;

/// Most files of a folder.
const MOST_FILES: usize = 100_000;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DataFile {
    /// Its name: as the recipe has it, or `dataset@commit/path`.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// A file of rows that was found.
struct Found {
    name: String,
    path: PathBuf,
    format: Format,
}

/// The examples of rows in order, and the files that they came from.
pub(super) fn read(
    data: &DataRecipe,
    rows: &Rows,
    places: Places<'_>,
) -> Result<(Vec<Example>, Vec<DataFile>), TrainError> {
    let located = match rows {
        Rows::File(file) => on_disk(file, places)?,
        Rows::Hub(hub) => on_hub(hub, places)?,
    };
    let formats: BTreeSet<Format> = located.iter().map(|f| f.format).collect();
    if let [first, .., last] = &located[..]
        && formats.len() > 1
    {
        let other = located
            .iter()
            .find(|f| f.format != first.format)
            .unwrap_or(last);
        return Err(places.wrong(
            format!("`{}` and `{}` are of two formats", first.name, other.name),
            Some(
                "give the files of one format; on the hub, `files = [\"*.parquet\"]` chooses some"
                    .into(),
            ),
        ));
    }
    let counted = data.sha256.len();
    if counted > 0 && counted != located.len() {
        return Err(places.wrong(
            format!("`sha256` has {counted} values for {} files", located.len()),
            Some("write one per file, in the order of their names".into()),
        ));
    }
    let (mut examples, mut files) = (Vec::new(), Vec::new());
    let limit = data.limit.unwrap_or(usize::MAX);
    for (i, file) in located.into_iter().enumerate() {
        let sha256 = checked(&file.path, data.sha256.get(i))?;
        records::each(&file.path, file.format, &mut |record| {
            if examples.len() < limit {
                let row = DataRow {
                    data,
                    file: &file,
                    record,
                };
                examples.push(row.example()?);
            }
            Ok::<_, TrainError>(())
        })?;
        files.push(DataFile {
            name: file.name,
            sha256,
        });
    }
    Ok((examples, files))
}

/// A file, or the files of a folder in the order of their names.
fn on_disk(file: &std::path::Path, places: Places<'_>) -> Result<Vec<Found>, TrainError> {
    let path = found(places.root, file)?;
    let unknown = |path: PathBuf, hint: &str| TrainError::Data {
        path,
        line: None,
        reason: "the end of the name tells no format".into(),
        hint: Some(hint.into()),
    };
    if path.is_file() {
        let name = file.to_string_lossy().into_owned();
        let format = Format::of(&name)
            .ok_or_else(|| unknown(path.clone(), &format!("end it in {ENDINGS}")))?;
        return Ok(vec![Found { name, path, format }]);
    }
    let mut files = Vec::new();
    for path in fs::walk(&path, MOST_FILES)? {
        let inside = path.strip_prefix(places.root).unwrap_or(&path);
        let name = inside.to_string_lossy().into_owned();
        let own = path.file_name().unwrap_or_default().to_string_lossy();
        let is_paper = ["README", "LICENSE", "LICENCE", "NOTICE", "."];
        if is_paper.iter().any(|start| own.starts_with(start)) {
            continue;
        }
        let Some(format) = Format::of(&own) else {
            let hint = if own.ends_with(".arrow") {
                "write the dataset as Parquet: `dataset.to_parquet(\"FILE\")` in Python".to_owned()
            } else {
                format!("files end in {ENDINGS}; move others out of the folder")
            };
            return Err(unknown(path.clone(), &hint));
        };
        files.push(Found { name, path, format });
    }
    if files.is_empty() {
        return Err(TrainError::Data {
            path,
            line: None,
            reason: "the folder holds no file of rows".into(),
            hint: Some(format!("files end in {ENDINGS}")),
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The files of a split on the hub.
fn on_hub(hub: &HubRows, places: Places<'_>) -> Result<Vec<Found>, TrainError> {
    let dataset = &hub.dataset;
    let id = RepoId::new(RepoKind::Dataset, dataset)?;
    let Some(commit) = &hub.revision else {
        return Err(places.wrong(
            format!("`revision` of `{dataset}` is missing: the commit of the dataset, 40 hexadecimal digits"),
            Some(format!(
                "its page lists them: {}/datasets/{dataset}/commits/main; write `revision = \"COMMIT\"`, \
                 or give `--hub-revision {dataset}=COMMIT`",
                places.hub.settings().endpoint
            )),
        ));
    };
    let listed = places.hub.resolve(&id, commit)?.files;
    let names = of_split(hub, &listed).map_err(|(reason, hint)| {
        places.wrong(format!("`{dataset}` at {commit}: {reason}"), Some(hint))
    })?;
    names
        .into_iter()
        .map(|(name, format)| {
            Ok(Found {
                path: places.hub.file(&id, commit, name)?,
                name: format!("{dataset}@{commit}/{name}"),
                format,
            })
        })
        .collect()
}

/// Files that describe a dataset and hold no rows.
const ABOUT: [&str; 4] = [
    "dataset_infos.json",
    "dataset_info.json",
    "dataset_dict.json",
    "state.json",
];

/// Names of splits, and the words that files of theirs have in their names.
const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "val", "dev"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

/// The files of a split among those of a repository, as the hub's own library finds them where the
/// card says nothing: by the split's name in the name of the file or of a folder; all of them where
/// no name tells a split.
fn of_split<'f>(
    hub: &HubRows,
    listed: &'f [String],
) -> Result<Vec<(&'f str, Format)>, (String, String)> {
    let split = hub.split.as_str();
    let mut files: Vec<(&str, Format)> = listed
        .iter()
        .filter(|name| !ABOUT.contains(&name.rsplit('/').next().unwrap_or(name)))
        .filter_map(|name| Some((name.as_str(), Format::of(name)?)))
        .filter(|(name, _)| hub.files.is_empty() || hub.files.iter().any(|p| is_like(name, p)))
        .filter(|(name, _)| {
            hub.config
                .as_ref()
                .is_none_or(|c| before(name, c).is_some())
        })
        .collect();
    let all: Vec<&str> = files.iter().map(|f| f.0).take(8).collect();
    let all = if all.is_empty() {
        "no file of rows".into()
    } else {
        all.join(", ")
    };
    let choose =
        || "name others with `split`, `config` or `files = [\"data/*.parquet\"]`".to_owned();
    let words = |split: &str| {
        SPLITS
            .iter()
            .find(|s| s.0 == split)
            .map_or(vec![split.to_owned()], |s| {
                s.1.iter().map(|w| (*w).to_owned()).collect()
            })
    };
    let of = |name: &str, split: &str| {
        words(split)
            .iter()
            .find_map(|w| before(name, w).map(str::to_owned))
    };
    if hub.files.is_empty() {
        let told = SPLITS
            .iter()
            .any(|s| files.iter().any(|f| of(f.0, s.0).is_some()));
        if split != "train" || told {
            files.retain(|f| of(f.0, split).is_some());
        }
    }
    if files.is_empty() {
        return Err((format!("no file of split `{split}`, found {all}"), choose()));
    }
    let folder = |name: &str| {
        of(name, split).unwrap_or_else(|| name.rsplit_once('/').map_or("", |p| p.0).to_owned())
    };
    let folders: BTreeSet<String> = files.iter().map(|f| folder(f.0)).collect();
    if folders.len() > 1 && hub.files.is_empty() {
        let folders: Vec<String> = folders
            .iter()
            .map(|f| format!("`{}`", f.trim_end_matches('/')))
            .collect();
        return Err((
            format!(
                "split `{split}` has files of several configurations: {}",
                folders.join(", ")
            ),
            "name one with `config`".into(),
        ));
    }
    files.sort_unstable();
    // Offline, a cache that was filled by others may hold a part of the files.
    let of_many = files.iter().find_map(|f| parts(f.0));
    match of_many {
        Some(parts) if parts != files.len() => Err((
            format!("split `{split}` has {} of {parts} files", files.len()),
            "run it once with network, which gets the others".into(),
        )),
        _ => Ok(files),
    }
}

/// What is before the part of a path that holds a word, which no letter touches.
fn before<'n>(name: &'n str, word: &str) -> Option<&'n str> {
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_digit() || "-._ /".contains(c));
    let (at, _) = name.match_indices(word).find(|(at, _)| {
        ends(name[..*at].chars().next_back()) && ends(name[at + word.len()..].chars().next())
    })?;
    Some(&name[..name[..at].rfind('/').map_or(0, |slash| slash + 1)])
}

/// How many files there are, where the name says so: `train-00000-of-00003.parquet`.
fn parts(name: &str) -> Option<usize> {
    let digits = name.rsplit_once("-of-")?.1;
    digits
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// One row, and what its fields mean.
struct DataRow<'a> {
    data: &'a DataRecipe,
    file: &'a Found,
    record: records::Record,
}

impl DataRow<'_> {
    fn wrong(&self, reason: String, hint: Option<String>) -> TrainError {
        TrainError::Data {
            path: self.file.path.clone(),
            line: Some(self.record.number as usize),
            reason,
            hint,
        }
    }

    fn column<'r>(&'r self, role: &'r str) -> &'r str {
        self.data.columns.get(role).map_or(role, String::as_str)
    }

    fn value(&self, role: &str) -> Result<&Value, TrainError> {
        let column = self.column(role);
        at_path(&self.record.fields, column).ok_or_else(|| {
            let known = paths(&self.record.fields);
            let known: Vec<String> = known.iter().map(|k| format!("`{k}`")).collect();
            let hint = format!("name the column, as in `columns = {{ {role} = \"COLUMN\" }}`");
            self.wrong(
                format!("`{column}` is missing; there is {}", known.join(", ")),
                Some(hint),
            )
        })
    }

    fn text(&self, role: &str) -> Result<String, TrainError> {
        let value = self.value(role)?;
        match value.as_str() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            _ => Err(self.wrong(
                format!("`{}` is `{value}`, expected a text", self.column(role)),
                None,
            )),
        }
    }

    fn score(&self) -> Result<f64, TrainError> {
        let value = self.value("score")?;
        let found = match value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        let [low, high] = self
            .data
            .scale
            .unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        match found {
            Some(score) if (low..=high).contains(&score) => Ok(score),
            _ => Err(self.wrong(
                format!(
                    "`{}` is `{value}`, expected a number from {low} to {high}",
                    self.column("score")
                ),
                Some("`scale = [LOWEST, HIGHEST]` says which scores there are".into()),
            )),
        }
    }

    /// A label: empty where the row has none.
    fn label(&self, role: &str) -> String {
        if !self.data.columns.is_empty() && !self.data.columns.contains_key(role) {
            return String::new();
        }
        let found = at_path(&self.record.fields, self.column(role)).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    }

    fn example(&self) -> Result<Example, TrainError> {
        let kind = &self.data.kind;
        let triplet = matches!(kind, DataKind::Triplets(_));
        let [first, second] = if triplet {
            ["anchor", "positive"]
        } else {
            ["first", "second"]
        };
        let name = self
            .file
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        Ok(Example {
            first: self.text(first)?,
            second: self.text(second)?,
            negative: triplet.then(|| self.text("negative")).transpose()?,
            gold: matches!(kind, DataKind::ScoredRows(_))
                .then(|| self.score())
                .transpose()?,
            labels: Labels {
                language: self.label("language"),
                source: self.label("source"),
                pattern: self.label("pattern"),
                variant: self.label("variant"),
                origin: self.label("origin"),
            },
            place: format!("{name}:{}", self.record.number),
            tied: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(hub: &str, listed: &[&str]) -> Result<Vec<String>, String> {
        let hub: HubRows = toml::from_str(&format!("dataset = \"a/b\"\n{hub}")).expect("rows");
        let listed: Vec<String> = listed.iter().map(|n| (*n).to_owned()).collect();
        match of_split(&hub, &listed) {
            Ok(found) => Ok(found.iter().map(|f| f.0.to_owned()).collect()),
            Err((reason, _)) => Err(reason),
        }
    }

    #[test]
    fn files_of_a_split_are_found_by_their_names() {
        let configs = [
            "README.md",
            "ko/train-0.parquet",
            "en/train-0.parquet",
            "en/test.parquet",
        ];
        for (hub, listed, expected) in [
            (
                "",
                &[
                    "README.md",
                    "data/train-00000-of-00001.parquet",
                    "data/test-00000-of-00001.parquet",
                ][..],
                Ok(&["data/train-00000-of-00001.parquet"][..]),
            ),
            (
                "split = \"validation\"",
                &["dev.csv", "train.csv"],
                Ok(&["dev.csv"]),
            ),
            (
                "split = \"law\"",
                &["law/1.jsonl", "lawyers/1.jsonl", "law/0.jsonl"],
                Ok(&["law/0.jsonl", "law/1.jsonl"]),
            ),
            (
                "",
                &["rows.jsonl", "dataset_infos.json", ".gitattributes"],
                Ok(&["rows.jsonl"]),
            ),
            (
                "",
                &["constrained.csv", "test.csv"],
                Err("no file of split `train`, found constrained.csv, test.csv"),
            ),
            ("", &["a.csv", "b-training.csv"], Ok(&["b-training.csv"])),
            ("config = \"ko\"", &configs, Ok(&["ko/train-0.parquet"])),
            (
                "files = [\"*/train-0.parquet\"]",
                &configs,
                Ok(&["en/train-0.parquet", "ko/train-0.parquet"]),
            ),
            (
                "",
                &configs,
                Err("split `train` has files of several configurations: `en`, `ko`"),
            ),
            (
                "",
                &["train-00001-of-00003.parquet"],
                Err("split `train` has 1 of 3 files"),
            ),
            (
                "split = \"test\"",
                &["a.csv"],
                Err("no file of split `test`, found a.csv"),
            ),
            (
                "",
                &["README.md"],
                Err("no file of split `train`, found no file of rows"),
            ),
        ] {
            let expected = expected
                .map(|names| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
                .map_err(str::to_owned);
            assert_eq!(chosen(hub, listed), expected, "{hub} {listed:?}");
        }
    }
}
