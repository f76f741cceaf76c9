//! The steps over all documents, and the passages.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use super::pool::{self, Group, Pool, PooledPassage};
use super::setup::FilterPlan;
use super::sift::{Shard, ShardRecord, Tally};
use super::step::{POOL_STEPS, Verdict};
use super::{MineError, Place, RunFolder};
use korfinsts_base::{fs, json};

/// `filter.json`: what the filtering steps counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filtered {
    /// Version of this file's form.
    pub schema: u32,
    /// What happened to the rows of each group.
    pub groups: Vec<(Group, Tally)>,
    /// Passages of each group.
    pub passages: Vec<(Group, u64)>,
    /// Quantiles of the passages' tokens at most, 0 to 100 by fives; by source.
    pub tokens: BTreeMap<String, Vec<u32>>,
    /// Documents that touch a suite among those that duplicates left, by suite and reason.
    pub contaminated: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Joins what shards left: runs the steps over all documents and writes `passages.jsonl`,
/// `filter.json` and the verdicts.
///
/// # Errors
/// When a shard is missing or is of another plan, or a file cannot be read or written.
pub fn join(folder: &RunFolder) -> Result<Filtered, MineError> {
    let shards = shards(folder)?;
    let plan = FilterPlan::read(folder)?;
    let (pool, mut groups) = load(folder, &plan, &shards)?;
    let mut left = vec![true; pool.entries.len()];
    let mut contaminated: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for step in POOL_STEPS {
        let drops = (step.judge)(&pool, &plan.options.pool, &left);
        let path = folder.verdicts().join(format!("{}.jsonl", step.id));
        let mut file = BufWriter::new(fs::create(&path)?);
        for (at, drop) in drops {
            left[at] = false;
            let entry = &pool.entries[at];
            let tally = &mut groups[entry.group as usize].1;
            let reasons = tally.dropped.entry(step.id.to_owned()).or_default();
            *reasons.entry(drop.reason.to_owned()).or_default() += 1;
            if let Some((_, suite)) = entry.contact.filter(|_| step.id == "contamination") {
                let suite = pool.suites[usize::from(suite)].clone();
                let reasons = contaminated.entry(suite).or_default();
                *reasons.entry(drop.reason.to_owned()).or_default() += 1;
            }
            let verdict = Verdict {
                id: &fs::hex(&entry.id),
                verdict: "drop",
                reason: Some(drop.reason),
                metrics: drop.metrics,
                corpus: &pool.groups[entry.group as usize].corpus,
                origin: &pool.place(at),
            };
            serde_json::to_writer(&mut file, &verdict)
                .map_err(|e| fs::at("write", &path)(e.into()))?;
            file.write_all(b"\n").map_err(fs::at("write", &path))?;
        }
        file.flush().map_err(fs::at("write", &path))?;
    }
    write_passages(folder, &shards, &pool, &left)?;
    let mut passages = vec![0_u64; groups.len()];
    let mut tokens: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (entry, _) in pool.entries.iter().zip(&left).filter(|(_, l)| **l) {
        passages[entry.group as usize] += 1;
        let source = &pool.groups[entry.group as usize].source;
        tokens.entry(source.clone()).or_default().push(entry.tokens);
    }
    for values in tokens.values_mut() {
        *values = quantiles(values);
    }
    let counted = groups.iter().zip(passages);
    let mut filtered = Filtered {
        schema: 1,
        passages: counted.map(|((g, _), n)| (g.clone(), n)).collect(),
        groups,
        tokens,
        contaminated,
    };
    filtered.groups.sort_by(|a, b| a.0.cmp(&b.0));
    filtered.passages.sort_by(|a, b| a.0.cmp(&b.0));
    let json = json::pretty(&filtered);
    fs::write_atomic(&folder.filter(), &json)?;
    Ok(filtered)
}

/// The 0th to 100th percentile by fives.
fn quantiles(values: &mut [u32]) -> Vec<u32> {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    (0..=20).map(|i| values[last * i / 20]).collect()
}

