//! What a stage is trained on: the entries of its `data`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::unit;

/// Where the examples of an entry of `data` come from. In TOML the variant is a key of the entry,
/// as in `{ triplets = "triplets.jsonl" }`; `glossary = true`.
#[derive(Debug, Clone, PartialEq)]
pub enum DataKind {
    /// A JSONL or Parquet file of triplets: `anchor`, `positive`, `negative`, and, where
    /// they are known, `language`, `source`, `pattern`, `variant`, `origin`. Other fields are left.
    Triplets(PathBuf),
    /// Variants of the built-in suite `korfin-shift` to train on, of every split; they are left out
    /// of its evaluation.
    Shift(Vec<String>),
    /// A JSONL or Parquet file of pairs that mean the same: `first`, `second`. Other texts of the
    /// batch are the negatives.
    Pairs(PathBuf),
    /// A suite's split whose gold scores are learnt, as `korsts:train`.
    Scored(String),
    /// Two files, line by line: the teacher's language, and its translation.
    Parallel([PathBuf; 2]),
    /// Two splits of suites, pair by pair: the teacher's language, and its translation. Gold
    /// scores are not read into training.
    ParallelSuites([String; 2]),
    /// The built-in list of Korean financial terms with their English glosses, as parallel texts.
    Glossary,
}

impl DataKind {
    /// Whether a teacher is imitated on the examples.
    #[must_use]
    pub fn distils(&self) -> bool {
        matches!(
            self,
            Self::Parallel(_) | Self::ParallelSuites(_) | Self::Glossary
        )
    }
}

/// One source of data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "DataToml", into = "DataToml")]
pub struct DataRecipe {
    /// Where its examples come from.
    pub kind: DataKind,
    /// SHA-256 of the file or files.
    pub sha256: Vec<String>,
    /// Passes over this source per epoch.
    pub passes: f64,
    /// Random spans taken from each text of the teacher's language, for `parallel`.
    pub spans: usize,
    /// Whether every word of the teacher's language is a text of its own, for `parallel`.
    pub words: bool,
    /// Whether every whole word of the teacher's vocabulary is a text of its own, for `parallel` and
    /// `parallel_suites`.
    pub teacher_words: bool,
    /// Only examples of these patterns; empty = all.
    pub patterns: Vec<String>,
    /// Only examples of these languages; empty = all.
    pub languages: Vec<String>,
    /// Only examples of these sources; empty = all.
    pub sources: Vec<String>,
    /// Only examples of these origins; empty = all.
    pub origins: Vec<String>,
    /// Only examples of these variants; empty = all.
    pub variants: Vec<String>,
    /// No example of these variants: they are left for testing.
    pub without_variants: Vec<String>,
}

/// An entry of `data` as it is written in TOML: exactly one of the first seven is set.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DataToml {
    triplets: Option<PathBuf>,
    shift: Option<Vec<String>>,
    pairs: Option<PathBuf>,
    scored: Option<String>,
    parallel: Option<[PathBuf; 2]>,
    parallel_suites: Option<[String; 2]>,
    glossary: bool,
    sha256: Vec<String>,
    #[serde(default = "unit")]
    passes: f64,
    spans: usize,
    words: bool,
    teacher_words: bool,
    patterns: Vec<String>,
    languages: Vec<String>,
    sources: Vec<String>,
    origins: Vec<String>,
    variants: Vec<String>,
    without_variants: Vec<String>,
}

/// What [`DataToml`] says where it names no kind of data, or several.
pub(super) const ONE_KIND: &str = "each entry of `data` needs exactly one of `triplets`, `shift`, `pairs`, \
                        `scored`, `parallel`, `parallel_suites`, `glossary`";

impl TryFrom<DataToml> for DataRecipe {
    type Error = &'static str;

    fn try_from(toml: DataToml) -> Result<Self, Self::Error> {
        let kinds = [
            toml.triplets.map(DataKind::Triplets),
            toml.shift.map(DataKind::Shift),
            toml.pairs.map(DataKind::Pairs),
            toml.scored.map(DataKind::Scored),
            toml.parallel.map(DataKind::Parallel),
            toml.parallel_suites.map(DataKind::ParallelSuites),
            toml.glossary.then_some(DataKind::Glossary),
        ];
        let mut kinds = kinds.into_iter().flatten();
        let (Some(kind), None) = (kinds.next(), kinds.next()) else {
            return Err(ONE_KIND);
        };
        Ok(Self {
            kind,
            sha256: toml.sha256,
            passes: toml.passes,
            spans: toml.spans,
            words: toml.words,
            teacher_words: toml.teacher_words,
            patterns: toml.patterns,
            languages: toml.languages,
            sources: toml.sources,
            origins: toml.origins,
            variants: toml.variants,
            without_variants: toml.without_variants,
        })
    }
}

impl From<DataRecipe> for DataToml {
    fn from(data: DataRecipe) -> Self {
        let mut toml = Self {
            sha256: data.sha256,
            passes: data.passes,
            spans: data.spans,
            words: data.words,
            teacher_words: data.teacher_words,
            patterns: data.patterns,
            languages: data.languages,
            sources: data.sources,
            origins: data.origins,
            variants: data.variants,
            without_variants: data.without_variants,
            ..Self::default()
        };
        match data.kind {
            DataKind::Triplets(file) => toml.triplets = Some(file),
            DataKind::Shift(variants) => toml.shift = Some(variants),
            DataKind::Pairs(file) => toml.pairs = Some(file),
            DataKind::Scored(suite) => toml.scored = Some(suite),
            DataKind::Parallel(files) => toml.parallel = Some(files),
            DataKind::ParallelSuites(suites) => toml.parallel_suites = Some(suites),
            DataKind::Glossary => toml.glossary = true,
        }
        toml
    }
}

/// The name of the stage whose entry of `data` is refused.
pub(super) fn stage_without_kind(recipe: &str) -> Option<String> {
    let recipe: toml::Table = toml::from_str(recipe).ok()?;
    let refused = |entry: &toml::Value| entry.clone().try_into::<DataRecipe>().is_err();
    let stage = recipe.get("stage")?.as_array()?.iter().find(|stage| {
        let data = stage.get("data").and_then(toml::Value::as_array);
        data.is_some_and(|data| data.iter().any(refused))
    });
    Some(stage?.get("name")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_written_as_they_are_read() {
        for entry in [
            r#"triplets = "a.jsonl""#,
            r#"shift = ["a"]"#,
            r#"pairs = "a.jsonl""#,
            r#"scored = "korsts:train""#,
            r#"parallel = ["a", "b"]"#,
            r#"parallel_suites = ["a", "b"]"#,
            "glossary = true",
        ] {
            let data: DataRecipe = toml::from_str(&format!("{entry}\npasses = 2.5")).expect(entry);
            let written = toml::to_string(&data).expect("written");
            assert!(written.contains(entry), "{written}");
            assert!(
                entry.starts_with("gl") || written.contains("glossary = false"),
                "{written}"
            );
            assert_eq!(
                toml::from_str::<DataRecipe>(&written).expect("read again"),
                data
            );
        }
    }
}
