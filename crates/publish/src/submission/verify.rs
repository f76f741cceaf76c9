//! A bundle through every check, and the level that it reaches.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::bundle::{Bundle, ScoreLine};
use super::check::CHECKS;
use super::entry::{BundleEntry, Revoked};
use super::manifest::SuiteEntry;
use korfinsts_bench::run::record::ScoredPair;
use korfinsts_bench::suite::{Pair, Registry, Suite};

/// How far a submission has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing was recomputed, or something failed.
    Claimed,
    /// Every number follows from the scores.
    Recomputed,
    /// Some pairs of each suite, drawn after submission, were encoded again.
    Sampled {
        /// How many.
        pairs: usize,
        /// Of how many.
        of: usize,
    },
    /// Every pair was encoded again.
    Full,
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Claimed => f.write_str("claimed"),
            Self::Recomputed => f.write_str("recomputed"),
            Self::Sampled { pairs, of } => write!(f, "re-run on {pairs} of {of} pairs"),
            Self::Full => f.write_str("re-run in full"),
        }
    }
}

impl Serialize for Level {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One check and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Name of the check.
    pub id: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What was found.
    pub message: String,
}

/// What was found about a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How far it has been checked.
    pub level: Level,
    /// Whether every check passed.
    pub passed: bool,
    /// Each check, in order. Where the container, its names, its schema or its hashes are refused,
    /// nothing after that is looked at.
    pub checks: Vec<CheckResult>,
}

impl Verdict {
    /// The first check that failed.
    #[must_use]
    pub fn first_failure(&self) -> Option<&CheckResult> {
        self.checks.iter().find(|c| !c.passed)
    }
}

/// What a bundle is compared with.
#[derive(Clone, Copy)]
pub struct BundleContext<'a> {
    /// The suites of this machine.
    pub registry: &'a Registry,
    /// Bundles that were taken in before.
    pub entries: &'a [BundleEntry],
    /// Releases that no score may be on.
    pub revoked: &'a [Revoked],
}

/// A bundle with what it is compared with.
pub struct Examined<'a> {
    /// The bundle.
    pub bundle: &'a Bundle,
    /// The suites of this machine, in the order of the manifest, or why one is not here.
    pub suites: Vec<Result<Suite, String>>,
    /// Entries that were taken in before.
    pub entries: &'a [BundleEntry],
    /// Releases that no score may be on.
    pub revoked: &'a [Revoked],
    /// Per suite, where its ids are exactly those of the bundle: predicted and gold scores.
    columns: Vec<Option<[Vec<f64>; 2]>>,
}

/// One suite of a bundle whose ids are those of the suite: scores in the order of its pairs.
pub struct Joined<'a> {
    /// What is claimed.
    pub entry: &'a SuiteEntry,
    /// The suite.
    pub suite: &'a Suite,
    /// Predicted scores, one per pair.
    pub predicted: &'a [f64],
    /// Gold scores.
    pub gold: &'a [f64],
}

impl Joined<'_> {
    /// The pairs as lines of a per-pair file.
    pub(super) fn pairs(&self) -> Vec<ScoredPair> {
        let pairs = self.suite.pairs.iter().zip(self.predicted);
        pairs
            .map(|(pair, score)| ScoredPair {
                score: Some(*score),
                ..ScoredPair::unscored(pair, self.suite)
            })
            .collect()
    }
}

impl<'a> Examined<'a> {
    /// Loads what a bundle's suites are on this machine.
    #[must_use]
    pub fn new(bundle: &'a Bundle, context: BundleContext<'a>) -> Self {
        let BundleContext {
            registry,
            entries,
            revoked,
        } = context;
        let suites: Vec<Result<Suite, String>> = bundle
            .manifest
            .suites
            .iter()
            .map(|entry| {
                // A path is no id: a bundle must not choose a folder of this machine.
                let manifest = registry
                    .all()
                    .iter()
                    .find(|m| m.id == entry.id)
                    .ok_or_else(|| format!("this program knows no suite `{}`", entry.id))?;
                registry
                    .load(manifest, Some(&entry.split))
                    .map_err(|e| match e.hint() {
                        Some(hint) => format!("{e} ({hint})"),
                        None => e.to_string(),
                    })
            })
            .collect();
        let columns = bundle
            .manifest
            .suites
            .iter()
            .zip(&suites)
            .map(|(entry, suite)| columns(lines(bundle, entry), suite.as_ref().ok()?))
            .collect();
        Self {
            bundle,
            suites,
            entries,
            revoked,
            columns,
        }
    }

