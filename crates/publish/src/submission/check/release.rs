//! Each suite is known to this program, is on this machine, has the release that the bundle names,
//! and was not revoked.

use super::super::verify::Examined;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    for (entry, suite) in examined.bundle.manifest.suites.iter().zip(&examined.suites) {
        let name = entry.name();
        if let Some(revoked) = examined
            .revoked
            .iter()
            .find(|r| r.suite == entry.id && r.release_id == entry.release_id)
        {
            return Err(format!(
                "{name}: the release {} was revoked: {}",
                entry.release_id, revoked.reason
            ));
        }
        let suite = suite.as_ref().map_err(|e| format!("{name}: {e}"))?;
        if suite.release_id != entry.release_id {
            return Err(format!(
                "{name}: the release is {} (version {}), the bundle names {} (version {}): score the model on the release \
                 that is here, or verify with the korfinsts that has the other one",
                suite.release_id,
                suite.version,
                entry.release_id,
                entry.version.escape_debug()
            ));
        }
        if suite.version != entry.version {
            return Err(format!(
                "{name}: the version is {}, the bundle names {}",
                suite.version,
                entry.version.escape_debug()
            ));
        }
        if suite.pairs.len() != entry.n_pairs {
            return Err(format!(
                "{name}: the suite has {} pairs, the bundle claims {}",
                suite.pairs.len(),
                entry.n_pairs
            ));
        }
    }
    let n = examined.suites.len();
    Ok(format!(
        "{n} suites are known, here, and of the release that is named"
    ))
}
