//! The record: one encoder on one suite, with everything needed to say again how each number
//! came about. Its JSON is what `korfinsts eval --format json` prints and what is kept on disk.
//!
//! A record holds no clock: the same inputs give the same bytes. When and how fast a run was
//! is in a separate file, [`Timing`]. Only what `eval --speed` measures is a part of the record, since it is a
//! result of its own.

mod files;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::RunError;
use super::form::FormFacts;
use super::scores::SCORES;
pub use super::scores::Scores;
use super::speed::Speed;
use crate::suite::{Pair, ScaleKind, Suite};
pub use files::{RecordFiles, file_name};
use korfinsts_base::{fs, json};
use korfinsts_encoder::spec::{Decision, ModelFile};
use korfinsts_encoder::{TokenCount, Usage};
use korfinsts_metric::{BootstrapOptions, Clusters, Similarity};

/// Version of the schema that this build writes. Every older one still loads.
pub const SCHEMA_VERSION: u32 = 1;

/// Longest record, in bytes; real ones have some thousands.
const LONGEST: u64 = 64 << 20;

/// Most resamples that a record may ask for: each is a number of eight bytes.
const MOST_RESAMPLES: usize = 10_000_000;

/// Name of mteb's file about a model, which is no result.
const MODEL_META: &str = "model_meta.json";

/// One encoder on one suite.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// Version of this schema.
    pub schema_version: u32,
    /// What was run.
    pub encoder: EncoderFacts,
    /// What it was run on.
    pub suite: SuiteFacts,
    /// Number of pairs scored.
    pub n_pairs: usize,
    /// The scores; one that does not exist is `null`, with its reason in `warnings`.
    pub scores: Scores,
    /// 95 % intervals by score name, `[low, high]`.
    pub interval: BTreeMap<String, [f64; 2]>,
    /// Scores per domain.
    pub domains: BTreeMap<String, DomainScores>,
    /// Mean over domains of the domain's Spearman; `null` with fewer than two domains.
    pub macro_spearman: Option<f64>,
    /// Spearman stratified by domain; `null` with fewer than two domains.
    pub within_domain_spearman: Option<f64>,
    /// Share of triplets with the positive nearer than the negative, per group; empty where the
    /// suite has no triplets.
    pub triplet_accuracy: BTreeMap<String, f64>,
    /// Triplet accuracy over all groups with its interval, by language and by cell; absent where the suite
    /// has no triplets, and in records made before it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triplets: Option<TripletScores>,
    /// Clusters of pairs that were resampled together; absent where the suite declares none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<ClusterFacts>,
    /// Share of the pairs' texts that were truncated; `null` where nothing is tokenised.
    pub truncated_share: Option<f64>,
    /// Share of the pairs' tokens that truncation removed.
    pub tokens_lost_share: Option<f64>,
    /// Share of pairs whose predicted score another pair shares.
    pub tie_share: Option<f64>,
    /// Where the model was trained on a part of the suite: which part, and its score on the rest. The
    /// numbers above are of all pairs, as every model's are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<TrainedOn>,
    /// What a reader of the numbers must know.
    pub warnings: Vec<String>,
    /// How the intervals were made.
    pub bootstrap: BootstrapFacts,
    /// How texts were batched; `null` where nothing is batched.
    pub batch: Option<BatchFacts>,
    /// The program that made the record.
    pub harness: Harness,
    /// The file of per-pair scores, from which every score above can be computed again.
    pub pairs: Option<PairsFile>,
    /// How fast the encoder is on one machine; absent where that was not asked for. It differs in every run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Box<Speed>>,
}

/// A model that was trained on a part of a suite.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainedOn {
    /// Variants of the suite that it was trained on triplets of; 0 where pairs were named instead.
    pub variants: usize,
    /// Pairs of the suite that it may know from training.
    pub pairs: usize,
    /// The other pairs.
    pub other_pairs: usize,
    /// Spearman's correlation of the cosine over those; `null` where it does not exist.
    pub cosine_spearman_of_others: Option<f64>,
    /// Its 95 % interval.
    pub interval_of_others: Option<[f64; 2]>,
    /// Triplet accuracy over those; absent where the suite has no triplets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triplets_of_others: Option<TripletPart>,
}

