//! R11: licences parse, agree everywhere, and may be mixed as they are.

use spdx::{Expression, LicenseReq};

use super::super::manifest::{Source, is_sha256};
use super::super::report::Notes;
use super::super::{Manifest, Subject, document};
use super::{Gate, gate};
use korfinsts_base::fs::sha256;

/// What a licence asks for, as far as mixing is concerned.
struct Terms {
    non_commercial: bool,
    share_alike: Option<String>,
    no_derivatives: bool,
}

pub(super) const GATE: Gate = gate("R11", "licences", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let Some(manifest) = &subject.manifest else {
        return;
    };
    let own = parse("licence", &manifest.licence, notes);
    let mut sources = Vec::new();
    for source in &manifest.sources {
        if let Some(terms) = parse(&format!("source.{}", source.name), &source.licence, notes) {
            sources.push((source, terms));
        }
        file(subject, source, notes);
    }
    if let Some(own) = own {
        mix(manifest, &own, &sources, notes);
    }
    agree(subject, manifest, notes);
}

fn parse(what: &str, licence: &str, notes: &mut Notes) -> Option<Terms> {
    let expression = match Expression::parse(licence) {
        Ok(expression) => expression,
        Err(e) => {
            notes.error(
                None,
                format!(
                    "`{what}`: `{}` is no SPDX expression ({})",
                    licence.escape_debug(),
                    e.reason
                ),
                "write it as in the list at https://spdx.org/licenses, e.g. `CC-BY-4.0`",
            );
            return None;
        }
    };
    if matches!(licence, "NOASSERTION" | "NONE") {
        notes.error(
            None,
            format!("`{what}`: `{licence}` is no SPDX expression that says what is allowed"),
            "find out under which licence it is, or leave it out",
        );
        return None;
    }
    let names: Vec<String> = expression.requirements().map(|r| name(&r.req)).collect();
    if expression.requirements().count() > 1 && licence.contains(" OR ") {
        notes.fact(format!(
            "`{what}` offers a choice of licences: the strictest of them is assumed"
        ));
    }
    Some(Terms {
        non_commercial: names.iter().any(|n| n.contains("-NC")),
        share_alike: names
            .iter()
            .find(|n| {
                n.contains("-SA")
                    || n.starts_with("GPL")
                    || n.starts_with("AGPL")
                    || n.starts_with("LGPL")
                    || n.starts_with("ODbL")
            })
            .cloned(),
        no_derivatives: names.iter().any(|n| n.contains("-ND")),
    })
}

fn name(requirement: &LicenseReq) -> String {
    requirement.to_string()
}

/// The text of a source's licence.
fn file(subject: &Subject, source: &Source, notes: &mut Notes) {
    let name = format!("licenses/{}.txt", source.name);
    if !is_sha256(&source.licence_sha256) {
        notes.error(
            None,
            format!(
                "`source.{}`: `licence_sha256` is not 64 hexadecimal digits",
                source.name
            ),
            "write what `sha256sum` prints",
        );
        return;
    }
    match subject.files.get(&name) {
        None => notes.error(
            None,
            format!("there is no `{name}`"),
            "add the text of the source's licence",
        ),
        Some(bytes) => {
            let found = sha256(bytes);
            if found != source.licence_sha256 {
                notes.error(
                    None,
                    format!(
                        "{name} has sha256 {found}, korfinsts.toml says {}",
                        source.licence_sha256
                    ),
                    "look at what changed; then write the new hash",
                );
            }
            if bytes.iter().all(u8::is_ascii_whitespace) {
                notes.error(
                    None,
                    format!("{name} is empty"),
                    "add the text of the source's licence",
                );
            }
        }
    }
}

/// What may be mixed into one adapted work, and what then binds it.
fn mix(manifest: &Manifest, own: &Terms, sources: &[(&Source, Terms)], notes: &mut Notes) {
    let adapted: Vec<&(&Source, Terms)> = sources.iter().filter(|(s, _)| s.adapted).collect();
    for (source, terms) in &adapted {
        if terms.no_derivatives {
            notes.error(
                None,
                format!(
                    "`{}` forbids changed copies ({}), but is adapted",
                    source.name, source.licence
                ),
                "leave it out, or ask its owners",
            );
        }
        if let Some(licence) = &terms.share_alike
            && !shares(licence, &manifest.licence)
        {
            notes.error(
                None,
                format!(
                    "`{}` is share-alike ({licence}), but the release is under {}",
                    source.name, manifest.licence
                ),
                "release under the same licence, or leave the source out",
            );
        }
    }
    let non_commercial = |t: &Terms| t.non_commercial;
    let share_alike = adapted
        .iter()
        .find(|(_, t)| t.share_alike.is_some() && !t.non_commercial);
    let restricted = adapted.iter().find(|(_, t)| non_commercial(t));
    if let (Some((a, _)), Some((b, _))) = (share_alike, restricted) {
        notes.error(
            None,
            format!("`{}` (share-alike, {}) and `{}` (non-commercial, {}) are mixed into one adapted work", a.name, a.licence, b.name, b.licence),
            "publish two works, one per licence",
        );
    }
    if let Some((source, _)) = sources.iter().find(|(_, t)| t.non_commercial)
        && !own.non_commercial
    {
        notes.error(
            None,
            format!(
                "`{}` is non-commercial ({}), but the release is under {}",
                source.name, source.licence, manifest.licence
            ),
            "release under a non-commercial licence, or leave the source out",
        );
    }
}

/// Whether a work under `own` keeps the promise of a share-alike licence: the same one, or a later
/// version of it.
fn shares(licence: &str, own: &str) -> bool {
    let family = |l: &str| {
        l.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
            .to_owned()
    };
    family(licence) == family(own) && own >= licence
}

/// The licence says the same in the card, in LICENSE and in the metadata.
fn agree(subject: &Subject, manifest: &Manifest, notes: &mut Notes) {
    let marker = format!("SPDX-License-Identifier: {}", manifest.licence);
    match subject
        .files
        .get("LICENSE")
        .map(|b| String::from_utf8_lossy(b))
    {
        None => notes.error(
            None,
            "there is no `LICENSE`",
            format!("add the licence's text, with the line `{marker}`"),
        ),
        Some(text) => {
            let found: Vec<&str> = text
                .lines()
                .filter(|l| l.contains("SPDX-License-Identifier:"))
                .collect();
            if found.is_empty() || found.iter().any(|l| l.trim() != marker) {
                notes.error(
                    None,
                    format!("LICENSE does not say `{marker}`"),
                    "add or mend that line",
                );
            }
        }
    }
    if !subject.built {
        return;
    }
    for (file, line) in document::licence_lines(manifest) {
        let Some(text) = subject.files.get(file).map(|b| String::from_utf8_lossy(b)) else {
            continue;
        };
        if !text.lines().any(|l| l.trim() == line) {
            notes.error(
                None,
                format!("{file} does not say `{line}`, as the manifest does"),
                "build the release again",
            );
        }
    }
}
