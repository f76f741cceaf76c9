//! `submission.json`: what a bundle claims.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use korfinsts_bench::run::record::Record;
use korfinsts_bench::run::scores::{SCORES, Score, Values};

/// Name of the manifest in a bundle.
pub const MANIFEST: &str = "submission.json";
/// Version of the manifest's form.
pub const SCHEMA_VERSION: u32 = 1;

/// What a bundle claims. A key that is not here is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Version of this form.
    pub schema_version: u32,
    /// What was run.
    pub model: Model,
    /// How it was run.
    pub run: Run,
    /// On what, and what came out.
    pub suites: Vec<SuiteEntry>,
    /// What it was trained on.
    pub disclosure: Disclosure,
    /// SHA-256 of the bundle that this one replaces.
    pub resubmission_of: Option<String>,
    /// minisign public key (one line of base64) that signs the checksums of this bundle. Whoever has its
    /// secret key can hand in more bundles of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name, or hub id as `organisation/name`.
    pub id: String,
    /// Hub revision, 40 hexadecimal digits, where it came from there.
    pub revision: Option<String>,
    /// SPDX expression, or what its makers call it.
    pub licence: String,
    /// Every file that shaped the result.
    pub files: Vec<ModelFile>,
    /// `model_type` of the configuration.
    pub architecture: Option<String>,
    /// Pooling, as printed.
    pub pooling: Option<String>,
    /// Whether embeddings are brought to length one.
    pub normalise: bool,
    /// Width of an embedding.
    pub dimension: Option<usize>,
    /// Maximum length in tokens; `null` where there is none.
    #[serde(default, deserialize_with = "korfinsts_bench::run::record::limited")]
    pub max_tokens: Option<usize>,
    /// Prompt before `sentence1` and before `sentence2`.
    pub prompts: [String; 2],
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// `weights`, `tokenizer`, `config`.
    pub role: String,
    /// Name in the model's folder.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// How a model was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The program that ran it.
    pub harness: Harness,
    /// Backend.
    pub backend: String,
    /// Version of the library behind it.
    pub backend_version: Option<String>,
    /// `cpu` or `cuda`.
    pub device: Option<String>,
    /// Number type of the computation.
    pub dtype: Option<String>,
    /// SHA-256 of how texts were batched.
    pub batch_plan_sha256: Option<String>,
    /// Similarity, and how it is computed.
    pub similarity: String,
    /// Protocol of prompts and lengths.
    pub protocol: String,
}

/// The program that made scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Harness {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its commit, where it is known.
    pub commit: Option<String>,
}

/// One suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteEntry {
    /// Suite id.
    pub id: String,
    /// Version of the suite.
    pub version: String,
    /// SHA-256 that names its content.
    pub release_id: String,
    /// Split.
    pub split: String,
    /// Pairs.
    pub n_pairs: usize,
    /// Where the scores are.
    pub scores: ScoresFile,
    /// What is claimed.
    pub metrics: Metrics,
    /// Pairs of which a text was truncated; `null` where nothing is tokenised.
    pub truncated_pairs: Option<usize>,
}

/// A file of scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoresFile {
    /// Name in the bundle.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// The numbers that are claimed, each recomputed when the bundle is verified.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Those of the table of scores that bundles claim. A key that is none of them is an error.
    #[serde(flatten)]
    pub scores: ClaimedScores,
    /// Scores per domain.
    pub domains: BTreeMap<String, DomainMetrics>,
    /// Triplet accuracy per group.
    pub triplet_accuracy: BTreeMap<String, f64>,
}

impl Metrics {
    /// What a record claims.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let domains = record.domains.iter().map(|(name, domain)| {
            let metrics = DomainMetrics {
                n_pairs: domain.n_pairs,
                cosine_spearman: domain.cosine_spearman,
            };
            (name.clone(), metrics)
        });
        Self {
            scores: ClaimedScores(Values::of(record, |score| score.claimed)),
            domains: domains.collect(),
            triplet_accuracy: record.triplet_accuracy.clone(),
        }
    }

    /// The score of this key that is claimed.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<f64> {
        self.scores.0.get(key)
    }
}

/// The scores that bundles claim: every key in the order of the table, `null` where there is no
/// number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClaimedScores(Values);

impl ClaimedScores {
    /// Their rows of the table.
    pub fn rows() -> impl Iterator<Item = &'static Score> {
        SCORES.iter().filter(|score| score.claimed)
    }
}

impl Serialize for ClaimedScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Self::rows().map(|score| (score.key, self.0.get(score.key))))
    }
}

impl<'de> Deserialize<'de> for ClaimedScores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found: BTreeMap<String, Option<f64>> = Deserialize::deserialize(deserializer)?;
        let mut scores = Vec::new();
        for (key, value) in found {
            let Some(row) = Self::rows().find(|score| score.key == key) else {
                return Err(D::Error::custom(format!("unknown field `{key}`")));
            };
            scores.extend(value.map(|value| (row.key, value)));
        }
        Ok(Self(scores.into_iter().collect()))
    }
}

/// The scores of one domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainMetrics {
    /// Its pairs.
    pub n_pairs: usize,
    /// Its Spearman.
    pub cosine_spearman: Option<f64>,
}

/// What a submitter says of what the model has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// Names of the data it was trained on, as in `train_data.json`.
    pub trained_on: Vec<String>,
    /// What was done to find overlap with the suites, and what it found.
    pub overlap_report: String,
    /// Ids of pairs that the model may have seen, as `<suite>/<id>`.
    pub contaminated_ids: Vec<String>,
}

/// `train_data.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainData {
    /// What is known, in words; needed where `datasets` is empty.
    pub statement: String,
    /// What it was trained on.
    pub datasets: Vec<Dataset>,
}

/// Data that a model was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// Its revision or version.
    #[serde(default)]
    pub revision: Option<String>,
    /// Where it is.
    #[serde(default)]
    pub url: Option<String>,
    /// How many rows of it.
    #[serde(default)]
    pub rows: Option<u64>,
}

impl SuiteEntry {
    /// Name that the file of scores must have.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("scores/{}.{}.jsonl", self.id, self.split)
    }

    /// Suite and split, as they are shown.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.id, self.split)
    }
}

impl Model {
    /// One hash for the weights: that of the file, or of the list of hashes of several. `None` where
    /// no file is weights.
    #[must_use]
    pub fn weights_sha256(&self) -> Option<String> {
        let hashes: Vec<&str> = self
            .files
            .iter()
            .filter(|f| f.role.starts_with("weights"))
            .map(|f| f.sha256.as_str())
            .collect();
        match hashes.as_slice() {
            [] => None,
            [one] => Some((*one).to_owned()),
            several => Some(korfinsts_base::fs::sha256(several.join("\n").as_bytes())),
        }
    }
}
