//! The statistics that can be bootstrapped fast: prepared once, computed again from counts.
//!
//! Sorting happens once. A resample only walks the sorted order with its counts, which gives the
//! mid-ranks of the resample (a pair drawn twice ties with itself) in linear time and exact
//! integers.

use super::binary::classes;
use super::bootstrap::{MOST_PAIRS, Statistic, Workspace};
use super::correlation::{LEAST_PAIRS, centred, check, ratio};
use super::domains::{Domains, check_domains};
use super::rank::Order;
use super::undefined::{Operand, Undefined, check_pairs};

/// Sums of products of centred, doubled mid-ranks; exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RankSums {
    pub total: u64,
    pub xy: i64,
    pub xx: i64,
    pub yy: i64,
}

impl RankSums {
    /// From the sum of products of doubled ranks and the sums of cubes of the sizes of ties.
    pub fn new(total: u64, products: u64, predicted_cubes: u64, gold_cubes: u64) -> Self {
        let squares = |cubes: u64| ((total * total * total - cubes) / 3) as i64;
        Self {
            total,
            // Σ(2r − n − 1)(2s − n − 1) = Σ 2r·2s − n(n + 1)².
            xy: products as i64 - (total * (total + 1) * (total + 1)) as i64,
            xx: squares(predicted_cubes),
            yy: squares(gold_cubes),
        }
    }
}

/// Predicted and gold scores in rank order. No score need vary.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    predicted: Order,
    gold: Order,
    /// The group of gold scores of each pair, pairs in the order of their predicted scores.
    gold_of: Vec<u32>,
}

impl Ranked {
    /// Sorts scores that are finite and of equal number.
    pub fn new(predicted: &[f64], gold: &[f64]) -> Result<Self, Undefined> {
        if gold.len() > MOST_PAIRS {
            return Err(Undefined::TooMany {
                found: gold.len(),
                most: MOST_PAIRS,
            });
        }
        let predicted = Order::new(predicted);
        let gold = Order::new(gold);
        let group_of = gold.group_of();
        let gold_of = predicted
            .by_value
            .iter()
            .map(|&i| group_of[i as usize])
            .collect();
        Ok(Self {
            predicted,
            gold,
            gold_of,
        })
    }

    pub fn pairs(&self) -> usize {
        self.gold_of.len()
    }

    /// Sums over a resample. `ranks` is a buffer.
    pub fn sums(&self, counts: &[u32], ranks: &mut Vec<u32>) -> RankSums {
        if self.gold.groups() == 2 {
            return self.sums_of_two_groups(counts);
        }
        let (total, gold_cubes) = self.gold_ranks(counts, ranks);
        let (products, predicted_cubes) = if self.predicted.is_untied() {
            let cubes = if self.gold.is_untied() {
                // Both tie only where pairs are drawn again, so they tie alike.
                gold_cubes
            } else {
                counts.iter().map(|&c| cube(u64::from(c))).sum()
            };
            (self.products_untied(counts, ranks), cubes)
        } else {
            self.products_tied(counts, ranks)
        };
        RankSums::new(u64::from(total), products, predicted_cubes, gold_cubes)
    }

    /// As `sums`, for gold of two values: one walk, because the two gold ranks follow from how
    /// many pairs were drawn of each.
    fn sums_of_two_groups(&self, counts: &[u32]) -> RankSums {
        let (mut total, mut upper, mut upper_ranks, mut cubes) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut group = |tied: u64, tied_upper: u64| {
            upper_ranks += tied_upper * (2 * total + tied + 1);
            upper += tied_upper;
            total += tied;
            cubes += cube(tied);
        };
        self.predicted
            .walk(&self.gold_of, counts, false, &mut group);
        let lower = total - upper;
        let all_ranks = total * (total + 1);
        let products =
            (all_ranks - upper_ranks) * (lower + 1) + upper_ranks * (2 * lower + upper + 1);
        RankSums::new(total, products, cubes, cube(lower) + cube(upper))
    }

