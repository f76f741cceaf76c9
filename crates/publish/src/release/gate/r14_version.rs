//! R14: the version says what changed: PATCH the same rows, MINOR only additions, MAJOR edits or
//! removals.

use super::super::diff::difference;
use super::super::report::Notes;
use super::super::{Bump, Subject};
use super::{Gate, gate};

pub(super) const GATE: Gate = gate("R14", "semantic version", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let Some(manifest) = &subject.manifest else {
        return;
    };
    let version = manifest.semver();
    for previous in &manifest.previous {
        let found = subject
            .context
            .earlier
            .iter()
            .find(|e| e.version.to_string() == previous.version);
        match found {
            None => notes.error(
                None,
                format!(
                    "release {} is named as an earlier one, but was not given to compare with",
                    previous.version
                ),
                "keep it under releases/, or give it with `--previous`",
            ),
            Some(earlier) if earlier.release_id != previous.release_id => notes.error(
                None,
                format!(
                    "release {} has the id {}, korfinsts.toml says {}",
                    previous.version, earlier.release_id, previous.release_id
                ),
                "find out which of the two was published",
            ),
            Some(_) => {}
        }
    }
    for earlier in &subject.context.earlier {
        if !manifest
            .previous
            .iter()
            .any(|p| p.version == earlier.version.to_string())
        {
            notes.error(
                None,
                format!(
                    "release {} is not named under `[[previous]]`",
                    earlier.version
                ),
                format!("add it with `release_id = \"{}\"`", earlier.release_id),
            );
        }
    }
    let Some(earlier) = subject.context.earlier.iter().max_by_key(|e| e.version) else {
        notes.fact("the first release: there is none to compare with");
        return;
    };
    let computed = difference(&earlier.splits, &subject.splits).bump();
    let Some(declared) = version.declares(earlier.version) else {
        notes.error(
            None,
            format!(
                "the version {version} does not come after {}",
                earlier.version
            ),
            format!(
                "the next one is {}",
                earlier.version.bumped(computed.max(Bump::Patch))
            ),
        );
        return;
    };
    notes.fact(format!(
        "since {}: the rows ask for {computed}, the version declares {declared}",
        earlier.version
    ));
    if computed > declared {
        notes.error(
            None,
            format!(
                "the rows changed by a {computed} step since {}, but {version} declares {declared}",
                earlier.version
            ),
            format!("release it as {}", earlier.version.bumped(computed)),
        );
    }
}
