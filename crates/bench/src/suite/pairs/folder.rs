//! A file of pairs as the folder of a suite: its rows, and a `suite.toml` to complete.

use std::path::Path;

use super::{OwnPairs, ROWS, Role};
use crate::suite::manifest::is_id;
use crate::suite::registry::MANIFEST;
use crate::suite::{Registry, ScaleKind, SuiteError};
use korfinsts_base::fs;

/// Licence that is declared where none is.
const NO_LICENCE: &str = "NOASSERTION";

impl OwnPairs {
    /// Writes the folder of a suite `id`: `suite.toml`, and the rows in UTF-8. `redistributable` is `false`
    /// there until a person decides.
    ///
    /// # Errors
    /// When `id` may be no id or is that of another suite, the folder holds something, or cannot be
    /// written.
    pub fn write_suite(
        &self,
        id: &str,
        licence: Option<&str>,
        folder: &Path,
        registry: &Registry,
    ) -> Result<(), SuiteError> {
        let taken = registry.all().iter().any(|m| m.id == id);
        let reason = match () {
            () if !is_id(id) => {
                "allowed are small letters, digits, `.`, `_` and `-`, at most 64".to_owned()
            }
            () if taken => "a suite of this name is there".to_owned(),
            () if fs::exists(folder) && !fs::list(folder)?.is_empty() => {
                format!("`{}` is there and holds files", folder.display())
            }
            () => {
                fs::write_atomic(&folder.join(ROWS), &self.rows)?;
                let manifest = self.manifest(id, licence);
                fs::write_atomic(&folder.join(MANIFEST), manifest.as_bytes())?;
                return Ok(());
            }
        };
        Err(SuiteError::NewSuite {
            id: id.to_owned(),
            reason,
        })
    }

    fn manifest(&self, id: &str, licence: Option<&str>) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let suite = &self.suite;
        let languages: Vec<String> = suite.languages.iter().map(|l| quoted(l)).collect();
        let (kind, why) = match suite.scale.kind {
            ScaleKind::Binary => ("binary", "found: 0 and 1 only"),
            ScaleKind::Ordinal => ("ordinal", ""),
            ScaleKind::Interval => (
                "interval",
                "DECIDE: `min` and `max` as people were given them; below is what was found",
            ),
        };
        let domains = if suite.pairs.iter().any(|p| p.domain.is_some()) {
            "\n[source.domains]\ncolumn = \"domain\"\noptional = true\nunknown = \"keep\"\n"
        } else {
            ""
        };
        let columns = [Role::Sentence1, Role::Sentence2, Role::Score];
        let columns = columns
            .map(|r| format!("{0} = \"{0}\"", r.name()))
            .join(", ");
        format!(
            "# A suite made from `{file}`. docs/suites.md explains every key. What only a person knows is
# marked DECIDE. `korfinsts suite check` reads this file and the rows as `eval` does.
schema = 1
id = {id}
# Raise it when rows change: scores on two versions are not compared.
version = \"1.0.0\"
# DECIDE: the name that people read, and what the score says and who gave it.
title = {id}
description = {description}
# DECIDE: \"finance\" or \"general\".
area = \"general\"
languages = [{languages}]
# DECIDE: the licence of the texts as an SPDX expression, such as \"CC-BY-4.0\", and whether it lets
# others be shown the texts. NOASSERTION: nobody looked.
licence = {licence}
redistributable = false
default_split = \"test\"

# {why}
[scale]
kind = \"{kind}\"
min = {min:?}
max = {max:?}

[splits.test]
rows = {rows}

[[source]]
name = \"own\"
format = {{ kind = \"jsonl\" }}
columns = {{ {columns} }}

[source.files]
test = [{{ name = \"{ROWS}\" }}]
{domains}",
            file = suite.id,
            id = quoted(id),
            description = quoted(&format!("Pairs of {}.", suite.id)),
            languages = languages.join(", "),
            licence = quoted(licence.unwrap_or(NO_LICENCE)),
            min = suite.scale.min,
            max = suite.scale.max,
            rows = suite.pairs.len(),
        )
    }
}
