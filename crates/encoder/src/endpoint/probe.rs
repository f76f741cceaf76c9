//! Asking a server what it is: `/info` (text-embeddings-inference), then `/v1/models`, then one
//! embedding of a fixed text.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::dialect::{self, Answer, Ask, Dialect};
use crate::EncoderError;
use korfinsts_base::endpoint::{Address, Client, EndpointError, FORMS, Refusal, ServerKind, Wrong};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;

/// The text that every endpoint is asked for, to learn the width of its embeddings and to tell
/// one model from another behind the same address.
const PROBE: &str = "기준금리 인상은 채권 가격을 떨어뜨린다. A rate hike lowers bond prices.";
/// Largest components looked at for the fingerprint, one of each of so many equal parts.
const PARTS: usize = 16;

/// What a server says of itself.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Dialect that is spoken with it.
    pub dialect: Option<&'static dyn Dialect>,
    /// Where requests go.
    pub url: String,
    /// Name of the model.
    pub model: String,
    /// 40-digit revision of the model, where reported.
    pub revision: Option<String>,
    /// Software and version, where reported.
    pub server: Option<String>,
    /// Most tokens of a text, where reported.
    pub max_tokens: Option<usize>,
    /// Most texts of a request, where reported.
    pub max_texts: Option<usize>,
    /// Most requests at once, where reported.
    pub max_requests: Option<usize>,
    /// Number type, where reported.
    pub dtype: Option<String>,
    /// Pooling, where reported.
    pub pooling: Option<String>,
    /// What the model's own files say, where reported.
    pub own: Own,
    /// What speaks against the model being the one that was named.
    pub doubt: Option<String>,
}

/// What the files of a model say of its use, where a server passes it on: the Python package does, in its list of
/// models, under the names that sentence-transformers uses.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Own {
    /// Named prompts.
    pub prompts: BTreeMap<String, String>,
    /// Prompt used when none is asked for.
    pub default_prompt_name: Option<String>,
    /// Name of the similarity.
    pub similarity_fn_name: Option<String>,
    revision: Option<String>,
    dtype: Option<String>,
}

/// Asks the server at `address`.
///
/// # Errors
/// When it cannot be reached, or is no server of embeddings.
pub fn ask(client: &Client, address: &Address) -> Result<Found, EncoderError> {
    let (root, apis) = address.roots();
    if matches!(address.kind, ServerKind::Any | ServerKind::Tei) {
        match client.get(&format!("{root}/info")) {
            Ok(info) if info.get("model_id").is_some_and(Value::is_string) => {
                return Ok(tei(&info, &root, address));
            }
            // A server that wants a key for `/info` may be of either kind, and its answer to the
            // other path says what is missing.
            Ok(_)
            | Err(Refusal::NotKnown(_) | Refusal::TooLong(..) | Refusal::Barred(401 | 403, _))
                if address.kind == ServerKind::Any => {}
            Ok(_) => return Err(unlike(&root, "`/info` names no `model_id`")),
            Err(refusal) => return Err(refusal.error().into()),
        }
    }
    let mut found = Found {
        model: address.model.clone().unwrap_or_default(),
        ..Found::default()
    };
    // `OpenAI` lists hundreds of models and says nothing about them.
    let mut api = apis[0].clone();
    if address.kind != ServerKind::OpenAi || address.model.is_none() {
        let (at, list) = models(client, &apis, address)?;
        api = at;
        if let Some(list) = list {
            choose(&mut found, &list, address)?;
        }
    }
    let vllm = address.kind == ServerKind::Vllm || found.server.as_deref() == Some("vllm");
    let dialect = dialect::find(if vllm { "vllm" } else { "openai" });
    found.url = format!("{api}{}", dialect.map_or("", |d| d.path()));
    found.dialect = dialect;
    if vllm
        && let Ok(version) = client.get(&format!("{root}/version"))
        && let Some(version) = version["version"].as_str()
    {
        found.server = Some(format!("vllm {version}"));
    }
    Ok(found)
}

