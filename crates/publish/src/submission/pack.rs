//! From the records of a run to a bundle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::SubmissionError;
use super::bundle::{Bundle, ScoreLine, TokenLine};
use super::manifest::{
    Disclosure, Harness, MANIFEST, Metrics, Model, ModelFile, Run, SCHEMA_VERSION, ScoresFile,
    Submission, SuiteEntry, TrainData,
};
use crate::signature::Signer;
use korfinsts_base::archive::{self, Files};
use korfinsts_base::fs::{self, sha256};
use korfinsts_base::sums::{self, SIGNATURE, SUMS};
use korfinsts_bench::run::record::{EncoderFacts, Record, read_pairs, read_tokens, tokens_path};
use korfinsts_bench::run::score::LEXICAL;
use korfinsts_encoder::spec::Decision;

/// What is packed.
#[derive(Debug)]
pub struct PackInput {
    /// Records of one encoder, with the other files of each.
    pub records: Vec<PathBuf>,
    /// Name of the model, instead of that of the records.
    pub name: Option<String>,
    /// Licence of the model.
    pub licence: String,
    /// What it was trained on.
    pub train_data: TrainData,
    /// How overlap with the suites was looked for.
    pub overlap_report: String,
    /// Ids that it may have seen, as `<suite>/<id>`.
    pub contaminated_ids: Vec<String>,
    /// SHA-256 of the bundle that this one replaces.
    pub resubmission_of: Option<String>,
    /// What signs the bundle, so that its submitter can prove to be the one of a later bundle.
    pub signer: Option<Signer>,
}

/// A packed bundle.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it claims.
    pub manifest: Submission,
    /// The records that it was packed from.
    pub records: Vec<Record>,
}

/// Packs records of one encoder.
///
/// # Errors
/// When a record cannot be read or does not fit: of a baseline, of a part of a suite, without a score
/// for every pair, of another encoder than the first, or without its token counts.
pub fn pack(input: &PackInput) -> Result<Packed, SubmissionError> {
    let mut files = Files::new();
    let mut suites = Vec::new();
    let mut tokens = Vec::new();
    let mut records: Vec<Record> = Vec::new();
    for path in &input.records {
        let record = Record::read(path)?;
        let unfit = |(reason, hint): (String, &str)| SubmissionError::Unfit {
            path: path.clone(),
            reason,
            hint: Some(hint.to_owned()),
        };
        fits(&record, records.first()).map_err(unfit)?;
        let suite = suite(path, &record, &mut files, &mut tokens)?;
        if suites.iter().any(|s: &SuiteEntry| s.name() == suite.name()) {
            return Err(unfit((
                format!("`{}` stands twice", suite.name()),
                "give one record per suite and split",
            )));
        }
        suites.push(suite);
        records.push(record);
    }
    let Some(first) = records.first() else {
        return Err(SubmissionError::Unfit {
            path: PathBuf::from("records"),
            reason: "there is no record to pack".into(),
            hint: Some("`korfinsts eval MODEL` makes them".into()),
        });
    };
    suites.sort_by_key(SuiteEntry::name);
    let manifest = Submission {
        schema_version: SCHEMA_VERSION,
        model: model(first, input),
        run: run(first),
        suites,
        disclosure: Disclosure {
            trained_on: input
                .train_data
                .datasets
                .iter()
                .map(|d| d.name.clone())
                .collect(),
            overlap_report: input.overlap_report.clone(),
            contaminated_ids: input.contaminated_ids.clone(),
        },
        resubmission_of: input.resubmission_of.clone(),
        public_key: input.signer.as_ref().map(Signer::public_key),
    };
    let env: BTreeMap<&str, &str> = [
        ("os", std::env::consts::OS),
        ("arch", std::env::consts::ARCH),
        ("korfinsts", korfinsts_base::VERSION),
    ]
    .into();
    if !tokens.is_empty() {
        tokens.sort_by(|a: &TokenLine, b| (&a.suite, &a.split).cmp(&(&b.suite, &b.split)));
        files.insert(Bundle::TOKENS.into(), jsonl(&tokens));
    }
    files.insert(
        MANIFEST.into(),
        korfinsts_bench::run::record::to_json(&manifest),
    );
    files.insert(
        Bundle::ENV.into(),
        korfinsts_bench::run::record::to_json(&env),
    );
    files.insert(
        Bundle::TRAIN_DATA.into(),
        korfinsts_bench::run::record::to_json(&input.train_data),
    );
    let list = sums::write(&files);
    if let Some(signer) = &input.signer {
        let signature = signer.sign(list.as_bytes(), &manifest.model.id);
        let signature = signature.map_err(SubmissionError::Signature)?;
        files.insert(SIGNATURE.into(), signature.into_bytes());
    }
    files.insert(SUMS.into(), list.into_bytes());
    Ok(Packed {
        bytes: archive::write(&files)?,
        manifest,
        records,
    })
}

