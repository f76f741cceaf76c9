//! A filtering run, resolved: everything its steps need, read before the first document is.

use std::collections::BTreeMap;

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use super::corpus::{Located, Manifest, Profile, Row, read};
use super::quality::entropy::{Calibrated, calibrate};
use super::quality::{self, Measures, Quality, Scratch};
use super::step::PoolOptions;
use super::step::contamination::SuiteIndex;
use super::step::personal::PersonalData;
use super::{Document, MineError, RunFolder, document_id};
use korfinsts_base::fs;
use korfinsts_bench::coverage::Subject;
use korfinsts_bench::suite::{Availability, Registry, Suite};

/// What a run is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Least tokens of a passage.
    pub min_tokens: u64,
    /// Most tokens of a passage.
    pub max_tokens: u64,
    /// Whether documents that stay get verdicts, too.
    pub keep_verdicts: bool,
    /// What is done with personal data.
    #[serde(default = "PersonalData::unsaid")]
    pub personal: PersonalData,
    /// What the steps over all documents are told.
    pub pool: PoolOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            min_tokens: 128,
            max_tokens: 4096,
            keep_verdicts: false,
            personal: PersonalData::default(),
            pool: PoolOptions::default(),
        }
    }
}

/// Everything the steps need.
pub struct Setup {
    /// Name of the profile.
    pub profile_name: String,
    /// The profile.
    pub profile: Profile,
    /// The corpora with their files, in order.
    pub corpora: Vec<Located>,
    /// The tokenizer that measures lengths.
    pub tokenizer: Subject,
    /// What the run was told.
    pub options: Options,
    /// Limits by language.
    pub qualities: BTreeMap<String, Quality>,
    /// Models by source and language.
    pub entropy: AHashMap<(String, String), Calibrated>,
    /// Texts of suites.
    pub suites: SuiteIndex,
    /// Suites that are known and not on this machine.
    pub absent: Vec<String>,
}

/// What a [`Setup`] is made of.
pub struct SetupInputs<'a> {
    /// Name of the profile.
    pub profile_name: String,
    /// The profile.
    pub profile: Profile,
    /// The corpora with their files, in order.
    pub corpora: Vec<Located>,
    /// The tokenizer that measures lengths.
    pub tokenizer: Subject,
    /// What the run is told.
    pub options: Options,
    /// Limits of the user, used before those built in.
    pub own_quality: &'a [Quality],
    /// Suites whose texts are left out.
    pub suites: &'a [Suite],
    /// Suites that are known and not on this machine.
    pub absent: Vec<String>,
}

impl Setup {
    /// Reads what the steps need, and learns what is usual in each source from the head of its
    /// files.
    ///
    /// # Errors
    /// When a language has no limits, or the head of a file cannot be read.
    pub fn new(inputs: SetupInputs<'_>) -> Result<Self, MineError> {
        let manifests: Vec<&Manifest> = inputs.corpora.iter().map(|c| &c.manifest).collect();
        let qualities = quality::for_corpora(&manifests, inputs.own_quality)?;
        let mut setup = Self {
            profile_name: inputs.profile_name,
            profile: inputs.profile,
            corpora: inputs.corpora,
            tokenizer: inputs.tokenizer,
            options: inputs.options,
            qualities,
            entropy: AHashMap::new(),
            suites: SuiteIndex::new(inputs.suites),
            absent: inputs.absent,
        };
        setup.entropy = setup.calibrated()?;
        Ok(setup)
    }

    /// Models of the sources whose language asks for one.
    fn calibrated(&self) -> Result<AHashMap<(String, String), Calibrated>, MineError> {
        let mut samples: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        let mut scratch = Scratch::default();
        for corpus in &self.corpora {
            let language = &corpus.manifest.language;
            let Some(quality) = self.qualities.get(language) else {
                continue;
            };
            let Some(limits) = quality.entropy else {
                continue;
            };
            let scripts = quality.script_set().unwrap_or_default();
            let share = limits.sample.div_ceil(corpus.files.len().max(1));
            for file in &corpus.files {
                let mut taken = 0;
                let columns = &corpus.manifest.columns;
                let mut failure = None;
                read::stream(file, columns, &|_| true, &mut |_, chunk| {
                    let read = read::rows(file, columns, chunk, &mut |row| {
                        if taken >= share || row.text.len() < 128 {
                            return Ok(());
                        }
                        let document = document(&corpus.manifest, &file.name, row).0;
                        let found = Measures::of(&document.text, &scripts, &mut scratch);
                        if quality.judge(&document.source, &found).is_none() {
                            taken += 1;
                            samples
                                .entry((document.source, language.clone()))
                                .or_default()
                                .push(document.text);
                        }
                        Ok(())
                    });
                    failure = read.err();
                    failure.is_none() && taken < share
                })?;
                if let Some(failure) = failure {
                    return Err(failure);
                }
            }
        }
        Ok(samples
            .into_iter()
            .filter_map(|(key, texts)| {
                let limits = self.qualities.get(&key.1)?.entropy?;
                Some((key, calibrate(&texts, limits)?))
            })
            .collect())
    }

