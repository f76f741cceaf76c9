//! What a stage is trained on: the entries of its `data`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::rows::{HubRows, Place, Rows};
use super::unit;

/// Where the examples of an entry of `data` come from. In TOML the variant is a key of the entry,
/// as in `{ triplets = "triplets.jsonl" }`; `glossary = true`.
#[derive(Debug, Clone, PartialEq)]
pub enum DataKind {
    /// Triplets: `anchor`, `positive`, `negative`, and, where they are known, `language`, `source`,
    /// `pattern`, `variant`, `origin`. Other fields are left.
    Triplets(Rows),
    /// Variants of the built-in suite `korfin-shift` to train on, of every split; they are left out
    /// of its evaluation.
    Shift(Vec<String>),
    /// Pairs that mean the same: `first`, `second`. Other texts of the batch are the negatives.
    Pairs(Rows),
    /// A suite's split whose gold scores are learnt, as `korsts:train`.
    Scored(String),
    /// Pairs with gold scores that are no suite: `first`, `second`, `score`.
    ScoredRows(Rows),
    /// Texts without a translation, of a language that a teacher of translations reads: `text`.
    Texts(Rows),
    /// Two files, line by line: the teacher's language, and its translation.
    Parallel([PathBuf; 2]),
    /// Two splits of suites, pair by pair: the teacher's language, and its translation. Gold
    /// scores are not read into training.
    ParallelSuites([String; 2]),
    /// The built-in list of Korean financial terms with their English glosses, as parallel texts.
    Glossary,
}

impl DataKind {
    /// The rows that are read, where they are no suite's and no texts line by line.
    #[must_use]
    pub fn rows(&self) -> Option<&Rows> {
        match self {
            Self::Triplets(rows)
            | Self::Pairs(rows)
            | Self::ScoredRows(rows)
            | Self::Texts(rows) => Some(rows),
            _ => None,
        }
    }

    /// The rows on the hub.
    pub(super) fn on_hub(&mut self) -> Option<&mut HubRows> {
        match self {
            Self::Triplets(Rows::Hub(hub))
            | Self::Pairs(Rows::Hub(hub))
            | Self::ScoredRows(Rows::Hub(hub))
            | Self::Texts(Rows::Hub(hub)) => Some(hub),
            _ => None,
        }
    }

    /// The fields that a row must have, as `columns` names them.
    #[must_use]
    pub fn roles(&self) -> &'static [&'static str] {
        match self {
            Self::Triplets(_) => &["anchor", "positive", "negative"],
            Self::Pairs(_) => &["first", "second"],
            Self::ScoredRows(_) => &["first", "second", "score"],
            Self::Texts(_) => &["text"],
            _ => &[],
        }
    }

    /// Whether a teacher is imitated on the examples.
    #[must_use]
    pub fn distils(&self) -> bool {
        matches!(
            self,
            Self::Parallel(_) | Self::ParallelSuites(_) | Self::Glossary | Self::Texts(_)
        )
    }
}

/// One source of data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "DataToml", into = "DataToml")]
pub struct DataRecipe {
    /// Where its examples come from.
    pub kind: DataKind,
    /// SHA-256 of the file or files, in their order.
    pub sha256: Vec<String>,
    /// Columns whose names differ: the field, and the column it is read from. Where any is named,
    /// labels are read from named columns alone. `a.b` is a field in a field.
    pub columns: BTreeMap<String, String>,
    /// Lowest and highest gold score of pairs that are no suite.
    pub scale: Option<[f64; 2]>,
    /// Rows that are read, the first ones; absent = all.
    pub limit: Option<usize>,
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

/// An entry of `data` as it is written in TOML: exactly one of the first eight is set.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DataToml {
    triplets: Option<Place>,
    shift: Option<Vec<String>>,
    pairs: Option<Place>,
    scored: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<Place>,
    parallel: Option<[PathBuf; 2]>,
    parallel_suites: Option<[String; 2]>,
    glossary: bool,
    sha256: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    columns: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
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
                        `scored`, `texts`, `parallel`, `parallel_suites`, `glossary`";

impl TryFrom<DataToml> for DataRecipe {
    type Error = &'static str;

    fn try_from(toml: DataToml) -> Result<Self, Self::Error> {
        let kinds = [
            toml.triplets.map(|p| DataKind::Triplets(p.rows())),
            toml.shift.map(DataKind::Shift),
            toml.pairs.map(|p| DataKind::Pairs(p.rows())),
            toml.scored.map(|place| match place {
                Place::Named(suite) => DataKind::Scored(suite),
                other => DataKind::ScoredRows(other.rows()),
            }),
            toml.texts.map(|p| DataKind::Texts(p.rows())),
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
            columns: toml.columns,
            scale: toml.scale,
            limit: toml.limit,
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
            columns: data.columns,
            scale: data.scale,
            limit: data.limit,
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
            DataKind::Triplets(rows) => toml.triplets = Some(rows.named()),
            DataKind::Shift(variants) => toml.shift = Some(variants),
            DataKind::Pairs(rows) => toml.pairs = Some(rows.named()),
            DataKind::Scored(suite) => toml.scored = Some(Place::Named(suite)),
            DataKind::ScoredRows(rows) => toml.scored = Some(rows.place()),
            DataKind::Texts(rows) => toml.texts = Some(rows.named()),
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
            r#"scored = { file = "pairs.csv" }"#,
            r#"triplets = { hub = { dataset = "a/b", split = "train" } }"#,
            r#"texts = "a.csv""#,
            r#"parallel = ["a", "b"]"#,
            r#"parallel_suites = ["a", "b"]"#,
            "glossary = true",
        ] {
            let data: DataRecipe = toml::from_str(&format!("{entry}\npasses = 2.5")).expect(entry);
            let written = toml::to_string(&data).expect("written");
            assert!(entry.contains('{') || written.contains(entry), "{written}");
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
