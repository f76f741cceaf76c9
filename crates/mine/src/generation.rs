//! `generation.json`: what the generating steps counted, which the report renders.
//!
//! Keys are written in the order of the fields. Maps are sorted. No time is in it: the same
//! answers give the same bytes, save [`Cost`], which counts what was really sent.

use std::collections::BTreeMap;

use korfinsts_bench::suite::probe::Probes;
use serde::{Deserialize, Serialize};

/// Version of the file's schema.
pub const SCHEMA: u32 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// [`SCHEMA`].
    pub schema: u32,
    /// How the run ended.
    pub status: Status,
    /// Why it is not complete: the reason in words.
    pub stopped_by: Option<String>,
    /// Passages in `passages.jsonl`.
    pub documents: usize,
    /// Rows of `triplets.jsonl`.
    pub triplets: usize,
    /// Mix of wordings: `balanced` or `naive`.
    pub mix: String,
    /// What went into each step and what came out, by source, language, licence and corpus.
    pub steps: Vec<StepCount>,
    /// One entry per kind of judgement: `negative`, `positive`, `translation`.
    pub judges: Vec<JudgeCount>,
    /// Negatives tried and accepted, by variant of the typology.
    pub variants: BTreeMap<String, Yield>,
    /// Negatives and positives by rule, where the generator is `rules`.
    pub rules: BTreeMap<String, RuleCount>,
    /// Variants that no rule makes of a document, with what makes them: `slot templates`, or `a model`. Empty
    /// where a model writes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beyond_rules: BTreeMap<String, String>,
    /// Triplets by source.
    pub triplets_by_source: BTreeMap<String, usize>,
    /// Triplets by language of the anchor, `kor-Hang`.
    pub triplets_by_language: BTreeMap<String, usize>,
    /// Triplets by licence.
    pub triplets_by_licence: BTreeMap<String, usize>,
    /// Triplets by origin: `document`, `translation`, `template`.
    pub triplets_by_origin: BTreeMap<String, usize>,
    /// Character-trigram Jaccard similarity with the anchor.
    pub overlap: Sides,
    /// Characters longer (positive) or shorter (negative) than the anchor.
    pub length: Sides,
    /// Character of the anchor at which the negative first differs, from 0; `null` without triplets.
    pub edit_position: Option<Distribution>,
    /// `cos(anchor, positive) − cos(anchor, negative)`; absent where no encoder was asked.
    pub embedding_margin: Option<EmbeddingMargin>,
    /// Whether overlap or length alone tell positive from negative.
    pub shortcut: Shortcut,
    /// Texts of triplets that are in a suite.
    pub leakage: Leakage,
    /// The judge on the typology's own triples; absent where none was asked for.
    pub calibration: Option<Calibration>,
    /// What was asked and what it cost.
    pub cost: Cost,
    /// Which files and models this came from.
    pub provenance: Provenance,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Every document has its verdict.
    Complete,
    /// Calls wait in a request file for their results.
    Waiting,
    /// It was stopped (cost, interrupt, a failing server) and goes on when called again.
    Stopped,
}

/// One step for one group of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepCount {
    /// `axis`, `negative`, `negative-judge`, `positive`, `positive-judge`, `assemble`.
    pub step: String,
    /// Id of the typology's source.
    pub source: String,
    /// `kor-Hang`.
    pub language: String,
    /// Licence of the documents.
    pub licence: String,
    /// Id of the corpus.
    pub corpus: String,
    /// Documents that entered.
    pub entered: usize,
    /// Documents that went on.
    pub passed: usize,
    /// Documents that did not, by reason.
    pub dropped: BTreeMap<String, usize>,
}

/// What a judge said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeCount {
    /// `negative`, `positive` or `translation`.
    pub kind: String,
    /// Least total that is kept.
    pub threshold: u8,
    /// Pairs by total (the lower of both orders), index 0 to 10.
    pub histogram: Vec<usize>,
    /// Pairs without a total: an answer did not parse, or the judge refused.
    pub unscored: usize,
    /// Pairs kept.
    pub accepted: usize,
    /// Pairs whose two orders differ by more than one point.
    pub order_disagreements: usize,
}

/// Tried and accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yield {
    /// Candidates asked for.
    pub tried: usize,
    /// Candidates that were written.
    pub written: usize,
    /// Candidates that the judge kept.
    pub accepted: usize,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleCount {
    /// Candidates it had a part in, by source and language (`news/kor-Hang`).
    pub fired: BTreeMap<String, usize>,
    /// Candidates the judge kept.
    pub accepted: usize,
}

/// Quantiles of a quantity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// Values.
    pub count: usize,
    /// Mean.
    pub mean: f64,
    /// Least.
    pub min: f64,
    /// 5th percentile.
    pub p05: f64,
    /// 25th percentile.
    pub p25: f64,
    /// Median.
    pub p50: f64,
    /// 75th percentile.
    pub p75: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Greatest.
    pub max: f64,
}

