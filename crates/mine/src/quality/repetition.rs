//! What repeats in a text, measured as FineWeb-2 and Gopher measure it.

use ahash::{AHashMap, AHashSet};

/// Share of the lines of a text that repeat an earlier one; blank lines are none.
pub(super) fn duplicate_lines(text: &str) -> f64 {
    if !text.contains('\n') {
        return 0.0;
    }
    let (mut lines, mut repeated) = (0_u32, 0_u32);
    let mut seen = AHashSet::new();
    for line in text.split('\n').map(str::trim).filter(|l| !l.is_empty()) {
        lines += 1;
        repeated += u32::from(!seen.insert(line));
    }
    if lines == 0 {
        0.0
    } else {
        f64::from(repeated) / f64::from(lines)
    }
}

/// Counts runs of words; its memory is used again.
#[derive(Debug, Default)]
pub(super) struct Grams {
    words: Vec<(u64, u32)>,
    counts: AHashMap<u64, (u32, u32)>,
}

impl Grams {
    /// Share of the characters of a text that are in occurrences of its most frequent run of 2,
    /// 3 and 4 words; 0 where no run occurs twice.
    pub fn top(&mut self, text: &str) -> [f64; 3] {
        self.words.clear();
        let mut characters = 0_u32;
        let (mut hash, mut length) = (0_u64, 0_u32);
        for c in text.chars() {
            characters += 1;
            if c == ' ' || c.is_whitespace() {
                if length > 0 {
                    self.words.push((hash, length));
                }
                (hash, length) = (0, 0);
            } else {
                hash = (hash ^ u64::from(u32::from(c)))
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .rotate_left(23);
                length += 1;
            }
        }
        if length > 0 {
            self.words.push((hash, length));
        }
        let mut shares = [0.0; 3];
        // Without a repeated pair there is no repeated run of three.
        for (share, n) in shares.iter_mut().zip(2..) {
            self.counts.clear();
            let mut most = (1_u32, 0_u32);
            for run in self.words.windows(n) {
                let key = run.iter().fold(0, |key: u64, (hash, _)| {
                    (key.rotate_left(5) ^ hash).wrapping_mul(0xbf58_476d_1ce4_e5b9)
                });
                let length: u32 = run.iter().map(|(_, l)| l).sum::<u32>() + n as u32 - 1;
                let entry = self.counts.entry(key).or_insert((0, length));
                entry.0 += 1;
                // Of equally frequent runs the longest counts.
                if entry.0 > 1 {
                    most = most.max(*entry);
                }
            }
            if most.0 < 2 {
                break;
            }
            *share = f64::from(most.0) * f64::from(most.1) / f64::from(characters);
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_lines_and_of_characters() {
        assert_eq!(duplicate_lines("가\n가\n나\n\n가"), 0.5);
        assert_eq!(duplicate_lines("가"), 0.0);
        let mut grams = Grams::default();
        assert_eq!(grams.top("a b c d e f"), [0.0; 3]);
        // `ab cd` three times: 15 of 17 characters; `ab cd ab` twice, `ab cd ab cd` twice.
        let shares = grams.top("ab cd ab cd ab cd");
        assert!((shares[0] - 15.0 / 17.0).abs() < 1e-12, "{shares:?}");
        assert!((shares[1] - 16.0 / 17.0).abs() < 1e-12, "{shares:?}");
    }
}
