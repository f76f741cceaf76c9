//! The records of one model as files of the hub.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{PushError, readme};
use crate::results::{self, Scored};
use korfinsts_base::fs;
use korfinsts_base::hub::push::Head;
use korfinsts_bench::run::mteb::{self, Written};
use korfinsts_bench::run::record::{Record, Timing};
use korfinsts_bench::suite::Registry;

/// The repository of the model that was evaluated, as the hub has it.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// `organisation/name`.
    pub name: &'a str,
    /// Its newest commit.
    pub head: &'a Head,
}

/// Bytes of files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The records of one model.
#[derive(Debug, Clone)]
pub struct Scores {
    records: Vec<(PathBuf, Record)>,
}

impl Scores {
    /// Reads records.
    ///
    /// # Errors
    /// When one cannot be read, is of a part of a suite or of cut embeddings, or there are two of a suite and split.
    pub fn read(paths: &[PathBuf]) -> Result<Self, PushError> {
        let mut records: Vec<(PathBuf, Record)> = Vec::new();
        for path in paths {
            let record = Record::read(path)?;
            let of = |r: &Record| (r.suite.id.clone(), r.suite.split.clone());
            let other = records
                .iter()
                .find(|(_, earlier)| of(earlier) == of(&record));
            let unfit = |reason: String, hint: &str| PushError::Unfit {
                place: path.display().to_string(),
                reason,
                hint: hint.to_owned(),
            };
            if let Some(form) = &record.encoder.form {
                let reason =
                    format!("the record is of embeddings that are cut or quantised (`{form}`)");
                return Err(unfit(reason, "push the record of the whole embedding"));
            }
            if let Some(n) = record.suite.limit {
                let reason = format!("the record is of the first {n} pairs of the suite");
                return Err(unfit(reason, "evaluate again without `--limit`"));
            }
            if let Some((earlier, _)) = other {
                let reason = format!("`{}` is of the same suite and split", earlier.display());
                return Err(unfit(reason, "name the records to push one by one"));
            }
            records.push((path.clone(), record));
        }
        records.sort_by(|(_, a), (_, b)| {
            (&a.suite.id, &a.suite.split).cmp(&(&b.suite.id, &b.suite.split))
        });
        Ok(Self { records })
    }

    /// Checks that the repository is of the model that was evaluated: it holds the weights, by their SHA-256,
    /// or, where no weights are known (a server), has its name.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, target: Target<'_>) -> Result<(), PushError> {
        for (path, record) in &self.records {
            let encoder = &record.encoder;
            let weights = encoder.files.iter().filter(|f| f.role == "weights");
            let mut weights = weights.peekable();
            let known = weights.peek().is_some();
            let holds = |sha256: &str| target.head.files.values().any(|f| f.hash == sha256);
            if known && weights.all(|f| holds(&f.sha256)) || !known && encoder.name == target.name {
                continue;
            }
            let reason = if known {
                format!(
                    "the newest commit of `{}` does not hold the weights that were evaluated",
                    target.name
                )
            } else {
                format!(
                    "the record is of `{}`, not of `{}`",
                    encoder.name, target.name
                )
            };
            return Err(PushError::Unfit {
                place: path.display().to_string(),
                reason,
                hint: "name the repository of this model, or say with `--other-weights` that the scores are its own".into(),
            });
        }
        Ok(())
    }

    /// First line of the commit.
    #[must_use]
    pub fn message(&self, name: &str) -> String {
        let suites: Vec<&str> = self
            .records
            .iter()
            .map(|(_, r)| r.suite.id.as_str())
            .collect();
        format!("Add results of {name} on {} (korfinsts)", suites.join(", "))
    }

    /// The card with `model-index`, and the files of `.eval_results/`, for the model's own repository. `card` is the card
    /// that it has; `url` says where the results can be read.
    ///
    /// # Errors
    /// When the card is in a form that cannot be added to, or a template fails.
    pub fn card(
        &self,
        target: Target<'_>,
        (card, url): (Option<&str>, Option<&str>),
        registry: &Registry,
    ) -> Result<Files, PushError> {
        let mut files = Files::new();
        let mut items = String::new();
        for (path, record) in &self.records {
            let suite = &record.suite;
            let scored = Scored {
                id: &suite.id,
                split: &suite.split,
                release_id: &suite.release_id,
                get: &|key| record.score(key),
            };
            let manifest = registry.all().iter().find(|m| m.id == suite.id);
            let values = json!({
                "suites": [scored.values(manifest)],
                "run": record.encoder,
                "date": timing(path)?.map(|t| day(t.finished_at)),
                "url": url,
                "program": format!("{} {}", record.harness.name, record.harness.version),
            });
            items += &results::model_index(&values, None)?;
            let texts = results::eval_results(&values, None)?;
            files.extend(
                texts
                    .into_iter()
                    .map(|(name, text)| (name, text.into_bytes())),
            );
        }
        let name = target.name.rsplit('/').next().unwrap_or(target.name);
        let made = format!("# {name}\n");
        let text = readme::with_results(card.unwrap_or(&made), name, &items).map_err(|(line, reason)| {
            PushError::Unfit {
                place: format!("README.md:{line} of `{}`", target.name),
                reason,
                hint: "write `model-index` in block form there, or take the files of `korfinsts submit`".into(),
            }
        })?;
        files.insert("README.md".into(), text.into_bytes());
        Ok(files)
    }

    /// mteb's files of a repository of results, `results/<organisation>__<name>/<commit>/`, and what has no
    /// file there, with the reason.
    ///
    /// # Errors
    /// When no record has a file, or a file cannot be written on the way.
    pub fn mteb(&self, target: Target<'_>) -> Result<(Files, Vec<String>), PushError> {
        let folder = fs::temporary_dir_in(&std::env::temp_dir())?;
        let mut not = Vec::new();
        for (path, record) in &self.records {
            let mut record = record.clone();
            target.name.clone_into(&mut record.encoder.name);
            record.encoder.revision = Some(target.head.commit.clone());
            let timing = timing(path)?.unwrap_or_default();
            if let Written::Not(reason) = mteb::write(folder.path(), &record, &timing)? {
                not.push(reason);
            }
        }
        let mut files = Files::new();
        for file in fs::walk(folder.path(), usize::MAX)? {
            let name = file.strip_prefix(folder.path()).unwrap_or(&file);
            let parts = name
                .components()
                .map(|part| part.as_os_str().to_string_lossy());
            let name = parts.collect::<Vec<_>>().join("/");
            files.insert(name, fs::read(&file)?);
        }
        if files.is_empty() {
            return Err(PushError::Unfit {
                place: "the records".into(),
                reason: not.join("; "),
                hint: "evaluate on a suite that mteb has, as `korfinsts eval MODEL --suite finsts`"
                    .into(),
            });
        }
        Ok((files, not))
    }
}

/// The timing next to a record, where there is one.
fn timing(record: &Path) -> Result<Option<Timing>, PushError> {
    let path = record.with_extension("timing.json");
    if !fs::exists(&path) {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&fs::read(&path)?).ok())
}

/// The day of a Unix time, UTC; null where it is none.
fn day(seconds: f64) -> Value {
    let time = jiff::Timestamp::from_second(seconds as i64);
    time.map_or(Value::Null, |time| {
        time.to_zoned(jiff::tz::TimeZone::UTC)
            .date()
            .to_string()
            .into()
    })
}
