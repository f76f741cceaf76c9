//! What a `tokenizer.json` must satisfy before it is built: every rule here is for an input
//! that makes the tokenizers crate panic, run for ever or take all memory.

use serde_json::Value;

use super::document::{Document, Merge, Model, Vocab};
use super::guard::quietly;
use crate::base64;

/// Longest file of a tokenizer, in bytes; real ones have up to 40 million.
pub(super) const LONGEST_FILE: u64 = 128 << 20;
/// Bytes of all tokens of a Unigram vocabulary together; real ones have up to 4 million. A byte takes up to
/// 120 bytes of memory in the trie.
const MAX_UNIGRAM: usize = 16 << 20;
/// Tokens that are added to a vocabulary; real files add up to some thousands.
const MAX_ADDED_TOKENS: usize = 1 << 18;
/// Ids are row numbers of an embedding matrix; no vocabulary is near this.
const MAX_ID: u32 = 1 << 24;
/// The Unigram trie has one node, and one stack frame when it is dropped, per byte of a token.
const MAX_UNIGRAM_TOKEN: usize = 1024;
/// Longest token of the other models, in bytes.
const MAX_TOKEN: usize = 1 << 16;
/// Sequences within sequences; real files nest one or two.
const MAX_NESTING: usize = 6;
/// How much longer than the text its normalised form may become, in bytes per byte.
const MAX_GROWTH: usize = 1 << 14;
/// Longest replacement of a SentencePiece normalisation table, in bytes.
const MAX_REPLACEMENT: usize = 256;
/// Normalisers, pre-tokenizers and post-processors in all; real files have up to ten.
const MAX_COMPONENTS: usize = 64;
/// Special tokens that a template may add to a text.
const MAX_ADDED: usize = 1024;
/// Longest word that WordPiece looks at, in characters: its search is cubic.
const MAX_WORD: usize = 1000;

/// Steps back that a pattern may take on a probe of 50 characters: fifty squared is an eighth of it.
const MAX_BACKTRACKS: usize = 20_000;

/// Checks a document.
///
/// # Errors
/// What is wrong and what is allowed.
pub(super) fn check(document: &Document) -> Result<(), String> {
    if let Some(version) = document.version.as_deref()
        && version != "1.0"
    {
        return Err(format!("version `{version}` is not known, only `1.0` is"));
    }
    check_model(&document.model)?;
    let added = document.added_tokens.len();
    if added > MAX_ADDED_TOKENS {
        return Err(format!(
            "the file adds {added} tokens to the vocabulary, allowed are {MAX_ADDED_TOKENS}"
        ));
    }
    for entry in &document.added_tokens {
        check_id(&entry.token.content, entry.id)?;
        check_length(&entry.token.content, MAX_TOKEN)?;
    }
    let mut growth = 1;
    let mut components = 0;
    for (part, value) in [
        ("normalizer", &document.normalizer),
        ("pre_tokenizer", &document.pre_tokenizer),
        ("post_processor", &document.post_processor),
    ] {
        walk(value, 0, &mut |component| {
            check_component(part, component)?;
            components += 1;
            if components > MAX_COMPONENTS {
                return Err(format!(
                    "the file has more than {MAX_COMPONENTS} components"
                ));
            }
            growth *= growth_of(component);
            if growth > MAX_GROWTH {
                return Err(format!(
                    "the {part} may make a text more than {MAX_GROWTH} times longer"
                ));
            }
            Ok(())
        })
        .map_err(|reason| {
            if reason.starts_with("the ") {
                reason
            } else {
                format!("{part}: {reason}")
            }
        })?;
    }
    Ok(())
}

fn check_id(token: &str, id: u32) -> Result<(), String> {
    if id >= MAX_ID {
        return Err(format!(
            "token {token:?} has id {id}, allowed is below {MAX_ID}"
        ));
    }
    Ok(())
}

fn check_length(token: &str, allowed: usize) -> Result<(), String> {
    if token.len() > allowed {
        return Err(format!(
            "a token has {} bytes, allowed are {allowed}",
            token.len()
        ));
    }
    Ok(())
}

