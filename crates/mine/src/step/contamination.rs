//! Documents that hold a text of an evaluation suite.
//!
//! Texts are compared as letters and digits in lower case. A document is contaminated where it is a
//! suite's text; where it holds most of a suite text's 13-character-grams; or where the two are
//! alike (`MinHash`).

use ahash::AHashMap;

use super::{Drop, PoolEntry, PoolOptions};
use crate::minhash::{BANDS, Signature, mix};
use crate::pool::Contact;
use korfinsts_bench::suite::Suite;

/// Characters of a gram.
const GRAM: usize = 13;
/// Share of a suite text's grams that a document must hold, and Jaccard similarity of the two.
pub const NEAR: f64 = 0.7;
/// Least grams of a suite text that is looked for inside documents: 25 characters.
const LEAST_GRAMS: u32 = 13;
/// Grams below which a document must hold all of them: a headline of 40 characters shares most of
/// its grams with any text on its matter.
const FEW_GRAMS: u32 = 28;
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bits of the filter before the table of grams, per gram.
const FILTER_BITS: usize = 24;

pub(super) const ENTRY: PoolEntry = PoolEntry {
    id: "contamination",
    about: "documents that hold a text of a suite: exact, 13-character-grams, MinHash at .7",
    judge: |pool, _: &PoolOptions, left| {
        let entries = pool.entries.iter().enumerate();
        entries
            .filter(|(i, _)| left[*i])
            .filter_map(|(i, entry)| {
                let (how, suite) = entry.contact?;
                let suite = pool.suites.get(suite as usize)?;
                Some((i, Drop::new(how.name(), "suite", suite.clone())))
            })
            .collect()
    },
};

/// The texts of suites, to be looked for.
#[derive(Debug, Default)]
pub struct SuiteIndex {
    /// Names of the suites, `id:split`.
    pub suites: Vec<String>,
    /// Suite of each text, and how many grams it has.
    texts: Vec<(u16, u32)>,
    exact: AHashMap<u64, u32>,
    /// Grams with the text they are in, sorted.
    grams: Vec<(u64, u32)>,
    /// Where in `grams` to begin, by the first bits of a gram.
    starts: Vec<u32>,
    filter: Vec<u64>,
    signatures: Vec<Signature>,
    bands: AHashMap<(u8, u64), Vec<u32>>,
}

/// Working space of a search.
#[derive(Debug, Default)]
pub struct Search {
    essence: Vec<u32>,
    hits: Vec<(u32, u64)>,
}

impl SuiteIndex {
    /// Indexes the texts of suites.
    #[must_use]
    pub fn new(suites: &[Suite]) -> Self {
        let mut index = Self {
            filter: vec![0; 1 << (FILTER_BITS - 6)],
            ..Self::default()
        };
        let mut essence = Vec::new();
        let mut buffer = Vec::new();
        for (number, suite) in suites.iter().enumerate() {
            index.suites.push(format!("{}:{}", suite.id, suite.split));
            for text in suite
                .pairs
                .iter()
                .flat_map(|p| [&p.sentence1, &p.sentence2])
            {
                fill(&mut essence, text);
                let whole = whole(&essence);
                if essence.is_empty() || index.exact.contains_key(&whole) {
                    continue;
                }
                let own = index.texts.len() as u32;
                index.exact.insert(whole, own);
                let mut grams = Vec::new();
                each_gram(&essence, |gram| grams.push(gram));
                grams.sort_unstable();
                grams.dedup();
                index.texts.push((number as u16, grams.len() as u32));
                if grams.len() as u32 >= LEAST_GRAMS {
                    for gram in grams {
                        index.filter[filter_word(gram)] |= 1 << (gram & 63);
                        index.grams.push((gram, own));
                    }
                }
                let signature = Signature::of(text, &mut buffer);
                for (band, key) in signature.bands().enumerate() {
                    index.bands.entry((band as u8, key)).or_default().push(own);
                }
                index.signatures.push(signature);
            }
        }
        index.grams.sort_unstable();
        index.starts = vec![0; (1 << 16) + 1];
        for (gram, _) in &index.grams {
            index.starts[(gram >> 48) as usize + 1] += 1;
        }
        for i in 0..1 << 16 {
            index.starts[i + 1] += index.starts[i];
        }
        index
    }