impl TrainedOn {
    /// What a reader must know, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let score = match (self.cosine_spearman_of_others, self.interval_of_others) {
            (Some(x), Some([low, high])) => format!("{x:.4} [{low:.4}, {high:.4}]"),
            (Some(x), None) => format!("{x:.4}"),
            (None, _) => "no correlation".to_owned(),
        };
        let part = match self.variants {
            0 => "pairs".to_owned(),
            n => format!("triplets of {n} variants"),
        };
        format!(
            "the model was trained on {part} of this suite ({} of {} pairs): over the other {} it has {score}",
            self.pairs,
            self.pairs + self.other_pairs,
            self.other_pairs
        )
    }
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EncoderFacts {
    /// Display name.
    pub name: String,
    /// Hub revision, where it came from there.
    pub revision: Option<String>,
    /// Backend.
    pub backend: String,
    /// Version of the library behind the backend.
    pub backend_version: Option<String>,
    /// SHA-256 of the weights (of the list of shards where there are several); `null` for a
    /// lexical baseline.
    pub sha256: Option<String>,
    /// SHA-256 of the tokenizer.
    pub tokenizer_sha256: Option<String>,
    /// Every file that shaped the result.
    pub files: Vec<ModelFile>,
    /// `model_type` of the configuration.
    pub architecture: Option<String>,
    /// Pooling, as printed.
    pub pooling: Option<String>,
    /// Width of an embedding, after a cut.
    pub dimension: Option<usize>,
    /// How embeddings were cut and quantised; absent for the whole embedding as the encoder gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<FormFacts>,
    /// Maximum length in tokens; `null` where there is none, or a server does not say it.
    #[serde(default, deserialize_with = "limited")]
    pub max_tokens: Option<usize>,
    /// Number type of the computation.
    pub dtype: Option<String>,
    /// `cpu` or `cuda`.
    pub device: Option<String>,
    /// Protocol of prompts and lengths.
    pub protocol: String,
    /// Prompt before `sentence1` and before `sentence2`.
    pub prompts: [String; 2],
    /// Similarity whose Spearman is the main score, and how it is computed.
    pub similarity: String,
    /// The server that ran it; absent for a model on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointFacts>,
    /// Every decision about the model with its source.
    pub decisions: Vec<Decision>,
}

/// A length in tokens. Records of version 0.1.0 hold the largest integer where there is no limit.
///
/// # Errors
/// When it is no count.
pub fn limited<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<usize>, D::Error> {
    let found = Option::<u64>::deserialize(deserializer)?;
    Ok(found.filter(|n| *n != u64::MAX).map(|n| n as usize))
}

/// A server of embeddings, as it presented itself. Holds no key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EndpointFacts {
    /// Where requests went.
    pub url: String,
    /// What was spoken with it: `openai`, `vllm`, `tei`.
    pub dialect: String,
    /// Model, as the server names it.
    pub model: String,
    /// Software and version, where reported.
    pub server: Option<String>,
    /// Whether the server reports the model's revision. A result that is not pinned cannot be
    /// traced to weights.
    pub pinned: bool,
    /// Tells models behind one address apart: from the embedding of a fixed text.
    pub fingerprint: String,
    /// Most texts in one request.
    pub texts_per_request: usize,
}

/// What it was run on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SuiteFacts {
    /// Suite id.
    pub id: String,
    /// Version of the suite's manifest.
    pub version: String,
    /// Split.
    pub split: String,
    /// SHA-256 that names the content.
    pub release_id: String,
    /// Kind of gold scores: `binary`, `ordinal`, `interval`.
    pub scale: String,
    /// Languages with script, as `kor-Hang`.
    pub languages: Vec<String>,
    /// Only the first so many pairs were scored; `null` for all.
    pub limit: Option<usize>,
    /// Task name of mteb, where mteb has this suite.
    pub mteb_task: Option<String>,
    /// Hub revision of the rows; `null` where nothing but the manifest says it.
    pub hub_revision: Option<String>,
}