/// Whether a record can be packed, after the `first` one: else the reason, and what to do.
fn fits(record: &Record, first: Option<&Record>) -> Result<(), (String, &'static str)> {
    let encoder = &record.encoder;
    let reason = if encoder.backend == LEXICAL {
        (
            "it is the record of a lexical baseline",
            "leave it out: every table holds the baselines",
        )
    } else if !encoder.files.iter().any(|f| f.role.starts_with("weights")) {
        (
            "it names no weights: scores of an endpoint cannot be made again",
            "evaluate the model's own files",
        )
    } else if let Some(form) = &encoder.form {
        return Err((
            format!("it is of embeddings that are cut or quantised (`{form}`)"),
            "pack the record of the whole embedding, which `eval` writes next to it",
        ));
    } else if record.suite.limit.is_some() {
        ("it is of a part of the suite", "evaluate without `--limit`")
    } else {
        let run = |e: &EncoderFacts| {
            let EncoderFacts { files, prompts, .. } = e.clone();
            (files, prompts, e.protocol.clone(), e.dtype.clone())
        };
        return match first.map(|first| &first.encoder) {
            Some(first) if run(first) != run(encoder) => Err((
                format!(
                    "it is of another encoder or protocol than the first record (`{}`)",
                    first.name
                ),
                "pack one encoder under one protocol per bundle",
            )),
            _ => Ok(()),
        };
    };
    Err((reason.0.to_owned(), reason.1))
}

/// One record as an entry of the manifest; its scores and token counts go into the bundle.
fn suite(
    path: &Path,
    record: &Record,
    files: &mut Files,
    tokens: &mut Vec<TokenLine>,
) -> Result<SuiteEntry, SubmissionError> {
    let unfit = |path: &Path, reason: String| SubmissionError::Unfit {
        path: path.to_owned(),
        reason,
        hint: Some("evaluate again: what was encoded is kept, so it costs nothing".into()),
    };
    let Some(pairs_file) = &record.pairs else {
        return Err(unfit(path, "it names no per-pair scores".into()));
    };
    let pairs_path = pairs_file.beside(path)?;
    let found = fs::sha256_file(&pairs_path)?;
    if found != pairs_file.sha256 {
        return Err(unfit(
            &pairs_path,
            format!("sha256 is {found}, the record says {}", pairs_file.sha256),
        ));
    }
    let mut lines = Vec::new();
    for pair in read_pairs(&pairs_path)? {
        let Some(score) = pair.score else {
            return Err(unfit(
                &pairs_path,
                format!("the pair `{}` has no score", pair.id),
            ));
        };
        lines.push(ScoreLine { id: pair.id, score });
    }
    let truncated_pairs = match record.truncated_share {
        None => None,
        Some(_) => {
            let path = tokens_path(path);
            if !fs::exists(&path) {
                return Err(unfit(
                    &path,
                    "the token counts of the run are not there".into(),
                ));
            }
            let counts = read_tokens(&path)?;
            let truncated = counts.iter().filter(|c| c.lost != [0, 0]).count();
            tokens.extend(counts.into_iter().map(|c| TokenLine {
                suite: record.suite.id.clone(),
                split: record.suite.split.clone(),
                id: c.id,
                tokens: c.tokens,
                lost: c.lost,
            }));
            Some(truncated)
        }
    };
    let mut entry = SuiteEntry {
        id: record.suite.id.clone(),
        version: record.suite.version.clone(),
        release_id: record.suite.release_id.clone(),
        split: record.suite.split.clone(),
        n_pairs: record.n_pairs,
        scores: ScoresFile {
            file: String::new(),
            sha256: String::new(),
        },
        metrics: Metrics::of(record),
        truncated_pairs,
    };
    let bytes = jsonl(&lines);
    entry.scores.file = entry.file_name();
    entry.scores.sha256 = sha256(&bytes);
    files.insert(entry.scores.file.clone(), bytes);
    Ok(entry)
}

fn model(record: &Record, input: &PackInput) -> Model {
    let encoder = &record.encoder;
    Model {
        id: input.name.clone().unwrap_or_else(|| encoder.name.clone()),
        revision: encoder.revision.clone(),
        licence: input.licence.clone(),
        files: encoder
            .files
            .iter()
            .map(|f| ModelFile {
                role: f.role.clone(),
                name: f.name.clone(),
                sha256: f.sha256.clone(),
            })
            .collect(),
        architecture: encoder.architecture.clone(),
        pooling: encoder.pooling.clone(),
        normalise: encoder.decisions.iter().any(Decision::normalizes),
        dimension: encoder.dimension,
        max_tokens: encoder.max_tokens,
        prompts: encoder.prompts.clone(),
    }
}

fn run(record: &Record) -> Run {
    let encoder = &record.encoder;
    Run {
        harness: Harness {
            name: record.harness.name.clone(),
            version: record.harness.version.clone(),
            commit: option_env!("KORFINSTS_COMMIT").map(ToOwned::to_owned),
        },
        backend: encoder.backend.clone(),
        backend_version: encoder.backend_version.clone(),
        device: encoder.device.clone(),
        dtype: encoder.dtype.clone(),
        batch_plan_sha256: record
            .batch
            .as_ref()
            .map(|batch| sha256(&serde_json::to_vec(batch).unwrap_or_default())),
        similarity: encoder.similarity.clone(),
        protocol: encoder.protocol.clone(),
    }
}

fn jsonl<T: Serialize>(rows: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        bytes.extend(serde_json::to_vec(row).unwrap_or_default());
        bytes.push(b'\n');
    }
    bytes
}
