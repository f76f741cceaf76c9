//! `korfinsts.toml`: what a release is, declared once.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{ReleaseError, Version};
use korfinsts_base::{language, strict_toml};
use korfinsts_bench::suite::manifest::is_id;
use korfinsts_bench::suite::{Scale, TripletColumns};

/// Name of the manifest in a release.
pub const MANIFEST: &str = "korfinsts.toml";
/// The version of the manifest format that this program reads.
const SCHEMA: u32 = 1;

/// A release as its `korfinsts.toml` declares it.
///
/// `description` and the answers of the datasheet are templates: numbers that can be counted are
/// written as `{{ counts.pairs }}`, never typed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the manifest format.
    pub schema: u32,
    /// Id of the suite.
    pub id: String,
    /// `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// Name as people write it.
    pub title: String,
    /// What it measures.
    pub description: String,
    /// ISO 639-3 languages with script, as `kor-Hang`.
    pub languages: Vec<String>,
    /// SPDX expression.
    pub licence: String,
    /// Where people read about it.
    pub homepage: String,
    /// Day of the release, `YYYY-MM-DD`.
    pub date: String,
    /// GUID that every text file holds, so that a copy in training data can be found.
    pub canary: String,
    /// minisign public key (one line of base64) that signs releases of this suite.
    #[serde(default)]
    pub public_key: Option<String>,
    /// The split that is used when none is named.
    pub default_split: String,
    /// Columns of the rows other than `id`, `sentence1`, `sentence2`, `score` and `domain`.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Scale of the gold scores.
    pub scale: Scale,
    /// Columns that join pairs to triplets.
    #[serde(default)]
    pub triplets: Option<TripletColumns>,
    /// Label that names the cluster of a row, as the document that it was made from.
    #[serde(default)]
    pub cluster: Option<String>,
    /// Who made it.
    #[serde(rename = "author")]
    pub authors: Vec<Author>,
    /// Splits by name; the rows of each are in `data/<split>.jsonl`.
    pub splits: BTreeMap<String, Split>,
    /// Where the texts come from.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
    /// How well probes that do not read may do; none: no probe is run.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// How well annotators must agree, where people labelled.
    #[serde(default)]
    pub agreement: Option<Agreement>,
    /// Findings that are accepted.
    #[serde(default, rename = "waiver")]
    pub waivers: Vec<Waiver>,
    /// Releases before this one.
    #[serde(default)]
    pub previous: Vec<Previous>,
    /// Answers by question.
    pub datasheet: BTreeMap<String, String>,
}

/// One who made a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Author {
    /// Name of a person or of a group.
    pub name: String,
    /// Where they work.
    #[serde(default)]
    pub affiliation: Option<String>,
    /// ORCID, as `https://orcid.org/0000-...`.
    #[serde(default)]
    pub orcid: Option<String>,
}

/// One split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Whether its labels are kept back.
    #[serde(default)]
    pub hidden: bool,
    /// Whether its rows are kept back, texts and labels: the release has no file of it.
    #[serde(default)]
    pub sealed: bool,
    /// Salted commitment to what is kept back, 64 hexadecimal digits: of hidden labels that of
    /// [`commitment`](super::commitment), of sealed rows the SHA-256 of the file that
    /// [`seal`](super::seal) makes.
    #[serde(default)]
    pub commitment: Option<String>,
}

/// Where texts come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name that the rows' provenance uses; its licence is in `licenses/<name>.txt`.
    pub name: String,
    /// What it is.
    pub title: String,
    /// Where it is.
    #[serde(default)]
    pub url: Option<String>,
    /// SPDX expression.
    pub licence: String,
    /// SHA-256 of `licenses/<name>.txt`.
    pub licence_sha256: String,
    /// Whether its texts were changed and mixed into this work (rather than quoted next to it).
    #[serde(default)]
    pub adapted: bool,
    /// Whether its texts were generated; then each row names its generator.
    #[serde(default)]
    pub synthetic: bool,
}

/// How well probes that do not read may do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Largest AUC of a probe on the pairs of a language; none: the figures are reported alone.
    #[serde(default)]
    pub limit: Option<f64>,
}

/// How well annotators must agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Kind of labels, which decides how far two of them are apart.
    pub level: korfinsts_metric::Measurement,
    /// Smallest Krippendorff's alpha; the lower end of its interval is compared with it.
    pub floor: f64,
}

/// A finding that is accepted, for a reason and until a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Gate, as `R9`.
    pub gate: String,
    /// Id of the row it is about; none: every finding of the gate.
    #[serde(default)]
    pub row: Option<String>,
    /// Why.
    pub reason: String,
    /// Last day on which it holds, `YYYY-MM-DD`.
    pub expires: String,
}

/// A release before this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its version.
    pub version: String,
    /// Its release id.
    pub release_id: String,
}

