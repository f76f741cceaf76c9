//! R17: `SHA256SUMS` lists every file and no other, and its signature verifies.

use super::super::Subject;
use super::super::report::Notes;
use super::{Gate, gate};
use crate::signature::verify_signature;
use korfinsts_base::sums::{self, SIGNATURE, SUMS};

pub(super) const GATE: Gate = gate("R17", "checksums and signature", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let Some(manifest) = &subject.manifest else {
        return;
    };
    if !subject.built {
        notes.fact("not built yet: checksums are written by the build");
        return;
    }
    for (_, message) in sums::differences(&subject.files) {
        notes.error(
            None,
            message,
            "restore the file, or build the release again",
        );
    }
    let key = subject
        .context
        .public_key
        .as_ref()
        .or(manifest.public_key.as_ref());
    let signature = subject.files.get(SIGNATURE);
    let list = subject
        .files
        .get(SUMS)
        .map(Vec::as_slice)
        .unwrap_or_default();
    match (key, signature) {
        (Some(key), Some(signature)) => match verify_signature(list, signature, key) {
            Ok(comment) if subject.context.public_key.is_none() => notes.fact(format!(
                "the signature verifies with the key that the release names itself, which does not say who \
                 made it: {comment}"
            )),
            Ok(comment) => notes.fact(format!("the signature verifies: {comment}")),
            Err(e) => notes.error(
                None,
                e.to_string(),
                "get the release again from where it was published",
            ),
        },
        (Some(_), None) => notes.error(
            None,
            "it is not signed, but a public key is named",
            "run `korfinsts release sign`",
        ),
        (None, Some(_)) => notes.warn(
            None,
            "it is signed, but there is no public key to verify with",
            "name one with `--public-key`",
        ),
        (None, None) => notes.warn(
            None,
            "it is not signed: the release id alone says what was published",
            "run `korfinsts release sign`",
        ),
    }
}
