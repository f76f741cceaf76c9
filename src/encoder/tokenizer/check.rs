//! What a `tokenizer.json` must hold to before it is built: every rule here stands for an input
//! that makes the tokenizers crate panic, run for ever or take all memory.

use serde_json::Value;

use super::document::{Document, Merge, Model, Vocab};
use super::guard::quietly;

/// Ids are row numbers of an embedding matrix; no vocabulary is near this.
const MAX_ID: u32 = 1 << 24;
/// The Unigram trie has one node, and one stack frame when it is dropped, per byte of a token.
const MAX_UNIGRAM_TOKEN: usize = 1024;
/// Longest token of the other models, in bytes.
const MAX_TOKEN: usize = 1 << 16;
/// Sequences within sequences; real files nest one or two.
const MAX_NESTING: usize = 6;
/// How much longer than the text its normalised form may become, in bytes per byte.
const MAX_GROWTH: usize = 1 << 12;
/// Special tokens that a template may add to a text.
const MAX_ADDED: usize = 1024;
/// Longest word that WordPiece looks at, in characters: its search is quadratic.
const MAX_WORD: usize = 10_000;

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
    for entry in &document.added_tokens {
        check_id(&entry.token.content, entry.id)?;
        check_length(&entry.token.content, MAX_TOKEN)?;
    }
    let mut growth = 1;
    for (part, value) in [
        ("normalizer", &document.normalizer),
        ("pre_tokenizer", &document.pre_tokenizer),
        ("post_processor", &document.post_processor),
    ] {
        walk(value, 0, &mut |component| {
            check_component(part, component)?;
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

/// The crate's regex engine gives up after a bounded number of steps and then, silently, does not
/// split: a pattern that does so on short texts is refused.
fn check_regex(pattern: &str) -> Result<(), String> {
    let regex = fancy_regex::Regex::new(pattern)
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
                "the pattern {pattern:?} takes exponential time on {letter:?} repeated"
            ));
        }
    }
    Ok(())
}

/// A SentencePiece normalisation table must parse, and give short replacements.
fn check_charsmap(component: &Value) -> Result<(), String> {
    let text = component.to_string();
    let table = quietly(|| {
        let table: tokenizers::normalizers::Precompiled = serde_json::from_str(&text)?;
        // An empty or cut table fails on its first use.
        for c in ["a", "가", "ﷺ", "①", "\u{1f600}", "\u{7f}"] {
            let _ = table.transform(c);
        }
        Ok::<_, serde_json::Error>(table)
    });
    let table = match table {
        Ok(Ok(table)) => table,
        Ok(Err(error)) => return Err(format!("`precompiled_charsmap` is damaged: {error}")),
        Err(panic) => return Err(format!("`precompiled_charsmap` is damaged: {panic}")),
    };
    let sample = quietly(|| {
        (0x20_u32..0x3000)
            .filter_map(char::from_u32)
            .filter_map(|c| table.transform(c.encode_utf8(&mut [0; 4])).map(str::len))
            .max()
    })
    .map_err(|panic| format!("`precompiled_charsmap` is damaged: {panic}"))?;
    match sample {
        Some(longest) if longest > 256 => Err(format!(
            "`precompiled_charsmap` replaces one character by {longest} bytes, allowed are 256"
        )),
        _ => Ok(()),
    }
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
