//! What is put through the gates: a folder that a release is made from, a built release, or a suite.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::civil::Date;

use super::diff::StoredScores;
use super::report::Draft;
use super::rows::{self, Row, SplitRows};
use super::{MANIFEST, Manifest, ReleaseError, Version};
use korfinsts_base::archive::{self, Files};
use korfinsts_base::fs;
use korfinsts_base::sums::SUMS;
use korfinsts_bench::suite::probe::{self, Probes};
use korfinsts_bench::suite::{self, Registry, Scale, ScaleKind, TripletColumns};

/// What is put through the gates.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Id of the suite.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The release's manifest; none for a suite that is no release.
    pub manifest: Option<Manifest>,
    /// Declared scale.
    pub scale: Scale,
    /// Columns that join pairs to triplets.
    pub triplets: Option<TripletColumns>,
    /// Label that names the cluster of a row.
    pub cluster: Option<String>,
    /// Rows of each split.
    pub splits: Vec<SplitRows>,
    /// The files as they were found: what the release is made from, and what was generated where
    /// [`Subject::built`].
    pub files: Files,
    /// Whether the generated files are there: then they must be what would be generated.
    pub built: bool,
    /// The zip file that the release was read from.
    pub container: Option<Vec<u8>>,
    /// What reading found, by gate.
    pub(super) drafts: Vec<(&'static str, Draft)>,
    /// What the probes find, once they were run.
    pub(super) probes: OnceLock<BTreeMap<String, Probes>>,
    /// What the gates compare with.
    pub context: Context,
}

/// What the gates compare a release with.
#[derive(Debug, Clone)]
pub struct Context {
    /// The day, for waivers.
    pub today: Date,
    /// Releases before this one, oldest first.
    pub earlier: Vec<Earlier>,
    /// Texts that must not be in the release: other suites, training triplets.
    pub others: Vec<OtherTexts>,
    /// Scores of stored submissions.
    pub submissions: Vec<StoredScores>,
    /// Public key that signatures must verify with, instead of the manifest's.
    pub public_key: Option<String>,
    /// Folder whose templates are used instead of the built-in ones.
    pub templates: Option<PathBuf>,
}

impl Context {
    /// Nothing to compare with, on that day.
    #[must_use]
    pub fn on(today: Date) -> Self {
        Self {
            today,
            earlier: Vec::new(),
            others: Vec::new(),
            submissions: Vec::new(),
            public_key: None,
            templates: None,
        }
    }
}

/// A release before this one.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// Its version.
    pub version: Version,
    /// Its release id.
    pub release_id: String,
    /// Its rows.
    pub splits: Vec<SplitRows>,
}

/// Texts of something else.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherTexts {
    /// What they are.
    pub name: String,
    /// Groups of texts that belong together: the two of a pair, the three of a triplet.
    pub groups: Vec<Vec<String>>,
}

/// Files that a release is made from, other than `data/` and `licenses/`.
const INPUTS: [&str; 6] = [
    MANIFEST,
    "LABELS.md",
    "CHANGELOG.md",
    "LICENSE",
    "annotations/raw.jsonl",
    "provenance/sources.jsonl",
];

/// Whether a release is made from this file.
pub(super) fn is_input(name: &str, manifest: &Manifest) -> bool {
    INPUTS.contains(&name)
        || (name.strip_prefix("licenses/"))
            .and_then(|n| n.strip_suffix(".txt"))
            .is_some_and(|n| manifest.sources.iter().any(|s| s.name == n))
        || (manifest.splits.iter()).any(|(s, split)| !split.sealed && rows::data_name(s) == name)
}

