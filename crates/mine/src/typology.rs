//! The typology: sources, axes, patterns and variants of semantic shifts, as data under
//! `training/typology/`, read strictly.
//!
//! Another pair of languages is another file: `korfinsts mine generate --typology FILE`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;
use serde::Deserialize;

use super::{MineError, Place};
use crate::shipped::{Shipped, parse};
use korfinsts_base::embedded::Folder;
use korfinsts_base::fs;

/// The typologies that ship in the binary: the folder `training/typology/`.
const SHIPPED: Shipped = Shipped {
    files: Folder::new::<korfinsts_training_data::Training>("typology/"),
    root: "training/typology",
    missing: |name| format!("no typology `{name}` ships in this binary"),
};

/// Kinds of pairs that a judge is asked about; each needs a rubric.
pub const KINDS: [&str; 3] = ["negative", "positive", "translation"];
/// Greatest total of a rubric.
pub const MOST: u8 = 10;
/// What a variant names among its contrasts where figures differ.
pub const FIGURES: &str = "figures";

/// A typology.
#[derive(Debug, Clone, PartialEq)]
pub struct Typology {
    /// Name of the file, `ko-en`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Least total with which a negative is kept.
    pub negative_min_score: u8,
    /// Least total with which a positive or a translation is kept.
    pub positive_min_score: u8,
    /// Languages; each variant has a triple in each.
    pub languages: Vec<Language>,
    /// What a judge is asked.
    pub rubric: Vec<SubScore>,
    /// Kinds of text.
    pub sources: Vec<SourceType>,
    /// Semantic axes.
    pub axes: Vec<Axis>,
    /// Patterns.
    pub patterns: Vec<Pattern>,
    /// Variants.
    pub variants: Vec<Variant>,
    /// Words of different values, for the offline judge; may be empty.
    pub contrasts: Vec<Contrast>,
    /// Texts in the wordings that prompts ask for; may be empty.
    pub examples: Vec<Wordings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    meta: Meta,
    language: Vec<Language>,
    rubric: Vec<SubScore>,
    source: Vec<SourceType>,
    axis: Vec<Axis>,
    pattern: Vec<Pattern>,
    variant: Vec<Variant>,
    #[serde(default)]
    contrast: Vec<Contrast>,
    #[serde(default)]
    example: Vec<Wordings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    name: String,
    version: String,
    negative_min_score: u8,
    positive_min_score: u8,
    origins: Vec<String>,
}

/// A language.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// Short id inside the file, `ko`.
    pub id: String,
    /// ISO 639-3 and script, as documents name it, `kor-Hang`.
    pub code: String,
    /// English name.
    pub name: String,
}

/// One sub-score of a rubric.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubScore {
    /// Kind of pair, of [`KINDS`].
    pub kind: String,
    /// Id, unique within its kind.
    pub id: String,
    /// Greatest value; the least is 0.
    pub most: u8,
    /// The question.
    pub asks: String,
}

/// A kind of text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceType {
    /// Id, as documents name it.
    pub id: String,
    /// Axis it is the home of.
    pub axis: String,
    /// Names by language.
    pub name: BTreeMap<String, String>,
    /// Register by language.
    pub register: BTreeMap<String, String>,
    /// By language, patterns that texts of this kind match and texts of other kinds do not.
    #[serde(default)]
    pub signs: BTreeMap<String, Vec<Sign>>,
}

/// A pattern that a kind of text is known by.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Sign(Regex);

impl TryFrom<String> for Sign {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        crate::transform::rule::pattern(&text).map(Self)
    }
}

impl PartialEq for Sign {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Sign {}

/// An axis.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Id.
    pub id: String,
    /// English name.
    pub name: String,
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Id, `SOURCE.NAME`.
    pub id: String,
    /// Kind of text.
    pub source: String,
    /// Axis.
    pub axis: String,
    /// Names by language.
    pub name: BTreeMap<String, String>,
    /// What it does.
    pub definition: String,
}

/// A variant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Id, `PATTERN.NAME`.
    pub id: String,
    /// Pattern.
    pub pattern: String,
    /// Where the variant comes from.
    pub origin: String,
    /// When it can be applied.
    pub applies_when: String,
    /// What a negative changes.
    pub negative_changes: String,
    /// What it keeps.
    pub preserve: String,
    /// How it goes wrong.
    pub trap: String,
    /// Rules that make it.
    pub transforms: Vec<String>,
    /// Contrasts of which one differs between a text and its negative, or [`FIGURES`]: what the offline judge asks for. Empty: any.
    #[serde(default)]
    pub contrasts: Vec<String>,
    /// A triple by language.
    pub texts: BTreeMap<String, Triple>,
}

