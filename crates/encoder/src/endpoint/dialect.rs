//! What servers of embeddings speak. To add a dialect: a file in this folder and a line in
//! [`DIALECTS`].

use std::fmt::Debug;

use serde_json::Value;
use ureq::http::HeaderMap;

use super::{openai, tei};

/// Every dialect.
pub static DIALECTS: &[&dyn Dialect] = &[&tei::Tei, &openai::OpenAi, &openai::Vllm];

/// The dialect of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Dialect> {
    DIALECTS.iter().find(|d| d.name() == name).copied()
}

/// What is asked of a server in one request.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Model, where the dialect names it.
    pub model: &'a str,
    /// Texts, prompts before them.
    pub texts: &'a [&'a str],
    /// Whether embeddings are asked for as base64 of little-endian float32, where the dialect
    /// knows it. Either form is read in the answer.
    pub base64: bool,
    /// Most tokens that the server shall use of a text; `None` asks it to refuse longer ones.
    pub cut: Option<usize>,
}

/// What a server answered: row `i` belongs to text `i`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Embeddings.
    pub rows: Vec<Vec<f32>>,
    /// Tokens the server counted for the whole request.
    pub tokens: Option<u64>,
    /// What the request cost, in the unit in which the server reports it (US dollars so far).
    pub cost: Option<f64>,
}

/// A text that a server refused for its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TooLong {
    /// Tokens the server takes, where it says so.
    pub allowed: Option<usize>,
    /// Tokens it was given, where it says so.
    pub given: Option<usize>,
}

/// One way to ask a server for embeddings.
pub trait Dialect: Send + Sync + Debug {
    /// Name in records.
    fn name(&self) -> &'static str;

    /// Path of the request, below the dialect's root.
    fn path(&self) -> &'static str;

