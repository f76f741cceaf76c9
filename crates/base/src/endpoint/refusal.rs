//! What a server says when it refuses a request: the message in the body, and whether it is about
//! length.

use serde_json::Value;

/// A text that a server refused for its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TooLong {
    /// Tokens the server takes, where it says so.
    pub allowed: Option<usize>,
    /// Tokens it was given, where it says so.
    pub given: Option<usize>,
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

/// Whether a server fails because the embedding of a text is no number, which JSON cannot say: the
/// words of Go's encoder, and so of Ollama. Asking again gives the same.
pub(super) fn says_not_a_number(message: &str) -> bool {
    message.contains("unsupported value: NaN")
}

/// The numbers that llama.cpp puts next to its message, in the message: `n_ctx` and
/// `n_prompt_tokens` of an error's body.
fn counted(value: &Value) -> Option<String> {
    let number = |name: &str| value.pointer("/error")?.get(name)?.as_u64();
    let (given, allowed) = (number("n_prompt_tokens")?, number("n_ctx")?);
    Some(format!(" ({given} tokens, of {allowed})"))
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
    fn the_numbers_next_to_a_message_are_read() {
        let body = br#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":1407,"n_ctx":256}}"#;
        let said = message(body);
        let expected = TooLong {
            allowed: Some(256),
            given: Some(1407),
        };
        assert_eq!(too_long(400, &said), Some(expected), "{said}");
    }
}
