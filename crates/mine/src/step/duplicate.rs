//! Documents that are in the corpora already, word for word or nearly so. The first stays.

use ahash::AHashMap;

use super::{Drop, PoolEntry, PoolOptions};
use crate::minhash::BANDS;
use crate::pool::Pool;

pub(super) const EXACT: PoolEntry = PoolEntry {
    id: "exact-duplicate",
    about: "texts that an earlier document has, NFC and markup aside",
    judge: exact,
};

pub(super) const NEAR: PoolEntry = PoolEntry {
    id: "near-duplicate",
    about: "texts like an earlier document's (MinHash of character 5-grams, 14 bands of 8)",
    judge: near,
};

fn exact(pool: &Pool, _: &PoolOptions, left: &[bool]) -> Vec<(usize, Drop)> {
    let mut first: AHashMap<[u8; 16], u32> = AHashMap::new();
    let mut drops = Vec::new();
    for (i, entry) in pool.entries.iter().enumerate().filter(|(i, _)| left[*i]) {
        match first.entry(entry.id) {
            std::collections::hash_map::Entry::Occupied(seen) => {
                let place = pool.origin(*seen.get() as usize);
                drops.push((i, Drop::new("exact-duplicate", "of", place)));
            }
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(i as u32);
            }
        }
    }
    drops
}

/// Links documents that share a band and whose signatures are near, and keeps the first of what is
/// linked. In a band, a document is compared with the first of its key and with the one before it.
fn near(pool: &Pool, options: &PoolOptions, left: &[bool]) -> Vec<(usize, Drop)> {
    let mut parents: Vec<u32> = (0..pool.entries.len() as u32).collect();
    let mut keys: Vec<(u64, u32)> = Vec::new();
    for band in 0..BANDS {
        keys.clear();
        let entries = pool.entries.iter().zip(left).enumerate();
        keys.extend(
            entries
                .filter(|(_, (_, left))| **left)
                .map(|(i, (entry, _))| (entry.signature.band(band), i as u32)),
        );
        keys.sort_unstable();
        for group in keys.chunk_by(|a, b| a.0 == b.0) {
            for at in 1..group.len() {
                let own = group[at].1;
                let mut others = vec![group[0].1];
                if at > 1 {
                    others.push(group[at - 1].1);
                }
                for other in others {
                    if root(&mut parents, own) == root(&mut parents, other) {
                        continue;
                    }
                    let similarity = pool.entries[own as usize]
                        .signature
                        .similarity(&pool.entries[other as usize].signature);
                    if similarity >= options.near {
                        join(&mut parents, own, other);
                    }
                }
            }
        }
    }
    (0..pool.entries.len() as u32)
        .filter_map(|i| {
            let first = root(&mut parents, i);
            (first != i).then(|| {
                let own = &pool.entries[i as usize].signature;
                let similarity = own.similarity(&pool.entries[first as usize].signature);
                let mut drop = Drop::new("near-duplicate", "similarity", similarity);
                let place = pool.origin(first as usize);
                drop.metrics.push(("of", place.into()));
                (i as usize, drop)
            })
        })
        .collect()
}

/// The first document that one is linked with, itself where there is none.
fn root(parents: &mut [u32], mut at: u32) -> u32 {
    while parents[at as usize] != at {
        parents[at as usize] = parents[parents[at as usize] as usize];
        at = parents[at as usize];
    }
    at
}

fn join(parents: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b) as usize] = a.min(b);
}