impl SuiteFacts {
    /// The facts of a suite, of which only the first `limit` pairs were scored.
    #[must_use]
    pub fn of(suite: &Suite, limit: Option<usize>) -> Self {
        let scale = match suite.scale.kind {
            ScaleKind::Binary => "binary",
            ScaleKind::Ordinal => "ordinal",
            ScaleKind::Interval => "interval",
        };
        Self {
            id: suite.id.clone(),
            version: suite.version.clone(),
            split: suite.split.clone(),
            release_id: suite.release_id.clone(),
            scale: scale.into(),
            languages: suite.languages.clone(),
            limit,
            mteb_task: suite.mteb_task.clone(),
            hub_revision: suite.hub_revision.clone(),
        }
    }
}

/// Scores of one domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainScores {
    /// Pairs of this domain.
    pub n_pairs: usize,
    /// Spearman of the main similarity; `null` with the reason in the record's warnings.
    pub cosine_spearman: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
}

/// Triplet accuracy: the share of triplets whose positives are all nearer to the source than all of their
/// negatives.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TripletScores {
    /// Over all triplets.
    #[serde(flatten)]
    pub all: TripletPart,
    /// By language, where the suite names it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub languages: BTreeMap<String, TripletPart>,
    /// By cell, one positive against one negative, as `light/close`; where the suite has several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cells: BTreeMap<String, TripletPart>,
    /// The cell with the least accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_cell: Option<String>,
}

/// Triplet accuracy over some triplets.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TripletPart {
    /// Number of triplets.
    pub n: usize,
    /// Mean over groups of the group's accuracy, in \[0, 1\].
    pub accuracy: f64,
    /// Its 95 % interval: triplets, or clusters of them, drawn within each group.
    pub interval: Option<[f64; 2]>,
}

/// Clusters of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// Number of clusters.
    pub n: usize,
    /// Variance of the main score (triplet accuracy, where there are triplets) with clusters resampled,
    /// over that with pairs (triplets) resampled one by one; `null` where there is no interval.
    pub design_effect: Option<f64>,
}

impl ClusterFacts {
    /// What a reader must know, in one phrase.
    #[must_use]
    pub fn phrase(&self) -> String {
        match self.design_effect {
            Some(effect) => format!("{} clusters; design effect {effect:.1}", self.n),
            None => format!("{} clusters", self.n),
        }
    }
}

/// How the intervals were made.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct BootstrapFacts {
    /// Resamples of the pairs.
    pub resamples: usize,
    /// Seed.
    pub seed: u64,
    /// Nominal coverage.
    pub level: f64,
}

impl BootstrapFacts {
    /// What the options say.
    #[must_use]
    pub fn of(options: &BootstrapOptions) -> Self {
        Self {
            resamples: options.resamples,
            seed: options.seed,
            level: options.level,
        }
    }

    /// The options that make the same intervals.
    #[must_use]
    pub fn options(&self) -> BootstrapOptions {
        BootstrapOptions {
            resamples: self.resamples,
            seed: self.seed,
            level: self.level,
        }
    }
}

/// How texts were batched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchFacts {
    /// Padded tokens per batch at most.
    pub batch_tokens: usize,
    /// Whether each text was a batch of its own, as an encoder needs whose embeddings depend on
    /// the batch.
    pub one_text_each: bool,
}

/// The program that made a record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Harness {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Harness {
    /// This build.
    #[must_use]
    pub fn this() -> Self {
        Self {
            name: korfinsts_base::NAME.into(),
            version: korfinsts_base::VERSION.into(),
        }
    }
}

/// The file of per-pair scores of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairsFile {
    /// File name, in the record's folder.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl PairsFile {
    /// Where it is: a file of the folder of the record at `record`, never one elsewhere.
    ///
    /// # Errors
    /// When its name is more than that of a file.
    pub fn beside(&self, record: &Path) -> Result<PathBuf, RunError> {
        let name = Path::new(&self.name);
        if name.file_name() == Some(name.as_os_str()) {
            return Ok(record.with_file_name(name));
        }
        Err(RunError::Record {
            path: record.into(),
            line: 1,
            reason: format!(
                "the per-pair file `{}` is not a bare file name",
                self.name.escape_debug()
            ),
        })
    }
}

