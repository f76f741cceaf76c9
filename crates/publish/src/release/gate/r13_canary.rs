//! R13: the canary is in every text file, so that a copy in training data can be found. The list
//! of checksums and its signature have a form of their own that leaves no room for it.

use super::super::report::Notes;
use super::super::{Subject, build};
use super::{Gate, gate};
use korfinsts_base::archive::Files;
use korfinsts_base::sums::{SIGNATURE, SUMS};

pub(super) const GATE: Gate = gate("R13", "canary", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let Some(manifest) = &subject.manifest else {
        return;
    };
    let built;
    let files: &Files = if subject.built {
        &subject.files
    } else {
        match build::image(subject) {
            Ok(image) => {
                built = image;
                &built
            }
            Err(_) => &subject.files,
        }
    };
    for (name, bytes) in files {
        if name.ends_with(".parquet") || name == SUMS || name == SIGNATURE {
            continue;
        }
        let lines = name.ends_with(".jsonl");
        let text = String::from_utf8_lossy(bytes);
        if lines {
            for (i, line) in text
                .lines()
                .enumerate()
                .filter(|(_, l)| !l.contains(&manifest.canary))
            {
                let id = serde_json::from_str::<serde_json::Value>(line)
                    .ok()
                    .and_then(|v| v.get("id").and_then(|v| v.as_str()).map(ToOwned::to_owned));
                notes.error(
                    id.as_deref(),
                    format!(
                        "{name}:{}: the canary {} is missing",
                        i + 1,
                        manifest.canary
                    ),
                    "add `\"canary\"` to the row, or build the release again",
                );
            }
        } else if !text.contains(&manifest.canary) {
            notes.error(
                None,
                format!("{name}: the canary {} is missing", manifest.canary),
                "add a line with it; in generated files: build the release again",
            );
        }
    }
}