    /// The resolved plan as TOML; the same for every shard.
    ///
    /// # Errors
    /// When a file of the tokenizer cannot be read.
    pub fn plan(&self) -> Result<FilterPlan, MineError> {
        let mut tokenizer = BTreeMap::new();
        for file in self.tokenizer.tokenizer().files() {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            tokenizer.insert(name.into_owned(), fs::sha256_file(file)?);
        }
        let mut entropy: Vec<PlanEntropy> = self
            .entropy
            .iter()
            .map(|((source, language), calibrated)| PlanEntropy {
                source: source.clone(),
                language: language.clone(),
                texts: calibrated.texts,
                max_bits_per_character: calibrated.limit,
            })
            .collect();
        entropy.sort_by(|a, b| (&a.source, &a.language).cmp(&(&b.source, &b.language)));
        let corpora = self.corpora.iter().map(|corpus| {
            let mut files = Vec::new();
            for file in &corpus.files {
                files.push((file.name.clone(), fs::metadata(&file.path)?.len()));
            }
            Ok(PlanCorpus {
                id: corpus.manifest.id.clone(),
                licence: corpus.manifest.licence.clone(),
                commit: corpus.commit.clone(),
                files,
            })
        });
        Ok(FilterPlan {
            korfinsts: korfinsts_base::VERSION.to_owned(),
            profile: self.profile_name.clone(),
            licences: self.profile.licences.clone(),
            tokenizer_name: self.tokenizer.name().to_owned(),
            suites: self.suites.suites.clone(),
            suite_texts: self.suites.len(),
            absent_suites: self.absent.clone(),
            options: self.options.clone(),
            tokenizer,
            corpora: corpora.collect::<Result<_, MineError>>()?,
            entropy,
            quality: self.qualities.values().cloned().collect(),
        })
    }
}

/// `run.toml`: how a run was resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterPlan {
    /// Version of this program.
    pub korfinsts: String,
    /// Name of the profile.
    pub profile: String,
    /// Licences it allows.
    pub licences: Vec<String>,
    /// Name of the tokenizer.
    pub tokenizer_name: String,
    /// Suites looked for.
    pub suites: Vec<String>,
    /// Different texts of theirs.
    pub suite_texts: usize,
    /// Suites that were not at hand.
    pub absent_suites: Vec<String>,
    /// What the run was told.
    pub options: Options,
    /// Files of the tokenizer with their SHA-256.
    pub tokenizer: BTreeMap<String, String>,
    /// The corpora.
    pub corpora: Vec<PlanCorpus>,
    /// What is usual in each source.
    #[serde(default)]
    pub entropy: Vec<PlanEntropy>,
    /// Limits of each language.
    pub quality: Vec<Quality>,
}

/// A corpus of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanCorpus {
    /// Its id.
    pub id: String,
    /// Its licence.
    pub licence: String,
    /// Commit on the hub, where it came from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Its files in order, with their bytes.
    pub files: Vec<(String, u64)>,
}

/// What is usual in a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanEntropy {
    /// Kind of text.
    pub source: String,
    /// Language and script.
    pub language: String,
    /// Texts that were looked at.
    pub texts: usize,
    /// Bits per character above which a text is dropped.
    pub max_bits_per_character: f64,
}

impl FilterPlan {
    /// As it is written.
    ///
    /// # Errors
    /// When it cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, MineError> {
        toml::to_string_pretty(self).map_err(|e| {
            MineError::usage(format!("the plan cannot be written: {e}"), "report this")
        })
    }

    /// Reads the plan of a run folder.
    ///
    /// # Errors
    /// When there is none, or it is not one.
    pub fn read(folder: &RunFolder) -> Result<Self, MineError> {
        let path = folder.plan();
        super::shipped::parse(&path, &fs::read(&path)?)
    }
}

/// A row as a document, with its text cleaned. Whether there was markup.
pub(super) fn document(manifest: &Manifest, file: &str, row: Row) -> (Document, bool) {
    let (text, marked) = quality::clean(&row.text);
    let text = text.into_owned();
    let document = Document {
        // The text is NFC already, and its id is that of its bytes.
        id: blake3::hash(text.as_bytes()).to_hex()[..32].to_owned(),
        language: manifest.language.clone(),
        source: row.source.unwrap_or_else(|| manifest.source.clone()),
        corpus: manifest.id.clone(),
        licence: row.licence.unwrap_or_else(|| manifest.licence.clone()),
        origin: format!("{file}:{}", row.number),
        text,
    };
    debug_assert_eq!(document.id, document_id(&document.text));
    (document, marked)
}

/// The suites of a data home that are on this machine, every split of each; and the names of those
/// that are not.
///
/// # Errors
/// When a suite that is there cannot be read.
pub fn suites(registry: &Registry) -> Result<(Vec<Suite>, Vec<String>), MineError> {
    let (mut found, mut absent) = (Vec::new(), Vec::new());
    for manifest in registry.all() {
        let mut any = false;
        for split in manifest.splits.keys() {
            if registry.availability(manifest, Some(split))? == Availability::Available {
                found.push(registry.load(manifest, Some(split))?);
                any = true;
            }
        }
        if !any {
            absent.push(manifest.id.clone());
        }
    }
    Ok((found, absent))
}
