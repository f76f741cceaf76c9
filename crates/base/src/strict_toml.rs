//! TOML as types; an error names the line. That unknown keys are refused is up to the type
//! (`deny_unknown_fields`).

use serde::de::DeserializeOwned;

use crate::text::utf8;

/// What is wrong with a TOML document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TomlError {
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// What was found and what was allowed, on one line.
    pub reason: String,
}

/// Reads a document.
///
/// # Errors
/// When it is not UTF-8, is no TOML, or does not fit the type.
pub fn parse<T: DeserializeOwned>(document: impl AsRef<[u8]>) -> Result<T, TomlError> {
    let bytes = document.as_ref();
    let text = utf8(bytes).map_err(|line| TomlError {
        line: Some(line as usize),
        reason: "not UTF-8".into(),
    })?;
    toml::from_str(text).map_err(|e| TomlError {
        line: e.span().map(|s| 1 + text[..s.start].matches('\n').count()),
        reason: e.message().trim().replace('\n', ": "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_line() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            #[expect(dead_code, reason = "only read")]
            a: u8,
        }
        for (document, line, reason) in [
            (&b"a = 1\n\nb = 2"[..], 3, "unknown field `b`, expected `a`"),
            (b"# \n# \xff", 2, "not UTF-8"),
            (b"a = 1\na = \"", 2, "invalid basic string"),
        ] {
            let error = parse::<Document>(document).expect_err(reason);
            assert_eq!(error.line, Some(line), "{error}");
            assert!(error.reason.starts_with(reason), "{error}");
            assert!(!error.reason.contains('\n'), "{error}");
        }
    }
}
