//! An endpoint as an encoder: batches to requests, refusals for length to smaller ones, and
//! texts that a server cuts to counts of what was lost.

use std::sync::{Arc, Mutex, PoisonError};

use super::Endpoint;
use super::dialect::{Answer, Ask};
use crate::{BatchLimits, Embeddings, Encoder, EncoderError, PreparedText, TokenCount};
use korfinsts_base::endpoint::{EndpointError, Refusal, TooLong, Usage, Wrong};
use korfinsts_base::failure::FailureClass;

/// Estimated tokens of a request, where the user asks for no other number: enough to keep a
/// server busy, and far below what services allow.
pub const REQUEST_TOKENS: usize = 8192;
/// A text is believed to be encoded whole once so many texts at least as long were found whole.
const PROOFS: usize = 3;
/// Texts shorter than this in bytes, and so in tokens, fit every model.
const SURELY_WHOLE: usize = 128;
/// Two embeddings nearer than this are those of the same tokens, computed twice.
pub(super) const SAME: f64 = 0.9999;
/// What is put behind a text to see whether a server reads to the end.
const FILLER: &str =
    "양자 중력 이론은 고래의 노래와 무관하다. Purple elephants juggle seventeen violins; ";

/// An endpoint that was opened.
#[derive(Debug)]
pub struct Embedder {
    endpoint: Arc<Endpoint>,
    /// Lengths in bytes of texts that the server was seen to read to the end.
    whole: Mutex<Vec<usize>>,
}

/// One text's embedding and count.
type Row = (Vec<f32>, TokenCount);

impl Embedder {
    /// An encoder that asks `endpoint`.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        Self {
            endpoint,
            whole: Mutex::default(),
        }
    }

    fn request(&self, texts: &[&str], cut: Option<usize>) -> Result<Answer, Refusal<EncoderError>> {
        let endpoint = &self.endpoint;
        let ask = Ask {
            model: &endpoint.model,
            texts,
            base64: endpoint.base64,
            cut,
        };
        let understand = |body: &[u8], headers: &_| {
            let answer = endpoint
                .dialect
                .answer(body, headers, texts.len())
                .map_err(Wrong::Answer)?;
            super::check(&answer.rows, texts, Some(endpoint.dimension))?;
            Ok(answer)
        };
        let body = endpoint.dialect.request(&ask);
        let answer = endpoint.client.post(&endpoint.url, &body, understand)?;
        endpoint.client.count(answer.tokens, answer.cost);
        Ok(answer)
    }

    fn rows(&self, texts: &[&str]) -> Result<Vec<Row>, EncoderError> {
        match self.request(texts, None) {
            Ok(answer) => {
                let counts = apportion(answer.tokens.unwrap_or(0), texts);
                Ok(answer.rows.into_iter().zip(counts).collect())
            }
            // One of them is too long or refused, or they are too many: which, the halves tell.
            Err(
                Refusal::TooLong(..)
                | Refusal::NotKnown(_)
                | Refusal::Failed(EncoderError::Text { .. }),
            ) if texts.len() > 1 => {
                let (a, b) = texts.split_at(texts.len() / 2);
                let mut rows = self.rows(a)?;
                rows.extend(self.rows(b)?);
                Ok(rows)
            }
            Err(Refusal::TooLong(long, _)) => Ok(vec![self.cut(texts[0], long)?]),
            Err(Refusal::NotKnown(error)) => Err(error.of(texts[0])),
            Err(refusal) => Err(refusal.error()),
        }
    }

    /// The embedding of the beginning of a text that the server refused for its length.
    fn cut(&self, text: &str, long: TooLong) -> Result<Row, EncoderError> {
        let allowed = long.allowed.or(self.endpoint.max_tokens);
        if self.endpoint.dialect.cuts() {
            match self.request(&[text], Some(allowed.unwrap_or(usize::MAX))) {
                Ok(answer) => return Ok(first(answer, allowed, long.given)),
                Err(Refusal::TooLong(..)) => {}
                Err(refusal) => return Err(refusal.error()),
            }
        }
        // The server cannot be asked to cut, and its tokens are not known here: the text is cut
        // by characters until it fits.
        let characters = text.chars().count();
        let mut share = ratio(long).unwrap_or(0.75);
        for _ in 0..24 {
            let keep = (characters as f64 * share) as usize;
            let end = text.char_indices().nth(keep).map_or(text.len(), |(i, _)| i);
            if end == 0 {
                break;
            }
            match self.request(&[&text[..end]], None) {
                Ok(answer) => return Ok(first(answer, allowed, long.given)),
                Err(Refusal::TooLong(still, _)) => share *= ratio(still).unwrap_or(0.85).min(0.97),
                Err(refusal) => return Err(refusal.error()),
            }
        }
        Err(EndpointError::Server {
            url: self.endpoint.url.clone(),
            reason: format!(
                "a text of {characters} characters is refused for its length, however short it is cut"
            ),
            hint: None,
            class: FailureClass::Model,
        }
        .into())
    }

    /// Whether the server read a text to its end, as far as that can be known: a text with as
    /// much again behind it, which gives the same embedding, was cut before.
    fn is_whole(&self, text: &str, row: &[f32]) -> Result<bool, EncoderError> {
        if self.endpoint.dialect.refuses() || text.len() < SURELY_WHOLE {
            return Ok(true);
        }
        // A panic while the lock was held leaves the list as it was.
        let proofs = || self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if proofs().iter().filter(|n| **n >= text.len()).count() >= PROOFS {
            return Ok(true);
        }
        let filler = FILLER.repeat(text.len() / FILLER.len() + 1);
        match self.request(&[&format!("{text} {filler}")], None) {
            Ok(answer)
                if korfinsts_metric::cosine(row, &answer.rows[0]).is_ok_and(|c| c > SAME) =>
            {
                Ok(false)
            }
            // It sees what was added, or refuses it: it does not cut in silence.
            Ok(_) | Err(Refusal::TooLong(..)) => {
                proofs().push(text.len());
                Ok(true)
            }
            Err(refusal) => Err(refusal.error()),
        }
    }
}

