//! Whether a row may be used under the profile.

use ahash::AHashMap;
use spdx::{Expression, LicenseItem};

use super::{Candidate, Drop, RowEntry, RowStep};
use crate::MineError;
use crate::setup::Setup;

pub(super) const ENTRY: RowEntry = RowEntry {
    id: "licence",
    about: "rows under a licence that the profile does not allow, or under none",
    open: |setup| {
        Ok(Box::new(Licence {
            setup,
            known: AHashMap::new(),
        }))
    },
};

struct Licence<'a> {
    setup: &'a Setup,
    /// Licences are few and rows are many.
    known: AHashMap<String, Option<&'static str>>,
}

impl RowStep for Licence<'_> {
    fn judge(&mut self, candidate: &mut Candidate) -> Result<Option<Drop>, MineError> {
        let licence = &candidate.document.licence;
        let reason = match self.known.get(licence) {
            Some(reason) => *reason,
            None => {
                let reason = refused(licence, &self.setup.profile.licences);
                self.known.insert(licence.clone(), reason);
                reason
            }
        };
        Ok(reason.map(|reason| Drop::new(reason, "licence", licence.clone())))
    }
}

/// Why a licence is not allowed.
fn refused(licence: &str, allowed: &[String]) -> Option<&'static str> {
    let Ok(expression) = Expression::parse(licence) else {
        return Some("unknown-licence");
    };
    let passes = expression.evaluate(|req| {
        let name = match &req.license {
            LicenseItem::Spdx { id, .. } => id.name.to_owned(),
            other @ LicenseItem::Other { .. } => other.to_string(),
        };
        allowed.contains(&name)
    });
    (!passes).then_some("licence-not-allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_weighed_part_by_part() {
        let allowed = ["MIT", "CC-BY-4.0", "LicenseRef-own"].map(str::to_owned);
        for (licence, reason) in [
            ("MIT", None),
            ("MIT OR GPL-3.0-only", None),
            ("MIT AND CC-BY-NC-4.0", Some("licence-not-allowed")),
            ("CC-BY-NC-4.0", Some("licence-not-allowed")),
            ("LicenseRef-own", None),
            ("LicenseRef-other", Some("licence-not-allowed")),
            ("free to use", Some("unknown-licence")),
            ("", Some("unknown-licence")),
        ] {
            assert_eq!(refused(licence, &allowed), reason, "{licence}");
        }
    }

    #[test]
    fn corpora_whose_licence_was_not_seen_are_left_out_of_every_profile() {
        let registry = crate::corpus::Registry::built_in().expect("what is built in");
        let unseen = registry
            .corpora()
            .iter()
            .filter(|c| c.licence == "NOASSERTION");
        let ids: Vec<&str> = unseen.map(|c| c.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "nmixx-opensource-finance",
                "nmixx-synthetic-disclosure",
                "nmixx-synthetic-report"
            ]
        );
        for (name, profile) in registry.profiles() {
            let reason = refused("NOASSERTION", &profile.licences);
            assert_eq!(reason, Some("licence-not-allowed"), "{name}");
        }
        assert_eq!(refused("NOASSERTION", &["NOASSERTION".to_owned()]), None);
    }
}
