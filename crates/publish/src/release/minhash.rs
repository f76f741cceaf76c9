//! Near-duplicate sentences: `MinHash` over character 4-grams of the white-space-free, lower-cased NFKC
//! text (Broder 1997), found through bands of hashes and then measured exactly.

use std::collections::{HashMap, HashSet};

use unicode_normalization::UnicodeNormalization as _;

/// Hashes per text.
const HASHES: usize = 64;
/// Hashes per band: two texts are compared when one band is equal. 16 bands of 4 find texts of
/// Jaccard similarity 0.8 with probability 0.9998.
const BAND: usize = 4;
/// Characters per gram.
const GRAM: usize = 4;
/// Jaccard similarity from which two sentences are near-duplicates.
pub(super) const NEAR: f64 = 0.8;

/// An index of sentences.
pub(super) struct Index {
    shingles: Vec<Vec<u64>>,
    bands: HashMap<(usize, u64), Vec<u32>>,
}

impl Index {
    /// Indexes texts; the order does not matter.
    pub fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut index = Self {
            shingles: Vec::new(),
            bands: HashMap::new(),
        };
        for text in texts {
            let shingles = shingles(text);
            let at = index.shingles.len() as u32;
            for (band, hash) in bands(&shingles) {
                index.bands.entry((band, hash)).or_default().push(at);
            }
            index.shingles.push(shingles);
        }
        index
    }

    /// Whether a text of the index has a Jaccard similarity of at least [`NEAR`] with this one.
    pub fn has_near(&self, text: &str) -> bool {
        let shingles = shingles(text);
        let mut seen = HashSet::new();
        bands(&shingles).any(|key| {
            self.bands.get(&key).is_some_and(|candidates| {
                candidates.iter().any(|at| {
                    seen.insert(*at) && jaccard(&shingles, &self.shingles[*at as usize]) >= NEAR
                })
            })
        })
    }
}

/// Sorted, distinct hashes of the text's grams; a text shorter than a gram is one gram.
fn shingles(text: &str) -> Vec<u64> {
    let plain: Vec<char> = text
        .nfkc()
        .flat_map(char::to_lowercase)
        .filter(|c| !c.is_whitespace())
        .collect();
    let mut hashes: Vec<u64> = if plain.len() < GRAM {
        vec![hash(&plain)]
    } else {
        plain.windows(GRAM).map(hash).collect()
    };
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// FNV-1a over code points, then mixed.
fn hash(gram: &[char]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for c in gram {
        hash = (hash ^ u64::from(u32::from(*c))).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(hash)
}

/// The finaliser of `SplitMix64`.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn bands(shingles: &[u64]) -> impl Iterator<Item = (usize, u64)> + use<> {
    let mut least = [u64::MAX; HASHES];
    for shingle in shingles {
        for (i, slot) in least.iter_mut().enumerate() {
            let salt = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *slot = (*slot).min(mix(shingle ^ salt));
        }
    }
    let bands: Vec<(usize, u64)> = least
        .chunks(BAND)
        .enumerate()
        .map(|(band, hashes)| (band, hashes.iter().fold(0, |a, h| mix(a ^ h))))
        .collect();
    bands.into_iter()
}

fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut both) = (0, 0, 0_u32);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                both += 1;
                i += 1;
                j += 1;
            }
        }
    }
    f64::from(both) / (a.len() + b.len() - both as usize) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_duplicates_are_found_and_others_are_not() {
        let text = "한국은행 금융통화위원회가 다음 달 기준금리를 0.25%포인트 인하할 것이라는 전망이 우세하다.";
        let index = Index::new([text, "환율이 올랐다."].into_iter());
        for (other, near) in [
            (text, true),
            (
                "한국은행  금융통화위원회가 다음 달 기준금리를 0.25%포인트 인하할 것이라는 전망이 우세하다",
                true,
            ),
            (
                "한국은행 금융통화위원회가 다음 달 기준금리를 0.25%포인트 인하할 것이라는 전망이 우세했다.",
                true,
            ),
            (
                "한국은행이 지난달 기준금리를 동결했고 시장은 이를 예상하고 있었다.",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(index.has_near(other), near, "{other}");
        }
    }

    #[test]
    fn jaccard_is_shared_over_all() {
        assert_eq!(jaccard(&[1, 2, 3], &[2, 3, 4]), 0.5);
        assert_eq!(jaccard(&[1], &[1]), 1.0);
        assert_eq!(jaccard(&[1], &[2]), 0.0);
    }
}
