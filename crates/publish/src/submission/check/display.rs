//! Texts that others will see mislead nobody: normalisation form C, no format characters, names in one
//! script (or Latin with Hangul), and of a length that fits.

use std::collections::BTreeSet;

use unicode_script::{Script, UnicodeScript as _};
use unicode_security::{GeneralSecurityProfile as _, skeleton};

use super::super::verify::Examined;
use korfinsts_base::text::{flaw, is_invisible};

/// Longest name, in characters.
const NAME: usize = 200;
/// Longest free text, in characters.
const TEXT: usize = 20_000;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    let bundle = examined.bundle;
    let manifest = &bundle.manifest;
    let model = &manifest.model;
    let mut names: Vec<(&str, &str)> = vec![
        ("model.id", &model.id),
        ("model.licence", &model.licence),
        ("run.backend", &manifest.run.backend),
        ("run.protocol", &manifest.run.protocol),
        ("run.similarity", &manifest.run.similarity),
        ("run.harness.name", &manifest.run.harness.name),
        ("run.harness.version", &manifest.run.harness.version),
    ];
    let optional = [
        ("model.architecture", &model.architecture),
        ("model.pooling", &model.pooling),
        ("run.backend_version", &manifest.run.backend_version),
        ("run.device", &manifest.run.device),
        ("run.dtype", &manifest.run.dtype),
    ];
    names.extend(
        optional
            .into_iter()
            .filter_map(|(k, v)| Some((k, v.as_deref()?))),
    );
    for file in &model.files {
        names.push(("model.files", &file.name));
        names.push(("model.files", &file.role));
    }
    for suite in &manifest.suites {
        names.push(("suites.version", &suite.version));
        names.extend(
            suite
                .metrics
                .domains
                .keys()
                .chain(suite.metrics.triplet_accuracy.keys())
                .map(|d| ("suites.metrics", d.as_str())),
        );
    }
    for (key, value) in &bundle.env {
        names.push(("env.json", key));
        names.push(("env.json", value));
    }
    for dataset in &bundle.train_data.datasets {
        names.push(("train_data.json", &dataset.name));
        names.push(("train_data.json", &dataset.licence));
        names.extend(
            [&dataset.revision, &dataset.url]
                .into_iter()
                .flatten()
                .map(|t| ("train_data.json", t.as_str())),
        );
    }
    names.extend(
        manifest
            .disclosure
            .trained_on
            .iter()
            .map(|t| ("disclosure.trained_on", t.as_str())),
    );
    for (place, name) in names {
        name_flaw(name).map_or(Ok(()), |flaw| Err(format!("`{place}`: {flaw}")))?;
    }
    if let Some(flaw) = id_flaw(&model.id) {
        return Err(format!("`model.id`: {flaw}"));
    }
    if model.id.trim().is_empty() || model.licence.trim().is_empty() {
        return Err("`model.id` or `model.licence` is empty".into());
    }
    let texts = [
        (
            "disclosure.overlap_report",
            &manifest.disclosure.overlap_report,
        ),
        ("train_data.json", &bundle.train_data.statement),
        ("model.prompts", &model.prompts[0]),
        ("model.prompts", &model.prompts[1]),
    ];
    for (place, text) in texts {
        if text.chars().count() > TEXT {
            return Err(format!("`{place}` is longer than {TEXT} characters"));
        }
        flaw(text).map_or(Ok(()), |flaw| Err(format!("`{place}` holds {flaw}")))?;
    }
    Ok("no text holds what misleads".into())
}

/// What is wrong with a name that is shown.
fn name_flaw(name: &str) -> Option<String> {
    if name.chars().count() > NAME {
        return Some(format!("a name is longer than {NAME} characters"));
    }
    if let Some(flaw) = flaw(name) {
        return Some(format!("a name holds {flaw}"));
    }
    if name.chars().any(|c| c == '\n' || c == '\t') {
        return Some("a name holds a line end or a tab".into());
    }
    let scripts: BTreeSet<&str> = name
        .chars()
        .map(|c| c.script())
        .filter(|s| !matches!(s, Script::Common | Script::Inherited))
        .map(Script::full_name)
        .collect();
    let allowed = scripts.len() <= 1 || scripts.iter().all(|s| matches!(*s, "Latin" | "Hangul"));
    (!allowed).then(|| {
        format!(
            "the name `{}` mixes the scripts {}; allowed are one script, or Latin with Hangul",
            name.escape_debug(),
            scripts.into_iter().collect::<Vec<_>>().join(", ")
        )
    })
}