fn unlike(url: &str, what: &str) -> EncoderError {
    EndpointError::Server {
        url: url.to_owned(),
        reason: format!("this is no server of embeddings that is known: {what}"),
        hint: Some(format!("allowed are {FORMS}")),
        class: FailureClass::Network,
    }
    .into()
}

/// What text-embeddings-inference says of itself.
fn tei(info: &Value, root: &str, address: &Address) -> Found {
    let text = |pointer: &str| info.pointer(pointer)?.as_str().map(str::to_owned);
    let number = |name: &str| info.get(name)?.as_u64().map(|n| n as usize);
    let version = text("/version").map_or_else(String::new, |v| format!(" {v}"));
    let dialect = dialect::find("tei");
    Found {
        url: format!("{root}{}", dialect.map_or("", |d| d.path())),
        dialect,
        model: address
            .model
            .clone()
            .or_else(|| text("/model_id"))
            .unwrap_or_default(),
        revision: text("/model_sha").filter(|sha| is_commit(sha)),
        server: Some(format!("text-embeddings-inference{version}")),
        max_tokens: number("max_input_length"),
        max_texts: number("max_client_batch_size"),
        max_requests: number("max_concurrent_requests"),
        dtype: text("/model_dtype"),
        pooling: text("/model_type/embedding/pooling"),
        own: Own::default(),
        doubt: address
            .model
            .as_ref()
            .zip(text("/model_id"))
            .filter(|(named, served)| *named != served)
            .map(|(named, served)| other_model(named, &format!("`{served}`"))),
    }
}

