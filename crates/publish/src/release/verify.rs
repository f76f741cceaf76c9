//! Whether a built release is as it was released.

use serde::Serialize;

use super::{Subject, build, rebuild};
use crate::signature::verify_signature;
use korfinsts_base::archive;
use korfinsts_base::fs::sha256;
use korfinsts_base::sums::{self, SIGNATURE, SUMS};

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyCheck {
    /// `container`, `checksums`, `release-id`, `signature` or `rebuild`.
    pub id: &'static str,
    /// Whether it is as it has to be; also where there was nothing to check.
    pub passed: bool,
    /// Whether there was nothing to check.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
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
/// asked for, its signature, and that its rows are in the form that a build gives them.
///
/// `public_key` is one that is trusted. Without it a key that the release names itself must have signed
/// it: that finds damage, and does not say who made the release.
#[must_use]
pub fn verify(subject: &Subject, public_key: Option<&str>, release_id: Option<&str>) -> Verdict {
    let mut checks = Vec::new();
    let mut add = |id, passed, message: String| {
        checks.push(VerifyCheck {
            id,
            passed,
            skipped: false,
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
    let (passed, message) = signature(subject, public_key);
    add("signature", passed, message);
    let (passed, message) = rebuilt(subject);
    add("rebuild", passed, message);
    for check in &mut checks {
        let signed = public_key.is_some() || subject.files.contains_key(SIGNATURE);
        check.skipped = check.id == "signature" && !signed;
    }
    Verdict {
        release_id: found,
        checks,
    }
}

/// Whether a release is signed as asked, with what was found.
fn signature(subject: &Subject, public_key: Option<&str>) -> (bool, String) {
    let list = subject
        .files
        .get(SUMS)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let named = subject.manifest.as_ref().and_then(|m| m.public_key.clone());
    let found = subject.files.get(SIGNATURE);
    let (key, signature) = match (public_key.or(named.as_deref()), found) {
        (Some(key), Some(signature)) => (key, signature),
        (Some(_), None) => {
            let named = if public_key.is_some() {
                "a public key is trusted for it"
            } else {
                "it names a public key"
            };
            return (false, format!("it is not signed, but {named}"));
        }
        (None, Some(_)) => {
            let message = "it is signed, but no public key is named: give one with `--public-key`";
            return (false, message.into());
        }
        (None, None) => {
            let message = "not signed: compare the release id with the published one";
            return (true, message.into());
        }
    };
    match verify_signature(list, signature, key) {
        Ok(comment) if public_key.is_some() => (true, comment),
        Ok(comment) => (
            true,
            format!(
                "signed by an unknown key, not checked: the release itself names {}, which does not say who \
                 made it; give the publisher's key with `--public-key` ({comment})",
                key.trim()
            ),
        ),
        Err(e) => (false, e.to_string()),
    }
}

/// Whether the inputs of a release build to its rows, with what was found.
fn rebuilt(subject: &Subject) -> (bool, String) {
    let absent = absent(subject);
    let built = match &absent {
        None => rebuild(subject).map(|built| built.files),
        Some(_) => build::image(&build::inputs(subject)),
    };
    let files = match built {
        Ok(files) => files,
        Err(e) => return (false, e.to_string()),
    };
    let differing: Vec<&String> = files
        .iter()
        .filter(|(name, bytes)| subject.files.get(*name) != Some(bytes))
        .map(|(name, _)| name)
        .collect();
    // Another version of this program may word its documents differently; rows are rows.
    let rows = differing.iter().find(|name| {
        ["data/", "annotations/", "provenance/"]
            .iter()
            .any(|f| name.starts_with(f))
    });
    let message = match (rows, differing.first()) {
        (None, None) => match absent {
            None => "its inputs build to the same files".to_owned(),
            Some(version) => format!(
                "its inputs build to the same files; its reports, which compare it with release {version}, were \
                 not made again: give that release with `--previous`"
            ),
        },
        (None, Some(first)) => format!(
            "its rows build to the same bytes; `{first}` and {} more were generated by another version \
             of korfinsts, or edited",
            differing.len() - 1
        ),
        (Some(name), _) => format!("`{name}` is not what its inputs build to"),
    };
    (rows.is_none(), message)
}

/// The first earlier release that the manifest names and that is not at hand: without it, what the
/// gates say of the change since then cannot be said again.
fn absent(subject: &Subject) -> Option<String> {
    let at_hand = |version: &str| {
        let mut earlier = subject.context.earlier.iter();
        earlier.any(|e| e.version.to_string() == version)
    };
    let previous = &subject.manifest.as_ref()?.previous;
    let found = previous.iter().find(|p| !at_hand(&p.version))?;
    Some(found.version.clone())
}