/// A quantity of positives and of negatives; `null` without triplets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sides {
    /// Of (anchor, positive).
    pub positive: Option<Distribution>,
    /// Of (anchor, negative).
    pub negative: Option<Distribution>,
}

/// How far an encoder tells positive from negative before it is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingMargin {
    /// Name of the encoder.
    pub encoder: String,
    /// Margin of the cosines.
    pub margin: Distribution,
    /// Share of triplets whose margin is above 0.
    pub right: f64,
}

/// What tells positive from negative without reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortcut {
    /// Least and greatest AUC that pass.
    pub allowed: [f64; 2],
    /// Least number of triplets at which it is computed.
    pub least: usize,
    /// Whether both are inside; `null` where there are too few triplets.
    pub passed: Option<bool>,
    /// AUC of trigram overlap with the anchor, positives against negatives: near 0 says that
    /// negatives are always the nearer ones.
    pub overlap_auc: Option<f64>,
    /// AUC of minus the absolute difference in characters.
    pub length_auc: Option<f64>,
    /// Share of triplets whose negative is nearer to the anchor than the positive.
    pub negative_nearer: Option<f64>,
    /// Both AUCs by language of the anchor: overlap, length. Not checked, shown.
    pub by_language: BTreeMap<String, [f64; 2]>,
    /// What probes that are trained on the triplets tell apart, by language of the anchor. Not checked, shown;
    /// absent below 20 documents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub probes: BTreeMap<String, Probes>,
    /// The same figures had every document kept its plain wordings (`--mix naive`).
    pub naive: Option<[f64; 2]>,
}

/// Texts that are in suites.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leakage {
    /// Suites looked through, `id:split`.
    pub checked: Vec<String>,
    /// Suites that are known and not on disk.
    pub absent: Vec<String>,
    /// Triplets left out, by suite.
    pub dropped: BTreeMap<String, usize>,
}

/// The judge on triples whose answers are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Triples judged.
    pub triples: usize,
    /// Share of negatives that it keeps.
    pub negatives_kept: f64,
    /// Share of positives that it keeps.
    pub positives_kept: f64,
    /// Share of positives that it refuses as negatives.
    pub positives_refused_as_negatives: f64,
    /// Share of negatives that it refuses as positives.
    pub negatives_refused_as_positives: f64,
    /// Judgements that did not parse.
    pub unscored: usize,
    /// Mean of the four shares, and the least that lets a run begin.
    pub accuracy: f64,
    /// Least accuracy.
    pub least: f64,
}

/// What was asked and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Answers used, by step.
    pub answers: BTreeMap<String, usize>,
    /// Answers that were in the state already.
    pub cached: usize,
    /// Replies that were paid for and did not validate, over all runs of this folder.
    pub wasted: usize,
    /// Prompt tokens that the servers counted, over all runs of this folder.
    pub prompt_tokens: u64,
    /// Completion tokens, likewise.
    pub completion_tokens: u64,
    /// US dollars, over all runs of this folder; `null` where neither a price was given nor a
    /// server reported one.
    pub dollars: Option<f64>,
    /// US dollars per triplet.
    pub dollars_per_triplet: Option<f64>,
}

/// Where it came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Version of this program.
    pub korfinsts: String,
    /// SHA-256 of `passages.jsonl`.
    pub passages_sha256: String,
    /// Name, version and SHA-256 of the typology.
    pub typology: [String; 3],
    /// Name, version and SHA-256 of the rules.
    pub transforms: [String; 3],
    /// Version (first digits of the hash) of each prompt.
    pub prompts: BTreeMap<String, String>,
    /// Generator: backend, model, parameters.
    pub generator: BTreeMap<String, String>,
    /// Judge: backend, model, parameters.
    pub judge: BTreeMap<String, String>,
}

impl Distribution {
    /// Of values, which are finite; `None` where there are none. Quantiles are interpolated
    /// linearly between order statistics (`NumPy`'s default).
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let place = q * (sorted.len() - 1) as f64;
            let low = sorted[place.floor() as usize];
            let high = sorted[place.ceil() as usize];
            low + (high - low) * place.fract()
        };
        Some(Self {
            count: sorted.len(),
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            min: sorted[0],
            p05: at(0.05),
            p25: at(0.25),
            p50: at(0.5),
            p75: at(0.75),
            p95: at(0.95),
            max: sorted[sorted.len() - 1],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.percentile([4, 1, 3, 2], [5, 25, 50, 75, 95])
        let found = Distribution::of(&[4.0, 1.0, 3.0, 2.0]).expect("values");
        let all = [found.p05, found.p25, found.p50, found.p75, found.p95];
        for (found, expected) in all.iter().zip([1.15, 1.75, 2.5, 3.25, 3.85]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!((found.min, found.max, found.mean), (1.0, 4.0, 2.5));
        assert_eq!(Distribution::of(&[]), None);
    }
}