/// One line of the per-pair file: all that the numbers of a record are computed from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoredPair {
    /// Id of the pair.
    pub id: String,
    /// Gold score.
    pub gold: f64,
    /// Predicted score: the main similarity; `null` where it is not a number (zero vector).
    pub score: Option<f64>,
    /// Inner product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dot: Option<f64>,
    /// Negated Manhattan distance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manhattan: Option<f64>,
    /// Negated Euclidean distance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub euclidean: Option<f64>,
    /// Domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Name of the triplet this pair belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triplet: Option<String>,
    /// Group by which triplet accuracy is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Which positive or negative of its triplet it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// Language of its triplet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Cluster that is resampled whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Whether the model was trained on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trained: bool,
}

/// The clusters of scored pairs, where one of them names its cluster.
#[must_use]
pub fn clusters(pairs: &[ScoredPair]) -> Option<Clusters> {
    Clusters::new(pairs.iter().map(|p| p.cluster.as_deref()))
}

impl ScoredPair {
    /// A pair of a suite, without its predicted scores.
    #[must_use]
    pub fn unscored(pair: &Pair, suite: &Suite) -> Self {
        let label = |name: Option<&String>| name.and_then(|n| pair.labels.get(n)).cloned();
        let triplets = suite.triplets.as_ref();
        Self {
            id: pair.id.clone(),
            gold: pair.gold,
            score: None,
            dot: None,
            manhattan: None,
            euclidean: None,
            domain: pair.domain.clone(),
            triplet: label(triplets.map(|t| &t.id)),
            group: label(triplets.map(|t| &t.group)),
            cell: label(triplets.and_then(|t| t.cell.as_ref())),
            language: label(triplets.and_then(|t| t.language.as_ref())),
            cluster: label(suite.cluster.as_ref()),
            trained: false,
        }
    }

    /// Its predicted score by a similarity; the main one for the cosine.
    #[must_use]
    pub fn by(&self, similarity: Similarity) -> Option<f64> {
        match similarity {
            Similarity::Cosine | Similarity::CosineF32 => self.score,
            Similarity::Dot => self.dot,
            Similarity::Manhattan => self.manhattan,
            Similarity::Euclidean => self.euclidean,
        }
    }
}

/// When and how fast a run was. It has a file of its own, since it differs every time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// Unix time in seconds at the end.
    pub finished_at: f64,
    /// Seconds spent on this suite.
    pub elapsed_s: f64,
    /// Seconds of them spent on embeddings: tokenising, encoding, reading and writing the store;
    /// opening the model is not among them.
    #[serde(default)]
    pub encode_s: f64,
    /// Texts encoded for it, or for an earlier suite of the same call.
    pub texts_encoded: usize,
    /// Where this run encoded nothing: the one before it that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoded_by: Option<Encoding>,
    /// What a server was asked in this run, and what it reported; absent where none was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What happened on the way: batches halved for want of memory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How fast an earlier run encoded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    /// Unix time in seconds at its end.
    pub finished_at: f64,
    /// Its [`Timing::encode_s`].
    pub encode_s: f64,
    /// Its [`Timing::texts_encoded`].
    pub texts_encoded: usize,
}

impl Timing {
    /// This timing with the speed of the run before it, whose timing is at `path`, where this run encoded
    /// nothing.
    #[must_use]
    pub fn after(mut self, path: &Path) -> Self {
        let earlier = fs::read(path).ok().filter(|_| self.texts_encoded == 0);
        let earlier = earlier.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        self.encoded_by = earlier.and_then(|t| t.encoding());
        self
    }

    /// How fast the run, or the earlier one, encoded; none where neither did.
    #[must_use]
    pub fn encoding(&self) -> Option<Encoding> {
        let own = Encoding {
            finished_at: self.finished_at,
            encode_s: self.encode_s,
            texts_encoded: self.texts_encoded,
        };
        Some(own)
            .filter(|e| e.texts_encoded > 0)
            .or(self.encoded_by)
    }
}

/// Whether a file could be a record by its name: not a timing, not the plan of a shard, not mteb's file
/// about a model.
#[must_use]
pub fn may_be_record(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".json")
        && !name.ends_with(".timing.json")
        && ![super::shard::PLAN, MODEL_META].contains(&&*name)
}

impl Record {
    /// The score of this key of the table; `None` where it does not exist.
    #[must_use]
    pub fn score(&self, key: &str) -> Option<f64> {
        let row = SCORES.iter().find(|score| score.key == key)?;
        (row.get)(self)
    }

