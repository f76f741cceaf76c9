//! Texts that others will see mislead nobody: normalisation form C, no format characters, names in one
//! script (or Latin with Hangul), and of a length that fits.

use std::collections::BTreeSet;

use unicode_script::{Script, UnicodeScript as _};

use super::super::verify::Examined;
use korfinsts_base::text::flaw;

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

#[cfg(test)]
mod tests {
    use super::name_flaw;

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
