//! Requests to an endpoint: sent with the key, tried again where that may help, counted.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

use super::refusal::{TooLong, message, says_not_a_number, too_long};
use super::{EndpointError, Key};
use crate::budget;
use crate::failure::FailureClass;
use crate::http::{self, Patience};

/// Largest answer that is read, unpacked: a request holds at most 32 texts, and 32 embeddings of 16,384 numbers
/// have 14 million bytes when they are written out.
const LARGEST_ANSWER: u64 = 64 << 20;
/// Largest description of a server or a list of its models, which becomes a tree of values.
const LARGEST_DESCRIPTION: u64 = 16 << 20;
/// Largest text of an error.
const LARGEST_REFUSAL: u64 = 1 << 20;
/// How often an answer that breaks the protocol is asked for again: what is wrong once may be a
/// proxy's doing, what is wrong again is the server's.
const WRONG_ANSWERS: u32 = 3;

/// How an endpoint is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Key, where one is set.
    pub key: Option<Key>,
    /// Attempts and waits.
    pub patience: Patience,
    /// How long the server may take to begin its answer.
    pub timeout: Duration,
    /// Requests at once.
    pub concurrency: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key: None,
            patience: Patience {
                attempts: 8,
                first: Duration::from_millis(500),
                longest: Duration::from_mins(2),
            },
            timeout: Duration::from_mins(5),
            concurrency: 8,
        }
    }
}

/// A client of one endpoint, used from several threads.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    settings: Settings,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    retries: AtomicU64,
    tokens: AtomicU64,
    tokens_reported: AtomicU64,
    cost: Mutex<Option<f64>>,
}

/// What a server was asked and what it reported.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Requests sent, those that failed among them.
    pub requests: u64,
    /// How many of them were sent again.
    pub retries: u64,
    /// Tokens that the server counted; `null` where it counts none.
    pub tokens: Option<u64>,
    /// What it cost, in the unit in which the server reports it; `null` where it reports none.
    pub cost: Option<f64>,
}

/// Why a request gave nothing. `E` is the error of the caller, who may refuse an answer for reasons
/// of its own.
#[derive(Debug)]
pub enum Refusal<E = EndpointError> {
    /// The server does not take texts this long, or this many; with what it said.
    TooLong(TooLong, E),
    /// The server does not have this path, or does not take what was asked (status 404, 405, 400,
    /// 422, or an embedding that is no number), which in probing means another dialect.
    NotKnown(E),
    /// The key or the account does not suffice, so no further request will do better; with the
    /// status (401, 402, 403, or another that speaks of a spent quota).
    Barred(u16, E),
    /// Everything else.
    Failed(E),
}

impl<E> Refusal<E> {
    /// The error in it.
    pub fn error(self) -> E {
        match self {
            Self::NotKnown(error)
            | Self::Failed(error)
            | Self::TooLong(_, error)
            | Self::Barred(_, error) => error,
        }
    }

    fn map<F>(self, change: impl Fn(E) -> F) -> Refusal<F> {
        match self {
            Self::NotKnown(error) => Refusal::NotKnown(change(error)),
            Self::Failed(error) => Refusal::Failed(change(error)),
            Self::TooLong(long, error) => Refusal::TooLong(long, change(error)),
            Self::Barred(status, error) => Refusal::Barred(status, change(error)),
        }
    }
}

/// How one attempt failed.
enum Attempt {
    /// Another may succeed, after the wait that the server asks for.
    Again(EndpointError, Option<Duration>),
    /// No other will succeed.
    Final(Refusal),
}

