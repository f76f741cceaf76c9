//! `suite.toml`: what a suite is, where its bytes come from, and how they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Scale, ScaleKind, SuiteError, TripletColumns};
use korfinsts_base::{language, strict_toml};

/// The version of the manifest format that this program reads.
pub const SCHEMA: u32 = 1;

/// The label that names the row of a pair, where a row is several pairs ([`Columns::marks`]).
pub const ROW: &str = "row";

/// A suite as its `suite.toml` declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the manifest format.
    pub schema: u32,
    /// Suite id, as the folder's name: `^[a-z0-9][a-z0-9._-]{0,63}$`.
    pub id: String,
    /// Version of the suite, `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// Name as people write it.
    pub title: String,
    /// One or two sentences on what it measures.
    pub description: String,
    /// What the texts are about: finance, or anything.
    #[serde(default)]
    pub area: Area,
    /// ISO 639-3 languages with script, as `kor-Hang`.
    pub languages: Vec<String>,
    /// SPDX expression, or `NOASSERTION`.
    pub licence: String,
    /// Whether the licence lets the texts be shown to others.
    pub redistributable: bool,
    /// Where people read about it.
    #[serde(default)]
    pub homepage: Option<String>,
    /// BibTeX entry.
    #[serde(default)]
    pub citation: Option<String>,
    /// Id of the suite to use instead.
    #[serde(default)]
    pub superseded_by: Option<String>,
    /// The split that is used when none is named.
    pub default_split: String,
    /// Label column that names the cluster of a pair, as the document that it was made from: pairs of one
    /// cluster are not independent, and are resampled together.
    #[serde(default)]
    pub cluster: Option<String>,
    /// What a user should know about every split.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Scale of the gold scores.
    pub scale: Scale,
    /// Columns that join pairs to triplets.
    #[serde(default)]
    pub triplets: Option<TripletColumns>,
    /// Splits by name.
    pub splits: BTreeMap<String, Split>,
    /// Copies of the suite, the preferred one first.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
    /// Where the manifest was read from.
    #[serde(skip)]
    pub origin: Origin,
}

/// What the texts of a suite are about. An encoder adapted to finance is to gain there without
/// losing elsewhere, so reports show the two next to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// Finance.
    Finance,
    /// Anything.
    #[default]
    General,
}

impl Area {
    /// Every area.
    pub const ALL: [Self; 2] = [Self::Finance, Self::General];

    /// Its name, as manifests write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Finance => "finance",
            Self::General => "general",
        }
    }
}

impl std::fmt::Display for Area {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a manifest was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origin {
    /// Built into the program.
    #[default]
    BuiltIn,
    /// A folder on disk.
    Folder(PathBuf),
}

/// One split of a suite.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Number of pairs, where it is known.
    #[serde(default)]
    pub rows: Option<usize>,
    /// Split whose files this one reads in another way (another score column).
    #[serde(default)]
    pub from: Option<String>,
    /// Score column, where it is not that of the source.
    #[serde(default)]
    pub score: Option<Column>,
    /// Scale, where it is not that of the suite.
    #[serde(default)]
    pub scale: Option<Scale>,
    /// Pairs per domain, where they are known.
    #[serde(default)]
    pub domains: BTreeMap<String, usize>,
    /// Task name in mteb's result files, where mteb scores this split.
    #[serde(default)]
    pub mteb_task: Option<String>,
    /// Whether its makers keep the file, so that no model can have been trained on it: it is imported by whoever
    /// holds it, its texts are shown to nobody, and the SHA-256 of the file says that it was not changed.
    #[serde(default)]
    pub sealed: bool,
    /// What a user should know about this split.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// One copy of a suite: its files, and how they are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name of the copy, as `authors` or `hub`.
    pub name: String,
    /// Where people download the files.
    #[serde(default)]
    pub homepage: Option<String>,
    /// Commit of `homepage` that the hashes belong to.
    #[serde(default)]
    pub revision: Option<String>,
    /// Dataset on the hub.
    #[serde(default)]
    pub hub: Option<HubCopy>,
    /// How the files are read.
    pub format: Format,
    /// Which columns hold what.
    pub columns: Columns,
    /// How values become domains.
    #[serde(default)]
    pub domains: Option<Domains>,
    /// Files of each split, in order.
    pub files: BTreeMap<String, Vec<SourceFile>>,
}

