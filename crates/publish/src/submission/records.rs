//! From a verified bundle to records, for tables and the leaderboard.

use std::collections::HashSet;
use std::path::Path;

use super::verify::{BundleContext, Examined, Joined, Level, verify};
use super::{Bundle, SubmissionError};
use korfinsts_bench::run::record::{
    BootstrapFacts, EncoderFacts, Harness, Record, SCHEMA_VERSION, ScoredPair, SuiteFacts,
    TrainedOn,
};
use korfinsts_bench::run::score::{self, Asked};
use korfinsts_bench::suite::Registry;
use korfinsts_encoder::spec::ModelFile;
use korfinsts_metric::BootstrapOptions;

/// A bundle that passed every check.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// SHA-256 of the bundle.
    pub sha256: String,
    /// How far it has been checked.
    pub level: Level,
    /// Its records with their per-pair scores, one per suite. What a bundle does not hold (other
    /// similarities than the main one) is absent.
    pub records: Vec<(Record, Vec<ScoredPair>)>,
    /// The bundle itself.
    pub bundle: Bundle,
}

/// Verifies a bundle and computes its records, intervals included. `path` is shown in errors.
///
/// # Errors
/// When a check fails: the first one is named.
pub fn accepted(
    path: &Path,
    bytes: &[u8],
    context: BundleContext<'_>,
    bootstrap: &BootstrapOptions,
) -> Result<Accepted, SubmissionError> {
    let (verdict, bundle) = verify(bytes, context);
    let not_verified = |reason: String| SubmissionError::NotVerified {
        path: path.to_owned(),
        reason,
    };
    if let Some(failure) = verdict.first_failure() {
        return Err(not_verified(format!("{}: {}", failure.id, failure.message)));
    }
    let bundle = bundle.ok_or_else(|| not_verified("it could not be opened".into()))?;
    Ok(Accepted {
        sha256: bundle.sha256.clone(),
        level: verdict.level,
        records: records(&bundle, context.registry, bootstrap),
        bundle,
    })
}

/// The records of a bundle, every number computed from its scores.
#[must_use]
pub fn records(
    bundle: &Bundle,
    registry: &Registry,
    bootstrap: &BootstrapOptions,
) -> Vec<(Record, Vec<ScoredPair>)> {
    let context = BundleContext {
        registry,
        entries: &[],
        revoked: &[],
    };
    let examined = Examined::new(bundle, context);
    examined
        .joined()
        .iter()
        .map(|suite| record(bundle, suite, bootstrap))
        .collect()
}

fn record(
    bundle: &Bundle,
    joined: &Joined<'_>,
    bootstrap: &BootstrapOptions,
) -> (Record, Vec<ScoredPair>) {
    let suite = joined.suite;
    let mut pairs = joined.pairs();
    let numbers = score::numbers(&pairs, Asked::of_suite(suite), Some(bootstrap));
    let disclosed: HashSet<&str> = bundle
        .manifest
        .disclosure
        .contaminated_ids
        .iter()
        .filter_map(|id| id.strip_prefix(&suite.id)?.strip_prefix('/'))
        .collect();
    for pair in &mut pairs {
        pair.trained = disclosed.contains(pair.id.as_str());
    }
    let trained_on = score::trained_on(&pairs, 0, bootstrap);
    let mut record = numbers.record();
    record.warnings.extend(suite.warnings.iter().cloned());
    record
        .warnings
        .extend(trained_on.as_ref().map(TrainedOn::sentence));
    let (model, run) = (&bundle.manifest.model, &bundle.manifest.run);
    let of_role = |role: &str| {
        model
            .files
            .iter()
            .find(|f| f.role.starts_with(role))
            .map(|f| f.sha256.clone())
    };
    let (truncated_share, tokens_lost_share) = truncation(bundle, joined);
    let record = Record {
        schema_version: SCHEMA_VERSION,
        encoder: EncoderFacts {
            name: model.id.clone(),
            revision: model.revision.clone(),
            backend: run.backend.clone(),
            backend_version: run.backend_version.clone(),
            sha256: model.weights_sha256(),
            tokenizer_sha256: of_role("tokenizer"),
            files: model
                .files
                .iter()
                .map(|f| ModelFile {
                    role: f.role.clone(),
                    name: f.name.clone(),
                    path: std::path::PathBuf::new(),
                    sha256: f.sha256.clone(),
                })
                .collect(),
            architecture: model.architecture.clone(),
            pooling: model.pooling.clone(),
            dimension: model.dimension,
            max_tokens: model.max_tokens,
            dtype: run.dtype.clone(),
            device: run.device.clone(),
            protocol: run.protocol.clone(),
            prompts: model.prompts.clone(),
            similarity: run.similarity.clone(),
            ..EncoderFacts::default()
        },
        suite: SuiteFacts::of(suite, None),
        n_pairs: pairs.len(),
        truncated_share,
        tokens_lost_share,
        trained_on,
        bootstrap: BootstrapFacts::of(bootstrap),
        harness: Harness {
            name: run.harness.name.clone(),
            version: run.harness.version.clone(),
        },
        ..record
    };
    (record, pairs)
}

/// Share of texts truncated and of tokens lost, from the token counts.
fn truncation(bundle: &Bundle, joined: &Joined<'_>) -> (Option<f64>, Option<f64>) {
    let lines = bundle
        .tokens
        .iter()
        .filter(|l| l.suite == joined.entry.id && l.split == joined.entry.split);
    let (mut texts, mut truncated, mut kept, mut lost) = (0_u64, 0_u64, 0_u64, 0_u64);
    for line in lines {
        for side in 0..2 {
            texts += 1;
            truncated += u64::from(line.lost[side] > 0);
            kept += u64::from(line.tokens[side]);
            lost += u64::from(line.lost[side]);
        }
    }
    if kept == 0 {
        return (None, None);
    }
    (
        Some(truncated as f64 / texts as f64),
        Some(lost as f64 / (kept + lost) as f64),
    )
}
