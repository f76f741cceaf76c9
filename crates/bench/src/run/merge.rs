//! Joins the folders of several runs, shards of one among them, into one folder: the same bytes
//! as one run would have left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::RunError;
use super::record::{Record, may_be_record};
use super::shard::{Shard, ShardPlan};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::{self, FolderLock};

/// Most files of a results folder.
const MAX_FILES: usize = 1_000_000;

/// What was joined.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Merged {
    /// Records in the joined folder, in the order of one run (of shards), else by path.
    pub records: Vec<PathBuf>,
    /// How many of them were in more than one folder, with the same bytes.
    pub repeated: usize,
    /// Shards that are missing; never any unless they were allowed to be.
    pub missing: Vec<Shard>,
}

/// Joins results folders into `into`. A folder that holds folders of shards means these.
///
/// Every per-pair file is checked against its record before anything is written.
///
/// # Errors
/// When a folder holds no record, a record or its pairs are damaged, two records of one name
/// differ, shards belong to different runs, or one is missing and `partial` is not set.
pub fn merge(from: &[PathBuf], into: &Path, partial: bool) -> Result<Merged, RunError> {
    let folders = expand(from)?;
    let (order, missing) = check_shards(&folders)?;
    if !missing.is_empty() && !partial {
        let names: Vec<String> = missing.iter().map(|s| format!("`--shard {s}`")).collect();
        return Err(RunError::Merge {
            reason: format!("missing or not finished: {}", names.join(", ")),
            hint: Some("run them, or join what is there with `--partial`".into()),
            class: FailureClass::Check,
        });
    }
    let mut found: BTreeMap<PathBuf, Found> = BTreeMap::new();
    let mut repeated = 0;
    for folder in &folders {
        for path in records(folder)? {
            let name = path.strip_prefix(folder).unwrap_or(&path).to_owned();
            let next = Found::read(path)?;
            match found.get(&name) {
                None => {
                    found.insert(name, next);
                }
                Some(first) if first.bytes == next.bytes => repeated += 1,
                Some(first) => {
                    return Err(RunError::Merge {
                        reason: format!(
                            "`{}` and `{}` are records of one name and differ",
                            first.path.display(),
                            next.path.display()
                        ),
                        hint: Some(
                            "were they made from the same suites, with the same flags and \
                             version? Join those that belong together"
                                .into(),
                        ),
                        class: FailureClass::Data,
                    });
                }
            }
        }
    }
    if found.is_empty() {
        let names: Vec<String> = from.iter().map(|f| format!("`{}`", f.display())).collect();
        return Err(RunError::Merge {
            reason: format!("no record in {}", names.join(", ")),
            hint: Some("name the folders that `eval --results` wrote to".into()),
            class: FailureClass::Data,
        });
    }
    let _lock = FolderLock::acquire(into)?;
    for (name, record) in &found {
        record.copy(&into.join(name))?;
    }
    let mut names: Vec<PathBuf> = order
        .into_iter()
        .filter(|n| found.contains_key(n))
        .collect();
    let others = found.keys().filter(|n| !names.contains(n)).cloned();
    let others: Vec<PathBuf> = others.collect();
    names.extend(others);
    Ok(Merged {
        records: names.into_iter().map(|n| into.join(n)).collect(),
        repeated,
        missing,
    })
}

/// A record with the bytes of its file.
struct Found {
    path: PathBuf,
    bytes: Vec<u8>,
    record: Record,
}

impl Found {
    fn read(path: PathBuf) -> Result<Self, RunError> {
        let record = Record::read(&path)?;
        if let Some(pairs) = &record.pairs {
            let file = pairs.beside(&path)?;
            let found = fs::sha256_file(&file)?;
            if found != pairs.sha256 {
                return Err(RunError::Merge {
                    reason: format!(
                        "{}: sha256 is {found}, its record says {}",
                        file.display(),
                        pairs.sha256
                    ),
                    hint: Some("was the copy cut short? Copy it again".into()),
                    class: FailureClass::Data,
                });
            }
        }
        Ok(Self {
            bytes: fs::read(&path)?,
            path,
            record,
        })
    }

