//! Shards: the work of one run, model by suite, spread over processes that know nothing of each
//! other.
//!
//! Every process makes the same list of units from the same arguments and takes those that are
//! its own; [`super::merge`] joins what they leave.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::record::to_json;
use korfinsts_base::fs;

/// File of a shard's folder that says what it did; written when all of it is done.
pub const PLAN: &str = "shard.json";
/// Name of the lexical baselines among the encoders of a plan.
pub const BASELINES: &str = "lexical baselines";

/// One of several shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which, from 1.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl Shard {
    /// Name of its folder.
    #[must_use]
    pub fn folder(self) -> String {
        format!("shard-{}-of-{}", self.index, self.count)
    }

    /// The shard whose folder has this name.
    #[must_use]
    pub fn of_folder(name: &str) -> Option<Self> {
        let (index, count) = name.strip_prefix("shard-")?.split_once("-of-")?;
        format!("{index}/{count}").parse().ok()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            Some(Self {
                index: index.trim().parse().ok()?,
                count: count.trim().parse().ok()?,
            })
        });
        match parsed {
            Some(shard) if (1..=shard.count).contains(&shard.index) => Ok(shard),
            Some(shard) if shard.index == 0 => {
                Err("shards are counted from 1: the first of four is `1/4`".into())
            }
            Some(shard) => Err(format!(
                "there is no shard {} of {}",
                shard.index, shard.count
            )),
            None => Err("a shard is `I/N`, as `1/4`".into()),
        }
    }
}

/// One encoder on one suite, and who does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Encoder, as it was named, or [`BASELINES`].
    pub encoder: String,
    /// Suite.
    pub suite: String,
    /// Split.
    pub split: String,
    /// Pairs, by which units are weighed.
    pub pairs: usize,
    /// Shard that does it, from 1.
    pub shard: usize,
}

/// What a shard did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPlan {
    /// Which shard.
    pub shard: Shard,
    /// Every unit of the run, in the order of a run that is not spread.
    pub units: Vec<Unit>,
    /// Records of this shard's units by the unit's place in `units`: paths below its folder.
    pub records: Vec<(usize, Vec<String>)>,
}

impl ShardPlan {
    /// Spreads units over `shard.count` shards: the largest first, each to the shard with the
    /// fewest pairs so far (the first of equals). The same list gives the same plan everywhere.
    #[must_use]
    pub fn new(shard: Shard, mut units: Vec<Unit>) -> Self {
        let mut order: Vec<usize> = (0..units.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(units[i].pairs));
        let mut loads = vec![0; shard.count];
        for i in order {
            let least = (0..loads.len())
                .min_by_key(|&s| loads[s])
                .unwrap_or_default();
            loads[least] += units[i].pairs.max(1);
            units[i].shard = least + 1;
        }
        Self {
            shard,
            units,
            records: Vec::new(),
        }
    }

    /// Whether the unit at this place is this shard's.
    #[must_use]
    pub fn is_own(&self, unit: usize) -> bool {
        self.units[unit].shard == self.shard.index
    }

    /// Writes it into the shard's folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunError> {
        Ok(fs::write_atomic(&folder.join(PLAN), &to_json(self))?)
    }

    /// Reads it from a shard's folder; `None` where the shard did not end.
    ///
    /// # Errors
    /// When the file is there and no plan.
    pub fn read(folder: &Path) -> Result<Option<Self>, RunError> {
        let path = folder.join(PLAN);
        if !fs::exists(&path) {
            return Ok(None);
        }
        serde_json::from_slice(&fs::read(&path)?)
            .map(Some)
            .map_err(|e| RunError::Record {
                path,
                line: e.line(),
                reason: e.to_string(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_counted_from_one() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, count: 4 }));
        for (text, expected) in [
            ("0/4", "counted from 1"),
            ("5/4", "no shard 5 of 4"),
            ("1", "as `1/4`"),
            ("a/b", "as `1/4`"),
            ("0/0", "counted from 1"),
        ] {
            let error = text.parse::<Shard>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        let shard: Shard = "3/12".parse().expect("a shard");
        assert_eq!(Shard::of_folder(&shard.folder()), Some(shard));
        assert_eq!(Shard::of_folder("shard-9-of-3"), None);
    }

    #[test]
    fn units_are_spread_evenly_each_once_and_the_same_way_everywhere() {
        let units: Vec<Unit> = [1379, 370, 1991, 519, 1379, 222, 0]
            .iter()
            .enumerate()
            .map(|(i, pairs)| Unit {
                encoder: "m".into(),
                suite: format!("s{i}"),
                split: "test".into(),
                pairs: *pairs,
                shard: 0,
            })
            .collect();
        for count in [1, 2, 3, 10] {
            let plans: Vec<ShardPlan> = (1..=count)
                .map(|index| ShardPlan::new(Shard { index, count }, units.clone()))
                .collect();
            for (i, unit) in plans[0].units.iter().enumerate() {
                assert_eq!(plans.iter().filter(|p| p.is_own(i)).count(), 1, "{unit:?}");
            }
            let load = |p: &ShardPlan| -> usize {
                (0..units.len())
                    .filter(|&i| p.is_own(i))
                    .map(|i| p.units[i].pairs)
                    .sum()
            };
            let loads: Vec<usize> = plans.iter().map(load).collect();
            let spread = loads.iter().max().expect("one") - loads.iter().min().expect("one");
            assert!(spread <= 1991, "{loads:?}");
            assert!(plans.iter().all(|p| p.units == plans[0].units));
        }
    }
}
