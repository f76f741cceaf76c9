//! One rule: what it says in its file, and what it does to a document.

use regex::Regex;
use serde::Deserialize;

use super::OPS;
use super::particle::Particles;
use super::sentence::sentences;

/// A rule as its file has it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// Id, unique in the file.
    pub id: String,
    /// What it does, in a few words.
    pub name: String,
    /// Languages it is for, ids of the typology.
    pub languages: Vec<String>,
    /// Variants of the typology it makes negatives of, at most one of each source; none for a rule that keeps
    /// meaning.
    #[serde(default)]
    pub variants: Vec<String>,
    /// Kinds of text where it may fire; none: all. A negative's are those of its variants.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Operation, a name of [`OPS`].
    pub op: String,
    /// Patterns that must all match.
    #[serde(default)]
    pub need: Vec<String>,
    /// Patterns none of which may match.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Lists of the file's `[lists]` whose patterns are denied too.
    #[serde(default)]
    pub deny_lists: Vec<String>,
    /// Patterns that the result may not match.
    #[serde(default)]
    pub never: Vec<String>,
    /// Words of which exactly one may occur.
    #[serde(default)]
    pub only_one: Vec<String>,
    /// Correct the particle after the replacement.
    #[serde(default)]
    pub josa: bool,
    /// Where it is applied.
    #[serde(default)]
    pub scope: Scope,
    /// Apply every row, to every match.
    #[serde(default)]
    pub all: bool,
    /// What the operation checks, in words.
    #[serde(default)]
    pub guard: Option<String>,
    /// Rows of a table.
    #[serde(default)]
    pub rules: Vec<Row>,
    /// Factors of a scale.
    #[serde(default)]
    pub factors: Vec<f64>,
    /// Examples: in, out.
    #[serde(default)]
    pub ex: Vec<[String; 2]>,
    /// Sentences on which it must not fire.
    #[serde(default)]
    pub no: Vec<String>,
}

/// Where a rule is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The first sentence in which it fires.
    #[default]
    Sentence,
    /// Every occurrence in the document.
    Document,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Pattern.
    pub m: String,
    /// Replacement.
    pub r: String,
}

/// A replacement of the bytes `start..end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// What replaces it.
    pub text: String,
}

/// A kind of operation. To add one: a file next to this one and a line in [`OPS`].
pub trait Op: Send + Sync + std::fmt::Debug {
    /// Name in rule files.
    fn name(&self) -> &'static str;

    /// The operation that a rule describes.
    ///
    /// # Errors
    /// When the rule lacks what the operation needs, in words.
    fn build(&self, rule: &RuleText) -> Result<Box<dyn Operation>, String>;
}

/// What a rule does.
pub trait Operation: Send + Sync + std::fmt::Debug {
    /// Edits of a text, in order and apart; none where it does not apply. `everywhere` asks for
    /// all occurrences.
    fn edits(&self, text: &str, everywhere: bool, particles: Option<&Particles>) -> Vec<Edit>;
}

/// A pattern of a rule file.
///
/// # Errors
/// What is wrong with it.
pub fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|e| format!("`{text}` is no pattern: {e}"))
}

/// A rule that can be applied.
#[derive(Debug)]
pub struct Rule {
    /// As the file has it.
    pub text: RuleText,
    operation: Box<dyn Operation>,
    need: Vec<Regex>,
    deny: Vec<Regex>,
    never: Vec<Regex>,
}