/// The shards that a run folder holds, complete and of one division.
fn shards(folder: &RunFolder) -> Result<Vec<ShardRecord>, MineError> {
    let root = folder.path().join("shards");
    let mut found: Vec<ShardRecord> = Vec::new();
    if fs::exists(&root) {
        for path in fs::list(&root)? {
            let path = path.join("shard.json");
            if fs::exists(&path) {
                found.push(serde_json::from_slice(&fs::read(&path)?).map_err(|e| {
                    MineError::data(
                        &path,
                        Place::Line(e.line() as u64),
                        format!("not a record of a shard: {e}"),
                        Some("run the shard again"),
                    )
                })?);
            }
        }
    }
    let Some(of) = found.iter().map(|r| r.shard.of).max() else {
        return Err(MineError::usage(
            format!("`{}` holds no finished shard", root.display()),
            "run `korfinsts mine filter` with `--shard 1/N` to `--shard N/N` first",
        ));
    };
    found.retain(|r| r.shard.of == of);
    found.sort_by_key(|r| r.shard.number);
    let missing: Vec<String> = (1..=of)
        .filter(|i| !found.iter().any(|r| r.shard.number == *i))
        .map(|i| format!("{i}/{of}"))
        .collect();
    if !missing.is_empty() {
        return Err(MineError::usage(
            format!("`{}` lacks shard {}", root.display(), missing.join(", ")),
            format!("run `korfinsts mine filter --shard {}` first", missing[0]),
        ));
    }
    Ok(found)
}

fn load(
    folder: &RunFolder,
    plan: &FilterPlan,
    shards: &[ShardRecord],
) -> Result<(Pool, Vec<(Group, Tally)>), MineError> {
    let hash = blake3::hash(plan.to_toml()?.as_bytes())
        .to_hex()
        .to_string();
    let mut pool = Pool {
        suites: plan.suites.clone(),
        files: plan
            .corpora
            .iter()
            .map(|c| c.files.iter().map(|(name, _)| name.clone()).collect())
            .collect(),
        ..Pool::default()
    };
    let mut groups: Vec<(Group, Tally)> = Vec::new();
    let mut numbers: AHashMap<Group, u32> = AHashMap::new();
    pool.entries
        .reserve_exact(shards.iter().map(|s| s.survivors as usize).sum());
    for record in shards {
        if record.plan != hash {
            return Err(MineError::usage(
                format!(
                    "shard {}/{} is of another run than `{}`",
                    record.shard.number,
                    record.shard.of,
                    folder.plan().display()
                ),
                "run it again with the same corpora, options and suites as the others",
            ));
        }
        let own: Vec<u32> = record
            .groups
            .iter()
            .map(|(group, tally)| {
                let number = *numbers.entry(group.clone()).or_insert_with(|| {
                    groups.push((group.clone(), Tally::default()));
                    groups.len() as u32 - 1
                });
                groups[number as usize].1.merge(tally);
                number
            })
            .collect();
        let path = record.shard.folder(folder).join("entries.bin");
        pool::read(&path, &own, &mut pool.entries)?;
    }
    pool.entries.sort_by_key(order);
    pool.groups = groups.iter().map(|(g, _)| g.clone()).collect();
    Ok((pool, groups))
}

/// The order of documents: corpora, files, rows.
fn order(entry: &PooledPassage) -> (u16, u32, u64) {
    (entry.corpus, entry.file, entry.row)
}

/// Copies the documents that are left, in order, from the shards' files, each of which is in order.
fn write_passages(
    folder: &RunFolder,
    shards: &[ShardRecord],
    pool: &Pool,
    left: &[bool],
) -> Result<(), MineError> {
    let mut sources: Vec<SurvivorReader> = shards
        .iter()
        .map(|record| SurvivorReader::open(folder, record.shard))
        .collect::<Result<_, _>>()?;
    fs::write_atomic_with(&folder.passages(), |out| {
        for (entry, left) in pool.entries.iter().zip(left) {
            // The shard that holds it is the one whose next document it is.
            let Some(source) = sources.iter_mut().find(|s| s.next == Some(order(entry))) else {
                continue;
            };
            source.advance()?;
            if *left {
                out.write_all(&source.line)?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// The documents of a shard, one after another.
struct SurvivorReader {
    texts: BufReader<std::fs::File>,
    orders: std::vec::IntoIter<(u16, u32, u64)>,
    next: Option<(u16, u32, u64)>,
    line: Vec<u8>,
}

impl SurvivorReader {
    fn open(folder: &RunFolder, shard: Shard) -> Result<Self, MineError> {
        let own = shard.folder(folder);
        let path = own.join("survivors.jsonl");
        let mut entries = Vec::new();
        let all = vec![0; 1 << 16];
        pool::read(&own.join("entries.bin"), &all, &mut entries)?;
        let orders: Vec<_> = entries.iter().map(order).collect();
        let mut orders = orders.into_iter();
        Ok(Self {
            texts: BufReader::with_capacity(1 << 18, fs::open(&path)?),
            next: orders.next(),
            orders,
            line: Vec::new(),
        })
    }

    fn advance(&mut self) -> std::io::Result<()> {
        self.line.clear();
        self.texts.read_until(b'\n', &mut self.line)?;
        self.next = self.orders.next();
        Ok(())
    }
}
