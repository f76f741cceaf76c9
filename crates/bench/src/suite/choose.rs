//! The suites of an evaluation: which are asked for, which are on disk, and how to get the others.

use super::registry::{Availability, Registry};
use super::{Manifest, Suite, SuiteError};

/// The suite that ships in the binary.
pub const BUILT_IN: &str = "korfin-shift";

/// Suites that were asked for.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// Those on disk, loaded and checked.
    pub suites: Vec<Suite>,
    /// Those that are not on disk.
    pub absent: Vec<Absent>,
}

/// A suite that is not on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Its id.
    pub id: String,
    /// The command that gets it.
    pub command: String,
    /// The file next to the user's own suite.toml that is missing.
    pub file: Option<std::path::PathBuf>,
}

impl Registry {
    /// Loads the suites of these names (`id`, `id:split`, a path, or a task of mteb), each once; without names, or for
    /// the one name `all`, every suite that has the split. `split` wins over the splits of names and
    /// over the default splits.
    ///
    /// # Errors
    /// When a name is of no suite or split, a suite on disk is broken, or none is on disk. A suite
    /// that is not on disk is no error where another one is.
    pub fn choose(&self, names: &[String], split: Option<&str>) -> Result<Chosen, SuiteError> {
        let mut chosen = Chosen::default();
        for (manifest, split) in self.wanted(names, split)? {
            match self.availability(&manifest, Some(&split))? {
                Availability::Available => {
                    let suite = self.load(&manifest, Some(&split));
                    chosen.suites.push(suite.map_err(|e| SuiteError::Unusable {
                        suite: manifest.id.clone(),
                        source: Box::new(e),
                    })?);
                }
                Availability::Missing { command, file } => chosen.absent.push(Absent {
                    id: manifest.id,
                    command,
                    file,
                }),
            }
        }
        if chosen.suites.is_empty() {
            return Err(SuiteError::NoneOnDisk(chosen.absent));
        }
        Ok(chosen)
    }

    /// A suite by its id (`id:split`), its path, or the name of mteb's task.
    fn named(&self, name: &str) -> Result<(Manifest, String), SuiteError> {
        self.select(name).or_else(|error| {
            let (manifest, split) = self.of_mteb(name).ok_or(error)?;
            Ok((manifest.clone(), split.to_owned()))
        })
    }

    /// Suite and split that mteb scores as `task`, where one is known.
    #[must_use]
    pub fn of_mteb(&self, task: &str) -> Option<(&Manifest, &str)> {
        self.all().iter().find_map(|manifest| {
            let mut splits = manifest.splits.iter();
            let (split, _) = splits.find(|(_, s)| s.mteb_task.as_deref() == Some(task))?;
            Some((manifest, split.as_str()))
        })
    }

    fn wanted(
        &self,
        names: &[String],
        split: Option<&str>,
    ) -> Result<Vec<(Manifest, String)>, SuiteError> {
        let mut wanted: Vec<(Manifest, String)> = Vec::new();
        if names.is_empty() || names == ["all"] {
            for manifest in self.all() {
                let split = split.unwrap_or(&manifest.default_split);
                if manifest.splits.contains_key(split) {
                    wanted.push((manifest.clone(), split.to_owned()));
                }
            }
            return Ok(wanted);
        }
        for name in names {
            let (manifest, own) = self.named(name)?;
            let split = split.map_or(own, str::to_owned);
            let is_this = |(m, s): &(Manifest, String)| (&m.id, s) == (&manifest.id, &split);
            if !wanted.iter().any(is_this) {
                wanted.push((manifest, split));
            }
        }
        Ok(wanted)
    }
}