/// Share of a text that fits, a little less than the numbers say.
fn ratio(long: TooLong) -> Option<f64> {
    let (allowed, given) = (long.allowed?, long.given?);
    (given > 0).then(|| (0.98 * allowed as f64 / given as f64).min(0.98))
}

/// The only row of an answer to a text that was cut.
fn first(answer: Answer, allowed: Option<usize>, given: Option<usize>) -> Row {
    let kept = answer.tokens.map(|n| n as usize).or(allowed).unwrap_or(0);
    let lost = match given {
        Some(given) if given > kept && kept > 0 => (given - kept) as u32,
        _ => TokenCount::UNKNOWN,
    };
    let count = TokenCount {
        kept: kept as u32,
        lost,
    };
    (answer.rows.into_iter().next().unwrap_or_default(), count)
}

/// A request's tokens over its texts, by their length; they sum to what was reported.
fn apportion(tokens: u64, texts: &[&str]) -> Vec<TokenCount> {
    let bytes: u64 = texts.iter().map(|t| t.len() as u64 + 1).sum();
    let (mut seen, mut given) = (0, 0);
    texts
        .iter()
        .map(|text| {
            seen += text.len() as u64 + 1;
            let until = (u128::from(tokens) * u128::from(seen) / u128::from(bytes)) as u64;
            let kept = (until - given) as u32;
            given = until;
            TokenCount { kept, lost: 0 }
        })
        .collect()
}

impl Encoder for Embedder {
    fn prepare(&self, text: &str, prompt: &str) -> Result<PreparedText, EncoderError> {
        Ok(PreparedText {
            text: format!("{prompt}{text}"),
            ..PreparedText::default()
        })
    }

    fn encode(&self, batch: &[&PreparedText]) -> Result<Embeddings, EncoderError> {
        self.encode_counted(batch).map(|(embeddings, _)| embeddings)
    }

    fn encode_counted(
        &self,
        batch: &[&PreparedText],
    ) -> Result<(Embeddings, Vec<TokenCount>), EncoderError> {
        let texts: Vec<&str> = batch.iter().map(|t| t.text.as_str()).collect();
        let mut embeddings = Embeddings {
            values: Vec::with_capacity(texts.len() * self.endpoint.dimension),
            dimension: self.endpoint.dimension,
        };
        let mut counts = Vec::with_capacity(texts.len());
        for part in texts.chunks(self.endpoint.texts_per_request) {
            for (text, (row, mut count)) in part.iter().zip(self.rows(part)?) {
                if count.lost == 0 && !self.is_whole(text, &row)? {
                    count.lost = TokenCount::UNKNOWN;
                }
                embeddings.values.extend_from_slice(&row);
                counts.push(count);
            }
        }
        Ok((embeddings, counts))
    }

    fn lanes(&self) -> usize {
        self.endpoint.concurrency
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits {
            texts: self.endpoint.texts_per_request,
            preferred_tokens: Some(REQUEST_TOKENS),
            ..BatchLimits::default()
        }
    }

    fn usage(&self) -> Option<Usage> {
        Some(self.endpoint.client.usage())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_shared_out_and_none_is_lost() {
        for (tokens, texts) in [
            (10, vec!["a", "b"]),
            (7, vec!["", "", "가나다라"]),
            (0, vec!["a"]),
            (1_000_003, vec!["long text here", "x", ""]),
        ] {
            let counts = apportion(tokens, &texts);
            let sum: u64 = counts.iter().map(|c| u64::from(c.kept)).sum();
            assert_eq!((sum, counts.len()), (tokens, texts.len()));
        }
    }

    #[test]
    fn what_a_cut_lost_is_known_or_said_to_be_unknown() {
        let answer = |tokens| Answer {
            rows: vec![vec![1.0]],
            tokens,
            cost: None,
        };
        for (tokens, allowed, given, expected) in [
            (Some(500), Some(512), Some(600), (500, 100)),
            (None, Some(512), Some(600), (512, 88)),
            (None, None, None, (0, TokenCount::UNKNOWN)),
            (Some(500), None, None, (500, TokenCount::UNKNOWN)),
        ] {
            let (_, count) = first(answer(tokens), allowed, given);
            assert_eq!((count.kept, count.lost), expected);
        }
    }
}
