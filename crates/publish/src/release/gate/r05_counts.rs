//! R5: every count in the card comes from the data.

use super::super::document::{self, Generated};
use super::super::report::Notes;
use super::super::{Subject, build};
use super::{Gate, gate};

/// What is counted: a number right before one of these was typed.
const COUNTED: [&str; 16] = [
    "pair",
    "row",
    "triplet",
    "sentence",
    "example",
    "item",
    "instance",
    "text",
    "variant",
    "annotator",
    "쌍",
    "행",
    "문장",
    "건",
    "개 문장",
    "명",
];

pub(super) const GATE: Gate = gate("R5", "counts come from the data", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let Some(manifest) = &subject.manifest else {
        return;
    };
    let answers = manifest
        .datasheet
        .iter()
        .map(|(k, v)| (format!("datasheet.{k}"), v));
    let typed = [("description".to_owned(), &manifest.description)]
        .into_iter()
        .chain(answers);
    for (place, text) in typed {
        for count in typed_counts(text) {
            notes.error(
                None,
                format!("korfinsts.toml: `{place}` holds the count `{count}`, typed by hand"),
                "write `{{ counts.pairs }}` or another count of the generated block instead",
            );
        }
    }
    if let Some(text) = subject
        .files
        .get("LABELS.md")
        .and_then(|b| std::str::from_utf8(b).ok())
    {
        for count in typed_counts(text) {
            notes.error(
                None,
                format!("LABELS.md holds the count `{count}`, typed by hand"),
                "leave it out: the card counts",
            );
        }
    }
    let generated = match document::generate(subject) {
        Ok(generated) => generated,
        Err(e) => {
            notes.error(
                None,
                e.to_string(),
                "mend the template, or the text in korfinsts.toml that it renders",
            );
            return;
        }
    };
    if subject.built {
        compare(subject, &generated, notes);
    }
}

/// The generated files of a built release must be what the data give.
fn compare(subject: &Subject, generated: &Generated, notes: &mut Notes) {
    for (name, text) in generated {
        match subject.files.get(name) {
            None => notes.error(
                None,
                format!("there is no `{name}`"),
                "build the release again",
            ),
            Some(found) if found != text.as_bytes() => {
                let found = String::from_utf8_lossy(found);
                let line = found.lines().zip(text.lines()).position(|(a, b)| a != b);
                let line =
                    line.unwrap_or_else(|| found.lines().count().min(text.lines().count())) + 1;
                notes.error(
                    None,
                    format!("{name}:{line}: is not what the data and korfinsts.toml give"),
                    "do not edit generated files: change korfinsts.toml and build again",
                );
            }
            Some(_) => {}
        }
    }
    if let Some(image) = build::image(subject)
        .ok()
        .filter(|_| subject.drafts.is_empty())
    {
        for (name, bytes) in image.iter().filter(|(n, _)| n.starts_with("data/")) {
            if subject.files.get(name) != Some(bytes) {
                notes.error(
                    None,
                    format!("{name}: is not in canonical form"),
                    "build the release again",
                );
            }
        }
    }
}

/// Numbers right before a thing that is counted, outside `{{ }}`.
fn typed_counts(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let outside: String = text
        .split("{{")
        .enumerate()
        .map(|(i, part)| {
            if i == 0 {
                part
            } else {
                part.split_once("}}").map_or("", |p| p.1)
            }
        })
        .collect::<Vec<_>>()
        .join("{}");
    let mut at = 0;
    while let Some(start) = outside[at..]
        .find(|c: char| c.is_ascii_digit())
        .map(|i| at + i)
    {
        let end = outside[start..]
            .find(|c: char| !(c.is_ascii_digit() || c == ','))
            .map_or(outside.len(), |i| start + i);
        at = end;
        let before = outside[..start].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')) {
            continue;
        }
        let rest = outside[end..].trim_start();
        let lower = rest
            .get(..rest.len().min(24))
            .unwrap_or(rest)
            .to_lowercase();
        if let Some(word) = COUNTED.iter().find(|w| lower.starts_with(**w)) {
            found.push(format!(
                "{} {word}",
                outside[start..end].trim_end_matches(',')
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::typed_counts;

    #[test]
    fn counts_are_told_from_other_numbers() {
        for (text, count) in [
            ("It has 222 pairs.", 1),
            ("1,991 rows and 37 variants", 2),
            ("모두 222쌍", 1),
            ("{{ counts.pairs }} pairs in 2026", 0),
            ("CC-BY-4.0 texts", 0),
            ("{{ x }} and 5 pairs", 1),
            ("version 1.0.0", 0),
            ("a scale of 0 to 5", 0),
        ] {
            assert_eq!(typed_counts(text).len(), count, "{text}");
        }
    }
}
