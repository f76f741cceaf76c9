//! What a maintainer wants to know of a split before it is used: everything that is wrong with
//! it, and everything that is odd about it.

use super::error::{Finding, Level, Place, Problem};
use super::manifest::{Manifest, is_id};
use super::stats::stats;
use super::{Registry, SuiteError};
use korfinsts_base::text::{is_invisible, nfc};

/// The findings of one split.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckReport {
    /// The split.
    pub split: String,
    /// Pairs that were read.
    pub pairs: usize,
    /// What was found: errors first, then in order of place.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Whether there is no error; warnings pass.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.findings
            .iter()
            .all(|f| f.problem.level() == Level::Warning)
    }
}

impl Registry {
    /// Reads a split and reports every problem: what makes it unusable (errors), and texts that
    /// are not in normalisation form C, invisible characters, odd ids, and a declared scale that
    /// the data contradict (warnings).
    ///
    /// # Errors
    /// When the rows are not here or have other bytes than expected.
    pub fn check(
        &self,
        manifest: &Manifest,
        split: Option<&str>,
    ) -> Result<CheckReport, SuiteError> {
        let (split, _) = manifest.split(split)?;
        let inspected = self.inspect(manifest, split)?;
        let mut findings = inspected.findings.clone();
        for (pair, (path, place)) in &inspected.pairs {
            let mut add = |problem| {
                findings.push(Finding {
                    path: path.clone(),
                    place: *place,
                    problem,
                });
            };
            for (column, text) in [
                ("sentence1", &pair.sentence1),
                ("sentence2", &pair.sentence2),
            ] {
                if nfc(text) != *text {
                    add(Problem::NotNfc {
                        column: column.to_owned(),
                    });
                }
                if let Some(c) = text.chars().find(|c| is_invisible(*c)) {
                    add(Problem::InvisibleCharacter {
                        column: column.to_owned(),
                        code: u32::from(c),
                    });
                }
            }
            if !is_id(&pair.id) {
                add(Problem::IdForm {
                    id: pair.id.clone(),
                });
            }
        }
        if let Some(suite) = &inspected.suite {
            for warning in stats(suite, None).warnings {
                findings.push(Finding {
                    path: inspected.path.clone(),
                    place: Place::File,
                    problem: Problem::Scale(warning),
                });
            }
        }
        findings.sort_by_key(|f| std::cmp::Reverse(f.problem.level()));
        Ok(CheckReport {
            split: split.to_owned(),
            pairs: inspected.pairs.len(),
            findings,
        })
    }
}