/// Words for different values of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// What they are values of; shared over languages.
    pub id: String,
    /// Language.
    pub language: String,
    /// Words of each value.
    pub values: Vec<Vec<String>>,
}

/// A text in other wordings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wordings {
    /// Its kind.
    pub source: String,
    /// Its language.
    pub language: String,
    /// The text.
    pub text: String,
    /// The same with a few other words.
    pub light: String,
    /// The same reworded.
    pub free: String,
    /// Variant of `loose`.
    pub variant: String,
    /// A negative, reworded.
    pub loose: String,
}

/// A triple.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triple {
    /// The text.
    pub source: String,
    /// With another meaning.
    pub negative: String,
    /// With the same.
    pub positive: String,
}

impl Typology {
    /// The typology of that name in the binary.
    ///
    /// # Errors
    /// When there is none.
    pub fn built_in(name: &str) -> Result<Self, MineError> {
        let (path, bytes) = SHIPPED.built_in(name)?;
        Self::parse(&bytes, &path)
    }

    /// The typology in a file, or of that name in the binary.
    ///
    /// # Errors
    /// When there is none, or it is wrong.
    pub fn read(name_or_path: &str) -> Result<Self, MineError> {
        let (path, bytes) = SHIPPED.read(name_or_path)?;
        Self::parse(&bytes, &path)
    }

