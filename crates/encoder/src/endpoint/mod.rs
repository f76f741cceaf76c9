//! Endpoints: servers that embed texts. A 7B model that an existing engine serves on other
//! machines is evaluated from here; nothing of it is on disk.
//!
//! Holds what servers speak ([`dialect`]), asking a server what it is ([`probe`]), and the encoder
//! made of it ([`embedder`]). Addresses, keys and requests are those of
//! [`korfinsts_base::endpoint`]. Prompts are put before the texts here, never by the server; rows
//! are matched by index; a text is never cut in silence.

pub mod dialect;
pub mod embedder;
mod openai;
pub mod probe;
mod tei;

use std::sync::Arc;

use self::dialect::Dialect;
use korfinsts_base::endpoint::{Address, Client, Settings, Wrong};

use super::protocol::Rules;
use super::spec::{Decision, Setting};
use super::{Encoder, EncoderError, EncoderSpec};
use korfinsts_metric::Similarity;

/// Most numbers of an embedding; real ones have up to 16,384.
const MOST_DIMENSIONS: usize = 1 << 16;
/// Most texts in one request: what text-embeddings-inference allows when nothing else is set.
const TEXTS_PER_REQUEST: usize = 32;

/// A server of embeddings that was asked what it is.
#[derive(Debug)]
pub struct Endpoint {
    /// Where requests go. Holds no secret.
    pub url: String,
    /// What is spoken with it.
    pub dialect: &'static dyn Dialect,
    /// Model.
    pub model: String,
    /// Revision of the model, where the server reports one.
    pub revision: Option<String>,
    /// Software and version, where reported.
    pub server: Option<String>,
    /// Most tokens of a text, where reported.
    pub max_tokens: Option<usize>,
    /// Most texts in one request.
    pub texts_per_request: usize,
    /// Requests at once.
    pub concurrency: usize,
    /// Width of an embedding.
    pub dimension: usize,
    /// Tells models behind one address apart: see [`probe::fingerprint`].
    pub fingerprint: String,
    base64: bool,
    dtype: Option<String>,
    pooling: Option<String>,
    named: bool,
    own: probe::Own,
    doubt: Option<String>,
    warnings: Vec<String>,
    client: Client,
}

/// What a user wants of a model, besides its name.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Whether what cannot be done or known is an error.
    pub strict: bool,
    /// How embeddings are compared.
    pub similarity: Option<Similarity>,
    /// Named prompts.
    pub prompts: std::collections::BTreeMap<String, String>,
    /// Prompt used when none is asked for.
    pub default_prompt_name: Option<String>,
}

impl Endpoint {
    /// Asks the server that `text` names what it is, with the key that the environment holds for
    /// it.
    ///
    /// # Errors
    /// When the name has no known form, the server cannot be reached or refuses, or it serves no
    /// embeddings.
    pub fn open(
        text: &str,
        mut settings: Settings,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, EncoderError> {
        let address = Address::parse(text, &variable)?;
        let key = address.key(&variable)?;
        let mut warnings = Vec::new();
        if let (Some(key), true) = (&key, address.is_open()) {
            warnings.push(format!(
                "the key in `{}` is sent unencrypted to {}: others on the way can read it",
                key.variable(),
                address.url
            ));
        }
        settings.key = key;
        // A server that is not there is no reason to wait long.
        let mut hasty = settings.clone();
        hasty.patience.attempts = hasty.patience.attempts.min(4);
        let asking = Client::new(hasty);
        // Whatever the server is, the key has been sent by then.
        let sent = warnings.first().cloned();
        let warned = |error: EncoderError| match (error, &sent) {
            (EncoderError::Endpoint(error), Some(sent)) => error.noting(sent).into(),
            (error, _) => error,
        };
        let found = probe::ask(&asking, &address).map_err(warned)?;
        let dialect = found.dialect.ok_or_else(|| EncoderError::Unsupported {
            what: format!("no dialect is known for {}", address.url),
            hint: None,
        })?;
        let (answer, base64, doubt) = probe::embed(&asking, &found, dialect).map_err(warned)?;
        warnings.extend(doubt);
        let row = answer.rows.first().map_or(&[][..], Vec::as_slice);
        Ok(Self {
            dimension: row.len(),
            fingerprint: probe::fingerprint(row),
            base64,
            texts_per_request: found
                .max_texts
                .unwrap_or(TEXTS_PER_REQUEST)
                .clamp(1, TEXTS_PER_REQUEST),
            concurrency: settings
                .concurrency
                .min(found.max_requests.unwrap_or(usize::MAX))
                .max(1),
            url: found.url,
            dialect,
            model: found.model,
            revision: found.revision,
            server: found.server,
            max_tokens: found.max_tokens,
            dtype: found.dtype,
            pooling: found.pooling,
            named: address.model.is_some(),
            own: found.own,
            doubt: found.doubt,
            warnings,
            client: Client::new(settings),
        })
    }

    /// Whether the server says which revision of the model it serves.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.revision.is_some()
    }

