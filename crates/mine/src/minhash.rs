//! `MinHash` signatures of character 5-grams: one permutation, 112 bins, empty bins filled by
//! optimal densification (Li, Owen and Zhang 2012; Shrivastava 2017), 8 bits of each minimum.
//!
//! 14 bands of 8 bytes: two texts of Jaccard similarity `s` meet in a band with probability
//! `1 − (1 − s⁸)¹⁴`, which is .92 at .8, .56 at .7 and .05 at .5.

/// Bins, each of which gives one byte.
pub const BINS: usize = 112;
/// Bands of 8 bins.
pub const BANDS: usize = 14;
/// Characters of a gram.
const GRAM: usize = 5;
/// Multiplier of the rolling hash.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The signature of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; BINS]);

impl Signature {
    /// The signature of a text: its characters in lower case, white space left out. `buffer` is
    /// working space.
    #[must_use]
    pub fn of(text: &str, buffer: &mut Vec<u32>) -> Self {
        buffer.clear();
        for c in text.chars() {
            if c.is_ascii() {
                if !c.is_ascii_whitespace() {
                    buffer.push(u32::from(c.to_ascii_lowercase()));
                }
            } else if matches!(c, '\u{AC00}'..='\u{D7A3}') {
                buffer.push(u32::from(c));
            } else if !c.is_whitespace() {
                buffer.extend(c.to_lowercase().map(u32::from));
            }
        }
        let out = BASE.wrapping_pow(GRAM as u32 - 1);
        let mut least = [u32::MAX; BINS];
        let mut add = |hash: u64| {
            let mixed = mix(hash);
            let bin = ((mixed >> 32) * BINS as u64) >> 32;
            let slot = &mut least[bin as usize];
            *slot = (*slot).min((mixed as u32).min(u32::MAX - 1));
        };
        let mut hash = 0_u64;
        for (i, c) in buffer.iter().enumerate() {
            if i >= GRAM {
                hash = hash.wrapping_sub(u64::from(buffer[i - GRAM]).wrapping_mul(out));
            }
            hash = hash.wrapping_mul(BASE).wrapping_add(u64::from(*c));
            if i + 1 >= GRAM {
                add(hash);
            }
        }
        if buffer.len() < GRAM {
            add(hash);
        }
        let mut bytes = [0; BINS];
        for (bin, byte) in bytes.iter_mut().enumerate() {
            let mut value = least[bin];
            let mut attempt = 0_u64;
            // At least one bin is filled, so this ends.
            while value == u32::MAX {
                attempt += 1;
                let other = mix((bin as u64) << 32 | attempt);
                value = least[(other % BINS as u64) as usize];
            }
            *byte = value as u8;
        }
        Self(bytes)
    }

    /// The keys of its bands.
    pub fn bands(&self) -> impl Iterator<Item = u64> + '_ {
        (0..BANDS).map(|band| self.band(band))
    }

    /// The key of one band, below [`BANDS`].
    #[must_use]
    pub fn band(&self, band: usize) -> u64 {
        let mut key = [0; 8];
        key.copy_from_slice(&self.0[band * 8..band * 8 + 8]);
        u64::from_le_bytes(key)
    }

    /// The estimated Jaccard similarity of two texts' grams, 0 to 1; its standard error is about
    /// .04. Bytes that are equal by chance are taken off.
    #[must_use]
    pub fn similarity(&self, other: &Self) -> f64 {
        let equal = self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count();
        let chance = 1.0 / 256.0;
        ((equal as f64 / BINS as f64 - chance) / (1.0 - chance)).max(0.0)
    }
}

/// The finaliser of `SplitMix64`.
pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn exact(a: &str, b: &str) -> f64 {
        let grams = |t: &str| -> HashSet<Vec<char>> {
            let plain: Vec<char> = t.chars().filter(|c| !c.is_whitespace()).collect();
            plain.windows(GRAM).map(<[char]>::to_vec).collect()
        };
        let (a, b) = (grams(a), grams(b));
        a.intersection(&b).count() as f64 / a.union(&b).count() as f64
    }

    #[test]
    fn similarity_is_that_of_the_grams_on_average() {
        // Texts of 400 characters that share their first part; distinct letters keep grams distinct.
        let text = |seed: u32, n: u32| -> String {
            (0..n)
                .filter_map(|i| {
                    char::from_u32(
                        0xAC00 + mix(u64::from(seed) << 20 | u64::from(i)) as u32 % 11172,
                    )
                })
                .collect()
        };
        let mut buffer = Vec::new();
        for shared in [0, 100, 200, 300, 360] {
            let (mut estimated, mut truth) = (0.0, 0.0);
            for trial in 0..60 {
                let common = text(trial, shared);
                let a = format!("{common}{}", text(1000 + trial, 400 - shared));
                let b = format!("{common}{}", text(2000 + trial, 400 - shared));
                truth += exact(&a, &b) / 60.0;
                estimated += Signature::of(&a, &mut buffer)
                    .similarity(&Signature::of(&b, &mut buffer))
                    / 60.0;
            }
            assert!(
                (estimated - truth).abs() < 0.02,
                "{shared}: {estimated} {truth}"
            );
        }
    }

    #[test]
    fn spaces_and_case_do_not_matter_and_short_texts_have_signatures() {
        let mut buffer = Vec::new();
        let a = Signature::of("Net PROFIT 상승", &mut buffer);
        assert_eq!(a, Signature::of("net profit상승", &mut buffer));
        for text in ["", "가", "가나다라"] {
            let own = Signature::of(text, &mut buffer);
            assert_eq!(own.similarity(&own), 1.0);
        }
    }
}
