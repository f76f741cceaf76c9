//! The key of an endpoint: read from the environment, sent in one header, shown nowhere.

use std::fmt;

use super::EndpointError;

/// A key. Neither `Debug` nor any other output shows it; it is not stored.
#[derive(Clone)]
pub struct Key {
    secret: String,
    variable: &'static str,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(from {})", self.variable)
    }
}

impl Key {
    /// The first of `variables` that is set and not empty.
    ///
    /// # Errors
    /// When it holds something that a header cannot hold.
    pub fn from_environment(
        variables: &[&'static str],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, EndpointError> {
        for name in variables {
            let secret = variable(name).unwrap_or_default().trim().to_owned();
            if secret.is_empty() {
                continue;
            }
            if !secret.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(EndpointError::Setting {
                    what: format!("the key in `{name}` holds a space or a letter outside ASCII"),
                    hint: "was it copied whole, and nothing beside it?".into(),
                });
            }
            return Ok(Some(Self {
                secret,
                variable: name,
            }));
        }
        Ok(None)
    }

    /// Name of the variable it came from.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// The header that carries it.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.secret)
    }

    /// `text` without the key: servers repeat it in their errors.
    pub(super) fn redact(&self, text: &str) -> String {
        text.replace(&self.secret, "***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str) -> Result<Option<Key>, EndpointError> {
        Key::from_environment(&["A", "B"], |name| (name == "B").then(|| value.to_owned()))
    }

    #[test]
    fn a_key_is_trimmed_named_by_its_variable_and_never_shown() {
        let key = key(" sk-1234\n").expect("a key").expect("set");
        assert_eq!(
            (key.header().as_str(), key.variable()),
            ("Bearer sk-1234", "B")
        );
        assert_eq!(key.redact("bad key sk-1234!"), "bad key ***!");
        assert!(!format!("{key:?} {key:#?}").contains("1234"));
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused_unseen() {
        assert!(key("").expect("none").is_none());
        for wrong in ["sk 12", "sk-\u{ac00}", "a\u{7}b"] {
            let error = key(wrong).expect_err("refused");
            assert!(!format!("{error} {error:?}").contains(wrong), "{error}");
        }
    }
}
