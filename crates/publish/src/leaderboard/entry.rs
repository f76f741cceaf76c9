//! Records on disk: found in folders, checked, with their per-pair scores.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::LeaderboardError;
use korfinsts_base::fs;
use korfinsts_base::text::visible;
use korfinsts_bench::run::RunError;
use korfinsts_bench::run::record::{Record, ScoredPair, may_be_record, read_pairs};
use korfinsts_bench::run::score::LEXICAL;
use korfinsts_bench::run::scores::SCORES;
use korfinsts_encoder::protocol::CUSTOM;

/// Most characters of a name that anyone is shown.
pub const NAME_LENGTH: usize = 80;

/// Most files under a folder of records.
const MOST_FILES: usize = 200_000;

/// A record and its path.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// Its file.
    pub path: PathBuf,
}

impl Entry {
    /// Reads and checks one record.
    ///
    /// # Errors
    /// When it cannot be read, or a number is out of its range.
    pub fn read(path: &Path) -> Result<Self, LeaderboardError> {
        let entry = Self {
            record: Record::read(path)?,
            path: path.to_owned(),
        };
        entry.check().map_err(|reason| LeaderboardError::Record {
            path: path.to_owned(),
            reason,
        })?;
        Ok(entry)
    }

    /// Numbers outside their range are no scores; whoever shows a record may rely on this.
    fn check(&self) -> Result<(), String> {
        let r = &self.record;
        if r.encoder.name.trim().is_empty() || r.suite.id.trim().is_empty() {
            return Err("the record names no encoder or no suite".into());
        }
        for score in SCORES {
            if let (Some(value), Some(least)) = ((score.get)(r), score.least) {
                within(score.key, value, least)?;
            }
        }
        for (name, [low, high]) in &r.interval {
            within(name, *low, -1.0)?;
            within(name, *high, -1.0)?;
            if low > high {
                let name = visible(name, NAME_LENGTH);
                return Err(format!(
                    "the interval of `{name}` runs from {low} to {high}"
                ));
            }
        }
        for (name, domain) in &r.domains {
            let ends = domain.interval.into_iter().flatten();
            for value in domain.cosine_spearman.into_iter().chain(ends) {
                within(name, value, -1.0)?;
            }
        }
        for (name, value) in &r.triplet_accuracy {
            within(name, *value, 0.0)?;
        }
        r.speed.as_ref().map_or(Ok(()), |speed| speed.check())
    }

    /// The per-pair scores, checked against the hash that the record names.
    ///
    /// # Errors
    /// When the record names none, or a file elsewhere, or one with other bytes, or it cannot be
    /// read.
    pub fn pairs(&self) -> Result<Vec<ScoredPair>, LeaderboardError> {
        let wrong = |path: &Path, reason: String| LeaderboardError::Record {
            path: path.to_owned(),
            reason,
        };
        let Some(file) = &self.record.pairs else {
            return Err(wrong(
                &self.path,
                "the record has no per-pair scores".into(),
            ));
        };
        let path = file.beside(&self.path)?;
        if !fs::exists(&path) {
            return Err(LeaderboardError::NoPairs {
                path: self.path.clone(),
                name: visible(&file.name, NAME_LENGTH),
            });
        }
        let found = fs::sha256_file(&path)?;
        if found != file.sha256 {
            let shown = visible(&file.sha256, 64);
            return Err(wrong(&path, format!("sha256 is {found}, recorded {shown}")));
        }
        let pairs = read_pairs(&path)?;
        if pairs.len() != self.record.n_pairs {
            let reason = format!(
                "{} pairs stand in the file, {} in the record",
                pairs.len(),
                self.record.n_pairs
            );
            return Err(wrong(&path, reason));
        }
        for pair in &pairs {
            let numbers = [Some(pair.gold), pair.score];
            if numbers.into_iter().flatten().any(|v| !v.is_finite()) {
                let id = visible(&pair.id, NAME_LENGTH);
                return Err(wrong(
                    &path,
                    format!("pair `{id}` has a score that is no number"),
                ));
            }
        }
        Ok(pairs)
    }

