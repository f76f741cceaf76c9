//! Tokenizer coverage: what a vocabulary holds and how it splits text.
//!
//! Holds the decoding of entries ([`subject`], [`bytes`]), the vocabulary side ([`vocabulary`],
//! [`script`]), the text side ([`text`], and [`corpus`] for files of any size), the view on terms
//! ([`terms`]), the question whether coverage goes with gain ([`gains`]), charts ([`chart`]) and
//! plans for new tokens ([`augment`])
//! and for fewer ([`prune`]). Imports `suite`, `encoder` and the ground floor.
//!
//! To add a number: its field, the line that computes it, and its line in [`definitions`].

pub mod augment;
pub mod bytes;
pub mod chart;
pub mod corpus;
pub mod definitions;
mod delimited;
mod error;
pub mod gains;
mod memo;
pub mod prune;
pub mod rank_correlation;
pub mod script;
pub mod subject;
pub mod terms;
pub mod text;
mod tokens;
pub mod vocabulary;

use std::collections::BTreeMap;

use serde::Serialize;

pub use error::CoverageError;
pub use script::ScriptQuery;
pub use subject::Subject;
pub use tokens::{TokenBounds, TokenCounter};

use crate::suite::Suite;
use korfinsts_base::fs;

/// Everything measured of one tokenizer. Its JSON is one element of what
/// `korfinsts tokenizer coverage --format json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenizerReport {
    /// Name of the tokenizer.
    pub tokenizer: String,
    /// The vocabulary side.
    #[serde(flatten)]
    pub vocabulary: vocabulary::VocabularyCounts,
    /// Text side by suite.
    pub suites: BTreeMap<String, text::TextReport>,
    /// Text side by corpus file.
    pub corpora: BTreeMap<String, text::TextReport>,
    /// How the list of terms is split; `None` where none was asked for.
    pub terms: Option<terms::TermReport>,
    /// Kind of file it was read from.
    pub format: String,
    /// The files it was read from, with their SHA-256.
    pub files: Vec<TokenizerFile>,
    /// Whether tokens are stored as stand-in letters for bytes.
    pub byte_level: bool,
    /// What the normaliser does to Hangul.
    pub hangul_form: subject::HangulForm,
    /// Maximum length and where it comes from.
    pub max_tokens: Option<subject::MaxTokens>,
    /// What a reader of the numbers must know.
    pub warnings: Vec<String>,
    /// What each number counts.
    pub definitions: BTreeMap<&'static str, &'static str>,
}

/// One file of a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenizerFile {
    /// File name.
    pub name: String,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// What is to be measured besides the vocabulary.
#[derive(Debug, Clone, Copy, Default)]
pub struct CoveragePlan<'a> {
    /// Scripts to count by name.
    pub scripts: &'a [ScriptQuery],
    /// Suites to tokenise.
    pub suites: &'a [Suite],
    /// Terms to split; none where empty.
    pub terms: &'a [terms::Term],
}

/// Measures one tokenizer on everything but corpora, which are streamed once for all tokenizers
/// ([`corpus::count`]) and added to [`TokenizerReport::corpora`].
///
/// # Errors
/// When a file of the tokenizer cannot be read again, or it fails on a text.
pub fn measure(
    subject: &Subject,
    plan: CoveragePlan<'_>,
) -> Result<TokenizerReport, CoverageError> {
    let mut suites = BTreeMap::new();
    for suite in plan.suites {
        let name = suite_name(suite);
        suites.insert(name, text::count_suite(subject, suite)?);
    }
    let terms = if plan.terms.is_empty() {
        None
    } else {
        Some(terms::split(subject, plan.terms)?)
    };
    let tokenizer = subject.tokenizer();
    let files = tokenizer
        .files()
        .iter()
        .map(|path| -> Result<TokenizerFile, CoverageError> {
            Ok(TokenizerFile {
                name: path
                    .file_name()
                    .map(|n| n.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                sha256: fs::sha256_file(path)?,
            })
        })
        .collect::<Result<_, _>>()?;
    let mut warnings = tokenizer.warnings().to_vec();
    if subject.hangul_form() == subject::HangulForm::Decomposes {
        warnings.push(
            "the normaliser decomposes Hangul to jamo: syllables in the vocabulary would never \
             be used, and each syllable costs two or three tokens or more"
                .into(),
        );
    }
    Ok(TokenizerReport {
        tokenizer: subject.name().to_owned(),
        vocabulary: vocabulary::count(subject, plan.scripts),
        suites,
        corpora: BTreeMap::new(),
        terms,
        format: tokenizer.format().to_owned(),
        files,
        byte_level: tokenizer.byte_level(),
        hangul_form: subject.hangul_form(),
        max_tokens: subject.max_tokens().cloned(),
        warnings,
        definitions: definitions::all().map(|d| (d.key, d.text)).collect(),
    })
}

/// Name of a suite in reports: its id, with the split where that is not `test`.
#[must_use]
pub fn suite_name(suite: &Suite) -> String {
    if suite.split == "test" {
        suite.id.clone()
    } else {
        format!("{}:{}", suite.id, suite.split)
    }
}
