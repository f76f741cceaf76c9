//! Plans for new tokens: proposed by a trainer on a corpus, written as a new tokenizer with the
//! map from each new row of the embedding matrix to the old rows whose mean it starts from.
//!
//! One file per kind of model: [`unigram`], [`bpe`], [`wordpiece`].

mod bpe;
mod unigram;
mod wordpiece;
mod words;

use std::collections::HashSet;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

pub use words::Words;

use super::corpus::{self, Corpus};
use super::subject::Subject;
use super::text::{self, TextReport};
use super::{CoverageError, ScriptQuery};
use korfinsts_base::fs;

/// Version of the row map's schema.
pub const SCHEMA_VERSION: u32 = 1;

/// How many tokens are added, and which.
#[derive(Debug, Clone)]
pub struct AugmentOptions {
    /// New tokens at most.
    pub tokens: usize,
    /// A token must occur at least so often in the corpus.
    pub min_count: u64,
    /// Only tokens of this script.
    pub script: ScriptQuery,
    /// Longest token in characters (syllables, for Hangul).
    pub max_characters: usize,
}

/// One new token: the new row of the embedding matrix starts as the mean of the old rows `pieces`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewRow {
    /// Its id: its row.
    pub id: u32,
    /// The token as stored.
    pub token: String,
    /// The text it stands for, word marker stripped; `None` for a part of a character.
    pub text: Option<String>,
    /// Ids of the old pieces it replaces.
    pub pieces: Vec<u32>,
    /// Whether the unknown token is among them: then the mean says little of its meaning.
    pub from_unknown: bool,
}

/// The map from new rows to old ones, as written next to the new tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowMap {
    /// Version of this schema.
    pub schema_version: u32,
    /// Kind of the model.
    pub model: &'static str,
    /// Rows before: ids below this stay what they are.
    pub old_rows: u32,
    /// Rows after.
    pub new_rows: u32,
    /// How a new row starts.
    pub initialisation: &'static str,
    /// The new rows, by id.
    pub rows: Vec<NewRow>,
}

/// A token that a trainer proposes, before it has an id.
#[derive(Debug, Clone, PartialEq)]
struct Proposal {
    token: String,
    pieces: Vec<u32>,
    /// Log-probability of a Unigram piece; 0 for other models.
    score: f64,
}

/// What is added to the model besides its vocabulary.
#[derive(Debug, Default)]
struct Proposals {
    tokens: Vec<Proposal>,
    /// Pairs that BPE merges, in order.
    merges: Vec<(String, String)>,
}

/// Proposes tokens and gives the bytes of the new `tokenizer.json` with its row map.
///
/// What was in the file the tokenizer came from and does not shape ids (truncation, padding,
/// decoder) stays as it was.
///
/// # Errors
/// When the model is of a kind without a trainer here, the corpus gives no token worth adding, or
/// the trainer fails.
pub fn propose(
    subject: &Subject,
    words: &Words,
    options: &AugmentOptions,
) -> Result<(Vec<u8>, RowMap), CoverageError> {
    let kind = subject.tokenizer().model_kind();
    let proposals = match kind {
        "Unigram" => unigram::propose(subject, words, options)?,
        "BPE" => bpe::propose(subject, words, options)?,
        "WordPiece" => wordpiece::propose(subject, words, options)?,
        other => {
            return Err(refused(
                subject,
                format!("a `{other}` model is not augmented: only Unigram, BPE and WordPiece are"),
            ));
        }
    };
    if proposals.tokens.is_empty() {
        return Err(CoverageError::Vocabulary {
            tokenizer: subject.name().to_owned(),
            reason: format!(
                "the corpus gives no token of {} characters that would save a piece at least {} \
                 times",
                options.script.name, options.min_count
            ),
            hint: Some("give a larger corpus, or lower `--min-count`".into()),
        });
    }
    let mut document = document(subject)?;
    let old_rows = old_rows(subject, &document);
    let rows = apply(&mut document, kind, old_rows, proposals)
        .ok_or_else(|| refused(subject, "its model cannot be written again".into()))?;
    let unknown = subject.tokenizer().unk_id();
    let rows: Vec<NewRow> = rows
        .into_iter()
        .zip(old_rows..)
        .map(|(proposal, id)| NewRow {
            id,
            text: words::text_of(subject, &proposal.token),
            from_unknown: unknown.is_some_and(|u| proposal.pieces.contains(&u)),
            token: proposal.token,
            pieces: proposal.pieces,
        })
        .collect();
    let map = RowMap {
        schema_version: SCHEMA_VERSION,
        model: kind,
        old_rows,
        new_rows: old_rows + rows.len() as u32,
        initialisation: "mean of the old rows named by `pieces`",
        rows,
    };
    let mut bytes = serde_json::to_vec(&document)
        .map_err(|e| refused(subject, format!("cannot be written as JSON: {e}")))?;
    bytes.push(b'\n');
    Ok((bytes, map))
}

