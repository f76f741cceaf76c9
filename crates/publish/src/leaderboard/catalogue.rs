//! What a leaderboard must know of suites: their area, their title, whether their texts may be
//! shown.

use std::collections::BTreeMap;
use std::path::Path;

use super::LeaderboardError;
use korfinsts_base::text::visible;
use korfinsts_bench::run::record::SuiteFacts;
use korfinsts_bench::suite::manifest::Area;
use korfinsts_bench::suite::{Availability, Manifest, OF_FILE, Registry, pairs_id};

use super::entry::NAME_LENGTH;

/// The suites of this machine, asked by the records that name them.
#[derive(Debug, Clone)]
pub struct Catalogue {
    registry: Registry,
}

/// Texts of pairs by their ids.
pub type Texts = BTreeMap<String, [String; 2]>;

impl Catalogue {
    /// The suites built in and under the data home.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open(data_home: &Path) -> Result<Self, LeaderboardError> {
        Ok(Self {
            registry: Registry::open(data_home)?,
        })
    }

    /// The manifest of a suite, where this machine knows it.
    #[must_use]
    pub fn manifest(&self, id: &str) -> Option<&Manifest> {
        self.registry.all().iter().find(|m| m.id == id)
    }

    /// Every manifest.
    #[must_use]
    pub fn all(&self) -> &[Manifest] {
        self.registry.all()
    }

    /// What the suite's texts are about; general where nothing is known.
    #[must_use]
    pub fn area(&self, id: &str) -> Area {
        self.manifest(id).map(|m| m.area).unwrap_or_default()
    }

    /// Name of a suite in reports: its id, with the split where that is not the usual one, and
    /// with the number of pairs where only the first were scored. A file of pairs has the first digits of
    /// its release id: two files may have one name. Safe to print.
    #[must_use]
    pub fn key(&self, suite: &SuiteFacts) -> String {
        let id = visible(&suite.id, NAME_LENGTH);
        let usual = self
            .manifest(&suite.id)
            .is_none_or(|m| m.default_split == suite.split);
        let mut key = if let Some(content) = suite.version.strip_prefix(OF_FILE) {
            let digits: String = content.chars().take(4).collect();
            format!("{id}@{}", visible(&digits, 4))
        } else if usual || suite.split.is_empty() {
            id
        } else {
            format!("{id}:{}", visible(&suite.split, NAME_LENGTH))
        };
        if let Some(n) = suite.limit {
            key.push_str(&format!(" (first {n})"));
        }
        key
    }

    /// The name under which reports have a suite that is named as `eval` takes it: by id (`id:split`), path
    /// of a folder or of a file of pairs, or mteb's task. A name of no known suite stays what it is.
    #[must_use]
    pub fn key_of(&self, name: &str) -> String {
        let path = Path::new(name);
        if path.is_file() && path.file_name().is_some_and(|n| n != "suite.toml") {
            return pairs_id(path);
        }
        match self.registry.named(name) {
            Ok((manifest, split)) if manifest.default_split == split => manifest.id,
            Ok((manifest, split)) => format!("{}:{split}", manifest.id),
            Err(_) => name.to_owned(),
        }
    }

    /// Suite and split that mteb scores as `task`, where one is known.
    #[must_use]
    pub fn of_mteb(&self, task: &str) -> Option<(&Manifest, &str)> {
        self.registry.of_mteb(task)
    }

    /// The texts of a suite that was run where its licence lets them be shown, the rows are on this
    /// machine and they are those that were run; else the reason why not.
    ///
    /// # Errors
    /// When the rows are here and broken.
    pub fn texts(&self, suite: &SuiteFacts) -> Result<Result<Texts, String>, LeaderboardError> {
        if suite.version.starts_with(OF_FILE) {
            return Ok(Err("of a file of pairs only the scores are kept".into()));
        }
        let Some(manifest) = self.manifest(&suite.id) else {
            return Ok(Err("the suite is not known on this machine".into()));
        };
        if !manifest.redistributable {
            return Ok(Err(format!(
                "its licence ({}) does not let the texts be shown",
                manifest.licence
            )));
        }
        if !manifest.splits.contains_key(&suite.split) {
            return Ok(Err("the suite has no such split any more".into()));
        }
        let here = self.registry.availability(manifest, Some(&suite.split))?;
        if let Availability::Missing { command, .. } = here {
            return Ok(Err(format!("its rows are not on disk: `{command}`")));
        }
        let loaded = self.registry.load(manifest, Some(&suite.split))?;
        if loaded.release_id != suite.release_id {
            return Ok(Err("the rows on disk are of another release".into()));
        }
        let texts = loaded.pairs.into_iter();
        Ok(Ok(texts
            .map(|p| (p.id, [p.sentence1, p.sentence2]))
            .collect()))
    }
}