    /// The lines of one suite's scores.
    #[must_use]
    pub fn lines(&self, entry: &SuiteEntry) -> &'a [ScoreLine] {
        lines(self.bundle, entry)
    }

    /// Every suite that is here and whose ids are exactly those of the bundle.
    #[must_use]
    pub fn joined(&self) -> Vec<Joined<'_>> {
        let entries = self.bundle.manifest.suites.iter().zip(&self.suites);
        entries
            .zip(&self.columns)
            .filter_map(|((entry, suite), columns)| {
                let [predicted, gold] = columns.as_ref()?;
                Some(Joined {
                    entry,
                    suite: suite.as_ref().ok()?,
                    predicted,
                    gold,
                })
            })
            .collect()
    }
}

fn lines<'a>(bundle: &'a Bundle, entry: &SuiteEntry) -> &'a [ScoreLine] {
    let lines = bundle.scores.get(&entry.scores.file);
    lines.map(Vec::as_slice).unwrap_or_default()
}

/// Predicted and gold scores in the order of the suite's pairs; `None` where the ids differ.
fn columns(lines: &[ScoreLine], suite: &Suite) -> Option<[Vec<f64>; 2]> {
    let scores: HashMap<&str, f64> = lines.iter().map(|l| (l.id.as_str(), l.score)).collect();
    let of = |pair: &Pair| scores.get(pair.id.as_str()).copied();
    let predicted: Vec<f64> = suite.pairs.iter().map(of).collect::<Option<_>>()?;
    let gold = suite.pairs.iter().map(|p| p.gold).collect();
    (predicted.len() == lines.len()).then_some([predicted, gold])
}

/// Opens a bundle and puts it through every check but the re-run.
///
/// # Errors
/// Never: what is wrong is in the verdict. The bundle is given back where it could be opened.
#[must_use]
pub fn verify(bytes: &[u8], context: BundleContext<'_>) -> (Verdict, Option<Bundle>) {
    const OPENING: [(&str, &str); 4] = [
        (
            "container",
            "the zip file is as `korfinsts submit` writes it",
        ),
        ("schema", "every file is of its schema"),
        ("names", "the files are those that the manifest names"),
        ("hashes", "every hash is right"),
    ];
    let mut checks = Vec::new();
    match Bundle::open(bytes) {
        Err(refused) => {
            for (id, message) in OPENING {
                let failed = id == refused.check;
                checks.push(CheckResult {
                    id,
                    passed: !failed,
                    message: if failed {
                        refused.reason.clone()
                    } else {
                        message.to_owned()
                    },
                });
                if failed {
                    break;
                }
            }
            let verdict = Verdict {
                level: Level::Claimed,
                passed: false,
                checks,
            };
            (verdict, None)
        }
        Ok(bundle) => {
            checks.extend(OPENING.map(|(id, message)| CheckResult {
                id,
                passed: true,
                message: message.to_owned(),
            }));
            let examined = Examined::new(&bundle, context);
            checks.extend(examine(&examined));
            let passed = checks.iter().all(|c| c.passed);
            let verdict = Verdict {
                level: if passed {
                    Level::Recomputed
                } else {
                    Level::Claimed
                },
                passed,
                checks,
            };
            (verdict, Some(bundle))
        }
    }
}

/// Puts an opened bundle through every check.
#[must_use]
pub fn examine(examined: &Examined<'_>) -> Vec<CheckResult> {
    CHECKS
        .iter()
        .map(|check| {
            let (passed, message) = match (check.run)(examined) {
                Ok(message) => (true, message),
                Err(message) => (false, message),
            };
            CheckResult {
                id: check.id,
                passed,
                message,
            }
        })
        .collect()
}

/// Names of domains with their number of pairs.
pub(super) fn domains(suite: &Suite) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for domain in suite.pairs.iter().filter_map(|p| p.domain.as_deref()) {
        *counts.entry(domain).or_default() += 1;
    }
    counts
}