impl Client {
    /// A client with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            agent: http::agent(Duration::from_secs(15), settings.timeout),
            settings,
            counts: Counts::default(),
        }
    }

    /// How the endpoint is reached.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What was asked and reported so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Usage {
            requests: get(&self.counts.requests),
            retries: get(&self.counts.retries),
            tokens: (get(&self.counts.tokens_reported) > 0).then(|| get(&self.counts.tokens)),
            cost: *self.cost(),
        }
    }

    fn cost(&self) -> std::sync::MutexGuard<'_, Option<f64>> {
        // A panic while the lock was held leaves the number as it was.
        self.counts
            .cost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what an answer reports.
    pub fn count(&self, tokens: Option<u64>, cost: Option<f64>) {
        if let Some(tokens) = tokens {
            self.counts.tokens.fetch_add(tokens, Ordering::Relaxed);
            self.counts.tokens_reported.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(cost) = cost {
            let mut sum = self.cost();
            *sum = Some(sum.unwrap_or(0.0) + cost);
        }
    }

    /// `GET` of a JSON document.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or answers with something else.
    pub fn get(&self, url: &str) -> Result<Value, Refusal> {
        self.retry(url, None, |body, _| {
            serde_json::from_slice(body).map_err(|e| Wrong::Answer(e.to_string()))
        })
    }

    /// `POST` of a JSON body; `understand` reads the answer, and one it does not understand is
    /// asked for again a few times.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or gives no answer that is understood.
    pub fn post<T, E: From<EndpointError>>(
        &self,
        url: &str,
        body: &Value,
        understand: impl Fn(&[u8], &HeaderMap) -> Result<T, Wrong<E>>,
    ) -> Result<T, Refusal<E>> {
        self.retry(url, Some(&body.to_string()), understand)
    }

    fn retry<T, E: From<EndpointError>>(
        &self,
        url: &str,
        body: Option<&str>,
        understand: impl Fn(&[u8], &HeaderMap) -> Result<T, Wrong<E>>,
    ) -> Result<T, Refusal<E>> {
        let (mut tried, mut wrong) = (0, 0);
        loop {
            tried += 1;
            self.counts.requests.fetch_add(1, Ordering::Relaxed);
            let (error, asked) = match self.attempt(url, body) {
                Ok((body, headers)) => match understand(&body, &headers) {
                    Ok(value) => return Ok(value),
                    Err(found) => {
                        wrong += 1;
                        let error = match found {
                            Wrong::Answer(reason) => self.broken(url, &reason).into(),
                            Wrong::Hopeless(reason) => {
                                return Err(Refusal::Failed(self.broken(url, &reason).into()));
                            }
                            Wrong::Error(error) => error,
                        };
                        if wrong >= WRONG_ANSWERS {
                            return Err(Refusal::Failed(error));
                        }
                        (error, None)
                    }
                },
                Err(Attempt::Final(refusal)) => return Err(refusal.map(E::from)),
                Err(Attempt::Again(error, asked)) => (error.into(), asked),
            };
            let Some(wait) = self.settings.patience.wait(tried, asked) else {
                return Err(Refusal::Failed(error));
            };
            self.counts.retries.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(wait);
        }
    }

    fn attempt(&self, url: &str, body: Option<&str>) -> Result<(Vec<u8>, HeaderMap), Attempt> {
        let mut request = Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(url)
            .header("accept", "application/json");
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        if let Some(key) = &self.settings.key {
            request = request.header("authorization", key.header());
        }
        let request = request
            .body(body.unwrap_or_default().to_owned())
            .map_err(|e| Attempt::Final(Refusal::Failed(self.broken(url, &e.to_string()))))?;
        if let Some((reason, hint)) = http::unusable_proxy(url) {
            let url = url.to_owned();
            let (hint, class) = (Some(hint.into()), FailureClass::Usage);
            let error = EndpointError::Server {
                url,
                reason,
                hint,
                class,
            };
            return Err(Attempt::Final(Refusal::Failed(error)));
        }
        let mut response = self
            .agent
            .run(request)
            .map_err(|e| self.unreachable(url, &e))?;
        let status = response.status().as_u16();
        let asked = http::retry_after(&response);
        let location = http::header(&response, "location");
        let headers = response.headers().clone();
        let succeeded = (200..300).contains(&status);
        let most = match (succeeded, body) {
            (false, _) => LARGEST_REFUSAL,
            (true, None) => LARGEST_DESCRIPTION,
            (true, Some(_)) => LARGEST_ANSWER,
        };
        let body = budget::read_to_end(response.body_mut().as_reader(), most);
        if succeeded {
            return match body {
                Ok(body) => Ok((body, headers)),
                Err(e) if e.kind() == ErrorKind::InvalidData => {
                    let what = format!("the answer cannot be read: {e}");
                    Err(Attempt::Final(Refusal::Failed(self.broken(url, &what))))
                }
                // The connection broke off in the middle of the answer.
                Err(e) => Err(self.unreachable(url, &ureq::Error::Io(e))),
            };
        }
        let said = self.redact(&message(&body.unwrap_or_default()));
        let error = self.status(url, status, &said, location.as_deref());
        if let Some(long) = too_long(status, &said) {
            return Err(Attempt::Final(Refusal::TooLong(long, error)));
        }
        if says_not_a_number(&said) {
            return Err(Attempt::Final(Refusal::NotKnown(error)));
        }
        // Waiting does not help: the account has no money left.
        let hopeless =
            said.contains("insufficient_quota") || said.contains("exceeded your current quota");
        Err(match status {
            _ if http::may_be_retried(status) && !hopeless => Attempt::Again(error, asked),
            400 | 404 | 405 | 422 | 501 => Attempt::Final(Refusal::NotKnown(error)),
            401..=403 => Attempt::Final(Refusal::Barred(status, error)),
            _ if hopeless => Attempt::Final(Refusal::Barred(status, error)),
            _ => Attempt::Final(Refusal::Failed(error)),
        })
    }

    fn redact(&self, text: &str) -> String {
        match &self.settings.key {
            Some(key) => key.redact(text),
            None => text.to_owned(),
        }
    }

    fn unreachable(&self, url: &str, error: &ureq::Error) -> Attempt {
        let reason = self.redact(&error.to_string());
        let wrapped = EndpointError::Server {
            url: url.to_owned(),
            reason: format!("no answer: {reason}"),
            hint: Some("is the server running, and is the address right?".into()),
            class: FailureClass::Network,
        };
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::BodyExceedsLimit(_) => {
                Attempt::Final(Refusal::Failed(wrapped))
            }
            _ => Attempt::Again(wrapped, None),
        }
    }

    /// An answer that breaks the protocol.
    fn broken(&self, url: &str, reason: &str) -> EndpointError {
        EndpointError::Server {
            url: url.to_owned(),
            reason: self.redact(reason),
            hint: Some("is this a server of embeddings, and its version one that is known?".into()),
            class: FailureClass::Network,
        }
    }

    fn status(&self, url: &str, status: u16, said: &str, location: Option<&str>) -> EndpointError {
        let said = if said.is_empty() {
            String::new()
        } else {
            format!(": {said}")
        };
        let key = self.settings.key.as_ref();
        let hint = match (status, key) {
            (300..=399, _) => location.map(|to| {
                let to = self.redact(to);
                format!("it points to {to}: name that address, the key is not sent after it")
            }),
            (401 | 403, Some(key)) => Some(format!(
                "the key in `{}` was sent and does not suffice",
                key.variable()
            )),
            (401 | 403, None) => Some(
                "no key was sent: put one into `OPENAI_API_KEY` for `openai:`, `VLLM_API_KEY` for \
                 `vllm:`, `TEI_API_KEY` for `tei:`, or `KORFINSTS_API_KEY`"
                    .into(),
            ),
            (404 | 405, _) => Some("is the path right? Most servers want `/v1` at its end".into()),
            (429, _) => {
                Some("run the same command again later: it goes on where it stopped".into())
            }
            (500..=599, _) => Some("what does the server's log say?".into()),
            _ => None,
        };
        EndpointError::Server {
            url: url.to_owned(),
            reason: format!("status {status}{said}"),
            hint,
            class: FailureClass::Network,
        }
    }
}

/// Why an answer could not be read.
#[derive(Debug)]
pub enum Wrong<E = EndpointError> {
    /// It breaks the protocol.
    Answer(String),
    /// It breaks the protocol in a way that asking again does not change.
    Hopeless(String),
    /// It is well formed, and the caller cannot use it.
    Error(E),
}