fn refused(subject: &Subject, reason: String) -> CoverageError {
    CoverageError::Vocabulary {
        tokenizer: subject.name().to_owned(),
        reason,
        hint: None,
    }
}

/// The `tokenizer.json` it came from, or one made from the older formats.
pub(super) fn document(subject: &Subject) -> Result<Value, CoverageError> {
    let tokenizer = subject.tokenizer();
    if let ("tokenizer.json", Some(path)) = (tokenizer.format(), tokenizer.files().first()) {
        let bytes = fs::read(path)?;
        return serde_json::from_slice(&bytes).map_err(|e| CoverageError::Invalid {
            path: path.clone(),
            line: e.line() as u64,
            reason: e.to_string(),
            hint: None,
        });
    }
    let mut document = tokenizer.to_json()?;
    if document["decoder"].is_null() {
        document["decoder"] = match tokenizer.model_kind() {
            "WordPiece" => json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            _ if tokenizer.byte_level() => json!({"type": "ByteLevel", "add_prefix_space": true,
                "trim_offsets": true, "use_regex": true}),
            _ => json!({"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}),
        };
    }
    Ok(document)
}

/// One more than the largest id: the vocabulary's, an added token's, or a Unigram list's length.
fn old_rows(subject: &Subject, document: &Value) -> u32 {
    let largest = subject.entries().last().map_or(0, |e| e.id + 1);
    let listed = document["model"]["vocab"].as_array().map_or(0, Vec::len) as u32;
    largest.max(listed)
}

/// Puts the proposals into the document; returns those that were put in, in the order of ids.
fn apply(
    document: &mut Value,
    kind: &str,
    old_rows: u32,
    proposals: Proposals,
) -> Option<Vec<Proposal>> {
    let added: Vec<(u64, Value)> = document["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|t| Some((t["id"].as_u64()?, t["content"].clone())))
        .collect();
    let model = document.get_mut("model")?;
    if kind == "Unigram" {
        let list = model.get_mut("vocab")?.as_array_mut()?;
        let least = list
            .iter()
            .filter_map(|e| e[1].as_f64())
            .fold(0.0_f64, f64::min);
        // A Unigram id is a place in the list: tokens that were added behind it keep theirs.
        for id in list.len() as u64..u64::from(old_rows) {
            let held = added.iter().find(|(i, _)| *i == id).map(|(_, t)| t.clone());
            list.push(json!([
                held.unwrap_or_else(|| json!(format!("<unused{id}>"))),
                least
            ]));
        }
        for proposal in &proposals.tokens {
            list.push(json!([proposal.token, proposal.score]));
        }
        return Some(proposals.tokens);
    }
    let vocab = model.get_mut("vocab")?.as_object_mut()?;
    // Tokens that the model lacks are numbered behind it when the file is loaded, whatever id
    // they declare: those that were there must be in the model to keep their rows.
    for (id, token) in &added {
        if let Some(token) = token.as_str()
            && !vocab.contains_key(token)
        {
            vocab.insert(token.to_owned(), json!(id));
        }
    }
    for (proposal, id) in proposals.tokens.iter().zip(old_rows..) {
        vocab.insert(proposal.token.clone(), json!(id));
    }
    if kind == "BPE" {
        let merges = model.get_mut("merges")?.as_array_mut()?;
        let as_text = merges.first().is_some_and(Value::is_string);
        for (a, b) in proposals.merges {
            merges.push(if as_text {
                json!(format!("{a} {b}"))
            } else {
                json!([a, b])
            });
        }
    }
    Some(proposals.tokens)
}

/// One text in so many is held out: it proposes no token and tells how good the new ones are.
pub const HELD_OUT_EVERY: u64 = 10;
/// Texts of each part that are counted before and after.
const COUNTED: usize = 20_000;

/// The texts that new tokens are learnt from.
#[derive(Debug, Clone, Copy)]
pub enum Texts<'a> {
    /// A file of any size, read as often as it is needed.
    Corpus(&'a Corpus),
    /// Texts in memory.
    Listed(&'a [&'a str]),
}

impl Texts<'_> {
    /// The words of all texts that are not held out.
    ///
    /// # Errors
    /// When the corpus cannot be read, or the tokenizer fails on a text.
    pub fn words(self, subject: &Subject, script: &ScriptQuery) -> Result<Words, CoverageError> {
        let mut words = Words::new(subject);
        let slot = &mut words;
        let mut number = 0_u64;
        let mut add = move |text: &str| {
            number += 1;
            if number.is_multiple_of(HELD_OUT_EVERY) {
                return Ok(());
            }
            slot.add(subject, script, text)
        };
        match self {
            Self::Corpus(corpus) => {
                corpus::visit(corpus, add)?;
            }
            Self::Listed(texts) => texts.iter().try_for_each(|text| add(text))?,
        }
        Ok(words)
    }

    fn part(self, held_out: bool) -> Result<Vec<String>, CoverageError> {
        let keep = move |n: u64| (n + 1).is_multiple_of(HELD_OUT_EVERY) == held_out;
        match self {
            Self::Corpus(corpus) => corpus::sample(corpus, keep, COUNTED),
            Self::Listed(texts) => Ok(texts
                .iter()
                .zip(0..)
                .filter(|(_, n)| keep(*n))
                .take(COUNTED)
                .map(|(text, _)| (*text).to_owned())
                .collect()),
        }
    }

    /// Both tokenizers on training and on held-out texts.
    ///
    /// # Errors
    /// When the corpus cannot be read, or a tokenizer fails on a text.
    pub fn compare(
        self,
        before: &Subject,
        after: &Subject,
        map: &RowMap,
    ) -> Result<Vec<BeforeAfter>, CoverageError> {
        let mut found = Vec::new();
        for (name, held_out) in [("training texts", false), ("held-out texts", true)] {
            let part = self.part(held_out)?;
            let texts: Vec<(&str, Option<&str>)> =
                part.iter().map(|t| (t.as_str(), None)).collect();
            found.push(BeforeAfter {
                texts: name,
                used: used(after, map, &part)?,
                before: text::count_texts(before, &texts)?,
                after: text::count_texts(after, &texts)?,
            });
        }
        Ok(found)
    }
}

/// A tokenizer before and after on the same texts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BeforeAfter {
    /// `training texts` or `held-out texts`.
    pub texts: &'static str,
    /// New tokens that occur in them.
    pub used: usize,
    /// Before.
    pub before: TextReport,
    /// After.
    pub after: TextReport,
}

