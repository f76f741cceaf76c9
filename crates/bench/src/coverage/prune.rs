//! Vocabularies made smaller: the pieces that texts or scripts need stay, with the rows of the
//! embedding matrix that they have. A text whose pieces all stay is cut into the same pieces.
//!
//! That holds for each kind of model. Unigram takes the best of all ways to cut a word, and fewer
//! pieces leave fewer ways. WordPiece takes the longest piece that fits, and a piece that was longer
//! would have been taken before. BPE merges in the order of its list: of what leads to a piece that
//! stays, every merge stays.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};
use unicode_script::{Script, UnicodeScript as _};

use super::augment::{Texts, document};
use super::subject::{EntryKind, Subject, VocabularyEntry};
use super::{CoverageError, ScriptQuery, corpus};
use korfinsts_base::fs;

/// Where padding comes among the first ids, some architectures number positions from its id.
const FIRST_IDS: u32 = 16;

/// Which pieces stay besides control tokens, bytes and digits.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// Every piece whose letters are all of these scripts.
    pub scripts: Vec<ScriptQuery>,
    /// Every piece of one letter of these scripts: any word of theirs can still be cut.
    pub letters: Vec<ScriptQuery>,
    /// Pieces that occur at least so often in the texts.
    pub min_count: u64,
    /// Further ids.
    pub ids: Vec<u32>,
}

/// The rows that stay: by new id, the old one. Ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptRows {
    /// Kind of the tokenizer's model.
    pub model: &'static str,
    /// Rows before.
    pub old_rows: u32,
    /// Old ids.
    pub rows: Vec<u32>,
}

impl KeptRows {
    /// The new id of an old one; `None` where it went.
    #[must_use]
    pub fn new_id(&self, old: u32) -> Option<u32> {
        self.rows.binary_search(&old).ok().map(|id| id as u32)
    }
}

/// How often each piece occurs in texts.
///
/// # Errors
/// When the corpus cannot be read, or the tokenizer fails on a text.
pub fn counts(subject: &Subject, texts: Texts<'_>) -> Result<HashMap<u32, u64>, CoverageError> {
    let mut counts = HashMap::new();
    let slot = &mut counts;
    let mut add = move |text: &str| -> Result<(), CoverageError> {
        let visit = |id, _| *slot.entry(id).or_insert(0) += 1;
        Ok(subject.tokenizer().scan(text, visit)?)
    };
    match texts {
        Texts::Corpus(corpus) => {
            corpus::visit(corpus, add)?;
        }
        Texts::Listed(texts) => texts.iter().try_for_each(|text| add(text))?,
    }
    Ok(counts)
}

/// The tokenizer with the pieces that stay, as `tokenizer.json`, and its rows.
///
/// # Errors
/// When the model is none of Unigram, BPE and WordPiece, or cannot be written again.
#[expect(
    clippy::implicit_hasher,
    reason = "counts come from one place, with the default hasher"
)]
pub fn prune(
    subject: &Subject,
    counts: &HashMap<u32, u64>,
    options: &PruneOptions,
) -> Result<(Value, KeptRows), CoverageError> {
    let kind = subject.tokenizer().model_kind();
    let refused = |reason: String| CoverageError::Vocabulary {
        tokenizer: subject.name().to_owned(),
        reason,
        hint: Some("leave `[base.prune]` out of the recipe".into()),
    };
    if !["Unigram", "BPE", "WordPiece"].contains(&kind) {
        let reason = format!("a `{kind}` model is not pruned: only Unigram, BPE and WordPiece are");
        return Err(refused(reason));
    }
    let mut document = document(subject)?;
    let mut kept = wanted(subject, counts, options);
    if kind == "BPE" {
        close(subject, &document, &mut kept);
    }
    let rows = KeptRows {
        model: kind,
        old_rows: subject.entries().last().map_or(0, |e| e.id + 1),
        rows: kept.into_iter().collect(),
    };
    renumber(&mut document, subject, &rows)
        .ok_or_else(|| refused("its model cannot be written again".into()))?;
    Ok((document, rows))
}