/// What is wrong with the name of a model: it is what readers tell models apart by, so every character is
/// printable ASCII, or a letter, mark or digit of a script in use that is not a variant of another.
fn id_flaw(name: &str) -> Option<String> {
    let allowed = |c: char| {
        let letter = c.is_alphanumeric() || c.script() != Script::Common;
        matches!(c, ' '..='~') || (letter && c.identifier_allowed() && !is_invisible(c))
    };
    if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        return Some(format!(
            "the name `{}` holds U+{:04X}; allowed are printable ASCII, and letters and digits of scripts in use",
            name.escape_debug(),
            u32::from(c)
        ));
    }
    if name != name.trim() || name.contains("  ") {
        return Some(format!(
            "the name `{name}` begins or ends with a space, or holds two in a row"
        ));
    }
    let looks: String = skeleton(name).collect();
    (!name.is_ascii() && looks.is_ascii()).then(|| {
        format!(
            "the name `{}` reads as `{looks}`: write it in ASCII",
            name.escape_debug()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{id_flaw, name_flaw};

    #[test]
    fn names_of_models_hold_nothing_unseen_and_nothing_alike() {
        for name in [
            "org-a/bert-tiny",
            "기관/한국어-model_v1.0",
            "한국어 모델 (베타)",
            "модель",
            "模型",
            "données",
        ] {
            assert_eq!(id_flaw(name), None, "{name}");
        }
        for name in [
            "a\u{3164}",
            "a\u{FFA0}",
            "a\u{115F}",
            "a\u{1160}",
            "a\u{34F}",
            "a\u{FE0F}",
            "a\u{E0041}",
            "a\u{2028}b",
            "a\u{A0}b",
            "a\u{2009}b",
            "a\u{2010}b",
            "a\u{2011}b",
            "a\u{2044}b",
            "a\u{2215}b",
            "ｂｅｒｔ",
            "\u{1D41B}ert",
            "bge-\u{2173}",
            "\u{2800}",
            "a\u{180B}",
            "a\u{200D}b",
            "a\u{AD}b",
            "a\u{1D173}",
            "a\u{2065}",
            "a\u{E000}",
            "a\u{FFFE}",
            "b\u{336}ert",
            "a\u{FFF9}b",
            "a\u{378}",
            "a\u{E01F0}",
            " a",
            "a ",
            "a  b",
            "\u{430}\u{441}\u{435}",
            "or\u{261}-a",
            "a\u{1b}[31m",
            "a\u{B7}b",
            "a\u{2019}b",
        ] {
            assert!(id_flaw(name).is_some(), "{}", name.escape_debug());
        }
    }

    #[test]
    fn names_that_mislead_are_told_from_others() {
        for name in [
            "org/모델-v1",
            "intfloat/multilingual-e5",
            "한국어 모델 (베타)",
            "модель",
            "模型",
            "a_b.c+d",
            "",
        ] {
            assert_eq!(name_flaw(name), None, "{name}");
        }
        for (name, reason) in [
            ("bge-m3\u{202E}", "changes the direction"),
            ("b\u{200B}ge", "no width"),
            ("bgе-m3", "mixes the scripts Cyrillic, Latin"),
            ("e\u{301}", "normalisation form C"),
            ("a\nb", "line end"),
            ("ｂge\u{0}", "control"),
            (&"x".repeat(201), "longer than 200"),
        ] {
            let flaw = name_flaw(name).unwrap_or_default();
            assert!(flaw.contains(reason), "{name:?}: {flaw}");
        }
    }
}
