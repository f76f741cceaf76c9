//! Scores by domain, and whether pooling domains misleads.
//!
//! Domains may differ in their mean gold score and in their mean similarity for reasons that have
//! nothing to do with meaning (length, format). Pooled, those differences count as agreement or
//! disagreement, so a pooled ρ can even change sign.

use std::collections::BTreeMap;

use super::bootstrap::{Statistic, Workspace};
use super::correlation::spearman;
use super::resampled::WithinSample;
use super::undefined::{Undefined, check_pairs};

/// Which pairs belong to which domain; domains in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domains {
    pairs: usize,
    members: BTreeMap<String, Vec<u32>>,
}

impl Domains {
    /// Groups pairs by the name of their domain. `names` has one name per pair, in the order of the
    /// pairs; an empty list gives no domain.
    pub fn new(names: &[impl AsRef<str>]) -> Self {
        let mut members: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (at, name) in names.iter().enumerate() {
            members
                .entry(name.as_ref().to_owned())
                .or_default()
                .push(at as u32);
        }
        Self {
            pairs: names.len(),
            members,
        }
    }

    /// Number of pairs, over all domains.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Indices of the pairs of each domain, in the order of [`Domains::names`].
    pub fn members(&self) -> impl Iterator<Item = &[u32]> {
        self.members.values().map(Vec::as_slice)
    }

    pub(super) fn select(members: &[u32], predicted: &[f64], gold: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let of = |values: &[f64]| members.iter().map(|&i| values[i as usize]).collect();
        (of(predicted), of(gold))
    }
}

/// The score of one domain.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainScore {
    /// Name of the domain.
    pub domain: String,
    /// Pairs in it.
    pub pairs: usize,
    /// Spearman's ρ over its pairs, in \[−1, 1\], or why there is none.
    pub spearman: Result<f64, Undefined>,
}

/// Spearman's ρ in every domain, and put together in three ways.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainScores {
    /// Domains in the order of their names.
    pub domains: Vec<DomainScore>,
    /// Plain mean over domains: every domain counts the same. Undefined where one domain is.
    pub macro_spearman: Result<f64, Undefined>,
    /// [`within_domain_spearman`].
    pub within_spearman: Result<f64, Undefined>,
    /// ρ over all pairs, domains ignored.
    pub pooled_spearman: Result<f64, Undefined>,
}

/// Spearman's ρ of every domain and of all pairs together.
///
/// Takes one predicted and one gold score per pair; `domains` is of the same pairs.
///
/// # Errors
///
/// [`Undefined`] where the lists differ in length, there is no pair, or a score is NaN or
/// infinite. Every other reason is in the field of the score that does not exist.
pub fn domain_scores(
    predicted: &[f64],
    gold: &[f64],
    domains: &Domains,
) -> Result<DomainScores, Undefined> {
    check_domains(predicted, gold, domains)?;
    let scores: Vec<DomainScore> = domains
        .names()
        .zip(domains.members())
        .map(|(name, members)| {
            let (predicted, gold) = Domains::select(members, predicted, gold);
            DomainScore {
                domain: name.to_owned(),
                pairs: members.len(),
                spearman: spearman(&predicted, &gold),
            }
        })
        .collect();
    Ok(DomainScores {
        macro_spearman: macro_mean(&scores),
        domains: scores,
        within_spearman: within_domain_spearman(predicted, gold, domains),
        pooled_spearman: spearman(predicted, gold),
    })
}

pub(super) fn check_domains(
    predicted: &[f64],
    gold: &[f64],
    domains: &Domains,
) -> Result<(), Undefined> {
    if domains.pairs != gold.len() {
        return Err(Undefined::LengthMismatch {
            what: "domain names",
            left: domains.pairs,
            right: gold.len(),
        });
    }
    check_pairs(predicted, gold, 1)
}

/// Plain mean of ρ over domains, in \[−1, 1\]: every domain counts the same, whatever its size.
///
/// # Errors
///
/// [`Undefined::Domain`] for the first domain without a ρ (a mean over the others would be another
/// statistic), [`Undefined::TooFew`] where there is no domain.
pub fn macro_mean(scores: &[DomainScore]) -> Result<f64, Undefined> {
    if scores.is_empty() {
        return Err(Undefined::TooFew {
            what: "domains",
            found: 0,
            least: 1,
        });
    }
    let mut sum = 0.0;
    for score in scores {
        match &score.spearman {
            Ok(rho) => sum += rho,
            Err(reason) => {
                return Err(Undefined::Domain {
                    domain: score.domain.clone(),
                    reason: Box::new(reason.clone()),
                });
            }
        }
    }
    Ok(sum / scores.len() as f64)
}

/// Within-domain (stratified) Spearman's ρ, in \[−1, 1\]: one number for all pairs that no
/// difference between domains can move.
///
/// Scores are turned into mid-ranks r within their domain of n pairs and scaled to `r / (n + 1)`,
/// so that every domain spans the same range whatever its size; the mean ½ is taken off, and
/// Pearson's formula is applied to all pairs together. A domain weighs by its pairs and by the
/// variance of its ranks: where its gold scores are all equal it adds nothing to the product of
/// ranks, yet its predicted ranks still count among the squares. With one domain this is
/// Spearman's ρ.
///
/// # Errors
///
/// [`Undefined`] for lists of different length, fewer than 3 pairs, NaN or infinities, and where
/// gold or predicted scores do not vary within any domain.
#[expect(
    clippy::missing_panics_doc,
    reason = "a prepared sample has a value for the pairs themselves"
)]
pub fn within_domain_spearman(
    predicted: &[f64],
    gold: &[f64],
    domains: &Domains,
) -> Result<f64, Undefined> {
    let sample = WithinSample::new(predicted, gold, domains)?;
    let ones = vec![1; gold.len()];
    let within = sample.of_counts(&ones, &mut Workspace::default());
    Ok(within.expect("the sample has made sure that scores vary"))
}