    /// Copies pairs, token counts and timing, and the record last: where there is a record, there are pairs.
    fn copy(&self, to: &Path) -> Result<(), RunError> {
        if let Some(pairs) = &self.record.pairs {
            let bytes = fs::read(&pairs.beside(&self.path)?)?;
            fs::write_atomic(&pairs.beside(to)?, &bytes)?;
        }
        for extension in ["tokens.jsonl", "timing.json"] {
            let beside = self.path.with_extension(extension);
            if fs::exists(&beside) {
                fs::write_atomic(&to.with_extension(extension), &fs::read(&beside)?)?;
            }
        }
        Ok(fs::write_atomic(to, &self.bytes)?)
    }
}

fn shard_of(folder: &Path) -> Option<Shard> {
    Shard::of_folder(&folder.file_name()?.to_string_lossy())
}

/// The folders, those of shards instead of the one that holds them.
fn expand(from: &[PathBuf]) -> Result<Vec<PathBuf>, RunError> {
    let mut folders = Vec::new();
    for folder in from {
        let mut shards: Vec<PathBuf> = fs::list(folder)?
            .into_iter()
            .filter(|below| below.is_dir() && shard_of(below).is_some())
            .collect();
        shards.sort_by_key(|below| shard_of(below).map(|s| (s.count, s.index)));
        if shards.is_empty() {
            folders.push(folder.clone());
        } else {
            folders.extend(shards);
        }
    }
    folders.dedup();
    Ok(folders)
}

/// The shards of a run that a folder of results lacks; none where it holds no shard.
///
/// # Errors
/// When the folder cannot be listed, or holds shards of different runs.
pub fn missing(folder: &Path) -> Result<Vec<Shard>, RunError> {
    Ok(check_shards(&expand(&[folder.to_owned()])?)?.1)
}

/// The records' names in the order of one run, and the shards that are missing.
fn check_shards(folders: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Shard>), RunError> {
    let mut plans: Vec<(&PathBuf, ShardPlan)> = Vec::new();
    let mut count = None;
    for folder in folders {
        let plan = ShardPlan::read(folder)?;
        count = count
            .or(plan.as_ref().map(|p| p.shard.count))
            .or(shard_of(folder).map(|s| s.count));
        plans.extend(plan.map(|plan| (folder, plan)));
    }
    let Some(count) = count else {
        return Ok((Vec::new(), Vec::new()));
    };
    if let Some((first, one)) = plans.first()
        && let Some((other, _)) = plans
            .iter()
            .find(|(_, p)| p.shard.count != count || p.units != one.units)
    {
        return Err(RunError::Merge {
            reason: format!(
                "`{}` and `{}` are shards of different runs",
                first.display(),
                other.display()
            ),
            hint: Some(
                "every shard needs the same models, the same suites on disk and the same flags"
                    .into(),
            ),
            class: FailureClass::Data,
        });
    }
    let missing = (1..=count)
        .map(|index| Shard { index, count })
        .filter(|shard| !plans.iter().any(|(_, p)| p.shard == *shard))
        .collect();
    let mut records: Vec<&(usize, Vec<String>)> =
        plans.iter().flat_map(|(_, p)| &p.records).collect();
    records.sort_by_key(|(unit, _)| *unit);
    let mut order: Vec<PathBuf> = Vec::new();
    for name in records.iter().flat_map(|(_, names)| names) {
        let name: PathBuf = name.split('/').collect();
        if !order.contains(&name) {
            order.push(name);
        }
    }
    Ok((order, missing))
}

/// The records under a folder, by path.
fn records(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    let mut paths = fs::walk(folder, MAX_FILES)?;
    paths.retain(|path| may_be_record(path));
    paths.sort();
    Ok(paths)
}
