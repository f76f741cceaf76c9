//! The files of rows: on disk, or of a split of a dataset on the hub.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::TrainError;
use super::data::{Places, found};
use super::recipe::HubRows;
use korfinsts_base::fs;
use korfinsts_base::hub::{RepoId, RepoKind};
use korfinsts_base::records::{ENDINGS, Format};
use korfinsts_base::text::is_like;

/// Most files of a folder.
const MOST_FILES: usize = 100_000;

/// A file of rows that was found.
pub(super) struct Found {
    pub name: String,
    pub path: PathBuf,
    pub format: Format,
}

/// A file, or the files of a folder in the order of their names.
pub(super) fn on_disk(file: &Path, places: Places<'_>) -> Result<Vec<Found>, TrainError> {
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
pub(super) fn on_hub(hub: &HubRows, places: Places<'_>) -> Result<Vec<Found>, TrainError> {
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
