//! The language of what is printed for people: tables, verdicts, notes and errors. What programs
//! read (JSON, CSV, records) is the same in every language.

use std::sync::OnceLock;

use super::CliError;
use korfinsts_base::texts::Texts;

/// The variable that names the language.
const VARIABLE: &str = "KORFINSTS_LANG";
/// What it may hold.
const LANGUAGES: [&str; 2] = ["en", "ko"];

/// The texts in the reader's language.
pub fn texts() -> &'static Texts {
    static TEXTS: OnceLock<Texts> = OnceLock::new();
    TEXTS.get_or_init(|| Texts::of(&language(|name| std::env::var(name).ok())))
}

/// The code of the language: what `KORFINSTS_LANG` says, else the locale's, else English.
fn language(variable: impl Fn(&str) -> Option<String>) -> String {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let named =
        set(VARIABLE).or_else(|| ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set));
    let named = named.unwrap_or_default();
    let code = named.split(['_', '-', '.', '@']).next().unwrap_or_default();
    let code = code.to_ascii_lowercase();
    if LANGUAGES.contains(&code.as_str()) {
        code
    } else {
        LANGUAGES[0].to_owned()
    }
}

/// Refuses a language that is not there; a locale may be any.
///
/// # Errors
/// When `KORFINSTS_LANG` holds neither `en` nor `ko`.
pub fn check() -> Result<(), CliError> {
    let Some(named) = std::env::var(VARIABLE).ok().filter(|v| !v.is_empty()) else {
        return Ok(());
    };
    let code = named.to_ascii_lowercase();
    let known = |language: &&str| code.split(['_', '-', '.']).next() == Some(*language);
    if LANGUAGES.iter().any(known) {
        return Ok(());
    }
    Err(CliError::usage(
        format!(
            "found `{VARIABLE}={}`, allowed are `{}`",
            named.escape_debug(),
            LANGUAGES.join("`, `")
        ),
        "without it the locale chooses (`LC_ALL`, `LC_MESSAGES`, `LANG`)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_the_locale() {
        for (set, expected) in [
            (&[][..], "en"),
            (&[("LANG", "ko_KR.UTF-8")], "ko"),
            (&[("LANG", "ko_KR.UTF-8"), ("LC_ALL", "C")], "en"),
            (&[("LANG", "C.UTF-8"), ("LC_MESSAGES", "ko_KR")], "ko"),
            (&[("LANG", "ko_KR.UTF-8"), (VARIABLE, "en")], "en"),
            (&[("LC_ALL", "de_DE.UTF-8"), (VARIABLE, "ko")], "ko"),
            (&[("LC_ALL", "ko_KR.UTF-8"), (VARIABLE, "")], "ko"),
            (&[(VARIABLE, "KO-kr")], "ko"),
            (&[("LANG", "kok_IN")], "en"),
        ] {
            let found = language(|name| {
                let of =
                    |(known, value): &(&str, &str)| (*known == name).then(|| (*value).to_owned());
                set.iter().find_map(of)
            });
            assert_eq!(found, expected, "{set:?}");
        }
    }
}