    /// An encoder that asks it.
    #[must_use]
    pub fn encoder(self: &Arc<Self>) -> Box<dyn Encoder> {
        Box::new(embedder::Embedder::new(Arc::clone(self)))
    }

    /// What is known of the model, as a specification like that of any other. `rules` are those of the protocol for
    /// this model: what a server cannot be told is said, and an error under `wishes.strict`.
    ///
    /// # Errors
    /// Under `wishes.strict`, when the protocol asks for what the server cannot be told, or the
    /// result would be unpinned.
    pub fn spec(
        self: &Arc<Self>,
        rules: &Rules,
        mut wishes: Wishes,
    ) -> Result<EncoderSpec, EncoderError> {
        if wishes.prompts.is_empty() {
            wishes.prompts.clone_from(&self.own.prompts);
        }
        wishes.default_prompt_name = wishes
            .default_prompt_name
            .or_else(|| self.own.default_prompt_name.clone());
        if let (None, Some(name)) = (wishes.similarity, &self.own.similarity_fn_name) {
            wishes.similarity = Some(crate::read::similarity(name).ok_or_else(|| {
                EncoderError::Unsupported {
                    what: format!("the server's similarity `{name}` is not known"),
                    hint: Some(
                        "name one of cosine, dot, euclidean or manhattan in `korfinsts.toml`"
                            .into(),
                    ),
                }
            })?);
        }
        let said = |value: Option<&str>| value.unwrap_or("not reported").to_owned();
        let dialect = self.dialect.name();
        let max_tokens = self.max_tokens.map(|n| n.to_string());
        let decisions = vec![
            Decision::new(Setting::Endpoint, self.url.as_str(), "named"),
            Decision::new(Setting::Dialect, dialect, "server"),
            Decision::new(
                Setting::Model,
                &self.model,
                if self.named { "named" } else { "server" },
            ),
            Decision::new(Setting::Revision, said(self.revision.as_deref()), "server"),
            Decision::new(Setting::Server, said(self.server.as_deref()), "server"),
            Decision::new(Setting::Dimension, self.dimension.to_string(), "server"),
            Decision::new(Setting::Dtype, said(self.dtype.as_deref()), "server"),
            Decision::new(Setting::Pooling, said(self.pooling.as_deref()), "server"),
            Decision::new(
                Setting::ServedMaxTokens,
                said(max_tokens.as_deref()),
                "server",
            ),
            Decision::new(Setting::Fingerprint, &self.fingerprint, "a fixed text"),
        ];
        let mut warnings = self.warnings.clone();
        let mut doubts: Vec<String> = self.doubt.iter().cloned().collect();
        doubts.extend(self.doubts(rules));
        if wishes.prompts.is_empty() && rules.needs_prompts() {
            doubts.push(
                "the protocol uses a prompt of the model's own where it has one, and a server \
                 names none: `[models.\"NAME\"]` in `korfinsts.toml` can hold its `prompts`"
                    .into(),
            );
        }
        if !self.is_pinned() {
            doubts.push(format!(
                "unpinned: {} does not say which revision of `{}` it serves, so the result \
                 cannot be traced to weights",
                self.url, self.model
            ));
        }
        if let (true, Some(doubt)) = (wishes.strict, doubts.first()) {
            return Err(EncoderError::Unsupported {
                what: doubt.clone(),
                hint: Some("leave `--strict` out, or evaluate the model's own files".into()),
            });
        }
        warnings.append(&mut doubts);
        Ok(EncoderSpec {
            name: self.model.clone(),
            revision: self.revision.clone(),
            backend: dialect,
            backend_version: self.server.clone().unwrap_or_default(),
            dtype: self.dtype.clone().unwrap_or_default(),
            max_tokens: self.max_tokens.unwrap_or(0),
            prompts: wishes.prompts,
            default_prompt_name: wishes.default_prompt_name,
            similarity: wishes.similarity.unwrap_or_default(),
            decisions,
            warnings,
            endpoint: Some(Arc::clone(self)),
            ..EncoderSpec::default()
        })
    }

