//! The container of a submission, opened with suspicion: zip file, names, strict schema, hashes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::manifest::{MANIFEST, SCHEMA_VERSION, Submission, TrainData};
use crate::signature::verify_signature;
use korfinsts_base::archive::{self, Files};
use korfinsts_base::fs::sha256;
use korfinsts_base::json;
use korfinsts_base::sums::{self, SIGNATURE, SUMS};
use korfinsts_bench::suite::manifest::is_id;

/// A bundle whose container, names, schema and hashes are as they have to be. What it says is not
/// believed yet.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// What it claims.
    pub manifest: Submission,
    /// Scores by file name, in order of the file.
    pub scores: BTreeMap<String, Vec<ScoreLine>>,
    /// Token counts of every pair; empty where nothing is tokenised.
    pub tokens: Vec<TokenLine>,
    /// The machine it was run on.
    pub env: BTreeMap<String, String>,
    /// What the model was trained on.
    pub train_data: TrainData,
}

/// One line of a file of scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreLine {
    /// Id of the pair.
    pub id: String,
    /// Predicted score.
    pub score: f64,
}

/// One line of `tokens.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenLine {
    /// Suite.
    pub suite: String,
    /// Split.
    pub split: String,
    /// Id of the pair.
    pub id: String,
    /// Tokens that the encoder saw of each text.
    pub tokens: [u32; 2],
    /// Tokens of each text that truncation removed.
    pub lost: [u32; 2],
}

/// Why a bundle is refused before its content is looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// Which check refused it: `container`, `names`, `schema` or `hashes`.
    pub check: &'static str,
    /// What was found and what is allowed.
    pub reason: String,
}

/// Most suites of a bundle.
const MAX_SUITES: usize = 60;
/// Longest text of a manifest, in bytes.
const MAX_MANIFEST: usize = 1 << 20;

const TOKENS: &str = "tokens.jsonl";
const ENV: &str = "env.json";
const TRAIN_DATA: &str = "train_data.json";

impl Bundle {
    /// Opens a bundle.
    ///
    /// # Errors
    /// When it is no zip file as `submit` writes it, holds another file than the manifest names,
    /// is not of the schema, or a hash is wrong.
    pub fn open(bytes: &[u8]) -> Result<Self, Refused> {
        let files = container(bytes)?;
        let manifest: Submission = parse(&files, MANIFEST)?;
        schema(&manifest)?;
        names(&files, &manifest)?;
        hashes(&files, &manifest)?;
        signed(&files, &manifest)?;
        let mut scores = BTreeMap::new();
        for suite in &manifest.suites {
            scores.insert(
                suite.scores.file.clone(),
                lines(&files, &suite.scores.file)?,
            );
        }
        let tokens = match files.get(TOKENS) {
            Some(_) => lines(&files, TOKENS)?,
            None => Vec::new(),
        };
        let env: BTreeMap<String, String> = parse(&files, ENV)?;
        if env.len() > 40 {
            return Err(refused(
                "schema",
                format!("{ENV} has {} entries, allowed are 40", env.len()),
            ));
        }
        Ok(Self {
            sha256: sha256(bytes),
            scores,
            tokens,
            env,
            train_data: parse(&files, TRAIN_DATA)?,
            manifest,
        })
    }

    /// Name of the file of token counts.
    pub(super) const TOKENS: &'static str = TOKENS;
    /// Name of the file on the machine.
    pub(super) const ENV: &'static str = ENV;
    /// Name of the file on training data.
    pub(super) const TRAIN_DATA: &'static str = TRAIN_DATA;
}

fn refused(check: &'static str, reason: impl Into<String>) -> Refused {
    Refused {
        check,
        reason: reason.into(),
    }
}

fn container(bytes: &[u8]) -> Result<Files, Refused> {
    let files = archive::read(bytes).map_err(|e| refused("container", e.to_string()))?;
    // What packs differently could hide something in what is not read; so every byte counts.
    let again = archive::write(&files).map_err(|e| refused("container", e.to_string()))?;
    if again == bytes {
        Ok(files)
    } else {
        Err(refused(
            "container",
            "the zip file is not byte for byte what `korfinsts submit` writes of its files",
        ))
    }
}

fn parse<T: serde::de::DeserializeOwned + Serialize>(
    files: &Files,
    name: &str,
) -> Result<T, Refused> {
    let bytes = files
        .get(name)
        .ok_or_else(|| refused("names", format!("there is no `{name}`")))?;
    if bytes.len() > MAX_MANIFEST {
        return Err(refused(
            "schema",
            format!(
                "{name} has {} bytes, allowed are {MAX_MANIFEST}",
                bytes.len()
            ),
        ));
    }
    let value = json::parse_as(bytes);
    value
        .and_then(json::typed)
        .map_err(|e| refused("schema", format!("{name}: {}", shown(&e))))
}

fn lines<T: serde::de::DeserializeOwned + Serialize>(
    files: &Files,
    name: &str,
) -> Result<Vec<T>, Refused> {
    let bytes = files
        .get(name)
        .ok_or_else(|| refused("names", format!("there is no `{name}`")))?;
    let at =
        |line: usize, reason: &str| refused("schema", format!("{name}:{line}: {}", shown(reason)));
    json::flat_lines(bytes).map_err(|(line, reason)| at(line, &reason))
}

