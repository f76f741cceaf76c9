//! What changed between two releases, by id, and what that does to scores.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

use super::rows::{Row, SplitRows};
use super::semver::Bump;
use korfinsts_base::template::cell;
use korfinsts_metric::spearman;

/// How a row changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// A sentence changed.
    Text,
    /// The score changed.
    Label,
    /// Its split, domain or another column changed.
    Column,
}

impl Change {
    const ALL: [Self; 5] = [
        Self::Added,
        Self::Removed,
        Self::Text,
        Self::Label,
        Self::Column,
    ];
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Text => "text changed",
            Self::Label => "label changed",
            Self::Column => "split, domain or another column changed",
        })
    }
}

/// What changed between two releases.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Ids by kind of change, sorted. A row whose text and label changed is under both.
    pub changes: BTreeMap<Change, Vec<String>>,
}

impl Difference {
    /// Ids with their changes.
    pub fn ids(&self) -> impl Iterator<Item = (&str, Change)> {
        self.changes
            .iter()
            .flat_map(|(change, ids)| ids.iter().map(|id| (id.as_str(), *change)))
    }

    /// The step that the change asks for.
    #[must_use]
    pub fn bump(&self) -> Bump {
        let has = |change| {
            self.changes
                .get(&change)
                .is_some_and(|ids: &Vec<String>| !ids.is_empty())
        };
        if Change::ALL[1..].iter().any(|c| has(*c)) {
            Bump::Major
        } else if has(Change::Added) {
            Bump::Minor
        } else {
            Bump::Patch
        }
    }
}

fn by_id(splits: &[SplitRows]) -> BTreeMap<&str, (&SplitRows, &Row)> {
    splits
        .iter()
        .flat_map(|s| s.rows.iter().map(move |r| (r.id.as_str(), (s, r))))
        .collect()
}

/// Compares two releases row by row.
#[must_use]
pub fn difference(before: &[SplitRows], after: &[SplitRows]) -> Difference {
    let (before, after) = (by_id(before), by_id(after));
    let mut found = Difference::default();
    let mut add = |change, id: &str| {
        found.changes.entry(change).or_default().push(id.to_owned());
    };
    for (id, (split, row)) in &after {
        let Some((old_split, old)) = before.get(id) else {
            add(Change::Added, id);
            continue;
        };
        if (&old.sentence1, &old.sentence2) != (&row.sentence1, &row.sentence2) {
            add(Change::Text, id);
        }
        if old.score != row.score {
            add(Change::Label, id);
        }
        let columns =
            (&old_split.name, &old.domain, &old.labels) != (&split.name, &row.domain, &row.labels);
        if columns {
            add(Change::Column, id);
        }
    }
    for id in before.keys().filter(|id| !after.contains_key(*id)) {
        add(Change::Removed, id);
    }
    found
}

/// The scores of a stored submission on one split.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredScores {
    /// Name of what was submitted.
    pub name: String,
    /// Split.
    pub split: String,
    /// Predicted score by id.
    pub scores: HashMap<String, f64>,
}

/// What a change of release does to one submission's score. No model is run: rows whose text is new
/// have no score, and are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rescored {
    /// Name of what was submitted.
    pub name: String,
    /// Split.
    pub split: String,
    /// Pairs and Spearman on the earlier release.
    pub before: (usize, Option<f64>),
    /// Pairs and Spearman on the earlier release, of the rows alone whose texts are unchanged.
    pub shared: (usize, Option<f64>),
    /// Pairs and Spearman on the later release, of the same rows.
    pub after: (usize, Option<f64>),
}

/// Scores stored submissions again. Those with no row of the earlier release are left out.
#[must_use]
pub fn rescore(
    submissions: &[StoredScores],
    before: &[SplitRows],
    after: &[SplitRows],
) -> Vec<Rescored> {
    let (old, new) = (by_id(before), by_id(after));
    let mut found = Vec::new();
    for submission in submissions {
        let mut all = (Vec::new(), Vec::new());
        let mut shared = (Vec::new(), Vec::new(), Vec::new());
        let mut ids: Vec<&String> = submission.scores.keys().collect();
        ids.sort();
        for id in ids {
            let score = submission.scores[id];
            let Some((split, row)) = old.get(id.as_str()) else {
                continue;
            };
            let Some(gold) = row.score.filter(|_| split.name == submission.split) else {
                continue;
            };
            all.0.push(score);
            all.1.push(gold);
            let same = new
                .get(id.as_str())
                .filter(|(_, r)| (&r.sentence1, &r.sentence2) == (&row.sentence1, &row.sentence2));
            if let Some(again) = same.and_then(|(_, r)| r.score) {
                shared.0.push(score);
                shared.1.push(gold);
                shared.2.push(again);
            }
        }
        if all.0.is_empty() {
            continue;
        }
        let rho = |x: &[f64], y: &[f64]| (x.len(), spearman(x, y).ok());
        found.push(Rescored {
            name: submission.name.clone(),
            split: submission.split.clone(),
            before: rho(&all.0, &all.1),
            shared: rho(&shared.0, &shared.1),
            after: rho(&shared.0, &shared.2),
        });
    }
    found
}