/// Ids that stay for what they are or how often they occur.
fn wanted(subject: &Subject, counts: &HashMap<u32, u64>, options: &PruneOptions) -> BTreeSet<u32> {
    let tokenizer = subject.tokenizer();
    let (before, after) = tokenizer.template();
    let mut kept: BTreeSet<u32> = before.iter().chain(after).copied().collect();
    kept.extend(tokenizer.unk_id());
    kept.extend(&options.ids);
    let first = options.ids.iter().filter(|id| **id < FIRST_IDS).max();
    kept.extend(0..first.copied().unwrap_or_default());
    let often = |id| counts.get(&id).is_some_and(|n| *n >= options.min_count);
    let stays = |entry: &&VocabularyEntry| {
        often(entry.id)
            || tokenizer.is_special(entry.id)
            || match entry.kind {
                EntryKind::FallbackByte | EntryKind::Special => true,
                EntryKind::Unused => false,
                EntryKind::Text => is_needed(entry, tokenizer.byte_level(), options),
            }
    };
    kept.extend(subject.entries().iter().filter(stays).map(|e| e.id));
    kept.retain(|id| subject.entry(*id).is_some());
    kept
}

/// Whether a piece stays for its letters.
fn is_needed(entry: &VocabularyEntry, byte_level: bool, options: &PruneOptions) -> bool {
    if byte_level && entry.raw.chars().nth(1).is_none() {
        return true;
    }
    let Some(bare) = entry.bare() else {
        return false;
    };
    let is_common = |c: char| matches!(c.script(), Script::Common | Script::Inherited);
    let of = |scripts: &[ScriptQuery]| {
        let mut letters = bare.chars().filter(|c| !is_common(*c)).peekable();
        letters.peek().is_some() && letters.all(|c| scripts.iter().any(|s| s.contains(c)))
    };
    let mut letters = bare.chars();
    match (letters.next(), letters.next()) {
        (None, _) => true,
        (Some(one), None) => {
            is_common(one) && one.is_ascii() || of(&options.letters) || of(&options.scripts)
        }
        _ => of(&options.scripts),
    }
}

/// What a BPE model merges, and the piece that comes out, in order.
fn merges(document: &Value) -> impl Iterator<Item = [String; 3]> {
    let model = &document["model"];
    let prefix = model["continuing_subword_prefix"]
        .as_str()
        .unwrap_or_default();
    let list = model["merges"].as_array();
    let pair = |merge: &Value| match merge {
        Value::String(text) => {
            let (a, b) = text.split_once(' ')?;
            Some((a.to_owned(), b.to_owned()))
        }
        other => Some((
            other.get(0)?.as_str()?.into(),
            other.get(1)?.as_str()?.into(),
        )),
    };
    list.into_iter().flatten().map(move |merge| {
        let (a, b): (String, String) = pair(merge).unwrap_or_default();
        let merged = format!("{a}{}", b.strip_prefix(prefix).unwrap_or(&b));
        [a, b, merged]
    })
}

/// Adds every piece that a kept one is merged from.
fn close(subject: &Subject, document: &Value, kept: &mut BTreeSet<u32>) {
    let mut parts: HashMap<String, Vec<[String; 2]>> = HashMap::new();
    for [a, b, merged] in merges(document) {
        parts.entry(merged).or_default().push([a, b]);
    }
    let mut open: Vec<String> = kept
        .iter()
        .filter_map(|id| Some(subject.entry(*id)?.raw.clone()))
        .collect();
    while let Some(piece) = open.pop() {
        for part in parts.remove(&piece).into_iter().flatten().flatten() {
            if let Some(id) = subject.tokenizer().id_of(&part) {
                kept.insert(id);
                open.push(part);
            }
        }
    }
}

