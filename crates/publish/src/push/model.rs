//! What a model's folder must have besides the model: a card, and a licence.

use std::path::Path;

use super::PushError;
use korfinsts_base::{fs, yaml};

/// The card of a model.
const CARD: &str = "README.md";
/// Longest card, in bytes.
const LONGEST: u64 = 4 << 20;
/// How the names of licences begin.
const LICENCES: [&str; 3] = ["license", "licence", "copying"];

/// Checks that a folder has a card with a head that can be read, and a licence: named in that head, or in
/// a file of its own.
///
/// # Errors
/// When there is no card, its head cannot be read, or no licence is named.
pub fn check_card(folder: &Path) -> Result<(), PushError> {
    let path = folder.join(CARD);
    let unfit = |line: &str, reason: String, hint: &str| PushError::Unfit {
        place: format!("{}{line}", path.display()),
        reason,
        hint: hint.to_owned(),
    };
    if !fs::exists(&path) {
        return Err(unfit(
            "",
            "the model has no card".into(),
            "write README.md, with `license: ID` between two lines of `---` at its top; `korfinsts train` writes one",
        ));
    }
    let text = fs::read_up_to(&path, LONGEST)?;
    let text = String::from_utf8_lossy(&text);
    let head = yaml::front_matter(&text).map_err(|(line, reason)| {
        unfit(
            &format!(":{line}"),
            reason,
            "the head of a card is YAML between two lines of `---`",
        )
    })?;
    let named = head.and_then(|head| head["license"].as_str().map(str::to_owned));
    if named.is_some_and(|licence| !licence.trim().is_empty()) {
        return Ok(());
    }
    for file in fs::list(folder)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_lowercase();
        if LICENCES.iter().any(|licence| name.starts_with(licence)) {
            return Ok(());
        }
    }
    Err(unfit(
        ":1",
        "no licence is named, in the head of the card or in a file LICENSE".into(),
        "write `license: apache-2.0` (or another one) into the head of README.md",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_a_card_and_a_licence() {
        let folder = fs::temporary_dir_in(&std::env::temp_dir()).expect("a folder");
        let write = |name: &str, text: &str| {
            fs::write_atomic(&folder.path().join(name), text.as_bytes()).expect("written");
        };
        let refused = || check_card(folder.path()).map_err(|e| e.to_string());
        let said = refused().expect_err("no card");
        assert!(said.ends_with("README.md: the model has no card"), "{said}");
        for (text, reason) in [
            ("# a model\n", "README.md:1: no licence is named"),
            ("---\nlicense:\n---\n", "README.md:1: no licence is named"),
            (
                "---\nlicense: mit\nlicense: mit\n---\n",
                "README.md:3: found `license` twice",
            ),
        ] {
            write("README.md", text);
            let said = refused().expect_err(reason);
            assert!(said.contains(reason), "{said}");
        }
        write("README.md", "---\nlicense: mit\n---\n");
        assert_eq!(refused(), Ok(()));
        write("README.md", "# a model\n");
        write("LICENSE.txt", "MIT");
        assert_eq!(refused(), Ok(()));
    }
}
