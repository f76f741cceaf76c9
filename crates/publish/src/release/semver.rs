//! Versions of releases: MAJOR for edits and removals, MINOR for additions alone, PATCH for the same
//! rows.

use std::fmt;

/// `MAJOR.MINOR.PATCH`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Rows were edited or removed.
    pub major: u32,
    /// Rows were added.
    pub minor: u32,
    /// The same rows.
    pub patch: u32,
}

/// How far one version is from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bump {
    /// The same version.
    None,
    /// Same rows.
    Patch,
    /// Only additions.
    Minor,
    /// Edits or removals.
    Major,
}

impl Version {
    /// Reads `MAJOR.MINOR.PATCH`: plain numbers without leading zeros.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| {
            let plain = part == "0" || (!part.starts_with('0') && part.len() <= 6);
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            part.parse().ok().filter(|_| plain && digits)
        });
        let version = Self {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next()??,
        };
        parts.next().is_none().then_some(version)
    }

    /// The version after this one.
    #[must_use]
    pub fn bumped(self, bump: Bump) -> Self {
        match bump {
            Bump::None => self,
            Bump::Patch => Self {
                patch: self.patch + 1,
                ..self
            },
            Bump::Minor => Self {
                minor: self.minor + 1,
                patch: 0,
                ..self
            },
            Bump::Major => Self {
                major: self.major + 1,
                minor: 0,
                patch: 0,
            },
        }
    }

    /// What stepping from `earlier` to this version declares; `None` where it does not go up.
    #[must_use]
    pub fn declares(self, earlier: Self) -> Option<Bump> {
        if self <= earlier {
            return None;
        }
        Some(if self.major > earlier.major {
            Bump::Major
        } else if self.minor > earlier.minor {
            Bump::Minor
        } else {
            Bump::Patch
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Display for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Patch => "PATCH",
            Self::Minor => "MINOR",
            Self::Major => "MAJOR",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        for text in [
            "1.0",
            "1.0.0.0",
            "01.0.0",
            "1.0.0-a",
            "",
            "1..0",
            "+1.0.0",
            "1.0.9999999",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        let at = |text| Version::parse(text).expect(text);
        for (earlier, later, declared) in [
            ("1.0.0", "1.0.1", Some(Bump::Patch)),
            ("1.0.9", "1.1.0", Some(Bump::Minor)),
            ("1.9.9", "2.0.0", Some(Bump::Major)),
            ("1.0.0", "1.0.0", None),
            ("1.1.0", "1.0.9", None),
        ] {
            assert_eq!(
                at(later).declares(at(earlier)),
                declared,
                "{earlier} {later}"
            );
        }
        assert_eq!(at("1.2.3").bumped(Bump::Minor).to_string(), "1.3.0");
        assert_eq!(at("1.2.3").bumped(Bump::Major).to_string(), "2.0.0");
    }
}