    /// Writes the per-pair file, then the record that names it by hash, then the timing; each
    /// atomically. The record comes after its pairs: where there is a record, there are pairs.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(
        &mut self,
        files: &RecordFiles,
        pairs: &[ScoredPair],
        timing: &Timing,
    ) -> Result<(), RunError> {
        for (path, content) in self.contents(files, pairs, timing) {
            if let (true, Some(folder)) = (path == files.record, path.parent()) {
                fs::sync_dir(folder)?;
            }
            fs::write_atomic(&path, &content)?;
        }
        Ok(())
    }

    /// The files of a record and their contents, in the order in which they are written: the record comes
    /// last. The record gets the name and the hash of its pairs.
    #[must_use]
    pub fn contents(
        &mut self,
        files: &RecordFiles,
        pairs: &[ScoredPair],
        timing: &Timing,
    ) -> [(PathBuf, Vec<u8>); 3] {
        let lines = to_jsonl(pairs);
        self.pairs = Some(PairsFile {
            name: files
                .pairs
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into()),
            sha256: fs::sha256(&lines),
        });
        [
            (files.pairs.clone(), lines),
            (files.timing.clone(), to_json(timing)),
            (files.record.clone(), to_json(self)),
        ]
    }

    /// Reads a record of any schema version ever written.
    ///
    /// # Errors
    /// When the file cannot be read, is not JSON, or is no record of a known version.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let bytes = fs::read_up_to(path, LONGEST)?;
        let wrong = |line: usize, reason: String| RunError::Record {
            path: path.into(),
            line,
            reason,
        };
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|e| wrong(e.line(), e.to_string()))?;
        match value
            .get("schema_version")
            .and_then(serde_json::Value::as_u64)
        {
            Some(1) => {
                let found: Self =
                    serde_json::from_value(value).map_err(|e| wrong(1, e.to_string()))?;
                let BootstrapFacts {
                    resamples, level, ..
                } = found.bootstrap;
                if resamples > MOST_RESAMPLES || !(0.0..1.0).contains(&level) {
                    let reason = format!(
                        "found `bootstrap` with {resamples} resamples and the level {level:?}, allowed are \
                         {MOST_RESAMPLES} resamples and a level from 0 to less than 1"
                    );
                    return Err(wrong(1, reason));
                }
                Ok(found)
            }
            Some(n) => Err(wrong(
                1,
                format!("found `schema_version` {n}, this build reads 1 to {SCHEMA_VERSION}"),
            )),
            None => Err(wrong(
                1,
                "found no `schema_version`: this is no record".into(),
            )),
        }
    }
}

/// The tokens of one pair: how many the encoder saw of each text, and how many it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairTokens {
    /// Id of the pair.
    pub id: String,
    /// Tokens of each text that the encoder saw, special ones included.
    pub tokens: [u32; 2],
    /// Tokens of each text that truncation removed; [`TokenCount::UNKNOWN`], in the file `null`, where
    /// some were removed and a server does not say how many.
    #[serde(with = "lost")]
    pub lost: [u32; 2],
}

/// [`PairTokens::lost`] in a file; version 0.1.0 wrote the largest integer for `null`.
mod lost {
    use super::{Deserialize, Serialize, TokenCount};

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde asks for"
    )]
    pub(super) fn serialize<S: serde::Serializer>(
        lost: &[u32; 2],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        lost.map(|n| Some(n).filter(|n| *n != TokenCount::UNKNOWN))
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u32; 2], D::Error> {
        let found = <[Option<u32>; 2]>::deserialize(deserializer)?;
        Ok(found.map(|n| n.unwrap_or(TokenCount::UNKNOWN)))
    }
}

/// Path of the token counts of a record.
#[must_use]
pub fn tokens_path(record: &Path) -> PathBuf {
    record.with_extension("tokens.jsonl")
}

/// Writes the token counts of a record; nothing where nothing was tokenised.
///
/// # Errors
/// When the file cannot be written.
pub fn write_tokens(files: &RecordFiles, tokens: &[PairTokens]) -> Result<(), RunError> {
    if !tokens.is_empty() {
        fs::write_atomic(&files.tokens, &to_jsonl(tokens))?;
    }
    Ok(())
}