/// Pairs and Spearman of a submission on the whole split of a release; `None` where it did not score every row of it.
#[must_use]
pub fn scored(submission: &StoredScores, splits: &[SplitRows]) -> Option<(usize, Option<f64>)> {
    let split = splits.iter().find(|s| s.name == submission.split)?;
    let both = |row: &Row| Some((*submission.scores.get(&row.id)?, row.score?));
    let pairs: Option<Vec<(f64, f64)>> = split.rows.iter().map(both).collect();
    let (predicted, gold): (Vec<f64>, Vec<f64>) = pairs?.into_iter().unzip();
    Some((gold.len(), spearman(&predicted, &gold).ok()))
}

/// What the changelog says of a change: every id, and the table of scores.
#[must_use]
pub fn section(difference: &Difference, scores: &[Rescored]) -> String {
    let mut out = String::new();
    for (change, ids) in &difference.changes {
        let names: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
        out.push_str(&format!(
            "- {change} ({}): {}\n",
            ids.len(),
            names.join(", ")
        ));
    }
    if difference.changes.is_empty() {
        out.push_str("- no row changed\n");
    }
    if !scores.is_empty() {
        out.push_str(
            "\nSpearman of stored submissions, scored again without running a model:\n\n\
             | submission | split | before | unchanged texts, old labels | unchanged texts, new labels | difference |\n\
             |---|---|---:|---:|---:|---:|\n",
        );
        let show = |(n, rho): &(usize, Option<f64>)| {
            rho.map_or_else(
                || format!("none (n = {n})"),
                |r| format!("{r:.4} (n = {n})"),
            )
        };
        for s in scores {
            let delta = s
                .shared
                .1
                .zip(s.after.1)
                .map_or("none".to_owned(), |(a, b)| format!("{:+.4}", b - a));
            out.push_str(&format!(
                "| {} | {} | {} | {} | {} | {delta} |\n",
                cell(&s.name),
                s.split,
                show(&s.before),
                show(&s.shared),
                show(&s.after)
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(rows: &[(&str, &str, f64)]) -> Vec<SplitRows> {
        vec![SplitRows {
            name: "test".into(),
            hidden: false,
            rows: rows
                .iter()
                .map(|(id, text, score)| Row {
                    id: (*id).into(),
                    sentence1: (*text).into(),
                    sentence2: "b".into(),
                    score: Some(*score),
                    ..Row::default()
                })
                .collect(),
        }]
    }

    #[test]
    fn the_step_follows_from_the_rows() {
        let old = split(&[("a", "x", 0.0), ("b", "y", 1.0)]);
        for (new, bump, count) in [
            (split(&[("b", "y", 1.0), ("a", "x", 0.0)]), Bump::Patch, 0),
            (
                split(&[("a", "x", 0.0), ("b", "y", 1.0), ("c", "z", 1.0)]),
                Bump::Minor,
                1,
            ),
            (split(&[("a", "x", 0.0)]), Bump::Major, 1),
            (split(&[("a", "x2", 0.0), ("b", "y", 1.0)]), Bump::Major, 1),
            (split(&[("a", "x", 1.0), ("b", "y", 1.0)]), Bump::Major, 1),
            (split(&[("a", "x2", 1.0), ("b", "y", 1.0)]), Bump::Major, 2),
        ] {
            let found = difference(&old, &new);
            assert_eq!(
                (found.bump(), found.ids().count()),
                (bump, count),
                "{found:?}"
            );
        }
    }

    #[test]
    fn submissions_are_scored_again_on_unchanged_texts() {
        let old = split(&[
            ("a", "1", 0.0),
            ("b", "2", 1.0),
            ("c", "3", 2.0),
            ("d", "4", 3.0),
        ]);
        let new = split(&[
            ("a", "1", 2.0),
            ("b", "2", 1.0),
            ("c", "3", 0.0),
            ("d", "new", 3.0),
            ("e", "5", 1.0),
        ]);
        let scores = ["a", "b", "c", "d"]
            .iter()
            .zip(1..)
            .map(|(id, x)| ((*id).to_owned(), f64::from(x)))
            .collect();
        let stored = [StoredScores {
            name: "m|x".into(),
            split: "test".into(),
            scores,
        }];
        let found = rescore(&stored, &old, &new);
        assert_eq!(found[0].before, (4, Some(1.0)));
        assert_eq!(found[0].shared, (3, Some(1.0)));
        assert_eq!(found[0].after, (3, Some(-1.0)));
        // As a whole, the later release is not scored: it has a row that is new.
        assert_eq!(scored(&stored[0], &old), Some((4, Some(1.0))));
        assert_eq!(scored(&stored[0], &new), None);
        let text = section(&difference(&old, &new), &found);
        assert!(
            text.contains("m\\|x") && text.contains("-2.0000") && text.contains("`e`"),
            "{text}"
        );
    }
}
