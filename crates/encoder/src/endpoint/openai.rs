//! The `OpenAI` protocol: `POST /v1/embeddings`. Spoken by `OpenAI`, vLLM, TEI, llama.cpp, Ollama,
//! infinity and most gateways.

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use ureq::http::HeaderMap;

use super::dialect::{self, Answer, Ask, Dialect, by_index};
use crate::base64;

/// The protocol as its authors speak it.
#[derive(Debug)]
pub struct OpenAi;

/// The protocol with vLLM's own field for truncation.
#[derive(Debug)]
pub struct Vllm;

#[derive(Deserialize)]
struct Reply {
    data: Vec<Row>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Row {
    index: Option<usize>,
    embedding: Coded,
}

enum Coded {
    Base64(String),
    Floats(Vec<f32>),
}

impl<'de> Deserialize<'de> for Coded {
    /// Number by number: an `untagged` enum would keep the whole list as values first, which take
    /// sixteen times the memory of the answer.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Coded;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("base64 or a list of numbers")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Coded, E> {
                Ok(Coded::Base64(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Coded, A::Error> {
                let mut values = Vec::new();
                // `null` is how some servers write NaN.
                while let Some(value) = list.next_element::<Option<f32>>().map_err(|_| {
                    serde::de::Error::custom(
                        "an embedding is neither base64 nor a list of numbers; a list of lists is one \
                         per token: start the server with a pooling (`--pooling` of llama.cpp)",
                    )
                })? {
                    values.push(value.unwrap_or(f32::NAN));
                }
                Ok(Coded::Floats(values))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Deserialize)]
struct Usage {
    total_tokens: Option<u64>,
    prompt_tokens: Option<u64>,
    cost: Option<f64>,
}

impl Coded {
    fn values(self) -> Result<Vec<f32>, String> {
        match self {
            Self::Floats(values) => Ok(values),
            Self::Base64(text) => {
                let bytes = base64::decode(&text).ok_or("an embedding is no base64")?;
                let (words, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(format!(
                        "found an embedding of {} bytes, which is no multiple of 4",
                        bytes.len()
                    ));
                }
                Ok(words.iter().map(|w| f32::from_le_bytes(*w)).collect())
            }
        }
    }
}

fn request(ask: &Ask<'_>) -> Value {
    json!({
        "model": ask.model,
        "input": ask.texts,
        "encoding_format": if ask.base64 { "base64" } else { "float" },
    })
}

fn answer(body: &[u8], headers: &HeaderMap, n: usize) -> Result<Answer, String> {
    // Python's encoder writes NaN, which JSON does not know, as a bare word.
    let bare = || serde_json::from_str(&String::from_utf8_lossy(body).replace("NaN", "null"));
    let reply: Reply = serde_json::from_slice(body)
        .or_else(|error| bare().map_err(|_| error))
        .map_err(|e| dialect::disguised(body).unwrap_or_else(|| e.to_string()))?;
    let rows = reply
        .data
        .into_iter()
        .map(|row| Ok((row.index, row.embedding.values()?)))
        .collect::<Result<Vec<_>, String>>()?;
    // Gateways say the cost in a header or in `usage`.
    let in_header = headers
        .get("x-litellm-response-cost")
        .and_then(|v| v.to_str().ok()?.parse().ok());
    let usage = reply.usage;
    Ok(Answer {
        rows: by_index(rows, n)?,
        tokens: usage
            .as_ref()
            .and_then(|u| u.prompt_tokens.or(u.total_tokens)),
        cost: usage
            .and_then(|u| u.cost)
            .or(in_header)
            .filter(|c: &f64| c.is_finite()),
    })
}

impl Dialect for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn path(&self) -> &'static str {
        "/embeddings"
    }

    fn request(&self, ask: &Ask<'_>) -> Value {
        request(ask)
    }

    fn answer(&self, body: &[u8], headers: &HeaderMap, n: usize) -> Result<Answer, String> {
        answer(body, headers, n)
    }

    fn cuts(&self) -> bool {
        false
    }

    fn refuses(&self) -> bool {
        false
    }
}

impl Dialect for Vllm {
    fn name(&self) -> &'static str {
        "vllm"
    }

    fn path(&self) -> &'static str {
        "/embeddings"
    }

    fn request(&self, ask: &Ask<'_>) -> Value {
        let mut body = request(ask);
        if let Some(tokens) = ask.cut {
            // −1 is the model's own maximum, for when that is not known here.
            body["truncate_prompt_tokens"] = json!(i64::try_from(tokens).unwrap_or(-1));
        }
        body
    }

    fn answer(&self, body: &[u8], headers: &HeaderMap, n: usize) -> Result<Answer, String> {
        answer(body, headers, n)
    }

    fn cuts(&self) -> bool {
        true
    }

    fn refuses(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str, n: usize) -> Result<Answer, String> {
        answer(body.as_bytes(), &HeaderMap::new(), n)
    }

    #[test]
    fn both_codings_give_the_same_numbers() {
        let values = [0.1_f32, -1.5e-8, 3.0];
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let coded = base64::encode(&bytes);
        let body = json!({
            "data": [
                {"index": 1, "embedding": values, "object": "embedding"},
                {"index": 0, "embedding": coded, "object": "embedding"},
            ],
            "usage": {"prompt_tokens": 7, "total_tokens": 7, "cost": 0.25},
        });
        let found = parsed(&body.to_string(), 2).expect("parsed");
        assert_eq!(found.rows, [values, values]);
        assert_eq!((found.tokens, found.cost), (Some(7), Some(0.25)));
    }

    #[test]
    fn what_is_no_answer_says_what_was_found() {
        for (body, expected) in [
            ("{\"data\":[{\"index\":0,\"embe", "EOF"),
            ("{}", "missing field `data`"),
            (r#"{"error":{"message":"no slot"}}"#, "embeddings: no slot"),
            (
                r#"{"data":[{"index":0,"embedding":[[1.0],[2.0]]}]}"#,
                "start the server with a pooling",
            ),
            (r#"{"data":[{"index":0,"embedding":"AAAA"}]}"#, "of 3 bytes"),
            (r#"{"data":[{"index":0,"embedding":"!"}]}"#, "no base64"),
            (r#"{"data":[]}"#, "found 0 embeddings for 1 texts"),
        ] {
            let error = parsed(body, 1).expect_err("refused");
            assert!(error.contains(expected), "{error}");
        }
        for nan in ["null", "NaN"] {
            let body = format!(r#"{{"data":[{{"index":0,"embedding":[1.0,{nan}]}}]}}"#);
            assert!(parsed(&body, 1).expect("parsed").rows[0][1].is_nan());
        }
    }

    #[test]
    fn only_vllm_is_asked_to_cut() {
        let ask = Ask {
            model: "m",
            texts: &["a"],
            base64: true,
            cut: Some(256),
        };
        assert_eq!(Vllm.request(&ask)["truncate_prompt_tokens"], 256);
        assert_eq!(OpenAi.request(&ask).get("truncate_prompt_tokens"), None);
        assert_eq!(OpenAi.request(&ask)["encoding_format"], "base64");
    }
}