    /// Name of the encoder and the form of its embeddings, safe to print: `org/model · 128 · int8`.
    #[must_use]
    pub fn name(&self) -> String {
        let name = visible(&self.record.encoder.name, NAME_LENGTH);
        match self.form() {
            Some(form) => format!("{name} · {form}"),
            None => name,
        }
    }

    /// The form of its embeddings, safe to print; `None` for the whole embedding.
    #[must_use]
    pub fn form(&self) -> Option<String> {
        let form = self.record.encoder.form.as_ref()?;
        Some(visible(&form.to_string(), NAME_LENGTH))
    }

    /// Its protocol, safe to print. Prompts by hand are part of it; a hash stands for what of them cannot
    /// be shown.
    #[must_use]
    pub fn protocol(&self) -> String {
        let encoder = &self.record.encoder;
        let name = visible(&encoder.protocol, NAME_LENGTH);
        if encoder.protocol != CUSTOM {
            return name;
        }
        let prompts = match &encoder.prompts {
            [a, b] if a == b => format!("{a:?}"),
            [a, b] => format!("{a:?}, {b:?}"),
        };
        match visible(&prompts, NAME_LENGTH / 2) {
            shown if shown == prompts => format!("{name} {shown}"),
            shown => format!("{name} {shown} #{}", &fs::sha256(prompts.as_bytes())[..8]),
        }
    }

    /// Whether this is a lexical baseline rather than an encoder.
    #[must_use]
    pub fn is_baseline(&self) -> bool {
        self.record.encoder.backend == LEXICAL
    }
}

fn within(name: &str, value: f64, least: f64) -> Result<(), String> {
    // Rounding may carry a correlation a hair beyond its end.
    let slack = 1e-9;
    if (least - slack..=1.0 + slack).contains(&value) {
        return Ok(());
    }
    let name = visible(name, NAME_LENGTH);
    Err(format!("`{name}` is {value:e}, outside [{least}, 1]"))
}

/// What a folder of records holds.
#[derive(Debug, Default)]
pub struct Found {
    /// Records in the order of their paths.
    pub entries: Vec<Entry>,
    /// Files that are no record, or a broken one, with the reason.
    pub broken: Vec<(PathBuf, String)>,
}

/// The record of a file, or all records under a folder. A broken one does not hide the others.
///
/// # Errors
/// When the path is not there or cannot be listed.
pub fn read(path: &Path) -> Result<Found, LeaderboardError> {
    let files = if fs::metadata(path)?.is_dir() {
        fs::walk(path, MOST_FILES)?
    } else {
        vec![path.to_owned()]
    };
    let mut found = Found::default();
    for file in files {
        if !may_be_record(&file) && file != path {
            continue;
        }
        match Entry::read(&file) {
            Ok(entry) => found.entries.push(entry),
            Err(LeaderboardError::Fs(e) | LeaderboardError::Run(RunError::Fs(e))) => {
                return Err(e.into());
            }
            Err(error) => found.broken.push((file, error.to_string())),
        }
    }
    Ok(found)
}

/// The records of one model: a record's file, a folder of records of one encoder, or the name of
/// an encoder in the folder of results.
///
/// A name with a form (`org/model · 128 · int8`) means the records of that form, a record's file the record itself,
/// and anything else the whole embedding, where there is a record of it.
///
/// A path wins over a name, unless it is a folder without a record: that is a model's own folder, whose
/// name is looked for. A name is that of the encoder, or of its folder, or the part of either after
/// the last `/`, compared in lower case where nothing fits exactly.
///
/// # Errors
/// When nothing is there, several encoders are, or a record is broken.
pub fn of_model(name: &str, results: &Path) -> Result<Vec<Entry>, LeaderboardError> {
    let path = Path::new(name);
    if !fs::exists(path) {
        return named(name, results);
    }
    let found = read(path)?;
    if found.entries.is_empty()
        && let Some(folder) = path.file_name()
    {
        match named(&folder.to_string_lossy(), results) {
            Err(LeaderboardError::NotFound { .. }) => {}
            other => return other,
        }
    }
    none_broken(&found, |_| true)?;
    let found = found.entries;
    if found.is_empty() {
        return Err(LeaderboardError::NotFound {
            name: name.to_owned(),
            place: "there".into(),
            known: Vec::new(),
        });
    }
    one_encoder(name, found)
}