    /// Doubled mid-ranks of the groups of gold scores; number of pairs and sum of cubes of ties.
    fn gold_ranks(&self, counts: &[u32], ranks: &mut Vec<u32>) -> (u32, u64) {
        ranks.clear();
        let (mut below, mut cubes) = (0_u32, 0_u64);
        if self.gold.is_untied() {
            ranks.extend(self.gold.by_value.iter().map(|&i| {
                let count = counts[i as usize];
                let doubled = 2 * below + count + 1;
                below += count;
                cubes += cube(u64::from(count));
                doubled
            }));
        } else {
            for group in 0..self.gold.groups() {
                let members = self.gold.group(group);
                let tied: u32 = members.iter().map(|&i| counts[i as usize]).sum();
                ranks.push(2 * below + tied + 1);
                below += tied;
                cubes += cube(u64::from(tied));
            }
        }
        (below, cubes)
    }

    /// Sum of products of doubled ranks.
    fn products_untied(&self, counts: &[u32], ranks: &[u32]) -> u64 {
        let (mut below, mut products) = (0_u32, 0_u64);
        for (&i, &gold) in self.predicted.by_value.iter().zip(&self.gold_of) {
            let count = counts[i as usize];
            let rank = 2 * below + count + 1;
            below += count;
            products += u64::from(count) * u64::from(rank) * u64::from(ranks[gold as usize]);
        }
        products
    }

    /// Sum of products of doubled ranks, and sum of cubes of ties among predicted scores.
    fn products_tied(&self, counts: &[u32], ranks: &[u32]) -> (u64, u64) {
        let (mut below, mut products, mut cubes) = (0_u32, 0_u64, 0_u64);
        for bounds in self.predicted.starts.windows(2) {
            let group = bounds[0] as usize..bounds[1] as usize;
            let (mut tied, mut gold_sum) = (0_u32, 0_u64);
            for (&i, &gold) in self.predicted.by_value[group.clone()]
                .iter()
                .zip(&self.gold_of[group])
            {
                let count = counts[i as usize];
                tied += count;
                gold_sum += u64::from(count) * u64::from(ranks[gold as usize]);
            }
            products += u64::from(2 * below + tied + 1) * gold_sum;
            below += tied;
            cubes += cube(u64::from(tied));
        }
        (products, cubes)
    }
}

fn cube(count: u64) -> u64 {
    count * count * count
}

/// [`spearman`](super::spearman) under resampling.
#[derive(Debug, Clone)]
pub struct SpearmanSample(Ranked);

impl SpearmanSample {
    /// Prepares the pairs: one predicted and one gold score each.
    ///
    /// # Errors
    ///
    /// As [`spearman`](super::spearman), and for more than a million pairs.
    pub fn new(predicted: &[f64], gold: &[f64]) -> Result<Self, Undefined> {
        check(predicted, gold)?;
        Ranked::new(predicted, gold).map(Self)
    }
}

impl Statistic for SpearmanSample {
    fn pairs(&self) -> usize {
        self.0.pairs()
    }

    fn of_counts(&self, counts: &[u32], workspace: &mut Workspace) -> Option<f64> {
        let RankSums { xy, xx, yy, .. } = self.0.sums(counts, &mut workspace.ranks);
        (xx > 0 && yy > 0).then(|| ratio(xy as f64, xx as f64, yy as f64))
    }
}

/// [`pearson`](super::pearson) under resampling.
#[derive(Debug, Clone)]
pub struct PearsonSample {
    predicted: Vec<f64>,
    gold: Vec<f64>,
}

impl PearsonSample {
    /// Prepares the pairs: one predicted and one gold score each.
    ///
    /// # Errors
    ///
    /// As [`pearson`](super::pearson).
    pub fn new(predicted: &[f64], gold: &[f64]) -> Result<Self, Undefined> {
        check(predicted, gold)?;
        Ok(Self {
            predicted: centred(predicted, Operand::Predicted)?,
            gold: centred(gold, Operand::Gold)?,
        })
    }
}

/// Variances of a resample below this share of the mean square are rounding.
const NO_VARIANCE: f64 = 1e-13;

impl Statistic for PearsonSample {
    fn pairs(&self) -> usize {
        self.gold.len()
    }