    /// Understands a file's content.
    ///
    /// # Errors
    /// What is wrong with it: an unknown key with its line, an id that occurs twice or refers to
    /// nothing, a rubric that does not add up, a triple that is missing or says the same twice.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, MineError> {
        let file: File = parse(path, bytes)?;
        let origins = file.meta.origins.clone();
        let found = Self {
            name: file.meta.name,
            version: file.meta.version,
            sha256: fs::sha256(bytes),
            negative_min_score: file.meta.negative_min_score,
            positive_min_score: file.meta.positive_min_score,
            languages: file.language,
            rubric: file.rubric,
            sources: file.source,
            axes: file.axis,
            patterns: file.pattern,
            variants: file.variant,
            contrasts: file.contrast,
            examples: file.example,
        };
        match found.flaw(&origins) {
            None => Ok(found),
            Some(reason) => Err(MineError::data(path, Place::Whole, reason, None)),
        }
    }

    fn flaw(&self, origins: &[String]) -> Option<String> {
        let mut ids = BTreeSet::new();
        let all = self
            .languages
            .iter()
            .map(|l| ("language", &l.id))
            .chain(self.sources.iter().map(|s| ("source", &s.id)))
            .chain(self.axes.iter().map(|a| ("axis", &a.id)))
            .chain(self.patterns.iter().map(|p| ("pattern", &p.id)))
            .chain(self.variants.iter().map(|v| ("variant", &v.id)));
        for (kind, id) in all {
            if !ids.insert((kind, id)) {
                return Some(format!("the {kind} `{id}` stands twice"));
            }
        }
        for kind in KINDS {
            let sum: u32 = self.rubric(kind).map(|s| u32::from(s.most)).sum();
            if sum != u32::from(MOST) {
                return Some(format!(
                    "the sub-scores of `{kind}` add up to {sum}, they must add up to {MOST}"
                ));
            }
        }
        if let Some(other) = self
            .rubric
            .iter()
            .find(|s| !KINDS.contains(&s.kind.as_str()))
        {
            return Some(format!(
                "the sub-score `{}` is of kind `{}`, allowed are `{}`",
                other.id,
                other.kind,
                KINDS.join("`, `")
            ));
        }
        for (name, score) in [
            ("negative_min_score", self.negative_min_score),
            ("positive_min_score", self.positive_min_score),
        ] {
            if score > MOST {
                return Some(format!("`{name}` is {score}, more than {MOST}"));
            }
        }
        for source in &self.sources {
            if !self.axes.iter().any(|a| a.id == source.axis) {
                return Some(format!("source `{}`: no axis `{}`", source.id, source.axis));
            }
            for language in &self.languages {
                if !source.name.contains_key(&language.id)
                    || !source.register.contains_key(&language.id)
                {
                    return Some(format!(
                        "source `{}` has no name or register in `{}`",
                        source.id, language.id
                    ));
                }
            }
        }
        for pattern in &self.patterns {
            if !pattern.id.starts_with(&format!("{}.", pattern.source)) {
                return Some(format!(
                    "pattern `{}`: its id must begin with its source, `{}.`",
                    pattern.id, pattern.source
                ));
            }
            if self.source(&pattern.source).is_none() {
                return Some(format!(
                    "pattern `{}`: no source `{}`",
                    pattern.id, pattern.source
                ));
            }
            if !self.axes.iter().any(|a| a.id == pattern.axis) {
                return Some(format!(
                    "pattern `{}`: no axis `{}`",
                    pattern.id, pattern.axis
                ));
            }
        }
        for example in &self.examples {
            let known = self.source(&example.source).is_some()
                && self.language(&example.language).is_some()
                && self.variant(&example.variant).is_some();
            if !known {
                return Some(format!(
                    "the example `{}` names a source, a language or a variant that is not here",
                    example.text
                ));
            }
        }
        for contrast in &self.contrasts {
            let empty = contrast.values.iter().flatten().any(String::is_empty);
            if self.language(&contrast.language).is_none() || empty || contrast.values.is_empty() {
                return Some(format!(
                    "contrast `{}`: an unknown language, no values or an empty word",
                    contrast.id
                ));
            }
        }
        self.variants
            .iter()
            .find_map(|v| self.flaw_of_variant(v, origins))
    }

    fn flaw_of_variant(&self, variant: &Variant, origins: &[String]) -> Option<String> {
        let id = &variant.id;
        if !self.patterns.iter().any(|p| p.id == variant.pattern) {
            return Some(format!("variant `{id}`: no pattern `{}`", variant.pattern));
        }
        if !id.starts_with(&format!("{}.", variant.pattern)) {
            return Some(format!(
                "variant `{id}`: its id must begin with its pattern, `{}.`",
                variant.pattern
            ));
        }
        if !origins.contains(&variant.origin) {
            return Some(format!(
                "variant `{id}`: `origin` is `{}`, allowed are `{}`",
                variant.origin,
                origins.join("`, `")
            ));
        }
        for language in &self.languages {
            let Some(triple) = variant.texts.get(&language.id) else {
                return Some(format!("variant `{id}` has no triple in `{}`", language.id));
            };
            let texts = [&triple.source, &triple.negative, &triple.positive];
            if texts.iter().any(|t| t.trim().is_empty()) {
                return Some(format!("variant `{id}`, `{}`: an empty text", language.id));
            }
            if texts.iter().collect::<BTreeSet<_>>().len() < 3 {
                return Some(format!(
                    "variant `{id}`, `{}`: two of its texts are the same",
                    language.id
                ));
            }
        }
        let known = |id: &String| id == FIGURES || self.contrasts.iter().any(|c| c.id == *id);
        if let Some(other) = variant.contrasts.iter().find(|c| !known(c)) {
            return Some(format!("variant `{id}`: no contrast `{other}`"));
        }
        if let Some(other) = variant.texts.keys().find(|k| self.language(k).is_none()) {
            return Some(format!("variant `{id}`: no language `{other}`"));
        }
        None
    }

    /// The language of that id.
    #[must_use]
    pub fn language(&self, id: &str) -> Option<&Language> {
        self.languages.iter().find(|l| l.id == id)
    }

    /// The language that documents name so.
    #[must_use]
    pub fn language_of_code(&self, code: &str) -> Option<&Language> {
        self.languages.iter().find(|l| l.code == code)
    }

    /// The source of that id.
    #[must_use]
    pub fn source(&self, id: &str) -> Option<&SourceType> {
        self.sources.iter().find(|s| s.id == id)
    }

    /// The pattern of that id.
    #[must_use]
    pub fn pattern(&self, id: &str) -> Option<&Pattern> {
        self.patterns.iter().find(|p| p.id == id)
    }

    /// The variant of that id.
    #[must_use]
    pub fn variant(&self, id: &str) -> Option<&Variant> {
        self.variants.iter().find(|v| v.id == id)
    }

    /// The axis of that id.
    #[must_use]
    pub fn axis(&self, id: &str) -> Option<&Axis> {
        self.axes.iter().find(|a| a.id == id)
    }

    /// The example of wordings for a kind of text in a language.
    #[must_use]
    pub fn example(&self, source: &str, language: &str) -> Option<&Wordings> {
        let mut all = self.examples.iter();
        all.find(|e| e.source == source && e.language == language)
    }

    /// Variants of the patterns of a source.
    pub fn of_source<'a>(&'a self, source: &'a str) -> impl Iterator<Item = &'a Variant> {
        self.variants
            .iter()
            .filter(move |v| self.pattern(&v.pattern).is_some_and(|p| p.source == source))
    }

    /// Whether a text is of a kind: it has signs of it, and no other kind has more. A kind without signs in
    /// the language takes every text.
    #[must_use]
    pub fn reads_as(&self, source: &str, text: &str, language: &str) -> bool {
        let count = |source: &SourceType| {
            let signs = source.signs.get(language)?;
            Some(signs.iter().filter(|s| s.0.is_match(text)).count())
        };
        let Some(own) = self.source(source).and_then(count) else {
            return true;
        };
        let most = self.sources.iter().filter_map(count).max();
        own > 0 && most == Some(own)
    }

    /// The sub-scores of a kind of pair.
    pub fn rubric<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a SubScore> {
        self.rubric.iter().filter(move |s| s.kind == kind)
    }

    /// Least total with which a pair of that kind is kept.
    #[must_use]
    pub fn threshold(&self, kind: &str) -> u8 {
        if kind == "negative" {
            self.negative_min_score
        } else {
            self.positive_min_score
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        SHIPPED.files.text("ko-en.toml").expect("built in, UTF-8")
    }

    #[test]
    fn the_built_in_typology_is_that_of_the_paper() {
        let typology = Typology::built_in("ko-en").expect("built in");
        assert_eq!(
            (
                typology.sources.len(),
                typology.axes.len(),
                typology.patterns.len(),
                typology.variants.len()
            ),
            (4, 4, 12, 37)
        );
        assert_eq!(typology.of_source("legal").count(), 10);
    }

    #[test]
    fn a_trap_completes_it_is_wrong_if_and_every_kind_of_text_has_its_example() {
        let typology = Typology::built_in("ko-en").expect("built in");
        for Variant { id, trap, .. } in &typology.variants {
            let first = trap.chars().next().expect("a trap");
            assert!(!first.is_uppercase(), "{id}: {trap}");
            let body = trap.strip_suffix('.').expect("a full stop");
            assert!(!body.contains(". "), "one condition: {id}: {trap}");
            for advice in ["drop", "skip", "use only", "a positive"] {
                assert!(!trap.to_lowercase().contains(advice), "{id}: {trap}");
            }
        }
        for source in &typology.sources {
            for language in &typology.languages {
                let found = typology
                    .example(&source.id, &language.id)
                    .expect("an example");
                let texts = [&found.text, &found.light, &found.free, &found.loose];
                assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), 4);
                let own = typology
                    .of_source(&source.id)
                    .any(|v| v.id == found.variant);
                assert!(own, "{}", found.variant);
            }
        }
    }

    #[test]
    fn a_wrong_typology_says_what_is_wrong_and_where() {
        let good = text();
        for (from, to, reason) in [
            ("trap = ", "traps = ", "unknown field `traps`"),
            ("axis = \"temporal\"", "axis = \"time\"", "no axis `time`"),
            (
                "pattern = \"news.framing\"",
                "pattern = \"news.frames\"",
                "no pattern `news.frames`",
            ),
            ("most = 4", "most = 5", "add up to 11"),
            (
                "origin = \"paper\"",
                "origin = \"papers\"",
                "`origin` is `papers`",
            ),
            (
                "[variant.texts.en]",
                "[variant.texts.de]",
                "no triple in `en`",
            ),
            (
                "id = \"news.temporal.phase\"",
                "id = \"news.temporal.event_order\"",
                "stands twice",
            ),
            (
                "negative_min_score = 8",
                "negative_min_score = 11",
                "more than 10",
            ),
        ] {
            assert!(good.contains(from), "{from}");
            let wrong = good.replacen(from, to, 1);
            let error = Typology::parse(wrong.as_bytes(), Path::new("t.toml"))
                .expect_err(from)
                .to_string();
            assert!(error.contains(reason), "{error}");
            assert!(error.starts_with("t.toml"), "{error}");
        }
    }
}
