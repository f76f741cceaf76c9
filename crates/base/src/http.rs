//! HTTP: what everything that speaks to a server shares: how an agent is made, which answers are
//! worth another attempt, and how long to wait for it. Ground floor: imports nothing.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

use ureq::http::Response;
use ureq::{Agent, Body};

/// An agent that gives every status as an answer and follows no redirect by itself, so that a
/// secret sent with a request stays with its host.
///
/// `answer` is how long the head of an answer, and each further part of it, may take.
#[must_use]
pub fn agent(connect: Duration, answer: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("korfinsts/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(connect))
        .timeout_recv_response(Some(answer))
        .timeout_per_read(Some(answer))
        .max_idle_connections(64)
        .max_idle_connections_per_host(64)
        .build()
        .new_agent()
}

/// Variables that may name a proxy.
const PROXIES: [&str; 6] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
];

/// What is wrong with the proxy that the environment names, and what to do, where it cannot be used: a
/// request would go past it. Addresses of this machine need no proxy.
#[must_use]
pub fn unusable_proxy(url: &str) -> Option<(String, &'static str)> {
    let named = |name| Some((name, std::env::var(name).ok().filter(|v| !v.is_empty())?));
    unusable(url, PROXIES.into_iter().find_map(named))
}

/// [`unusable_proxy`] for the variable that counts, the first that is set.
fn unusable(url: &str, named: Option<(&str, String)>) -> Option<(String, &'static str)> {
    let uri: ureq::http::Uri = url.parse().ok()?;
    let host = uri.host().unwrap_or_default();
    if host == "localhost" || host == "[::1]" || host.starts_with("127.") {
        return None;
    }
    let (name, value) = named?;
    let usable = |proxy: ureq::Proxy| {
        matches!(
            proxy.protocol(),
            ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https
        )
    };
    if ureq::Proxy::new(&value).is_ok_and(usable) {
        return None;
    }
    // The rest of the value may hold a password.
    let scheme = value.split_once("://").map_or("", |(scheme, _)| scheme);
    let reason =
        format!("`{name}` names a proxy of kind `{scheme}`, and only HTTP proxies are used");
    Some((
        reason,
        "name an HTTP proxy (`ALL_PROXY=http://HOST:PORT`), or unset the variable",
    ))
}

/// A header as text; `None` where it is absent or no ASCII.
#[must_use]
pub fn header(response: &Response<Body>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// Whether a status says that the same request may succeed later.
#[must_use]
pub fn may_be_retried(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// The wait that an answer asks for in `Retry-After`: seconds, or an HTTP date (one in the past
/// is no wait).
#[must_use]
pub fn retry_after(response: &Response<Body>) -> Option<Duration> {
    parse_retry_after(&header(response, "retry-after")?, SystemTime::now())
}

/// [`retry_after`] of a header's text at a given time.
fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let date = SystemTime::from(date.timestamp());
    Some(date.duration_since(now).unwrap_or_default())
}

/// How often a request is tried, and how long the waits between are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Wait before the second attempt; doubles with each further one.
    pub first: Duration,
    /// Longest wait; a server that asks for a longer one is given up.
    pub longest: Duration,
}

impl Patience {
    /// The wait after `tried` attempts, the last of which asked for `asked`; `None` when no
    /// further attempt is made.
    ///
    /// What is not asked for doubles and is spread over half of itself, so that clients which
    /// failed together do not come back together; what is asked for is kept and spread upward.
    #[must_use]
    pub fn wait(&self, tried: u32, asked: Option<Duration>) -> Option<Duration> {
        if tried >= self.attempts || asked.is_some_and(|a| a > self.longest) {
            return None;
        }
        let spread = random();
        Some(match asked {
            Some(asked) => asked + self.first.min(asked).mul_f64(0.25 * spread),
            None => self
                .first
                .saturating_mul(2_u32.saturating_pow(tried.saturating_sub(1)))
                .min(self.longest)
                .mul_f64(1.0 - 0.5 * spread),
        })
    }
}

/// A number in [0, 1), another one each time. Good enough to spread waits.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_by_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, seconds) in [
            ("7", Some(7.0)),
            (" 0 ", Some(0.0)),
            ("0.5", Some(0.5)),
            // The example of RFC 9110, whose Unix time is 784,111,777.
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10.0)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0.0)),
            ("-1", None),
            ("soon", None),
            ("inf", None),
        ] {
            let found = parse_retry_after(text, now).map(|d| d.as_secs_f64());
            assert_eq!(found, seconds, "{text}");
        }
    }

    #[test]
    fn a_proxy_that_is_not_used_is_said() {
        let away = "https://example.org/x";
        let socks = "socks5://u:secret@h:1";
        for (url, named, said) in [
            (away, vec![("ALL_PROXY", socks)], true),
            (away, vec![("all_proxy", "ftp://h:1")], true),
            (away, vec![("HTTPS_PROXY", "http://h:1")], false),
            (away, vec![], false),
            (
                "http://127.0.0.1:8000/v1",
                vec![("ALL_PROXY", socks)],
                false,
            ),
            ("http://localhost/v1", vec![("ALL_PROXY", socks)], false),
        ] {
            let found = unusable(url, named.first().map(|(n, v)| (*n, (*v).to_owned())));
            assert_eq!(found.is_some(), said, "{url} {named:?}");
            assert!(found.is_none_or(|(reason, _)| !reason.contains("secret")));
        }
    }

    #[test]
    fn waits_grow_are_spread_and_end() {
        let patience = Patience {
            attempts: 5,
            first: Duration::from_millis(100),
            longest: Duration::from_millis(300),
        };
        for (tried, low, high) in [(1, 50, 100), (2, 100, 200), (3, 150, 300), (4, 150, 300)] {
            for _ in 0..50 {
                let wait = patience.wait(tried, None).expect("another attempt");
                let bounds = Duration::from_millis(low)..=Duration::from_millis(high);
                assert!(bounds.contains(&wait), "{tried}: {wait:?}");
            }
        }
        assert_eq!(patience.wait(5, None), None);
        let asked = Duration::from_millis(200);
        let wait = patience.wait(1, Some(asked)).expect("another attempt");
        assert!(
            wait >= asked && wait <= Duration::from_millis(225),
            "{wait:?}"
        );
        assert_eq!(patience.wait(1, Some(Duration::from_secs(1))), None);
        assert_eq!(patience.wait(1, Some(Duration::ZERO)), Some(Duration::ZERO));
    }
}