fn check_model(model: &Model) -> Result<(), String> {
    let longest = if model.kind() == "Unigram" {
        MAX_UNIGRAM_TOKEN
    } else {
        MAX_TOKEN
    };
    for token in model.tokens() {
        check_length(token, longest)?;
    }
    match (&model.vocab, model.kind()) {
        (Vocab::List(list), "Unigram") => {
            let n = list.len();
            if n == 0 {
                return Err("the vocabulary is empty".into());
            }
            if n > MAX_ID as usize {
                return Err(format!(
                    "the vocabulary has {n} tokens, allowed are {MAX_ID}"
                ));
            }
            if let Some(unk) = model.unk_id
                && unk >= n
            {
                return Err(format!("`unk_id` is {unk}, the vocabulary has {n} tokens"));
            }
            let bytes: usize = list.iter().map(|(token, _)| token.len()).sum();
            if bytes > MAX_UNIGRAM {
                return Err(format!(
                    "the tokens of the vocabulary have {bytes} bytes together, allowed are {MAX_UNIGRAM}"
                ));
            }
            if let Some((token, score)) = list.iter().find(|(_, score)| !score.is_finite()) {
                return Err(format!("token {token:?} has the score {score}"));
            }
        }
        (Vocab::Map(map), "BPE" | "WordPiece" | "WordLevel") => {
            for (token, &id) in map {
                check_id(token, id)?;
            }
        }
        (_, kind) => {
            return Err(format!(
                "a model of type `{kind}` with this vocabulary is not known; allowed are `BPE`, \
                 `WordPiece`, `WordLevel` (a map) and `Unigram` (a list)"
            ));
        }
    }
    if let Some(words) = model.max_input_chars_per_word
        && words > MAX_WORD
    {
        return Err(format!(
            "`max_input_chars_per_word` is {words}, allowed are {MAX_WORD}"
        ));
    }
    check_merges(model)
}

fn check_merges(model: &Model) -> Result<(), String> {
    let (Vocab::Map(vocab), Some(merges)) = (&model.vocab, &model.merges) else {
        return Ok(());
    };
    let prefix = model.continuing_subword_prefix.as_deref().unwrap_or("");
    let mut merged = String::new();
    for (i, Merge(a, b)) in merges.iter().enumerate() {
        for token in [a, b] {
            if !vocab.contains_key(token) {
                return Err(format!(
                    "merge {i} names {token:?}, which is not in the vocabulary"
                ));
            }
        }
        let Some(rest) = b.strip_prefix(prefix) else {
            return Err(format!(
                "merge {i}: {b:?} does not begin with the prefix {prefix:?}"
            ));
        };
        merged.clear();
        merged.push_str(a);
        merged.push_str(rest);
        if !vocab.contains_key(&merged) {
            return Err(format!(
                "merge {i} gives {merged:?}, which is not in the vocabulary"
            ));
        }
    }
    Ok(())
}

/// Calls `visit` on a component and on those within it.
fn walk(
    value: &Value,
    depth: usize,
    visit: &mut impl FnMut(&Value) -> Result<(), String>,
) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    if depth > MAX_NESTING {
        return Err(format!("sequences are nested more than {MAX_NESTING} deep"));
    }
    visit(value)?;
    for field in ["normalizers", "pretokenizers", "processors"] {
        if let Some(parts) = value.get(field).and_then(Value::as_array) {
            for part in parts {
                walk(part, depth + 1, visit)?;
            }
        }
    }
    Ok(())
}

fn check_component(part: &str, component: &Value) -> Result<(), String> {
    let kind = component.get("type").and_then(Value::as_str);
    if let Some(pattern) = component
        .get("pattern")
        .and_then(|p| p.get("Regex"))
        .and_then(Value::as_str)
    {
        check_regex(pattern)?;
    }
    match kind {
        Some("FixedLength") => match component.get("length") {
            Some(length) if length.as_u64().is_none_or(|n| n == 0) => {
                Err(format!("`length` is {length}, allowed is 1 or more"))
            }
            _ => Ok(()),
        },
        Some("Precompiled") => check_charsmap(component),
        Some("TemplateProcessing") => check_template(component),
        None if part == "post_processor" => {
            Err("a post-processor without `type` is not known".into())
        }
        _ => Ok(()),
    }
}

/// Bytes that one byte of text may become.
fn growth_of(component: &Value) -> usize {
    match component.get("type").and_then(Value::as_str) {
        // Every byte becomes a letter of two bytes at most.
        Some("ByteLevel") => return 2,
        Some("Precompiled") => return longest_replacement(component).unwrap_or(1).max(1),
        _ => {}
    }
    let content = ["content", "prepend"]
        .iter()
        .find_map(|field| component.get(field).and_then(Value::as_str));
    let Some(content) = content else {
        return 1;
    };
    match component.pointer("/pattern/String").and_then(Value::as_str) {
        // A pattern that is a text replaces at least its own length.
        Some(pattern) if !pattern.is_empty() => content.len().div_ceil(pattern.len()).max(1),
        // A regular expression may match nothing, between any two characters.
        _ => content.len() + 1,
    }
}

