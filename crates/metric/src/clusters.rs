//! Clusters: pairs that were made from one document, and so are not independent.
//!
//! A bootstrap that draws pairs one by one takes each for new evidence. Where a document gives several
//! pairs, documents are drawn instead, each with all of its pairs, and the two models of a permutation
//! test are swapped document by document (C. A. Field and A. H. Welsh, "Bootstrapping clustered data",
//! 2007).

use std::collections::HashMap;

use super::bootstrap::{BootstrapOptions, Interval, Statistic, replicates};
use super::domains::Domains;
use super::undefined::Undefined;

/// Which pairs belong to which cluster; clusters in the order of their first pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    of: Vec<u32>,
    members: Vec<Vec<u32>>,
}

impl Clusters {
    /// Groups pairs by the name of their cluster, one entry per pair; a pair without a name is a cluster
    /// of its own. `None` where no pair has a name: such pairs are drawn one by one.
    pub fn new<'a>(names: impl IntoIterator<Item = Option<&'a str>>) -> Option<Self> {
        let mut found = Self {
            of: Vec::new(),
            members: Vec::new(),
        };
        let mut known = HashMap::new();
        for (at, name) in names.into_iter().enumerate() {
            let next = found.members.len() as u32;
            let cluster = name.map_or(next, |name| *known.entry(name).or_insert(next));
            if cluster == next {
                found.members.push(Vec::new());
            }
            found.members[cluster as usize].push(at as u32);
            found.of.push(cluster);
        }
        (!known.is_empty()).then_some(found)
    }

    /// Number of pairs, over all clusters.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.of.len()
    }

    /// Number of clusters.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The cluster of each pair, from 0.
    #[must_use]
    pub fn of(&self) -> &[u32] {
        &self.of
    }

    /// Indices of the pairs of each cluster.
    pub fn members(&self) -> impl Iterator<Item = &[u32]> {
        self.members.iter().map(Vec::as_slice)
    }

    pub(super) fn member(&self, cluster: u32) -> &[u32] {
        &self.members[cluster as usize]
    }

    /// Values, one per pair, summed over each cluster.
    #[must_use]
    pub fn sums(&self, values: &[f64]) -> Vec<f64> {
        let sum = |members: &[u32]| members.iter().map(|&i| values[i as usize]).sum();
        self.members().map(sum).collect()
    }

    /// The clusters of each domain; `None` where a cluster has pairs of several domains.
    pub(super) fn by_domain(&self, domains: &Domains) -> Option<Vec<Vec<u32>>> {
        let strata: Vec<Vec<u32>> = domains
            .members()
            .map(|members| {
                let mut clusters: Vec<u32> = members.iter().map(|&i| self.of[i as usize]).collect();
                clusters.sort_unstable();
                clusters.dedup();
                clusters
            })
            .collect();
        (strata.iter().map(Vec::len).sum::<usize>() == self.count()).then_some(strata)
    }
}

/// How pairs are resampled: the options, and which pairs go together.
///
/// Functions that take one take `&BootstrapOptions` too; then each pair is drawn alone.
#[derive(Debug, Clone, Copy)]
pub struct Resampling<'a> {
    /// Number of resamples, seed and level.
    pub options: &'a BootstrapOptions,
    /// Pairs that are drawn together; `None`: each alone.
    pub clusters: Option<&'a Clusters>,
}

impl<'a> From<&'a BootstrapOptions> for Resampling<'a> {
    fn from(options: &'a BootstrapOptions) -> Self {
        options.by(None)
    }
}

impl BootstrapOptions {
    /// These options with clusters that are drawn whole, where there are some.
    #[must_use]
    pub fn by<'a>(&'a self, clusters: Option<&'a Clusters>) -> Resampling<'a> {
        Resampling {
            options: self,
            clusters,
        }
    }
}