    /// Body of a request.
    fn request(&self, ask: &Ask<'_>) -> Value;

    /// Understands the answer to a request for `n` texts.
    ///
    /// # Errors
    /// When it is not what the protocol promises: says what was found.
    fn answer(&self, body: &[u8], headers: &HeaderMap, n: usize) -> Result<Answer, String>;

    /// Whether the server can be asked to cut a text at a number of tokens ([`Ask::cut`]).
    fn cuts(&self) -> bool;

    /// Whether a text that is too long is always refused unless a cut is asked for.
    fn refuses(&self) -> bool;
}

/// Whether a refusal speaks of length, and what it says about it. Servers word it freely; what
/// they share is that the limit comes before what was given, or is the smaller number.
#[must_use]
pub fn too_long(status: u16, message: &str) -> Option<TooLong> {
    const MARKS: [&str; 14] = [
        "maximum model length",
        "exceed n_ctx",
        "maximum context",
        "context length",
        "context size",
        "context window",
        "must have less than",
        "too large to process",
        "too long",
        "exceed_context",
        "exceeds the maximum",
        "maximum sequence length",
        "maximum input length",
        "max_model_len",
    ];
    let message = message.to_lowercase();
    let about_length = MARKS.iter().any(|mark| message.contains(mark));
    // A limit on the number of texts reads alike; halving the request answers that too.
    let about_batch = status == 413 || message.contains("batch size");
    if !matches!(status, 400 | 413 | 422 | 500) || !(about_length || about_batch) {
        return None;
    }
    if !about_length {
        return Some(TooLong::default());
    }
    let mut numbers: Vec<usize> = message
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .filter(|n| *n > 1)
        .collect();
    numbers.truncate(2);
    Some(match numbers.as_slice() {
        [a, b] if a != b => TooLong {
            allowed: Some(*a.min(b)),
            given: Some(*a.max(b)),
        },
        _ => TooLong::default(),
    })
}

/// The numbers that llama.cpp puts next to its message, in the message: `n_ctx` and
/// `n_prompt_tokens` of an error's body.
fn counted(value: &Value) -> Option<String> {
    let number = |name: &str| value.pointer("/error")?.get(name)?.as_u64();
    let (given, allowed) = (number("n_prompt_tokens")?, number("n_ctx")?);
    Some(format!(" ({given} tokens, of {allowed})"))
}

/// What an answer says that has the status of a success and is an error all the same, as some
/// servers and gateways send.
#[must_use]
pub fn disguised(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let error = value.get("error").is_some_and(|e| !e.is_null());
    error.then(|| format!("an error in the place of embeddings: {}", message(body)))
}

/// The message in an error's body: `error.message`, `error`, `message` or `detail`, else the body
/// itself; at most 300 characters on one line.
#[must_use]
pub fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let found = [
        value.pointer("/error/message"),
        value.get("error"),
        value.get("message"),
        value.get("detail"),
    ]
    .into_iter()
    .flatten()
    .find(|v| !v.is_null());
    let text = match found {
        Some(Value::String(text)) => text.clone() + &counted(&value).unwrap_or_default(),
        Some(other) => other.to_string(),
        None => text.into_owned(),
    };
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Puts rows that carry their index into order.
///
/// # Errors
/// When there are not exactly rows 0 to `n - 1`, each once.
pub fn by_index(
    rows: impl IntoIterator<Item = (Option<usize>, Vec<f32>)>,
    n: usize,
) -> Result<Vec<Vec<f32>>, String> {
    let mut ordered: Vec<Option<Vec<f32>>> = vec![None; n];
    let mut found = 0;
    for (index, row) in rows {
        found += 1;
        let index = index.ok_or("an embedding has no `index`")?;
        let place = ordered
            .get_mut(index)
            .ok_or_else(|| format!("found an embedding with index {index} for {n} texts"))?;
        if place.replace(row).is_some() {
            return Err(format!("found index {index} twice"));
        }
    }
    let missing = ordered.iter().position(Option::is_none);
    match missing {
        None => Ok(ordered.into_iter().flatten().collect()),
        Some(i) => Err(format!(
            "found {found} embeddings for {n} texts; index {i} is missing"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_of_a_text_that_is_too_long() {
        let both = |allowed, given| {
            Some(TooLong {
                allowed: Some(allowed),
                given: Some(given),
            })
        };
        for (status, message, expected) in [
            // text-embeddings-inference
            (
                413,
                "Input validation error: `inputs` must have less than 512 tokens. Given: 600",
                both(512, 600),
            ),
            (
                413,
                "batch size 64 > maximum allowed batch size 32",
                Some(TooLong::default()),
            ),
            // vLLM
            (
                400,
                "This model's maximum context length is 512 tokens. However, you requested 600 \
                 tokens in the input for embedding generation. Please reduce the length.",
                both(512, 600),
            ),
            // OpenAI
            (
                400,
                "This model's maximum context length is 8192 tokens, however you requested 10000 \
                 tokens (10000 in your prompt; 0 for the completion).",
                both(8192, 10_000),
            ),
            // llama.cpp
            (
                500,
                "input (600 tokens) is too large to process. increase the physical batch size \
                 (current batch size: 512)",
                both(512, 600),
            ),
            (
                500,
                "input is too large to process",
                Some(TooLong::default()),
            ),
            (
                400,
                "the input length exceeds the context length",
                Some(TooLong::default()),
            ),
            (
                400,
                "The decoder prompt (length 600) is longer than the maximum model length of 512. \
                 Make sure that `max_model_len` is no smaller than the number of text tokens.",
                both(512, 600),
            ),
            (
                400,
                "Requested tokens (2285) exceed context window of 2048",
                both(2048, 2285),
            ),
            (
                400,
                "Illegal param: prefill 744 tokens exceed n_ctx_per_seq",
                Some(TooLong::default()),
            ),
            // Ollama
            (
                400,
                "input length exceeds maximum context length",
                Some(TooLong::default()),
            ),
            (500, "internal error", None),
            (400, "unknown model `x`", None),
            (401, "key too long", None),
        ] {
            assert_eq!(too_long(status, message), expected, "{message}");
        }
    }

    #[test]
    fn a_message_is_found_where_servers_put_it() {
        for (body, expected) in [
            (r#"{"error":{"message":"a b","type":"x"}}"#, "a b"),
            (
                r#"{"error":"Model is overloaded","error_type":"x"}"#,
                "Model is overloaded",
            ),
            (r#"{"object":"error","message":"m"}"#, "m"),
            (r#"{"detail":[{"msg":"x"}]}"#, r#"[{"msg":"x"}]"#),
            (
                "<html>\n  Bad   Gateway</html>",
                "<html> Bad Gateway</html>",
            ),
        ] {
            assert_eq!(message(body.as_bytes()), expected);
        }
        assert_eq!(message("가".repeat(1000).as_bytes()).chars().count(), 301);
    }

    #[test]
    fn numbers_next_to_a_message_and_errors_under_a_success_are_read() {
        let body = br#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":1407,"n_ctx":256}}"#;
        let said = message(body);
        let expected = TooLong {
            allowed: Some(256),
            given: Some(1407),
        };
        assert_eq!(too_long(400, &said), Some(expected), "{said}");
        let found = disguised(body).expect("an error");
        assert!(
            found.contains("in the place of embeddings: the request"),
            "{found}"
        );
        assert_eq!(disguised(b"{\"data\":[],\"error\":null}"), None);
        assert_eq!(disguised(b"no JSON"), None);
    }

    #[test]
    fn rows_are_matched_by_index_or_refused() {
        let row = |i: usize| vec![i as f32];
        let ordered = by_index([(Some(1), row(1)), (Some(0), row(0))], 2);
        assert_eq!(ordered.expect("ordered"), [row(0), row(1)]);
        for (rows, expected) in [
            (vec![(Some(0), row(0))], "index 1 is missing"),
            (vec![(Some(0), row(0)), (Some(0), row(1))], "index 0 twice"),
            (
                vec![(Some(0), row(0)), (Some(2), row(2))],
                "index 2 for 2 texts",
            ),
            (vec![(None, row(0)), (Some(1), row(1))], "no `index`"),
            (
                vec![(Some(0), row(0)), (Some(1), row(1)), (Some(1), row(1))],
                "index 1 twice",
            ),
        ] {
            let error = by_index(rows, 2).expect_err("refused");
            assert!(error.contains(expected), "{error}");
        }
    }
}