/// Leaves the pieces that stay in the document, under their new ids.
fn renumber(document: &mut Value, subject: &Subject, rows: &KeptRows) -> Option<()> {
    let token = |old: u32| subject.entry(old).map(|e| e.raw.clone());
    let names: HashSet<String> = rows.rows.iter().filter_map(|id| token(*id)).collect();
    let kept_merges: Vec<bool> = merges(document)
        .map(|merge| merge.iter().all(|piece| names.contains(piece)))
        .collect();
    let model = document.get_mut("model")?;
    if rows.model == "Unigram" {
        let list = model.get("vocab")?.as_array()?;
        let scores = list.iter().filter_map(|e| e[1].as_f64());
        let least = scores.fold(0.0_f64, f64::min);
        // Tokens that were added behind the list keep their places in it.
        let piece = |old: &u32| match list.get(*old as usize) {
            Some(piece) => Some(piece.clone()),
            None => Some(json!([token(*old)?, least])),
        };
        let list: Option<Vec<Value>> = rows.rows.iter().map(piece).collect();
        let unknown = model["unk_id"]
            .as_u64()
            .and_then(|id| rows.new_id(id as u32));
        model["vocab"] = list?.into();
        model["unk_id"] = unknown.into();
    } else {
        let ids = rows.rows.iter().zip(0_u32..);
        let vocabulary: Option<Map<String, Value>> = ids
            .map(|(old, new)| Some((token(*old)?, json!(new))))
            .collect();
        model["vocab"] = vocabulary?.into();
    }
    if let Some(list) = model.get_mut("merges").and_then(Value::as_array_mut) {
        let mut kept = kept_merges.into_iter();
        list.retain(|_| kept.next() == Some(true));
    }
    for added in document.get_mut("added_tokens")?.as_array_mut()? {
        renumbered(&mut added["id"], rows);
    }
    let padding = document.get_mut("padding");
    if let Some(id) = padding.and_then(|p| p.get_mut("pad_id")) {
        renumbered(id, rows);
    }
    if let Some(post_processor) = document.get_mut("post_processor") {
        template(post_processor, rows);
    }
    Some(())
}

/// A number, or each of a list, becomes the new id; null where it went. Other values stay.
pub fn renumbered(value: &mut Value, rows: &KeptRows) {
    if let Some(list) = value.as_array_mut() {
        for id in list {
            renumbered(id, rows);
        }
    } else if let Some(old) = value.as_u64() {
        *value = u32::try_from(old).ok().and_then(|o| rows.new_id(o)).into();
    }
}

/// Ids of special tokens in a post-processor, whatever its type.
fn template(value: &mut Value, rows: &KeptRows) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                match key.as_str() {
                    "ids" | "sep" | "cls" => renumbered(value, rows),
                    _ => template(value, rows),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|v| template(v, rows)),
        _ => {}
    }
}

/// Writes the tokenizer into a folder, with the configuration files that were next to the old one,
/// and loads the result.
///
/// # Errors
/// When the folder cannot be written, or the new tokenizer does not load.
pub fn write(
    folder: &Path,
    subject: &Subject,
    tokenizer: &Value,
    rows: &KeptRows,
) -> Result<Subject, CoverageError> {
    let json =
        |path: &Path, value: &Value| fs::write_atomic(path, &korfinsts_base::json::pretty(value));
    fs::create_dir(folder)?;
    let beside = subject.tokenizer().files().first().and_then(|f| f.parent());
    for name in ["tokenizer_config.json", "special_tokens_map.json"] {
        let Some(path) = beside.map(|b| b.join(name)).filter(|p| fs::exists(p)) else {
            continue;
        };
        let mut config: Value =
            serde_json::from_slice(&fs::read(&path)?).map_err(|e| CoverageError::Invalid {
                path: path.clone(),
                line: e.line() as u64,
                reason: e.to_string(),
                hint: None,
            })?;
        if let Some(added) = config
            .get_mut("added_tokens_decoder")
            .and_then(Value::as_object_mut)
        {
            let renamed = std::mem::take(added).into_iter().filter_map(|(id, token)| {
                let id = rows.new_id(id.parse().ok()?)?;
                Some((id.to_string(), token))
            });
            *added = renamed.collect();
        }
        json(&folder.join(name), &config)?;
    }
    let path = folder.join("tokenizer.json");
    let bytes = serde_json::to_vec(tokenizer).map_err(|e| CoverageError::Invalid {
        path: path.clone(),
        line: 0,
        reason: e.to_string(),
        hint: None,
    })?;
    fs::write_atomic(&path, &bytes)?;
    Subject::load(folder)
}
