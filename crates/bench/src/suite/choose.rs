//! The suites of an evaluation: which are asked for, which are on disk, and how to get the others.

use std::collections::BTreeSet;

use super::manifest::Area;
use super::registry::{Availability, Registry};
use super::{Manifest, Suite, SuiteError};
use korfinsts_base::language;

/// The suite that ships in the binary.
pub const BUILT_IN: &str = "korfin-shift";

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Names (`id`, `id:split`, a path, or a task of mteb); none, or the one name `all`: every suite.
    pub names: Vec<String>,
    /// Splits, which win over those of names and over the default ones. Of every suite, those that have
    /// one are meant; a suite that is named must have it.
    pub splits: Vec<String>,
    /// Only suites of one of these languages (`ko`, `kor`, `kor-Hang`).
    pub languages: Vec<String>,
    /// Only suites of this area.
    pub area: Option<Area>,
}

/// Suites that were found.
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
    /// Loads the suites that are asked for, each once.
    ///
    /// # Errors
    /// When a name is of no suite, split or language, nothing is left, a suite on disk is broken, or none
    /// is on disk. A suite that is not on disk is no error where another one is.
    pub fn choose(&self, asked: &Selection) -> Result<Chosen, SuiteError> {
        let mut chosen = Chosen::default();
        for (manifest, split) in self.wanted(asked)? {
            let sealed = manifest.splits.get(&split).is_some_and(|s| s.sealed);
            match self.availability(&manifest, Some(&split))? {
                Availability::Missing { command, file } if !sealed => chosen.absent.push(Absent {
                    id: manifest.id,
                    command,
                    file,
                }),
                // Of a sealed split that is not here, loading says who has it.
                _ => {
                    let suite = self.load(&manifest, Some(&split));
                    chosen.suites.push(suite.map_err(|e| SuiteError::Unusable {
                        suite: manifest.id.clone(),
                        source: Box::new(e),
                    })?);
                }
            }
        }
        if chosen.suites.is_empty() {
            return Err(SuiteError::NoneOnDisk(chosen.absent));
        }
        Ok(chosen)
    }

    /// A suite and its split by its id (`id:split`), its path, or the name of mteb's task.
    ///
    /// # Errors
    /// When there is no such suite or split.
    pub fn named(&self, name: &str) -> Result<(Manifest, String), SuiteError> {
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

    fn wanted(&self, asked: &Selection) -> Result<Vec<(Manifest, String)>, SuiteError> {
        let languages = self.languages(&asked.languages)?;
        let is_meant = |manifest: &Manifest| {
            let spoken = |l: &String| manifest.languages.iter().any(|m| m.starts_with(l.as_str()));
            asked.area.is_none_or(|area| area == manifest.area)
                && (languages.is_empty() || languages.iter().any(spoken))
        };
        let mut wanted: Vec<(Manifest, String)> = Vec::new();
        if asked.names.is_empty() || asked.names == ["all"] {
            self.refuse_unknown_splits(&asked.splits)?;
            for manifest in self.all().iter().filter(|m| is_meant(m)) {
                let own = std::slice::from_ref(&manifest.default_split);
                let splits = if asked.splits.is_empty() {
                    own
                } else {
                    &asked.splits
                };
                let there = splits.iter().filter(|s| manifest.splits.contains_key(*s));
                wanted.extend(there.map(|split| (manifest.clone(), split.clone())));
            }
        } else {
            for name in &asked.names {
                let (manifest, own) = self.named(name)?;
                if is_meant(&manifest) {
                    let own = [own];
                    let splits = if asked.splits.is_empty() {
                        &own[..]
                    } else {
                        &asked.splits
                    };
                    wanted.extend(splits.iter().map(|s| (manifest.clone(), s.clone())));
                }
            }
        }
        let mut seen = Vec::new();
        wanted.retain(|(manifest, split)| {
            let key = (manifest.id.clone(), split.clone());
            let new = !seen.contains(&key);
            seen.push(key);
            new
        });
        if wanted.is_empty() {
            return Err(SuiteError::NoneLeft(asked.sentence()));
        }
        Ok(wanted)
    }

    /// Languages as the manifests write them, without the script.
    fn languages(&self, asked: &[String]) -> Result<Vec<String>, SuiteError> {
        let bare = |code: &str| code.split('-').next().unwrap_or(code).to_owned();
        let known = self.all().iter().flat_map(|m| &m.languages);
        let known: BTreeSet<String> = known.map(|l| bare(l)).collect();
        let of = |found: &String| {
            let meant = language::meant(found).map(|l| bare(&l));
            meant
                .filter(|l| known.contains(l))
                .ok_or_else(|| SuiteError::UnknownKind {
                    what: "language",
                    found: found.clone(),
                    known: known.iter().cloned().collect(),
                })
        };
        asked.iter().map(of).collect()
    }

    /// A split that no suite has is a slip of the pen.
    fn refuse_unknown_splits(&self, splits: &[String]) -> Result<(), SuiteError> {
        let known: BTreeSet<&String> = self.all().iter().flat_map(|m| m.splits.keys()).collect();
        match splits.iter().find(|split| !known.contains(split)) {
            None => Ok(()),
            Some(found) => Err(SuiteError::UnknownKind {
                what: "split",
                found: found.clone(),
                known: known.into_iter().cloned().collect(),
            }),
        }
    }
}

impl Selection {
    /// The suites of these names.
    pub fn of<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// What was asked for, as flags.
    fn sentence(&self) -> String {
        let area = self.area.map(|a| a.to_string());
        let parts = [
            ("--suite", self.names.join(",")),
            ("--split", self.splits.join(",")),
            ("--language", self.languages.join(",")),
            ("--area", area.unwrap_or_default()),
        ];
        let given = parts.iter().filter(|(_, value)| !value.is_empty());
        let given: Vec<String> = given
            .map(|(flag, value)| format!("`{flag} {value}`"))
            .collect();
        format!("none is of {}", given.join(" and "))
    }
}
