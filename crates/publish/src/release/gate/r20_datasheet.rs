//! R20: every question of the datasheet has an answer, and none is a placeholder.

use super::super::Subject;
use super::super::document::QUESTIONS;
use super::super::report::Notes;
use super::{Gate, gate};

/// Placeholders of answers that are still to come.
const PLACEHOLDERS: [&str; 17] = [
    "todo",
    "tbd",
    "tba",
    "fixme",
    "xxx",
    "lorem ipsum",
    "placeholder",
    "fill in",
    "to be written",
    "to be determined",
    "???",
    "<...>",
    "[...]",
    "추후",
    "미정",
    "작성 예정",
    "작성예정",
];

pub(super) const GATE: Gate = gate("R20", "datasheet is complete", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let Some(manifest) = &subject.manifest else {
        return;
    };
    for (key, question) in QUESTIONS.iter() {
        match manifest.datasheet.get(key).map(|a| a.trim()) {
            None | Some("") => notes.error(
                None,
                format!("the datasheet does not answer `{key}`: {question}"),
                format!("add `{key}` under `[datasheet]`"),
            ),
            Some(answer) => {
                if answer.chars().count() < 2 {
                    notes.error(
                        None,
                        format!(
                            "the answer to `{key}` says nothing: `{}`",
                            answer.escape_debug()
                        ),
                        "write a sentence",
                    );
                }
            }
        }
    }
    for key in manifest
        .datasheet
        .keys()
        .filter(|k| !QUESTIONS.contains_key(*k))
    {
        notes.error(
            None,
            format!(
                "the datasheet answers `{}`, which is no question",
                key.escape_debug()
            ),
            "see templates/release/datasheet.toml for the questions",
        );
    }
    let answers = manifest
        .datasheet
        .iter()
        .map(|(k, v)| (format!("datasheet.{k}"), v.clone()));
    let fields = [
        ("description", &manifest.description),
        ("title", &manifest.title),
        ("homepage", &manifest.homepage),
    ];
    let fields = fields.into_iter().map(|(k, v)| (k.to_owned(), v.clone()));
    let labels = subject.files.get("LABELS.md").map(|b| {
        (
            "LABELS.md".to_owned(),
            String::from_utf8_lossy(b).into_owned(),
        )
    });
    if labels.is_none() {
        notes.error(
            None,
            "there is no `LABELS.md`",
            "say there what each label means, with examples",
        );
    }
    for (place, text) in answers.chain(fields).chain(labels) {
        let lower = text.to_lowercase();
        if let Some(word) = PLACEHOLDERS.iter().find(|w| stands(&lower, w)) {
            notes.error(
                None,
                format!("`{place}` holds the placeholder `{word}`"),
                "write what is to stand there",
            );
        }
        if matches!(text.trim(), "..." | "…" | "-" | "?") {
            notes.error(
                None,
                format!("`{place}` says nothing but `{}`", text.trim()),
                "write what is to stand there",
            );
        }
        if text.trim().is_empty() {
            notes.error(
                None,
                format!("`{place}` is empty"),
                "write what is to stand there",
            );
        }
    }
}

/// Whether a text holds a placeholder, as a word of its own where it is made of letters.
fn stands(text: &str, word: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let ascii = word.bytes().all(|b| b.is_ascii_alphabetic());
    text.match_indices(word).any(|(at, _)| {
        !ascii
            || !(letter(text[..at].chars().next_back())
                || letter(text[at + word.len()..].chars().next()))
    })
}