/// The crate's regex engine gives up after a bounded number of steps and then, silently, splits no
/// further: a pattern that comes near this on short texts is refused.
fn check_regex(pattern: &str) -> Result<(), String> {
    let regex = fancy_regex::RegexBuilder::new(pattern)
        .backtrack_limit(MAX_BACKTRACKS)
        .build()
        .map_err(|e| format!("the pattern {pattern:?} is no regular expression: {e}"))?;
    let mut letters: Vec<char> = pattern.chars().filter(|c| c.is_alphanumeric()).collect();
    letters.extend([' ', 'a', '0', '가', '\n']);
    letters.sort_unstable();
    letters.dedup();
    for letter in letters.into_iter().take(64) {
        let probe: String = std::iter::repeat_n(letter, 48)
            .chain(['!', '\u{1}'])
            .collect();
        if regex.find_iter(&probe).take(128).any(|m| m.is_err()) {
            return Err(format!(
                "the pattern {pattern:?} takes far more than quadratic time on {letter:?} repeated"
            ));
        }
    }
    Ok(())
}

/// A SentencePiece normalisation table must parse, and give short replacements.
fn check_charsmap(component: &Value) -> Result<(), String> {
    let damaged = |why: &str| format!("`precompiled_charsmap` is damaged: {why}");
    let longest = longest_replacement(component).map_err(|why| damaged(&why))?;
    if longest > MAX_REPLACEMENT {
        return Err(format!(
            "`precompiled_charsmap` replaces a character by {longest} bytes, allowed are \
             {MAX_REPLACEMENT}"
        ));
    }
    let text = component.to_string();
    let tried = quietly(|| {
        let table: tokenizers::normalizers::Precompiled = serde_json::from_str(&text)?;
        // A table whose links leave it fails on its use: try every character of two bytes, and
        // the first syllables.
        let mut buffer = [0; 4];
        for c in (1..0x3000).chain(0xac00..0xad00).filter_map(char::from_u32) {
            let _ = table.transform(c.encode_utf8(&mut buffer));
        }
        Ok::<_, serde_json::Error>(())
    });
    match tried {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(damaged(&error.to_string())),
        Err(panic) => Err(damaged(&panic)),
    }
}

/// Length of the longest replacement in a table: 4 bytes with the size of a trie, the trie, and
/// texts that end in NUL.
fn longest_replacement(component: &Value) -> Result<usize, String> {
    let table = component
        .get("precompiled_charsmap")
        .and_then(Value::as_str)
        .ok_or("it is no text")?;
    let table = base64::decode(table).ok_or("it is not base64")?;
    let (size, rest) = table.split_first_chunk().ok_or("it is too short")?;
    let texts = usize::try_from(u32::from_le_bytes(*size))
        .ok()
        .and_then(|size| rest.get(size..))
        .ok_or("its trie is longer than the table")?;
    Ok(texts.split(|b| *b == 0).map(<[u8]>::len).max().unwrap_or(0))
}

fn check_template(component: &Value) -> Result<(), String> {
    let specials = component.get("special_tokens").and_then(Value::as_object);
    let mut lengths = std::collections::HashMap::new();
    for (name, special) in specials.into_iter().flatten() {
        let count = |field| special.get(field).and_then(Value::as_array).map(Vec::len);
        let (ids, tokens) = (count("ids"), count("tokens"));
        if ids.is_none() || ids != tokens {
            return Err(format!(
                "special token `{name}` must have as many `ids` as `tokens`"
            ));
        }
        for id in special["ids"].as_array().into_iter().flatten() {
            match id.as_u64() {
                Some(id) if id < u64::from(MAX_ID) => {}
                _ => return Err(format!("special token `{name}` has the id {id}")),
            }
        }
        lengths.insert(name.as_str(), ids.unwrap_or(0));
    }
    for (template, sequences) in [("single", &["A"][..]), ("pair", &["A", "B"][..])] {
        let pieces = component
            .get(template)
            .and_then(Value::as_array)
            .ok_or_else(|| format!("the template `{template}` is missing"))?;
        let mut added = 0;
        for piece in pieces {
            if let Some(id) = piece.pointer("/SpecialToken/id").and_then(Value::as_str) {
                added += lengths.get(id).ok_or_else(|| {
                    format!("template `{template}` names `{id}`, which is not in `special_tokens`")
                })?;
            } else if let Some(id) = piece.pointer("/Sequence/id").and_then(Value::as_str) {
                if !sequences.contains(&id) {
                    return Err(format!("template `{template}` names the sequence `{id}`"));
                }
            } else {
                return Err(format!("template `{template}` holds {piece}"));
            }
        }
        if added > MAX_ADDED || pieces.len() > MAX_ADDED {
            return Err(format!(
                "template `{template}` adds {added} tokens, allowed are {MAX_ADDED}"
            ));
        }
    }
    Ok(())
}