impl Subject {
    /// Reads a release: a folder with `korfinsts.toml`, or a zip file. A folder or zip file that
    /// holds `SHA256SUMS` is a built release, of which every file counts.
    ///
    /// # Errors
    /// When it cannot be read, or its manifest is wrong.
    pub fn open(path: &Path, context: Context) -> Result<Self, ReleaseError> {
        if path.is_dir() && !fs::exists(&path.join(SUMS)) {
            return Self::inputs(path, context);
        }
        let refused = |source| ReleaseError::Archive {
            path: path.to_owned(),
            source,
        };
        let container = if path.is_dir() {
            None
        } else {
            Some(fs::read(path)?)
        };
        let files = match &container {
            Some(bytes) => archive::read(bytes).map_err(refused)?,
            None => archive::open(path).map_err(refused)?,
        };
        let mut subject = Self::from_files(files, path, context)?;
        subject.built = true;
        subject.container = container;
        Ok(subject)
    }

    /// The files a release is made from, and nothing else in their folder.
    fn inputs(folder: &Path, context: Context) -> Result<Self, ReleaseError> {
        let path = folder.join(MANIFEST);
        let bytes = fs::read(&path)?;
        let manifest = Manifest::parse(&text(&bytes, &path)?, &path)?;
        let mut files = Files::from([(MANIFEST.to_owned(), bytes)]);
        let names = INPUTS
            .iter()
            .map(|n| (*n).to_owned())
            .chain(manifest.splits.keys().map(|s| rows::data_name(s)))
            .chain(
                manifest
                    .sources
                    .iter()
                    .map(|s| format!("licenses/{}.txt", s.name)),
            );
        for name in names {
            let path = folder.join(&name);
            if fs::exists(&path) {
                files.insert(name, fs::read(&path)?);
            }
        }
        Self::from_files(files, folder, context)
    }

    /// A release from files in memory. `path` is shown in errors.
    ///
    /// # Errors
    /// When there is no manifest, or it is wrong.
    pub fn from_files(files: Files, path: &Path, context: Context) -> Result<Self, ReleaseError> {
        let shown = path.join(MANIFEST);
        let bytes = files.get(MANIFEST).ok_or_else(|| ReleaseError::Invalid {
            path: path.to_owned(),
            reason: format!("there is no `{MANIFEST}`, so this is no release"),
            hint: Some("give the folder of a release, its zip file, or the id of a suite".into()),
        })?;
        let manifest = Manifest::parse(&text(bytes, &shown)?, &shown)?;
        let mut drafts = Vec::new();
        let mut splits = Vec::new();
        for (name, split) in manifest.splits.iter().filter(|(_, s)| !s.sealed) {
            let file = rows::data_name(name);
            match files.get(&file) {
                Some(bytes) => {
                    splits.push(SplitRows {
                        name: name.clone(),
                        hidden: split.hidden,
                        rows: rows::read(name, bytes, &manifest, &mut drafts),
                    });
                }
                None => drafts.push((
                    "R3",
                    Draft::error(
                        None,
                        format!("there is no `{file}`"),
                        "add the rows of the split, or remove it from korfinsts.toml",
                    ),
                )),
            }
        }
        Ok(Self {
            id: manifest.id.clone(),
            version: manifest.version.clone(),
            scale: manifest.scale,
            triplets: manifest.triplets.clone(),
            cluster: manifest.cluster.clone(),
            splits,
            files,
            built: false,
            container: None,
            drafts,
            probes: OnceLock::new(),
            context,
            manifest: Some(manifest),
        })
    }

