//! Sources are brought to the size of the smallest.

use std::collections::BTreeMap;

use super::{Drop, PoolEntry, PoolOptions};
use crate::minhash::mix;
use crate::pool::{Pool, PooledPassage};

pub(super) const ENTRY: PoolEntry = PoolEntry {
    id: "balance",
    about: "documents of the larger sources, drawn by their ids and the seed",
    judge,
};

/// The position of a document in a draw: a number of its id and the seed alone, so that a draw does
/// not depend on the order of the corpora.
#[must_use]
pub fn lot(entry: &PooledPassage, seed: u64) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&entry.id[..8]);
    mix(u64::from_le_bytes(half) ^ mix(seed ^ 0x6b6f_7266_696e_7374))
}

fn judge(pool: &Pool, options: &PoolOptions, left: &[bool]) -> Vec<(usize, Drop)> {
    if !options.balance {
        return Vec::new();
    }
    let mut sources: BTreeMap<&str, Vec<(u64, usize)>> = BTreeMap::new();
    for (i, entry) in pool.entries.iter().enumerate().filter(|(i, _)| left[*i]) {
        let source = pool.groups[entry.group as usize].source.as_str();
        sources
            .entry(source)
            .or_default()
            .push((lot(entry, options.seed), i));
    }
    let Some(least) = sources.values().map(Vec::len).min() else {
        return Vec::new();
    };
    let mut drops = Vec::new();
    for mut drawn in sources.into_values() {
        drawn.sort_unstable();
        for (_, i) in drawn.into_iter().skip(least) {
            drops.push((
                i,
                Drop::new("larger-source", "kept_per_source", least as f64),
            ));
        }
    }
    drops.sort_by_key(|(i, _)| *i);
    drops
}