impl Rule {
    /// Understands a rule.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(text: RuleText) -> Result<Self, String> {
        let op = OPS.iter().find(|o| o.name() == text.op).ok_or_else(|| {
            let known: Vec<&str> = OPS.iter().map(|o| o.name()).collect();
            format!(
                "`op` is `{}`, allowed are `{}`",
                text.op,
                known.join("`, `")
            )
        })?;
        let all = |patterns: &[String]| -> Result<Vec<Regex>, String> {
            patterns.iter().map(|p| pattern(p)).collect()
        };
        Ok(Self {
            operation: op.build(&text)?,
            need: all(&text.need)?,
            deny: all(&text.deny)?,
            never: all(&text.never)?,
            text,
        })
    }

    /// Whether the rule is for texts of this language and kind.
    #[must_use]
    pub fn is_for(&self, language: &str, source: &str) -> bool {
        self.text.languages.iter().any(|l| l == language)
            && (self.text.sources.is_empty() || self.text.sources.iter().any(|s| s == source))
    }

    /// The documents that the rule makes of this one, each with its edits: one per sentence in
    /// which it fires, or one in all for a rule of the document.
    #[must_use]
    pub fn apply(&self, document: &str, particles: Option<&Particles>) -> Vec<String> {
        let found = sentences(document);
        match self.text.scope {
            Scope::Sentence => found
                .into_iter()
                .filter_map(|range| {
                    let edits = self.edits_of(&document[range.clone()], particles)?;
                    let text = apply(&document[range.clone()], &edits);
                    if self.never.iter().any(|n| n.is_match(&text)) {
                        return None;
                    }
                    Some(format!(
                        "{}{text}{}",
                        &document[..range.start],
                        &document[range.end..]
                    ))
                })
                .collect(),
            Scope::Document => self.whole(document, particles).into_iter().collect(),
        }
    }

    /// The document with the rule applied once to every sentence in which it fires; `None` where
    /// there is none.
    #[must_use]
    pub fn throughout(&self, document: &str, particles: Option<&Particles>) -> Option<String> {
        if self.text.scope == Scope::Document {
            return self.whole(document, particles);
        }
        let mut out = String::with_capacity(document.len());
        let mut last = 0;
        for range in sentences(document) {
            let sentence = &document[range.clone()];
            let Some(edits) = self.edits_of(sentence, particles) else {
                continue;
            };
            let text = apply(sentence, &edits);
            if !self.never.iter().any(|n| n.is_match(&text)) {
                out.push_str(&document[last..range.start]);
                out.push_str(&text);
                last = range.end;
            }
        }
        out.push_str(&document[last..]);
        (out != document).then_some(out)
    }

    /// The edits of one sentence, particles corrected.
    fn edits_of(&self, sentence: &str, particles: Option<&Particles>) -> Option<Vec<Edit>> {
        if !self.admits(sentence) || !self.has_one(sentence, true) {
            return None;
        }
        let edits = self.operation.edits(sentence, false, particles);
        let edits = self.mended(sentence, edits, particles);
        (!edits.is_empty()).then_some(edits)
    }

    /// A sentence in which the rule would fire and may not forbids the whole document.
    fn whole(&self, document: &str, particles: Option<&Particles>) -> Option<String> {
        if !self.has_one(document, false) {
            return None;
        }
        let edits = self.operation.edits(document, true, particles);
        let edits = self.mended(document, edits, particles);
        let touched = |range: &std::ops::Range<usize>| {
            edits
                .iter()
                .any(|e| e.start < range.end && range.start < e.end)
        };
        let refused = sentences(document)
            .iter()
            .any(|range| touched(range) && !self.admits(&document[range.clone()]));
        if edits.is_empty() || refused {
            return None;
        }
        let text = apply(document, &edits);
        (!self.never.iter().any(|n| n.is_match(&text))).then_some(text)
    }

    fn admits(&self, sentence: &str) -> bool {
        self.need.iter().all(|p| p.is_match(sentence))
            && !self.deny.iter().any(|p| p.is_match(sentence))
    }

    /// Whether exactly one of the words occurs; `once` counts its occurrences too.
    fn has_one(&self, text: &str, once: bool) -> bool {
        if self.text.only_one.is_empty() {
            return true;
        }
        let counts: Vec<usize> = self
            .text
            .only_one
            .iter()
            .map(|w| text.matches(w.as_str()).count())
            .filter(|n| *n > 0)
            .collect();
        counts.len() == 1 && (!once || counts[0] == 1)
    }

    fn mended(&self, text: &str, mut edits: Vec<Edit>, particles: Option<&Particles>) -> Vec<Edit> {
        let Some(particles) = particles.filter(|_| self.text.josa) else {
            return edits;
        };
        let mut before = String::new();
        let mut last = 0;
        for at in 0..edits.len() {
            let bound = edits.get(at + 1).map_or(text.len(), |next| next.start);
            let edit = &mut edits[at];
            before.push_str(&text[last..edit.start]);
            before.push_str(&edit.text);
            if let Some((length, form)) = particles.mend(&before, &text[edit.end..])
                && edit.end + length <= bound
            {
                edit.end += length;
                edit.text.push_str(form);
                before.push_str(form);
            }
            last = edit.end;
        }
        edits
    }
}

/// `text` with `edits`, which are in order and apart.
#[must_use]
pub fn apply(text: &str, edits: &[Edit]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = 0;
    for edit in edits {
        out.push_str(&text[last..edit.start]);
        out.push_str(&edit.text);
        last = edit.end;
    }
    out.push_str(&text[last..]);
    out
}