    fn of_counts(&self, counts: &[u32], _: &mut Workspace) -> Option<f64> {
        let (mut n, mut x, mut y, mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        for ((&count, &a), &b) in counts.iter().zip(&self.predicted).zip(&self.gold) {
            let count = f64::from(count);
            let (ca, cb) = (count * a, count * b);
            n += count;
            x += ca;
            y += cb;
            xx += ca * a;
            yy += cb * b;
            xy += ca * b;
        }
        let (vx, vy) = (xx - x * x / n, yy - y * y / n);
        (vx > NO_VARIANCE * xx && vy > NO_VARIANCE * yy).then(|| ratio(xy - x * y / n, vx, vy))
    }
}

/// Pairs of binary gold in the order of their predicted scores.
#[derive(Debug, Clone)]
struct BinaryOrder {
    predicted: Order,
    /// Gold scores in the order of predicted scores.
    ones: Vec<u32>,
}

impl BinaryOrder {
    fn new(predicted: &[f64], gold: &[f64]) -> Result<Self, Undefined> {
        check_pairs(predicted, gold, 2)?;
        classes(gold)?;
        let predicted = Order::new(predicted);
        let ones = predicted
            .by_value
            .iter()
            .map(|&i| u32::from(gold[i as usize] == 1.0))
            .collect();
        Ok(Self { predicted, ones })
    }
}

/// [`auc`](super::auc) under resampling.
#[derive(Debug, Clone)]
pub struct AucSample(BinaryOrder);

impl AucSample {
    /// Prepares the pairs: one predicted and one gold score each.
    ///
    /// # Errors
    ///
    /// As [`auc`](super::auc).
    pub fn new(predicted: &[f64], gold: &[f64]) -> Result<Self, Undefined> {
        BinaryOrder::new(predicted, gold).map(Self)
    }
}

impl Statistic for AucSample {
    fn pairs(&self) -> usize {
        self.0.ones.len()
    }

    fn of_counts(&self, counts: &[u32], _: &mut Workspace) -> Option<f64> {
        // AUC = (Σ 2r − a(a + 1)) / 2ab over the mid-ranks r of the a ones.
        let (mut below, mut ones, mut ranks) = (0, 0, 0);
        let BinaryOrder {
            predicted,
            ones: marks,
        } = &self.0;
        predicted.walk(marks, counts, false, |drawn, drawn_ones| {
            ranks += drawn_ones * (2 * below + drawn + 1);
            ones += drawn_ones;
            below += drawn;
        });
        let zeros = below - ones;
        (ones > 0 && zeros > 0)
            .then(|| (ranks - ones * (ones + 1)) as f64 / (2 * ones * zeros) as f64)
    }
}

/// [`average_precision`](super::average_precision) under resampling.
#[derive(Debug, Clone)]
pub struct AveragePrecisionSample(BinaryOrder);

impl AveragePrecisionSample {
    /// Prepares the pairs: one predicted and one gold score each.
    ///
    /// # Errors
    ///
    /// As [`average_precision`](super::average_precision).
    pub fn new(predicted: &[f64], gold: &[f64]) -> Result<Self, Undefined> {
        BinaryOrder::new(predicted, gold).map(Self)
    }
}

impl Statistic for AveragePrecisionSample {
    fn pairs(&self) -> usize {
        self.0.ones.len()
    }

    fn of_counts(&self, counts: &[u32], _: &mut Workspace) -> Option<f64> {
        let (mut ones, mut all, mut area) = (0_u64, 0_u64, 0.0);
        let BinaryOrder {
            predicted,
            ones: marks,
        } = &self.0;
        predicted.walk(marks, counts, true, |drawn, drawn_ones| {
            ones += drawn_ones;
            all += drawn;
            area += drawn_ones as f64 * (ones as f64 / all.max(1) as f64);
        });
        (ones > 0 && ones < all).then(|| area / ones as f64)
    }
}

/// The ranked pairs of each domain.
#[derive(Debug, Clone)]
struct RankedDomains {
    pairs: usize,
    domains: Vec<(Vec<u32>, Ranked)>,
}

impl RankedDomains {
    fn new(predicted: &[f64], gold: &[f64], domains: &Domains) -> Result<Self, Undefined> {
        let domains = domains
            .members()
            .map(|members| {
                let (predicted, gold) = Domains::select(members, predicted, gold);
                Ok((members.to_vec(), Ranked::new(&predicted, &gold)?))
            })
            .collect::<Result<_, Undefined>>()?;
        Ok(Self {
            pairs: gold.len(),
            domains,
        })
    }

    fn sums<'a>(
        &'a self,
        counts: &'a [u32],
        workspace: &'a mut Workspace,
    ) -> impl Iterator<Item = RankSums> + 'a {
        self.domains.iter().map(move |(members, ranked)| {
            let own = &mut workspace.counts;
            own.clear();
            own.extend(members.iter().map(|&i| counts[i as usize]));
            ranked.sums(own, &mut workspace.ranks)
        })
    }
}