/// How many of the new ids occur in these texts.
///
/// # Errors
/// When the tokenizer fails on a text.
pub fn used(after: &Subject, map: &RowMap, texts: &[String]) -> Result<usize, CoverageError> {
    let mut seen = HashSet::new();
    for text in texts {
        after.tokenizer().scan(text, |id, _| {
            if id >= map.old_rows {
                seen.insert(id);
            }
        })?;
    }
    Ok(seen.len())
}

/// Writes `tokenizer.json` and `row_map.json` into a folder, with the configuration files that
/// were next to the old tokenizer, and loads the result.
///
/// # Errors
/// When the folder cannot be written, or the new tokenizer does not load.
pub fn write(
    folder: &Path,
    subject: &Subject,
    tokenizer: &[u8],
    map: &RowMap,
) -> Result<Subject, CoverageError> {
    fs::create_dir(folder)?;
    let beside = subject.tokenizer().files().first().and_then(|f| f.parent());
    for name in ["tokenizer_config.json", "special_tokens_map.json"] {
        if let Some(path) = beside.map(|b| b.join(name)).filter(|p| fs::exists(p)) {
            fs::write_atomic(&folder.join(name), &fs::read(&path)?)?;
        }
    }
    let path = folder.join("tokenizer.json");
    fs::write_atomic(&path, tokenizer)?;
    let mut bytes = serde_json::to_vec_pretty(map)
        .map_err(|e| refused(subject, format!("cannot be written as JSON: {e}")))?;
    bytes.push(b'\n');
    fs::write_atomic(&folder.join("row_map.json"), &bytes)?;
    Subject::load(folder)
}