/// How much wider clusters make an interval: the variance of a statistic under resampling of clusters over
/// that under resampling of pairs. With `domains`, both draw within each domain. 1 where the pairs of a
/// cluster are independent; n pairs tell as much as n over this many independent ones.
///
/// # Errors
///
/// As [`Interval::of_replicates`], and [`Undefined::Degenerate`] where the statistic does not vary.
///
/// # Panics
///
/// As [`replicates`].
pub fn design_effect(
    statistic: &dyn Statistic,
    domains: Option<&Domains>,
    how: Resampling<'_>,
) -> Result<f64, Undefined> {
    let error = |how: Resampling<'_>| {
        let columns = replicates(&[statistic], domains, how)?;
        Ok(Interval::of_replicates(&columns[0], how.options.level)?.standard_error)
    };
    let (clustered, alone) = (error(how)?, error(how.options.into())?);
    if alone > 0.0 {
        return Ok((clustered / alone).powi(2));
    }
    Err(Undefined::Degenerate {
        skipped: 0,
        resamples: how.options.resamples,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::Workspace;
    use crate::{
        PairedStatistic, SpearmanSample, bootstrap, bootstrap_domains, compare, permutation_test,
    };

    fn options(resamples: usize) -> BootstrapOptions {
        BootstrapOptions {
            resamples,
            ..BootstrapOptions::default()
        }
    }

    fn of(names: &[&str]) -> Clusters {
        Clusters::new(names.iter().map(|n| Some(*n).filter(|n| !n.is_empty()))).unwrap()
    }

    const PREDICTED: [f64; 8] = [0.9, 0.8, 0.35, 0.6, 0.2, 0.35, 0.1, 0.3];
    const OTHER: [f64; 8] = [0.2, 0.4, 0.9, 0.3, 0.8, 0.1, 0.7, 0.5];
    const GOLD: [f64; 8] = [1.0, 0.7, 0.9, 0.4, 0.3, 0.5, 0.1, 0.2];

    #[test]
    fn pairs_without_a_name_are_alone_and_none_are_no_clusters() {
        let found = of(&["b", "", "a", "b", "", "a"]);
        assert_eq!(found.of(), [0, 1, 2, 0, 3, 2]);
        assert_eq!((found.count(), found.pairs()), (4, 6));
        let members: Vec<&[u32]> = found.members().collect();
        assert_eq!(members, [&[0, 3][..], &[1], &[2, 5], &[4]]);
        assert_eq!(
            found.sums(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            [5.0, 2.0, 9.0, 5.0]
        );
        assert_eq!(Clusters::new([None, None]), None);
        let domains = Domains::new(&["x", "y", "x", "x", "y", "x"]);
        let strata = found.by_domain(&domains);
        assert_eq!(strata, Some(vec![vec![0, 2], vec![1, 3]]));
        let across = Domains::new(&["x", "y", "x", "y", "y", "x"]);
        assert_eq!(found.by_domain(&across), None);
    }

    #[test]
    fn clusters_of_one_pair_are_pairs_to_the_bit() {
        let ones = of(&["a", "b", "c", "d", "e", "f", "g", "h"]);
        let options = options(300);
        let how = options.by(Some(&ones));
        let sample = SpearmanSample::new(&PREDICTED, &GOLD).unwrap();
        assert_eq!(bootstrap(&sample, how), bootstrap(&sample, &options));
        let domains = Domains::new(&["x", "y", "x", "y", "x", "y", "x", "y"]);
        assert_eq!(
            bootstrap_domains(&sample, &domains, how),
            bootstrap_domains(&sample, &domains, &options)
        );
        let statistic = PairedStatistic::Spearman;
        assert_eq!(
            compare(statistic, [&PREDICTED, &OTHER], &GOLD, how),
            compare(statistic, [&PREDICTED, &OTHER], &GOLD, &options)
        );
        let options = BootstrapOptions {
            resamples: 200,
            ..options
        };
        assert_eq!(
            permutation_test(
                statistic,
                [&PREDICTED, &OTHER],
                &GOLD,
                options.by(Some(&ones))
            ),
            permutation_test(statistic, [&PREDICTED, &OTHER], &GOLD, &options)
        );
    }

    /// Draws are of whole clusters, as many as there are, within each domain where domains hold them.
    struct Whole<'a>(&'a Clusters, usize);

    impl Statistic for Whole<'_> {
        fn pairs(&self) -> usize {
            self.0.pairs()
        }

        fn of_counts(&self, counts: &[u32], _: &mut Workspace) -> Option<f64> {
            let mut drawn = Vec::new();
            for members in self.0.members() {
                let count = counts[members[0] as usize];
                assert!(members.iter().all(|&i| counts[i as usize] == count));
                drawn.push(count);
            }
            assert_eq!(drawn.iter().sum::<u32>() as usize, self.0.count());
            let first: u32 = drawn[..self.1].iter().sum();
            Some(f64::from(first))
        }
    }

    #[test]
    fn a_resample_holds_whole_clusters_and_keeps_domains() {
        let clusters = of(&["a", "a", "b", "b", "b", "c", "d", "d"]);
        let options = options(500);
        let how = options.by(Some(&clusters));
        let found = bootstrap(&Whole(&clusters, 2), how).unwrap();
        assert!(found.standard_error > 0.5);
        // a and b are the domain x: two clusters of it are in each resample.
        let domains = Domains::new(&["x", "x", "x", "x", "x", "y", "y", "y"]);
        let found = bootstrap_domains(&Whole(&clusters, 2), &domains, how).unwrap();
        assert_eq!((found.low, found.high), (2.0, 2.0));
    }

    #[test]
    fn the_permutation_of_clusters_swaps_them_whole() {
        // Two clusters: four swaps, of which two give the difference of the models itself.
        let clusters = of(&["a", "b", "a", "b", "a", "b", "a", "b"]);
        let options = options(999);
        let how = options.by(Some(&clusters));
        let found =
            permutation_test(PairedStatistic::Spearman, [&PREDICTED, &OTHER], &GOLD, how).unwrap();
        assert!(found.exact);
        assert_eq!(found.permutations, 4);
        assert_eq!(found.p_value, 0.5);
    }

    #[test]
    fn the_design_effect_of_copies_is_their_number() {
        // Each of 60 pairs is there four times: a cluster says as much as one pair.
        let value = |i: usize, step: usize| ((i / 4) * step % 61) as f64;
        let predicted: Vec<f64> = (0..240).map(|i| value(i, 7)).collect();
        let gold: Vec<f64> = (0..240).map(|i| value(i, 11)).collect();
        let names: Vec<String> = (0..240).map(|i| (i / 4).to_string()).collect();
        let clusters = Clusters::new(names.iter().map(|n| Some(n.as_str()))).unwrap();
        let sample = SpearmanSample::new(&predicted, &gold).unwrap();
        let options = options(2_000);
        let found = design_effect(&sample, None, options.by(Some(&clusters))).unwrap();
        assert!((found - 4.0).abs() < 0.5, "{found}");
    }
}