/// [`macro_mean`](super::macro_mean()) of Spearman's ρ under resampling.
#[derive(Debug, Clone)]
pub struct MacroSample(RankedDomains);

impl MacroSample {
    /// Prepares the pairs: one predicted and one gold score each.
    ///
    /// # Errors
    ///
    /// As [`domain_scores`](super::domain_scores), and as its `macro_mean`.
    pub fn new(predicted: &[f64], gold: &[f64], domains: &Domains) -> Result<Self, Undefined> {
        super::domain_scores(predicted, gold, domains)?.macro_spearman?;
        RankedDomains::new(predicted, gold, domains).map(Self)
    }
}

impl Statistic for MacroSample {
    fn pairs(&self) -> usize {
        self.0.pairs
    }

    fn of_counts(&self, counts: &[u32], workspace: &mut Workspace) -> Option<f64> {
        let mut sum = 0.0;
        for RankSums { xy, xx, yy, .. } in self.0.sums(counts, workspace) {
            if xx == 0 || yy == 0 {
                return None;
            }
            sum += ratio(xy as f64, xx as f64, yy as f64);
        }
        Some(sum / self.0.domains.len() as f64)
    }
}

/// [`within_domain_spearman`](super::within_domain_spearman) under resampling.
#[derive(Debug, Clone)]
pub struct WithinSample(RankedDomains);

impl WithinSample {
    /// Prepares the pairs: one predicted and one gold score each.
    ///
    /// # Errors
    ///
    /// As [`within_domain_spearman`](super::within_domain_spearman).
    pub fn new(predicted: &[f64], gold: &[f64], domains: &Domains) -> Result<Self, Undefined> {
        check_domains(predicted, gold, domains)?;
        check_pairs(predicted, gold, LEAST_PAIRS)?;
        let sample = Self(RankedDomains::new(predicted, gold, domains)?);
        let (_, xx, yy) = sample.scaled_sums(&vec![1; gold.len()], &mut Workspace::default());
        for (sum, operand) in [(yy, Operand::Gold), (xx, Operand::Predicted)] {
            if sum == 0.0 {
                return Err(Undefined::ConstantWithinDomains { operand });
            }
        }
        Ok(sample)
    }

    /// Sums over domains of products of scaled ranks: xy, xx, yy.
    fn scaled_sums(&self, counts: &[u32], workspace: &mut Workspace) -> (f64, f64, f64) {
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for sums in self.0.sums(counts, workspace) {
            let scale = 2.0 * (sums.total as f64 + 1.0);
            let square = scale * scale;
            xy += sums.xy as f64 / square;
            xx += sums.xx as f64 / square;
            yy += sums.yy as f64 / square;
        }
        (xy, xx, yy)
    }
}

impl Statistic for WithinSample {
    fn pairs(&self) -> usize {
        self.0.pairs
    }

    fn of_counts(&self, counts: &[u32], workspace: &mut Workspace) -> Option<f64> {
        let (xy, xx, yy) = self.scaled_sums(counts, workspace);
        (xx > 0.0 && yy > 0.0).then(|| ratio(xy, xx, yy))
    }
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::rand_core::Rng;

    use super::*;
    use crate::random::{Purpose, stream};
    use crate::{auc, average_precision, pearson, spearman, within_domain_spearman};

    /// Pairs and counts with every kind of tie; the counts leave pairs out and repeat others.
    fn cases() -> impl Iterator<Item = (Vec<f64>, Vec<f64>, Vec<u32>)> {
        (0..300).map(|case| {
            let mut rng = stream(case, Purpose::Bootstrap, 0);
            let n = 4 + (rng.next_u32() % 60) as usize;
            let mut draw = |steps: u32| f64::from(rng.next_u32() % steps);
            let (predicted_steps, gold_steps) = [
                (1_000_000, 1_000_000),
                (1_000_000, 2),
                (5, 2),
                (5, 1_000_000),
                (7, 5),
            ][case as usize % 5];
            let predicted = (0..n).map(|_| draw(predicted_steps)).collect();
            let gold = (0..n).map(|_| draw(gold_steps)).collect();
            let counts = (0..n).map(|_| draw(4) as u32).collect();
            (predicted, gold, counts)
        })
    }

    fn repeat(values: &[f64], counts: &[u32]) -> Vec<f64> {
        values
            .iter()
            .zip(counts)
            .flat_map(|(&v, &c)| std::iter::repeat_n(v, c as usize))
            .collect()
    }