/// A dataset on the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubCopy {
    /// `organisation/name`.
    pub repo: String,
    /// Pinned commit, 40 hexadecimal digits. Without one the commit is recorded when it is fetched.
    #[serde(default)]
    pub revision: Option<String>,
    /// Further repositories to try, in order.
    #[serde(default)]
    pub or: Vec<String>,
}

/// How files are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Format {
    /// Lines of fields.
    Delimited {
        /// The separator.
        delimiter: char,
        /// Whether double quotes enclose fields, which may then hold separators and newlines.
        quoting: bool,
        /// Whether the first row names the columns.
        header: bool,
        /// Numbers of fields a row may have; empty: that of the header, or of the first row.
        #[serde(default)]
        fields: Vec<usize>,
        /// Whether rows with another number of fields are dropped, with a note, instead of
        /// refused.
        #[serde(default)]
        drop_other_rows: bool,
    },
    /// An array of objects.
    Json,
    /// One object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// An input file of pairs and a gold file of scores, side by side, line by line; a blank gold
    /// line means that the pair is not scored, and is dropped.
    Parallel,
    /// What the bytes look like: Parquet, JSON, JSONL, or delimited with quoting and a header.
    Auto,
}

/// A column: by name (or dotted path into nested objects), or by index from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Index from 0.
    Index(usize),
    /// Name in the header, key, or dotted path of keys (`labels.real-label`).
    Name(String),
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(i) => write!(f, "{i}"),
            Self::Name(n) => f.write_str(n),
        }
    }
}

/// Which columns hold what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// First text.
    pub sentence1: Column,
    /// Second text.
    pub sentence2: Column,
    /// Gold score; absent where the input file has a gold file.
    #[serde(default)]
    pub score: Option<Column>,
    /// Gold score of each word that is in `score` instead of a number.
    #[serde(default)]
    pub scores: BTreeMap<String, f64>,
    /// Marks between which `sentence2` holds several texts: each is the second text of a pair of its own, whose id ends
    /// with its number, and whose label [`ROW`] names the row.
    #[serde(default)]
    pub marks: Vec<String>,
    /// Columns that make up the id; none: `<split>-<row>`, rows of the source counted from 1.
    #[serde(default)]
    pub id: Vec<Column>,
    /// What becomes of an empty (or absent) text.
    #[serde(default)]
    pub empty: Tolerance,
    /// Further columns that are kept under their names.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// How values become domains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domains {
    /// Column that holds the value; none: the `domain` of each file.
    #[serde(default)]
    pub column: Option<Column>,
    /// Whether the column may be missing.
    #[serde(default)]
    pub optional: bool,
    /// Domain of each value; values are compared in lower case, without outer white space.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// What becomes of a value that is not in `map`.
    #[serde(default)]
    pub unknown: Tolerance,
}

/// What becomes of a value that nobody expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tolerance {
    /// It is an error.
    #[default]
    Refuse,
    /// It is kept as it is, with a warning.
    Keep,
}

/// One file of a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Name, relative to the suite's folder, the imported folder or the repository.
    pub name: String,
    /// Other names under which it is found, most telling first; `*` stands for any characters
    /// but `/`.
    #[serde(default)]
    pub or: Vec<String>,
    /// SHA-256 of its bytes, where it is known.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Domain of all its pairs.
    #[serde(default)]
    pub domain: Option<String>,
    /// Its gold file.
    #[serde(default)]
    pub gold: Option<GoldFile>,
}