    /// A suite as it is on this machine, every split that is here. Gates that look at what only
    /// a release has are skipped.
    ///
    /// # Errors
    /// When no split of it is here, or its rows cannot be read at all.
    pub fn from_suite(
        registry: &Registry,
        manifest: &suite::Manifest,
        context: Context,
    ) -> Result<Self, ReleaseError> {
        let mut drafts = Vec::new();
        let mut splits = Vec::new();
        let mut missing = None;
        for (name, declared) in &manifest.splits {
            // A split that reads another's files in another way holds the same texts.
            if declared.from.is_some() {
                continue;
            }
            let report = match registry.check(manifest, Some(name)) {
                Ok(report) => report,
                Err(e @ suite::SuiteError::Missing { .. }) => {
                    missing = Some(e);
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            for finding in &report.findings {
                if finding.problem.level() == suite::Level::Error {
                    drafts.push((
                        "R3",
                        Draft::error(
                            None,
                            finding.to_string(),
                            "mend the file, or say in suite.toml how it is to be read",
                        ),
                    ));
                }
            }
            if report.passed() {
                splits.push(SplitRows {
                    name: name.clone(),
                    hidden: false,
                    rows: suite_rows(registry, manifest, name)?,
                });
            }
        }
        if let (true, Some(missing)) = (splits.is_empty() && drafts.is_empty(), missing) {
            return Err(missing.into());
        }
        Ok(Self {
            id: manifest.id.clone(),
            version: manifest.version.clone(),
            manifest: None,
            scale: manifest.scale,
            triplets: manifest.triplets.clone(),
            cluster: manifest.cluster.clone(),
            splits,
            files: Files::new(),
            built: false,
            container: None,
            drafts,
            probes: OnceLock::new(),
            context,
        })
    }

    /// What probes that do not read find in the rows whose labels are shown, by language; empty where gold
    /// is not binary. They are run once.
    pub fn probes(&self) -> &BTreeMap<String, Probes> {
        self.probes.get_or_init(|| {
            if self.scale.kind != ScaleKind::Binary {
                return BTreeMap::new();
            }
            let columns = probe::Columns::new(self.cluster.as_ref(), self.triplets.as_ref());
            let language = self.manifest.as_ref().and_then(|m| m.languages.first());
            let language = language.map_or("all", String::as_str);
            let examples: Vec<_> = self
                .rows()
                .filter_map(|(_, row)| {
                    let texts = [row.sentence1.as_str(), &row.sentence2];
                    Some(columns.example(texts, row.score?, &row.labels, language))
                })
                .collect();
            probe::probe(&examples)
        })
    }

    /// Every row with its split.
    pub fn rows(&self) -> impl Iterator<Item = (&SplitRows, &Row)> {
        self.splits
            .iter()
            .flat_map(|s| s.rows.iter().map(move |r| (s, r)))
    }

    /// This release as what later ones are compared with.
    #[must_use]
    pub fn as_earlier(&self, release_id: String) -> Earlier {
        Earlier {
            version: Version::parse(&self.version).unwrap_or_default(),
            release_id,
            splits: self.splits.clone(),
        }
    }

    /// The texts of this release, for leakage checks of others.
    #[must_use]
    pub fn as_other(&self) -> OtherTexts {
        OtherTexts {
            name: self.id.clone(),
            groups: self
                .rows()
                .map(|(_, r)| vec![r.sentence1.clone(), r.sentence2.clone()])
                .collect(),
        }
    }
}

/// The rows of a suite's split. Where the suite numbers its rows and the source has a column `id`,
/// that is kept too.
fn suite_rows(
    registry: &Registry,
    manifest: &suite::Manifest,
    split: &str,
) -> Result<Vec<Row>, ReleaseError> {
    const ID: &str = "id";
    let mut with_id = manifest.clone();
    for source in &mut with_id.sources {
        if source.columns.id.is_empty() && !source.columns.labels.iter().any(|l| l == ID) {
            source.columns.labels.push(ID.to_owned());
        }
    }
    let suite = match registry.load(&with_id, Some(split)) {
        Ok(suite) => suite,
        Err(_) => registry.load(manifest, Some(split))?,
    };
    let numbered = manifest.sources.iter().all(|s| s.columns.id.is_empty());
    Ok(suite
        .pairs
        .into_iter()
        .map(|pair| {
            let mut labels: BTreeMap<String, String> = pair.labels;
            let source_id = if numbered { labels.remove(ID) } else { None };
            Row {
                id: pair.id,
                sentence1: pair.sentence1,
                sentence2: pair.sentence2,
                score: Some(pair.gold),
                domain: pair.domain,
                labels,
                source_id,
            }
        })
        .collect())
}

fn text(bytes: &[u8], path: &Path) -> Result<String, ReleaseError> {
    std::str::from_utf8(bytes)
        .map(ToOwned::to_owned)
        .map_err(|e| ReleaseError::Manifest {
            path: path.to_owned(),
            line: None,
            reason: format!("not UTF-8 at byte {}", e.valid_up_to()),
        })
}