    fn agrees(found: Option<f64>, expected: Result<f64, Undefined>, what: &str) -> usize {
        match (found, expected) {
            (Some(found), Ok(expected)) => {
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{what}: {found} {expected}"
                );
                1
            }
            // Two pairs are fewer than `spearman` takes, yet enough for the sums.
            (None, Err(_)) | (Some(_), Err(Undefined::TooFew { .. })) => 0,
            (found, expected) => panic!("{what}: {found:?} {expected:?}"),
        }
    }

    #[test]
    fn counts_give_what_the_repeated_pairs_give() {
        let workspace = &mut Workspace::default();
        let mut compared = 0;
        for (predicted, gold, counts) in cases() {
            let (x, y) = (repeat(&predicted, &counts), repeat(&gold, &counts));
            let exact = |found: Option<f64>, expected: Result<f64, Undefined>| {
                if let (Some(found), Ok(expected)) = (found, expected) {
                    assert_eq!(found.to_bits(), expected.to_bits());
                }
            };
            if let Ok(sample) = SpearmanSample::new(&predicted, &gold) {
                let found = sample.of_counts(&counts, workspace);
                exact(found, spearman(&x, &y));
                compared += agrees(found, spearman(&x, &y), "spearman");
            }
            if let Ok(sample) = PearsonSample::new(&predicted, &gold) {
                let found = sample.of_counts(&counts, workspace);
                compared += agrees(found, pearson(&x, &y), "pearson");
            }
            if let Ok(sample) = AucSample::new(&predicted, &gold) {
                let found = sample.of_counts(&counts, workspace);
                exact(found, auc(&x, &y));
                compared += agrees(found, auc(&x, &y), "auc");
            }
            if let Ok(sample) = AveragePrecisionSample::new(&predicted, &gold) {
                let found = sample.of_counts(&counts, workspace);
                compared += agrees(found, average_precision(&x, &y), "average precision");
            }
        }
        assert!(compared > 700, "{compared}");
    }

    #[test]
    fn counts_give_what_the_repeated_pairs_give_within_domains() {
        let workspace = &mut Workspace::default();
        let mut compared = 0;
        for (predicted, gold, counts) in cases() {
            let names: Vec<&str> = (0..gold.len()).map(|i| ["a", "b", "c"][i % 3]).collect();
            let drawn: Vec<&str> = names
                .iter()
                .zip(&counts)
                .flat_map(|(&v, &c)| std::iter::repeat_n(v, c as usize))
                .collect();
            let (x, y) = (repeat(&predicted, &counts), repeat(&gold, &counts));
            let Ok(sample) = WithinSample::new(&predicted, &gold, &Domains::new(&names)) else {
                continue;
            };
            let expected = within_domain_spearman(&x, &y, &Domains::new(&drawn));
            let found = sample.of_counts(&counts, workspace);
            compared += agrees(found, expected, "within domains");
            if let Ok(sample) = MacroSample::new(&predicted, &gold, &Domains::new(&names)) {
                let ones = vec![1; gold.len()];
                let expected =
                    super::super::domain_scores(&predicted, &gold, &Domains::new(&names))
                        .unwrap()
                        .macro_spearman;
                let found = sample.of_counts(&ones, workspace);
                compared += agrees(found, expected, "macro");
            }
        }
        assert!(compared > 300, "{compared}");
    }

    #[test]
    fn a_constant_resample_has_no_statistic() {
        let (predicted, gold) = ([0.1, 0.7, 0.3, 0.2], [0.0, 1.0, 0.0, 1.0]);
        let workspace = &mut Workspace::default();
        let samples: [Box<dyn Statistic>; 4] = [
            Box::new(SpearmanSample::new(&predicted, &gold).unwrap()),
            Box::new(PearsonSample::new(&predicted, &gold).unwrap()),
            Box::new(AucSample::new(&predicted, &gold).unwrap()),
            Box::new(AveragePrecisionSample::new(&predicted, &gold).unwrap()),
        ];
        for sample in samples {
            for counts in [[4, 0, 0, 0], [2, 0, 2, 0], [0, 0, 0, 0], [0, 3, 0, 1]] {
                assert_eq!(sample.of_counts(&counts, workspace), None);
            }
            assert!(sample.of_counts(&[1, 2, 1, 0], workspace).is_some());
        }
    }
}
