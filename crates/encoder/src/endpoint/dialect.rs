//! What servers of embeddings speak. To add a dialect: a file in this folder and a line in
//! [`DIALECTS`].

use std::fmt::Debug;

use serde_json::Value;
use ureq::http::HeaderMap;

use super::{openai, tei};
use korfinsts_base::endpoint::message;

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

/// Longest answer that is looked at for an error, in bytes.
const LONGEST_ERROR: usize = 1 << 16;

/// What an answer says that has the status of a success and is an error all the same, as some
/// servers and gateways send.
#[must_use]
pub fn disguised(body: &[u8]) -> Option<String> {
    // An error is short; a long answer as a tree of values takes sixteen times its bytes.
    let value: Value =
        serde_json::from_slice(body.get(..LONGEST_ERROR).map_or(body, |_| &[])).ok()?;
    let error = value.get("error").is_some_and(|e| !e.is_null());
    error.then(|| format!("an error in the place of embeddings: {}", message(body)))
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
    fn an_error_under_the_status_of_a_success_is_found() {
        let body = br#"{"error":{"code":400,"message":"no slot","type":"x"}}"#;
        let found = disguised(body).expect("an error");
        assert!(
            found.contains("in the place of embeddings: no slot"),
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
