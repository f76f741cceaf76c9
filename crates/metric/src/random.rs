//! Seeded random streams that do not depend on how work is spread over threads.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Replicates per random stream. Changing it changes every interval.
pub(super) const CHUNK: usize = 128;

/// What a stream is for: two uses of one seed must not see the same numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Bootstrap,
    Permutation,
}

/// The random stream of one chunk of replicates.
pub(super) fn stream(seed: u64, purpose: Purpose, chunk: usize) -> Xoshiro256PlusPlus {
    let purpose = match purpose {
        Purpose::Bootstrap => 0x626f_6f74_7374_7261,
        Purpose::Permutation => 0x7065_726d_7574_6174,
    };
    // Hash before adding, or seed 1 chunk 0 would be seed 0 chunk 1.
    let mut hash = Xoshiro256PlusPlus::seed_from_u64(seed ^ purpose);
    Xoshiro256PlusPlus::seed_from_u64(hash.next_u64().wrapping_add(chunk as u64))
}

/// Draws `draws` numbers below `bound` without bias and hands each to `take`.
///
/// Lemire's multiplication method with rejection (D. Lemire, "Fast random integer generation in an
/// interval", 2019) on the two halves of each 64-bit word.
#[inline]
pub(super) fn draw_below(
    rng: &mut Xoshiro256PlusPlus,
    bound: u32,
    draws: usize,
    mut take: impl FnMut(u32),
) {
    let threshold = bound.wrapping_neg() % bound;
    let mut half = |half: u32| -> usize {
        let product = u64::from(half) * u64::from(bound);
        if (product as u32) < threshold {
            return 0;
        }
        take((product >> 32) as u32);
        1
    };
    let mut left = draws;
    while left >= 2 {
        let word = rng.next_u64();
        left -= half(word as u32);
        left -= half((word >> 32) as u32);
    }
    while left > 0 {
        left -= half((rng.next_u64() >> 32) as u32);
    }
}

/// Draws one number below `bound`, which is not 0; about one draw in 2⁶⁴ is biased.
///
/// Canon's method (S. Canon, Swift pull request 39143): the numbers that `random_range` of the
/// crate `rand` 0.10 gives for a range of this size.
pub(super) fn index_below(rng: &mut Xoshiro256PlusPlus, bound: u32) -> u32 {
    let mut product = || u64::from(rng.next_u32()) * u64::from(bound);
    let first = product();
    let (high, low) = ((first >> 32) as u32, first as u32);
    let carry = low > bound.wrapping_neg() && low.checked_add((product() >> 32) as u32).is_none();
    high + u32::from(carry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_as_many_as_asked() {
        for bound in [1_u32, 2, 3, 7, 100] {
            for draws in [0_usize, 1, 2, 5, 70_001] {
                let mut rng = stream(1, Purpose::Bootstrap, 0);
                let mut counts = vec![0_usize; bound as usize];
                draw_below(&mut rng, bound, draws, |i| counts[i as usize] += 1);
                assert_eq!(counts.iter().sum::<usize>(), draws);
                let mean = draws as f64 / f64::from(bound);
                for count in counts {
                    let far = (count as f64 - mean).abs();
                    assert!(far <= 5.0 * mean.sqrt() + 5.0, "{bound} {draws}: {count}");
                }
            }
        }
    }

    #[test]
    fn indices_are_those_of_rand() {
        // Xoshiro256PlusPlus::seed_from_u64(7), then random_range(0..bound) of rand 0.10.4.
        for (bound, expected) in [
            (888, [49, 152, 637, 379]),
            (
                (1_u32 << 31) + 1,
                [118_885_632, 369_615_983, 917_426_101, 2_069_443_066],
            ),
        ] {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
            assert_eq!(expected.map(|_| index_below(&mut rng, bound)), expected);
        }
    }

    #[test]
    fn a_bound_that_rejects_half_stays_even() {
        // Just above 2³¹: without rejection every second number would come up twice as often.
        let bound = (1_u32 << 31) + 1;
        let mut odd = 0;
        let mut rng = stream(2, Purpose::Bootstrap, 0);
        draw_below(&mut rng, bound, 20_000, |i| {
            assert!(i < bound);
            odd += i & 1;
        });
        assert!((9_500..10_500).contains(&odd), "{odd}");
    }

    #[test]
    fn streams_differ_by_seed_chunk_and_purpose() {
        let mut first: Vec<u64> = Vec::new();
        for seed in [0, 1, 2] {
            for chunk in [0, 1, 2] {
                for purpose in [Purpose::Bootstrap, Purpose::Permutation] {
                    first.push(stream(seed, purpose, chunk).next_u64());
                }
            }
        }
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 18);
    }
}