/// Reads the token counts of a record.
///
/// # Errors
/// When the file cannot be read, or a line is not of the form of [`PairTokens`].
pub fn read_tokens(path: &Path) -> Result<Vec<PairTokens>, RunError> {
    read_lines(path)
}

/// The lines of a file of a record.
fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, RunError> {
    let bytes = fs::read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| wrong(path, 1, e.to_string()))?;
    let lines = text.lines().zip(1..);
    lines
        .map(|(line, at)| serde_json::from_str(line).map_err(|e| wrong(path, at, e.to_string())))
        .collect()
}

fn wrong(path: &Path, line: usize, reason: String) -> RunError {
    RunError::Record {
        path: path.into(),
        line,
        reason,
    }
}

/// Reads a per-pair file.
///
/// # Errors
/// When the file cannot be read, holds no pair, a line is no scored pair, a number is not finite, or
/// an id occurs twice.
pub fn read_pairs(path: &Path) -> Result<Vec<ScoredPair>, RunError> {
    let pairs: Vec<ScoredPair> = read_lines(path)?;
    let wrong = |line, reason| wrong(path, line, reason);
    if pairs.is_empty() {
        return Err(wrong(1, "the file holds no pair".into()));
    }
    // Millions of ids on a large leaderboard: looked at, not copied.
    let mut seen = ahash::AHashSet::with_capacity(pairs.len());
    if let Some((i, pair)) = pairs
        .iter()
        .enumerate()
        .find(|(_, pair)| !seen.insert(pair.id.as_str()))
    {
        return Err(wrong(i + 1, format!("id `{}` stands twice", pair.id)));
    }
    drop(seen);
    Ok(pairs)
}

/// Pretty JSON with a newline at the end.
///
/// # Panics
/// Never for the types of this crate: their keys are strings and their numbers finite.
#[must_use]
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = json::pretty(value);
    bytes.push(b'\n');
    bytes
}

fn to_jsonl<T: Serialize>(rows: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row).expect("records serialise");
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_null_and_the_largest_integer_of_old_files_is_read_as_none() {
        let of = |max_tokens| EncoderFacts {
            max_tokens,
            ..EncoderFacts::default()
        };
        for (max_tokens, text) in [(None, "null"), (Some(512), "512")] {
            let text = format!("\"max_tokens\":{text}");
            let written = serde_json::to_string(&of(max_tokens)).expect("JSON");
            assert!(written.contains(&text), "{written}");
            let read: EncoderFacts = serde_json::from_str(&written).expect("read");
            assert_eq!(read.max_tokens, max_tokens);
        }
        let written = serde_json::to_string(&of(Some(512))).expect("JSON");
        for old in ["18446744073709551615", "null"] {
            let read = serde_json::from_str::<EncoderFacts>(&written.replace("512", old));
            assert_eq!(read.expect("read").max_tokens, None);
        }
        let tokens = PairTokens {
            id: "a".into(),
            tokens: [3, 500],
            lost: [0, TokenCount::UNKNOWN],
        };
        let written = serde_json::to_string(&tokens).expect("JSON");
        assert_eq!(written, r#"{"id":"a","tokens":[3,500],"lost":[0,null]}"#);
        for old in ["4294967295", "null"] {
            let read = serde_json::from_str::<PairTokens>(&written.replace("null", old));
            assert_eq!(read.expect("read"), tokens);
        }
    }

    #[test]
    fn an_unknown_schema_and_a_damaged_pair_are_named_by_line() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("r.json");
        for (content, expected) in [
            (
                "{\"schema_version\": 99}",
                "found `schema_version` 99, this build reads 1 to 1",
            ),
            ("{}", "this is no record"),
            ("{\n\"schema_version\": 1,\n", ":3: "),
        ] {
            fs::write_atomic(&path, content.as_bytes()).expect("written");
            let error = Record::read(&path).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        let twice =
            "{\"id\":\"a\",\"gold\":1,\"score\":0.5}\n{\"id\":\"a\",\"gold\":1,\"score\":0.5}\n";
        fs::write_atomic(&path, twice.as_bytes()).expect("written");
        let error = read_pairs(&path).expect_err("refused").to_string();
        assert!(error.ends_with(":2: id `a` stands twice"), "{error}");
    }
}
