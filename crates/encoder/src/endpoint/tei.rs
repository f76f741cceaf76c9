//! The own protocol of text-embeddings-inference: `POST /embed`, and `GET /info` that names model,
//! revision and limits.

use serde_json::{Value, json};
use ureq::http::HeaderMap;

use super::dialect::{self, Answer, Ask, Dialect};

/// The protocol.
#[derive(Debug)]
pub struct Tei;

impl Dialect for Tei {
    fn name(&self) -> &'static str {
        "tei"
    }

    fn path(&self) -> &'static str {
        "/embed"
    }

    fn request(&self, ask: &Ask<'_>) -> Value {
        // A server may truncate by default: it is always said.
        json!({"inputs": ask.texts, "normalize": true, "truncate": ask.cut.is_some()})
    }

    fn answer(&self, body: &[u8], headers: &HeaderMap, n: usize) -> Result<Answer, String> {
        let rows: Vec<Vec<Option<f32>>> = serde_json::from_slice(body)
            .map_err(|e| dialect::disguised(body).unwrap_or_else(|| e.to_string()))?;
        if rows.len() != n {
            return Err(format!("found {} embeddings for {n} texts", rows.len()));
        }
        let rows = rows
            .into_iter()
            .map(|row| row.into_iter().map(|v| v.unwrap_or(f32::NAN)).collect())
            .collect();
        let tokens = headers
            .get("x-compute-tokens")
            .and_then(|v| v.to_str().ok()?.parse().ok());
        Ok(Answer {
            rows,
            tokens,
            cost: None,
        })
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

    #[test]
    fn truncation_is_always_said_and_rows_are_counted() {
        let ask = |cut| Ask {
            model: "",
            texts: &["a", "b"],
            base64: true,
            cut,
        };
        assert_eq!(Tei.request(&ask(None))["truncate"], false);
        assert_eq!(Tei.request(&ask(Some(512)))["truncate"], true);
        let mut headers = HeaderMap::new();
        headers.insert("x-compute-tokens", "12".parse().expect("a header"));
        let found = Tei.answer(b"[[1.0],[2.0]]", &headers, 2).expect("parsed");
        assert_eq!((found.rows[1][0], found.tokens), (2.0, Some(12)));
        let error = Tei.answer(b"[[1.0]]", &headers, 2).expect_err("refused");
        assert_eq!(error, "found 1 embeddings for 2 texts");
    }
}