    /// What the protocol asks for and the server cannot be told.
    fn doubts(&self, rules: &Rules) -> Vec<String> {
        let mut doubts = Vec::new();
        if let Some(n) = rules.max_tokens
            && self.max_tokens.is_none_or(|served| served > n)
        {
            doubts.push(format!(
                "the protocol cuts texts at {n} tokens, which the server cannot be told"
            ));
        }
        if rules.include_prompt == Some(false) {
            doubts.push(
                "the protocol leaves the prompt out of the pooling, which the server cannot be told"
                    .into(),
            );
        }
        if let Some(wanted) = &rules.pooling {
            match self.pooling.as_deref() {
                None => doubts.push(format!(
                    "the protocol pools by `{wanted}`; how the server pools is not known"
                )),
                Some(found) if same_pooling(found, wanted) => {}
                Some(found) => doubts.push(format!(
                    "the protocol pools by `{wanted}`, the server by `{found}`"
                )),
            }
        }
        doubts
    }
}

/// `last_token` and `lasttoken`, letters of either case.
fn same_pooling(a: &str, b: &str) -> bool {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-'], "");
    plain(a) == plain(b)
}

/// Checks rows of an answer: finite numbers, of the width that the server gave before.
///
/// # Errors
/// What is wrong with the first that is.
fn check(
    rows: &[Vec<f32>],
    texts: &[&str],
    dimension: Option<usize>,
) -> Result<(), Wrong<EncoderError>> {
    for (row, text) in rows.iter().zip(texts) {
        if row.len() > MOST_DIMENSIONS {
            return Err(Wrong::Hopeless(format!(
                "found an embedding of width {}, allowed are up to {MOST_DIMENSIONS}",
                row.len()
            )));
        }
        let expected = dimension.unwrap_or(row.len());
        if row.is_empty() || row.len() != expected {
            return Err(Wrong::Answer(match dimension {
                Some(n) => format!("found an embedding of width {}, expected {n}", row.len()),
                None => "found an embedding of width 0".into(),
            }));
        }
        if let Some(dimension) = row.iter().position(|v| !v.is_finite()) {
            let error = EncoderError::NotFinite {
                value: row[dimension],
                dimension,
            };
            return Err(Wrong::Error(error.of(text)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_another_width_or_without_a_number_are_refused() {
        let wrong = |rows: &[Vec<f32>], dimension| match check(rows, &["a", "b"], dimension) {
            Ok(()) => "fine".to_owned(),
            Err(Wrong::Answer(reason) | Wrong::Hopeless(reason)) => reason,
            Err(Wrong::Error(EncoderError::Text { text, source })) => format!("{text}: {source}"),
            Err(Wrong::Error(error)) => error.to_string(),
        };
        assert_eq!(wrong(&[vec![1.0, 2.0]], Some(2)), "fine");
        for (rows, dimension, expected) in [
            (vec![vec![1.0]], Some(2), "width 1, expected 2"),
            (vec![vec![]], None, "width 0"),
            (
                vec![vec![1.0], vec![f32::NAN]],
                Some(1),
                "b: an embedding holds NaN at dimension 0",
            ),
            (vec![vec![1.0, f32::INFINITY]], None, "inf at dimension 1"),
            (
                vec![vec![0.0; 65_537]],
                None,
                "width 65537, allowed are up to 65536",
            ),
        ] {
            let found = wrong(&rows, dimension);
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn pooling_is_named_in_several_ways() {
        assert!(same_pooling("last_token", "lasttoken"));
        assert!(same_pooling("Mean", "mean"));
        assert!(!same_pooling("cls", "mean"));
    }
}
