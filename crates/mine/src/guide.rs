//! The guide to the patterns, for readers: made of the typology alone.

use std::fmt::Write as _;

use super::typology::Typology;

/// The typology as a Markdown page: each pattern, its variants, and one example in each language.
#[must_use]
pub fn markdown(typology: &Typology) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "# Patterns of semantic shift ({}, {})\n\n\
         {} patterns in {} kinds of text, {} variants. Each variant says when it applies, what a hard negative changes and what it keeps, and how \
         it goes wrong. Made by `korfinsts mine typology --format markdown` from the typology; do not edit it here.\n",
        typology.name,
        typology.version,
        typology.patterns.len(),
        typology.sources.len(),
        typology.variants.len()
    );
    for source in &typology.sources {
        let _ = write!(out, "\n## {}\n", names(&source.name));
        for pattern in typology.patterns.iter().filter(|p| p.source == source.id) {
            let axis = typology.axis(&pattern.axis).map_or("", |a| a.name.as_str());
            let _ = write!(
                out,
                "\n### {}\n\n`{}`, axis: {axis}. {}\n",
                names(&pattern.name),
                pattern.id,
                pattern.definition
            );
            let variants = typology.variants.iter().filter(|v| v.pattern == pattern.id);
            for variant in variants {
                let origin = match variant.origin.as_str() {
                    "paper" => "named in the paper",
                    "authors-code" => "from the authors' code",
                    _ => "this project's",
                };
                let _ = write!(
                    out,
                    "\n**`{}`** ({origin}). {}\n\n- Changes: {}\n- Keeps: {}\n- Wrong if {}\n\n",
                    variant.id,
                    variant.applies_when,
                    variant.negative_changes,
                    variant.preserve,
                    variant.trap
                );
                out.push_str("| | source | positive | hard negative |\n|---|---|---|---|\n");
                for language in &typology.languages {
                    if let Some(triple) = variant.texts.get(&language.id) {
                        let cell = korfinsts_base::template::cell;
                        let _ = writeln!(
                            out,
                            "| {} | {} | {} | {} |",
                            language.id,
                            cell(&triple.source),
                            cell(&triple.positive),
                            cell(&triple.negative)
                        );
                    }
                }
            }
        }
    }
    out
}

/// English name and the others with it.
fn names(names: &std::collections::BTreeMap<String, String>) -> String {
    let english = names.get("en");
    let mut all: Vec<&str> = english.into_iter().map(String::as_str).collect();
    all.extend(
        names
            .iter()
            .filter(|(l, _)| *l != "en")
            .map(|(_, n)| n.as_str()),
    );
    all.join(" · ")
}
