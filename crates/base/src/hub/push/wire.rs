//! Requests of a push, and what the hub answers to them.
//!
//! The token goes to the host of the endpoint and to no other, redirects included.

use std::io::Read;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Body, SendBody};

use super::super::client::{Attempt, Remote, again, join, same_host};
use super::super::{Hub, HubError};
use crate::budget;
use crate::http::{self, header};
use crate::text::printable;

/// Longest answer in JSON.
const LONGEST_ANSWER: u64 = 64 << 20;
/// Longest part of an error's text that is read, in bytes, and that is shown, in characters.
const LONGEST_REASON: (u64, usize) = (64 << 10, 300);
/// How long an answer may take: a commit of thousands of files takes minutes.
const PATIENCE: Duration = Duration::from_mins(5);
/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 10;

/// What is sent.
#[derive(Clone, Copy)]
pub(super) struct Parcel<'a> {
    pub kind: &'a str,
    pub bytes: &'a [u8],
}

impl Hub {
    /// A GET whose answer is JSON.
    pub(super) fn get_json(&self, remote: Remote<'_>) -> Result<Value, HubError> {
        self.retry(|| {
            let mut response = self.get_once(remote.url, None)?;
            if !response.status().is_success() {
                return Err(self.refusal(&mut response, remote));
            }
            parse(&mut response, remote.url)
        })
    }

    /// A POST of JSON whose answer is JSON. It is sent again when the answer is lost, so it must be one
    /// that may be.
    pub(super) fn post(&self, remote: Remote<'_>, value: &Value) -> Result<Value, HubError> {
        let bytes = value.to_string().into_bytes();
        let parcel = Parcel {
            kind: "application/json",
            bytes: &bytes,
        };
        self.retry(|| self.post_once(remote, parcel))
    }

    /// One attempt of a POST; a renamed repository is followed on the same host.
    pub(super) fn post_once(
        &self,
        remote: Remote<'_>,
        parcel: Parcel<'_>,
    ) -> Result<Value, Attempt> {
        let mut url = remote.url.to_owned();
        for _ in 0..MAX_REDIRECTS {
            let request = self
                .begin("POST", &url, self.is_own(&url))
                .header("content-type", parcel.kind)
                .header("accept", accepted(parcel.kind));
            let mut response = self.send(&url, request.body(parcel.bytes))?;
            match header(&response, "location") {
                Some(to)
                    if response.status().is_redirection() && same_host(&join(&url, &to), &url) =>
                {
                    url = join(&url, &to);
                }
                _ if response.status().is_success() => return parse(&mut response, &url),
                _ => return Err(self.refusal(&mut response, remote)),
            }
        }
        Err(Attempt::Final(HubError::Protocol {
            url,
            reason: format!("more than {MAX_REDIRECTS} redirects"),
        }))
    }

    /// One attempt of a PUT of `size` bytes; gives the tag of what was stored. No token goes along: the
    /// address itself is the permission.
    pub(super) fn put_once(
        &self,
        remote: Remote<'_>,
        headers: &[(String, String)],
        (size, body): (u64, &mut dyn Read),
    ) -> Result<Option<String>, Attempt> {
        let mut request = self
            .begin("PUT", remote.url, false)
            .header("content-length", size);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(SendBody::from_reader(body));
        let mut response = self.send(remote.url, request)?;
        if response.status().is_success() {
            Ok(header(&response, "etag"))
        } else {
            Err(self.refusal(&mut response, remote))
        }
    }

    fn send<B: ureq::AsSendBody>(
        &self,
        url: &str,
        request: Result<ureq::http::Request<B>, ureq::http::Error>,
    ) -> Result<Response<Body>, Attempt> {
        let patient = |request| {
            let request = self.agent.configure_request(request);
            request.timeout_recv_response(Some(PATIENCE)).build()
        };
        self.run(url, request.map(patient))
    }

    /// Whether an address is on the host of the endpoint, which alone gets the token.
    fn is_own(&self, url: &str) -> bool {
        same_host(url, &self.settings.endpoint)
    }

    /// An answer that is no success as an error: final, or worth another attempt.
    pub(super) fn refusal(&self, response: &mut Response<Body>, remote: Remote<'_>) -> Attempt {
        let status = response.status().as_u16();
        let gone = header(response, "x-error-code").is_some_and(|code| code == "RepoNotFound");
        let what = remote.what.to_owned();
        Attempt::Final(match status {
            404 | 410 => HubError::NotFound { what },
            401 | 403 if gone => HubError::NotFound { what },
            // A full disk does not become empty by waiting.
            _ if http::may_be_retried(status) && status != 507 => {
                let url = remote.url.to_owned();
                let after = http::retry_after(response);
                return Attempt::Again(HubError::Status { url, status }, after);
            }
            409 | 412 => HubError::Conflict {
                what,
                said: self.reason(response),
            },
            _ => HubError::Denied {
                what,
                status,
                said: self.reason(response),
                token: self.settings.token.is_some(),
            },
        })
    }

    /// What the hub says of an error, without the token, should it repeat that.
    fn reason(&self, response: &mut Response<Body>) -> String {
        let said = header(response, "x-error-message");
        let said = said.unwrap_or_else(|| {
            let body = budget::read_to_end(response.body_mut().as_reader(), LONGEST_REASON.0);
            let body = body.unwrap_or_default();
            let value: Value = serde_json::from_slice(&body).unwrap_or_default();
            let named = value["error"].as_str().or(value["message"].as_str());
            named.map_or_else(String::new, ToOwned::to_owned)
        });
        self.shown(&said)
    }

    /// A text of the hub as it may be shown.
    pub(super) fn shown(&self, said: &str) -> String {
        let said = match &self.settings.token {
            Some(token) => said.replace(token.as_str(), "***"),
            None => said.to_owned(),
        };
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = words.chars().take(LONGEST_REASON.1).collect();
        match printable(&short).into_owned() {
            said if said.is_empty() => "no reason is given".into(),
            said => said,
        }
    }
}

/// Git LFS answers in a type of its own.
fn accepted(kind: &str) -> &str {
    if kind.starts_with("application/vnd.git-lfs") {
        kind
    } else {
        "application/json"
    }
}

/// The JSON of an answer; one that was cut is worth another attempt, an empty one is null.
fn parse(response: &mut Response<Body>, url: &str) -> Result<Value, Attempt> {
    let body = budget::read_to_end(response.body_mut().as_reader(), LONGEST_ANSWER)
        .map_err(|e| again(url, &e.to_string()))?;
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let wrong = |e: serde_json::Error| HubError::Protocol {
        url: url.to_owned(),
        reason: e.to_string(),
    };
    serde_json::from_slice(&body).map_err(|e| Attempt::Final(wrong(e)))
}
