//! What an endpoint is called on the command line, and what that says: where the server is, which
//! dialect it speaks, which model of it is meant, and which variable holds its key.

use super::{EndpointError, Key};

/// What a prefix says about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// Nothing: it is asked.
    Any,
    /// `OpenAI`'s own service, or one that says it is.
    OpenAi,
    /// A vLLM server.
    Vllm,
    /// A text-embeddings-inference server.
    Tei,
}

impl ServerKind {
    /// Variables that may hold the key, the first that is set counts. A key made for one service
    /// is never sent to another.
    #[must_use]
    pub fn key_variables(self, url: &str) -> &'static [&'static str] {
        const GENERAL: &str = "KORFINSTS_API_KEY";
        match self {
            Self::OpenAi => &["OPENAI_API_KEY", GENERAL],
            Self::Any if url.starts_with(OPENAI) => &["OPENAI_API_KEY", GENERAL],
            Self::Vllm => &["VLLM_API_KEY", GENERAL],
            Self::Tei => &["TEI_API_KEY", GENERAL],
            Self::Any => &[GENERAL],
        }
    }
}

/// `OpenAI`'s service.
const OPENAI: &str = "https://api.openai.com/v1";
/// Where vLLM listens when nothing is said.
const VLLM: &str = "http://localhost:8000/v1";
/// Forms that are accepted, for the hint of an error.
pub const FORMS: &str =
    "`http://HOST:PORT[/v1][#MODEL]`, `openai:MODEL`, `vllm:MODEL[@URL]` or `tei:URL`";

/// An endpoint as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What the prefix says.
    pub kind: ServerKind,
    /// Address without a slash at the end: `https://host[:port][/path]`, never with a user, a
    /// password or a query.
    pub url: String,
    /// Model, where it was named.
    pub model: Option<String>,
}