/// Why a pooled ρ misleads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PoolingWarning {
    /// Pooled and within-domain ρ have opposite signs.
    SignChange {
        /// ρ over all pairs.
        pooled: f64,
        /// ρ within domains.
        within: f64,
    },
    /// They differ by more than half the width of the pooled interval.
    Differs {
        /// ρ over all pairs.
        pooled: f64,
        /// ρ within domains.
        within: f64,
        /// Half the width of the interval.
        half_width: f64,
    },
}

impl std::fmt::Display for PoolingWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SignChange { pooled, within } => write!(
                f,
                "the pooled ρ {pooled:+.4} has the opposite sign of the within-domain ρ \
                 {within:+.4}: differences between domains, not between pairs, make it"
            ),
            Self::Differs {
                pooled,
                within,
                half_width,
            } => write!(
                f,
                "the pooled ρ {pooled:+.4} is further from the within-domain ρ {within:+.4} than \
                 its interval's half width {half_width:.4}: differences between domains shift it"
            ),
        }
    }
}

/// Whether to warn that pooling domains confounds: where the pooled ρ and the within-domain ρ have
/// opposite signs, or differ by more than half the width of the pooled ρ's interval.
#[must_use]
pub fn pooling_warning(pooled: f64, within: f64, half_width: f64) -> Option<PoolingWarning> {
    if pooled * within < 0.0 {
        return Some(PoolingWarning::SignChange { pooled, within });
    }
    ((pooled - within).abs() > half_width).then_some(PoolingWarning::Differs {
        pooled,
        within,
        half_width,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operand;

    /// Within each domain ρ is −1; the second domain has higher gold and higher predictions.
    fn confounded() -> (Vec<f64>, Vec<f64>, Domains) {
        let predicted = vec![0.3, 0.2, 0.1, 0.9, 0.8, 0.7, 0.6];
        let gold = vec![1.0, 2.0, 3.0, 11.0, 12.0, 13.0, 14.0];
        let domains = Domains::new(&["a", "a", "a", "b", "b", "b", "b"]);
        (predicted, gold, domains)
    }

    #[test]
    fn pooling_can_turn_the_sign() {
        let (predicted, gold, domains) = confounded();
        let scores = domain_scores(&predicted, &gold, &domains).unwrap();
        assert_eq!(scores.macro_spearman, Ok(-1.0));
        assert!((scores.within_spearman.clone().unwrap() + 1.0).abs() < 1e-15);
        let pooled = scores.pooled_spearman.unwrap();
        assert!(pooled > 0.4, "{pooled}");
        let warning = pooling_warning(pooled, -1.0, 2.0).unwrap();
        assert!(matches!(warning, PoolingWarning::SignChange { .. }));
        assert!(warning.to_string().contains("opposite sign"));
        let sizes: Vec<usize> = scores.domains.iter().map(|d| d.pairs).collect();
        assert_eq!(sizes, [3, 4]);
    }

    #[test]
    fn within_by_hand() {
        // Domain a: ranks 1..3 against 1 3 2, scaled by 4; domain b: ranks 1 2 against 2 1, by 3.
        let domains = Domains::new(&["a", "a", "b", "a", "b"]);
        let predicted = [0.1, 0.2, 0.5, 0.3, 0.6];
        let gold = [1.0, 3.0, 9.0, 2.0, 8.0];
        let a = 1.0 / 16.0;
        let b = -0.5 / 9.0;
        let squares = 2.0 / 16.0 + 0.5 / 9.0;
        let found = within_domain_spearman(&predicted, &gold, &domains).unwrap();
        assert!((found - (a + b) / squares).abs() < 1e-15, "{found}");
    }

    #[test]
    fn one_domain_is_plain_spearman() {
        let (predicted, gold, _) = confounded();
        let one = Domains::new(&["x"; 7]);
        let within = within_domain_spearman(&predicted, &gold, &one).unwrap();
        assert!((within - spearman(&predicted, &gold).unwrap()).abs() < 1e-15);
    }

    #[test]
    fn undefined_never_a_number() {
        let (predicted, mut gold, domains) = confounded();
        gold[..3].fill(5.0);
        let scores = domain_scores(&predicted, &gold, &domains).unwrap();
        assert!(matches!(
            scores.macro_spearman,
            Err(Undefined::Domain { domain, .. }) if domain == "a"
        ));
        assert!(scores.within_spearman.is_ok());
        gold[3..].fill(6.0);
        assert_eq!(
            within_domain_spearman(&predicted, &gold, &domains),
            Err(Undefined::ConstantWithinDomains {
                operand: Operand::Gold
            })
        );
        let short = Domains::new(&["a"; 6]);
        assert!(domain_scores(&predicted, &gold, &short).is_err());
        assert!(macro_mean(&[]).is_err());
        gold[0] = f64::NAN;
        assert!(domain_scores(&predicted, &gold, &domains).is_err());
    }

    #[test]
    fn warnings_of_facts() {
        for (pooled, macro_rho, warns) in [
            (-0.184, -0.036, true),
            (0.110, -0.033, true),
            (0.25, 0.23, false),
            (-0.04, -0.03, false),
            (0.0, 0.03, false),
        ] {
            let found = pooling_warning(pooled, macro_rho, 0.042);
            assert_eq!(found.is_some(), warns, "{pooled}");
        }
    }
}
