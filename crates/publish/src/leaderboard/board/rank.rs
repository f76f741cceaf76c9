//! The statistics between rows: ranks, differences, disagreements.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::make::{Maker, Scored};
use super::{Badge, Dispute, Kind, RowDifference, SuiteColumn, TEXT_LENGTH};
use crate::leaderboard::LeaderboardError;
use crate::leaderboard::compare::disagreements;
use crate::leaderboard::entry::NAME_LENGTH;
use korfinsts_base::text::visible;
use korfinsts_bench::run::record::{ScoredPair, SuiteFacts, clusters};
use korfinsts_metric::{self as metric, Field, PairedStatistic};

/// Why a form has no rank.
const FORM: &str = "embeddings that are cut or quantised have no rank among whole ones";

/// A field of models and what its differences are made of.
pub(super) struct Ranked {
    pub suite: usize,
    pub rows: Vec<usize>,
    pub field: Field,
    baseline: Option<usize>,
    pairs: Vec<ScoredPair>,
    columns: Vec<Vec<f64>>,
    facts: SuiteFacts,
}

impl Maker<'_> {
    /// Ranks the models of one suite, protocol by protocol; baselines are in each.
    pub fn rank(&mut self, at: usize, suite: &mut SuiteColumn, scored: Vec<Scored>) -> Vec<Ranked> {
        // The release that most records made here are of, else most submitted ones; others are shown, not
        // ranked.
        let names: Vec<String> = scored
            .par_iter()
            .map(|s| {
                let mut hash = Sha256::new_with_prefix(&s.facts.release_id);
                for pair in &s.pairs {
                    // The length first: no id can be taken for an id and a number.
                    hash.update((pair.id.len() as u64).to_le_bytes());
                    hash.update(&pair.id);
                    hash.update(pair.gold.to_bits().to_le_bytes());
                }
                korfinsts_base::fs::hex(&hash.finalize())
            })
            .collect();
        let mut releases: BTreeMap<String, Vec<Scored>> = BTreeMap::new();
        for (name, s) in names.into_iter().zip(scored) {
            releases.entry(name).or_default().push(s);
        }
        let Some(most) = releases
            .iter()
            .max_by_key(|(name, s)| {
                let own = |s: &&Scored| self.rows[s.row].row.badge == Badge::Reproduced;
                let own = s.iter().filter(own).count();
                (own, s.len(), std::cmp::Reverse(name.as_str()))
            })
            .map(|(name, _)| name.clone())
        else {
            return Vec::new();
        };
        let ranked = releases.remove(&most).unwrap_or_default();
        for other in releases.into_values().flatten() {
            let cell = self.rows[other.row].cells.get_mut(&suite.key);
            if let Some(cell) = cell {
                cell.unranked = Some("another release, other pairs or other gold scores".into());
            }
        }
        suite.release_id = ranked
            .first()
            .and_then(|s| self.rows[s.row].cells[&suite.key].release_id.clone());
        let mut protocols: BTreeSet<String> = ranked
            .iter()
            .filter(|s| self.rows[s.row].row.kind == Kind::Encoder)
            .map(|s| self.rows[s.row].row.protocol.clone())
            .collect();
        if protocols.is_empty() {
            protocols.insert(String::new());
        }
        let mut fields = Vec::new();
        for protocol in protocols {
            let members: Vec<&Scored> = ranked
                .iter()
                .filter(|s| {
                    let row = &self.rows[s.row].row;
                    row.kind == Kind::Baseline || row.protocol == protocol
                })
                .collect();
            fields.extend(self.field(at, suite, &members));
        }
        self.mark_reported(suite);
        fields
    }

    fn field(&mut self, at: usize, suite: &mut SuiteColumn, members: &[&Scored]) -> Option<Ranked> {
        let gold: Vec<f64> = members.first()?.pairs.iter().map(|p| p.gold).collect();
        let (mut rows, mut columns) = (Vec::new(), Vec::new());
        for member in members {
            let scores: Option<Vec<f64>> = member.pairs.iter().map(|p| p.score).collect();
            if let Some(scores) = scores
                && metric::spearman(&scores, &gold).is_ok()
            {
                rows.push(member.row);
                columns.push(scores);
            }
        }
        let slices: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        // Pairs of records that were made before clusters were declared name none.
        let clusters = members.iter().find_map(|member| clusters(&member.pairs));
        let how = self.options.bootstrap.by(clusters.as_ref());
        let field = Field::new(PairedStatistic::Spearman, &slices, &gold, how).ok()?;
        let ranges = field.ranges().ok()?;
        // Forms of embeddings are compared with the whole ones, and take no rank from them.
        let is_whole = |i: &usize| self.rows[rows[*i]].row.form.is_none();
        let whole: Vec<usize> = (0..rows.len()).filter(is_whole).collect();
        let mut ranks: Vec<Option<[usize; 2]>> = vec![None; rows.len()];
        if whole.len() == rows.len() {
            ranks = ranges.iter().map(|r| Some([r.best, r.worst])).collect();
        } else {
            let slices: Vec<&[f64]> = whole.iter().map(|&i| slices[i]).collect();
            let alone = Field::new(PairedStatistic::Spearman, &slices, &gold, how);
            let alone = alone.and_then(|field| field.ranges()).unwrap_or_default();
            for (&i, range) in whole.iter().zip(alone) {
                ranks[i] = Some([range.best, range.worst]);
            }
        }
        let baseline = (0..rows.len())
            .filter(|&i| self.rows[rows[i]].row.kind == Kind::Baseline)
            .max_by(|&a, &b| field.score(a).total_cmp(&field.score(b)));
        if let Some(best) = baseline {
            let name = self.rows[rows[best]].row.name.clone();
            suite.best_baseline = Some((name, field.score(best)));
        }
        for (i, (&row, range)) in rows.iter().zip(&ranges).enumerate() {
            let is_baseline = self.rows[row].row.kind == Kind::Baseline;
            let Some(cell) = self.rows[row].cells.get_mut(&suite.key) else {
                continue;
            };
            // A baseline is in the field of every protocol; its rank is that of the first one.
            match ranks[i] {
                Some(rank) if cell.rank.is_none() || !is_baseline => {
                    cell.rank = Some(rank);
                    cell.ranked = whole.len();
                }
                Some(_) => {}
                None => cell.unranked = Some(FORM.into()),
            }
            cell.score = Some(range.score);
            cell.interval = Some([range.interval.low, range.interval.high]);
            if !is_baseline {
                cell.beats_baselines = baseline.map(|b| field.surely_better(i, b));
            }
        }
        let pairs = members[0].pairs.clone();
        Some(Ranked {
            suite: at,
            rows,
            field,
            baseline,
            pairs,
            columns,
            facts: members[0].facts.clone(),
        })
    }

    /// A reported figure has no pairs: it is compared with the best baseline as it is.
    fn mark_reported(&mut self, suite: &SuiteColumn) {
        let Some((_, best)) = &suite.best_baseline else {
            return;
        };
        for draft in &mut self.rows {
            if draft.row.badge == Badge::Reported
                && let Some(cell) = draft.cells.get_mut(&suite.key)
            {
                cell.beats_baselines = cell.score.map(|s| s > *best);
            }
        }
    }

    /// Differences that the page compares rows by: all where they are few, else each row with its
    /// neighbours by score, with the best and with the best baseline.
    pub fn differences(
        &self,
        ranked: &Ranked,
        place: &[usize],
        fields: usize,
    ) -> Vec<RowDifference> {
        let n = ranked.rows.len();
        let share = self.options.most_differences / fields.max(1);
        let mut by_score: Vec<usize> = (0..n).collect();
        by_score.sort_by(|&a, &b| ranked.field.score(b).total_cmp(&ranked.field.score(a)));
        let mut wanted: Vec<(usize, usize)> = Vec::new();
        if n * n.saturating_sub(1) / 2 <= share {
            wanted = (0..n)
                .flat_map(|a| (a + 1..n).map(move |b| (a, b)))
                .collect();
        } else {
            for (at, &a) in by_score.iter().enumerate() {
                wanted.extend(ranked.baseline.map(|b| (a, b)));
                wanted.extend(by_score.get(at + 1).map(|&b| (a, b)));
                wanted.push((by_score[0], a));
                if wanted.len() >= share {
                    break;
                }
            }
        }
        let mut seen = BTreeSet::new();
        wanted.retain(|&(a, b)| a != b && seen.insert((a.min(b), a.max(b))));
        wanted
            .into_par_iter()
            .filter_map(|(a, b)| {
                // In the order of the rows on the page.
                let (a, b) = if place[ranked.rows[a]] <= place[ranked.rows[b]] {
                    (a, b)
                } else {
                    (b, a)
                };
                let found = ranked.field.difference(a, b).ok()?;
                Some(RowDifference {
                    suite: ranked.suite,
                    a: place[ranked.rows[a]],
                    b: place[ranked.rows[b]],
                    delta: found.delta,
                    interval: [found.interval.low, found.interval.high],
                    p_value: found.p_value,
                })
            })
            .collect()
    }

    /// The best encoder against the second, against the best baseline, and against what it was
    /// adapted from.
    pub fn disputes(
        &self,
        ranked: &Ranked,
        place: &[usize],
    ) -> Result<Vec<Dispute>, LeaderboardError> {
        if self.options.disagreements == 0 {
            return Ok(Vec::new());
        }
        let row = |i: usize| &self.rows[ranked.rows[i]].row;
        let mut encoders: Vec<usize> = (0..ranked.rows.len())
            .filter(|&i| row(i).kind == Kind::Encoder && row(i).form.is_none())
            .collect();
        encoders.sort_by(|&a, &b| ranked.field.score(b).total_cmp(&ranked.field.score(a)));
        let mut couples = Vec::new();
        if let Some(&first) = encoders.first() {
            couples.extend(encoders.get(1).map(|&second| (first, second)));
            couples.extend(ranked.baseline.map(|baseline| (first, baseline)));
        }
        for &i in &encoders {
            let base = row(i).facts.adapted_from.as_ref();
            let base = base.and_then(|b| encoders.iter().find(|&&j| &row(j).facts.name == b));
            couples.extend(base.map(|&j| (i, j)));
        }
        couples.dedup();
        couples.truncate(6);
        let texts = match couples.first() {
            Some(_) => self.catalogue.texts(&ranked.facts)?,
            None => return Ok(Vec::new()),
        };
        let found = couples.into_iter().map(|(a, b)| {
            let mut pairs = disagreements(
                &ranked.pairs,
                &ranked.columns[a],
                &ranked.columns[b],
                self.options.disagreements,
            );
            for pair in &mut pairs {
                if let Ok(texts) = &texts {
                    pair.texts = texts
                        .get(&pair.id)
                        .map(|t| [visible(&t[0], TEXT_LENGTH), visible(&t[1], TEXT_LENGTH)]);
                }
                pair.id = visible(&pair.id, NAME_LENGTH);
            }
            Dispute {
                suite: ranked.suite,
                a: place[ranked.rows[a]],
                b: place[ranked.rows[b]],
                pairs,
                withheld: texts.as_ref().err().cloned(),
            }
        });
        Ok(found.collect())
    }
}