    /// Texts that are looked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// How a document touches a suite, and the suite's number; the surest way first.
    #[must_use]
    pub fn find(
        &self,
        text: &str,
        signature: &Signature,
        search: &mut Search,
    ) -> Option<(Contact, u16)> {
        if self.is_empty() {
            return None;
        }
        fill(&mut search.essence, text);
        if let Some(at) = self.exact.get(&whole(&search.essence)) {
            return Some((Contact::Exact, self.texts[*at as usize].0));
        }
        search.hits.clear();
        let hits = &mut search.hits;
        each_gram(&search.essence, |gram| {
            if self.filter[filter_word(gram)] >> (gram & 63) & 1 == 1 {
                let bucket = (gram >> 48) as usize;
                let range = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
                let bucket = &self.grams[range];
                let from = bucket.partition_point(|(g, _)| *g < gram);
                for (_, text) in bucket[from..].iter().take_while(|(g, _)| *g == gram) {
                    hits.push((*text, gram));
                }
            }
        });
        hits.sort_unstable();
        hits.dedup();
        for group in hits.chunk_by(|a, b| a.0 == b.0) {
            let (suite, grams) = self.texts[group[0].0 as usize];
            let share = if grams < FEW_GRAMS { 1.0 } else { NEAR };
            if group.len() as f64 >= share * f64::from(grams) {
                return Some((Contact::Grams, suite));
            }
        }
        for band in 0..BANDS {
            let Some(texts) = self.bands.get(&(band as u8, signature.band(band))) else {
                continue;
            };
            for text in texts {
                let similarity = signature.similarity(&self.signatures[*text as usize]);
                if similarity >= NEAR {
                    return Some((Contact::MinHash, self.texts[*text as usize].0));
                }
            }
        }
        None
    }
}

fn filter_word(gram: u64) -> usize {
    (gram >> 6) as usize & ((1 << (FILTER_BITS - 6)) - 1)
}

fn fill(essence: &mut Vec<u32>, text: &str) {
    essence.clear();
    for c in text.chars() {
        if c.is_ascii() {
            if c.is_ascii_alphanumeric() {
                essence.push(u32::from(c.to_ascii_lowercase()));
            }
        } else if matches!(c, '\u{AC00}'..='\u{D7A3}') {
            essence.push(u32::from(c));
        } else if c.is_alphanumeric() {
            essence.extend(c.to_lowercase().map(u32::from));
        }
    }
}

fn whole(essence: &[u32]) -> u64 {
    essence
        .iter()
        .fold(essence.len() as u64, |hash, c| mix(hash ^ u64::from(*c)))
}

fn each_gram(essence: &[u32], mut visit: impl FnMut(u64)) {
    let out = BASE.wrapping_pow(GRAM as u32 - 1);
    let mut hash = 0_u64;
    for (i, c) in essence.iter().enumerate() {
        if i >= GRAM {
            hash = hash.wrapping_sub(u64::from(essence[i - GRAM]).wrapping_mul(out));
        }
        hash = hash.wrapping_mul(BASE).wrapping_add(u64::from(*c));
        if i + 1 >= GRAM {
            visit(mix(hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use korfinsts_bench::suite::{Pair, Scale, ScaleKind};

    #[test]
    fn a_suites_text_is_found_whole_inside_and_changed() {
        let sentence = "한국은행 금융통화위원회가 다음 달 기준금리를 0.25%포인트 인하할 것이라는 전망이 우세하다.";
        let suite = Suite {
            id: "s".to_owned(),
            version: "1.0.0".to_owned(),
            split: "test".to_owned(),
            languages: Vec::new(),
            scale: Scale {
                kind: ScaleKind::Binary,
                min: 0.0,
                max: 1.0,
            },
            pairs: vec![Pair {
                id: "1".to_owned(),
                sentence1: sentence.to_owned(),
                sentence2: "A man is playing.".to_owned(),
                gold: 1.0,
                domain: None,
                labels: BTreeMap::new(),
            }],
            release_id: String::new(),
            redistributable: true,
            triplets: None,
            cluster: None,
            mteb_task: None,
            hub_revision: None,
            warnings: Vec::new(),
        };
        let index = SuiteIndex::new(&[suite]);
        let mut search = Search::default();
        let mut buffer = Vec::new();
        let mut find = |text: &str| {
            let signature = Signature::of(text, &mut buffer);
            index.find(text, &signature, &mut search).map(|f| f.0)
        };
        let other =
            "수출이 석 달 연속 늘었고 반도체가 이를 이끌었다고 산업통상자원부가 1일 밝혔다.";
        assert_eq!(find(sentence), Some(Contact::Exact));
        assert_eq!(find(&sentence.replace(' ', "")), Some(Contact::Exact));
        assert_eq!(
            find(&format!("{other} {sentence} {other}")),
            Some(Contact::Grams)
        );
        assert_eq!(find(other), None);
        // A short text is looked for as a whole, not inside others.
        assert_eq!(find("a man is playing"), Some(Contact::Exact));
        assert_eq!(find(&format!("{other} a man is playing")), None);
    }
}