/// Servers of one model answer whatever name they are asked for.
fn other_model(named: &str, served: &str) -> String {
    format!("the server names {served} and not `{named}`: it may answer with another model")
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The list of models, and the root under which it was found. A server without a list is asked
/// for embeddings all the same when the model was named.
fn models(
    client: &Client,
    apis: &[String],
    address: &Address,
) -> Result<(String, Option<Vec<Value>>), EncoderError> {
    for api in apis {
        match client.get(&format!("{api}/models")) {
            Ok(value) => match value.get("data").and_then(Value::as_array) {
                Some(list) => return Ok((api.clone(), Some(list.clone()))),
                None if address.model.is_some() => return Ok((api.clone(), None)),
                None => return Err(unlike(api, "`/models` lists none")),
            },
            Err(Refusal::NotKnown(_) | Refusal::TooLong(..)) => {}
            Err(refusal) => return Err(refusal.error().into()),
        }
    }
    if address.model.is_some() {
        return Ok((apis[0].clone(), None));
    }
    Err(unlike(
        &address.url,
        "it answers neither `/info` nor `/v1/models`",
    ))
}

/// The model that was named, or the only one.
fn choose(found: &mut Found, list: &[Value], address: &Address) -> Result<(), EncoderError> {
    let id = |model: &Value| model.get("id").and_then(Value::as_str).map(str::to_owned);
    let names: Vec<String> = list.iter().filter_map(id).collect();
    let shown = || {
        let some: Vec<String> = names.iter().take(8).map(|n| format!("`{n}`")).collect();
        let more = names.len().saturating_sub(some.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("{}{more}", some.join(", "))
    };
    let model = match &address.model {
        Some(wanted) => list.iter().find(|m| id(m).as_ref() == Some(wanted)),
        None => match list {
            [only] => Some(only),
            _ => {
                return Err(EndpointError::Server {
                    url: address.url.clone(),
                    reason: format!("the server has {} models", names.len()),
                    hint: Some(format!(
                        "name one behind the address, as `{}#MODEL`: {}",
                        address.url,
                        shown()
                    )),
                    class: FailureClass::Usage,
                }
                .into());
            }
        },
    };
    // A list may be incomplete (aliases, adapters): the server has the last word.
    let Some(model) = model else {
        found.doubt = Some(other_model(&found.model, &shown()));
        return Ok(());
    };
    found.model = id(model).unwrap_or_default();
    found.server = model
        .get("owned_by")
        .and_then(Value::as_str)
        .filter(|owner| !owner.is_empty())
        .map(str::to_owned);
    found.max_tokens = model
        .get("max_model_len")
        .and_then(Value::as_u64)
        .map(|n| n as usize);
    // Other servers have fields of these names that mean something else: what cannot be read is left.
    found.own = Own::deserialize(model).unwrap_or_default();
    found.revision = found.own.revision.take().filter(|sha| is_commit(sha));
    found.dtype = found.own.dtype.take();
    Ok(())
}

/// The embedding of the fixed text, whether the server is asked for base64, and why not where its
/// base64 is not what it gives as numbers.
///
/// Nothing in base64 says what it holds. Some servers send float16 or another order of bytes, so
/// one text is asked for in both forms.
///
/// # Errors
/// When the server gives none.
pub fn embed(
    client: &Client,
    found: &Found,
    dialect: &dyn Dialect,
) -> Result<(Answer, bool, Option<String>), EncoderError> {
    let ask = |base64| Ask {
        model: &found.model,
        texts: &[PROBE],
        base64,
        cut: None,
    };
    let post = |base64| {
        let understand = |body: &[u8], headers: &_| {
            let answer = dialect.answer(body, headers, 1).map_err(Wrong::Answer)?;
            super::check(&answer.rows, &[PROBE], None)?;
            Ok(answer)
        };
        client.post(&found.url, &dialect.request(&ask(base64)), understand)
    };
    let plain = match post(false) {
        Ok(plain) => plain,
        // Perhaps it is lists that are not known.
        Err(Refusal::NotKnown(error)) => {
            return post(true)
                .map(|coded| (coded, true, None))
                .map_err(|_| error);
        }
        Err(refusal) => return Err(refusal.error()),
    };
    if dialect.request(&ask(true)) == dialect.request(&ask(false)) {
        return Ok((plain, true, None));
    }
    let doubt = match post(true) {
        Ok(coded) if same(&coded, &plain) => return Ok((coded, true, None)),
        Ok(coded) => format!(
            "{} numbers in base64 and {} in a list, which differ",
            coded.rows[0].len(),
            plain.rows[0].len()
        ),
        Err(Refusal::NotKnown(_)) => return Ok((plain, false, None)),
        Err(refusal) => match refusal.error() {
            EncoderError::Text { source, .. } => source.to_string(),
            error => error.to_string(),
        },
    };
    let doubt = format!(
        "the server's base64 does not hold float32 numbers in little-endian order ({doubt}): \
         embeddings are asked for as lists of numbers"
    );
    Ok((plain, false, Some(doubt)))
}

/// Whether two answers hold the same embedding, computed twice.
fn same(a: &Answer, b: &Answer) -> bool {
    let (a, b) = (&a.rows[0], &b.rows[0]);
    a.len() == b.len() && korfinsts_metric::cosine(a, b).is_ok_and(|c| c > super::embedder::SAME)
}

/// Tells one model from another by its embedding of the fixed text: the width, and in each of
/// sixteen equal parts the place and sign of the largest component. Unlike a hash of the values
/// it bears the noise of low precision. 16 hexadecimal digits.
#[must_use]
pub fn fingerprint(row: &[f32]) -> String {
    let mut text = format!("{}", row.len());
    for part in row.chunks(row.len().div_ceil(PARTS).max(1)) {
        let (place, value) = part
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
            .map_or((0, 0.0), |(i, v)| (i, *v));
        text.push_str(&format!(" {}{place}", if value < 0.0 { '-' } else { '+' }));
    }
    fs::sha256(text.as_bytes())[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_bears_noise_and_tells_models_apart() {
        let row: Vec<f32> = (0..384_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) as f32 / 1e9).sin())
            .collect();
        let noisy: Vec<f32> = row
            .iter()
            .enumerate()
            .map(|(i, v)| v * (1.0 + 1e-4 * (i as f32).cos()))
            .collect();
        let other: Vec<f32> = row.iter().rev().copied().collect();
        assert_eq!(fingerprint(&row), fingerprint(&noisy));
        assert_ne!(fingerprint(&row), fingerprint(&other));
        assert_ne!(fingerprint(&row), fingerprint(&row[..383]));
        assert_eq!(fingerprint(&[]).len(), 16);
    }
}