impl Manifest {
    /// Reads and checks a manifest. `path` is shown in errors.
    ///
    /// # Errors
    /// When it is not TOML, holds an unknown key, lacks one, or contradicts itself.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ReleaseError> {
        let manifest: Self = strict_toml::parse(text).map_err(|e| ReleaseError::Manifest {
            path: path.to_owned(),
            line: e.line,
            reason: e.reason,
        })?;
        manifest.check().map_err(|reason| ReleaseError::Manifest {
            path: path.to_owned(),
            line: None,
            reason,
        })?;
        Ok(manifest)
    }

    /// The version as numbers.
    #[must_use]
    pub fn semver(&self) -> Version {
        Version::parse(&self.version).unwrap_or_default()
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!(
                "`schema` is {}; this program reads {SCHEMA}",
                self.schema
            ));
        }
        if !is_id(&self.id) {
            return Err(format!(
                "`id` is `{}`; it must match `^[a-z0-9][a-z0-9._-]{{0,63}}$`",
                self.id.escape_debug()
            ));
        }
        for version in
            std::iter::once(&self.version).chain(self.previous.iter().map(|p| &p.version))
        {
            if Version::parse(version).is_none() {
                return Err(format!(
                    "the version `{}` is not MAJOR.MINOR.PATCH",
                    version.escape_debug()
                ));
            }
        }
        let days = std::iter::once(&self.date).chain(self.waivers.iter().map(|w| &w.expires));
        for day in days {
            day.parse::<Date>()
                .map_err(|_| format!("`{}` is no day as YYYY-MM-DD", day.escape_debug()))?;
        }
        if !is_guid(&self.canary) {
            return Err(format!(
                "`canary` is `{}`, not a GUID in lower case",
                self.canary.escape_debug()
            ));
        }
        let scale = self.scale;
        if !(scale.min.is_finite() && scale.max.is_finite() && scale.min < scale.max) {
            return Err(format!("`scale` runs from {} to {}", scale.min, scale.max));
        }
        self.check_names()?;
        let limit = self.probe.and_then(|probe| probe.limit);
        if let Some(limit) = limit.filter(|limit| !(0.5..=1.0).contains(limit)) {
            return Err(format!(
                "`probe.limit` is {limit}; an AUC that probes may reach is from 0.5 to 1"
            ));
        }
        for language in &self.languages {
            language::check(language)?;
        }
        if self.languages.is_empty() || self.authors.is_empty() || self.sources.is_empty() {
            return Err(
                "`languages`, `[[author]]` and `[[source]]` need at least one entry".into(),
            );
        }
        Ok(())
    }

    /// Splits, sources, labels and what names one of them.
    fn check_names(&self) -> Result<(), String> {
        if !self.splits.contains_key(&self.default_split) {
            return Err(format!(
                "`default_split` is `{}`, which is not under `[splits]`",
                self.default_split.escape_debug()
            ));
        }
        for (name, split) in &self.splits {
            if split.sealed && (split.hidden || *name == self.default_split) {
                return Err(format!(
                    "the split `{}` is sealed, so it can be neither hidden nor the default one",
                    name.escape_debug()
                ));
            }
        }
        for name in self
            .splits
            .keys()
            .chain(self.sources.iter().map(|s| &s.name))
        {
            if !is_id(name) {
                return Err(format!(
                    "`{}` is no name of a split or source; it must match \
                     `^[a-z0-9][a-z0-9._-]{{0,63}}$`",
                    name.escape_debug()
                ));
            }
        }
        if self.splits.len() > 20 || self.sources.len() > 100 {
            return Err("more than 20 splits or 100 sources".into());
        }
        let fixed = ["id", "sentence1", "sentence2", "score", "domain", "canary"];
        for (i, label) in self.labels.iter().enumerate() {
            let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if fixed.contains(&label.as_str())
                || self.labels[..i].contains(label)
                || label.is_empty()
                || !label.bytes().all(word)
            {
                return Err(format!(
                    "the label `{}` is taken, stands twice, or is not of `[a-z0-9_]`",
                    label.escape_debug()
                ));
            }
        }
        let triplets = self.triplets.iter().flat_map(TripletColumns::columns);
        let named = triplets.map(|column| ("triplets", column));
        for (key, column) in named.chain(self.cluster.iter().map(|column| ("cluster", column))) {
            if !self.labels.contains(column) {
                return Err(format!(
                    "`{key}` names `{column}`, which is not in `labels`"
                ));
            }
        }
        Ok(())
    }
}

/// Whether `text` is a GUID: 8-4-4-4-12 lower-case hexadecimal digits.
pub(super) fn is_guid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12]
        && text
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

/// Whether `text` is a SHA-256: 64 lower-case hexadecimal digits.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