/// Words of a parser, which may hold submitted text: nothing that misleads, and not too much.
fn shown(text: &str) -> String {
    let escaped: String = text
        .chars()
        .flat_map(|c| {
            let plain = !c.is_control() && !korfinsts_base::text::is_invisible(c);
            let out: Vec<char> = if plain {
                vec![c]
            } else {
                c.escape_unicode().collect()
            };
            out
        })
        .take(300)
        .collect();
    escaped
}

/// What the types do not say.
fn schema(manifest: &Submission) -> Result<(), Refused> {
    let wrong = |reason: String| Err(refused("schema", format!("{MANIFEST}: {reason}")));
    if manifest.schema_version != SCHEMA_VERSION {
        return wrong(format!(
            "`schema_version` is {}; this program reads {SCHEMA_VERSION}",
            manifest.schema_version
        ));
    }
    if manifest.suites.is_empty() || manifest.suites.len() > MAX_SUITES {
        return wrong(format!(
            "it names {} suites, allowed are 1 to {MAX_SUITES}",
            manifest.suites.len()
        ));
    }
    if manifest.model.files.is_empty() || manifest.model.files.len() > 500 {
        return wrong(format!(
            "it names {} files of the model, allowed are 1 to 500",
            manifest.model.files.len()
        ));
    }
    let hashes = manifest
        .model
        .files
        .iter()
        .map(|f| &f.sha256)
        .chain(
            manifest
                .suites
                .iter()
                .flat_map(|s| [&s.release_id, &s.scores.sha256]),
        )
        .chain(&manifest.run.batch_plan_sha256)
        .chain(&manifest.resubmission_of);
    for hash in hashes {
        if !is_hex(hash, 64) {
            return wrong(format!(
                "`{}` is no sha256 of 64 lower-case hexadecimal digits",
                shown(hash)
            ));
        }
    }
    for revision in manifest
        .model
        .revision
        .iter()
        .chain(&manifest.run.harness.commit)
    {
        if !is_hex(revision, 40) {
            return wrong(format!(
                "`{}` is no revision of 40 lower-case hexadecimal digits",
                shown(revision)
            ));
        }
    }
    let mut seen = BTreeSet::new();
    for suite in &manifest.suites {
        if !is_id(&suite.id) || !is_id(&suite.split) {
            return wrong(format!("`{}` is no suite and split", shown(&suite.name())));
        }
        if !seen.insert(suite.name()) {
            return wrong(format!("`{}` stands twice", suite.name()));
        }
        if suite.scores.file != suite.file_name() {
            return wrong(format!(
                "the scores of `{}` must stand in `{}`",
                suite.name(),
                suite.file_name()
            ));
        }
    }
    if !manifest
        .model
        .files
        .iter()
        .any(|f| f.role.starts_with("weights"))
    {
        return wrong("no file of the model has the role `weights`".into());
    }
    Ok(())
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The files are those that the manifest names, and no other.
fn names(files: &Files, manifest: &Submission) -> Result<(), Refused> {
    let mut allowed: BTreeSet<&str> = [MANIFEST, SUMS, SIGNATURE, ENV, TRAIN_DATA, TOKENS].into();
    allowed.extend(manifest.suites.iter().map(|s| s.scores.file.as_str()));
    if let Some(name) = files.keys().find(|n| !allowed.contains(n.as_str())) {
        return Err(refused(
            "names",
            format!("`{name}` is not named by {MANIFEST}: nothing else may be in a bundle"),
        ));
    }
    if manifest.public_key.is_some() != files.contains_key(SIGNATURE) {
        return Err(refused(
            "names",
            format!("`{SIGNATURE}` must be there if and only if `public_key` is given"),
        ));
    }
    let tokenised = manifest.suites.iter().any(|s| s.truncated_pairs.is_some());
    if tokenised != files.contains_key(TOKENS) {
        return Err(refused(
            "names",
            format!("`{TOKENS}` must be there if and only if `truncated_pairs` is given"),
        ));
    }
    Ok(())
}

/// The checksums are signed with the key that the manifest names, where it names one.
fn signed(files: &Files, manifest: &Submission) -> Result<(), Refused> {
    let (Some(key), Some(list), Some(signature)) =
        (&manifest.public_key, files.get(SUMS), files.get(SIGNATURE))
    else {
        return Ok(());
    };
    // One line, so that one key has one form.
    let one_form = key.len() == 56 && key.bytes().all(|b| b.is_ascii_graphic());
    let verified = verify_signature(list, signature, key);
    match verified {
        Ok(_) if one_form => Ok(()),
        Ok(_) => Err(refused(
            "schema",
            "`public_key` is no line of 56 characters, as minisign writes one",
        )),
        Err(e) => Err(refused("hashes", shown(&e.reason))),
    }
}

fn hashes(files: &Files, manifest: &Submission) -> Result<(), Refused> {
    if let Some((_, message)) = sums::differences(files).into_iter().next() {
        return Err(refused("hashes", message));
    }
    for suite in &manifest.suites {
        let found = files.get(&suite.scores.file).map(|b| sha256(b));
        match found {
            None => {
                return Err(refused(
                    "names",
                    format!("there is no `{}`", suite.scores.file),
                ));
            }
            Some(found) if found != suite.scores.sha256 => {
                return Err(refused(
                    "hashes",
                    format!(
                        "`{}` has sha256 {found}, {MANIFEST} says {}",
                        suite.scores.file, suite.scores.sha256
                    ),
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