/// The gold file of an input file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldFile {
    /// Name, as that of the input file.
    pub name: String,
    /// Other names under which it is found.
    #[serde(default)]
    pub or: Vec<String>,
    /// SHA-256 of its bytes, where it is known.
    #[serde(default)]
    pub sha256: Option<String>,
}

impl Manifest {
    /// Reads and checks a manifest. `path` is shown in errors.
    ///
    /// # Errors
    /// When it is not TOML, holds an unknown key, lacks one, or contradicts itself.
    pub fn parse(text: &str, path: &Path, origin: Origin) -> Result<Self, SuiteError> {
        let mut manifest: Self = strict_toml::parse(text).map_err(|e| SuiteError::Manifest {
            path: path.to_owned(),
            line: e.line,
            reason: e.reason,
        })?;
        manifest.origin = origin;
        manifest.check().map_err(|reason| SuiteError::Manifest {
            path: path.to_owned(),
            line: None,
            reason,
        })?;
        Ok(manifest)
    }

    /// The split that is meant: the one named, or the default one.
    ///
    /// # Errors
    /// When the suite has no split of that name.
    pub fn split<'a>(&'a self, name: Option<&'a str>) -> Result<(&'a str, &'a Split), SuiteError> {
        let name = name.unwrap_or(&self.default_split);
        self.splits
            .get_key_value(name)
            .map(|(k, v)| (k.as_str(), v))
            .ok_or_else(|| SuiteError::UnknownSplit {
                suite: self.id.clone(),
                split: name.to_owned(),
                known: self.splits.keys().cloned().collect(),
            })
    }

    /// The name under which a split's files are declared: its own, or that of the split it reads.
    pub(super) fn files_key<'a>(&'a self, split: &'a str) -> &'a str {
        self.splits
            .get(split)
            .and_then(|s| s.from.as_deref())
            .unwrap_or(split)
    }

    /// The scale of a split.
    #[must_use]
    pub fn scale_of(&self, split: &Split) -> Scale {
        split.scale.unwrap_or(self.scale)
    }

    /// The path that errors show for a file of the manifest's folder.
    pub(super) fn shown(&self, name: &str) -> PathBuf {
        match &self.origin {
            Origin::BuiltIn => Path::new("benchmarks").join(&self.id).join(name),
            Origin::Folder(folder) => folder.join(name),
        }
    }

    /// Commit that the manifest pins on the hub, where it pins one.
    #[must_use]
    pub fn pinned_revision(&self) -> Option<&str> {
        self.sources
            .iter()
            .find_map(|s| s.hub.as_ref()?.revision.as_deref())
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
                self.id
            ));
        }
        let numbers: Vec<&str> = self.version.split('.').collect();
        if numbers.len() != 3 || numbers.iter().any(|n| n.parse::<u32>().is_err()) {
            return Err(format!(
                "`version` is `{}`; it must be MAJOR.MINOR.PATCH",
                self.version
            ));
        }
        for language in &self.languages {
            language::check(language)?;
        }
        if self.languages.is_empty() {
            return Err("`languages` is empty".into());
        }
        check_scale("scale", self.scale)?;
        if !self.splits.contains_key(&self.default_split) {
            return Err(format!(
                "`default_split` is `{}`, which is not under `[splits]`",
                self.default_split
            ));
        }
        if self.sources.is_empty() {
            return Err("there is no `[[source]]`".into());
        }
        for (name, split) in &self.splits {
            self.check_split(name, split)?;
        }
        let mut names = BTreeSet::new();
        for source in &self.sources {
            if !names.insert(&source.name) {
                return Err(format!("two sources are called `{}`", source.name));
            }
            self.check_source(source)
                .map_err(|e| format!("source `{}`: {e}", source.name))?;
        }
        let triplets = self.triplets.iter().flat_map(TripletColumns::columns);
        let named = triplets.map(|column| ("triplets", column));
        for (key, column) in named.chain(self.cluster.iter().map(|column| ("cluster", column))) {
            let mut sources = self.sources.iter();
            let is_there =
                |c: &Columns| c.labels.contains(column) || !c.marks.is_empty() && column == ROW;
            if !sources.all(|s| is_there(&s.columns)) {
                return Err(format!(
                    "`{key}` names the column `{column}`, which is not in `labels` of every source"
                ));
            }
        }
        Ok(())
    }

    fn check_split(&self, name: &str, split: &Split) -> Result<(), String> {
        if !is_id(name) {
            return Err(format!("`{name}` is no name for a split"));
        }
        if let Some(scale) = split.scale {
            check_scale(name, scale)?;
        }
        if let Some(from) = &split.from {
            match self.splits.get(from) {
                None => {
                    return Err(format!(
                        "the split `{name}` reads `{from}`, which is not there"
                    ));
                }
                Some(other) if other.from.is_some() => {
                    return Err(format!(
                        "the split `{name}` reads `{from}`, which reads another one"
                    ));
                }
                Some(_) => {}
            }
        }
        let key = self.files_key(name);
        if !self
            .sources
            .iter()
            .any(|s| s.files.get(key).is_some_and(|f| !f.is_empty()))
        {
            return Err(format!("no source has files for the split `{name}`"));
        }
        if split.sealed {
            let mut files = self.sources.iter().filter_map(|s| s.files.get(key));
            let open = files.find_map(|files| files.iter().find(|f| f.sha256.is_none()));
            if let Some(file) = open {
                return Err(format!(
                    "the split `{name}` is sealed, but `{}` has no `sha256`; without it nobody can tell whether the \
                     file was changed",
                    file.name
                ));
            }
            if name == self.default_split {
                return Err(format!(
                    "the split `{name}` is sealed, so it cannot be the default one"
                ));
            }
        }
        let counted: usize = split.domains.values().sum();
        match split.rows {
            Some(rows) if !split.domains.is_empty() && counted != rows => Err(format!(
                "the split `{name}` has {rows} rows, but its domains sum to {counted}"
            )),
            _ => Ok(()),
        }
    }

    fn check_source(&self, source: &Source) -> Result<(), String> {
        if !is_id(&source.name) {
            return Err("a source's name must match `^[a-z0-9][a-z0-9._-]{0,63}$`".into());
        }
        let revisions = [
            source.revision.as_ref(),
            source.hub.as_ref().and_then(|h| h.revision.as_ref()),
        ];
        for revision in revisions.into_iter().flatten() {
            if !is_hex(revision, 40) {
                return Err(format!(
                    "the revision `{revision}` is not 40 lower-case hexadecimal digits"
                ));
            }
        }
        let parallel = source.format == Format::Parallel;
        if parallel == source.columns.score.is_some() {
            return Err(if parallel {
                "a gold file holds the scores, so `columns` cannot name `score`".into()
            } else {
                "`columns` names no `score`".into()
            });
        }
        if source.columns.marks.iter().any(String::is_empty) {
            return Err("`marks` holds an empty text".into());
        }
        for (split, files) in &source.files {
            if !self.splits.contains_key(split) {
                return Err(format!(
                    "it has files for `{split}`, which is not under `[splits]`"
                ));
            }
            for file in files {
                if parallel != file.gold.is_some() {
                    return Err(format!(
                        "`{}`: `gold` belongs to the format `parallel`, and only to it",
                        file.name
                    ));
                }
                let gold = file.gold.as_ref();
                let names = std::iter::once(&file.name)
                    .chain(&file.or)
                    .chain(gold.map(|g| &g.name))
                    .chain(gold.into_iter().flat_map(|g| &g.or));
                for name in names {
                    check_name(name)?;
                }
                let hashes = [&file.sha256, gold.map_or(&None, |g| &g.sha256)];
                for hash in hashes.into_iter().flatten() {
                    if !is_hex(hash, 64) {
                        return Err(format!(
                            "`{}`: the sha256 `{hash}` is not 64 lower-case hexadecimal digits",
                            file.name
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether `name` may be an id: `^[a-z0-9][a-z0-9._-]{0,63}$`.
#[must_use]
pub fn is_id(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 64
        && name.bytes().next().is_some_and(word)
        && name.bytes().all(|b| word(b) || b"._-".contains(&b))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A name must stay inside the folder it is looked for in.
fn check_name(name: &str) -> Result<(), String> {
    let inside = !name.is_empty()
        && !name.contains('\\')
        && name
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
    if inside {
        Ok(())
    } else {
        Err(format!(
            "the file name `{name}` does not stay inside its folder"
        ))
    }
}

fn check_scale(what: &str, scale: Scale) -> Result<(), String> {
    if !(scale.min.is_finite() && scale.max.is_finite() && scale.min < scale.max) {
        return Err(format!(
            "`{what}` runs from {} to {}; `min` must be below `max`",
            scale.min, scale.max
        ));
    }
    if scale.kind == ScaleKind::Binary && (scale.min, scale.max) != (0.0, 1.0) {
        return Err(format!(
            "`{what}` is binary, so it must run from 0 to 1, not from {} to {}",
            scale.min, scale.max
        ));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small valid manifest, for tests that break it.
    pub const SMALL: &str = r#"
schema = 1
id = "small"
version = "1.0.0"
title = "Small"
description = "For a test."
languages = ["kor-Hang"]
licence = "CC-BY-4.0"
redistributable = true
default_split = "test"
[scale]
kind = "interval"
min = 0
max = 5
[splits.test]
rows = 2
[[source]]
name = "here"
format = { kind = "delimited", delimiter = "\t", quoting = false, header = true }
columns = { sentence1 = "a", sentence2 = "b", score = "s" }
[source.files]
test = [{ name = "test.tsv" }]
"#;

    fn parse(text: &str) -> Result<Manifest, SuiteError> {
        Manifest::parse(text, Path::new("suite.toml"), Origin::BuiltIn)
    }

    #[test]
    fn a_small_manifest_is_read() {
        let manifest = parse(SMALL).expect("it is valid");
        assert_eq!(manifest.splits["test"].rows, Some(2));
        assert_eq!(
            manifest.sources[0].columns.score,
            Some(Column::Name("s".into()))
        );
    }

    #[test]
    fn each_flaw_is_named_with_its_line_where_it_has_one() {
        for (from, to, message) in [
            ("title =", "titel =", "suite.toml:5: unknown field `titel`"),
            ("rows = 2", "row = 2", "suite.toml:16: unknown field `row`"),
            (
                "schema = 1",
                "schema = 2",
                "suite.toml: `schema` is 2; this program reads 1",
            ),
            ("\"small\"", "\"Small\"", "`id` is `Small`; it must match"),
            (
                "1.0.0",
                "1.0",
                "`version` is `1.0`; it must be MAJOR.MINOR.PATCH",
            ),
            ("kor-Hang", "ko", "is `kor-Hang` meant?"),
            ("max = 5", "max = -1", "`scale` runs from 0 to -1"),
            (
                "\"interval\"",
                "\"binary\"",
                "`scale` is binary, so it must run from 0 to 1",
            ),
            ("\"interval\"", "\"cardinal\"", "unknown variant `cardinal`"),
            ("= \"test\"", "= \"dev\"", "`default_split` is `dev`"),
            (
                "test = [{",
                "dev = [{",
                "no source has files for the split `test`",
            ),
            ("test.tsv", "../test.tsv", "does not stay inside its folder"),
            (
                "test.tsv\"",
                "test.tsv\", sha256 = \"AB\"",
                "the sha256 `AB` is not 64",
            ),
            (", score = \"s\"", "", "`columns` names no `score`"),
            (
                "header = true",
                "header = true, quotes = 1",
                "unknown field `quotes`",
            ),
        ] {
            assert!(SMALL.contains(from), "{from}");
            let error = parse(&SMALL.replacen(from, to, 1))
                .expect_err(to)
                .to_string();
            assert!(error.contains(message), "{from} -> {to}: {error}");
        }
    }
}