fn named(name: &str, results: &Path) -> Result<Vec<Entry>, LeaderboardError> {
    let found = if fs::exists(results) {
        read(results)?
    } else {
        Found::default()
    };
    let folder = |e: &Entry| -> String {
        let folder = e.path.parent().and_then(Path::file_name);
        folder.unwrap_or_default().to_string_lossy().into_owned()
    };
    let last = |n: &str| n.rsplit('/').next().unwrap_or(n).to_lowercase();
    let rules: [&dyn Fn(&Entry) -> bool; 4] = [
        &|e| e.record.encoder.form.is_some() && e.name() == name,
        &|e| e.record.encoder.name == name || folder(e) == name,
        &|e| e.record.encoder.name.to_lowercase() == name.to_lowercase(),
        &|e| last(&e.record.encoder.name) == last(name),
    ];
    for rule in rules {
        let of: Vec<Entry> = found.entries.iter().filter(|e| rule(e)).cloned().collect();
        if !of.is_empty() {
            let is_next_to = |folder: &Path| of.iter().any(|e| e.path.parent() == Some(folder));
            none_broken(&found, is_next_to)?;
            return one_encoder(name, of);
        }
    }
    none_broken(&found, |folder| {
        let folder = folder.file_name().unwrap_or_default().to_string_lossy();
        let rest = folder
            .to_lowercase()
            .strip_prefix(&last(name))
            .map(str::to_owned);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })?;
    let mut known: Vec<String> = found
        .entries
        .iter()
        .map(|e| format!("`{}`", e.name()))
        .collect();
    known.sort();
    known.dedup();
    known.truncate(20);
    Err(LeaderboardError::NotFound {
        name: visible(name, NAME_LENGTH),
        place: format!("in `{}`", results.display()),
        known,
    })
}

/// The first reason why a record in one of the folders is broken: without it, a model would be taken for one that was not run.
fn none_broken(found: &Found, is_of: impl Fn(&Path) -> bool) -> Result<(), LeaderboardError> {
    let mut broken = found.broken.iter().map(|(path, _)| path);
    let first = broken.find(|path| path.parent().is_some_and(&is_of));
    first.map_or(Ok(()), |path| Entry::read(path).map(|_| ()))
}

/// Of several forms, the whole embedding.
fn one_form(name: &str, entries: Vec<Entry>) -> Result<Vec<Entry>, LeaderboardError> {
    let forms: BTreeSet<Option<String>> = entries.iter().map(Entry::form).collect();
    if forms.len() < 2 {
        return Ok(entries);
    }
    let (whole, others): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|e| e.form().is_none());
    if whole.is_empty() {
        let names: BTreeSet<String> = others.iter().map(|e| format!("`{}`", e.name())).collect();
        return Err(LeaderboardError::Forms {
            name: visible(name, NAME_LENGTH),
            names: names.into_iter().collect(),
        });
    }
    Ok(whole)
}

fn one_encoder(name: &str, entries: Vec<Entry>) -> Result<Vec<Entry>, LeaderboardError> {
    let mut folders: Vec<String> = entries
        .iter()
        .map(|e| {
            let folder = e.path.parent().unwrap_or(Path::new("."));
            format!("`{}`", folder.display())
        })
        .collect();
    folders.sort();
    folders.dedup();
    let first = &entries[0].record.encoder;
    let same = entries.iter().all(|e| {
        let other = &e.record.encoder;
        other.name == first.name && other.sha256 == first.sha256
    });
    if same && (folders.len() == 1 || first.backend == LEXICAL) {
        return one_form(name, entries);
    }
    Err(LeaderboardError::Ambiguous {
        name: visible(name, NAME_LENGTH),
        folders,
    })
}