impl Address {
    /// Understands an endpoint's name. `variable` looks up the environment: `OPENAI_BASE_URL`
    /// moves `openai:`, `VLLM_BASE_URL` moves `vllm:`.
    ///
    /// # Errors
    /// When it is none of the known forms, or holds a password or a query, either of which would
    /// end up in records.
    pub fn parse(
        text: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, EndpointError> {
        let base = |name: &str, default: &str| {
            variable(name)
                .filter(|v| !v.trim().is_empty())
                .unwrap_or_else(|| default.to_owned())
        };
        let model_at = |rest: &str, default: String| match rest.rsplit_once("@http") {
            Some((model, url)) => (Some(model.to_owned()), format!("http{url}")),
            None if is_url(rest) => split_model(rest),
            None => (Some(rest.to_owned()), default),
        };
        let (kind, (model, url)) = if let Some(rest) = text.strip_prefix("openai:") {
            (
                ServerKind::OpenAi,
                model_at(rest, base("OPENAI_BASE_URL", OPENAI)),
            )
        } else if let Some(rest) = text.strip_prefix("vllm:") {
            (
                ServerKind::Vllm,
                model_at(rest, base("VLLM_BASE_URL", VLLM)),
            )
        } else if let Some(rest) = text.strip_prefix("tei:") {
            let url = if is_url(rest) {
                rest.to_owned()
            } else {
                format!("http://{rest}")
            };
            (ServerKind::Tei, split_model(&url))
        } else {
            (ServerKind::Any, split_model(text))
        };
        let url = check(&url)?;
        let model = model.filter(|m| !m.is_empty());
        if model.is_none() && kind == ServerKind::OpenAi && url == OPENAI {
            return Err(EndpointError::Setting {
                what: format!("`{text}` names no model"),
                hint: "name one: `openai:text-embedding-3-small`".into(),
            });
        }
        Ok(Self { kind, url, model })
    }

    /// The key that the environment holds for the server.
    ///
    /// # Errors
    /// When a header cannot hold it; when there is none and the server is `OpenAI`'s own, which
    /// answers nobody without one.
    pub fn key(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Key>, EndpointError> {
        let variables = self.kind.key_variables(&self.url);
        let key = Key::from_environment(variables, variable)?;
        if key.is_none() && self.url.starts_with(OPENAI) {
            return Err(EndpointError::Setting {
                what: format!(
                    "{} needs an API key, and `{}` is not set",
                    self.url,
                    variables.join("` or `")
                ),
                hint: "`export OPENAI_API_KEY=…`, then run the same command again".into(),
            });
        }
        Ok(key)
    }

    /// Places where the server's own paths (`/info`, `/embed`) and those of the `OpenAI` protocol
    /// (`/models`, `/embeddings`) may begin: what was given, less a path that names one of them.
    #[must_use]
    pub fn roots(&self) -> (String, Vec<String>) {
        let mut url = self.url.as_str();
        for path in ["/embeddings", "/models", "/embed", "/info"] {
            url = url.strip_suffix(path).unwrap_or(url);
        }
        match url.strip_suffix("/v1") {
            Some(root) => (root.to_owned(), vec![url.to_owned()]),
            None => (url.to_owned(), vec![format!("{url}/v1"), url.to_owned()]),
        }
    }

    /// Whether what is sent can be read on its way: plain HTTP to another machine.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let Some(rest) = self.url.strip_prefix("http://") else {
            return false;
        };
        let host = rest.split('/').next().unwrap_or_default();
        let host = match host.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        host != "localhost" && host != "::1" && !host.starts_with("127.")
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// `URL#MODEL`
fn split_model(text: &str) -> (Option<String>, String) {
    match text.split_once('#') {
        Some((url, model)) => (Some(model.to_owned()), url.to_owned()),
        None => (None, text.to_owned()),
    }
}

/// Checks that an address may be written to a record; returns it without slashes at its end.
fn check(url: &str) -> Result<String, EndpointError> {
    let url = url.trim().trim_end_matches('/');
    let wrong = |what: &str, hint: &str| EndpointError::Setting {
        what: what.to_owned(),
        hint: hint.to_owned(),
    };
    // What may be a password is not repeated in the message.
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    if host.contains('@') {
        return Err(wrong(
            "the address of the endpoint holds a user or a password, which would stand in records",
            "leave it out, and put the key into `KORFINSTS_API_KEY`",
        ));
    }
    if url.contains('?') {
        return Err(wrong(
            "the address of the endpoint holds a query, which would stand in records",
            "leave out what follows the `?`; a key goes into `KORFINSTS_API_KEY`",
        ));
    }
    let parsed: Option<ureq::http::Uri> = url.parse().ok();
    if !is_url(url) || host.is_empty() || parsed.is_none_or(|u| u.host().is_none()) {
        let what = format!("`{url}` is no address of an endpoint");
        return Err(wrong(&what, &format!("allowed are {FORMS}")));
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, EndpointError> {
        Address::parse(text, |_| None)
    }

    #[test]
    fn each_form_says_where_what_and_which() {
        for (text, kind, url, model) in [
            ("http://h:1/", ServerKind::Any, "http://h:1", None),
            (
                "https://h/v1#a/b",
                ServerKind::Any,
                "https://h/v1",
                Some("a/b"),
            ),
            ("openai:e-3", ServerKind::OpenAi, OPENAI, Some("e-3")),
            (
                "openai:e@https://g/v1",
                ServerKind::OpenAi,
                "https://g/v1",
                Some("e"),
            ),
            ("vllm:org/m", ServerKind::Vllm, VLLM, Some("org/m")),
            (
                "vllm:org/m@http://g:8/v1",
                ServerKind::Vllm,
                "http://g:8/v1",
                Some("org/m"),
            ),
            (
                "vllm:http://g:8#m",
                ServerKind::Vllm,
                "http://g:8",
                Some("m"),
            ),
            ("tei:h:8080", ServerKind::Tei, "http://h:8080", None),
            ("tei:https://h/p/", ServerKind::Tei, "https://h/p", None),
        ] {
            let found = parse(text).expect(text);
            let expected = Address {
                kind,
                url: url.into(),
                model: model.map(str::to_owned),
            };
            assert_eq!(found, expected, "{text}");
        }
        let moved = Address::parse("openai:m", |v| {
            (v == "OPENAI_BASE_URL").then(|| "http://here/v1/".into())
        });
        assert_eq!(moved.expect("moved").url, "http://here/v1");
    }

    #[test]
    fn what_would_put_a_secret_into_a_record_is_refused_without_repeating_it() {
        for text in [
            "https://user:hunter2@h/v1",
            "https://hunter2@h",
            "https://h/v1?api-key=hunter2",
            "tei:u:hunter2@h:80",
            "openai:m@https://u:hunter2@h",
        ] {
            let error = parse(text).expect_err(text);
            let said = format!("{error} {:?} {error:?}", error.hint());
            assert!(!said.contains("hunter2"), "{said}");
        }
        for text in ["http://", "openai:", "http:///v1", "tei:"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn roots_and_open_roads() {
        let roots = |text: &str| parse(text).expect(text).roots();
        let both = ("http://h".to_owned(), vec!["http://h/v1".to_owned()]);
        assert_eq!(roots("http://h/v1"), both);
        assert_eq!(roots("http://h/v1/embeddings"), both);
        assert_eq!(
            roots("http://h/p"),
            (
                "http://h/p".to_owned(),
                vec!["http://h/p/v1".to_owned(), "http://h/p".to_owned()]
            )
        );
        for (text, open) in [
            ("http://10.0.0.1:8000", true),
            ("http://localhost:8000/v1", false),
            ("http://127.0.0.1", false),
            ("http://[::1]:8", false),
            ("https://h", false),
        ] {
            assert_eq!(parse(text).expect(text).is_open(), open, "{text}");
        }
    }

    #[test]
    fn a_missing_key_is_said_where_the_server_needs_one() {
        for (text, needed) in [
            ("openai:text-embedding-3-small", true),
            ("https://api.openai.com/v1#text-embedding-3-small", true),
            ("openai:m@http://localhost:8000/v1", false),
            ("vllm:m", false),
            ("tei:host:8080", false),
        ] {
            let address = parse(text).expect(text);
            assert_eq!(address.key(|_| None).is_err(), needed, "{text}");
            assert!(address.key(|_| Some("sk-1".into())).is_ok(), "{text}");
        }
        let address = parse("openai:m").expect("an address");
        let error = address.key(|_| None).expect_err("no key");
        assert_eq!(
            error.to_string(),
            "https://api.openai.com/v1 needs an API key, and `OPENAI_API_KEY` or \
             `KORFINSTS_API_KEY` is not set"
        );
    }

    #[test]
    fn a_key_stays_with_its_service() {
        let openai =
            |kind: ServerKind, url: &str| kind.key_variables(url).contains(&"OPENAI_API_KEY");
        assert!(openai(ServerKind::OpenAi, "http://proxy"));
        assert!(openai(ServerKind::Any, OPENAI));
        for kind in [ServerKind::Any, ServerKind::Vllm, ServerKind::Tei] {
            assert!(!openai(kind, "http://elsewhere"), "{kind:?}");
        }
    }
}
