//! Training texts that are texts of a suite too.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization as _;

use super::TrainError;
use super::batch::Source;
use super::recipe::Leakage;
use korfinsts_bench::suite::Suite;

/// What the check found.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct LeakReport {
    /// Suites that were looked through, as `id:split`.
    pub suites: Vec<String>,
    /// Suites that are known and not on disk: not looked through.
    pub absent: Vec<String>,
    /// Examples with a text of each suite.
    pub found: std::collections::BTreeMap<String, usize>,
    /// Examples left out because of it.
    pub dropped: usize,
    /// Examples looked at.
    pub examples: usize,
    /// The first few, with their suites.
    pub first: Vec<String>,
}

/// A text as it is compared: NFKC, lower case, letters and digits alone.
#[must_use]
pub fn essence(text: &str) -> String {
    text.nfkc()
        .flat_map(char::to_lowercase)
        .filter(|c| c.is_alphanumeric())
        .collect()
}

/// Looks for training texts in suites, and leaves examples out where `policy` says so.
///
/// # Errors
/// When an example has a text of a suite and `policy` forbids it.
pub fn check(
    stages: &mut [Vec<Source>],
    suites: &[Suite],
    policy: Leakage,
) -> Result<LeakReport, TrainError> {
    let mut known: HashMap<String, usize> = HashMap::new();
    for (i, suite) in suites.iter().enumerate() {
        for pair in &suite.pairs {
            for text in [&pair.sentence1, &pair.sentence2] {
                known.entry(essence(text)).or_insert(i);
            }
        }
    }
    known.remove("");
    let name = |i: usize| format!("{}:{}", suites[i].id, suites[i].split);
    let mut report = LeakReport {
        suites: (0..suites.len()).map(name).collect(),
        ..LeakReport::default()
    };
    for source in stages.iter_mut().flatten() {
        report.examples += source.examples.len();
        let origin = source.name.clone();
        let gone = source.retain(|example| {
            let Some(&suite) = example.texts().find_map(|t| known.get(&essence(t))) else {
                return true;
            };
            *report.found.entry(name(suite)).or_default() += 1;
            if report.first.len() < 5 {
                report
                    .first
                    .push(format!("{} ({}) in {}", example.place, origin, name(suite)));
            }
            policy != Leakage::Drop
        });
        report.dropped += gone;
        if policy == Leakage::Drop {
            source
                .extra
                .retain(|text| !known.contains_key(&essence(text)));
        }
    }
    if policy == Leakage::Error && !report.found.is_empty() {
        return Err(TrainError::Leak {
            texts: report.found.values().sum(),
            examples: report.first.join("; "),
        });
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Example, Kind};
    use korfinsts_bench::suite::{Pair, Scale, ScaleKind};

    fn suite() -> Suite {
        Suite {
            id: "s".into(),
            version: "1".into(),
            split: "test".into(),
            languages: vec![],
            scale: Scale {
                kind: ScaleKind::Binary,
                min: 0.0,
                max: 1.0,
            },
            pairs: vec![Pair {
                id: "1".into(),
                sentence1: "한국은행은 금리를 올렸다.".into(),
                sentence2: "A plane.".into(),
                gold: 1.0,
                domain: None,
                labels: std::collections::BTreeMap::default(),
            }],
            release_id: String::new(),
            redistributable: true,
            triplets: None,
            cluster: None,
            mteb_task: None,
            hub_revision: None,
            warnings: vec![],
        }
    }

    fn stages() -> Vec<Vec<Source>> {
        let example = |first: &str, second: &str| Example {
            first: first.into(),
            second: second.into(),
            place: "f:1".into(),
            ..Example::default()
        };
        let mut source = Source::new(
            Kind::Pairs,
            "f".into(),
            vec![
                example("other", "texts"),
                example("x", "한국은행은  금리를 올렸다"),
                example("third", "one"),
                example("a PLANE", "y"),
            ],
        );
        source.extra = vec!["a plane".into(), "a train".into()];
        vec![vec![source]]
    }

    #[test]
    fn a_text_is_found_whatever_its_spacing_case_and_punctuation() {
        let error = check(&mut stages(), &[suite()], Leakage::Error).expect_err("leaks");
        assert!(
            error
                .to_string()
                .starts_with("2 training texts stand in a suite: f:1 (f) in s:test")
        );
        let report = check(&mut stages(), &[suite()], Leakage::Report).expect("a report");
        assert_eq!(
            (report.found["s:test"], report.dropped, report.examples),
            (2, 0, 4)
        );
        let mut kept = stages();
        let report = check(&mut kept, &[suite()], Leakage::Drop).expect("a report");
        assert_eq!((report.dropped, kept[0][0].examples.len()), (2, 2));
        assert_eq!(kept[0][0].extra, ["a train"]);
        let mut tied = stages();
        tied[0][0].examples[2].tied = true;
        let report = check(&mut tied, &[suite()], Leakage::Drop).expect("a report");
        let left = &tied[0][0].examples;
        assert_eq!((report.dropped, left.len()), (2, 2), "nothing else goes");
        assert!(!left[1].tied, "what it was tied to is gone");
    }
}
