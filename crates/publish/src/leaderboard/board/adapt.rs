//! Models before and after.

use std::collections::BTreeMap;

use super::{Adaptation, Badge, Board, Cell, Change, Stage};
use korfinsts_metric as metric;

/// Models before and after: those that a source reports so, and those run of which one was adapted
/// from the other.
pub(super) fn adaptations(board: &Board) -> Vec<Adaptation> {
    let mut found = Vec::new();
    for (after_at, after) in board.rows.iter().enumerate() {
        let before = match after.stage {
            Some(Stage::After) => board.rows.iter().position(|r| {
                r.stage == Some(Stage::Before) && r.name == after.name && r.source == after.source
            }),
            None if after.badge != Badge::Reported => {
                let base = after.facts.adapted_from.as_ref();
                base.and_then(|base| {
                    board.rows.iter().position(|r| {
                        &r.facts.name == base
                            && r.badge != Badge::Reported
                            && r.protocol == after.protocol
                    })
                })
            }
            _ => None,
        };
        let Some(before_at) = before else {
            continue;
        };
        let changes: BTreeMap<usize, Change> = (0..board.suites.len())
            .filter_map(|suite| Some((suite, change(board, suite, before_at, after_at)?)))
            .collect();
        if !changes.is_empty() {
            found.push(Adaptation {
                name: after.name.clone(),
                source: after.source.clone(),
                badge: after.badge,
                changes,
            });
        }
    }
    found
}

fn change(board: &Board, suite: usize, before: usize, after: usize) -> Option<Change> {
    let cell = |row: usize| board.rows[row].cells[suite].as_ref();
    let (b, a) = (cell(before)?, cell(after)?);
    let ((from, before_interval), (to, after_interval)) = (b.shown()?, a.shown()?);
    let paired = board
        .differences
        .iter()
        .find(|d| d.suite == suite && (d.a, d.b) == (before.min(after), before.max(after)))
        .map(|d| {
            let [low, high] = d.interval;
            if after < before {
                [low, high]
            } else {
                [-high, -low]
            }
        });
    let apart = || {
        let error = |c: &Cell, score: f64| metric::spearman_error(score, c.n_pairs?);
        let both = error(b, from)?.hypot(error(a, to)?);
        let half = metric::normal_quantile(board.level) * both;
        Some([to - from - half, to - from + half])
    };
    Some(Change {
        before: from,
        after: to,
        before_interval,
        after_interval,
        trained_on: b.trained_on || a.trained_on,
        interval: paired.or_else(apart),
        paired: paired.is_some(),
    })
}
