//! Whether a built release is as it was released.

use serde::Serialize;

use super::{Subject, rebuild, verify_signature};
use crate::archive;
use crate::fs::sha256;
use crate::sums::{self, SIGNATURE, SUMS};

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyCheck {
    /// `container`, `checksums`, `release-id`, `signature` or `rebuild`.
    pub id: &'static str,
    /// Whether it is as it has to be.
    pub passed: bool,
    /// What was found.
    pub message: String,
}

/// What was found about a built release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// SHA-256 of its `SHA256SUMS`.
    pub release_id: Option<String>,
    /// Each check.
    pub checks: Vec<VerifyCheck>,
}

impl Verdict {
    /// Whether everything is as it has to be.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|c| c.passed)
    }
}

/// Verifies a built release: the bytes of its zip file, its checksums both ways, its id where one is
/// asked for, its signature where a key is given, and that its inputs build to the same files.
#[must_use]
pub fn verify(subject: &Subject, public_key: Option<&str>, release_id: Option<&str>) -> Verdict {
    let mut checks = Vec::new();
    let mut add = |id, passed, message: String| {
        checks.push(VerifyCheck {
            id,
            passed,
            message,
        });
    };
    match &subject.container {
        Some(bytes) => {
            let canonical = archive::write(&subject.files).is_ok_and(|again| again == *bytes);
            let message = if canonical {
                "the zip file is byte for byte what `release build` writes"
            } else {
                "the zip file is not what `release build` writes of its files"
            };
            add("container", canonical, message.into());
        }
        None => add("container", true, "a folder".into()),
    }
    let differences = sums::differences(&subject.files);
    let listed = subject.files.len().saturating_sub(1);
    let message = match differences.as_slice() {
        [] => format!("{listed} files are as listed, and no other is there"),
        [(_, first)] => first.clone(),
        [(_, first), rest @ ..] => format!("{first}, and {} more differences", rest.len()),
    };
    add("checksums", differences.is_empty(), message);
    let found = subject.files.get(SUMS).map(|list| sha256(list));
    if let Some(expected) = release_id {
        let same = found.as_deref() == Some(expected);
        let shown = found.as_deref().unwrap_or("none");
        add(
            "release-id",
            same,
            format!("found {shown}, expected {}", expected.escape_debug()),
        );
    }
    let list = subject
        .files
        .get(SUMS)
        .map(Vec::as_slice)
        .unwrap_or_default();
    match (public_key, subject.files.get(SIGNATURE)) {
        (Some(key), Some(signature)) => match verify_signature(list, signature, key) {
            Ok(comment) => add("signature", true, comment),
            Err(e) => add("signature", false, e.to_string()),
        },
        (Some(_), None) => add(
            "signature",
            false,
            "it is not signed, but a public key is named".into(),
        ),
        (None, Some(_)) => add(
            "signature",
            false,
            "it is signed, but no public key is named: give one with `--public-key`".into(),
        ),
        (None, None) => add(
            "signature",
            true,
            "not signed: compare the release id with the published one".into(),
        ),
    }
    match rebuild(subject) {
        Ok(built) => {
            let differing: Vec<&String> = built
                .files
                .iter()
                .filter(|(name, bytes)| subject.files.get(*name) != Some(bytes))
                .map(|(name, _)| name)
                .collect();
            let message = match differing.first() {
                None => "its inputs build to the same files".to_owned(),
                Some(first) => format!(
                    "its inputs build to other files: {} differ, first `{first}`",
                    differing.len()
                ),
            };
            add("rebuild", differing.is_empty(), message);
        }
        Err(e) => add("rebuild", false, e.to_string()),
    }
    Verdict {
        release_id: found,
        checks,
    }
}
