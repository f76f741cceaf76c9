//! Special and added tokens: what `tokenizer_config.json`, `special_tokens_map.json` and
//! `added_tokens.json` say of them.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::SpecialNames;
use super::document::AddedTokenEntry;
use crate::{EncoderError, json as read_json};
use korfinsts_base::fs;

pub(super) fn names(settings: &Value, map: &Value) -> SpecialNames {
    let name = |field: &str| {
        [settings, map]
            .into_iter()
            .filter_map(|v| v.get(field))
            .find_map(read_json::token_content)
            .map(str::to_owned)
    };
    SpecialNames {
        bos: name("bos_token"),
        eos: name("eos_token"),
        pad: name("pad_token"),
        unk: name("unk_token"),
        cls: name("cls_token"),
        sep: name("sep_token"),
    }
}

/// `added_tokens_decoder` of `tokenizer_config.json`, by id.
pub(super) fn added_tokens(
    settings: &Value,
    path: &Path,
) -> Result<Vec<AddedTokenEntry>, EncoderError> {
    let mut entries = Vec::new();
    let table = settings
        .get("added_tokens_decoder")
        .and_then(Value::as_object);
    for (id, token) in table.into_iter().flatten() {
        let wrong = || {
            read_json::wrong_field(
                path,
                "added_tokens_decoder",
                &json!({id: token}),
                "a map of ids to tokens",
            )
        };
        let id: u32 = id.parse().map_err(|_| wrong())?;
        let content = read_json::token_content(token).ok_or_else(wrong)?;
        let flag = |name: &str| token.get(name).and_then(Value::as_bool).unwrap_or(false);
        entries.push(AddedTokenEntry {
            id,
            token: AddedToken::from(content, flag("special"))
                .single_word(flag("single_word"))
                .lstrip(flag("lstrip"))
                .rstrip(flag("rstrip"))
                .normalized(flag("normalized")),
        });
    }
    entries.sort_by_key(|e| e.id);
    Ok(entries)
}

/// `added_tokens.json`: tokens to ids; named ones are special.
pub(super) fn merge_added_tokens(
    path: &Path,
    names: &SpecialNames,
    settings: &Value,
    entries: &mut Vec<AddedTokenEntry>,
) -> Result<(), EncoderError> {
    let bytes = fs::read_up_to(path, super::check::LONGEST_FILE)?;
    let table: std::collections::BTreeMap<String, u32> =
        serde_json::from_slice(&bytes).map_err(|e| read_json::malformed(path, &e))?;
    let more: Vec<&str> = settings
        .get("additional_special_tokens")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(read_json::token_content)
        .collect();
    let known: HashSet<String> = entries.iter().map(|e| e.token.content.clone()).collect();
    for (token, id) in table {
        if known.contains(&token) {
            continue;
        }
        let named = [
            &names.bos, &names.eos, &names.pad, &names.unk, &names.cls, &names.sep,
        ]
        .into_iter()
        .flatten()
        .any(|name| *name == token);
        let is_special = named || more.contains(&token.as_str());
        entries.push(AddedTokenEntry {
            id,
            token: AddedToken::from(token, is_special),
        });
    }
    entries.sort_by_key(|e| e.id);
    Ok(())
}

/// A special token as the tokenizers crate wants it.
pub(super) fn special(token: &str, id: u32) -> AddedTokenEntry {
    AddedTokenEntry {
        id,
        token: AddedToken::from(token, true),
    }
}

/// A post-processor that puts one token before and one behind a text.
pub(super) fn around(before: Option<(&str, u32)>, behind: Option<(&str, u32)>) -> Value {
    if before.is_none() && behind.is_none() {
        return Value::Null;
    }
    let piece = |token: Option<(&str, u32)>, type_id: u32| {
        token.map(|(t, _)| json!({"SpecialToken": {"id": t, "type_id": type_id}}))
    };
    let sequence =
        |id: &str, type_id: u32| Some(json!({"Sequence": {"id": id, "type_id": type_id}}));
    let single: Vec<Value> = [piece(before, 0), sequence("A", 0), piece(behind, 0)]
        .into_iter()
        .flatten()
        .collect();
    let pair: Vec<Value> = [
        piece(before, 0),
        sequence("A", 0),
        piece(behind, 0),
        sequence("B", 1),
        piece(behind, 1),
    ]
    .into_iter()
    .flatten()
    .collect();
    let special_tokens: serde_json::Map<String, Value> = [before, behind]
        .into_iter()
        .flatten()
        .map(|(t, id)| (t.to_owned(), json!({"id": t, "ids": [id], "tokens": [t]})))
        .collect();
    json!({"type": "TemplateProcessing", "single": single, "pair": pair,
           "special_tokens": special_tokens})
}
