//! What a bundle is compared with: entries that were taken in before, and releases that were revoked.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::{Bundle, Submission, SubmissionError};
use korfinsts_base::embedded::Folder;
use korfinsts_base::fs;

/// A bundle that was taken in before.
#[derive(Debug, Clone)]
pub struct BundleEntry {
    /// Name of its model.
    pub name: String,
    /// SHA-256 of the bundle.
    pub sha256: String,
    /// SHA-256 of its weights.
    pub weights_sha256: Option<String>,
    /// The key that signed it.
    pub public_key: Option<String>,
    /// Whether a maintainer says that the bundle at hand is of the same submitter.
    pub vouched: bool,
    /// SHA-256 of each file of scores, and the scores by id, by suite and split.
    pub scores: BTreeMap<String, (String, HashMap<String, f64>)>,
}

/// A release that no score may be on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// Suite id.
    pub suite: String,
    /// Its release id, as records name it.
    pub release_id: String,
    /// Why.
    pub reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokedList {
    #[serde(default)]
    revoked: Vec<Revoked>,
}

fn shipped_revoked() -> Result<RevokedList, toml::de::Error> {
    let folder = Folder::new::<korfinsts_benchmarks::Benchmarks>("");
    toml::from_str(&folder.text("revoked.toml").unwrap_or_default())
}

/// The releases that this build knows to be revoked: `benchmarks/revoked.toml`.
#[must_use]
pub fn revoked() -> Vec<Revoked> {
    shipped_revoked().map(|l| l.revoked).unwrap_or_default()
}

impl BundleEntry {
    /// A bundle as later ones are compared with it.
    #[must_use]
    pub fn of(bundle: &Bundle) -> Self {
        let scores = bundle.manifest.suites.iter().map(|suite| {
            let lines = bundle
                .scores
                .get(&suite.scores.file)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let by_id = lines.iter().map(|l| (l.id.clone(), l.score)).collect();
            (suite.name(), (suite.scores.sha256.clone(), by_id))
        });
        Self {
            name: bundle.manifest.model.id.clone(),
            sha256: bundle.sha256.clone(),
            weights_sha256: bundle.manifest.model.weights_sha256(),
            public_key: bundle.manifest.public_key.clone(),
            vouched: false,
            scores: scores.collect(),
        }
    }
}

impl BundleEntry {
    /// Whether a bundle is surely of the submitter of this one: the same key signed both, or a
    /// maintainer says so.
    #[must_use]
    pub fn is_of_submitter(&self, manifest: &Submission) -> bool {
        let same = self.public_key.is_some() && self.public_key == manifest.public_key;
        self.vouched || same
    }
}

/// The bundles of a folder (and of folders in it).
///
/// # Errors
/// When the folder cannot be listed, or a bundle in it is refused: it was taken in once, so it was
/// changed since.
pub fn entries(folder: &Path) -> Result<Vec<BundleEntry>, SubmissionError> {
    let mut found = Vec::new();
    for path in fs::walk(folder, 100_000)? {
        if !path.to_string_lossy().ends_with(".kfsub.zip") {
            continue;
        }
        let bundle = Bundle::open(&fs::read(&path)?).map_err(|e| SubmissionError::Unfit {
            path: path.clone(),
            reason: e.reason,
            hint: Some("`korfinsts verify` says more".into()),
        })?;
        found.push(BundleEntry::of(&bundle));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_built_in_list_is_read() {
        assert!(super::shipped_revoked().is_ok());
    }
}
